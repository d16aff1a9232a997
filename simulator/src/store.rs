//! The simulator's own memory: one SQLite file, one connection, money in whole fen.
//!
//! The single connection is also what puts a close and a payment of one order in sequence.

use std::path::Path;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};

use crate::rules::{Endpoint, Order, Paid, State};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS payment (
    out_trade_no TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    body TEXT NOT NULL,
    total INTEGER NOT NULL CHECK (total > 0),
    created_at INTEGER NOT NULL,
    payable_until INTEGER NOT NULL,
    code TEXT NOT NULL UNIQUE,
    code_expires_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('NOTPAY', 'SUCCESS', 'CLOSED')),
    closed_at INTEGER,
    transaction_id TEXT UNIQUE,
    paid_at INTEGER,
    openid TEXT,
    payer_total INTEGER,
    CONSTRAINT paid_has_a_payment CHECK ((state = 'SUCCESS') = (transaction_id IS NOT NULL
        AND paid_at IS NOT NULL AND openid IS NOT NULL AND payer_total IS NOT NULL)),
    CONSTRAINT closed_has_a_time CHECK ((state = 'CLOSED') = (closed_at IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS payment_newest ON payment (created_at);

CREATE TABLE IF NOT EXISTS payer_attempt (
    id INTEGER PRIMARY KEY,
    out_trade_no TEXT NOT NULL REFERENCES payment,
    at INTEGER NOT NULL,
    outcome TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS payer_attempt_of ON payer_attempt (out_trade_no);

CREATE TABLE IF NOT EXISTS notification (
    id TEXT PRIMARY KEY,
    out_trade_no TEXT NOT NULL REFERENCES payment,
    notify_url TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'taken', 'given_up', 'never_sent')),
    attempts INTEGER NOT NULL DEFAULT 0,
    was_delayed INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS notification_of ON notification (out_trade_no);
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

pub(crate) struct Store {
    db: DatabaseConnection,
}

/// A success to be told of. Pending without a `next_at` is being sent right now.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub id: String,
    pub out_trade_no: String,
    pub notify_url: String,
    /// The transaction in the clear; it is sealed again on every try.
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

#[derive(Clone, Debug)]
pub(crate) struct PayerAttempt {
    pub at: i64,
    pub outcome: String,
}

impl Store {
    /// Opens the file, or memory without one.
    pub(crate) async fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut options = ConnectOptions::new("sqlite::memory:");
        options
            .max_connections(1)
            .min_connections(1)
            .sqlx_logging(false)
            // The one connection must not be renewed: in memory it is the data.
            .map_sqlx_sqlite_pool_opts(|pool| pool.idle_timeout(None).max_lifetime(None));
        if let Some(file) = file {
            if let Some(folder) = file.parent() {
                tokio::fs::create_dir_all(folder).await?;
            }
            let file = file.to_owned();
            options.map_sqlx_sqlite_opts(move |sqlite| {
                sqlite
                    .filename(&file)
                    .in_memory(false)
                    .shared_cache(false)
                    .create_if_missing(true)
                    .pragma("journal_mode", "WAL")
                    .pragma("synchronous", "NORMAL")
                    .pragma("cache_size", "-8192")
            });
        }
        let db = Database::connect(options).await?;
        db.execute_unprepared(SCHEMA).await?;
        let store = Self { db };
        // What was being sent when the process ended is due again.
        store
            .run(
                "UPDATE notification SET next_at = created_at WHERE state = 'pending' AND next_at IS NULL",
                [],
            )
            .await?;
        Ok(store)
    }

    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        self.db.clone().close().await
    }

    /// A transaction that has the connection to itself; dropping it undoes it.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.db
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    pub(crate) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, DbErr> {
        let row = self.one("SELECT value FROM setting WHERE name = ?", [name.into()]).await?;
        row.map(|row| row.try_get("", "value")).transpose()
    }

    pub(crate) async fn set(&self, name: &str, value: &str) -> Result<(), DbErr> {
        self.run(
            "INSERT INTO setting (name, value) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name.into(), value.into()],
        )
        .await
    }

    pub(crate) async fn newest_orders(&self, limit: u64) -> Result<Vec<Order>, DbErr> {
        self.all("SELECT * FROM payment ORDER BY created_at DESC, rowid DESC LIMIT ?", [limit.into()])
            .await?
            .iter()
            .map(read_order)
            .collect()
    }

    /// Orders that were paid, in the order of payment.
    pub(crate) async fn paid_orders(&self) -> Result<Vec<(String, String, i64, Paid)>, DbErr> {
        self.all("SELECT * FROM payment WHERE paid_at IS NOT NULL ORDER BY paid_at, rowid", [])
            .await?
            .iter()
            .map(|row| {
                Ok((
                    row.try_get("", "out_trade_no")?,
                    row.try_get("", "state")?,
                    row.try_get("", "total")?,
                    read_paid(row)?,
                ))
            })
            .collect()
    }

    pub(crate) async fn payer_attempts(&self, out_trade_no: &str) -> Result<Vec<PayerAttempt>, DbErr> {
        self.all(
            "SELECT at, outcome FROM payer_attempt WHERE out_trade_no = ? ORDER BY id",
            [out_trade_no.into()],
        )
        .await?
        .iter()
        .map(|row| Ok(PayerAttempt { at: row.try_get("", "at")?, outcome: row.try_get("", "outcome")? }))
        .collect()
    }

    pub(crate) async fn notifications_of(&self, out_trade_no: &str) -> Result<Vec<Notification>, DbErr> {
        self.all("SELECT * FROM notification WHERE out_trade_no = ? ORDER BY rowid", [out_trade_no.into()])
            .await?
            .iter()
            .map(read_notification)
            .collect()
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

    pub(crate) async fn next_due(&self) -> Result<Option<i64>, DbErr> {
        let row =
            self.one("SELECT min(next_at) AS next_at FROM notification WHERE state = 'pending'", []).await?;
        Ok(row.map(|row| row.try_get("", "next_at")).transpose()?.flatten())
    }

    /// Is a notification due, or being sent?
    pub(crate) async fn is_notifying(&self, now: i64) -> Result<bool, DbErr> {
        let row = self
            .one(
                "SELECT 1 AS found FROM notification
                 WHERE state = 'pending' AND (next_at IS NULL OR next_at <= ?) LIMIT 1",
                [now.into()],
            )
            .await?;
        Ok(row.is_some())
    }

    async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<(), DbErr> {
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }

    async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, DbErr> {
        self.db.query_one_raw(statement(sql, values)).await
    }

    async fn all(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        self.db.query_all_raw(statement(sql, values)).await
    }
}

/// Which order is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'a> {
    Number(&'a str),
    Transaction(&'a str),
    Code(&'a str),
}

pub(crate) async fn find_order(db: &impl ConnectionTrait, by: By<'_>) -> Result<Option<Order>, DbErr> {
    let (sql, value) = match by {
        By::Number(number) => ("SELECT * FROM payment WHERE out_trade_no = ?", number),
        By::Transaction(id) => ("SELECT * FROM payment WHERE transaction_id = ?", id),
        By::Code(code) => ("SELECT * FROM payment WHERE code = ?", code),
    };
    let row = db.query_one_raw(statement(sql, [value.into()])).await?;
    row.as_ref().map(read_order).transpose()
}

pub(crate) async fn insert_order(txn: &DatabaseTransaction, order: &Order) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO payment (out_trade_no, endpoint, body, total, created_at, payable_until,
            code, code_expires_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'NOTPAY')",
        [
            order.out_trade_no.as_str().into(),
            order.endpoint.name().into(),
            order.body.to_string().into(),
            order.terms.amount.total.into(),
            order.created_at.into(),
            order.payable_until.into(),
            order.code.as_str().into(),
            order.code_expires_at.into(),
        ],
    ))
    .await?;
    Ok(())
}

