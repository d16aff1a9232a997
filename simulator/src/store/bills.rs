//! What bills are made of, and the files that were made, for as long as they can be downloaded.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::{Store, orders::read_order, refunds::read_refund, statement};
use crate::rules::{Order, refund::Refund};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS bill_file (
    token TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
";

/// A file that can be downloaded.
#[derive(Clone, Debug)]
pub(crate) struct BillFile {
    pub token: String,
    /// Whose it is.
    pub mchid: String,
    pub expires_at: i64,
    pub content: Vec<u8>,
}

impl Store {
    /// A merchant's orders that were paid from one moment up to another, in the order of payment.
    pub(crate) async fn paid_between(
        &self,
        mchid: &str,
        (from, to): (i64, i64),
    ) -> Result<Vec<Order>, DbErr> {
        let sql =
            "SELECT * FROM payment WHERE mchid = ? AND paid_at >= ? AND paid_at < ? ORDER BY paid_at, rowid";
        self.all(sql, [mchid.into(), from.into(), to.into()]).await?.iter().map(read_order).collect()
    }

    /// A merchant's refunds that were accepted from one moment up to another, each with its order,
    /// in the order in which they were accepted.
    pub(crate) async fn refunds_between(
        &self,
        mchid: &str,
        (from, to): (i64, i64),
    ) -> Result<Vec<(Refund, Order)>, DbErr> {
        let within = "refund.mchid = ? AND refund.created_at >= ? AND refund.created_at < ?
            ORDER BY refund.created_at, refund.rowid";
        let refunds = format!("SELECT * FROM refund WHERE {within}");
        let orders =
            format!("SELECT payment.* FROM refund JOIN payment USING (mchid, out_trade_no) WHERE {within}");
        let values = || [mchid.into(), from.into(), to.into()];
        let refunds = self.all(&refunds, values()).await?;
        let orders = self.all(&orders, values()).await?;
        refunds
            .iter()
            .zip(&orders)
            .map(|(refund, order)| Ok((read_refund(refund)?, read_order(order)?)))
            .collect()
    }

    pub(crate) async fn find_bill_file(&self, token: &str) -> Result<Option<BillFile>, DbErr> {
        let row = self.one("SELECT * FROM bill_file WHERE token = ?", [token.into()]).await?;
        row.map(|row| {
            Ok(BillFile {
                token: row.try_get("", "token")?,
                mchid: row.try_get("", "mchid")?,
                expires_at: row.try_get("", "expires_at")?,
                content: row.try_get("", "content")?,
            })
        })
        .transpose()
    }
}

/// Keeps a file, and drops those whose time is over.
pub(crate) async fn keep_bill_file(txn: &DatabaseTransaction, file: BillFile, now: i64) -> Result<(), DbErr> {
    txn.execute_raw(statement("DELETE FROM bill_file WHERE expires_at < ?", [now.into()])).await?;
    txn.execute_raw(statement(
        "INSERT INTO bill_file (token, mchid, expires_at, content) VALUES (?, ?, ?, ?)",
        [file.token.into(), file.mchid.into(), file.expires_at.into(), file.content.into()],
    ))
    .await?;
    Ok(())
}
