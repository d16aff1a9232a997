//! What a run comes to, in a few lines.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use entity::{Timestamp, money_entry, order, order_event};

use crate::{oracle::Witnesses, sink::Heard};

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub orders: u64,
    /// At their end: paid, closed, given back.
    pub finished: u64,
    endings: BTreeMap<String, u64>,
    pub payments: u64,
    refunds: BTreeMap<String, u64>,
    cases: BTreeMap<String, u64>,
    told: u64,
    told_again: u64,
    refused_by_shop: u64,
    troubles: BTreeMap<String, u64>,
    /// From WeChat Pay's time of payment to our booking, by how it was learnt.
    known: BTreeMap<String, Vec<Duration>>,
}

impl Figures {
    /// What it came to, and by which troubles.
    ///
    /// What was paid at a moment that `is_dated` does not vouch for is left out of the times.
    pub fn of(
        troubles: impl Iterator<Item = String>,
        witnesses: &Witnesses,
        heard: &Heard,
        is_dated: impl Fn(Timestamp) -> bool,
    ) -> Self {
        let mut figures = Self {
            orders: witnesses.orders.len() as u64,
            payments: witnesses.payments.len() as u64,
            told: heard.events.len() as u64,
            told_again: heard.repeated,
            refused_by_shop: heard.refused,
            ..Self::default()
        };
        for trouble in troubles {
            *figures.troubles.entry(trouble).or_default() += 1;
        }
        for order in &witnesses.orders {
            let is_over = order.status == order::Status::Closed || order.status.is_paid();
            figures.finished += u64::from(is_over);
            *figures.endings.entry(format!("{:?}", order.status)).or_default() += 1;
        }
        for refund in &witnesses.refunds {
            *figures.refunds.entry(format!("{:?}", refund.status)).or_default() += 1;
        }
        for case in &witnesses.cases {
            *figures.cases.entry(format!("{:?}", case.kind)).or_default() += 1;
        }
        let booked: HashMap<_, _> = witnesses
            .entries
            .iter()
            .filter(|entry| entry.kind == money_entry::Kind::Payment)
            .map(|entry| (&entry.payment_id, entry.booked_at))
            .collect();
        let paid_at: HashMap<_, _> = witnesses
            .ledger
            .payments
            .iter()
            .map(|taken| (&taken.out_trade_no, Timestamp(taken.paid_at_ms)))
            .collect();
        let taken: HashMap<_, _> = witnesses
            .payments
            .iter()
            .filter_map(|payment| Some((&payment.id, *paid_at.get(&payment.out_trade_no)?)))
            .collect();
        for event in &witnesses.events {
            if event.kind != order_event::Kind::PaymentSucceeded {
                continue;
            }
            let times = event.payment_id.as_ref().and_then(|id| booked.get(id).zip(taken.get(id)));
            if let Some((booked, taken)) = times.filter(|(_, taken)| is_dated(**taken)) {
                let source = format!("{:?}", event.learnt_from).to_lowercase();
                figures.known.entry(source).or_default().push(booked.since(*taken));
            }
        }
        figures
    }

    /// From the payment to its booking in seconds: p50, p99 and the longest, of those that a notification
    /// came for or of the others.
    pub fn known(&self, by_notification: bool) -> Option<[f64; 3]> {
        let is_wanted = |source: &str| (source == "notification") == by_notification;
        let spans = self.known.iter().filter(|(source, _)| is_wanted(source)).flat_map(|(_, spans)| spans);
        let mut spans: Vec<_> = spans.collect();
        spans.sort_unstable();
        let last = spans.len().checked_sub(1)?;
        Some([50, 99, 100].map(|part| spans[last * part / 100].as_secs_f64()))
    }

    pub fn add(&mut self, other: Self) {
        let Self { orders, finished, endings, payments, refunds, told, told_again, refused_by_shop, .. } =
            other;
        self.orders += orders;
        self.finished += finished;
        self.payments += payments;
        self.told += told;
        self.told_again += told_again;
        self.refused_by_shop += refused_by_shop;
        let counts = [
            (&mut self.endings, endings),
            (&mut self.refunds, refunds),
            (&mut self.cases, other.cases),
            (&mut self.troubles, other.troubles),
        ];
        for (mine, theirs) in counts {
            for (what, count) in theirs {
                *mine.entry(what).or_default() += count;
            }
        }
        for (source, spans) in other.known {
            self.known.entry(source).or_default().extend(spans);
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "orders {}, finished {} ({})", self.orders, self.finished, list(&self.endings))?;
        writeln!(
            f,
            "payments {}, refunds: {}; cases: {}",
            self.payments,
            list(&self.refunds),
            list(&self.cases)
        )?;
        writeln!(
            f,
            "told {}, told again {}, not taken by the shop {}",
            self.told, self.told_again, self.refused_by_shop
        )?;
        writeln!(f, "trouble: {}", list(&self.troubles))?;
        for (source, spans) in &self.known {
            let mut spans = spans.clone();
            spans.sort_unstable();
            let at = |part: usize| spans[(spans.len() - 1) * part / 100].as_secs_f64();
            writeln!(
                f,
                "paid and known by {source}: {} times, p50 {:.1} s, p99 {:.1} s, max {:.1} s",
                spans.len(),
                at(50),
                at(99),
                at(100)
            )?;
        }
        Ok(())
    }
}