/// Writes what may change in an order: its code and its state.
pub(crate) async fn update_order(txn: &DatabaseTransaction, order: &Order) -> Result<(), DbErr> {
    let (closed_at, paid) = match &order.state {
        State::NotPay => (None, None),
        State::Closed { closed_at } => (Some(*closed_at), None),
        State::Success(paid) => (None, Some(paid)),
    };
    txn.execute_raw(statement(
        "UPDATE payment SET code = ?, code_expires_at = ?, state = ?, closed_at = ?,
            transaction_id = ?, paid_at = ?, openid = ?, payer_total = ? WHERE out_trade_no = ?",
        [
            order.code.as_str().into(),
            order.code_expires_at.into(),
            order.state.name().into(),
            closed_at.into(),
            paid.map(|paid| paid.transaction_id.clone()).into(),
            paid.map(|paid| paid.paid_at).into(),
            paid.map(|paid| paid.openid.clone()).into(),
            paid.map(|paid| paid.payer_total).into(),
            order.out_trade_no.as_str().into(),
        ],
    ))
    .await?;
    Ok(())
}

pub(crate) async fn add_payer_attempt(
    txn: &DatabaseTransaction,
    out_trade_no: &str,
    attempt: &PayerAttempt,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO payer_attempt (out_trade_no, at, outcome) VALUES (?, ?, ?)",
        [out_trade_no.into(), attempt.at.into(), attempt.outcome.as_str().into()],
    ))
    .await?;
    Ok(())
}

