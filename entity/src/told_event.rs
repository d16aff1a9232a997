//! What a shop is told: the body of its webhooks and of `GET /v1/events`, fixed when it is told.

mod body;

use sea_orm::{Iterable, entity::prelude::*};
use serde::{Deserialize, Serialize};

pub use body::{Data, Order, Payment, Refund, Shipping, Told};

use crate::{EventId, OrderId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "told_event")]
pub struct Model {
    /// The id of the `order_event`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EventId,
    pub merchant: String,
    /// 1, 2, 3 … without gaps per merchant, in the order of the commits.
    pub position: i64,
    pub order_id: OrderId,
    pub kind: Kind,
    /// JSON text: the very bytes that are signed and sent.
    pub body: String,
    pub told_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The shop is told that …
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[schema(as = ToldKind)]
pub enum Kind {
    /// the order is paid: deliver.
    #[sea_orm(string_value = "order.paid")]
    #[serde(rename = "order.paid")]
    OrderPaid,
    /// somebody paid the order once more; unless the policy is another, that money goes back by itself.
    #[sea_orm(string_value = "order.overpaid")]
    #[serde(rename = "order.overpaid")]
    OrderOverpaid,
    /// the order is closed and cannot be paid any more.
    #[sea_orm(string_value = "order.closed")]
    #[serde(rename = "order.closed")]
    OrderClosed,
    /// the money went back to the payer.
    #[sea_orm(string_value = "refund.succeeded")]
    #[serde(rename = "refund.succeeded")]
    RefundSucceeded,
    /// WeChat Pay refused the refund; no money moved.
    #[sea_orm(string_value = "refund.refused")]
    #[serde(rename = "refund.refused")]
    RefundRefused,
    /// WeChat Pay gave the refund up; no money moved, and another may be asked for.
    #[sea_orm(string_value = "refund.closed")]
    #[serde(rename = "refund.closed")]
    RefundClosed,
    /// the payer's account cannot take the refund; a person must decide in WeChat Pay's console.
    #[sea_orm(string_value = "refund.abnormal")]
    #[serde(rename = "refund.abnormal")]
    RefundAbnormal,
    /// WeChat knows how the order reaches its payer.
    #[sea_orm(string_value = "shipping.uploaded")]
    #[serde(rename = "shipping.uploaded")]
    ShippingUploaded,
    /// WeChat does not take what it was told of shipping; another may be asked for.
    #[sea_orm(string_value = "shipping.refused")]
    #[serde(rename = "shipping.refused")]
    ShippingRefused,
}

impl Kind {
    /// The word for it, as in the body's `type`.
    pub fn word(self) -> String {
        self.to_value()
    }

    /// The kind that has this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::iter().find(|kind| kind.word() == word)
    }
}
