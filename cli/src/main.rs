//! The one executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    everpaid::main()
}
