//! What a full disk leaves behind.

use entity::{Clock, Db, DbOptions};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

#[tokio::test]
async fn after_a_full_disk_what_is_committed_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("everpaid.sqlite").display());
    let db = Db::open(&DbOptions::new(url), Clock::System).await.unwrap();
    let write = async |sql: &str| db.write(async |txn| txn.execute_unprepared(sql).await.map(drop)).await;
    write("CREATE TABLE kept (id INTEGER PRIMARY KEY, what TEXT)").await.unwrap();

    // Not a page more.
    db.migrator().execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let full = write("INSERT INTO kept (what) VALUES (zeroblob(100000))").await.unwrap_err();
    assert!(full.to_string().contains("database or disk is full"), "{full}");

    // Somebody else's transaction is rolled back, as happens every day, and the next one is not.
    let refused: Result<(), DbErr> = db
        .write(async |txn| {
            txn.execute_unprepared("INSERT INTO kept (what) VALUES ('refused')").await?;
            Err(DbErr::Custom("no".to_owned()))
        })
        .await;
    refused.unwrap_err();
    write("INSERT INTO kept (what) VALUES ('kept')").await.unwrap();
    let statement = Statement::from_string(DbBackend::Sqlite, "SELECT what FROM kept");
    let seen = db.reader().query_all_raw(statement).await.unwrap();
    let seen: Vec<String> = seen.iter().map(|row| row.try_get("", "what").unwrap()).collect();
    assert_eq!(seen, ["kept"]);
}
