//! What happened to an order: append-only, numbered per order.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{EventId, OrderId, PaymentId, Timestamp, order, payment};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EventId,
    pub order_id: OrderId,
    /// 1, 2, 3 … without gaps per order.
    pub seq: i64,
    pub kind: Kind,
    pub at: Timestamp,
    pub learnt_from: Source,
    pub payment_id: Option<PaymentId>,
    /// What the order is after it.
    pub order_status: order::Status,
    /// What the payment is after it.
    pub payment_status: Option<payment::Status>,
    /// What a reader of the timeline needs beside it, as a JSON object in text. Nothing of the payer.
    pub detail: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// It happened that …
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
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[schema(as = OrderEventKind)]
pub enum Kind {
    /// the shop placed the order.
    OrderCreated,
    /// a payer asked to pay.
    PaymentCreated,
    /// WeChat Pay opened the payment.
    PrepayIssued,
    /// a call of ours was not answered, and what came of it is not known.
    OutcomeLost,
    /// WeChat Pay knows the payment, and it is not paid.
    FoundUnpaid,
    /// WeChat Pay refused the payment.
    CreateRefused,
    /// the payment never came to exist at WeChat Pay.
    NeverExisted,
    /// the payment is to be closed.
    CloseRequested,
    /// WeChat Pay closed the payment.
    CloseConfirmed,
    /// the payment succeeded.
    PaymentSucceeded,
    /// the payment succeeded although the order was paid already.
    SurplusReceived,
    /// WeChat Pay told of a payment that contradicts what we know; nothing was changed.
    MismatchReported,
}

/// Who said so.
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
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The shop or the payer, by our own API.
    Api,
    /// WeChat Pay, in answer to a call that creates or closes.
    Call,
    /// WeChat Pay, by a notification.
    Notification,
    /// WeChat Pay, when asked.
    Query,
    /// Our own rules, for example time that ran out.
    Rule,
}
