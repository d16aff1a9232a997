//! The simulator's own memory: one SQLite file, one connection, money in whole fen.
//!
//! The single connection is also what puts a close and a payment of one order in sequence.

mod bills;
mod entries;
mod invariants;
mod logins;
mod notifications;
mod orders;
mod refunds;
mod scans;
mod shippings;
mod tries;

use std::path::Path;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
    sqlx::SqliteConnection,
};

pub(crate) use crate::store::{
    bills::{BillFile, keep_bill_file},
    entries::{Account, Cause, Entry, balance, insert_entry},
    logins::{find_login_code, forget_login_codes, insert_login_code, mark_login_code_used},
    notifications::{Delivered, Delivery, Notification, insert_notification},
    orders::{By, PayerAttempt, add_payer_attempt, find_order, insert_order, update_order},
    refunds::{due_refunds, find_refund, insert_refund, refunds_of, update_refund},
    scans::{keep_scan, scanned_by},
    shippings::{
        ToldShipping, find_shipping, find_token, forget_tokens, insert_token, keep_shipping, newest_token,
    },
    tries::Try,
};

const SETTINGS: &str = "
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

pub(crate) struct Store {
    db: DatabaseConnection,
    tries: tries::Tries,
    /// A database in memory lasts as long as a connection to it. The pool drops its own when a caller
    /// hangs up while it is being handed out, and opens another; this one, which nobody uses, is what
    /// that other finds the data by.
    _keeper: Option<SqliteConnection>,
}

impl Store {
    /// Opens the file, or memory without one.
    pub(crate) async fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut options = ConnectOptions::new("sqlite::memory:");
        options
            .max_connections(1)
            .min_connections(1)
            .sqlx_logging(false)
            // Nothing is won by renewing it.
            .map_sqlx_sqlite_pool_opts(|pool| pool.idle_timeout(None).max_lifetime(None));
        if file.is_none() {
            // Rows of some 800 bytes leave a fifth of a small page empty, and here pages are memory.
            options.map_sqlx_sqlite_opts(|sqlite| sqlite.page_size(16 * 1024));
        }
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
        let keeper = match file {
            None => Some(db.get_sqlite_connection_pool().acquire().await?.detach()),
            Some(_) => None,
        };
        let tables = [
            SETTINGS,
            orders::TABLES,
            refunds::TABLES,
            entries::TABLES,
            notifications::TABLES,
            bills::TABLES,
            logins::TABLES,
            scans::TABLES,
            shippings::TABLES,
        ];
        for tables in tables {
            db.execute_unprepared(tables).await?;
        }
        let store = Self { db, tries: tries::Tries::default(), _keeper: keeper };
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
        setting(&self.db, name).await
    }

    pub(crate) async fn set(&self, name: &str, value: &str) -> Result<(), DbErr> {
        self.run(
            "INSERT INTO setting (name, value) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name.into(), value.into()],
        )
        .await
    }

    pub(crate) async fn forget(&self, name: &str) -> Result<(), DbErr> {
        self.run("DELETE FROM setting WHERE name = ?", [name.into()]).await
    }

    pub(crate) async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<(), DbErr> {
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }

    pub(crate) async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, DbErr> {
        self.db.query_one_raw(statement(sql, values)).await
    }

    pub(crate) async fn all(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        self.db.query_all_raw(statement(sql, values)).await
    }
}

pub(crate) async fn setting(db: &impl ConnectionTrait, name: &str) -> Result<Option<String>, DbErr> {
    let row = db.query_one_raw(statement("SELECT value FROM setting WHERE name = ?", [name.into()])).await?;
    row.map(|row| row.try_get("", "value")).transpose()
}

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Polls the call that often, and drops it if it is not over then.
    async fn hang_up_after(polls: usize, call: impl Future) {
        let mut call = pin!(call);
        for _ in 0..polls {
            if futures::poll!(call.as_mut()).is_ready() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn callers_that_hang_up_in_the_middle_take_nothing_along() {
        let store = Store::open(None).await.unwrap();
        store.set("name", "kept").await.unwrap();
        for polls in (1..8).cycle().take(210) {
            hang_up_after(polls, store.setting("name")).await;
            hang_up_after(polls, store.set("other", "value")).await;
            hang_up_after(polls, store.begin()).await;
        }
        assert_eq!(store.setting("name").await.unwrap().as_deref(), Some("kept"));
    }
}
