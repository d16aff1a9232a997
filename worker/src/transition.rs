//! The one place where the status of an order or a payment changes, and, in [`refund`], [`shipping`]
//! and [`delivery`], that of a refund, of shipping and of a delivery.
//!
//! A notification, an answer and our own question are roads to this gate. Behind it everything
//! that follows from a fact is written in the caller's transaction: both statuses, the money book,
//! the event, the case. Lock order: the order, then the payment or the refund, and the job last.

mod aftermath;
pub mod delivery;
pub mod refund;
pub mod shipping;

use std::time::Instant;

use entity::{
    Fen, MoneyEntryId, Timestamp, Txn, case, money_entry, order,
    order_event::{self, Entry, Kind, Source},
    payment::{self, Event},
};
use jobs::PushStatus;
use sea_orm::{
    ActiveEnum, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    TryIntoModel,
};
use serde_json::{Value, json};

use crate::{
    cases::{self, Noticed},
    facts::{Mismatch, Paid},
};

/// Something we learnt about a payment, with what came with it.
#[derive(Clone, Debug)]
pub enum Fact {
    Started,
    PrepayIssued(Prepay),
    OutcomeLost,
    FoundUnpaid,
    CreateRefused { code: String, message: String },
    NeverExisted,
    CloseRequested,
    CloseConfirmed,
    PaymentSucceeded(Paid),
}

/// What lets a payer pay.
#[derive(Clone, Debug)]
pub struct Prepay {
    pub prepay_id: Option<String>,
    pub code_url: Option<String>,
    pub call_up: Option<String>,
    pub expires_at: Timestamp,
}

/// What the gate did with a payment, or with a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved<Status = payment::Status, Illegal = payment::lifecycle::IllegalTransition> {
    /// It is something else now.
    To(Status),
    /// It was so already, or the fact was overtaken by another.
    Unchanged,
    /// This cannot happen to one that is what it is. Nothing was written.
    Refused(Illegal),
}

impl Fact {
    fn event(&self) -> Event {
        match self {
            Self::Started => Event::Started,
            Self::PrepayIssued(_) => Event::PrepayIssued,
            Self::OutcomeLost => Event::OutcomeLost,
            Self::FoundUnpaid => Event::FoundUnpaid,
            Self::CreateRefused { .. } => Event::CreateRefused,
            Self::NeverExisted => Event::NeverExisted,
            Self::CloseRequested => Event::CloseRequested,
            Self::CloseConfirmed => Event::CloseConfirmed,
            Self::PaymentSucceeded(_) => Event::PaymentSucceeded,
        }
    }
}

/// An order and one of its payments, as they are and as long as the transaction lasts.
#[derive(Debug)]
pub struct Pair {
    pub order: order::Model,
    pub payment: payment::Model,
}

/// Loads a payment with its order and keeps other writers of that order away.
pub async fn load(txn: &Txn, payment: &payment::Model) -> Result<Pair, DbErr> {
    let gone = || DbErr::RecordNotFound(format!("payment {} or its order", payment.id));
    // On SQLite the transaction is alone; on Postgres the order's row is what is waited for.
    let order = order::Entity::find_by_id(payment.order_id.clone())
        .lock_exclusive()
        .one(txn)
        .await?
        .ok_or_else(gone)?;
    let payment = payment::Entity::find_by_id(payment.id.clone()).one(txn).await?.ok_or_else(gone)?;
    Ok(Pair { order, payment })
}

/// Takes a fact in, and what follows from it for the rest of the order. The pair is what it was made.
pub async fn apply(txn: &Txn, pair: &mut Pair, fact: &Fact, learnt_from: Source) -> Result<Moved, DbErr> {
    let moved = move_payment(txn, pair, fact, learnt_from).await?;
    if let Moved::To(status) = moved
        && status.is_at_rest()
    {
        aftermath::follow(txn, pair).await?;
    }
    Ok(moved)
}

/// Moves an order that no fact about money moves: it is to be closed, or is. False if it stays.
pub async fn move_order(
    txn: &Txn,
    order: &mut order::Model,
    event: &order::Event,
    learnt_from: Source,
) -> Result<bool, DbErr> {
    let kind = match event {
        order::Event::CloseRequested | order::Event::Expired => Kind::OrderClosing,
        order::Event::CloseConfirmed => Kind::OrderClosed,
        // These come with a payment or a refund, never alone.
        order::Event::PaymentSucceeded | order::Event::RefundSucceeded { .. } => return Ok(false),
    };
    let Ok(after) = order.status.after(event) else { return Ok(false) };
    if after == order.status {
        return Ok(false);
    }
    let now = txn.now().await?;
    let entry = Entry::of_order(kind, now, learnt_from);
    record(txn, order, entry, |row| {
        row.status = Set(after);
        if after == order::Status::Closed {
            row.closed_at = Set(Some(now));
        }
    })
    .await?;
    Ok(true)
}

