//! What WeChat Pay's answer to a question does to a payment, whoever asked; in [`refund`], to a refund.

pub(crate) mod refund;

use std::time::Duration;

use entity::{
    Timestamp, Txn, order,
    order_event::{self, Source},
    payment::{self, Status},
};
use jobs::RequestPrepay;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
};

use crate::{
    Merchant,
    facts::{Mismatch, Word},
    policies,
    transition::{self, Fact, Moved, Pair},
};

/// A call that was signed longer ago than this can have no effect any more: WeChat Pay refuses
/// signatures older than five minutes, and one minute is for clocks that differ.
pub(crate) const CALL_IS_OVER: Duration = Duration::from_secs(6 * 60);

/// Two answers "no such payment" count as one unless this lies between them.
const NOT_FOUND_TWICE: Duration = Duration::from_secs(60);

/// The same of a payment that WeChat Pay has known: its memory is more likely to fail than its word.
const NOT_FOUND_ANY_MORE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long after it was found unpaid the payment's bytes go out again.
const FETCH_AGAIN: Duration = Duration::from_secs(30);

/// WeChat Pay told how the payment stands, to whom: [`Source::Query`] or [`Source::Page`].
pub(crate) async fn told(
    txn: &Txn,
    merchant: &Merchant,
    pair: &mut Pair,
    word: &Result<Word, Mismatch>,
    asked_by: Source,
) -> Result<Moved, DbErr> {
    asked(txn, pair, None).await?;
    match word {
        Ok(Word::Paid(paid)) => policies::receive(txn, merchant, pair, paid, asked_by).await,
        Ok(Word::Closed) => apply(txn, pair, &Fact::CloseConfirmed, asked_by).await,
        Ok(Word::Unpaid) => {
            let moved = apply(txn, pair, &Fact::FoundUnpaid, asked_by).await?;
            // It exists and nothing to pay with came back: the same bytes fetch it. Not at once: if
            // WeChat Pay refuses them again, we are back here.
            let job = RequestPrepay::of(&pair.payment.id);
            if moved == Moved::To(Status::Created)
                && pair.order.status == order::Status::Pending
                && !jobs::is_asked_for(txn, &job).await?
            {
                jobs::enqueue_at(txn, &job, txn.now().await? + FETCH_AGAIN).await?;
            }
            Ok(moved)
        }
        Err(mismatch) => {
            tracing::error!(payment.id = %pair.payment.id, %mismatch, "WeChat Pay's answer contradicts what we know");
            transition::report_mismatch(txn, pair, *mismatch, asked_by).await?;
            Ok(Moved::Unchanged)
        }
    }
}

/// WeChat Pay did not tell anything that counts.
pub(crate) async fn not_told(txn: &Txn, pair: &mut Pair) -> Result<(), DbErr> {
    let not_found_at = pair.payment.not_found_at;
    asked(txn, pair, not_found_at).await
}

/// What "no such payment" comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// It is certain, and written.
    Settled,
    /// Not before then.
    SettlesAt(Timestamp),
    /// There is no saying when.
    Open,
}

/// WeChat Pay knows no such payment. That settles it only when no create of ours can still arrive,
/// and when it says so twice; if it has known the payment before, when it still says so a day later.
pub(crate) async fn not_found(txn: &Txn, pair: &mut Pair) -> Result<NotFound, DbErr> {
    let now = txn.now().await?;
    let first = pair.payment.not_found_at.unwrap_or(now);
    asked(txn, pair, Some(first)).await?;
    let still_asked_for = jobs::is_asked_for(txn, &RequestPrepay::of(&pair.payment.id)).await?;
    let last_create = last_create(txn, &pair.payment).await?;
    let over = last_create.is_none_or(|at| now.since(at) >= CALL_IS_OVER);
    let doubted_for = if was_known(txn, &pair.payment).await? { NOT_FOUND_ANY_MORE } else { NOT_FOUND_TWICE };
    if over
        && !still_asked_for
        && now.since(first) >= doubted_for
        && matches!(apply(txn, pair, &Fact::NeverExisted, Source::Query).await?, Moved::To(_))
    {
        return Ok(NotFound::Settled);
    }
    let settles_at = last_create.map_or(first, |at| at + CALL_IS_OVER).max(first + doubted_for);
    Ok(if settles_at > now { NotFound::SettlesAt(settles_at) } else { NotFound::Open })
}

/// Has WeChat Pay ever shown that the payment is there?
async fn was_known(txn: &Txn, payment: &payment::Model) -> Result<bool, DbErr> {
    let shown = [order_event::Kind::PrepayIssued, order_event::Kind::FoundUnpaid];
    let seen = order_event::Entity::find()
        .filter(order_event::Column::OrderId.eq(payment.order_id.clone()))
        .filter(order_event::Column::PaymentId.eq(payment.id.clone()))
        .filter(order_event::Column::Kind.is_in(shown))
        .count(txn)
        .await?;
    Ok(seen > 0)
}

/// When a create may last have been signed: as the payment says, or, if the job that sends it died,
/// when it was found dead. Runs that took their process with them wrote nothing down.
async fn last_create(txn: &Txn, payment: &payment::Model) -> Result<Option<Timestamp>, DbErr> {
    let died = jobs::died_at(txn, &RequestPrepay::of(&payment.id)).await?;
    Ok(payment.create_signed_at.max(died))
}

async fn apply(txn: &Txn, pair: &mut Pair, fact: &Fact, asked_by: Source) -> Result<Moved, DbErr> {
    let moved = transition::apply(txn, pair, fact, asked_by).await?;
    if let Moved::Refused(refused) = &moved {
        tracing::warn!(payment.id = %pair.payment.id, %refused, "WeChat Pay's answer does not fit");
    }
    Ok(moved)
}

/// Writes down that WeChat Pay was asked, for the throttle and for those who wait for the answer.
async fn asked(txn: &Txn, pair: &mut Pair, not_found_at: Option<Timestamp>) -> Result<(), DbErr> {
    let row = payment::ActiveModel {
        id: Set(pair.payment.id.clone()),
        asked_at: Set(Some(txn.now().await?)),
        not_found_at: Set(not_found_at),
        ..Default::default()
    };
    pair.payment = row.update(txn).await?;
    txn.after_commit(entity::Hint::Order(pair.order.id.clone())).await;
    Ok(())
}
