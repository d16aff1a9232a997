//! Orders with everything that happened around them, and the payer's acts on them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use sea_orm::DbErr;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Answer, Here, Limit, Numbered, Refund, read};
use crate::{
    clock::rfc3339,
    gateway::code_json,
    payer::{ControlError, Leave, Pay, Sender},
    rules::{Endpoint, Order, State as OrderState},
    store::{self, By, Delivery, Notification, PayerAttempt},
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/payments", get(list_payments))
        .route("/payments/{out_trade_no}", get(show_payment))
        .route("/payments/{out_trade_no}/pay", post(pay))
        .route("/payments/{out_trade_no}/cancel", post(cancel))
        .route("/payments/{out_trade_no}/fail", post(fail))
}

async fn list_payments(State(wechat): Here, limit: Limit) -> Answer<Value> {
    Ok(Json(json!({"payments": wechat.payments(limit.0).await?})))
}

async fn show_payment(State(wechat): Here, at: Numbered) -> Answer<Payment> {
    Ok(Json(wechat.payment(at.by()).await?))
}

async fn pay(State(wechat): Here, at: Numbered, body: Bytes) -> Answer<Payment> {
    let how: Pay = if body.is_empty() { Pay::default() } else { read(&body)? };
    wechat.pay(at.by(), &how, Sender::Dispatcher).await?;
    Ok(Json(wechat.payment(at.by()).await?))
}

async fn cancel(State(wechat): Here, at: Numbered) -> Answer<Payment> {
    wechat.leave(at.by(), Leave::Cancelled).await?;
    Ok(Json(wechat.payment(at.by()).await?))
}

async fn fail(State(wechat): Here, at: Numbered) -> Answer<Payment> {
    wechat.leave(at.by(), Leave::BalanceShort).await?;
    Ok(Json(wechat.payment(at.by()).await?))
}

/// An order with everything that happened around it.
#[derive(Clone, Debug, Serialize)]
pub struct Payment {
    pub mchid: String,
    pub out_trade_no: String,
    pub endpoint: Endpoint,
    pub appid: String,
    pub description: String,
    pub attach: Option<String>,
    pub total: i64,
    pub currency: &'static str,
    pub notify_url: String,
    pub trade_state: &'static str,
    pub created_at: String,
    pub payable_until: String,
    pub closed_at: Option<String>,
    /// `prepay_id` or `code_url`, by endpoint.
    #[serde(flatten)]
    pub code: Value,
    pub code_expires_at: String,
    pub transaction_id: Option<String>,
    pub paid_at: Option<String>,
    pub payer_openid: Option<String>,
    /// Empty in a list.
    pub payer_attempts: Vec<PayerTry>,
    /// Empty in a list.
    pub refunds: Vec<Refund>,
    /// Those of its refunds too; empty in a list.
    pub notifications: Vec<Told>,
}

/// One try of the payer: `paid`, `cancelled`, `failed` (no balance), `wrong_password` or `put_off`.
#[derive(Clone, Debug, Serialize)]
pub struct PayerTry {
    pub at: String,
    pub outcome: String,
}

/// A notification: `pending`, `taken`, `given_up` or `never_sent`.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub id: String,
    /// `V2.REFUND` is the XML of API v2, which has no type.
    pub event_type: &'static str,
    /// Only of a refund's notification.
    pub out_refund_no: Option<String>,
    pub created_at: String,
    pub state: &'static str,
    pub attempts: u32,
    pub next_at: Option<String>,
    pub deliveries: Vec<Post>,
}

/// One post to the `notify_url`, and the answer.
#[derive(Clone, Debug, Serialize)]
pub struct Post {
    pub attempt: u32,
    pub at: String,
    pub fault: Option<String>,
    pub status: Option<u16>,
    pub answer: Option<String>,
    pub error: Option<String>,
    pub took_ms: i64,
}

impl Wechat {
    pub(crate) async fn payments(&self, limit: u64) -> Result<Vec<Payment>, ControlError> {
        let now = self.now();
        let orders = self.store.newest_orders(limit).await?;
        Ok(orders.into_iter().map(|order| Payment::of(order.at(now))).collect())
    }

    pub(crate) async fn payment(&self, by: By<'_>) -> Result<Payment, ControlError> {
        self.settle_due_refunds().await?;
        let mut payment = Payment::of(self.order(by).await?);
        let (mchid, number) = (payment.mchid.clone(), payment.out_trade_no.clone());
        payment.payer_attempts =
            self.store.payer_attempts(&mchid, &number).await?.into_iter().map(PayerTry::from).collect();
        let refunds = store::refunds_of(self.store.db(), &mchid, &number).await?;
        payment.refunds = refunds.into_iter().map(Refund::of).collect();
        payment.notifications = self.told(&mchid, &number).await?;
        Ok(payment)
    }

    /// The notifications about an order and its refunds.
    pub(crate) async fn told(&self, mchid: &str, out_trade_no: &str) -> Result<Vec<Told>, DbErr> {
        let mut told = Vec::new();
        for notification in self.store.notifications_of(mchid, out_trade_no).await? {
            let deliveries = self.store.deliveries_of(&notification.id).await?;
            told.push(Told::of(notification, deliveries));
        }
        Ok(told)
    }
}

impl Payment {
    fn of(order: Order) -> Self {
        let paid = order.state.paid().cloned();
        let closed_at = match order.state {
            OrderState::Closed { closed_at } => Some(closed_at),
            OrderState::NotPay | OrderState::Success(_) | OrderState::Refund(_) => None,
        };
        Self {
            code: code_json(&order),
            trade_state: order.state.name(),
            mchid: order.terms.mchid,
            out_trade_no: order.out_trade_no,
            endpoint: order.endpoint,
            appid: order.terms.appid,
            description: order.terms.description,
            attach: order.terms.attach,
            total: order.terms.amount.total,
            currency: "CNY",
            notify_url: order.terms.notify_url,
            created_at: rfc3339(order.created_at),
            payable_until: rfc3339(order.payable_until),
            closed_at: closed_at.map(rfc3339),
            code_expires_at: rfc3339(order.code_expires_at),
            transaction_id: paid.as_ref().map(|paid| paid.transaction_id.clone()),
            paid_at: paid.as_ref().map(|paid| rfc3339(paid.paid_at)),
            payer_openid: paid.map(|paid| paid.openid),
            payer_attempts: Vec::new(),
            refunds: Vec::new(),
            notifications: Vec::new(),
        }
    }
}

impl From<PayerAttempt> for PayerTry {
    fn from(attempt: PayerAttempt) -> Self {
        Self { at: rfc3339(attempt.at), outcome: attempt.outcome }
    }
}

impl Told {
    pub(super) fn of(notification: Notification, deliveries: Vec<Delivery>) -> Self {
        Self {
            event_type: notification.event.name(),
            out_refund_no: notification.out_refund_no,
            created_at: rfc3339(notification.created_at),
            state: notification.state.name(),
            attempts: notification.attempts,
            next_at: notification.next_at.map(rfc3339),
            deliveries: deliveries.into_iter().map(Post::from).collect(),
            id: notification.id,
        }
    }
}

impl From<Delivery> for Post {
    fn from(delivery: Delivery) -> Self {
        Self {
            attempt: delivery.attempt,
            at: rfc3339(delivery.at),
            fault: delivery.fault,
            status: delivery.status,
            answer: delivery.answer,
            error: delivery.error,
            took_ms: delivery.took_ms,
        }
    }
}
