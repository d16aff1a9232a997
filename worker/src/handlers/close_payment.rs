//! Closes a payment at WeChat Pay, and then here: asks, closes, and asks again in the next run.
//!
//! Never closed here before WeChat Pay says that it is, or that it never was.

use std::time::Duration;

use entity::{
    order_event::Source,
    payment::{self, Status},
};
use jobs::{ClosePayment, Failure, Finished, Run, backoff, crash_point};
use wechatpay::{Error, Transaction};

use crate::{
    Context,
    answers::{self, NotFound},
    facts::{self, Word},
    transition::{self, Fact},
};

/// Longer than both tries of a question, or of a close, take, after the second in which somebody else
/// finds out whether WeChat Pay is back.
const CALL_LIMIT: Duration = Duration::from_secs(12);

/// How long after the second close of one payment it is asked about.
const NOT_YET_CLOSED: Duration = Duration::from_secs(5);

/// The slowest that a payment which nobody may pay any more is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

pub(crate) async fn run(context: &Context, run: &Run, job: &ClosePayment) -> Result<Finished, Failure> {
    let payment = begin(context, run, &context.payment(&job.payment).await?).await?;
    let Some(payment) = payment else {
        return context.db.write(async |txn| run.done(txn).await).await;
    };
    crash_point!("close_payment.begun");

    let merchant = context.merchant(&payment.merchant)?;
    merchant.budget.turn(run.lane).await?;
    run.has_time_for(CALL_LIMIT)?;
    let client = &merchant.client;
    match client.query_by_out_trade_no(&payment.out_trade_no).await {
        Ok(said) if facts::read(&said, &payment) == Ok(Word::Unpaid) => {
            merchant.budget.another(run.lane).await;
            run.has_time_for(CALL_LIMIT)?;
            let closed = client.close(&payment.out_trade_no).await;
            crash_point!("close_payment.closed");
            match closed {
                Ok(()) => ask_again(context, run).await,
                // Paid or closed since, or never there: only a question tells.
                Err(Error::Definite(said))
                    if said.says_paid_used_or_closed() || said.is_order_not_found() =>
                {
                    ask_again(context, run).await
                }
                Err(error) => not_told(context, run, &payment, &error).await,
            }
        }
        Ok(said) => told(context, run, &payment, &said).await,
        Err(Error::Definite(said)) if said.is_order_not_found() => not_found(context, run, &payment).await,
        Err(error) => not_told(context, run, &payment, &error).await,
    }
}

/// From here nobody is called up for it any more. None if there is nothing to close at WeChat Pay.
async fn begin(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
) -> Result<Option<payment::Model>, Failure> {
    if payment.status == Status::Closing {
        return Ok(Some(payment.clone()));
    }
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            transition::apply(txn, &mut pair, &Fact::CloseRequested, Source::Rule).await?;
            run.holds(txn).await?;
            Ok((pair.payment.status == Status::Closing).then_some(pair.payment))
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
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            answers::told(txn, merchant, &mut pair, &word, Source::Query).await?;
            crash_point!("close_payment.applied");
            if pair.payment.status.is_at_rest() {
                return run.done(txn).await;
            }
            let next = txn.now().await? + LOOK_EVERY;
            run.again_at(txn, next).await
        })
        .await
}

async fn ask_again(context: &Context, run: &Run) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            // At first at once: a payer may be waiting for the next payment. The first run may have come
            // before the create.
            let wait = if run.number <= 2 { Duration::ZERO } else { NOT_YET_CLOSED };
            let next = txn.now().await? + wait;
            run.again_at(txn, next).await
        })
        .await
}

async fn not_found(context: &Context, run: &Run, payment: &payment::Model) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            let found = answers::not_found(txn, &mut pair).await?;
            let next = txn.now().await? + LOOK_EVERY;
            match found {
                NotFound::Settled => run.done(txn).await,
                NotFound::SettlesAt(at) => run.again_at(txn, at.min(next)).await,
                NotFound::Open => run.again_at(txn, next).await,
            }
        })
        .await
}

async fn not_told(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
    error: &Error,
) -> Result<Finished, Failure> {
    tracing::warn!(payment.id = %payment.id, reason = error.reason(), "WeChat Pay did not say whether the payment is closed");
    let wait = backoff::jittered(backoff::wait(run.failures + 1), (context.chance)());
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            answers::not_told(txn, &mut pair).await?;
            let next = txn.now().await? + wait;
            run.failed(txn, error.reason(), next).await
        })
        .await
}
