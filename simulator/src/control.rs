//! `/_sim/`: the hands of whoever tests against the simulator.
//!
//! Bad input is answered with 4xx and `{"error": …}`, and changes nothing.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, State},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tracing::error;

use crate::{
    clock::rfc3339,
    credentials::MerchantCredentials,
    faults::{BadFault, Fault},
    gateway::code_json,
    payer::{ControlError, Leave, Pay, Sender},
    rules::{Endpoint, Order, State as OrderState, Unpayable},
    store::{By, Delivery, Notification, PayerAttempt},
    wechat::Wechat,
};

pub(crate) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/merchant", get(show_merchant))
        .route("/payments", get(list_payments))
        .route("/payments/{out_trade_no}", get(show_payment))
        .route("/payments/{out_trade_no}/pay", post(pay))
        .route("/payments/{out_trade_no}/cancel", post(cancel))
        .route("/payments/{out_trade_no}/fail", post(fail))
        .route("/phone", get(read_code))
        .route("/phone/pay", post(pay_by_code))
        .route("/phone/cancel", post(cancel_by_code))
        .route("/phone/fail", post(fail_by_code))
        .route("/ledger", get(show_ledger))
        .route("/clock", get(show_clock).post(advance_clock))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .fallback(async || ControlError::NotFound("no such control".into()))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"error": "no such method here"})))
        })
}

type Here = State<Arc<Wechat>>;
type Answer<T> = Result<Json<T>, ControlError>;

async fn show_merchant(State(wechat): Here) -> Json<MerchantCredentials> {
    Json(wechat.keys.merchant().clone())
}

async fn list_payments(State(wechat): Here, limit: Limit) -> Answer<Value> {
    Ok(Json(json!({"payments": wechat.payments(limit.0).await?})))
}

async fn show_payment(State(wechat): Here, Path(number): Path<String>) -> Answer<Payment> {
    Ok(Json(wechat.payment(By::Number(&number)).await?))
}

async fn pay(State(wechat): Here, Path(number): Path<String>, body: Bytes) -> Answer<Payment> {
    let how: Pay = if body.is_empty() { Pay::default() } else { read(&body)? };
    wechat.pay(By::Number(&number), &how, Sender::Dispatcher).await?;
    Ok(Json(wechat.payment(By::Number(&number)).await?))
}

async fn cancel(State(wechat): Here, Path(number): Path<String>) -> Answer<Payment> {
    wechat.leave(By::Number(&number), Leave::Cancelled).await?;
    Ok(Json(wechat.payment(By::Number(&number)).await?))
}

async fn fail(State(wechat): Here, Path(number): Path<String>) -> Answer<Payment> {
    wechat.leave(By::Number(&number), Leave::BalanceShort).await?;
    Ok(Json(wechat.payment(By::Number(&number)).await?))
}

/// What a payer scanned or was handed: a `code_url`, a `prepay_id`, or what either contains.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

impl Code {
    fn by(&self) -> By<'_> {
        let text = self.code.trim();
        let text = text.split_once("pr=").map_or(text, |(_, rest)| rest);
        let text = text.strip_prefix("prepay_id=").unwrap_or(text);
        By::Code(text.split('&').next().unwrap_or(text))
    }
}

async fn read_code(State(wechat): Here, InQuery(code): InQuery<Code>) -> Answer<Scanned> {
    let order = wechat.order(code.by()).await?;
    Ok(Json(Scanned::of(&wechat, &order)))
}

async fn pay_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    let code: Code = read(&body)?;
    wechat.pay(code.by(), &Pay::default(), Sender::Dispatcher).await?;
    let order = wechat.order(code.by()).await?;
    Ok(Json(Scanned::of(&wechat, &order)))
}

async fn cancel_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    leave_by_code(&wechat, &body, Leave::Cancelled).await
}

async fn fail_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    leave_by_code(&wechat, &body, Leave::BalanceShort).await
}

async fn leave_by_code(wechat: &Wechat, body: &[u8], how: Leave) -> Answer<Scanned> {
    let code: Code = read(body)?;
    let order = wechat.leave(code.by(), how).await?;
    Ok(Json(Scanned::of(wechat, &order)))
}

async fn show_ledger(State(wechat): Here) -> Answer<Ledger> {
    Ok(Json(wechat.ledger().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u32,
}

async fn show_clock(State(wechat): Here) -> Json<Value> {
    Json(clock_json(&wechat))
}

async fn advance_clock(State(wechat): Here, body: Bytes) -> Answer<Value> {
    let advance: Advance = read(&body)?;
    wechat.advance_clock(i64::from(advance.advance_seconds) * 1000).await?;
    Ok(Json(clock_json(&wechat)))
}

fn clock_json(wechat: &Wechat) -> Value {
    let now = wechat.now();
    json!({
        "now": rfc3339(now),
        "now_ms": now,
        "offset_seconds": wechat.clock.offset_ms() / 1000,
    })
}

async fn list_faults(State(wechat): Here) -> Json<Value> {
    Json(json!({"faults": wechat.faults.active()}))
}

async fn add_fault(State(wechat): Here, body: Bytes) -> Result<Response, ControlError> {
    let fault: Fault = read(&body)?;
    let id = wechat.faults.add(fault)?;
    Ok((StatusCode::CREATED, Json(json!({"id": id}))).into_response())
}

async fn clear_faults(State(wechat): Here) -> StatusCode {
    wechat.faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(wechat): Here, Path(id): Path<String>) -> Result<StatusCode, ControlError> {
    if id.parse().is_ok_and(|id| wechat.faults.remove(id)) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::NotFound(format!("no fault {id}")))
    }
}

