//! What the payer owes the shop.

pub mod lifecycle;

use sea_orm::entity::prelude::*;

use crate::{Fen, OrderId, Timestamp};
pub use lifecycle::{Event, Status};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OrderId,
    /// The merchant's name in the configuration.
    pub merchant: String,
    /// The shop's own number, unique per merchant.
    pub merchant_order_no: String,
    pub amount: Fen,
    pub currency: String,
    pub description: String,
    /// The shop's own words; never shown to a payer.
    pub attach: Option<String>,
    pub return_url: Option<String>,
    /// The shop's own JSON object, as text; never shown to a payer.
    pub metadata: Option<String>,
    pub status: Status,
    /// As it was asked for, in seconds, so that the same request can be recognised.
    pub expires_in: i64,
    pub expires_at: Timestamp,
    pub created_at: Timestamp,
    pub paid_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// Returned to the payer so far; surplus that went back does not count.
    pub refunded: Fen,
    /// The sequence of the newest event; it also serialises all writers of one order.
    pub event_seq: i64,
    /// The sequence of the newest event the shop was told of.
    pub told_seq: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