pub(crate) async fn insert_notification(
    txn: &DatabaseTransaction,
    notification: &Notification,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO notification (id, out_trade_no, notify_url, content, created_at, state, next_at)
         VALUES (?, ?, ?, ?, ?, 'pending', ?)",
        [
            notification.id.as_str().into(),
            notification.out_trade_no.as_str().into(),
            notification.notify_url.as_str().into(),
            notification.content.as_str().into(),
            notification.created_at.into(),
            notification.next_at.into(),
        ],
    ))
    .await?;
    Ok(())
}

/// Writes where a notification stands after a try.
pub(crate) async fn update_notification(
    txn: &DatabaseTransaction,
    notification: &Notification,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "UPDATE notification SET state = ?, attempts = ?, was_delayed = ?, next_at = ? WHERE id = ?",
        [
            notification.state.name().into(),
            notification.attempts.into(),
            notification.was_delayed.into(),
            notification.next_at.into(),
            notification.id.as_str().into(),
        ],
    ))
    .await?;
    Ok(())
}

pub(crate) async fn insert_delivery(
    txn: &DatabaseTransaction,
    notification_id: &str,
    delivery: &Delivery,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO delivery (notification_id, attempt, at, fault, status, answer, error, took_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            notification_id.into(),
            delivery.attempt.into(),
            delivery.at.into(),
            delivery.fault.clone().into(),
            delivery.status.map(i64::from).into(),
            delivery.answer.clone().into(),
            delivery.error.clone().into(),
            delivery.took_ms.into(),
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

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

fn read_order(row: &QueryResult) -> Result<Order, DbErr> {
    let out_trade_no: String = row.try_get("", "out_trade_no")?;
    let odd = |what: &str| DbErr::Type(format!("payment {out_trade_no} has an odd {what}"));
    let body: String = row.try_get("", "body")?;
    let body: serde_json::Value = serde_json::from_str(&body).map_err(|_| odd("body"))?;
    let endpoint: String = row.try_get("", "endpoint")?;
    let state: String = row.try_get("", "state")?;
    Ok(Order {
        endpoint: match endpoint.as_str() {
            "jsapi" => Endpoint::Jsapi,
            "native" => Endpoint::Native,
            _ => return Err(odd("endpoint")),
        },
        terms: serde_json::from_value(body.clone()).map_err(|_| odd("body"))?,
        body,
        created_at: row.try_get("", "created_at")?,
        payable_until: row.try_get("", "payable_until")?,
        code: row.try_get("", "code")?,
        code_expires_at: row.try_get("", "code_expires_at")?,
        state: match state.as_str() {
            "NOTPAY" => State::NotPay,
            "SUCCESS" => State::Success(read_paid(row)?),
            "CLOSED" => State::Closed { closed_at: row.try_get("", "closed_at")? },
            _ => return Err(odd("state")),
        },
        out_trade_no,
    })
}

fn read_paid(row: &QueryResult) -> Result<Paid, DbErr> {
    Ok(Paid {
        transaction_id: row.try_get("", "transaction_id")?,
        paid_at: row.try_get("", "paid_at")?,
        openid: row.try_get("", "openid")?,
        payer_total: row.try_get("", "payer_total")?,
    })
}

fn read_notification(row: &QueryResult) -> Result<Notification, DbErr> {
    let id: String = row.try_get("", "id")?;
    let state: String = row.try_get("", "state")?;
    Ok(Notification {
        out_trade_no: row.try_get("", "out_trade_no")?,
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
