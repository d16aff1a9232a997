//! What a run came to, and how it is printed.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use entity::{Timestamp, money_entry};

use crate::{
    figures::Figures,
    oracle::{Findings, Witnesses},
    sink::Heard,
};

/// So many differences are printed.
const PRINTED: usize = 20;

/// What a run came to.
pub struct Report {
    pub(super) planned: u64,
    pub(super) findings: Findings,
    pub(super) figures: Figures,
    pub(super) faults: BTreeMap<String, u64>,
    /// From the end of a blow until the shop was told of the first payment that was made after it; the
    /// longest of each kind.
    pub(super) recovery: BTreeMap<String, Duration>,
    /// How long it took in fair weather until everything had come to its end.
    pub(super) settled_in: Duration,
    /// Payments that the page had to ask about in the end.
    pub(super) asked_about: usize,
    pub(super) placed_in: Duration,
    /// From the payment until the shop was told, in order.
    pub(super) told_after: Vec<Duration>,
    pub died_at_step: u64,
    pub(super) ended: u64,
    /// Tries to notify that were answered with 401.
    pub not_believed: u64,
    /// How many jobs were due at once, and how long they took.
    pub backlog: Option<(u32, Duration)>,
    /// Calls to WeChat Pay a second while it was away, and otherwise.
    pub calls: [f64; 2],
    /// By role, in KiB.
    pub(super) resident_max: BTreeMap<&'static str, u64>,
    /// What was written down, if something was wrong.
    pub(super) kept: Option<PathBuf>,
}

/// A blow that was struck.
pub(super) struct Struck {
    pub(super) name: String,
    /// By the machine's clock, which is the simulator's too.
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) shifts_time: bool,
    /// WeChat Pay was away.
    pub(super) is_outage: bool,
}

/// When each order was paid at WeChat Pay and when the shop was told so, both by the machine's clock; in
/// the order of the telling.
pub(super) fn paid_and_told(witnesses: &Witnesses, heard: &Heard) -> Vec<(Timestamp, Timestamp)> {
    let paid_at: BTreeMap<_, _> = witnesses
        .ledger
        .payments
        .iter()
        .map(|taken| (taken.transaction_id.as_str(), Timestamp(taken.paid_at_ms)))
        .collect();
    let of_order: BTreeMap<_, _> = witnesses
        .entries
        .iter()
        .filter(|entry| entry.kind == money_entry::Kind::Payment)
        .filter_map(|entry| Some((entry.order_id.as_str(), *paid_at.get(entry.reference.as_str())?)))
        .collect();
    let told = heard.events.values().filter(|event| event.kind == "order.paid");
    let mut spans: Vec<_> =
        told.filter_map(|event| Some((*of_order.get(event.order_id.as_str())?, event.heard_at))).collect();
    spans.sort_by_key(|(_, told_at)| *told_at);
    spans
}

pub(super) fn recoveries(told: &[(Timestamp, Timestamp)], struck: &[Struck]) -> BTreeMap<String, Duration> {
    let mut slowest: BTreeMap<String, Duration> = BTreeMap::new();
    for one in struck {
        if let Some((_, told_at)) = told.iter().find(|(paid_at, _)| *paid_at >= one.ended) {
            let span = slowest.entry(one.name.clone()).or_default();
            *span = told_at.since(one.ended).max(*span);
        }
    }
    slowest
}

/// Calls a second while WeChat Pay was away, and otherwise.
pub(super) fn calls_per_second(counts: &[(Timestamp, u64)], struck: &[Struck]) -> [f64; 2] {
    let is_away =
        |at: Timestamp| struck.iter().any(|one| one.is_outage && one.began <= at && at <= one.ended);
    let mut sums = [(0, Duration::ZERO); 2];
    for pair in counts.windows(2) {
        let [(from, before), (until, after)] = [pair[0], pair[1]];
        // What is only partly within says nothing.
        if is_away(from) == is_away(until) {
            let (calls, span) = &mut sums[usize::from(!is_away(from))];
            *calls += after - before;
            *span += until.since(from);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "no run makes 2^53 calls")]
    sums.map(|(calls, span)| calls as f64 / span.as_secs_f64().max(f64::MIN_POSITIVE))
}

