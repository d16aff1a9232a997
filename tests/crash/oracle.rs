//! Compares what the world outside knows with what is in the database.

use std::{collections::BTreeMap, fmt};

use anyhow::Context;
use entity::{
    Clock, Db, DbOptions, job, money_entry, notification, order, order_event, payment, refund, told_event,
};
use sea_orm::{EntityTrait, QueryOrder};

/// What WeChat Pay and the shop can show.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The money that WeChat Pay took.
    pub ledger: Vec<Taken>,
    /// The money that it gave back, or is about to.
    pub refunds: Vec<GivenBack>,
    /// The numbers of the payments that WeChat Pay would still take money for.
    pub open: Vec<String>,
    /// The orders whose creation was answered.
    pub answered: Vec<Answered>,
    /// The ids of the notifications that were answered with 204.
    pub taken_in: Vec<String>,
    /// What the shop was told: the bodies that came under each id.
    pub heard: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub struct Taken {
    pub out_trade_no: String,
    pub transaction_id: String,
    pub total: i64,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub struct GivenBack {
    pub out_refund_no: String,
    pub refund_id: String,
    pub out_trade_no: String,
    pub refund: i64,
    pub status: String,
}

#[derive(Clone, Debug)]
pub struct Answered {
    pub number: String,
    pub id: String,
    pub total: i64,
    /// What of it was to go back, as far as that was answered.
    pub given_back: Option<i64>,
}

/// What is in the database.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub orders: Vec<Order>,
    pub payments: Vec<Payment>,
    pub refunds: Vec<Refund>,
    pub entries: Vec<Entry>,
    pub notifications: Vec<Notification>,
    pub jobs: Vec<Job>,
    /// In the order of their positions.
    pub told: Vec<Told>,
}

#[derive(Clone, Debug)]
pub struct Told {
    pub id: String,
    pub position: i64,
    pub body: String,
}

#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    pub number: String,
    pub total: i64,
    pub status: order::Status,
    pub refunded: i64,
    pub event_seq: i64,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub seq: i64,
    pub kind: order_event::Kind,
}

#[derive(Clone, Debug)]
pub struct Payment {
    pub id: String,
    pub order_id: String,
    pub out_trade_no: String,
    pub status: payment::Status,
}

#[derive(Clone, Debug)]
pub struct Refund {
    pub order_id: String,
    pub out_refund_no: String,
    pub total: i64,
    pub status: refund::Status,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: money_entry::Kind,
    pub reference: String,
    pub order_id: String,
    pub payment_id: String,
    pub total: i64,
}

#[derive(Clone, Debug)]
pub struct Notification {
    pub wechat_id: String,
    pub is_settled: bool,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub kind: String,
    pub subject: String,
    pub is_leased: bool,
    pub is_dead: bool,
}

/// What is not as it should be, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub wrong: Vec<String>,
    /// Nothing false, but something that nobody will do any more, or has not done yet.
    pub unfinished: Vec<String>,
}

impl Findings {
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    fn lost(&mut self, is_lost: bool, what: impl FnOnce() -> String) {
        self.lost.extend(is_lost.then(what));
    }

    fn doubled(&mut self, is_doubled: bool, what: impl FnOnce() -> String) {
        self.doubled.extend(is_doubled.then(what));
    }

    fn wrong(&mut self, is_wrong: bool, what: impl FnOnce() -> String) {
        self.wrong.extend(is_wrong.then(what));
    }

    fn unfinished(&mut self, is_unfinished: bool, what: impl FnOnce() -> String) {
        self.unfinished.extend(is_unfinished.then(what));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, wrong, unfinished } = self;
        write!(f, "lost {}, doubled {}, wrong {}, ", lost.len(), doubled.len(), wrong.len())?;
        write!(f, "unfinished {}", unfinished.len())
    }
}

