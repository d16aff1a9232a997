//! Compares three witnesses: WeChat Pay's ledger, our books, and what the shop was told.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use entity::{
    Db, Fen, OrderId, PaymentId, case, job,
    money_entry::{self, Kind as Booked},
    notification, order, order_event, payment, refund, told_event, webhook_delivery,
};
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder, sea_query::Expr,
};
use simulator::{Ledger, RefundSource};

use crate::sink::Heard;

/// What is not as it should be, in words.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// True somewhere, and missing where it should be known.
    pub lost: Vec<String>,
    /// There more often than once.
    pub doubled: Vec<String>,
    /// Simply not true, or not allowed.
    pub wrong: Vec<String>,
    /// Nothing false, but something that nobody will do any more, or has not done yet.
    pub stuck: Vec<String>,
    /// Not told to the shop, or told without having happened.
    pub untold: Vec<String>,
}

/// What is no fault in this run, although it would be one in others.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// WeChat Pay denied what it had, and nobody can know better: such a payment is over here and payable
    /// there, until somebody pays it.
    pub denied: bool,
    /// A look at a payment that is over may wait for its rung: it will find so, and be done.
    pub looks: bool,
    /// The subjects of jobs that were planted, and that nobody can do.
    pub poison: HashSet<String>,
}

/// What both sides know in the end.
#[derive(Clone)]
pub struct Witnesses {
    pub ledger: Ledger,
    /// The numbers of the payments that WeChat Pay would still take money for.
    pub open: HashSet<String>,
    pub orders: Vec<order::Model>,
    pub payments: Vec<payment::Model>,
    pub refunds: Vec<refund::Model>,
    pub entries: Vec<money_entry::Model>,
    pub cases: Vec<case::Model>,
    /// As they happened to each order.
    pub events: Vec<order_event::Model>,
    pub told: Vec<told_event::Model>,
    pub deliveries: Vec<webhook_delivery::Model>,
    pub notifications: Vec<notification::Model>,
    pub jobs: Vec<job::Model>,
}

impl Witnesses {
    /// Our books beside WeChat Pay's ledger; what is `open` there has to be asked.
    pub async fn read(db: &Db, ledger: Ledger) -> anyhow::Result<Self> {
        let db = db.reader();
        Ok(Self {
            ledger,
            open: HashSet::new(),
            orders: order::Entity::find().all(db).await?,
            payments: payment::Entity::find().all(db).await?,
            refunds: refund::Entity::find().all(db).await?,
            entries: money_entry::Entity::find().all(db).await?,
            cases: case::Entity::find().all(db).await?,
            events: order_event::Entity::find().order_by_asc(order_event::Column::Seq).all(db).await?,
            told: told_event::Entity::find().all(db).await?,
            deliveries: webhook_delivery::Entity::find().all(db).await?,
            notifications: notification::Entity::find().all(db).await?,
            jobs: job::Entity::find().all(db).await?,
        })
    }

    /// The numbers that WeChat Pay took no money for.
    pub fn unpaid(&self) -> Vec<String> {
        let paid: HashSet<_> = self.ledger.payments.iter().map(|taken| &taken.out_trade_no).collect();
        let numbers = self.payments.iter().map(|payment| &payment.out_trade_no);
        numbers.filter(|number| !paid.contains(number)).cloned().collect()
    }

    /// Every promise, one after the other.
    pub fn judge(&self, heard: &Heard, allowed: &Allowed) -> Findings {
        let mut found = Findings::default();
        self.judge_payments(&mut found);
        self.judge_refunds(&mut found);
        self.judge_orders(allowed.denied, &mut found);
        self.judge_cases(&mut found);
        self.judge_rest(allowed, &mut found);
        self.judge_telling(heard, &mut found);
        found
    }