impl Report {
    /// A system that does nothing does nothing wrong, and a run in which nothing happens proves nothing.
    pub fn is_good(&self) -> bool {
        self.findings.is_clean() && self.is_alive()
    }

    fn is_alive(&self) -> bool {
        self.figures.finished * 10 >= self.planned * 9
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        let slowest = self.recovery.iter().max_by_key(|(_, span)| **span);
        let slowest = slowest.map_or_else(
            || "none".to_owned(),
            |(what, span)| format!("{:.2} s after {what}", span.as_secs_f64()),
        );
        let memory = self.resident_max.iter().map(|(role, kib)| format!("{role} {} MiB", kib / 1024));
        let known = |came: bool| {
            self.figures.known(came).map_or_else(
                || "none".to_owned(),
                |[p50, p99, max]| format!("p50 {p50:.2} s p99 {p99:.2} s max {max:.2} s"),
            )
        };
        writeln!(
            f,
            "orders {}, payments {}, faults {} ({}), {}, slowest recovery {slowest}, \
             paid and known with notification {}, without {}, memory {}",
            self.figures.orders,
            self.figures.payments,
            self.faults.values().sum::<u64>(),
            list(&self.faults),
            self.findings,
            known(true),
            known(false),
            memory.collect::<Vec<_>>().join(", "),
        )?;
        write!(f, "{}", self.figures)?;
        let recovery = self.recovery.iter().map(|(what, span)| format!("{what} {:.2} s", span.as_secs_f64()));
        writeln!(f, "slowest recovery after each: {}", recovery.collect::<Vec<_>>().join(", "))?;
        if let Some(last) = self.told_after.len().checked_sub(1) {
            let [p50, p99, max] = [50, 99, 100].map(|part| self.told_after[last * part / 100].as_secs_f64());
            writeln!(f, "paid and told: p50 {p50:.2} s, p99 {p99:.2} s, max {max:.2} s")?;
        }
        writeln!(
            f,
            "sold in {:.0} s, at rest {:.1} s later, asked about in the end {}; died at a named step {}, ended \
             unasked {}",
            self.placed_in.as_secs_f64(),
            self.settled_in.as_secs_f64(),
            self.asked_about,
            self.died_at_step,
            self.ended
        )?;
        let [away, otherwise] = self.calls;
        writeln!(
            f,
            "calls to WeChat Pay a second: {away:.1} while it was away, {otherwise:.1} otherwise; \
             notifications not believed {}",
            self.not_believed
        )?;
        if let Some((count, drained_in)) = self.backlog {
            writeln!(f, "{count} jobs due at once were done in {:.1} s", drained_in.as_secs_f64())?;
        }
        for (kind, what) in self.findings.all().take(PRINTED) {
            writeln!(f, "  {kind}: {what}")?;
        }
        if !self.is_alive() {
            writeln!(f, "fewer than nine in ten orders came to their end")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "what was written down is in {}", kept.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(name: &str, began: i64, ended: i64) -> Struck {
        let (began, ended) = (Timestamp(began), Timestamp(ended));
        Struck { name: name.to_owned(), began, ended, shifts_time: false, is_outage: true }
    }

    #[test]
    fn recovery_is_until_the_first_payment_after_a_blow_is_told() {
        // Paid before the end of the first blow, and told after it; then one for each blow.
        let told =
            [(900, 1100), (1200, 1500), (3000, 3010)].map(|(at, told)| (Timestamp(at), Timestamp(told)));
        let blows = [struck("kill", 800, 1000), struck("kill", 2000, 2000), struck("late", 9000, 9000)];
        let slowest = recoveries(&told, &blows);
        assert_eq!(slowest, [("kill".to_owned(), Duration::from_millis(1010))].into());
    }

    #[test]
    fn calls_are_counted_apart_while_wechat_pay_is_away() {
        let counts = [(0, 0), (1000, 10), (2000, 12), (3000, 13), (4000, 33)];
        let counts = counts.map(|(at, calls)| (Timestamp(at), calls));
        // The second from 1000 to 2000 is only partly within.
        assert_eq!(calls_per_second(&counts, &[struck("away", 1500, 3500)]), [1.0, 10.0]);
    }
}
