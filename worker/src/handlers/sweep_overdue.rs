//! The second net: finds what is not over and has no job, and asks for one.
//!
//! In a healthy run it finds nothing. Whatever it finds was forgotten by us, or deleted by hand.
//! On its way it deletes what is not kept for ever (`entity/src/retention.rs`).

use std::time::Duration;

use entity::{Db, notification, order, payment, refund, retention, shipping, webhook_delivery};
use jobs::{
    ApplyNotification, CloseOrder, ClosePayment, ConfirmPayment, ConfirmRefund, DeliverWebhook, Failure,
    Finished, Job, PushStatus, RequestRefund, Run, SweepOverdue, UploadShipping, crash_point,
};
use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::Context;

const SWEEP_EVERY: Duration = Duration::from_secs(5 * 60);

/// How long a job that was given up rests before its next run.
const REVIVE_AFTER: Duration = Duration::from_secs(60 * 60);

/// The most that one sweep takes up of each kind; keeps its transaction short.
const FINDS_MAX: usize = 200;

pub(crate) async fn run(
    context: &Context,
    run: &Run,
    SweepOverdue: &SweepOverdue,
) -> Result<Finished, Failure> {
    let Forgotten { orders, payments, to_close, refunds, shippings, notifications, untold, deliveries } =
        find(&context.db).await?;
    let found = [
        ("order", orders.len()),
        ("payment", payments.len()),
        ("payment_to_close", to_close.len()),
        ("refund", refunds.len()),
        ("shipping", shippings.len()),
        ("notification", notifications.len()),
        ("untold_order", untold.len()),
        ("webhook_delivery", deliveries.len()),
    ];
    let is_full = found.iter().any(|(_, found)| *found == FINDS_MAX);
    crash_point!("sweep_overdue.found");
    let (finished, revived) = context
        .db
        .write(async |txn| {
            let now = txn.now().await?;
            for order in &orders {
                let due = if order.status == order::Status::Pending { order.expires_at } else { now };
                jobs::enqueue_at(txn, &CloseOrder::of(&order.id), due).await?;
            }
            let payments: Vec<_> = payments.iter().map(|one| ConfirmPayment::of(&one.id)).collect();
            jobs::enqueue_all(txn, &payments).await?;
            let to_close: Vec<_> = to_close.iter().map(|one| ClosePayment::of(&one.id)).collect();
            jobs::enqueue_all(txn, &to_close).await?;
            for refund in &refunds {
                if is_sent(refund.status) {
                    jobs::enqueue(txn, &ConfirmRefund::of(&refund.id)).await?;
                } else {
                    jobs::enqueue(txn, &RequestRefund::of(&refund.id)).await?;
                }
            }
            for shipping in &shippings {
                jobs::enqueue(txn, &UploadShipping::of(&shipping.id)).await?;
            }
            for notification in &notifications {
                jobs::enqueue(txn, &ApplyNotification::of(&notification.id)).await?;
            }
            let untold: Vec<_> = untold.iter().map(|order| PushStatus::of(&order.id)).collect();
            jobs::enqueue_all(txn, &untold).await?;
            let deliveries: Vec<_> = deliveries.iter().map(|one| DeliverWebhook::of(&one.id)).collect();
            jobs::enqueue_all(txn, &deliveries).await?;
            let revived = jobs::revive_dead(txn, now - REVIVE_AFTER).await?;
            let is_full = retention::forget(txn).await? || is_full;
            let next = if is_full { now } else { now + SWEEP_EVERY };
            Ok::<_, Failure>((run.again_at(txn, next).await?, revived))
        })
        .await?;
    let revived = usize::try_from(revived).unwrap_or(usize::MAX);
    for (what, found) in found.into_iter().chain([("dead_job", revived)]) {
        if found > 0 {
            tracing::error!(what, found, "nobody was seeing to these; somebody does now");
        }
        metrics::counter!("everpaid_sweeper_finds_total", "what" => what).increment(found as u64);
    }
    Ok(finished)
}

