//! What merchants are to be told, and every try to tell them.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult};

use super::{Store, statement};
use crate::wire::event::Event;

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS notification (
    id TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    out_refund_no TEXT,
    event TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'taken', 'given_up', 'never_sent')),
    attempts INTEGER NOT NULL DEFAULT 0,
    was_delayed INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    FOREIGN KEY (mchid, out_trade_no) REFERENCES payment,
    FOREIGN KEY (mchid, out_refund_no) REFERENCES refund
) STRICT;
CREATE INDEX IF NOT EXISTS notification_of ON notification (mchid, out_trade_no);
CREATE INDEX IF NOT EXISTS notification_due ON notification (next_at) WHERE state = 'pending';

CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY,
    notification_id TEXT NOT NULL REFERENCES notification,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    fault TEXT,
    status INTEGER,
    answer TEXT,
    error TEXT,
    took_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS delivery_of ON delivery (notification_id);
";

/// A fact to be told of. Pending without a `next_at` is being sent right now.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub id: String,
    pub mchid: String,
    pub out_trade_no: String,
    /// Only of a refund's notification.
    pub out_refund_no: Option<String>,
    pub event: Event,
    pub notify_url: String,
    /// What is told, in the clear, as JSON; it is sealed again on every try.
    pub content: String,
    pub created_at: i64,
    pub state: Delivered,
    pub attempts: u32,
    pub was_delayed: bool,
    pub next_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    Pending,
    Taken,
    GivenUp,
    NeverSent,
}

/// One post to a `notify_url` and what came back.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub attempt: u32,
    pub at: i64,
    pub fault: Option<String>,
    pub status: Option<u16>,
    pub answer: Option<String>,
    pub error: Option<String>,
    pub took_ms: i64,
}

impl Store {
    pub(crate) async fn notifications_of(
        &self,
        mchid: &str,
        out_trade_no: &str,
    ) -> Result<Vec<Notification>, DbErr> {
        let sql = "SELECT * FROM notification WHERE mchid = ? AND out_trade_no = ? ORDER BY rowid";
        self.all(sql, [mchid.into(), out_trade_no.into()]).await?.iter().map(read_notification).collect()
    }

    pub(crate) async fn newest_notifications(&self, limit: u64) -> Result<Vec<Notification>, DbErr> {
        let sql = "SELECT * FROM notification ORDER BY rowid DESC LIMIT ?";
        self.all(sql, [limit.into()]).await?.iter().map(read_notification).collect()
    }

    pub(crate) async fn deliveries_of(&self, id: &str) -> Result<Vec<Delivery>, DbErr> {
        self.all("SELECT * FROM delivery WHERE notification_id = ? ORDER BY id", [id.into()])
            .await?
            .iter()
            .map(|row| {
                Ok(Delivery {
                    attempt: row.try_get("", "attempt")?,
                    at: row.try_get("", "at")?,
                    fault: row.try_get("", "fault")?,
                    status: row
                        .try_get::<Option<i64>>("", "status")?
                        .and_then(|status| status.try_into().ok()),
                    answer: row.try_get("", "answer")?,
                    error: row.try_get("", "error")?,
                    took_ms: row.try_get("", "took_ms")?,
                })
            })
            .collect()
    }

    /// Takes what is due for sending, oldest first.
    pub(crate) async fn claim_due(&self, now: i64, limit: u64) -> Result<Vec<Notification>, DbErr> {
        self.all(
            "UPDATE notification SET next_at = NULL WHERE id IN (
                SELECT id FROM notification WHERE state = 'pending' AND next_at <= ?
                ORDER BY next_at LIMIT ?) RETURNING *",
            [now.into(), limit.into()],
        )
        .await?
        .iter()
        .map(read_notification)
        .collect()
    }

    /// Lets notifications that wait for a later time go now.
    pub(crate) async fn make_due(&self, ids: &[String], now: i64) -> Result<(), DbErr> {
        let sql = "UPDATE notification SET next_at = ?
            WHERE state = 'pending' AND next_at > ? AND id IN (SELECT value FROM json_each(?))";
        let ids = serde_json::to_string(ids).map_err(|error| DbErr::Json(error.to_string()))?;
        self.run(sql, [now.into(), now.into(), ids.into()]).await
    }

    /// When the next try is due, and when the next refund ends.
    pub(crate) async fn next_due(&self) -> Result<(Option<i64>, Option<i64>), DbErr> {
        let row = self
            .one(
                "SELECT (SELECT min(next_at) FROM notification WHERE state = 'pending') AS next_try,
                    (SELECT min(due_at) FROM refund WHERE due_at IS NOT NULL) AS next_refund",
                [],
            )
            .await?;
        let Some(row) = row else { return Ok((None, None)) };
        Ok((row.try_get("", "next_try")?, row.try_get("", "next_refund")?))
    }

    /// Is a notification due, or being sent, or about to be made because a refund has ended?
    pub(crate) async fn is_notifying(&self, now: i64) -> Result<bool, DbErr> {
        let row = self
            .one(
                "SELECT 1 AS found FROM notification
                 WHERE state = 'pending' AND (next_at IS NULL OR next_at <= ?1)
                 UNION ALL SELECT 1 FROM refund WHERE due_at <= ?1 LIMIT 1",
                [now.into()],
            )
            .await?;
        Ok(row.is_some())
    }
}

pub(crate) async fn insert_notification(
    txn: &DatabaseTransaction,
    notification: &Notification,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO notification (id, mchid, out_trade_no, out_refund_no, event, notify_url, content,
            created_at, state, next_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
        [
            notification.id.as_str().into(),
            notification.mchid.as_str().into(),
            notification.out_trade_no.as_str().into(),
            notification.out_refund_no.clone().into(),
            notification.event.name().into(),
            notification.notify_url.as_str().into(),
            notification.content.as_str().into(),
            notification.created_at.into(),
            notification.next_at.into(),
        ],
    ))
    .await?;
    Ok(())
}

impl Delivered {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Taken => "taken",
            Self::GivenUp => "given_up",
            Self::NeverSent => "never_sent",
        }
    }
}

fn read_notification(row: &QueryResult) -> Result<Notification, DbErr> {
    let id: String = row.try_get("", "id")?;
    let state: String = row.try_get("", "state")?;
    let event: String = row.try_get("", "event")?;
    Ok(Notification {
        mchid: row.try_get("", "mchid")?,
        out_trade_no: row.try_get("", "out_trade_no")?,
        out_refund_no: row.try_get("", "out_refund_no")?,
        event: Event::named(&event)
            .ok_or_else(|| DbErr::Type(format!("notification {id} has an odd event")))?,
        notify_url: row.try_get("", "notify_url")?,
        content: row.try_get("", "content")?,
        created_at: row.try_get("", "created_at")?,
        state: match state.as_str() {
            "pending" => Delivered::Pending,
            "taken" => Delivered::Taken,
            "given_up" => Delivered::GivenUp,
            "never_sent" => Delivered::NeverSent,
            _ => return Err(DbErr::Type(format!("notification {id} has an odd state"))),
        },
        attempts: row.try_get("", "attempts")?,
        was_delayed: row.try_get("", "was_delayed")?,
        next_at: row.try_get("", "next_at")?,
        id,
    })
}
