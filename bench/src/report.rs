//! The figures, as tables that can be pasted.

use std::{fmt, fs, process::Command, time::Duration};

use crate::{
    clicks,
    load::{Pace, Spans},
    notifications,
    server::Usage,
};

pub struct Report {
    pub database: String,
    /// Before and after the load: a shared disk drifts.
    pub fsync: [Spans; 2],
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
        let fsync = self
            .fsync
            .each_ref()
            .map(|spans| format!("{} / {}", ms(spans.quantile(0.5)), ms(spans.quantile(0.99))));
        let fsync = format!("{} → {}", fsync[0], fsync[1]);
        writeln!(f, "\n## {}\n", self.database)?;
        writeln!(f, "fdatasync of 8 KiB beside its data, p50 / p99, before → after: {fsync} ms\n")?;

        writeln!(
            f,
            "Notifications: verified, committed, acknowledged; applied by the worker in the same process.\n"
        )?;
        writeln!(
            f,
            "| load | acknowledged /s | p50 ms | p99 ms | max ms | paid /s | CPU µs until acknowledged | until paid | resident MB | others' CPU | fsync p50 / p99 ms |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for figure in &self.notifications {
            writeln!(
                f,
                "| {}, {} | {:.0} | {} | {} | {} | {:.0} | {} | {} | {} | {:.0} % | {fsync} |",
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
                figure.others * 100.0,
            )?;
        }

        writeln!(f, "\nClick to call-up: the order and the payment, beyond WeChat Pay's own time.\n")?;
        writeln!(
            f,
            "| load | WeChat Pay p50 ms | total p50 / p99 ms | overhead p50 ms | p99 ms | max ms | payment alone p50 / p99 ms | CPU µs | resident MB | others' CPU | fsync p50 / p99 ms |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for figure in &self.clicks {
            writeln!(
                f,
                "| {} clicks/s, {}, WeChat Pay + {} ms | {} | {} / {} | {} | {} | {} | {} / {} | {} | {} | {:.0} % | {fsync} |",
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
                figure.others * 100.0,
            )?;
        }
        let most = self.loaded.resident_max_kib / 1024;
        writeln!(
            f,
            "\nMemory of the server: {} MB idle, {most} MB at most.\n",
            self.idle.resident_kib / 1024
        )?;

        writeln!(f, "| floor | | |\n|---|---|---|")?;
        let ceiling =
            self.notifications.iter().map(|figure| figure.acknowledged_per_second).fold(0.0, f64::max);
        let at_half =
            self.notifications.first().map(|figure| figure.spans.quantile(0.99)).unwrap_or_default();
        let click = self.clicks.iter().map(|figure| figure.overhead.quantile(0.99)).max().unwrap_or_default();
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
