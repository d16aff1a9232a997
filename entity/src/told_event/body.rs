//! The shape of what a shop is told. Nothing of the payer is in it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Kind;
use crate::{
    Amount, EventId, OrderId, PaymentId, RefundId, ShippingId, Timestamp, order, order_event, payment,
    refund, shipping,
};

/// Something a shop is told: the body of a webhook, and an item of `GET /v1/events`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Told {
    /// The same on every try, and in the header `webhook-id`: whoever has seen it may forget it.
    #[schema(value_type = String, examples("evt_01KAQ3V8Z5N7M2YH4T6WXC9PDE"))]
    pub id: EventId,
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    pub data: Data,
}

/// What happened, and to what.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ToldData)]
pub struct Data {
    /// The number of the event among those of its order. Some are told to nobody, so there are
    /// gaps; of two events of an order the higher one is the later.
    pub seq: i64,
    pub order: Order,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<Refund>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Shipping>,
    /// The money came when the order was closed, or being closed. Left out if it did not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub late: bool,
}

/// The shipping it is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ToldShipping)]
pub struct Shipping {
    #[schema(value_type = String)]
    pub id: ShippingId,
    pub status: shipping::Status,
    /// Why WeChat refused it: its `errcode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
}

/// The order after it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ToldOrder)]
pub struct Order {
    #[schema(value_type = String)]
    pub id: OrderId,
    pub merchant_order_no: String,
    pub status: order::Status,
    pub amount: Amount,
    /// Returned to the payer by the time the shop was told.
    pub refunded: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
}

/// The payment it is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ToldPayment)]
pub struct Payment {
    #[schema(value_type = String)]
    pub id: PaymentId,
    pub method: payment::Method,
    pub status: payment::Status,
    pub out_trade_no: String,
    /// WeChat Pay's number.
    pub transaction_id: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub succeeded_at: Option<Timestamp>,
}

/// The refund it is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ToldRefund)]
pub struct Refund {
    #[schema(value_type = String)]
    pub id: RefundId,
    /// The shop's own number, if the shop asked for it.
    pub merchant_refund_no: Option<String>,
    pub out_refund_no: String,
    pub amount: Amount,
    pub status: refund::Status,
    pub reason: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub succeeded_at: Option<Timestamp>,
}

impl Told {
    /// What is told of an event. `payment`, `refund` and `shipping` are those that the event names.
    pub fn of(
        event: &order_event::Model,
        kind: Kind,
        order: &order::Model,
        payment: Option<&payment::Model>,
        refund: Option<&refund::Model>,
        shipping: Option<&shipping::Model>,
    ) -> Self {
        let late = event.detail.as_deref().is_some_and(is_late);
        let data = Data {
            seq: event.seq,
            order: Order::of(event, order),
            payment: payment.map(|payment| Payment::of(event, payment)),
            refund: refund.map(|refund| Refund::of(event, refund)),
            shipping: shipping.map(|shipping| Shipping::of(event, shipping)),
            late,
        };
        Self { id: event.id.clone(), kind, timestamp: event.at, data }
    }
}

impl Order {
    fn of(event: &order_event::Model, order: &order::Model) -> Self {
        Self {
            id: order.id.clone(),
            merchant_order_no: order.merchant_order_no.clone(),
            status: event.order_status,
            amount: order.amount.into(),
            refunded: order.refunded.into(),
            // By the time of the telling it may be paid although it was closed at this event.
            paid_at: order.paid_at.filter(|_| event.order_status.is_paid()),
            attach: order.attach.clone(),
            metadata: order.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

impl Payment {
    fn of(event: &order_event::Model, payment: &payment::Model) -> Self {
        Self {
            id: payment.id.clone(),
            method: payment.method,
            status: event.payment_status.unwrap_or(payment.status),
            out_trade_no: payment.out_trade_no.clone(),
            transaction_id: payment.transaction_id.clone(),
            succeeded_at: payment.succeeded_at,
        }
    }
}

impl Refund {
    fn of(event: &order_event::Model, refund: &refund::Model) -> Self {
        Self {
            id: refund.id.clone(),
            merchant_refund_no: refund.merchant_refund_no.clone(),
            out_refund_no: refund.out_refund_no.clone(),
            amount: refund.amount.into(),
            status: event.refund_status.unwrap_or(refund.status),
            reason: refund.reason.clone(),
            succeeded_at: refund.succeeded_at,
        }
    }
}

impl Shipping {
    fn of(event: &order_event::Model, shipping: &shipping::Model) -> Self {
        Self {
            id: shipping.id.clone(),
            status: event.shipping_status.unwrap_or(shipping.status),
            failure_code: shipping.failure_code.clone(),
        }
    }
}

/// The gate writes it beside a payment that came late.
fn is_late(detail: &str) -> bool {
    serde_json::from_str::<Value>(detail).is_ok_and(|detail| detail["late"] == true)
}
