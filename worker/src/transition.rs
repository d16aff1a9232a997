//! The one place where the status of an order or a payment changes.
//!
//! A notification, an answer and our own question are roads to this gate. Behind it everything
//! that follows from a fact is written in the caller's transaction: both statuses, the money book,
//! the event. Lock order: the order, then the payment, and the job last.

mod aftermath;

use entity::{
    MoneyEntryId, Timestamp, Txn, money_entry, order,
    order_event::{self, Entry, Kind, Source},
    payment::{self, Event},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    TryIntoModel,
};
use serde_json::json;

use crate::facts::{Mismatch, Paid};

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

/// What the gate did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The payment is something else now.
    To(payment::Status),
    /// It was so already, or the fact was overtaken by another.
    Unchanged,
    /// This cannot happen to a payment that is what it is. Nothing was written.
    Refused(payment::lifecycle::IllegalTransition),
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
    let entry = Entry { kind, at: now, learnt_from, payment: None, detail: None };
    order_event::append(txn, order, entry, |row| {
        row.status = Set(after);
        if after == order::Status::Closed {
            row.closed_at = Set(Some(now));
        }
    })
    .await?;
    Ok(true)
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
    if let Fact::PaymentSucceeded(paid) = fact {
        let kind = if surplus { money_entry::Kind::Surplus } else { money_entry::Kind::Payment };
        book(txn, order, payment, kind, &paid.transaction_id, now).await?;
    }
    let entry = Entry {
        kind: kind_of(fact, surplus),
        at: now,
        learnt_from,
        payment: Some((&payment.id, after)),
        detail: detail(fact, order),
    };
    // Never refused, whatever the order was; see the lifecycle's test of the same name.
    let paid = match (fact, order.status.after(&order::Event::PaymentSucceeded)) {
        (Fact::PaymentSucceeded(paid), Ok(status)) if !surplus => Some((status, paid.succeeded_at)),
        _ => None,
    };
    order_event::append(txn, order, entry, |row| {
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
    let detail = json!({ "mismatch": mismatch.to_string() });
    let known = order_event::Entity::find()
        .filter(order_event::Column::OrderId.eq(pair.order.id.clone()))
        .filter(order_event::Column::PaymentId.eq(pair.payment.id.clone()))
        .filter(order_event::Column::Kind.eq(Kind::MismatchReported))
        .filter(order_event::Column::Detail.eq(detail.to_string()))
        .one(txn)
        .await?;
    if known.is_some() {
        return Ok(());
    }
    let entry = Entry {
        kind: Kind::MismatchReported,
        at: txn.now().await?,
        learnt_from,
        payment: Some((&pair.payment.id, pair.payment.status)),
        detail: Some(detail),
    };
    order_event::append(txn, &mut pair.order, entry, |_| {}).await?;
    Ok(())
}

/// Does the fact bring something new although the status stays? A fresh code does, for those who
/// may still use it.
fn refreshes(fact: &Fact, status: payment::Status) -> bool {
    matches!((fact, status), (Fact::PrepayIssued(_), payment::Status::AwaitingPayment))
}

async fn book(
    txn: &Txn,
    order: &order::Model,
    payment: &payment::Model,
    kind: money_entry::Kind,
    reference: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let entry = money_entry::ActiveModel {
        id: Set(MoneyEntryId::generate()),
        kind: Set(kind),
        reference: Set(reference.to_owned()),
        merchant: Set(order.merchant.clone()),
        order_id: Set(order.id.clone()),
        payment_id: Set(payment.id.clone()),
        amount: Set(payment.amount),
        booked_at: Set(now),
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
fn detail(fact: &Fact, order: &order::Model) -> Option<serde_json::Value> {
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
mod tests;
