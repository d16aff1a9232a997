//! Runs every job once more: a trigger puts the row of a job that is done, or was taken back, in
//! again, once.
//!
//! That is what at-least-once comes to: whatever asks for work may ask twice, also after the work was done.

use entity::Db;
use sea_orm::{ConnectionTrait, DbBackend};

/// `created_at` of a row that was put in again.
const AGAIN: &str = "-1";

/// From now on.
pub async fn begin(db: &Db) {
    let row = format!(
        "INSERT INTO job (kind, subject, lane, due_at, created_at)
         VALUES (OLD.kind, OLD.subject, OLD.lane, 0, {AGAIN});"
    );
    let statements = match db.backend() {
        DbBackend::Sqlite => vec![format!(
            "CREATE TRIGGER job_doubled AFTER DELETE ON job WHEN OLD.created_at <> {AGAIN} BEGIN {row} END"
        )],
        _ => vec![
            format!(
                "CREATE FUNCTION double_job() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN {row} RETURN NULL; END $$"
            ),
            format!(
                "CREATE TRIGGER job_doubled AFTER DELETE ON job FOR EACH ROW
                 WHEN (OLD.created_at <> {AGAIN}) EXECUTE FUNCTION double_job()"
            ),
        ],
    };
    for statement in statements {
        db.migrator().execute_unprepared(&statement).await.expect("a trigger");
    }
}
