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

        writeln!(f, "| floor | median of the runs | |\n|---|---|---|")?;
        let ceiling =
            medians(&self.notifications, |figure| figure.plan, |figure| figure.acknowledged_per_second);
        let ceiling = ceiling.into_iter().fold(0.0, f64::max);
        let waits = medians(&self.notifications, |figure| figure.plan, |figure| figure.spans.quantile(0.99));
        let at_half = waits.first().copied().unwrap_or_default();
        let click = medians(&self.clicks, |figure| figure.plan, |figure| figure.overhead.quantile(0.99));
        let click = click.into_iter().max().unwrap_or_default();
        let mut floor = |what: String, got: String, met: bool| {
            writeln!(f, "| {what} | {got} | {} |", if met { "met" } else { "**missed**" })
        };
        floor(
            format!("≥ {} acknowledgements/s", self.floor),
            format!("{ceiling:.0}"),
            ceiling >= self.floor,
        )?;
        floor(
            format!("p99 ≤ 100 ms at {}/s", self.floor / 2.0),
            format!("{} ms", ms(at_half)),
            at_half <= Duration::from_millis(100),
        )?;
        floor(
            "click overhead p99 ≤ 60 ms at 50/s".to_owned(),
            format!("{} ms", ms(click)),
            click <= Duration::from_millis(60),
        )?;
        floor("resident memory ≤ 80 MB".to_owned(), format!("{most} MB"), most <= 80)
    }
}

/// The runs of each plan, one below the other.
fn rounds_together<F, P: PartialEq>(figures: &[F], plan: impl Fn(&F) -> P) -> Vec<&F> {
    let mut sorted: Vec<&F> = figures.iter().collect();
    sorted.sort_by_key(|figure| figures.iter().position(|first| plan(first) == plan(figure)));
    sorted
}

/// For each plan the middle one of its runs.
fn medians<F, P: PartialEq, T: PartialOrd + Copy>(
    figures: &[F],
    plan: impl Fn(&F) -> P,
    value: impl Fn(&F) -> T,
) -> Vec<T> {
    let together = rounds_together(figures, &plan);
    let runs = together.chunk_by(|one, next| plan(one) == plan(next));
    runs.filter_map(|runs| {
        let mut values: Vec<T> = runs.iter().map(|figure| value(figure)).collect();
        values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        values.get(values.len() / 2).copied()
    })
    .collect()
}

fn machine_did(meanwhile: &Meanwhile) -> String {
    let fsync = &meanwhile.fsync;
    let (p50, p99, max) = (ms(fsync.quantile(0.5)), ms(fsync.quantile(0.99)), ms(fsync.max()));
    format!("{:.0} % | {p50} / {p99} / {max}", meanwhile.others * 100.0)
}

fn pace(plan: notifications::Plan) -> String {
    match plan.pace {
        Pace::Open { per_second } => format!("{per_second}/s"),
        Pace::Closed => format!("{} at once", plan.connections),
    }
}

fn ms(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1000.0;
    if ms < 1.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_taken_for_each_plan() {
        let figures = [("a", 9), ("b", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 7)];
        assert_eq!(medians(&figures, |figure| figure.0, |figure| figure.1), [3, 1]);
    }
}
