//! How far a merchant's shop has been told: one row per merchant, held until the commit by whoever
//! tells, so that positions become visible in their order.

use sea_orm::{DbBackend, Statement, entity::prelude::*};

use crate::Txn;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "told_position")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub merchant: String,
    /// The position of the newest event that was told; the first is 1.
    pub last: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Takes the next `count` positions of a merchant and says which is the first. Take them last:
/// everybody else who tells this merchant's shop waits until the commit.
pub async fn take(txn: &Txn, merchant: &str, count: i64) -> Result<i64, DbErr> {
    let backend: DbBackend = txn.get_database_backend();
    let sql = "INSERT INTO told_position (merchant, last) VALUES ($1, $2)
         ON CONFLICT (merchant) DO UPDATE SET last = told_position.last + excluded.last
         RETURNING last";
    let statement = Statement::from_sql_and_values(backend, sql, [merchant.into(), count.into()]);
    let row = txn.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the position of a merchant".to_owned()))?;
    Ok(row.try_get::<i64>("", "last")? - count + 1)
}
