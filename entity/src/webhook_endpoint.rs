//! How an endpoint of a shop has behaved. What it is called and where it is, is configuration.

use std::time::Duration;

use sea_orm::{
    ActiveValue::Set,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

use crate::{Timestamp, Txn};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_endpoint")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub merchant: String,
    /// Its name in the configuration.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Since when nothing was delivered although it was tried.
    pub failing_since: Option<Timestamp>,
    /// When a try failed last, to the hour.
    pub failed_at: Option<Timestamp>,
    /// From then on it is not called, until a person asks for a delivery again.
    pub disabled_at: Option<Timestamp>,
    /// Why it is not called: `gone` or `failing`.
    pub reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Finds how an endpoint has behaved; nothing is known of one that never failed.
pub async fn find(
    connection: &impl ConnectionTrait,
    merchant: &str,
    name: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((merchant.to_owned(), name.to_owned())).one(connection).await
}

/// Tries that are further apart say nothing of the time between them: the endpoint may have been well. Longer
/// than a delivery waits between two of its own.
const SILENCE_MAX: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// It is one row for all deliveries of the endpoint: most failures only read it.
const FAILED_AT_STALE: Duration = Duration::from_secs(60 * 60);

/// Writes down that a try failed, and says since when nothing was delivered although it was tried.
pub async fn failed(txn: &Txn, merchant: &str, name: &str, at: Timestamp) -> Result<Timestamp, DbErr> {
    let known = find(txn, merchant, name).await?;
    let spell = known.and_then(|known| Some((known.failing_since?, known.failed_at?)));
    let since = match spell {
        Some((since, last)) if at.since(last) < FAILED_AT_STALE => return Ok(since),
        Some((since, last)) if at.since(last) < SILENCE_MAX => since,
        _ => at,
    };
    let row = ActiveModel {
        merchant: Set(merchant.to_owned()),
        name: Set(name.to_owned()),
        failing_since: Set(Some(since)),
        failed_at: Set(Some(at)),
        disabled_at: Set(None),
        reason: Set(None),
    };
    let known = OnConflict::columns([Column::Merchant, Column::Name])
        .update_columns([Column::FailingSince, Column::FailedAt])
        .to_owned();
    Entity::insert(row).on_conflict(known).exec_without_returning(txn).await?;
    Ok(since)
}

/// Writes down that something was delivered.
pub async fn delivered(txn: &Txn, merchant: &str, name: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::FailingSince, Expr::value(Option::<i64>::None))
        .filter(Column::Merchant.eq(merchant))
        .filter(Column::Name.eq(name))
        .filter(Column::FailingSince.is_not_null())
        .exec(txn)
        .await
        .map(drop)
}

/// Says that an endpoint that has failed is not to be called any more. False if it was so already.
pub async fn disable(
    txn: &Txn,
    merchant: &str,
    name: &str,
    reason: &str,
    at: Timestamp,
) -> Result<bool, DbErr> {
    let disabled = Entity::update_many()
        .col_expr(Column::DisabledAt, Expr::value(at.0))
        .col_expr(Column::Reason, Expr::value(reason))
        .filter(Column::Merchant.eq(merchant))
        .filter(Column::Name.eq(name))
        .filter(Column::DisabledAt.is_null())
        .exec(txn)
        .await?;
    Ok(disabled.rows_affected == 1)
}

/// Forgets how an endpoint behaved: it is called again.
pub async fn enable(txn: &Txn, merchant: &str, name: &str) -> Result<(), DbErr> {
    Entity::delete_by_id((merchant.to_owned(), name.to_owned())).exec(txn).await.map(drop)
}
