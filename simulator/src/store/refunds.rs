//! Refunds, asked for over the API or in the merchant's console.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult};

use super::{Store, statement};
use crate::rules::refund::{Outcome, Refund, Source, State};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS refund (
    mchid TEXT NOT NULL,
    out_refund_no TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    refund_id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL CHECK (source IN ('api', 'console')),
    body TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PROCESSING', 'SUCCESS', 'CLOSED', 'ABNORMAL')),
    outcome TEXT CHECK (outcome IN ('SUCCESS', 'CLOSED', 'ABNORMAL')),
    due_at INTEGER,
    settled_at INTEGER,
    PRIMARY KEY (mchid, out_refund_no),
    FOREIGN KEY (mchid, out_trade_no) REFERENCES payment,
    CONSTRAINT settled_has_a_time CHECK ((state = 'PROCESSING') = (settled_at IS NULL)),
    CONSTRAINT due_has_an_outcome CHECK ((due_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT settled_is_not_due CHECK (due_at IS NULL OR state = 'PROCESSING')
) STRICT;
CREATE INDEX IF NOT EXISTS refund_of ON refund (mchid, out_trade_no);
CREATE INDEX IF NOT EXISTS refund_newest ON refund (created_at);
CREATE INDEX IF NOT EXISTS refund_due ON refund (due_at) WHERE due_at IS NOT NULL;
";

impl Store {
    pub(crate) async fn newest_refunds(&self, limit: u64) -> Result<Vec<Refund>, DbErr> {
        self.all("SELECT * FROM refund ORDER BY created_at DESC, rowid DESC LIMIT ?", [limit.into()])
            .await?
            .iter()
            .map(read_refund)
            .collect()
    }

    /// Every refund, in the order in which they were accepted.
    pub(crate) async fn all_refunds(&self) -> Result<Vec<Refund>, DbErr> {
        let sql = "SELECT * FROM refund ORDER BY created_at, rowid";
        self.all(sql, []).await?.iter().map(read_refund).collect()
    }

    /// When the next refund ends by itself.
    pub(crate) async fn next_refund_due(&self) -> Result<Option<i64>, DbErr> {
        let row = self.one("SELECT min(due_at) AS due_at FROM refund WHERE due_at IS NOT NULL", []).await?;
        Ok(row.map(|row| row.try_get("", "due_at")).transpose()?.flatten())
    }
}

pub(crate) async fn find_refund(
    db: &impl ConnectionTrait,
    mchid: &str,
    out_refund_no: &str,
) -> Result<Option<Refund>, DbErr> {
    let sql = "SELECT * FROM refund WHERE mchid = ? AND out_refund_no = ?";
    let row = db.query_one_raw(statement(sql, [mchid.into(), out_refund_no.into()])).await?;
    row.as_ref().map(read_refund).transpose()
}

/// The refunds of an order, in the order in which they were accepted.
pub(crate) async fn refunds_of(
    db: &impl ConnectionTrait,
    mchid: &str,
    out_trade_no: &str,
) -> Result<Vec<Refund>, DbErr> {
    let sql = "SELECT * FROM refund WHERE mchid = ? AND out_trade_no = ? ORDER BY created_at, rowid";
    let rows = db.query_all_raw(statement(sql, [mchid.into(), out_trade_no.into()])).await?;
    rows.iter().map(read_refund).collect()
}

/// Refunds that have ended by `now` and were not settled yet, oldest first.
pub(crate) async fn due_refunds(db: &impl ConnectionTrait, now: i64) -> Result<Vec<Refund>, DbErr> {
    let sql = "SELECT * FROM refund WHERE due_at <= ? ORDER BY due_at, rowid";
    db.query_all_raw(statement(sql, [now.into()])).await?.iter().map(read_refund).collect()
}

pub(crate) async fn insert_refund(txn: &DatabaseTransaction, refund: &Refund) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO refund (mchid, out_refund_no, out_trade_no, refund_id, source, body, amount, created_at,
            state, outcome, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'PROCESSING', ?, ?)",
        [
            refund.mchid.as_str().into(),
            refund.out_refund_no.as_str().into(),
            refund.out_trade_no.as_str().into(),
            refund.refund_id.as_str().into(),
            refund.source.name().into(),
            refund.body.to_string().into(),
            refund.terms.amount.refund.into(),
            refund.created_at.into(),
            refund.due.map(|(outcome, _)| outcome.name()).into(),
            refund.due.map(|(_, at)| at).into(),
        ],
    ))
    .await?;
    Ok(())
}

/// Writes what may change in a refund: its state.
pub(crate) async fn update_refund(txn: &DatabaseTransaction, refund: &Refund) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "UPDATE refund SET state = ?, outcome = ?, due_at = ?, settled_at = ?
         WHERE mchid = ? AND out_refund_no = ?",
        [
            refund.state.name().into(),
            refund.due.map(|(outcome, _)| outcome.name()).into(),
            refund.due.map(|(_, at)| at).into(),
            refund.state.settled_at().into(),
            refund.mchid.as_str().into(),
            refund.out_refund_no.as_str().into(),
        ],
    ))
    .await?;
    Ok(())
}

pub(super) fn read_refund(row: &QueryResult) -> Result<Refund, DbErr> {
    let out_refund_no: String = row.try_get("", "out_refund_no")?;
    let odd = |what: &str| DbErr::Type(format!("refund {out_refund_no} has an odd {what}"));
    let body: String = row.try_get("", "body")?;
    let body: serde_json::Value = serde_json::from_str(&body).map_err(|_| odd("body"))?;
    let source: String = row.try_get("", "source")?;
    let state: String = row.try_get("", "state")?;
    let settled_at: Option<i64> = row.try_get("", "settled_at")?;
    let outcome: Option<String> = row.try_get("", "outcome")?;
    let due_at: Option<i64> = row.try_get("", "due_at")?;
    Ok(Refund {
        mchid: row.try_get("", "mchid")?,
        out_trade_no: row.try_get("", "out_trade_no")?,
        refund_id: row.try_get("", "refund_id")?,
        source: match source.as_str() {
            "api" => Source::Api,
            "console" => Source::Console,
            _ => return Err(odd("source")),
        },
        terms: serde_json::from_value(body.clone()).map_err(|_| odd("body"))?,
        body,
        created_at: row.try_get("", "created_at")?,
        due: match (outcome.as_deref(), due_at) {
            (None, None) => None,
            (Some("SUCCESS"), Some(at)) => Some((Outcome::Success, at)),
            (Some("ABNORMAL"), Some(at)) => Some((Outcome::Abnormal, at)),
            (Some("CLOSED"), Some(at)) => Some((Outcome::Closed, at)),
            _ => return Err(odd("outcome")),
        },
        state: match (state.as_str(), settled_at) {
            ("PROCESSING", None) => State::Processing,
            ("SUCCESS", Some(at)) => State::Success { at },
            ("CLOSED", Some(at)) => State::Closed { at },
            ("ABNORMAL", Some(at)) => State::Abnormal { at },
            _ => return Err(odd("state")),
        },
        out_refund_no,
    })
}
