//! Asks WeChat Pay about a payment until a terminal truth.

use std::time::Duration;

use entity::{
    Timestamp, Txn, order,
    order_event::Source,
    payment::{self, Status},
};
use jobs::{ConfirmPayment, Failure, Finished, RequestPrepay, Run, backoff, crash_point};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr};
use wechatpay::{Error, Transaction};

use crate::{
    Context,
    facts::{self, Mismatch, Word},
    ladder,
    transition::{self, Fact, Moved, Pair},
};

/// A create that was signed longer ago than this can have no effect any more: WeChat Pay refuses
/// signatures older than five minutes, and one minute is for clocks that differ.
const CREATE_IS_OVER: Duration = Duration::from_secs(6 * 60);

/// Two answers "no such payment" count as one unless this lies between them.
const NOT_FOUND_TWICE: Duration = Duration::from_secs(60);

/// How long after it was found unpaid the payment's bytes go out again.
const FETCH_AGAIN: Duration = Duration::from_secs(30);

/// Longer than both tries of a query take.
const CALL_LIMIT: Duration = Duration::from_secs(12);

pub(crate) async fn run(context: &Context, run: &Run, job: &ConfirmPayment) -> Result<Finished, Failure> {
    let payment = context.payment(&job.payment).await?;
    if payment.status.is_at_rest() || payment.status == Status::Queued {
        return context.db.write(async |txn| run.done(txn).await).await;
    }
    // Asked for while WeChat Pay was being asked: that answer may be older than the wish.
    let now = context.db.now().await?;
    let earliest = ConfirmPayment::earliest(&payment, now);
    if now < earliest {
        return context.db.write(async |txn| run.again_at(txn, earliest).await).await;
    }
    crash_point!("confirm_payment.loaded");

    run.has_time_for(CALL_LIMIT)?;
    let merchant = context.merchant(&payment.merchant)?;
    let answer = merchant.client.query_by_out_trade_no(&payment.out_trade_no).await;
    crash_point!("confirm_payment.asked");

    match answer {
        Ok(said) => told(context, run, &payment, &said).await,
        Err(Error::Definite(said)) if said.is_order_not_found() => not_found(context, run, &payment).await,
        Err(error) => not_told(context, run, &payment, &error).await,
    }
}

/// Nothing was learnt. What time may heal is tried again sooner than the ladder would; what it
/// will not (a wrong key, say) waits for the next rung.
async fn not_told(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
    error: &Error,
) -> Result<Finished, Failure> {
    tracing::warn!(payment.id = %payment.id, reason = error.reason(), "WeChat Pay did not say how the payment stands");
    let wait = backoff::jittered(backoff::wait(run.failures + 1), (context.chance)());
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            let not_found_at = pair.payment.not_found_at;
            asked(txn, &mut pair, not_found_at).await?;
            crash_point!("confirm_payment.not_told");
            let now = txn.now().await?;
            let next =
                if error.is_transient() { now + wait } else { ladder::next_look(payment.created_at, now) };
            run.failed(txn, error.reason(), next).await
        })
        .await
}

async fn told(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
    said: &Transaction,
) -> Result<Finished, Failure> {
    let word = facts::read(said, payment);
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            asked(txn, &mut pair, None).await?;
            let moved = match word {
                Ok(Word::Paid(paid)) => apply(txn, &pair, Fact::PaymentSucceeded(paid)).await?,
                Ok(Word::Closed) => apply(txn, &pair, Fact::CloseConfirmed).await?,
                Ok(Word::Unpaid) => {
                    let moved = apply(txn, &pair, Fact::FoundUnpaid).await?;
                    // It exists and nothing to pay with came back: the same bytes fetch it. Not at
                    // once: if WeChat Pay refuses them again, we are back here.
                    let job = RequestPrepay::for_payment(payment);
                    if moved == Moved::To(Status::Created)
                        && pair.order.status == order::Status::Pending
                        && !jobs::is_asked_for(txn, &job).await?
                    {
                        jobs::enqueue_at(txn, &job, txn.now().await? + FETCH_AGAIN).await?;
                    }
                    moved
                }
                Err(mismatch) => {
                    mismatched(txn, &pair, mismatch).await?;
                    Moved::Unchanged
                }
            };
            crash_point!("confirm_payment.applied");
            match moved {
                Moved::To(status) if status.is_at_rest() => run.done(txn).await,
                _ => look_later(txn, run, payment).await,
            }
        })
        .await
}

/// WeChat Pay knows no such payment. That settles it only when no create of ours can still arrive,
/// and when it says so twice.
async fn not_found(context: &Context, run: &Run, payment: &payment::Model) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            let now = txn.now().await?;
            let first = pair.payment.not_found_at.unwrap_or(now);
            asked(txn, &mut pair, Some(first)).await?;
            crash_point!("confirm_payment.not_found");
            let still_asked_for = jobs::is_asked_for(txn, &RequestPrepay::for_payment(payment)).await?;
            let last_create = last_create(txn, &pair.payment).await?;
            let over = last_create.is_none_or(|at| now.since(at) >= CREATE_IS_OVER);
            if over && !still_asked_for && now.since(first) >= NOT_FOUND_TWICE {
                let moved = apply(txn, &pair, Fact::NeverExisted).await?;
                if matches!(moved, Moved::To(_)) {
                    return run.done(txn).await;
                }
            }
            // No rung may lie between now and the moment at which it could be settled.
            let settles_at = last_create.map_or(first, |at| at + CREATE_IS_OVER).max(first + NOT_FOUND_TWICE);
            let settles_at = (settles_at > now).then_some(settles_at);
            let next = ladder::next_look(payment.created_at, now);
            run.again_at(txn, settles_at.map_or(next, |at| at.min(next))).await
        })
        .await
}

/// When a create may last have been signed: as the payment says, or, if the job that sends it died,
/// when it was found dead. Runs that took their process with them wrote nothing down.
async fn last_create(txn: &Txn, payment: &payment::Model) -> Result<Option<Timestamp>, DbErr> {
    let died = jobs::died_at(txn, &RequestPrepay::for_payment(payment)).await?;
    Ok(payment.create_signed_at.max(died))
}

async fn apply(txn: &Txn, pair: &Pair, fact: Fact) -> Result<Moved, DbErr> {
    let moved = transition::apply(txn, pair, &fact, Source::Query).await?;
    if let Moved::Refused(refused) = &moved {
        tracing::warn!(payment.id = %pair.payment.id, %refused, "WeChat Pay's answer does not fit");
    }
    Ok(moved)
}

async fn mismatched(txn: &Txn, pair: &Pair, mismatch: Mismatch) -> Result<(), DbErr> {
    tracing::error!(payment.id = %pair.payment.id, %mismatch, "WeChat Pay's answer contradicts what we know");
    transition::report_mismatch(txn, pair, mismatch, Source::Query).await
}

async fn look_later(txn: &Txn, run: &Run, payment: &payment::Model) -> Result<Finished, Failure> {
    let next = ladder::next_look(payment.created_at, txn.now().await?);
    run.again_at(txn, next).await
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
