//! Something a person should know about money: what it was, and what became of it.

use sea_orm::{QuerySelect, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::{CaseId, Fen, OrderId, PaymentId, RefundId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "case")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CaseId,
    pub kind: Kind,
    pub merchant: String,
    /// What makes it the same case when it is met again, unique per merchant and kind.
    pub reference: String,
    pub order_id: Option<OrderId>,
    pub payment_id: Option<PaymentId>,
    pub refund_id: Option<RefundId>,
    pub amount: Option<Fen>,
    /// What a person needs beside it, as a JSON object in text. Nothing of the payer.
    pub detail: Option<String>,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub resolved_by: Option<ResolvedBy>,
    pub resolution: Option<Resolution>,
    /// In whose words it was resolved: the policy's name, or what the person said.
    pub reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How many cases of every kind wait for a person.
pub async fn count_open(connection: &impl ConnectionTrait) -> Result<Vec<(Kind, i64)>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Kind)
        .column_as(Column::Id.count(), "count")
        .filter(Column::ResolvedAt.is_null())
        .group_by(Column::Kind)
        .into_tuple()
        .all(connection)
        .await
}

/// It is about …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// money for an order that was closed.
    LatePayment,
    /// money for an order that was paid already.
    Surplus,
    /// something WeChat Pay said of one of our payments that contradicts what we know.
    Mismatch,
    /// money for a number that is not ours.
    UnknownNumber,
    /// a refund that did not go through, or that the payer's account cannot take.
    RefundFailed,
    /// a difference between WeChat Pay's bill and our books.
    BillDiscrepancy,
}

/// It was …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// left as it is: the money stays.
    Accepted,
    /// answered by giving the money back.
    Refunded,
    /// seen to elsewhere.
    Dismissed,
}

/// Who resolved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ResolvedBy {
    /// The merchant's policy, at once.
    Policy,
    /// A person, with a command.
    Person,
}