/// Writes the next event of an order, and asks for the shop to be told if it is told of such.
async fn record(
    txn: &Txn,
    order: &mut order::Model,
    entry: Entry<'_>,
    change: impl FnOnce(&mut order::ActiveModel),
) -> Result<(), DbErr> {
    let is_told = entry.kind.told_as().is_some();
    order_event::append(txn, order, entry, change).await?;
    if is_told { jobs::enqueue(txn, &PushStatus::of(&order.id)).await } else { Ok(()) }
}

async fn move_payment(txn: &Txn, pair: &mut Pair, fact: &Fact, learnt_from: Source) -> Result<Moved, DbErr> {
    let Pair { order, payment } = pair;
    let before = payment.status;
    let after = match before.after(&fact.event()) {
        Ok(after) => after,
        Err(refused) => return Ok(Moved::Refused(refused)),
    };
    if after == before && !refreshes(fact, before) {
        return Ok(Moved::Unchanged);
    }
    let surplus = matches!(fact, Fact::PaymentSucceeded(_)) && order.status.is_paid();

    let mut row = payment.clone().into_active_model();
    row.status = Set(after);
    match fact {
        Fact::PrepayIssued(prepay) => {
            row.prepay_id = Set(prepay.prepay_id.clone());
            row.code_url = Set(prepay.code_url.clone());
            row.call_up = Set(prepay.call_up.clone());
            row.prepay_expires_at = Set(Some(prepay.expires_at));
            row.not_found_at = Set(None);
        }
        Fact::CreateRefused { code, message } => {
            row.failure_code = Set(Some(code.clone()));
            row.failure_message = Set(Some(message.clone()));
        }
        Fact::PaymentSucceeded(paid) => {
            row.transaction_id = Set(Some(paid.transaction_id.clone()));
            row.payer_total = Set(paid.payer_total);
            row.bank_type = Set(paid.bank_type.clone());
            row.succeeded_at = Set(Some(paid.succeeded_at));
            row.surplus = Set(surplus);
        }
        Fact::FoundUnpaid => row.not_found_at = Set(None),
        Fact::Started
        | Fact::OutcomeLost
        | Fact::NeverExisted
        | Fact::CloseRequested
        | Fact::CloseConfirmed => {}
    }
    let moved = row.clone().try_into_model()?;
    let written = payment::Entity::update_many()
        .set(row)
        .filter(payment::Column::Id.eq(payment.id.clone()))
        .filter(payment::Column::Status.eq(before))
        .exec(txn)
        .await?;
    if written.rows_affected != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    *payment = moved;

    let now = txn.now().await?;
    count(txn, before, after, fact, learnt_from, now).await;
    if let Fact::PaymentSucceeded(paid) = fact {
        let kind = if surplus { money_entry::Kind::Surplus } else { money_entry::Kind::Payment };
        book(txn, payment, kind, &paid.transaction_id, payment.amount).await?;
        let surprise = match order.status {
            _ if surplus => Some(case::Kind::Surplus),
            order::Status::Closed => Some(case::Kind::LatePayment),
            _ => None,
        };
        if let Some(kind) = surprise {
            let noticed = Noticed {
                kind,
                merchant: &order.merchant,
                reference: paid.transaction_id.clone(),
                order: Some(&order.id),
                payment: Some(&payment.id),
                refund: None,
                amount: Some(payment.amount),
                detail: Value::Null,
            };
            cases::open(txn, noticed).await?;
        }
    }
    let entry = Entry {
        payment: Some((&payment.id, after)),
        detail: detail(fact, order),
        ..Entry::of_order(kind_of(fact, surplus), now, learnt_from)
    };
    // Never refused, whatever the order was; see the lifecycle's test of the same name.
    let paid = match (fact, order.status.after(&order::Event::PaymentSucceeded)) {
        (Fact::PaymentSucceeded(paid), Ok(status)) if !surplus => Some((status, paid.succeeded_at)),
        _ => None,
    };
    record(txn, order, entry, |row| {
        if let Some((status, paid_at)) = paid {
            row.status = Set(status);
            row.paid_at = Set(Some(paid_at));
        }
    })
    .await?;
    Ok(Moved::To(after))
}

