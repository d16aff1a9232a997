//! Asks WeChat Pay about a refund that it took, until a terminal truth.

use std::time::Duration;

use entity::{
    order_event::Source,
    refund::{self, Status},
};
use jobs::{ConfirmRefund, Failure, Finished, Run, backoff, crash_point};
use wechatpay::{Error, Refund};

use crate::{Context, answers, ladder, transition::refund as gate};

/// Longer than both tries of a query take.
const CALL_LIMIT: Duration = Duration::from_secs(12);

pub(crate) async fn run(context: &Context, run: &Run, job: &ConfirmRefund) -> Result<Finished, Failure> {
    let refund = context.refund(&job.refund).await?;
    // Until WeChat Pay has taken it, whoever sends it asks about it too.
    if !matches!(refund.status, Status::Processing | Status::Abnormal) {
        return context.db.write(async |txn| run.done(txn).await).await;
    }

    let merchant = context.merchant(&refund.merchant)?;
    merchant.budget.turn(run.lane).await?;
    run.has_time_for(CALL_LIMIT)?;
    let answer = merchant.client.query_refund(&refund.out_refund_no).await;
    crash_point!("confirm_refund.asked");

    match answer {
        Ok(said) => told(context, run, &refund, &said).await,
        // "No such refund" settles nothing either: it was taken.
        Err(error) => not_told(context, run, &refund, &error).await,
    }
}

async fn told(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
    said: &Refund,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut of = gate::load(txn, refund).await?;
            answers::refund::asked(txn, &mut of).await?;
            let told = answers::refund::told(txn, &mut of, said.into(), Source::Query).await?;
            crash_point!("confirm_refund.applied");
            if of.refund.status.is_at_rest() {
                return run.done(txn).await;
            }
            let next = ladder::next_look_at_refund(&of.refund, txn.now().await?);
            match told {
                Ok(_) => run.again_at(txn, next).await,
                Err(mismatch) => run.failed(txn, &mismatch.to_string(), next).await,
            }
        })
        .await
}

/// Nothing was learnt. What time may heal is tried again sooner than the ladder would.
async fn not_told(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
    error: &Error,
) -> Result<Finished, Failure> {
    tracing::warn!(refund.id = %refund.id, reason = error.reason(), "WeChat Pay did not say how the refund stands");
    let wait = backoff::jittered(backoff::wait(run.failures + 1), (context.chance)());
    context
        .db
        .write(async |txn| {
            let mut of = gate::load(txn, refund).await?;
            answers::refund::asked(txn, &mut of).await?;
            crash_point!("confirm_refund.not_told");
            let now = txn.now().await?;
            let next =
                if error.is_transient() { now + wait } else { ladder::next_look_at_refund(&of.refund, now) };
            run.failed(txn, error.reason(), next).await
        })
        .await
}
