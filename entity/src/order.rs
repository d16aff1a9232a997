//! What the payer owes the shop.

pub mod lifecycle;

use std::time::Duration;

use sea_orm::{QuerySelect, entity::prelude::*};

use crate::{Fen, OrderId, Timestamp, Txn};
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
    /// When the shop asked to close it.
    pub close_asked_at: Option<Timestamp>,
    pub paid_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// Returned to the payer so far; surplus that went back does not count.
    pub refunded: Fen,
    /// The sequence of the newest event; it also serialises all writers of one order.
    pub event_seq: i64,
    /// Up to this sequence the shop was told of every event that it is told of.
    pub told_seq: i64,
}

impl Model {
    /// WeChat Pay raises an earlier end of a payment to a minute from now (JSAPI下单, time_expire), so
    /// none may be opened in the last one.
    const LAST_MINUTE: Duration = Duration::from_secs(60);

    /// How long after it came to rest a payer's secret shows more of it than how it stands.
    const SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// Has it been paid, or closed unpaid, for so long that a payer's secret shows its status only? What goes
    /// back to the payer later changes nothing about that.
    pub fn shows_status_only(&self, now: Timestamp) -> bool {
        self.paid_at.or(self.closed_at).is_some_and(|rested| now >= rested + Self::SHOWN_FOR)
    }

    /// Is there time enough to open a payment?
    pub fn takes_payments(&self, now: Timestamp) -> bool {
        now + Self::LAST_MINUTE < self.expires_at
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The order, if it is this merchant's; whoever else writes about it waits for the end of the transaction.
pub async fn lock_of_merchant(txn: &Txn, id: &OrderId, merchant: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.clone()).filter(Column::Merchant.eq(merchant)).lock_exclusive().one(txn).await
}
