//! Codes handed out by a login, each good for one question to WeChat.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult};

use super::statement;
use crate::login::{Code, Door};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS login_code (
    code TEXT PRIMARY KEY,
    door TEXT NOT NULL CHECK (door IN ('web_base', 'web_userinfo', 'mini_program')),
    appid TEXT NOT NULL,
    payer TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS login_code_age ON login_code (issued_at);
";

pub(crate) async fn insert_login_code(txn: &DatabaseTransaction, code: &Code) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "INSERT INTO login_code (code, door, appid, payer, issued_at, used_at) VALUES (?, ?, ?, ?, ?, ?)",
        [
            code.code.as_str().into(),
            code.door.name().into(),
            code.appid.as_str().into(),
            code.payer.as_str().into(),
            code.issued_at.into(),
            code.used_at.into(),
        ],
    ))
    .await?;
    Ok(())
}

pub(crate) async fn find_login_code(txn: &DatabaseTransaction, code: &str) -> Result<Option<Code>, DbErr> {
    let row = txn.query_one_raw(statement("SELECT * FROM login_code WHERE code = ?", [code.into()])).await?;
    row.as_ref().map(read_code).transpose()
}

pub(crate) async fn mark_login_code_used(
    txn: &DatabaseTransaction,
    code: &str,
    now: i64,
) -> Result<(), DbErr> {
    txn.execute_raw(statement("UPDATE login_code SET used_at = ? WHERE code = ?", [now.into(), code.into()]))
        .await?;
    Ok(())
}

pub(crate) async fn forget_login_codes(txn: &DatabaseTransaction, before: i64) -> Result<(), DbErr> {
    txn.execute_raw(statement("DELETE FROM login_code WHERE issued_at < ?", [before.into()])).await?;
    Ok(())
}

fn read_code(row: &QueryResult) -> Result<Code, DbErr> {
    let door: String = row.try_get("", "door")?;
    Ok(Code {
        code: row.try_get("", "code")?,
        door: Door::named(&door)
            .ok_or_else(|| DbErr::Type(format!("a login code has the odd door {door}")))?,
        appid: row.try_get("", "appid")?,
        payer: row.try_get("", "payer")?,
        issued_at: row.try_get("", "issued_at")?,
        used_at: row.try_get("", "used_at")?,
    })
}