/// Every promise, one after the other.
pub fn compare(outside: &Outside, books: &Books) -> Findings {
    let mut found = Findings::default();
    // Every payment that WeChat Pay took is booked once, with its amount, on its order.
    let payments: BTreeMap<_, _> = books.payments.iter().map(|payment| (&payment.id, payment)).collect();
    for taken in &outside.ledger {
        let Taken { out_trade_no, transaction_id, total } = taken;
        let entries: Vec<_> =
            books.entries.iter().filter(|entry| entry.reference == *transaction_id).collect();
        found.lost(entries.is_empty(), || format!("{out_trade_no} is paid and not booked"));
        found.doubled(entries.len() > 1, || format!("{out_trade_no} is booked {} times", entries.len()));
        for entry in entries {
            let payment = payments.get(&entry.payment_id);
            found.wrong(entry.total != *total, || {
                format!("{out_trade_no}: {total} fen were paid, {} booked", entry.total)
            });
            found.wrong(entry.kind != money_entry::Kind::Payment, || {
                format!("{out_trade_no} is booked as {:?}", entry.kind)
            });
            let is_its_own = payment.is_some_and(|payment| {
                payment.out_trade_no == *out_trade_no && payment.order_id == entry.order_id
            });
            found.wrong(!is_its_own, || format!("{out_trade_no} is booked on another payment or order"));
            let is_succeeded = payment.is_some_and(|payment| payment.status == payment::Status::Succeeded);
            found.wrong(!is_succeeded, || format!("{out_trade_no} is booked and has not succeeded"));
        }
    }

    // Every refund is booked once, as what it is, and none was made twice.
    for given in &outside.refunds {
        let GivenBack { out_refund_no, refund_id, out_trade_no, refund: total, status } = given;
        found.unfinished(status != "SUCCESS", || format!("refund {out_refund_no} is {status}"));
        let entries: Vec<_> = books.entries.iter().filter(|entry| entry.reference == *refund_id).collect();
        found.lost(entries.is_empty(), || format!("{out_refund_no} went back and is not booked"));
        found.doubled(entries.len() > 1, || format!("{out_refund_no} is booked {} times", entries.len()));
        for entry in entries {
            let payment = payments.get(&entry.payment_id);
            found.wrong(entry.total != *total || entry.kind != money_entry::Kind::Refund, || {
                format!("{out_refund_no}: {total} fen went back, {} booked as {:?}", entry.total, entry.kind)
            });
            found.wrong(payment.is_none_or(|payment| payment.out_trade_no != *out_trade_no), || {
                format!("{out_refund_no} is booked on another payment")
            });
        }
        let refund = books.refunds.iter().find(|refund| refund.out_refund_no == *out_refund_no);
        found.wrong(refund.is_none_or(|refund| refund.total != *total), || {
            format!("{out_refund_no} is not what was asked for: {refund:?}")
        });
        let of_payment = outside.refunds.iter().filter(|other| other.out_trade_no == *out_trade_no);
        found.doubled(of_payment.count() > 1, || format!("{out_trade_no} was given back more than once"));
    }
    for refund in &books.refunds {
        let Refund { out_refund_no, status, .. } = refund;
        found.unfinished(!status.is_at_rest(), || format!("refund {out_refund_no} is {status:?}"));
        found.wrong(matches!(status, refund::Status::Refused | refund::Status::Closed), || {
            format!("refund {out_refund_no} is {status:?}")
        });
    }

    // Nothing else is booked.
    for entry in &books.entries {
        let is_taken = outside.ledger.iter().any(|taken| taken.transaction_id == entry.reference);
        let is_given = outside.refunds.iter().any(|given| given.refund_id == entry.reference);
        found.wrong(!is_taken && !is_given, || {
            format!("{} is booked and never was in the ledger", entry.reference)
        });
    }

    // Orders are as they were promised, and paid if and only if the ledger says so.
    for Answered { number, id, total, given_back } in &outside.answered {
        let of_order = books.refunds.iter().filter(|refund| refund.order_id == *id);
        let asked: i64 = of_order.map(|refund| refund.total).sum();
        found.lost(asked < given_back.unwrap_or_default(), || {
            format!("a refund of order {number} was answered and is gone")
        });
        let orders: Vec<_> = books.orders.iter().filter(|order| order.number == *number).collect();
        found.lost(orders.is_empty(), || format!("order {number} was answered and is gone"));
        found.doubled(orders.len() > 1, || format!("there are {} orders {number}", orders.len()));
        for order in orders {
            found.wrong(order.id != *id || order.total != *total, || {
                format!("order {number} is not what was answered: {} of {} fen", order.id, order.total)
            });
        }
    }
    for order in &books.orders {
        let number = &order.number;
        let paid = books
            .payments
            .iter()
            .filter(|payment| payment.order_id == order.id)
            .filter(|payment| outside.ledger.iter().any(|taken| taken.out_trade_no == payment.out_trade_no))
            .count();
        found.doubled(paid > 1, || format!("the payer of {number} paid {paid} times"));
        let (is_paid_for, status) = (paid > 0, order.status);
        let of_order = books.entries.iter().filter(|entry| entry.order_id == order.id);
        let back: i64 =
            of_order.filter(|entry| entry.kind == money_entry::Kind::Refund).map(|entry| entry.total).sum();
        let should_be = match back {
            0 => order::Status::Paid,
            part if part < order.total => order::Status::PartiallyRefunded,
            _ => order::Status::Refunded,
        };
        found.lost(is_paid_for && status != should_be, || {
            format!("order {number} is paid for, {back} of {} went back, and it is {status:?}", order.total)
        });
        found.wrong(order.refunded != back, || {
            format!("order {number} says that {} went back, the book says {back}", order.refunded)
        });
        let may_be = [order::Status::Pending, order::Status::Closing, order::Status::Closed];
        found.wrong(!is_paid_for && !may_be.contains(&status), || {
            format!("order {number} is not paid for and {status:?}")
        });
        found.unfinished(status == order::Status::Closing, || format!("order {number} is being closed"));
        for payment in books.payments.iter().filter(|payment| payment.order_id == order.id) {
            let out_trade_no = &payment.out_trade_no;
            let is_open = outside.open.contains(out_trade_no);
            found.wrong(is_open && payment.status.is_at_rest(), || {
                format!("{out_trade_no} is {:?} here and can be paid at WeChat Pay", payment.status)
            });
            found.wrong(is_open && status == order::Status::Closed, || {
                format!("order {number} is closed and {out_trade_no} can be paid")
            });
        }
        let seqs: Vec<i64> = order.events.iter().map(|event| event.seq).collect();
        let gapless: Vec<i64> = (1..=order.event_seq).collect();
        found.wrong(seqs != gapless, || format!("order {number} has events {seqs:?} of {}", order.event_seq));
        let successes =
            order.events.iter().filter(|event| event.kind == order_event::Kind::PaymentSucceeded).count();
        found.doubled(successes > 1, || format!("order {number} succeeded {successes} times"));
    }

    // The shop was told of everything that it is told of, and of nothing else.
    for event in books.orders.iter().flat_map(|order| &order.events) {
        let times = books.told.iter().filter(|told| told.id == event.id).count();
        found
            .unfinished(event.kind.told_as().is_some() && times == 0, || format!("{} is not told", event.id));
        found.doubled(times > usize::from(event.kind.told_as().is_some()), || {
            format!("{} is told {times} times", event.id)
        });
    }
    let positions: Vec<i64> = books.told.iter().map(|told| told.position).collect();
    let gapless: Vec<i64> = (1..).take(positions.len()).collect();
    found.wrong(positions != gapless, || format!("what was told has the positions {positions:?}"));
    for Told { id, body, .. } in &books.told {
        let heard = outside.heard.get(id);
        found.unfinished(heard.is_none(), || format!("{id} was not heard"));
        let differs = heard.is_some_and(|bodies| bodies.iter().any(|heard| heard != body));
        found.wrong(differs, || format!("{id} was heard with other bytes"));
    }
    for id in outside.heard.keys() {
        found.wrong(!books.told.iter().any(|told| told.id == *id), || format!("{id} was heard and not told"));
    }

    // What was acknowledged is there, and somebody has looked inside.
    for id in &outside.taken_in {
        let is_there = books.notifications.iter().any(|notification| notification.wechat_id == *id);
        found.lost(!is_there, || format!("notification {id} was acknowledged and is gone"));
    }
    for Notification { wechat_id, is_settled } in &books.notifications {
        found.unfinished(!is_settled, || format!("notification {wechat_id} is not settled"));
    }

    // Nothing is left to do but to look again, and nothing is forgotten.
    for Job { kind, subject, is_leased, is_dead } in &books.jobs {
        found.unfinished(*is_dead, || format!("{kind} of {subject} is dead"));
        found.unfinished(*is_leased, || format!("{kind} of {subject} is leased"));
        let is_of_pending =
            books.orders.iter().any(|order| order.id == *subject && order.status == order::Status::Pending);
        let may_wait = ["confirm_payment", "sweep_overdue"].contains(&kind.as_str())
            || (kind == "close_order" && is_of_pending);
        found.unfinished(!may_wait, || format!("{kind} of {subject} is not done"));
    }
    for payment in &books.payments {
        let is_looked_after = books.jobs.iter().any(|job| job.subject == payment.id && !job.is_dead);
        found.unfinished(!payment.status.is_at_rest() && !is_looked_after, || {
            format!("payment {} is {:?} and has no job", payment.out_trade_no, payment.status)
        });
    }
    found
}