/// An order with everything that happened around it.
#[derive(Clone, Debug, Serialize)]
pub struct Payment {
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
    pub notifications: Vec<Told>,
}

/// One try of the payer: `paid`, `cancelled` or `failed`.
#[derive(Clone, Debug, Serialize)]
pub struct PayerTry {
    pub at: String,
    pub outcome: String,
}

/// A notification: `pending`, `taken`, `given_up` or `never_sent`.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub id: String,
    pub event_type: &'static str,
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

/// The money WeChat Pay took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ledger {
    pub payments: Vec<LedgerPayment>,
    pub refunds: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerPayment {
    pub out_trade_no: String,
    pub transaction_id: String,
    pub trade_state: String,
    pub total: i64,
    pub payer_total: i64,
    pub paid_at: String,
    pub paid_at_ms: i64,
}

/// What the payer's phone shows.
#[derive(Serialize)]
struct Scanned {
    out_trade_no: String,
    merchant: String,
    description: String,
    total: i64,
    trade_state: &'static str,
    paid_at: Option<String>,
    transaction_id: Option<String>,
    /// Why it cannot be paid.
    reason: Option<&'static str>,
}

impl Wechat {
    pub(crate) async fn payments(&self, limit: u64) -> Result<Vec<Payment>, ControlError> {
        let now = self.now();
        let orders = self.store.newest_orders(limit).await?;
        Ok(orders.into_iter().map(|order| Payment::of(order.at(now))).collect())
    }

    pub(crate) async fn payment(&self, by: By<'_>) -> Result<Payment, ControlError> {
        let mut payment = Payment::of(self.order(by).await?);
        let number = payment.out_trade_no.clone();
        payment.payer_attempts =
            self.store.payer_attempts(&number).await?.into_iter().map(PayerTry::from).collect();
        for notification in self.store.notifications_of(&number).await? {
            let deliveries = self.store.deliveries_of(&notification.id).await?;
            payment.notifications.push(Told::of(notification, deliveries));
        }
        Ok(payment)
    }

    pub(crate) async fn ledger(&self) -> Result<Ledger, ControlError> {
        let paid = self.store.paid_orders().await?;
        let payments = paid
            .into_iter()
            .map(|(out_trade_no, trade_state, total, paid)| LedgerPayment {
                out_trade_no,
                transaction_id: paid.transaction_id,
                trade_state,
                total,
                payer_total: paid.payer_total,
                paid_at: rfc3339(paid.paid_at),
                paid_at_ms: paid.paid_at,
            })
            .collect();
        Ok(Ledger { payments, refunds: Vec::new() })
    }
}

impl Payment {
    fn of(order: Order) -> Self {
        let (paid, closed_at) = match &order.state {
            OrderState::NotPay => (None, None),
            OrderState::Success(paid) => (Some(paid.clone()), None),
            OrderState::Closed { closed_at } => (None, Some(*closed_at)),
        };
        Self {
            code: code_json(&order),
            trade_state: order.state.name(),
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
    fn of(notification: Notification, deliveries: Vec<Delivery>) -> Self {
        Self {
            event_type: "TRANSACTION.SUCCESS",
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

impl Scanned {
    fn of(wechat: &Wechat, order: &Order) -> Self {
        let paid = match &order.state {
            OrderState::Success(paid) => Some(paid),
            OrderState::NotPay | OrderState::Closed { .. } => None,
        };
        Self {
            out_trade_no: order.out_trade_no.clone(),
            merchant: wechat.keys.merchant().mchid.clone(),
            description: order.terms.description.clone(),
            total: order.terms.amount.total,
            trade_state: order.state.name(),
            paid_at: paid.map(|paid| rfc3339(paid.paid_at)),
            transaction_id: paid.map(|paid| paid.transaction_id.clone()),
            reason: order.payable(None, wechat.now()).err().map(Unpayable::name),
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::Invalid(error.to_string()))
}

/// `?limit=`, 50 unless said otherwise.
struct Limit(u64);

const LONGEST_LIST: u64 = 1000;

impl<S: Sync> FromRequestParts<S> for Limit {
    type Rejection = ControlError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ControlError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            limit: Option<u64>,
        }
        let InQuery(asked) = InQuery::<Asked>::from_request_parts(parts, &()).await?;
        match asked.limit.unwrap_or(50) {
            limit @ 1..=LONGEST_LIST => Ok(Self(limit)),
            _ => Err(ControlError::Invalid(format!("limit is 1 to {LONGEST_LIST}"))),
        }
    }
}

/// The query, refused in our own words.
struct InQuery<T>(T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = ControlError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ControlError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| ControlError::Invalid(error.body_text()))
    }
}

impl From<BadFault> for ControlError {
    fn from(bad: BadFault) -> Self {
        Self::Invalid(bad.to_string())
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Store(error) => {
                error!(%error, "the store failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}