/// Writes down that WeChat Pay said something about a payment that contradicts what we know.
/// Nothing moves. The same contradiction is written once.
pub async fn report_mismatch(
    txn: &Txn,
    pair: &mut Pair,
    mismatch: Mismatch,
    learnt_from: Source,
) -> Result<(), DbErr> {
    let Pair { order, payment } = pair;
    let noticed = Noticed {
        kind: case::Kind::Mismatch,
        merchant: &order.merchant,
        reference: format!("{}:{mismatch}", payment.id),
        order: Some(&order.id),
        payment: Some(&payment.id),
        refund: None,
        amount: Some(payment.amount),
        detail: json!({ "mismatch": mismatch.to_string() }),
    };
    let detail = noticed.detail.clone();
    if !cases::open(txn, noticed).await? {
        return Ok(());
    }
    let entry = Entry {
        payment: Some((&payment.id, payment.status)),
        detail: Some(detail),
        ..Entry::of_order(Kind::MismatchReported, txn.now().await?, learnt_from)
    };
    record(txn, order, entry, |_| {}).await
}

/// Counts how a payment ended, and how long after WeChat Pay took the money it was known here.
async fn count(
    txn: &Txn,
    before: payment::Status,
    after: payment::Status,
    fact: &Fact,
    learnt_from: Source,
    now: Timestamp,
) {
    if after == before || !after.is_at_rest() {
        return;
    }
    let looked_at = Instant::now();
    let unknown_for = match fact {
        Fact::PaymentSucceeded(paid) => Some(now.since(paid.succeeded_at)),
        _ => None,
    };
    txn.count_after_commit(move || {
        metrics::counter!("everpaid_payments_ended_total", "status" => after.to_value()).increment(1);
        if let Some(unknown_for) = unknown_for {
            metrics::histogram!("everpaid_payment_known_seconds", "source" => learnt_from.to_value())
                .record(unknown_for + looked_at.elapsed());
        }
    })
    .await;
}

/// Does the fact bring something new although the status stays? A fresh code does, for those who
/// may still use it.
fn refreshes(fact: &Fact, status: payment::Status) -> bool {
    matches!((fact, status), (Fact::PrepayIssued(_), payment::Status::AwaitingPayment))
}

async fn book(
    txn: &Txn,
    payment: &payment::Model,
    kind: money_entry::Kind,
    reference: &str,
    amount: Fen,
) -> Result<(), DbErr> {
    let entry = money_entry::ActiveModel {
        id: Set(MoneyEntryId::generate()),
        kind: Set(kind),
        reference: Set(reference.to_owned()),
        merchant: Set(payment.merchant.clone()),
        order_id: Set(payment.order_id.clone()),
        payment_id: Set(payment.id.clone()),
        amount: Set(amount),
        booked_at: Set(txn.now().await?),
    };
    money_entry::Entity::insert(entry).exec_without_returning(txn).await?;
    Ok(())
}

fn kind_of(fact: &Fact, surplus: bool) -> Kind {
    match fact {
        Fact::Started => Kind::PaymentStarted,
        Fact::PrepayIssued(_) => Kind::PrepayIssued,
        Fact::OutcomeLost => Kind::OutcomeLost,
        Fact::FoundUnpaid => Kind::FoundUnpaid,
        Fact::CreateRefused { .. } => Kind::CreateRefused,
        Fact::NeverExisted => Kind::NeverExisted,
        Fact::CloseRequested => Kind::CloseRequested,
        Fact::CloseConfirmed => Kind::CloseConfirmed,
        Fact::PaymentSucceeded(_) if surplus => Kind::SurplusReceived,
        Fact::PaymentSucceeded(_) => Kind::PaymentSucceeded,
    }
}

/// What a reader of the timeline wants beside the event. WeChat Pay's message is left out: it may
/// repeat what was sent.
fn detail(fact: &Fact, order: &order::Model) -> Option<Value> {
    match fact {
        Fact::CreateRefused { code, .. } => Some(json!({ "code": code })),
        Fact::PaymentSucceeded(paid) => {
            let late = matches!(order.status, order::Status::Closing | order::Status::Closed);
            let mut detail = json!({ "transaction_id": paid.transaction_id });
            if late {
                detail["late"] = json!(true);
            }
            Some(detail)
        }
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
