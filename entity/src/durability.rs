//! Does the database keep what it says it has kept? A commit that a power cut undoes is a payment
//! that WeChat Pay was told we know of.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::Db;

/// A setting under which commits may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsafeSetting {
    pub name: &'static str,
    pub value: String,
}

/// The settings of this database under which a commit may be lost; empty if there are none.
pub async fn unsafe_settings(db: &Db) -> Result<Vec<UnsafeSetting>, DbErr> {
    let mut found = Vec::new();
    match db.backend() {
        DbBackend::Postgres => {
            for (name, is_safe) in [
                ("fsync", &["on"][..]),
                ("full_page_writes", &["on"]),
                ("synchronous_commit", &["on", "local", "remote_write", "remote_apply"]),
            ] {
                // The connections that write: a role or a database may have settings of its own.
                let value = ask(db, &format!("SHOW {name}"), name).await?;
                if !is_safe.contains(&value.as_str()) {
                    found.push(UnsafeSetting { name, value });
                }
            }
        }
        _ => {
            let value = ask(
                db,
                "SELECT CAST(synchronous AS text) AS synchronous FROM pragma_synchronous",
                "synchronous",
            )
            .await?;
            // FULL or EXTRA.
            if !["2", "3"].contains(&value.as_str()) {
                found.push(UnsafeSetting { name: "synchronous", value });
            }
        }
    }
    Ok(found)
}

async fn ask(db: &Db, sql: &str, column: &str) -> Result<String, DbErr> {
    let row = db.migrator().query_one_raw(Statement::from_string(db.backend(), sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(format!("the database does not say {column}")))?
        .try_get("", column)
}
