//! What is left of a clock that was ahead and has been set back: rows that are due by it.

use std::time::Duration;

use entity::{Db, Timestamp, Txn, order_event};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder, QuerySelect, Statement, Value};

/// Smaller steps do no harm: whoever waits longer by them does not notice.
const STEP_MIN: Duration = Duration::from_secs(1);

/// Watches the clock that the rows go by, and puts right what they say when it goes back.
#[derive(Debug, Default)]
pub struct ClockWatch {
    last: Option<Timestamp>,
}

impl ClockWatch {
    /// Looks at the clock. If it has been set back since the last look: by how much, and how many jobs were moved
    /// so that they wait as long as they were told to, and no longer.
    pub async fn look(&mut self, db: &Db) -> Result<Option<(Duration, u64)>, DbErr> {
        // The first look is compared with what was written down: the clock may have been set back while nobody
        // watched.
        let last = match self.last {
            Some(last) => last,
            None => last_written(db).await?.unwrap_or(Timestamp(0)),
        };
        let now = db.now().await?;
        let back = last.since(now);
        let moved = if back < STEP_MIN {
            None
        } else {
            Some(db.write(async |txn| move_back(txn, last).await).await?)
        };
        self.last = Some(now);
        Ok(moved.map(|moved| (back, moved)))
    }
}

async fn last_written(db: &Db) -> Result<Option<Timestamp>, DbErr> {
    order_event::Entity::find()
        .select_only()
        .column(order_event::Column::At)
        .order_by_desc(order_event::Column::Id)
        .into_tuple()
        .one(db.reader())
        .await
}

/// What was to be done in a minute by the clock that said `ahead` is done in a minute by the one that is right.
/// What was dated long before is moved too, and may come too early: each handler looks for itself whether it is
/// time.
async fn move_back(txn: &Txn, ahead: Timestamp) -> Result<u64, DbErr> {
    let (now, now_value) = txn.now_sql("$1");
    // A lease that ended before `ahead` is left alone: another process may have moved it a moment ago, and a run that
    // is alive must not lose it.
    let sql = format!(
        "UPDATE job SET
           due_at = {now} + CASE WHEN due_at > $2 THEN due_at - $2 ELSE 0 END,
           wanted_at = CASE WHEN wanted_at > {now} THEN {now} ELSE wanted_at END
         WHERE dead_at IS NULL AND due_at > {now} AND (lease IS NULL OR due_at > $2)"
    );
    let values: [Value; 2] = [now_value, ahead.0.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}
