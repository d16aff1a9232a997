//! Tells one endpoint of the shop of one event, again and again until it is taken.

use std::time::Duration;

use entity::{
    Timestamp, Txn, told_event,
    webhook_delivery::{self, Status},
    webhook_endpoint,
};
use jobs::{DeliverWebhook, Failure, Finished, Run, crash_point};
use sea_orm::EntityTrait;

use crate::{
    Context,
    transition::delivery::tried,
    webhooks::{self, Answer, Message, Outcome},
};

/// An endpoint to which nothing could be delivered for so long is not called any more. Longer than
/// the schedule with all its jitter, so that what was told first has had all its tries.
const FAILING_MAX: Duration = Duration::from_secs(4 * 24 * 60 * 60);

/// An endpoint cannot put us off for longer than the longest wait of the schedule.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(context: &Context, run: &Run, job: &DeliverWebhook) -> Result<Finished, Failure> {
    let delivery =
        webhook_delivery::Entity::find_by_id(job.delivery.clone()).one(context.db.reader()).await?;
    let delivery =
        delivery.ok_or_else(|| Failure::GiveUp(format!("there is no delivery {}", job.delivery)))?;
    if delivery.status != Status::Pending {
        return context.db.write(async |txn| run.done(txn).await).await;
    }
    let event = told_event::Entity::find_by_id(delivery.event_id.clone()).one(context.db.reader()).await?;
    let event = event.ok_or_else(|| Failure::GiveUp(format!("nothing was told as {}", delivery.event_id)))?;
    let merchant = context.merchant(&delivery.merchant)?;
    let known = webhook_endpoint::find(context.db.reader(), &delivery.merchant, &delivery.endpoint).await?;
    if known.is_some_and(|endpoint| endpoint.disabled_at.is_some()) {
        return settle(context, run, &delivery, Answer::unsent(Outcome::EndpointDisabled)).await;
    }
    let endpoint = merchant.webhooks.iter().find(|endpoint| endpoint.name == delivery.endpoint);
    let Some(endpoint) = endpoint else {
        return settle(context, run, &delivery, Answer::unsent(Outcome::NotConfigured)).await;
    };
    crash_point!("deliver_webhook.loaded");

    let turn = context.turns.take(&delivery.merchant, &delivery.endpoint, (context.chance)());
    let turn = match turn {
        Ok(turn) => turn,
        Err(wait) => {
            return context.db.write(async |txn| run.again_at(txn, txn.now().await? + wait).await).await;
        }
    };
    run.has_time_for(webhooks::LIMIT)?;
    let at = context.db.now().await?;
    let answer = context.sender.send(endpoint, Message { id: &event.id, at, body: &event.body }).await;
    drop(turn);
    crash_point!("deliver_webhook.asked");

    settle(context, run, &delivery, answer).await
}

/// What becomes of the delivery and its endpoint after a try.
async fn settle(
    context: &Context,
    run: &Run,
    delivery: &webhook_delivery::Model,
    answer: Answer,
) -> Result<Finished, Failure> {
    let webhook_delivery::Model { merchant, endpoint, .. } = delivery;
    let outcome = answer.outcome;
    let wait = webhooks::wait_after(delivery.tries + 1, (context.chance)());
    let wait = wait.map(|wait| wait.max(answer.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)));
    let (finished, after, disabled) = context
        .db
        .write(async |txn| {
            let now = txn.now().await?;
            let disabled = judge(txn, delivery, outcome, now).await?;
            let after = match outcome {
                Outcome::Delivered => Status::Delivered,
                Outcome::EndpointDisabled => Status::Dead,
                _ if disabled.is_some() || wait.is_none() => Status::Dead,
                _ => Status::Pending,
            };
            tried(txn, delivery, &answer, now, after).await?;
            crash_point!("deliver_webhook.applied");
            let finished = match wait {
                Some(wait) if after == Status::Pending => run.failed(txn, outcome.word(), now + wait).await?,
                _ => run.done(txn).await?,
            };
            Ok::<_, Failure>((finished, after, disabled))
        })
        .await?;
    if let Some(reason) = disabled {
        tracing::error!(merchant, endpoint, reason, "the endpoint is not called any more");
    }
    if after == Status::Dead {
        tracing::error!(
            delivery.id = %delivery.id, event.id = %delivery.event_id, merchant, endpoint,
            outcome = outcome.word(), "a webhook was given up; `everpaid webhooks resend` sends it again"
        );
    }
    metrics::counter!("everpaid_webhook_deliveries_total", "outcome" => outcome.word()).increment(1);
    if answer.took > Duration::ZERO {
        metrics::histogram!("everpaid_webhook_seconds", "outcome" => outcome.word()).record(answer.took);
    }
    Ok(finished)
}

/// What a try says about its endpoint, and why it is not called any more from now on, if so.
async fn judge(
    txn: &Txn,
    delivery: &webhook_delivery::Model,
    outcome: Outcome,
    now: Timestamp,
) -> Result<Option<&'static str>, Failure> {
    let webhook_delivery::Model { merchant, endpoint, .. } = delivery;
    let reason = match outcome {
        Outcome::Delivered => {
            webhook_endpoint::delivered(txn, merchant, endpoint).await?;
            return Ok(None);
        }
        // It was not asked.
        Outcome::NotConfigured | Outcome::EndpointDisabled => return Ok(None),
        Outcome::Gone => {
            webhook_endpoint::failed(txn, merchant, endpoint, now).await?;
            "gone"
        }
        Outcome::Redirected
        | Outcome::Rejected
        | Outcome::TimedOut
        | Outcome::Unreachable
        | Outcome::BlockedAddress => {
            let since = webhook_endpoint::failed(txn, merchant, endpoint, now).await?;
            if now.since(since) < FAILING_MAX {
                return Ok(None);
            }
            "failing"
        }
    };
    webhook_endpoint::disable(txn, merchant, endpoint, reason, now).await?;
    Ok(Some(reason))
}
