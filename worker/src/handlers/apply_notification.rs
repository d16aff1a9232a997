//! Opens a notification and acts on what it says: of a payment in [`payment`], of a refund in [`refund`].

mod payment;
mod refund;

use std::time::Duration;

use entity::{
    OrderId, Txn,
    notification::{self, Verdict},
};
use jobs::{ApplyNotification, Failure, Finished, Run, crash_point};
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter};
use wechatpay::notification::{DecryptError, Envelope, OpenError, Told};

use crate::{
    Context, Merchant,
    cases::{self, Noticed},
};

/// Keys change; what cannot be opened is tried again this often.
const UNDECRYPTABLE_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What is inside, as far as it could be read.
enum Inside {
    Something(Told),
    /// Understood, and nothing to act on.
    Nothing(&'static str),
    Sealed(&'static str),
}

/// What became of it.
struct Outcome {
    verdict: Verdict,
    reason: Option<String>,
    order: Option<OrderId>,
}

impl Outcome {
    fn ignored(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ignored, reason: Some(reason.into()), order: None }
    }
}

pub(crate) async fn run(context: &Context, run: &Run, job: &ApplyNotification) -> Result<Finished, Failure> {
    let notification = notification::Entity::find_by_id(job.notification.clone())
        .one(context.db.reader())
        .await?
        .ok_or_else(|| Failure::GiveUp(format!("there is no notification {}", job.notification)))?;
    if matches!(notification.verdict, Verdict::Applied | Verdict::Ignored) {
        return context.db.write(async |txn| run.done(txn).await).await;
    }
    crash_point!("apply_notification.loaded");

    let merchant = context.merchant(&notification.merchant)?;
    match open(merchant, &notification) {
        Inside::Something(told) => {
            context
                .db
                .write(async |txn| {
                    let outcome = match &told {
                        Told::Payment(said) => payment::take_in(txn, merchant, &notification, said).await?,
                        Told::Refund(said) => refund::take_in(txn, merchant, &notification, said).await?,
                        Told::Other(_) => Outcome::ignored(UNHANDLED),
                    };
                    crash_point!("apply_notification.applied");
                    settle(txn, &notification, &outcome).await?;
                    run.done(txn).await
                })
                .await
        }
        Inside::Nothing(why) => {
            context
                .db
                .write(async |txn| {
                    settle(txn, &notification, &Outcome::ignored(why)).await?;
                    run.done(txn).await
                })
                .await
        }
        Inside::Sealed(why) => {
            tracing::error!(notification.id = %notification.id, why, "a notification cannot be opened; check the APIv3 key");
            let sealed = Outcome { verdict: Verdict::Undecryptable, ..Outcome::ignored(why) };
            context
                .db
                .write(async |txn| {
                    settle(txn, &notification, &sealed).await?;
                    let again = txn.now().await? + UNDECRYPTABLE_AGAIN;
                    run.again_at(txn, again).await
                })
                .await
        }
    }
}

const UNHANDLED: &str = "event_type_unhandled";

fn open(merchant: &Merchant, notification: &notification::Model) -> Inside {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(&notification.body) else {
        return Inside::Nothing("not_an_envelope");
    };
    match envelope.event_type.as_str() {
        "TRANSACTION.SUCCESS" | "REFUND.SUCCESS" | "REFUND.CLOSED" | "REFUND.ABNORMAL" => {}
        _ => return Inside::Nothing(UNHANDLED),
    }
    match envelope.open(&merchant.apiv3_keys) {
        // Profit sharing uses these event types too, with another type of resource.
        Ok(told) => Inside::Something(told),
        Err(OpenError::Unreadable) => Inside::Nothing("not_what_its_type_says"),
        Err(OpenError::Sealed(DecryptError::TagMismatch)) => Inside::Sealed("no_key_opens_it"),
        Err(OpenError::Sealed(_)) => Inside::Nothing("malformed_resource"),
    }
}

/// Whoever uses the same mchid has numbers of their own, which begin otherwise. They are counted.
async fn foreign(txn: &Txn) -> Outcome {
    txn.count_after_commit(|| metrics::counter!("everpaid_notifications_foreign_total").increment(1)).await;
    Outcome::ignored("foreign")
}

/// Money moved under a number that we do not know: a person has to look.
async fn unknown(
    txn: &Txn,
    notification: &notification::Model,
    noticed: Noticed<'_>,
) -> Result<Outcome, DbErr> {
    tracing::error!(notification.id = %notification.id, "a notification is about a number that is not ours");
    let order = noticed.order.cloned();
    cases::open(txn, noticed).await?;
    Ok(Outcome { order, ..Outcome::ignored("unknown_number") })
}

async fn settle(txn: &Txn, notification: &notification::Model, outcome: &Outcome) -> Result<(), DbErr> {
    let Outcome { verdict, reason, order } = outcome;
    let row = notification::ActiveModel {
        verdict: Set(*verdict),
        reason: Set(reason.clone()),
        settled_at: Set(Some(txn.now().await?)),
        order_id: Set(order.clone()),
        ..Default::default()
    };
    // Not `update`, which would read the body back.
    let written = notification::Entity::update_many()
        .set(row)
        .filter(notification::Column::Id.eq(notification.id.clone()))
        .exec(txn)
        .await?;
    if written.rows_affected != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    crash_point!("apply_notification.settled");
    let verdict = match verdict {
        Verdict::Received => "received",
        Verdict::Applied => "applied",
        Verdict::Ignored => "ignored",
        Verdict::Undecryptable => "undecryptable",
    };
    txn.count_after_commit(move || {
        metrics::counter!("everpaid_notifications_settled_total", "verdict" => verdict).increment(1);
    })
    .await;
    Ok(())
}
