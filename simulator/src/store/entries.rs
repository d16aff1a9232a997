//! The merchants' accounts: every fen that came or went, each entry with the balance after it.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::{Store, statement};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY,
    mchid TEXT NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund', 'refund_returned', 'console')),
    out_trade_no TEXT,
    reference TEXT,
    amount INTEGER NOT NULL CHECK (amount <> 0),
    balance INTEGER NOT NULL,
    UNIQUE (kind, reference),
    CONSTRAINT only_the_console_has_no_order CHECK ((kind = 'console') = (out_trade_no IS NULL)),
    CONSTRAINT only_the_console_has_no_reference CHECK ((kind = 'console') = (reference IS NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS entry_last ON entry (mchid, id);
CREATE INDEX IF NOT EXISTS entry_of ON entry (mchid, out_trade_no);
";

/// Money that moves, in fen; it is negative when it leaves the merchant.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub mchid: &'a str,
    pub at: i64,
    pub amount: i64,
    pub cause: Cause<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause<'a> {
    Payment {
        out_trade_no: &'a str,
        transaction_id: &'a str,
    },
    Refund {
        out_trade_no: &'a str,
        refund_id: &'a str,
    },
    /// A refund was closed.
    RefundReturned {
        out_trade_no: &'a str,
        refund_id: &'a str,
    },
    /// The merchant took money out or put some in.
    Console,
}

/// What an account has seen, in fen.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub mchid: String,
    pub paid: i64,
    /// What refunds took and closed ones did not give back.
    pub refunded: i64,
    pub console: i64,
    pub balance: i64,
}

impl Store {
    pub(crate) async fn accounts(&self) -> Result<Vec<Account>, DbErr> {
        self.all(
            "SELECT mchid,
                coalesce(sum(amount) FILTER (WHERE kind = 'payment'), 0) AS paid,
                coalesce(-sum(amount) FILTER (WHERE kind IN ('refund', 'refund_returned')), 0) AS refunded,
                coalesce(sum(amount) FILTER (WHERE kind = 'console'), 0) AS console,
                (SELECT balance FROM entry last WHERE last.mchid = entry.mchid ORDER BY id DESC LIMIT 1)
                    AS balance
             FROM entry GROUP BY mchid ORDER BY mchid",
            [],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(Account {
                mchid: row.try_get("", "mchid")?,
                paid: row.try_get("", "paid")?,
                refunded: row.try_get("", "refunded")?,
                console: row.try_get("", "console")?,
                balance: row.try_get("", "balance")?,
            })
        })
        .collect()
    }
}

/// What a merchant has, in fen.
pub(crate) async fn balance(db: &impl ConnectionTrait, mchid: &str) -> Result<i64, DbErr> {
    let sql = "SELECT balance FROM entry WHERE mchid = ? ORDER BY id DESC LIMIT 1";
    let row = db.query_one_raw(statement(sql, [mchid.into()])).await?;
    row.map_or(Ok(0), |row| row.try_get("", "balance"))
}

pub(crate) async fn insert_entry(txn: &DatabaseTransaction, entry: &Entry<'_>) -> Result<(), DbErr> {
    let (kind, out_trade_no, reference) = match entry.cause {
        Cause::Payment { out_trade_no, transaction_id } => {
            ("payment", Some(out_trade_no), Some(transaction_id))
        }
        Cause::Refund { out_trade_no, refund_id } => ("refund", Some(out_trade_no), Some(refund_id)),
        Cause::RefundReturned { out_trade_no, refund_id } => {
            ("refund_returned", Some(out_trade_no), Some(refund_id))
        }
        Cause::Console => ("console", None, None),
    };
    txn.execute_raw(statement(
        "INSERT INTO entry (mchid, at, kind, out_trade_no, reference, amount, balance)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6
            + coalesce((SELECT balance FROM entry WHERE mchid = ?1 ORDER BY id DESC LIMIT 1), 0))",
        [
            entry.mchid.into(),
            entry.at.into(),
            kind.into(),
            out_trade_no.into(),
            reference.into(),
            entry.amount.into(),
        ],
    ))
    .await?;
    Ok(())
}
