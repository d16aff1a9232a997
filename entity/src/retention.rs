//! What is not kept for ever, and how long it is kept.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::{Txn, oauth_state};

struct Kept {
    table: &'static str,
    key: &'static str,
    since: &'static str,
    span: Duration,
}

const KEPT: [Kept; 3] = [
    Kept { table: "oauth_state", key: "state", since: "created_at", span: oauth_state::Model::KEPT },
    Kept { table: "code_exchange", key: "code_hash", since: "created_at", span: oauth_state::Model::KEPT },
    // No order can be paid for longer than seven days.
    Kept {
        table: "order_payer",
        key: "order_id, app_id, openid",
        since: "known_at",
        span: Duration::from_secs(8 * 24 * 60 * 60),
    },
];

/// The most that is forgotten of each kind at once; keeps the transaction short.
const FORGOTTEN_MAX: u64 = 500;

/// Deletes what was kept long enough, and says whether there may be more of it.
pub async fn forget(txn: &Txn) -> Result<bool, DbErr> {
    let now = txn.now().await?;
    let mut is_full = false;
    for Kept { table, key, since, span } in KEPT {
        let sql = format!(
            "DELETE FROM {table} WHERE ({key}) IN (
               SELECT {key} FROM {table} WHERE {since} < $1 ORDER BY {since} LIMIT {FORGOTTEN_MAX})"
        );
        let before = now - span;
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, [before.0.into()]);
        is_full |= txn.execute_raw(statement).await?.rows_affected() >= FORGOTTEN_MAX;
    }
    Ok(is_full)
}