    /// Every payment that WeChat Pay took is booked once, with its amount, on its order; nothing else is.
    fn judge_payments(&self, found: &mut Findings) {
        let by_id: HashMap<&PaymentId, _> =
            self.payments.iter().map(|payment| (&payment.id, payment)).collect();
        let mut entries = self.entries_by_reference(|kind| matches!(kind, Booked::Payment | Booked::Surplus));
        for taken in &self.ledger.payments {
            let number = &taken.out_trade_no;
            let booked = entries.remove(taken.transaction_id.as_str()).unwrap_or_default();
            match booked.as_slice() {
                [] => found.lost.push(format!("{number} is paid and not booked")),
                [entry] => {
                    let payment = by_id.get(&entry.payment_id);
                    let fits = payment.is_some_and(|payment| {
                        payment.out_trade_no == *number
                            && payment.order_id == entry.order_id
                            && payment.status == payment::Status::Succeeded
                            && payment.surplus == (entry.kind == Booked::Surplus)
                    });
                    if entry.amount != Fen(taken.total) || !fits {
                        found.wrong.push(format!("{number} is booked as {entry:?} on {payment:?}"));
                    }
                }
                many => found.doubled.push(format!("{number} is booked {} times", many.len())),
            }
        }
        found
            .wrong
            .extend(entries.into_keys().map(|reference| format!("{reference} is booked and was never paid")));
    }

    /// The same for what went back.
    fn judge_refunds(&self, found: &mut Findings) {
        let by_number: HashMap<&str, _> =
            self.refunds.iter().map(|refund| (refund.out_refund_no.as_str(), refund)).collect();
        let mut entries =
            self.entries_by_reference(|kind| matches!(kind, Booked::Refund | Booked::SurplusRefund));
        let mut back: HashMap<&str, i64> = HashMap::new();
        for given in &self.ledger.refunds {
            let number = &given.out_refund_no;
            let Some(refund) = by_number.get(number.as_str()) else {
                if given.source == RefundSource::Api {
                    found.wrong.push(format!("refund {number} was never asked for here"));
                }
                continue;
            };
            if given.refund != refund.amount.0 {
                found.wrong.push(format!(
                    "refund {number} is of {} fen, asked were {:?}",
                    given.refund, refund.amount
                ));
            }
            let booked = entries.remove(given.refund_id.as_str()).unwrap_or_default();
            let is_done = given.status == "SUCCESS";
            if is_done {
                *back.entry(given.out_trade_no.as_str()).or_default() += given.refund;
            }
            match (is_done, booked.as_slice()) {
                (true, []) => found.lost.push(format!("refund {number} went back and is not booked")),
                (true, [entry])
                    if entry.amount.0 == given.refund && refund.status == refund::Status::Succeeded => {}
                (false, []) => {}
                (_, [_]) => found.wrong.push(format!("refund {number} is {} and {refund:?}", given.status)),
                (_, many) => found.doubled.push(format!("refund {number} is booked {} times", many.len())),
            }
        }
        found.wrong.extend(
            entries.into_keys().map(|reference| format!("{reference} is booked and never went back")),
        );
        for taken in &self.ledger.payments {
            if back.get(taken.out_trade_no.as_str()).is_some_and(|back| *back > taken.total) {
                found.wrong.push(format!("more than was paid went back of {}", taken.out_trade_no));
            }
        }
    }

    /// Orders are paid, refunded and closed if and only if the books say so.
    fn judge_orders(&self, denied: bool, found: &mut Findings) {
        let mut payments: HashMap<&OrderId, Vec<&payment::Model>> = HashMap::new();
        for payment in &self.payments {
            payments.entry(&payment.order_id).or_default().push(payment);
        }
        let mut events: HashMap<&OrderId, Vec<&order_event::Model>> = HashMap::new();
        for event in &self.events {
            events.entry(&event.order_id).or_default().push(event);
        }
        let mut books: HashMap<&OrderId, (usize, i64)> = HashMap::new();
        for entry in &self.entries {
            let book = books.entry(&entry.order_id).or_default();
            match entry.kind {
                Booked::Payment => book.0 += 1,
                Booked::Refund => book.1 += entry.amount.0,
                Booked::Surplus | Booked::SurplusRefund => {}
            }
        }
        for order in &self.orders {
            let (paid, back) = books.get(&order.id).copied().unwrap_or_default();
            let expected = match (paid, back) {
                (0, _) => order::Status::Closed,
                (_, 0) => order::Status::Paid,
                (_, back) if back == order.amount.0 => order::Status::Refunded,
                _ => order::Status::PartiallyRefunded,
            };
            let number = &order.merchant_order_no;
            match order.status {
                order::Status::Pending | order::Status::Closing => {
                    found.stuck.push(format!("order {number} is {:?}", order.status));
                }
                status if status != expected || order.refunded.0 != back => {
                    found.wrong.push(format!("order {number} is {status:?}, and should be {expected:?}"));
                }
                _ => {}
            }
            for payment in payments.get(&order.id).into_iter().flatten() {
                if !payment.status.is_at_rest() {
                    found.stuck.push(format!("payment {} is {:?}", payment.out_trade_no, payment.status));
                } else if self.open.contains(&payment.out_trade_no)
                    && !(denied && payment.status == payment::Status::Failed)
                {
                    let status = payment.status;
                    found.wrong.push(format!(
                        "{} is {status:?} and can be paid at WeChat Pay",
                        payment.out_trade_no
                    ));
                }
            }
            let mut seqs: Vec<_> =
                events.get(&order.id).into_iter().flatten().map(|event| event.seq).collect();
            seqs.sort_unstable();
            if !seqs.iter().copied().eq(1..=order.event_seq) {
                found.wrong.push(format!("order {number} has events {seqs:?} of {}", order.event_seq));
            }
        }
    }

