//! Access tokens of apps, and what was told of shipping.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::statement;

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS access_token (
    token TEXT PRIMARY KEY,
    appid TEXT NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS access_token_of ON access_token (appid, ends_at);
CREATE TABLE IF NOT EXISTS shipping (
    transaction_id TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    uploaded_at INTEGER NOT NULL,
    uploads INTEGER NOT NULL
) STRICT;
";

/// What was told last, and how often.
#[derive(Clone, Debug)]
pub(crate) struct ToldShipping {
    pub body: String,
    /// By its own account.
    pub uploaded_at: i64,
    pub uploads: i64,
}

/// The app that a token is for, and when it ends.
pub(crate) async fn find_token(
    txn: &DatabaseTransaction,
    token: &str,
) -> Result<Option<(String, i64)>, DbErr> {
    let sql = "SELECT appid, ends_at FROM access_token WHERE token = ?";
    let row = txn.query_one_raw(statement(sql, [token.into()])).await?;
    row.map(|row| Ok((row.try_get("", "appid")?, row.try_get("", "ends_at")?))).transpose()
}

pub(crate) async fn newest_token(
    txn: &DatabaseTransaction,
    appid: &str,
) -> Result<Option<(String, i64)>, DbErr> {
    let sql = "SELECT token, ends_at FROM access_token WHERE appid = ? ORDER BY ends_at DESC LIMIT 1";
    let row = txn.query_one_raw(statement(sql, [appid.into()])).await?;
    row.map(|row| Ok((row.try_get("", "token")?, row.try_get("", "ends_at")?))).transpose()
}

pub(crate) async fn insert_token(
    txn: &DatabaseTransaction,
    appid: &str,
    token: &str,
    ends_at: i64,
) -> Result<(), DbErr> {
    let sql = "INSERT INTO access_token (token, appid, ends_at) VALUES (?, ?, ?)";
    txn.execute_raw(statement(sql, [token.into(), appid.into(), ends_at.into()])).await?;
    Ok(())
}

/// Those of an app that ended before then.
pub(crate) async fn forget_tokens(txn: &DatabaseTransaction, appid: &str, before: i64) -> Result<(), DbErr> {
    let sql = "DELETE FROM access_token WHERE appid = ? AND ends_at < ?";
    txn.execute_raw(statement(sql, [appid.into(), before.into()])).await?;
    Ok(())
}

pub(crate) async fn find_shipping(
    db: &impl ConnectionTrait,
    transaction_id: &str,
) -> Result<Option<ToldShipping>, DbErr> {
    let sql = "SELECT body, uploaded_at, uploads FROM shipping WHERE transaction_id = ?";
    let row = db.query_one_raw(statement(sql, [transaction_id.into()])).await?;
    row.map(|row| {
        Ok(ToldShipping {
            body: row.try_get("", "body")?,
            uploaded_at: row.try_get("", "uploaded_at")?,
            uploads: row.try_get("", "uploads")?,
        })
    })
    .transpose()
}

pub(crate) async fn keep_shipping(
    txn: &DatabaseTransaction,
    transaction_id: &str,
    told: &ToldShipping,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO shipping (transaction_id, body, uploaded_at, uploads) VALUES (?, ?, ?, ?)
         ON CONFLICT (transaction_id) DO UPDATE SET body = excluded.body,
            uploaded_at = excluded.uploaded_at, uploads = excluded.uploads",
        [transaction_id.into(), told.body.as_str().into(), told.uploaded_at.into(), told.uploads.into()],
    ))
    .await?;
    Ok(())
}
