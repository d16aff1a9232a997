//! How a paid order reaches its payer, as the shop tells WeChat (发货信息录入): until WeChat knows, it may
//! hold a mini-program's money back.

pub mod lifecycle;

use std::fmt;

use sea_orm::{QueryOrder, entity::prelude::*};

use crate::{OrderId, PaymentId, ShippingId, Timestamp};
pub use lifecycle::{Event, Status};

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shipping")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ShippingId,
    pub order_id: OrderId,
    /// The payment whose money it frees.
    pub payment_id: PaymentId,
    pub merchant: String,
    /// The mini-program that it was paid in.
    pub app_id: String,
    /// What the shop said, as JSON text, by which the same request is recognised.
    pub content: String,
    pub status: Status,
    /// The exact bytes of the call.
    pub request_body: String,
    /// A call was sent, and what came of it is not known.
    pub unanswered: bool,
    /// Why WeChat refused it.
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    /// When WeChat took or refused it.
    pub settled_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How often WeChat takes shipping for one payment: once, and one change of it.
pub const UPLOADS_MAX: usize = 2;

impl fmt::Debug for Model {
    /// Shows what identifies it and where it stands: the content and the bytes name the payer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipping")
            .field("id", &self.id)
            .field("order_id", &self.order_id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What was told of an order, the oldest first.
pub async fn of_order(connection: &impl ConnectionTrait, order: &OrderId) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::OrderId.eq(order.clone()))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}
