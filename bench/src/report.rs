//! The figures, as tables that can be pasted.

use std::{cmp::Ordering, fmt, fs, process::Command, time::Duration};

use crate::{clicks, load::Pace, machine::Meanwhile, notifications, server::Usage};

pub struct Report {
    pub database: String,
    pub notifications: Vec<notifications::Figure>,
    pub clicks: Vec<clicks::Figure>,
    pub idle: Usage,
    pub loaded: Usage,
    /// Acknowledgements a second that are promised.
    pub floor: f64,
}

/// On what, of what, and when.
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "# everpaid, measured\n\n{}, commit {}{}, {cpus} × {}, {}, load before {}",
        entity::Clock::System.now(),
        said("git", &["rev-parse", "--short", "HEAD"]),
        if said("git", &["status", "--porcelain"]).is_empty() { "" } else { " with changes" },
        model.trim_start_matches([' ', '\t', ':']),
        said("rustc", &["--version"]),
        load.split(' ').next().unwrap_or_default(),
    )
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## {}\n", self.database)?;
        writeln!(
            f,
            "Notifications: verified, committed, acknowledged; applied by the worker in the same process.\n"
        )?;
        writeln!(
            f,
            "| load | acknowledged /s | p50 ms | p99 ms | max ms | paid /s | CPU µs until acknowledged | until paid | resident MB | others' CPU | fsync p50 / p99 / max ms |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for figure in rounds_together(&self.notifications, |figure| figure.plan) {
            writeln!(
                f,
                "| {}, {} | {:.0} | {} | {} | {} | {:.0} | {} | {} | {} | {} |",
                pace(figure.plan),
                figure.plan.count,
                figure.acknowledged_per_second,
                ms(figure.spans.quantile(0.5)),
                ms(figure.spans.quantile(0.99)),
                ms(figure.spans.max()),
                figure.paid_per_second,
                figure.cpu_until_acknowledged.as_micros(),
                figure.cpu_until_paid.as_micros(),
                figure.resident_kib / 1024,
                machine_did(&figure.meanwhile),
            )?;
        }

        writeln!(f, "\nClick to call-up: the order and the payment, beyond WeChat Pay's own time.\n")?;
        writeln!(
            f,
            "| load | WeChat Pay p50 ms | total p50 / p99 ms | overhead p50 ms | p99 ms | max ms | payment alone p50 / p99 ms | CPU µs | resident MB | others' CPU | fsync p50 / p99 / max ms |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for figure in rounds_together(&self.clicks, |figure| figure.plan) {
            writeln!(
                f,
                "| {} clicks/s, {}, WeChat Pay + {} ms | {} | {} / {} | {} | {} | {} | {} / {} | {} | {} | {} |",
                figure.plan.per_second,
                figure.plan.count,
                figure.plan.delay_ms,
                ms(figure.wechat.quantile(0.5)),
                ms(figure.total.quantile(0.5)),
                ms(figure.total.quantile(0.99)),
                ms(figure.overhead.quantile(0.5)),
                ms(figure.overhead.quantile(0.99)),
                ms(figure.overhead.max()),
                ms(figure.payment_overhead.quantile(0.5)),
                ms(figure.payment_overhead.quantile(0.99)),
                figure.cpu.as_micros(),
                figure.resident_kib / 1024,
                machine_did(&figure.meanwhile),
            )?;
        }
        let most = self.loaded.resident_max_kib / 1024;
        writeln!(
            f,
            "\nMemory of the server: {} MB idle, {most} MB at most.\n",
            self.idle.resident_kib / 1024
        )?;

        writeln!(f, "| floor | median of the quiet runs | |\n|---|---|---|")?;
        let told = rounds_together(&self.notifications, |figure| figure.plan);
        let told: Vec<_> = told.chunk_by(|one, next| one.plan == next.plan).collect();
        let quiet = |figure: &notifications::Figure| figure.meanwhile.was_quiet();
        let ceiling = told.iter().filter_map(|runs| median(runs, quiet, |run| run.acknowledged_per_second));
        let ceiling = ceiling.reduce(f64::max);
        let at_half = told.first().and_then(|runs| median(runs, quiet, |run| run.spans.quantile(0.99)));
        let clicked = rounds_together(&self.clicks, |figure| figure.plan);
        let clicked = clicked.chunk_by(|one, next| one.plan == next.plan);
        let quiet = |figure: &clicks::Figure| figure.meanwhile.was_quiet();
        let click: Option<Vec<_>> =
            clicked.map(|runs| median(runs, quiet, |run| run.overhead.quantile(0.99))).collect();
        let click = click.and_then(|each| each.into_iter().max());

        let mut floor = |what: String, got: Option<(String, bool)>| {
            let (got, verdict) = match got {
                Some((got, met)) => (got, if met { "met" } else { "**missed**" }),
                None => ("—".to_owned(), "the machine was never quiet"),
            };
            writeln!(f, "| {what} | {got} | {verdict} |")
        };
        let within = |limit_ms: u64| {
            move |took: Duration| (format!("{} ms", ms(took)), took <= Duration::from_millis(limit_ms))
        };
        floor(
            format!("≥ {} acknowledgements/s", self.floor),
            ceiling.map(|ceiling| (format!("{ceiling:.0}"), ceiling >= self.floor)),
        )?;
        floor(format!("p99 ≤ 100 ms at {}/s", self.floor / 2.0), at_half.map(within(100)))?;
        floor("click overhead p99 ≤ 60 ms at 50/s".to_owned(), click.map(within(60)))?;
        floor("resident memory ≤ 80 MB".to_owned(), Some((format!("{most} MB"), most <= 80)))
    }
}

/// The runs of each plan, one below the other.
pub fn rounds_together<F, P: PartialEq>(figures: &[F], plan: impl Fn(&F) -> P) -> Vec<&F> {
    let mut sorted: Vec<&F> = figures.iter().collect();
    sorted.sort_by_key(|figure| figures.iter().position(|first| plan(first) == plan(figure)));
    sorted
}

/// The middle one of the runs on a quiet machine; none if it never was.
pub fn median<F, T: PartialOrd + Copy>(
    runs: &[&F],
    quiet: impl Fn(&F) -> bool,
    value: impl Fn(&F) -> T,
) -> Option<T> {
    let mut values: Vec<T> = runs.iter().filter(|run| quiet(run)).map(|run| value(run)).collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    values.get(values.len() / 2).copied()
}

pub fn machine_did(meanwhile: &Meanwhile) -> String {
    let fsync = &meanwhile.fsync;
    let (p50, p99, max) = (ms(fsync.quantile(0.5)), ms(fsync.quantile(0.99)), ms(fsync.max()));
    let remark = if meanwhile.was_quiet() { "" } else { " disturbed" };
    format!("{:.0} % | {p50} / {p99} / {max}{remark}", meanwhile.others * 100.0)
}

fn pace(plan: notifications::Plan) -> String {
    match plan.pace {
        Pace::Open { per_second } => format!("{per_second}/s"),
        Pace::Closed => format!("{} at once", plan.connections),
    }
}

pub fn ms(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1000.0;
    if ms < 1.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_taken_of_the_quiet_runs() {
        let runs = [&(true, 9), &(false, 1), &(true, 2), &(true, 3), &(false, 7)];
        assert_eq!(median(&runs, |run| run.0, |run| run.1), Some(3));
        assert_eq!(median(&runs[1..2], |run| run.0, |run| run.1), None);
    }
}
