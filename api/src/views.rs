//! What clients see of what is stored. A payer sees less than the shop, and nobody sees an openid.

pub(crate) use entity::Amount;
use entity::{Timestamp, order, order_event, payment, refund, shipping};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::Merchant;

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Order {
    pub id: String,
    pub merchant: Payee,
    pub status: order::Status,
    pub amount: Amount,
    pub description: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    pub return_url: Option<String>,
    /// The newest payment.
    pub payment: Option<Payment>,
    /// For the shop only.
    #[serde(flatten)]
    pub for_shop: Option<OrderForShop>,
}

/// An order that came to rest more than seven days ago, to whoever has its client secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderAtRest {
    pub id: String,
    pub merchant: Payee,
    pub status: order::Status,
    pub amount: Amount,
}

/// As much of an order as its reader may see.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OrderSeen {
    Whole(Box<Order>),
    AtRest(OrderAtRest),
}

/// What only the shop sees of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderForShop {
    pub merchant_order_no: String,
    pub attach: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    /// Returned to the payer so far.
    pub refunded: Amount,
}

/// Who is paid.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Payee {
    pub name: String,
    /// How a payer reaches the merchant when it is unclear whether a payment went through, as the merchant
    /// wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support: Option<String>,
}

/// One try to pay an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Payment {
    pub id: String,
    pub order_id: String,
    pub method: payment::Method,
    pub status: payment::Status,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What a native payment's QR code says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub code_url_expires_at: Option<Timestamp>,
    /// What opens the cashier in WeChat: hand it over as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CallUp>)]
    pub call_up: Option<Value>,
    /// Why WeChat Pay refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// WeChat Pay's number, once it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub succeeded_at: Option<Timestamp>,
    /// The number WeChat Pay knows it by. For the shop only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_trade_no: Option<String>,
}

/// The call-up parameters of WeChat Pay, every value a string.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes in openapi.json what is stored as JSON and passed on as it is")]
pub(crate) struct CallUp {
    app_id: String,
    time_stamp: String,
    nonce_str: String,
    package: String,
    sign_type: String,
    pay_sign: String,
}

/// Why WeChat refused a payment, a refund or shipping.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// WeChat's code.
    pub code: String,
    pub message: String,
}

/// Money on its way back to a payer. For the shop only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refund {
    pub id: String,
    pub order_id: String,
    pub payment_id: String,
    pub status: refund::Status,
    pub amount: Amount,
    pub reason: Option<String>,
    pub asked_by: refund::AskedBy,
    /// The shop's own number, if the shop asked.
    pub merchant_refund_no: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the money went back, by WeChat Pay's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub succeeded_at: Option<Timestamp>,
    /// Why WeChat Pay refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// WeChat Pay's number, once it took the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<String>,
    /// The number WeChat Pay knows it by.
    pub out_refund_no: String,
}

/// What WeChat is told of how an order reaches its payer. For the shop only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Shipping {
    pub id: String,
    pub order_id: String,
    pub payment_id: String,
    pub status: shipping::Status,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When WeChat took or refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub settled_at: Option<Timestamp>,
    /// Why WeChat refused it; the code is its `errcode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Something that happened to an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    pub seq: i64,
    pub kind: order_event::Kind,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub order: EventOrder,
}

/// What the order was after it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventOrder {
    pub status: order::Status,
}

/// Who is looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Shop,
    Payer,
}

impl Order {
    pub fn of(
        order: order::Model,
        payment: Option<payment::Model>,
        merchant: &Merchant,
        reader: Reader,
        now: Timestamp,
    ) -> Self {
        let for_shop = (reader == Reader::Shop).then(|| OrderForShop {
            merchant_order_no: order.merchant_order_no,
            attach: order.attach,
            metadata: order.metadata.and_then(|text| serde_json::from_str(&text).ok()),
            refunded: order.refunded.into(),
        });
        Self {
            id: order.id.to_string(),
            merchant: merchant.into(),
            status: order.status,
            amount: order.amount.into(),
            description: order.description,
            created_at: order.created_at,
            expires_at: order.expires_at,
            paid_at: order.paid_at,
            return_url: order.return_url,
            payment: payment.map(|payment| Payment::of(payment, reader, now)),
            for_shop,
        }
    }
}

impl OrderAtRest {
    pub fn of(order: &order::Model, merchant: &Merchant) -> Self {
        Self {
            id: order.id.to_string(),
            merchant: merchant.into(),
            status: order.status,
            amount: order.amount.into(),
        }
    }
}

impl From<&Merchant> for Payee {
    fn from(merchant: &Merchant) -> Self {
        Self { name: merchant.display_name.clone(), support: merchant.support.clone() }
    }
}

impl Payment {
    pub fn of(payment: payment::Model, reader: Reader, now: Timestamp) -> Self {
        // What can no longer be paid with is not shown.
        let payable = payment.status == payment::Status::AwaitingPayment
            && payment.prepay_expires_at.is_none_or(|end| now < end);
        let failure = payment.failure_code.map(|code| Failure {
            code,
            // WeChat Pay's message may repeat what was sent; it is for the shop.
            message: payment.failure_message.filter(|_| reader == Reader::Shop).unwrap_or_default(),
        });
        Self {
            id: payment.id.to_string(),
            order_id: payment.order_id.to_string(),
            method: payment.method,
            status: payment.status,
            created_at: payment.created_at,
            code_url_expires_at: payment.prepay_expires_at.filter(|_| payable && payment.code_url.is_some()),
            code_url: payment.code_url.filter(|_| payable),
            call_up: payment.call_up.filter(|_| payable).and_then(|text| serde_json::from_str(&text).ok()),
            failure,
            transaction_id: payment.transaction_id,
            succeeded_at: payment.succeeded_at,
            out_trade_no: (reader == Reader::Shop).then_some(payment.out_trade_no),
        }
    }
}

impl From<refund::Model> for Refund {
    fn from(refund: refund::Model) -> Self {
        let message = refund.failure_message.unwrap_or_default();
        Self {
            id: refund.id.to_string(),
            order_id: refund.order_id.to_string(),
            payment_id: refund.payment_id.to_string(),
            status: refund.status,
            amount: refund.amount.into(),
            reason: refund.reason,
            asked_by: refund.asked_by,
            merchant_refund_no: refund.merchant_refund_no,
            created_at: refund.created_at,
            succeeded_at: refund.succeeded_at,
            failure: refund.failure_code.map(|code| Failure { code, message }),
            refund_id: refund.refund_id,
            out_refund_no: refund.out_refund_no,
        }
    }
}

impl From<shipping::Model> for Shipping {
    fn from(shipping: shipping::Model) -> Self {
        let message = shipping.failure_message.unwrap_or_default();
        Self {
            id: shipping.id.to_string(),
            order_id: shipping.order_id.to_string(),
            payment_id: shipping.payment_id.to_string(),
            status: shipping.status,
            created_at: shipping.created_at,
            settled_at: shipping.settled_at,
            failure: shipping.failure_code.map(|code| Failure { code, message }),
        }
    }
}

impl From<order_event::Model> for Event {
    fn from(event: order_event::Model) -> Self {
        let order = EventOrder { status: event.order_status };
        Self { seq: event.seq, kind: event.kind, at: event.at, order }
    }
}
