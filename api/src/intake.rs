//! Writes notifications down, many in one commit.
//!
//! Whatever waits is written together and then answered together. Under load that shares the
//! disk's flush among hundreds; without load nobody waits for company.

use entity::{
    Db, Txn,
    notification::{self, Verdict},
};
use jobs::{ApplyNotification, crash_point};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryTrait,
    sea_query::OnConflict,
};
use tokio::sync::{mpsc, oneshot};

/// The largest notification, in bytes.
pub(crate) const BODY_MAX: usize = 1024 * 1024;

/// More than this waiting is refused at once.
const QUEUE_MAX: usize = 4096;

/// The most that share a commit; keeps a write transaction under 50 ms.
const BATCH_MAX: usize = 256;

/// Why a notification was not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("the queue is full")]
    Full,
    #[error("the database did not take it")]
    NotStored,
}

#[derive(Clone, Debug)]
pub(crate) struct Intake(mpsc::Sender<Waiting>);

#[derive(Debug)]
struct Waiting {
    notification: notification::Model,
    answer: oneshot::Sender<Result<(), NotTaken>>,
}

impl Intake {
    /// Starts the writers: one on SQLite, which has one writer anyway, two on Postgres, so that one
    /// collects while the other commits.
    pub fn start(db: &Db) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(receiver));
        let writers = if db.backend() == DbBackend::Sqlite { 1 } else { 2 };
        for _ in 0..writers {
            tokio::spawn(write_batches(db.clone(), receiver.clone()));
        }
        Self(sender)
    }

    /// Comes back only when the writers have ended, which they never should.
    pub async fn ended(&self) {
        self.0.closed().await;
    }

    /// Returns when the notification and its job are committed, or were before.
    pub async fn take(&self, notification: notification::Model) -> Result<(), NotTaken> {
        let (answer, written) = oneshot::channel();
        self.0.try_send(Waiting { notification, answer }).map_err(|_| NotTaken::Full)?;
        written.await.unwrap_or(Err(NotTaken::NotStored))
    }
}

async fn write_batches(db: Db, receiver: std::sync::Arc<tokio::sync::Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        if receiver.lock().await.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        let (notifications, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.notification, waiting.answer)).unzip();
        let written = write(&db, notifications).await.map_err(|error| {
            tracing::error!(%error, "notifications could not be stored; WeChat Pay will send them again");
            NotTaken::NotStored
        });
        crash_point!("intake.committed");
        for answer in answers {
            // Whoever hung up is sent it again.
            answer.send(written).ok();
        }
    }
}

async fn write(db: &Db, mut notifications: Vec<notification::Model>) -> Result<(), DbErr> {
    // Two writers that insert the same copies in one order wait for each other; in two, for ever.
    notifications.sort_by(|a, b| (&a.merchant, &a.wechat_id).cmp(&(&b.merchant, &b.wechat_id)));
    let mut notifications = notifications.into_iter();
    db.write(async |txn| {
        // A few lengths only, so that the statements stay prepared: 200 are written as 128, 64 and 8.
        while let Some(length) = notifications.len().checked_ilog2() {
            write_some(txn, notifications.by_ref().take(1 << length).collect()).await?;
        }
        Ok(())
    })
    .await
}

async fn write_some(txn: &Txn, some: Vec<notification::Model>) -> Result<(), DbErr> {
    let wechat_ids: Vec<_> = some.iter().map(|row| row.wechat_id.clone()).collect();
    let known = OnConflict::columns([notification::Column::Merchant, notification::Column::WechatId])
        .do_nothing()
        .to_owned();
    let rows = some.into_iter().map(|row| row.into_active_model());
    let mut insert = notification::Entity::insert_many(rows).on_conflict(known).into_query();
    insert.returning_col(notification::Column::Id);
    // Only those that are new come back.
    let new: Result<Vec<_>, DbErr> = txn
        .query_all(&insert)
        .await?
        .iter()
        .map(|row| Ok(ApplyNotification { notification: row.try_get("", "id")? }))
        .collect();
    crash_point!("intake.inserted");
    let mut jobs = new?;
    if jobs.len() < wechat_ids.len() {
        jobs.extend(unsettled(txn, wechat_ids).await?);
        jobs.sort_by(|a, b| a.notification.cmp(&b.notification));
        jobs.dedup();
    }
    jobs::enqueue_all(txn, &jobs).await
}

/// Those that WeChat Pay repeats because nobody acted on them yet: they are asked for again, in
/// case their job is dead.
async fn unsettled(txn: &Txn, wechat_ids: Vec<String>) -> Result<Vec<ApplyNotification>, DbErr> {
    let rows = notification::Entity::find()
        .filter(notification::Column::WechatId.is_in(wechat_ids))
        .filter(notification::Column::Verdict.eq(Verdict::Received))
        .all(txn)
        .await?;
    Ok(rows.iter().map(|row| ApplyNotification::of(&row.id)).collect())
}
