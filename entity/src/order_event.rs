//! What happened to an order: append-only, numbered per order.

use sea_orm::{ActiveValue::Set, IntoActiveModel, TryIntoModel, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    EventId, Hint, OrderId, PaymentId, RefundId, ShippingId, Timestamp, Txn, order, payment, refund,
    shipping, told_event,
};

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
    pub refund_id: Option<RefundId>,
    /// What the refund is after it.
    pub refund_status: Option<refund::Status>,
    pub shipping_id: Option<ShippingId>,
    /// What the shipping is after it.
    pub shipping_status: Option<shipping::Status>,
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
    /// the shop asked to close the order.
    CloseAsked,
    /// no payment of the order is opened any more, and those that can be paid are closed.
    OrderClosing,
    /// no payment of the order can be paid any more.
    OrderClosed,
    /// a payer asked to pay.
    PaymentCreated,
    /// the payment before it is closed, and it is opened now.
    PaymentStarted,
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
    /// the shop, a policy of ours or a person asked for a refund.
    RefundRequested,
    /// a refund call of ours was not answered, and what came of it is not known.
    RefundOutcomeLost,
    /// WeChat Pay took the refund, and has not finished it.
    RefundTaken,
    /// WeChat Pay refused the refund.
    RefundRefused,
    /// the money went back to the payer.
    RefundSucceeded,
    /// WeChat Pay gave the refund up; another may be asked for.
    RefundClosed,
    /// the payer's account cannot take the refund: a person must decide where it goes.
    RefundAbnormal,
    /// the shop said how the order reaches its payer, and WeChat is to be told.
    ShippingRequested,
    /// WeChat knows how the order reaches its payer.
    ShippingUploaded,
    /// WeChat does not take what the shop said about shipping.
    ShippingRefused,
}

impl Kind {
    /// What the shop is told when this happens, if it is told.
    pub fn told_as(self) -> Option<told_event::Kind> {
        use told_event::Kind as Told;
        match self {
            Self::PaymentSucceeded => Some(Told::OrderPaid),
            Self::SurplusReceived => Some(Told::OrderOverpaid),
            Self::OrderClosed => Some(Told::OrderClosed),
            Self::RefundSucceeded => Some(Told::RefundSucceeded),
            Self::RefundRefused => Some(Told::RefundRefused),
            Self::RefundClosed => Some(Told::RefundClosed),
            Self::RefundAbnormal => Some(Told::RefundAbnormal),
            Self::ShippingUploaded => Some(Told::ShippingUploaded),
            Self::ShippingRefused => Some(Told::ShippingRefused),
            Self::OrderCreated
            | Self::CloseAsked
            | Self::OrderClosing
            | Self::PaymentCreated
            | Self::PaymentStarted
            | Self::PrepayIssued
            | Self::OutcomeLost
            | Self::FoundUnpaid
            | Self::CreateRefused
            | Self::NeverExisted
            | Self::CloseRequested
            | Self::CloseConfirmed
            | Self::MismatchReported
            | Self::RefundRequested
            | Self::RefundOutcomeLost
            | Self::RefundTaken
            | Self::ShippingRequested => None,
        }
    }
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
    /// WeChat Pay, when asked in our own time.
    Query,
    /// WeChat Pay, when asked at once because somebody waited for the answer.
    Page,
    /// Our own rules, for example time that ran out.
    Rule,
    /// A person, with a command.
    Person,
}

/// Something to be written into an order's history.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub kind: Kind,
    pub at: Timestamp,
    pub learnt_from: Source,
    pub payment: Option<(&'a PaymentId, payment::Status)>,
    pub refund: Option<(&'a RefundId, refund::Status)>,
    pub shipping: Option<(&'a ShippingId, shipping::Status)>,
    pub detail: Option<serde_json::Value>,
}

impl Entry<'_> {
    /// About the order alone.
    pub fn of_order(kind: Kind, at: Timestamp, learnt_from: Source) -> Self {
        Self { kind, at, learnt_from, payment: None, refund: None, shipping: None, detail: None }
    }
}

/// Writes the next event of an order, and the order as `change` makes it.
///
/// `told_seq` falls behind `event_seq` exactly when there is something to tell the shop: an event
/// that nobody is told of counts as told. Who writes one that is told asks for the telling.
///
/// `order` must be the row as it is, and becomes what it is then: its `event_seq` is compared and
/// set, so of two writers who loaded the same row only one succeeds. Whoever follows the order is
/// told after the commit.
pub async fn append(
    txn: &Txn,
    order: &mut order::Model,
    entry: Entry<'_>,
    change: impl FnOnce(&mut order::ActiveModel),
) -> Result<i64, DbErr> {
    let seq = order.event_seq + 1;
    let mut row = order.clone().into_active_model();
    row.event_seq = Set(seq);
    if entry.kind.told_as().is_none() && order.told_seq == order.event_seq {
        row.told_seq = Set(seq);
    }
    change(&mut row);
    let after = row.clone().try_into_model()?;
    let written = order::Entity::update_many()
        .set(row)
        .filter(order::Column::Id.eq(order.id.clone()))
        .filter(order::Column::EventSeq.eq(order.event_seq))
        .exec(txn)
        .await?;
    if written.rows_affected != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    let event = ActiveModel {
        id: Set(EventId::generate()),
        order_id: Set(order.id.clone()),
        seq: Set(seq),
        kind: Set(entry.kind),
        at: Set(entry.at),
        learnt_from: Set(entry.learnt_from),
        payment_id: Set(entry.payment.map(|(id, _)| id.clone())),
        order_status: Set(after.status),
        payment_status: Set(entry.payment.map(|(_, status)| status)),
        detail: Set(entry.detail.map(|detail| detail.to_string())),
        refund_id: Set(entry.refund.map(|(id, _)| id.clone())),
        refund_status: Set(entry.refund.map(|(_, status)| status)),
        shipping_id: Set(entry.shipping.map(|(id, _)| id.clone())),
        shipping_status: Set(entry.shipping.map(|(_, status)| status)),
    };
    Entity::insert(event).exec_without_returning(txn).await?;
    txn.after_commit(Hint::Order(order.id.clone())).await;
    *order = after;
    Ok(seq)
}
