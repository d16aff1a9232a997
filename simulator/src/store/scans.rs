//! Which payer has which order open on the phone.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::{Store, orders::read_order, statement};
use crate::rules::Order;

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS scan (
    mchid TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    payer TEXT NOT NULL,
    code TEXT NOT NULL,
    scanned_at INTEGER NOT NULL,
    PRIMARY KEY (mchid, out_trade_no),
    FOREIGN KEY (mchid, out_trade_no) REFERENCES payment
) STRICT;
CREATE INDEX IF NOT EXISTS scan_of ON scan (payer, scanned_at);
";

impl Store {
    /// What a payer opened and has not paid, the newest first; a code that was replaced is not
    /// there.
    pub(crate) async fn unpaid_scans(&self, payer: &str, limit: u64) -> Result<Vec<Order>, DbErr> {
        self.all(
            "SELECT payment.* FROM scan JOIN payment USING (mchid, out_trade_no, code)
             WHERE payer = ? AND state = 'NOTPAY' ORDER BY scanned_at DESC, scan.rowid DESC LIMIT ?",
            [payer.into(), limit.into()],
        )
        .await?
        .iter()
        .map(read_order)
        .collect()
    }
}

/// Who scanned an order.
pub(crate) async fn scanned_by(txn: &DatabaseTransaction, order: &Order) -> Result<Option<String>, DbErr> {
    txn.query_one_raw(statement(
        "SELECT payer FROM scan WHERE mchid = ? AND out_trade_no = ?",
        [order.terms.mchid.as_str().into(), order.out_trade_no.as_str().into()],
    ))
    .await?
    .map(|row| row.try_get("", "payer"))
    .transpose()
}

pub(crate) async fn keep_scan(
    txn: &DatabaseTransaction,
    order: &Order,
    payer: &str,
    now: i64,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO scan (mchid, out_trade_no, payer, code, scanned_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (mchid, out_trade_no) DO UPDATE SET payer = excluded.payer, code = excluded.code,
            scanned_at = excluded.scanned_at",
        [
            order.terms.mchid.as_str().into(),
            order.out_trade_no.as_str().into(),
            payer.into(),
            order.code.as_str().into(),
            now.into(),
        ],
    ))
    .await?;
    Ok(())
}
