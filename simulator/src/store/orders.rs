//! Orders at WeChat Pay, and what the payer tried with them.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult};

use super::{Store, statement};
use crate::rules::{Endpoint, Order, Paid, State};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS payment (
    mchid TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    body TEXT NOT NULL,
    total INTEGER NOT NULL CHECK (total > 0),
    created_at INTEGER NOT NULL,
    payable_until INTEGER NOT NULL,
    code TEXT NOT NULL UNIQUE,
    code_expires_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('NOTPAY', 'SUCCESS', 'REFUND', 'CLOSED')),
    closed_at INTEGER,
    transaction_id TEXT UNIQUE,
    paid_at INTEGER,
    openid TEXT,
    payer_total INTEGER,
    PRIMARY KEY (mchid, out_trade_no),
    CONSTRAINT paid_has_a_payment CHECK ((state IN ('SUCCESS', 'REFUND')) = (transaction_id IS NOT NULL
        AND paid_at IS NOT NULL AND openid IS NOT NULL AND payer_total IS NOT NULL)),
    CONSTRAINT closed_has_a_time CHECK ((state = 'CLOSED') = (closed_at IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS payment_newest ON payment (created_at);

CREATE TABLE IF NOT EXISTS payer_attempt (
    id INTEGER PRIMARY KEY,
    mchid TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    FOREIGN KEY (mchid, out_trade_no) REFERENCES payment
) STRICT;
CREATE INDEX IF NOT EXISTS payer_attempt_of ON payer_attempt (mchid, out_trade_no);
";

#[derive(Clone, Debug)]
pub(crate) struct PayerAttempt {
    pub at: i64,
    pub outcome: String,
}

impl Store {
    pub(crate) async fn newest_orders(&self, limit: u64) -> Result<Vec<Order>, DbErr> {
        self.all("SELECT * FROM payment ORDER BY created_at DESC, rowid DESC LIMIT ?", [limit.into()])
            .await?
            .iter()
            .map(read_order)
            .collect()
    }

    /// Orders that were paid, in the order of payment.
    pub(crate) async fn paid_orders(&self) -> Result<Vec<Order>, DbErr> {
        self.all("SELECT * FROM payment WHERE paid_at IS NOT NULL ORDER BY paid_at, rowid", [])
            .await?
            .iter()
            .map(read_order)
            .collect()
    }

    pub(crate) async fn payer_attempts(
        &self,
        mchid: &str,
        out_trade_no: &str,
    ) -> Result<Vec<PayerAttempt>, DbErr> {
        self.all(
            "SELECT at, outcome FROM payer_attempt WHERE mchid = ? AND out_trade_no = ? ORDER BY id",
            [mchid.into(), out_trade_no.into()],
        )
        .await?
        .iter()
        .map(|row| Ok(PayerAttempt { at: row.try_get("", "at")?, outcome: row.try_get("", "outcome")? }))
        .collect()
    }
}

/// Which order is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'a> {
    /// The mchid, and its own number.
    Number(&'a str, &'a str),
    Transaction(&'a str),
    Code(&'a str),
}

pub(crate) async fn find_order(db: &impl ConnectionTrait, by: By<'_>) -> Result<Option<Order>, DbErr> {
    let (condition, values) = match by {
        By::Number(mchid, number) => ("mchid = ? AND out_trade_no = ?", vec![mchid.into(), number.into()]),
        By::Transaction(id) => ("transaction_id = ?", vec![id.into()]),
        By::Code(code) => ("code = ?", vec![code.into()]),
    };
    let row =
        db.query_one_raw(statement(&format!("SELECT * FROM payment WHERE {condition}"), values)).await?;
    row.as_ref().map(read_order).transpose()
}

/// Writes a new order, unless its number is taken; says whether it did.
pub(crate) async fn insert_order(db: &impl ConnectionTrait, order: &Order) -> Result<bool, DbErr> {
    let inserted = db
        .execute_raw(statement(
            "INSERT INTO payment (mchid, out_trade_no, endpoint, body, total, created_at, payable_until,
            code, code_expires_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'NOTPAY')
            ON CONFLICT (mchid, out_trade_no) DO NOTHING",
            [
                order.terms.mchid.as_str().into(),
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
    Ok(inserted.rows_affected() == 1)
}

/// Writes what may change in an order: its code and its state.
pub(crate) async fn update_order(txn: &DatabaseTransaction, order: &Order) -> Result<(), DbErr> {
    let (closed_at, paid) = match &order.state {
        State::NotPay => (None, None),
        State::Closed { closed_at } => (Some(*closed_at), None),
        State::Success(paid) | State::Refund(paid) => (None, Some(paid)),
    };
    txn.execute_raw(statement(
        "UPDATE payment SET code = ?, code_expires_at = ?, state = ?, closed_at = ?,
            transaction_id = ?, paid_at = ?, openid = ?, payer_total = ? WHERE mchid = ? AND out_trade_no = ?",
        [
            order.code.as_str().into(),
            order.code_expires_at.into(),
            order.state.name().into(),
            closed_at.into(),
            paid.map(|paid| paid.transaction_id.clone()).into(),
            paid.map(|paid| paid.paid_at).into(),
            paid.map(|paid| paid.openid.clone()).into(),
            paid.map(|paid| paid.payer_total).into(),
            order.terms.mchid.as_str().into(),
            order.out_trade_no.as_str().into(),
        ],
    ))
    .await?;
    Ok(())
}

pub(crate) async fn add_payer_attempt(
    txn: &DatabaseTransaction,
    order: &Order,
    attempt: &PayerAttempt,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO payer_attempt (mchid, out_trade_no, at, outcome) VALUES (?, ?, ?, ?)",
        [
            order.terms.mchid.as_str().into(),
            order.out_trade_no.as_str().into(),
            attempt.at.into(),
            attempt.outcome.as_str().into(),
        ],
    ))
    .await?;
    Ok(())
}

pub(super) fn read_order(row: &QueryResult) -> Result<Order, DbErr> {
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
            "REFUND" => State::Refund(read_paid(row)?),
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