    /// Money that nobody expected is a case, and a surplus went back or waits for a person.
    fn judge_cases(&self, found: &mut Findings) {
        let known: HashSet<_> =
            self.cases.iter().filter_map(|case| Some((case.kind, case.payment_id.as_ref()?))).collect();
        let waiting: HashSet<_> = self
            .cases
            .iter()
            .filter(|case| case.resolved_at.is_none())
            .filter_map(|case| case.payment_id.as_ref())
            .collect();
        let mut back: HashMap<&PaymentId, i64> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.kind == Booked::SurplusRefund) {
            *back.entry(&entry.payment_id).or_default() += entry.amount.0;
        }
        for surplus in self.entries.iter().filter(|entry| entry.kind == Booked::Surplus) {
            let payment = &surplus.payment_id;
            if !known.contains(&(case::Kind::Surplus, payment)) {
                found.lost.push(format!("surplus {payment} is no case"));
            }
            let went_back = back.get(payment).copied().unwrap_or_default();
            if went_back != surplus.amount.0 && !waiting.contains(payment) {
                found.lost.push(format!("{went_back} fen of surplus {payment} went back, and nobody knows"));
            }
        }
        let mut closed: HashSet<&OrderId> = HashSet::new();
        for event in &self.events {
            match event.kind {
                order_event::Kind::OrderClosed => drop(closed.insert(&event.order_id)),
                order_event::Kind::PaymentSucceeded if closed.contains(&event.order_id) => {
                    let payment = event.payment_id.as_ref();
                    if !payment.is_some_and(|id| known.contains(&(case::Kind::LatePayment, id))) {
                        found.lost.push(format!("late payment {payment:?} is no case"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Nothing is left to do, and nothing was given up.
    fn judge_rest(&self, allowed: &Allowed, found: &mut Findings) {
        let at_rest: HashSet<_> = self
            .payments
            .iter()
            .filter(|payment| payment.status.is_at_rest())
            .map(|payment| payment.id.as_str())
            .collect();
        for job in self.jobs.iter().filter(|job| !allowed.poison.contains(&job.subject)) {
            let is_look =
                allowed.looks && job.kind == "confirm_payment" && at_rest.contains(job.subject.as_str());
            // An abnormal refund was settled, and everything else has an end.
            if !(is_look || job.kind == "sweep_overdue") || job.dead_at.is_some() {
                found.stuck.push(format!("{} of {} is left: {:?}", job.kind, job.subject, job.last_error));
            }
        }
        for refund in self.refunds.iter().filter(|refund| !refund.status.is_at_rest()) {
            found.stuck.push(format!("refund {} is {:?}", refund.out_refund_no, refund.status));
        }
        for notification in &self.notifications {
            if notification.verdict == notification::Verdict::Received {
                found.stuck.push(format!("notification {} is not settled", notification.wechat_id));
            }
        }
    }

    /// The shop was told of everything, each thing once by its id, and of nothing else.
    fn judge_telling(&self, heard: &Heard, found: &mut Findings) {
        found.wrong.extend(heard.wrong.iter().cloned());
        let mut to_tell: BTreeMap<String, &order_event::Model> = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.kind.told_as().is_some()) {
            to_tell.insert(event.id.to_string(), event);
        }
        let mut successes: HashMap<&OrderId, usize> = HashMap::new();
        for (id, event) in &to_tell {
            if event.kind == order_event::Kind::PaymentSucceeded {
                *successes.entry(&event.order_id).or_default() += 1;
            }
            match heard.events.get(id) {
                None => found.untold.push(format!("{id} ({:?}) was not told", event.kind)),
                Some(told)
                    if told.order_id != event.order_id.as_str()
                        || event.kind.told_as().is_none_or(|kind| kind.word() != told.kind) =>
                {
                    found.wrong.push(format!("{id} was told as {} of order {}", told.kind, told.order_id));
                }
                Some(_) => {}
            }
        }
        for (order, times) in successes.into_iter().filter(|(_, times)| *times > 1) {
            found.doubled.push(format!("order {order} was paid {times} times"));
        }
        for id in heard.events.keys().filter(|id| !to_tell.contains_key(*id)) {
            found.wrong.push(format!("{id} was told and did not happen"));
        }
        let mut positions: Vec<_> = self.told.iter().map(|told| told.position).collect();
        positions.sort_unstable();
        let listed = i64::try_from(to_tell.len()).unwrap_or(i64::MAX);
        if !positions.iter().copied().eq(1..=listed) {
            found.untold.push(format!("{} of {} events are listed", positions.len(), to_tell.len()));
        }
        for order in self.orders.iter().filter(|order| order.told_seq != order.event_seq) {
            found.untold.push(format!("order {} is not told to its end", order.merchant_order_no));
        }
        for delivery in &self.deliveries {
            if delivery.status != webhook_delivery::Status::Delivered {
                found.untold.push(format!("delivery {} is {:?}", delivery.id, delivery.status));
            }
        }
    }

    fn entries_by_reference(
        &self,
        wanted: impl Fn(Booked) -> bool,
    ) -> HashMap<&str, Vec<&money_entry::Model>> {
        let mut entries: HashMap<&str, Vec<_>> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| wanted(entry.kind)) {
            entries.entry(entry.reference.as_str()).or_default().push(entry);
        }
        entries
    }
}

impl Findings {
    pub fn is_clean(&self) -> bool {
        self.all().next().is_none()
    }

    pub fn all(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let word = |word: &'static str| move |what| (word, what);
        let Self { lost, doubled, wrong, stuck, untold } = self;
        let (lost, doubled) = (lost.iter().map(word("lost")), doubled.iter().map(word("doubled")));
        let (wrong, stuck) = (wrong.iter().map(word("wrong")), stuck.iter().map(word("stuck")));
        lost.chain(doubled).chain(wrong).chain(stuck).chain(untold.iter().map(word("untold")))
    }

    pub fn add(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.wrong.extend(other.wrong);
        self.stuck.extend(other.stuck);
        self.untold.extend(other.untold);
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, wrong, stuck, untold } = self;
        write!(f, "lost {}, doubled {}, wrong {}, ", lost.len(), doubled.len(), wrong.len())?;
        write!(f, "stuck {}, untold {}", stuck.len(), untold.len())
    }
}

/// How much of each kind has not come to its end, in words; nothing if all of it has.
pub async fn unfinished(db: &Db) -> anyhow::Result<Vec<String>> {
    let db = db.reader();
    let open = [order::Status::Pending, order::Status::Closing];
    let orders = order::Entity::find().filter(order::Column::Status.is_in(open)).count(db).await?;
    let payments = payment::Entity::find()
        .filter(payment::Column::Status.is_in(payment::Status::NOT_AT_REST))
        .count(db)
        .await?;
    let refunds = refund::Entity::find()
        .filter(refund::Column::Status.is_in(refund::Status::NOT_AT_REST))
        .count(db)
        .await?;
    let deliveries = webhook_delivery::Entity::find()
        .filter(webhook_delivery::Column::Status.eq(webhook_delivery::Status::Pending))
        .count(db)
        .await?;
    let notifications = notification::Entity::find()
        .filter(notification::Column::Verdict.eq(notification::Verdict::Received))
        .count(db)
        .await?;
    let untold = order::Entity::find()
        .filter(Expr::col(order::Column::ToldSeq).ne(Expr::col(order::Column::EventSeq)))
        .count(db)
        .await?;
    let left = [
        ("orders", orders),
        ("payments", payments),
        ("refunds", refunds),
        ("notifications", notifications),
        ("untold orders", untold),
        ("deliveries", deliveries),
    ];
    Ok(left.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect())
}