impl Books {
    /// Reads everything. Not of one moment while a server runs.
    pub async fn read(db: &Db) -> anyhow::Result<Self> {
        let reader = db.reader();
        let mut events: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for event in order_event::Entity::find().all(reader).await.context("reading events")? {
            let of_order = events.entry(event.order_id.to_string()).or_default();
            of_order.push(Event { id: event.id.to_string(), seq: event.seq, kind: event.kind });
        }
        for of_order in events.values_mut() {
            of_order.sort_by_key(|event| event.seq);
        }
        let orders = order::Entity::find().all(reader).await.context("reading orders")?;
        let orders = orders.into_iter().map(|order| Order {
            events: events.remove(order.id.as_str()).unwrap_or_default(),
            id: order.id.to_string(),
            number: order.merchant_order_no,
            total: order.amount.0,
            status: order.status,
            refunded: order.refunded.0,
            event_seq: order.event_seq,
        });
        let payments = payment::Entity::find().all(reader).await.context("reading payments")?;
        let payments = payments.into_iter().map(|payment| Payment {
            id: payment.id.to_string(),
            order_id: payment.order_id.to_string(),
            out_trade_no: payment.out_trade_no,
            status: payment.status,
        });
        let refunds = refund::Entity::find().all(reader).await.context("reading refunds")?;
        let refunds = refunds.into_iter().map(|refund| Refund {
            order_id: refund.order_id.to_string(),
            out_refund_no: refund.out_refund_no,
            total: refund.amount.0,
            status: refund.status,
        });
        let entries = money_entry::Entity::find().all(reader).await.context("reading money entries")?;
        let entries = entries.into_iter().map(|entry| Entry {
            kind: entry.kind,
            reference: entry.reference,
            order_id: entry.order_id.to_string(),
            payment_id: entry.payment_id.to_string(),
            total: entry.amount.0,
        });
        let notifications =
            notification::Entity::find().all(reader).await.context("reading notifications")?;
        let notifications = notifications.into_iter().map(|notification| Notification {
            is_settled: notification.verdict != notification::Verdict::Received,
            wechat_id: notification.wechat_id,
        });
        let jobs = job::Entity::find().all(reader).await.context("reading jobs")?;
        let jobs = jobs.into_iter().map(|job| Job {
            is_leased: job.lease.is_some(),
            is_dead: job.dead_at.is_some(),
            kind: job.kind,
            subject: job.subject,
        });
        let told = told_event::Entity::find()
            .order_by_asc(told_event::Column::Position)
            .all(reader)
            .await
            .context("reading what was told")?;
        let told = told.into_iter().map(|told| Told {
            id: told.id.to_string(),
            position: told.position,
            body: told.body,
        });
        Ok(Self {
            told: told.collect(),
            orders: orders.collect(),
            payments: payments.collect(),
            refunds: refunds.collect(),
            entries: entries.collect(),
            notifications: notifications.collect(),
            jobs: jobs.collect(),
        })
    }
}

