//! Opens a notification and acts on what it says.

use std::time::Duration;

use entity::{
    OrderId, Txn,
    notification::{self, Verdict},
    order_event::Source,
    payment,
};
use jobs::{ApplyNotification, Failure, Finished, Run, crash_point};
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter};
use wechatpay::{Transaction, notification::Envelope};

use crate::{
    Context, Merchant,
    facts::{self, Word},
    transition::{self, Fact, Moved},
};

/// Keys change; what cannot be opened is tried again this often.
const UNDECRYPTABLE_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What is inside, as far as it could be read.
enum Inside {
    Payment(Box<Transaction>),
    /// Understood, and nothing to act on.
    Nothing(&'static str),
    Sealed(&'static str),
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

    match open(context.merchant(&notification.merchant)?, &notification) {
        Inside::Payment(said) => act(context, run, &notification, &said).await,
        Inside::Nothing(why) => {
            context
                .db
                .write(async |txn| {
                    settle(txn, &notification, Verdict::Ignored, Some(why), None).await?;
                    run.done(txn).await
                })
                .await
        }
        Inside::Sealed(why) => {
            tracing::error!(notification.id = %notification.id, why, "a notification cannot be opened; check the APIv3 key");
            context
                .db
                .write(async |txn| {
                    settle(txn, &notification, Verdict::Undecryptable, Some(why), None).await?;
                    let again = txn.now().await? + UNDECRYPTABLE_AGAIN;
                    run.again_at(txn, again).await
                })
                .await
        }
    }
}

fn open(merchant: &Merchant, notification: &notification::Model) -> Inside {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(&notification.body) else {
        return Inside::Nothing("not_an_envelope");
    };
    // Profit sharing uses this event type too, with another type of resource.
    let about = (envelope.event_type.as_str(), envelope.resource.original_type.as_deref());
    if !matches!(about, ("TRANSACTION.SUCCESS", None | Some("transaction"))) {
        return Inside::Nothing("event_type_unhandled");
    }
    match envelope.resource.decrypt(&merchant.apiv3_keys) {
        Ok(plain) => match serde_json::from_slice(&plain) {
            Ok(transaction) => Inside::Payment(Box::new(transaction)),
            Err(_) => Inside::Nothing("not_a_transaction"),
        },
        Err(wechatpay::notification::DecryptError::TagMismatch) => Inside::Sealed("no_key_opens_it"),
        Err(_) => Inside::Nothing("malformed_resource"),
    }
}

async fn act(
    context: &Context,
    run: &Run,
    notification: &notification::Model,
    said: &Transaction,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let Some(payment) = find(txn, context, notification, said).await? else {
                // Somebody paid something to this merchant that we did not ask for.
                tracing::error!(notification.id = %notification.id, "a notification is about a payment that is not ours");
                settle(txn, notification, Verdict::Ignored, Some("unknown_number"), None).await?;
                return run.done(txn).await;
            };
            let mut pair = transition::load(txn, &payment).await?;
            let (verdict, reason) = match facts::read(said, &pair.payment) {
                Ok(Word::Paid(paid)) => {
                    let fact = Fact::PaymentSucceeded(paid);
                    match transition::apply(txn, &mut pair, &fact, Source::Notification).await? {
                        Moved::To(_) => (Verdict::Applied, None),
                        Moved::Unchanged | Moved::Refused(_) => (Verdict::Applied, Some("known_already".to_owned())),
                    }
                }
                Ok(Word::Unpaid | Word::Closed) => (Verdict::Ignored, Some("not_paid".to_owned())),
                Err(mismatch) => {
                    tracing::error!(payment.id = %payment.id, %mismatch, "a notification contradicts what we know");
                    transition::report_mismatch(txn, &mut pair, mismatch, Source::Notification).await?;
                    (Verdict::Ignored, Some(mismatch.to_string()))
                }
            };
            crash_point!("apply_notification.applied");
            settle(txn, notification, verdict, reason.as_deref(), Some(&pair.order.id)).await?;
            run.done(txn).await
        })
        .await
}

/// Finds the payment that the notification says it is about, among those of the merchant that it
/// was sent to. Its mchid is compared later, with everything else.
async fn find(
    txn: &Txn,
    context: &Context,
    notification: &notification::Model,
    said: &Transaction,
) -> Result<Option<payment::Model>, Failure> {
    let Some(out_trade_no) = &said.out_trade_no else { return Ok(None) };
    let mchid = &context.merchant(&notification.merchant)?.client.merchant().mchid;
    let payment = payment::Entity::find()
        .filter(payment::Column::Mchid.eq(mchid))
        .filter(payment::Column::OutTradeNo.eq(out_trade_no))
        .filter(payment::Column::Merchant.eq(&notification.merchant))
        .one(txn)
        .await?;
    Ok(payment)
}

async fn settle(
    txn: &Txn,
    notification: &notification::Model,
    verdict: Verdict,
    reason: Option<&str>,
    order_id: Option<&OrderId>,
) -> Result<(), DbErr> {
    let row = notification::ActiveModel {
        verdict: Set(verdict),
        reason: Set(reason.map(str::to_owned)),
        settled_at: Set(Some(txn.now().await?)),
        order_id: Set(order_id.cloned()),
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
    metrics::counter!("everpaid_notifications_settled_total", "verdict" => verdict).increment(1);
    Ok(())
}
