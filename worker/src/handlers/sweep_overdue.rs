//! The second net: finds what is not over and has no job, and asks for one.
//!
//! In a healthy run it finds nothing. Whatever it finds was forgotten by us, or deleted by hand.

use std::time::Duration;

use entity::{Db, notification, order, payment};
use jobs::{
    ApplyNotification, CloseOrder, ClosePayment, ConfirmPayment, Failure, Finished, Job, Run, SweepOverdue,
    crash_point,
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
    let (orders, payments, notifications) = find(&context.db).await?;
    let is_full = [orders.len(), payments.len(), notifications.len()].contains(&FINDS_MAX);
    crash_point!("sweep_overdue.found");
    let (finished, revived) = context
        .db
        .write(async |txn| {
            let now = txn.now().await?;
            for order in &orders {
                let due = if order.status == order::Status::Pending { order.expires_at } else { now };
                jobs::enqueue_at(txn, &CloseOrder::for_order(order), due).await?;
            }
            for payment in &payments {
                if payment.status == payment::Status::Closing {
                    jobs::enqueue(txn, &ClosePayment::for_payment(payment)).await?;
                } else {
                    jobs::enqueue(txn, &ConfirmPayment::for_payment(payment)).await?;
                }
            }
            for notification in &notifications {
                jobs::enqueue(txn, &ApplyNotification::for_notification(notification)).await?;
            }
            let revived = jobs::revive_dead(txn, now - REVIVE_AFTER).await?;
            let next = if is_full { now } else { now + SWEEP_EVERY };
            Ok::<_, Failure>((run.again_at(txn, next).await?, revived))
        })
        .await?;
    let revived = usize::try_from(revived).unwrap_or(usize::MAX);
    for (what, found) in [
        ("order", orders.len()),
        ("payment", payments.len()),
        ("notification", notifications.len()),
        ("dead_job", revived),
    ] {
        if found > 0 {
            tracing::error!(what, found, "nobody was seeing to these; somebody does now");
        }
        metrics::counter!("everpaid_sweeper_finds_total", "what" => what).increment(found as u64);
    }
    Ok(finished)
}

/// What is not over and has no row in `job`. Each is one statement, so that a thing that comes to
/// rest at this moment is seen with its job or not at all.
async fn find(db: &Db) -> Result<(Vec<order::Model>, Vec<payment::Model>, Vec<notification::Model>), DbErr> {
    let orders = format!(
        r#"SELECT * FROM "order" AS thing WHERE status IN ('pending', 'closing')
             AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{}')
           ORDER BY created_at LIMIT {FINDS_MAX}"#,
        CloseOrder::KIND.name()
    );
    // A queued one is opened by the end of the one before it, which is found here.
    let payments = format!(
        "SELECT * FROM payment AS thing WHERE status IN ('created', 'awaiting_payment', 'unknown', 'closing')
           AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id
             AND kind = CASE status WHEN 'closing' THEN '{}' ELSE '{}' END)
         ORDER BY created_at LIMIT {FINDS_MAX}",
        ClosePayment::KIND.name(),
        ConfirmPayment::KIND.name(),
    );
    let notifications = format!(
        "SELECT * FROM notification AS thing WHERE verdict IN ('received', 'undecryptable')
           AND NOT EXISTS (SELECT 1 FROM job WHERE subject = thing.id AND kind = '{}')
         ORDER BY received_at LIMIT {FINDS_MAX}",
        ApplyNotification::KIND.name()
    );
    Ok((select(db, orders).await?, select(db, payments).await?, select(db, notifications).await?))
}

async fn select<M: FromQueryResult>(db: &Db, sql: String) -> Result<Vec<M>, DbErr> {
    M::find_by_statement(Statement::from_string(db.backend(), sql)).all(db.reader()).await
}
