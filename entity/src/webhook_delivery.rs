//! One event on its way to one endpoint of a shop.

use sea_orm::{ActiveValue::Set, DbBackend, FromQueryResult, Statement, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::{Db, DeliveryId, EventId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_delivery")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DeliveryId,
    pub event_id: EventId,
    pub merchant: String,
    /// The endpoint's name in the configuration.
    pub endpoint: String,
    pub status: Status,
    /// Tries since it was asked for, or asked for again.
    pub tries: i64,
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub settled_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// A delivery at its birth: asked for, and nothing sent.
    pub fn asked_for(event: &EventId, merchant: &str, endpoint: &str, at: Timestamp) -> Self {
        Self {
            id: Set(DeliveryId::generate()),
            event_id: Set(event.clone()),
            merchant: Set(merchant.to_owned()),
            endpoint: Set(endpoint.to_owned()),
            status: Set(Status::Pending),
            tries: Set(0),
            created_at: Set(at),
            settled_at: Set(None),
        }
    }
}

/// The delivery is …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// tried, and tried again.
    Pending,
    /// taken by the shop.
    Delivered,
    /// given up at the end of its schedule; a person may ask for it again.
    Dead,
}

/// How many deliveries have not come to their end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Undelivered {
    pub pending: i64,
    pub dead: i64,
    /// When the oldest that is pending was asked for.
    pub oldest_pending: Option<Timestamp>,
}

/// Counts what was not delivered.
pub async fn undelivered(db: &Db) -> Result<Undelivered, DbErr> {
    let backend: DbBackend = db.backend();
    let sql = "SELECT COUNT(CASE WHEN status = 'pending' THEN 1 END) AS pending,
           COUNT(CASE WHEN status = 'dead' THEN 1 END) AS dead,
           MIN(CASE WHEN status = 'pending' THEN created_at END) AS oldest_pending
         FROM webhook_delivery WHERE status <> 'delivered'";
    let counted = Undelivered::find_by_statement(Statement::from_string(backend, sql));
    counted
        .one(db.reader())
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the count of webhook deliveries".to_owned()))
}
