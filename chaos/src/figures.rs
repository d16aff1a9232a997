//! What a run comes to, in a few lines.

use std::{collections::BTreeMap, fmt, time::Duration};

use entity::{money_entry, order, order_event};

use crate::{oracle::Witnesses, sink::Heard};

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub orders: u64,
    /// At their end: paid, closed, given back.
    pub finished: u64,
    endings: BTreeMap<String, u64>,
    payments: u64,
    refunds: BTreeMap<String, u64>,
    told: u64,
    told_again: u64,
    refused_by_shop: u64,
    pub troubles: BTreeMap<String, u64>,
    /// From WeChat Pay's time of payment to our booking, by how it was learnt.
    known: BTreeMap<String, Vec<Duration>>,
}

impl Figures {
    pub fn add(&mut self, witnesses: &Witnesses, heard: &Heard) {
        self.orders += witnesses.orders.len() as u64;
        for order in &witnesses.orders {
            let is_over = order.status == order::Status::Closed || order.status.is_paid();
            self.finished += u64::from(is_over);
            *self.endings.entry(format!("{:?}", order.status)).or_default() += 1;
        }
        self.payments += witnesses.payments.len() as u64;
        for refund in &witnesses.refunds {
            *self.refunds.entry(format!("{:?}", refund.status)).or_default() += 1;
        }
        self.told += heard.events.len() as u64;
        self.told_again += heard.repeated;
        self.refused_by_shop += heard.refused;
        for event in &witnesses.events {
            if event.kind != order_event::Kind::PaymentSucceeded {
                continue;
            }
            let booked = witnesses.entries.iter().find(|entry| {
                entry.kind == money_entry::Kind::Payment
                    && Some(&entry.payment_id) == event.payment_id.as_ref()
            });
            let taken =
                witnesses.payments.iter().find(|payment| Some(&payment.id) == event.payment_id.as_ref());
            if let (Some(booked), Some(at)) = (booked, taken.and_then(|payment| payment.succeeded_at)) {
                let source = format!("{:?}", event.learnt_from).to_lowercase();
                self.known.entry(source).or_default().push(booked.booked_at.since(at));
            }
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "orders {}, finished {} ({})", self.orders, self.finished, list(&self.endings))?;
        writeln!(f, "payments {}, refunds: {}", self.payments, list(&self.refunds))?;
        writeln!(
            f,
            "told {}, told again {}, not taken by the shop {}",
            self.told, self.told_again, self.refused_by_shop
        )?;
        writeln!(f, "trouble, in waves: {}", list(&self.troubles))?;
        for (source, spans) in &self.known {
            let mut spans = spans.clone();
            spans.sort_unstable();
            let at = |part: usize| spans[(spans.len() - 1) * part / 100].as_secs();
            writeln!(
                f,
                "paid and known by {source}: {} times, p50 {} s, p99 {} s, max {} s",
                spans.len(),
                at(50),
                at(99),
                at(100)
            )?;
        }
        Ok(())
    }
}
