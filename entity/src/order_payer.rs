//! Who may pay an order in WeChat: the openids that were exchanged for it, each for its app.

use std::fmt;

use sea_orm::{ActiveValue::Set, entity::prelude::*, sea_query::OnConflict};

use crate::{OrderId, Timestamp, Txn};

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_payer")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: OrderId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub openid: String,
    pub known_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order_payer of {} at {}", self.order_id, self.app_id)
    }
}

/// Writes down who somebody is.
pub async fn add(
    txn: &Txn,
    order: &OrderId,
    app_id: &str,
    openid: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        order_id: Set(order.clone()),
        app_id: Set(app_id.to_owned()),
        openid: Set(openid.to_owned()),
        known_at: Set(now),
    };
    let again = OnConflict::columns([Column::OrderId, Column::AppId, Column::Openid])
        .update_column(Column::KnownAt)
        .to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(txn).await.map(drop)
}

/// Was this openid exchanged for this order and this app?
pub async fn is_known(
    connection: &impl ConnectionTrait,
    order: &OrderId,
    app_id: &str,
    openid: &str,
) -> Result<bool, DbErr> {
    let key = (order.clone(), app_id.to_owned(), openid.to_owned());
    Ok(Entity::find_by_id(key).one(connection).await?.is_some())
}
