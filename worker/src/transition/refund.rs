//! The gate for refunds: their status, the money book, what the order has given back, the event,
//! the case, and who looks next.

use entity::{
    Fen, Txn, case, money_entry, order,
    order_event::{Entry, Kind, Source},
    payment,
    refund::{self, AskedBy, Event, Status, lifecycle::IllegalTransition},
};
use jobs::{ConfirmRefund, RequestRefund};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    TryIntoModel,
};
use serde_json::{Value, json};

use super::{book, record};
use crate::{
    cases::{self, Noticed, Verdict},
    facts::{Mismatch, refund::Word},
    ladder,
};

/// Something we learnt about a refund, with what came with it.
#[derive(Clone, Debug)]
pub enum Fact {
    OutcomeLost,
    Refused {
        code: String,
        message: String,
    },
    /// WeChat Pay knows it, and told how it stands.
    Told(Word),
}

pub type Moved = super::Moved<Status, IllegalTransition>;

/// A refund with its payment and order, as they are and as long as the transaction lasts.
#[derive(Debug)]
pub struct Refunding {
    pub order: order::Model,
    pub payment: payment::Model,
    pub refund: refund::Model,
}

/// Loads a refund with what it is of, and keeps other writers of that order away.
pub async fn load(txn: &Txn, refund: &refund::Model) -> Result<Refunding, DbErr> {
    let gone = || DbErr::RecordNotFound(format!("refund {}, its payment or its order", refund.id));
    let order = order::Entity::find_by_id(refund.order_id.clone()).lock_exclusive().one(txn).await?;
    let payment = payment::Entity::find_by_id(refund.payment_id.clone()).one(txn).await?;
    let refund = refund::Entity::find_by_id(refund.id.clone()).one(txn).await?;
    Ok(Refunding {
        order: order.ok_or_else(gone)?,
        payment: payment.ok_or_else(gone)?,
        refund: refund.ok_or_else(gone)?,
    })
}

impl Fact {
    fn event(&self) -> Event {
        match self {
            Self::OutcomeLost => Event::OutcomeLost,
            Self::Refused { .. } => Event::Refused,
            Self::Told(Word::Processing { .. }) => Event::Taken,
            Self::Told(Word::Succeeded { .. }) => Event::Succeeded,
            Self::Told(Word::Closed { .. }) => Event::Closed,
            Self::Told(Word::Abnormal { .. }) => Event::BecameAbnormal,
        }
    }

    fn kind(&self) -> Kind {
        match self.event() {
            Event::OutcomeLost => Kind::RefundOutcomeLost,
            Event::Taken => Kind::RefundTaken,
            Event::Refused => Kind::RefundRefused,
            Event::Succeeded => Kind::RefundSucceeded,
            Event::Closed => Kind::RefundClosed,
            Event::BecameAbnormal => Kind::RefundAbnormal,
        }
    }

    /// What a reader of the timeline wants beside the event.
    fn detail(&self, of: &Refunding) -> Value {
        match self {
            Self::OutcomeLost => Value::Null,
            Self::Refused { code, .. } => json!({ "code": code }),
            Self::Told(word) => {
                let mut detail = json!({ "refund_id": word.refund_id(), "amount": of.refund.amount });
                if of.payment.surplus {
                    detail["surplus"] = json!(true);
                }
                detail
            }
        }
    }
}

/// Takes a fact in, and what follows from it. What was loaded is what it was made.
pub async fn apply(txn: &Txn, of: &mut Refunding, fact: &Fact, learnt_from: Source) -> Result<Moved, DbErr> {
    let before = of.refund.status;
    let after = match before.after(&fact.event()) {
        Ok(after) => after,
        Err(refused) => return Ok(Moved::Refused(refused)),
    };
    if after == before {
        return Ok(Moved::Unchanged);
    }
    of.refund = write(txn, &of.refund, fact, after).await?;
    let back = match fact {
        Fact::Told(Word::Succeeded { refund_id, .. }) => {
            Some(take_back(txn, of, refund_id, learnt_from).await?)
        }
        _ => None,
    };
    let detail = Some(fact.detail(of)).filter(|detail| !detail.is_null());
    let entry = Entry {
        refund: Some((&of.refund.id, after)),
        detail,
        ..Entry::of_order(fact.kind(), txn.now().await?, learnt_from)
    };
    record(txn, &mut of.order, entry, |row| {
        if let Some((status, refunded)) = back.flatten() {
            row.status = Set(status);
            row.refunded = Set(refunded);
        }
    })
    .await?;
    raise(txn, of).await?;
    look_after(txn, &of.refund).await?;
    Ok(Moved::To(after))
}

/// The row as the fact makes it, if nobody else has moved it.
async fn write(
    txn: &Txn,
    refund: &refund::Model,
    fact: &Fact,
    after: Status,
) -> Result<refund::Model, DbErr> {
    let mut row = refund.clone().into_active_model();
    row.status = Set(after);
    match fact {
        Fact::OutcomeLost => {}
        Fact::Refused { code, message } => {
            row.failure_code = Set(Some(code.clone()));
            row.failure_message = Set(Some(message.clone()));
            // It was answered.
            row.request_signed_at = Set(None);
        }
        Fact::Told(word) => {
            row.refund_id = Set(Some(word.refund_id().to_owned()));
            if let Word::Succeeded { succeeded_at, .. } = word {
                row.succeeded_at = Set(Some(*succeeded_at));
            }
        }
    }
    let moved = row.clone().try_into_model()?;
    let written = refund::Entity::update_many()
        .set(row)
        .filter(refund::Column::Id.eq(refund.id.clone()))
        .filter(refund::Column::Status.eq(refund.status))
        .exec(txn)
        .await?;
    if written.rows_affected != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    Ok(moved)
}

