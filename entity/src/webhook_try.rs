//! One try to deliver an event, with what the endpoint answered.

use sea_orm::entity::prelude::*;

use crate::{DeliveryId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_try")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub delivery_id: DeliveryId,
    /// 1, 2, 3 …
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    pub at: Timestamp,
    /// One word: `delivered`, or why not.
    pub outcome: String,
    /// The HTTP status, if there was one.
    pub status: Option<i64>,
    /// The beginning of the answer's body.
    pub answer: Option<String>,
    /// From the first byte sent, or tried to send, to the last one read.
    pub milliseconds: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
