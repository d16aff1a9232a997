//! Asks WeChat Pay about a payment until a terminal truth.

use std::time::Duration;

use entity::{
    Txn,
    job::Lane,
    order_event::Source,
    payment::{self, Status},
};
use jobs::{ConfirmPayment, Failure, Finished, Run, backoff, crash_point};
use wechatpay::{Error, Transaction};

use crate::{
    Context,
    answers::{self, NotFound},
    facts, ladder,
    transition::{self, Moved},
};

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

    let merchant = context.merchant(&payment.merchant)?;
    merchant.budget.turn(run.lane).await?;
    run.has_time_for(CALL_LIMIT)?;
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
            answers::not_told(txn, &mut pair).await?;
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
    let merchant = context.merchant(&payment.merchant)?;
    // Somebody waited for this one: after a tap whose call was not answered, or who asks to confirm.
    let asked_by = match run.lane {
        Lane::Interactive => Source::Page,
        Lane::Background => Source::Query,
    };
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            let moved = answers::told(txn, merchant, &mut pair, &word, asked_by).await?;
            crash_point!("confirm_payment.applied");
            match moved {
                Moved::To(status) if status.is_at_rest() => run.done(txn).await,
                _ => look_later(txn, run, payment).await,
            }
        })
        .await
}

async fn not_found(context: &Context, run: &Run, payment: &payment::Model) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            let found = answers::not_found(txn, &mut pair).await?;
            crash_point!("confirm_payment.not_found");
            let next = ladder::next_look(payment.created_at, txn.now().await?);
            match found {
                NotFound::Settled => run.done(txn).await,
                // No rung may lie between now and the moment at which it could be settled.
                NotFound::SettlesAt(at) => run.again_at(txn, at.min(next)).await,
                NotFound::Open => run.again_at(txn, next).await,
            }
        })
        .await
}

async fn look_later(txn: &Txn, run: &Run, payment: &payment::Model) -> Result<Finished, Failure> {
    let next = ladder::next_look(payment.created_at, txn.now().await?);
    run.again_at(txn, next).await
}