/// What nobody was seeing to.
struct Forgotten {
    orders: Vec<order::Model>,
    payments: Vec<payment::Model>,
    /// Those that are being closed, and those whose place a queued one is to take.
    to_close: Vec<payment::Model>,
    refunds: Vec<refund::Model>,
    shippings: Vec<shipping::Model>,
    notifications: Vec<notification::Model>,
    /// Orders of which the shop was not told everything.
    untold: Vec<order::Model>,
    deliveries: Vec<webhook_delivery::Model>,
}

/// Has WeChat Pay taken it?
fn is_sent(status: refund::Status) -> bool {
    matches!(status, refund::Status::Processing | refund::Status::Abnormal)
}

/// What is not over and has no row in `job`. Each is one statement, so that a thing that comes to
/// rest at this moment is seen with its job or not at all.
async fn find(db: &Db) -> Result<Forgotten, DbErr> {
    let orders = format!(
        r#"SELECT * FROM "order" AS thing WHERE status IN ('pending', 'closing')
             AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{}')
           ORDER BY created_at LIMIT {FINDS_MAX}"#,
        CloseOrder::KIND.name()
    );
    // A queued one is opened by the end of the one before it, which is found here.
    let payments = |is_to_close: &str, kind: &str| {
        format!(
            "SELECT * FROM payment AS thing WHERE status IN ('created', 'awaiting_payment', 'unknown', 'closing')
               AND {is_to_close} (status = 'closing' OR EXISTS (
                 SELECT 1 FROM payment AS next WHERE next.order_id = thing.order_id AND next.status = 'queued'))
               AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{kind}')
             ORDER BY created_at LIMIT {FINDS_MAX}"
        )
    };
    let refunds = format!(
        "SELECT * FROM refund AS thing WHERE status IN ('requested', 'unknown', 'processing', 'abnormal')
           AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id
             AND kind = CASE WHEN status IN ('requested', 'unknown') THEN '{}' ELSE '{}' END)
         ORDER BY created_at LIMIT {FINDS_MAX}",
        RequestRefund::KIND.name(),
        ConfirmRefund::KIND.name(),
    );
    let shippings = format!(
        "SELECT * FROM shipping AS thing WHERE status = 'requested'
           AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{}')
         ORDER BY created_at LIMIT {FINDS_MAX}",
        UploadShipping::KIND.name()
    );
    let notifications = format!(
        "SELECT * FROM notification AS thing WHERE verdict IN ('received', 'undecryptable')
           AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{}')
         ORDER BY received_at LIMIT {FINDS_MAX}",
        ApplyNotification::KIND.name()
    );
    let untold = format!(
        r#"SELECT * FROM "order" AS thing WHERE told_seq < event_seq
             AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{}')
           ORDER BY created_at LIMIT {FINDS_MAX}"#,
        PushStatus::KIND.name()
    );
    // The second condition is the first again, in the words of the index.
    let deliveries = format!(
        "SELECT * FROM webhook_delivery AS thing WHERE status = 'pending' AND status <> 'delivered'
           AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{}')
         ORDER BY created_at LIMIT {FINDS_MAX}",
        DeliverWebhook::KIND.name()
    );
    Ok(Forgotten {
        orders: select(db, orders).await?,
        payments: select(db, payments("NOT", ConfirmPayment::KIND.name())).await?,
        to_close: select(db, payments("", ClosePayment::KIND.name())).await?,
        refunds: select(db, refunds).await?,
        shippings: select(db, shippings).await?,
        notifications: select(db, notifications).await?,
        untold: select(db, untold).await?,
        deliveries: select(db, deliveries).await?,
    })
}

async fn select<M: FromQueryResult>(db: &Db, sql: String) -> Result<Vec<M>, DbErr> {
    M::find_by_statement(Statement::from_string(db.backend(), sql)).all(db.reader()).await
}