/// Books the money that went back, and says what that makes of the order. Of surplus it makes nothing.
async fn take_back(
    txn: &Txn,
    of: &mut Refunding,
    refund_id: &str,
    learnt_from: Source,
) -> Result<Option<(order::Status, Fen)>, DbErr> {
    let Refunding { order, payment, refund } = &*of;
    let kind = match payment.surplus {
        true => money_entry::Kind::SurplusRefund,
        false => money_entry::Kind::Refund,
    };
    book(txn, payment, kind, refund_id, refund.amount).await?;
    if payment.surplus {
        return Ok(None);
    }
    let (sum, whole) = (order.refunded.0.saturating_add(refund.amount.0), order.amount.0);
    let after = order.status.after(&order::Event::RefundSucceeded { in_full: sum >= whole });
    if sum > whole {
        // A refund that had been given up went through after all. The book says so, and the order can
        // have given back no more than it had.
        report_mismatch(txn, of, Mismatch::RefundedTooMuch, learnt_from).await?;
    }
    // What was refunded was paid, and stays so.
    Ok(after.ok().map(|status| (status, Fen(sum.min(whole)))))
}

/// Tells a person what the shop cannot see to, or that there is nothing more to see to.
async fn raise(txn: &Txn, of: &Refunding) -> Result<(), DbErr> {
    let refund = &of.refund;
    match refund.status {
        Status::Abnormal => report_failure(txn, of, "abnormal").await,
        // The shop is told of its own, and may ask again; of the others only the case tells.
        Status::Closed if refund.asked_by != AskedBy::Shop => report_failure(txn, of, "closed").await,
        Status::Refused if refund.asked_by != AskedBy::Shop => report_failure(txn, of, "refused").await,
        Status::Succeeded => {
            let verdict = Verdict {
                resolution: case::Resolution::Refunded,
                by: case::ResolvedBy::Policy,
                reason: "the refund succeeded after all",
                refund: Some(&refund.id),
            };
            for case in cases::open_of_refund(txn, &refund.id).await? {
                cases::settle(txn, &case, verdict).await?;
            }
            Ok(())
        }
        Status::Closed | Status::Refused | Status::Requested | Status::Unknown | Status::Processing => Ok(()),
    }
}

/// Opens the case that a refund does not get on, once for every way in which it does not.
pub async fn report_failure(txn: &Txn, of: &Refunding, why: &str) -> Result<(), DbErr> {
    let Refunding { refund, .. } = of;
    let noticed = Noticed {
        kind: case::Kind::RefundFailed,
        merchant: &refund.merchant,
        reference: format!("{}:{why}", refund.id),
        order: Some(&refund.order_id),
        payment: Some(&refund.payment_id),
        refund: Some(&refund.id),
        amount: Some(refund.amount),
        detail: json!({ "why": why, "code": refund.failure_code }),
    };
    cases::open(txn, noticed).await.map(drop)
}

/// Writes down that WeChat Pay said something about a refund that contradicts what we know. Nothing
/// moves. The same contradiction is written once.
pub async fn report_mismatch(
    txn: &Txn,
    of: &mut Refunding,
    mismatch: Mismatch,
    learnt_from: Source,
) -> Result<(), DbErr> {
    let Refunding { order, refund, .. } = of;
    let noticed = Noticed {
        kind: case::Kind::Mismatch,
        merchant: &refund.merchant,
        reference: format!("{}:{mismatch}", refund.id),
        order: Some(&refund.order_id),
        payment: Some(&refund.payment_id),
        refund: Some(&refund.id),
        amount: Some(refund.amount),
        detail: json!({ "mismatch": mismatch.to_string() }),
    };
    let detail = noticed.detail.clone();
    if !cases::open(txn, noticed).await? {
        return Ok(());
    }
    let entry = Entry {
        refund: Some((&refund.id, refund.status)),
        detail: Some(detail),
        ..Entry::of_order(Kind::MismatchReported, txn.now().await?, learnt_from)
    };
    record(txn, order, entry, |_| {}).await
}

/// Whoever is not at rest and known to WeChat Pay is asked about; about the others nobody asks any more.
async fn look_after(txn: &Txn, refund: &refund::Model) -> Result<(), DbErr> {
    let (request, confirm) = (RequestRefund::of(&refund.id), ConfirmRefund::of(&refund.id));
    if refund.status.is_at_rest() {
        jobs::withdraw(txn, &request).await?;
        return jobs::withdraw(txn, &confirm).await;
    }
    match refund.status {
        Status::Processing | Status::Abnormal => {
            jobs::withdraw(txn, &request).await?;
            jobs::enqueue_at(txn, &confirm, ladder::next_look_at_refund(refund, txn.now().await?)).await
        }
        _ => Ok(()),
    }
}