/// Every job that is left, for a person who wonders why.
pub async fn jobs_left(url: &str) -> anyhow::Result<String> {
    let db = open(url).await?;
    let now = db.now().await?.0;
    let jobs = job::Entity::find().all(db.reader()).await.context("reading jobs")?;
    db.close().await?;
    let lines = jobs.into_iter().map(|job| {
        let job::Model { kind, subject, runs, unfinished, failures, last_error, .. } = job;
        let (due_in, leased, dead) = (job.due_at.0 - now, job.lease.is_some(), job.dead_at.is_some());
        format!(
            "{kind} {subject}: due in {due_in} ms, leased {leased}, dead {dead}, runs {runs}, \
             unfinished {unfinished}, failures {failures}, last error {last_error:?}\n"
        )
    });
    Ok(lines.collect())
}

/// Opens a database beside whoever else has it open.
pub async fn open(url: &str) -> anyhow::Result<Db> {
    let options = DbOptions { writers: 1, readers: 1, ..DbOptions::new(url) };
    Db::open(&options, Clock::System).await.context("opening the database")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparison_sees_what_it_is_there_to_see() {
        use order_event::Kind::PrepayIssued;
        check("nothing wrong", |_, _| {}, "lost 0, doubled 0, wrong 0, unfinished 0");
        check(
            "no entry",
            |_, books| drop(books.entries.remove(0)),
            "lost 1, doubled 0, wrong 0, unfinished 0",
        );
        // The entry, the order's status and what it says that went back.
        check(
            "no entry of a refund",
            |_, books| drop(books.entries.remove(1)),
            "lost 2, doubled 0, wrong 1, unfinished 0",
        );
        // Seen from either refund; the second is not booked, and nobody asked for it.
        check(
            "given back twice",
            |outside, _| {
                let again = GivenBack {
                    out_refund_no: "BACK2".to_owned(),
                    refund_id: "R2".to_owned(),
                    ..outside.refunds[0].clone()
                };
                outside.refunds.push(again);
            },
            "lost 1, doubled 2, wrong 1, unfinished 0",
        );
        // The entry and the refund.
        check(
            "another amount given back",
            |outside, _| outside.refunds[0].refund += 1,
            "lost 0, doubled 0, wrong 2, unfinished 0",
        );
        check(
            "never given back",
            |outside, _| outside.refunds.clear(),
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "an answered refund is gone",
            |_, books| books.refunds.clear(),
            "lost 1, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "a refund is on its way",
            |_, books| books.refunds[0].status = refund::Status::Processing,
            "lost 0, doubled 0, wrong 0, unfinished 1",
        );
        check(
            "more says the order than the book",
            |_, books| books.orders[0].refunded += 1,
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "two entries",
            |_, books| books.entries.push(books.entries[0].clone()),
            "lost 0, doubled 1, wrong 0, unfinished 0",
        );
        check(
            "wrong amount",
            |_, books| books.entries[0].total += 1,
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "wrong order",
            |_, books| books.entries[0].order_id = "ord_2".to_owned(),
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "booked as surplus",
            |_, books| books.entries[0].kind = money_entry::Kind::Surplus,
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        // The entry without a payment, the payment that did not succeed, and the order.
        check("never paid", |outside, _| outside.ledger.clear(), "lost 0, doubled 0, wrong 2, unfinished 0");
        check(
            "paid and pending",
            |_, books| books.orders[0].status = order::Status::Pending,
            "lost 1, doubled 0, wrong 0, unfinished 0",
        );
        check(
            "paid without money",
            |_, books| books.orders[1].status = order::Status::Paid,
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "an order is gone",
            |_, books| drop(books.orders.pop()),
            "lost 1, doubled 0, wrong 0, unfinished 0",
        );
        check(
            "an event is missing",
            |_, books| books.orders[0].events.retain(|event| event.seq != 2),
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "nothing was heard",
            |outside, _| outside.heard.clear(),
            "lost 0, doubled 0, wrong 0, unfinished 2",
        );
        // Nor is it known who said what was heard.
        check("nothing was told", |_, books| books.told.clear(), "lost 0, doubled 0, wrong 2, unfinished 2");
        check(
            "other bytes were told",
            |_, books| books.told[0].body.push(' '),
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "a position is left out",
            |_, books| books.told[0].position = 3,
            "lost 0, doubled 0, wrong 1, unfinished 0",
        );
        check(
            "told of what nobody is told of",
            |_, books| books.orders[0].events[3].kind = PrepayIssued,
            "lost 0, doubled 1, wrong 0, unfinished 0",
        );
        check(
            "a notification is gone",
            |_, books| books.notifications.clear(),
            "lost 1, doubled 0, wrong 0, unfinished 0",
        );
        check(
            "a notification lies there",
            |_, books| books.notifications[0].is_settled = false,
            "lost 0, doubled 0, wrong 0, unfinished 1",
        );
        check("nobody will look", |_, books| books.jobs.clear(), "lost 0, doubled 0, wrong 0, unfinished 1");
        check(
            "closed here and open there",
            |outside, books| {
                outside.open.push(books.payments[1].out_trade_no.clone());
                books.payments[1].status = payment::Status::Closed;
                books.orders[1].status = order::Status::Closed;
            },
            "lost 0, doubled 0, wrong 2, unfinished 0",
        );
        check(
            "an order hangs in its end",
            |_, books| books.orders[1].status = order::Status::Closing,
            "lost 0, doubled 0, wrong 0, unfinished 1",
        );
        check(
            "a run has not ended",
            |_, books| books.jobs[0].is_leased = true,
            "lost 0, doubled 0, wrong 0, unfinished 1",
        );
        // It is dead, and so nobody will look.
        check(
            "a job is dead",
            |_, books| books.jobs[0].is_dead = true,
            "lost 0, doubled 0, wrong 0, unfinished 2",
        );
        check(
            "a create is not done",
            |_, books| books.jobs[0].kind = "request_prepay".to_owned(),
            "lost 0, doubled 0, wrong 0, unfinished 1",
        );
    }

    /// Doctors a good ending, one paid order and one unpaid, and compares.
    fn check(what: &str, doctor: impl FnOnce(&mut Outside, &mut Books), expected: &str) {
        use order_event::Kind::{
            OrderCreated, PaymentCreated, PaymentSucceeded, PrepayIssued, RefundSucceeded,
        };
        let order = |n: i64, status, kinds: &[order_event::Kind]| Order {
            id: format!("ord_{n}"),
            number: format!("N-{n}"),
            total: 100 + n,
            status,
            refunded: 0,
            event_seq: i64::try_from(kinds.len()).unwrap(),
            events: (1..)
                .zip(kinds)
                .map(|(seq, kind)| Event { id: format!("evt_{n}_{seq}"), seq, kind: *kind })
                .collect(),
        };
        let entry = |kind, reference: &str, total| Entry {
            kind,
            reference: reference.to_owned(),
            order_id: "ord_1".to_owned(),
            payment_id: "pay_1".to_owned(),
            total,
        };
        let payment = |n: i64, status| Payment {
            id: format!("pay_{n}"),
            order_id: format!("ord_{n}"),
            out_trade_no: format!("OUT{n}"),
            status,
        };
        let answered = |n: i64| Answered {
            number: format!("N-{n}"),
            id: format!("ord_{n}"),
            total: 100 + n,
            given_back: (n == 1).then_some(40),
        };
        let mut books = Books {
            orders: vec![
                Order {
                    refunded: 40,
                    ..order(
                        1,
                        order::Status::PartiallyRefunded,
                        &[OrderCreated, PaymentCreated, PrepayIssued, PaymentSucceeded, RefundSucceeded],
                    )
                },
                order(2, order::Status::Pending, &[OrderCreated, PaymentCreated, PrepayIssued]),
            ],
            payments: vec![
                payment(1, payment::Status::Succeeded),
                payment(2, payment::Status::AwaitingPayment),
            ],
            refunds: vec![Refund {
                order_id: "ord_1".to_owned(),
                out_refund_no: "BACK1".to_owned(),
                total: 40,
                status: refund::Status::Succeeded,
            }],
            entries: vec![
                entry(money_entry::Kind::Payment, "T1", 101),
                entry(money_entry::Kind::Refund, "R1", 40),
            ],
            notifications: vec![Notification { wechat_id: "W1".to_owned(), is_settled: true }],
            jobs: vec![Job {
                kind: "confirm_payment".to_owned(),
                subject: "pay_2".to_owned(),
                is_leased: false,
                is_dead: false,
            }],
            told: [("evt_1_4", 1), ("evt_1_5", 2)]
                .map(|(id, position)| Told { id: id.to_owned(), position, body: "{}".to_owned() })
                .into(),
        };
        let mut outside = Outside {
            ledger: vec![Taken {
                out_trade_no: "OUT1".to_owned(),
                transaction_id: "T1".to_owned(),
                total: 101,
            }],
            refunds: vec![GivenBack {
                out_refund_no: "BACK1".to_owned(),
                refund_id: "R1".to_owned(),
                out_trade_no: "OUT1".to_owned(),
                refund: 40,
                status: "SUCCESS".to_owned(),
            }],
            open: vec![],
            answered: vec![answered(1), answered(2)],
            taken_in: vec!["W1".to_owned()],
            heard: ["evt_1_4", "evt_1_5"].map(|id| (id.to_owned(), vec!["{}".to_owned()])).into(),
        };
        doctor(&mut outside, &mut books);
        let found = compare(&outside, &books);
        assert_eq!(found.to_string(), expected, "{what}: {found:?}");
    }
}
