//! The executable as it is shipped, except that `FAILPOINTS` can end it at a named step.

fn main() -> std::process::ExitCode {
    everpaid::main()
}
