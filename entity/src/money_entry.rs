//! The money book: append-only, one line per fact about money.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Fen, MoneyEntryId, OrderId, PaymentId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "money_entry")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: MoneyEntryId,
    pub kind: Kind,
    /// WeChat Pay's number of the fact (its transaction id, or its number of the refund), unique per kind.
    pub reference: String,
    pub merchant: String,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub amount: Fen,
    pub booked_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What the money was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It paid the order.
    Payment,
    /// It came on top: the order was paid already.
    Surplus,
    /// It went back to the payer, of what paid the order.
    Refund,
    /// It went back to the payer, of what came on top.
    SurplusRefund,
}
