//! What the phone page asks for: an order by its code, and who holds the phone.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Answer, Here, InQuery, read};
use crate::{
    clock::rfc3339,
    credentials::AppKind,
    gateway::code_json,
    invoke::{Cashier, Invoked},
    login::Door,
    payer::{ControlError, Leave},
    payers::{PAYERS, Payer},
    phone::Opened,
    rules::{Order, Unpayable},
    store::By,
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/payers", get(async || Json(json!({"payers": PAYERS}))))
        .route("/phone", get(read_code))
        .route("/phone/unpaid", get(list_unpaid))
        .route("/phone/open", post(open_by_code))
        .route("/phone/pay", post(pay_by_code))
        .route("/phone/cancel", post(cancel_by_code))
        .route("/phone/fail", post(fail_by_code))
        .route("/phone/later", post(put_off_by_code))
        .route("/phone/invoke", post(invoke))
        .route("/phone/login", post(log_in))
}

/// What a payer scanned or was handed: a `code_url`, a `prepay_id`, or what either contains.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

/// A code in somebody's hand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    code: String,
    /// One of `/_sim/payers`; absent: nobody in particular, who may pay anything.
    payer: Option<String>,
    /// Six digits.
    password: Option<String>,
}

fn by_code(text: &str) -> By<'_> {
    let text = text.trim();
    let text = text.split_once("pr=").map_or(text, |(_, rest)| rest);
    let text = text.strip_prefix("prepay_id=").unwrap_or(text);
    By::Code(text.split('&').next().unwrap_or(text))
}

fn payer_named(id: &str) -> Result<&'static Payer, ControlError> {
    Payer::find(id).ok_or_else(|| ControlError::Invalid(format!("no payer {id}")))
}

fn payer_or_first(id: Option<&str>) -> Result<&'static Payer, ControlError> {
    id.map_or(Ok(Payer::first()), payer_named)
}

async fn read_code(State(wechat): Here, InQuery(code): InQuery<Code>) -> Answer<Scanned> {
    scanned(&wechat, &code.code).await
}

async fn scanned(wechat: &Wechat, code: &str) -> Answer<Scanned> {
    let order = wechat.order(by_code(code)).await?;
    let barred = order.payable(None, wechat.now()).err();
    Ok(Json(Scanned::of(wechat, &order, barred)))
}

async fn open_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    let held: Held = read(&body)?;
    let payer = payer_or_first(held.payer.as_deref())?;
    let Opened { order, barred } = wechat.open(by_code(&held.code), payer).await?;
    Ok(Json(Scanned::of(&wechat, &order, barred)))
}

async fn pay_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    let held: Held = read(&body)?;
    let payer = held.payer.as_deref().map(payer_named).transpose()?;
    wechat.pay_on_phone(by_code(&held.code), payer, held.password.as_deref()).await?;
    scanned(&wechat, &held.code).await
}

async fn cancel_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    leave_by_code(&wechat, &body, Leave::Cancelled).await
}

async fn fail_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    leave_by_code(&wechat, &body, Leave::BalanceShort).await
}

async fn put_off_by_code(State(wechat): Here, body: Bytes) -> Answer<Scanned> {
    leave_by_code(&wechat, &body, Leave::PutOff).await
}

async fn leave_by_code(wechat: &Wechat, body: &[u8], how: Leave) -> Answer<Scanned> {
    let code: Code = read(body)?;
    let order = wechat.leave(by_code(&code.code), how).await?;
    Ok(Json(Scanned::of(wechat, &order, order.payable(None, wechat.now()).err())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPayer {
    payer: Option<String>,
}

async fn list_unpaid(State(wechat): Here, InQuery(asked): InQuery<OfPayer>) -> Answer<Value> {
    let payer = payer_or_first(asked.payer.as_deref())?;
    let orders = wechat.unpaid_on_phone(payer).await?;
    let orders: Vec<_> = orders.iter().map(|order| Scanned::of(&wechat, order, None)).collect();
    Ok(Json(json!({"unpaid": orders})))
}

/// A page or a mini-program calls up the cashier.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invocation {
    cashier: Cashier,
    /// The mini-program's own.
    appid: Option<String>,
    payer: Option<String>,
    /// As they were handed to the client, whatever they are.
    parameters: Map<String, Value>,
}

/// `{"code", "order"}` when the sheet comes up, `{"message", "shown"}` when the call fails at once.
async fn invoke(State(wechat): Here, body: Bytes) -> Answer<Value> {
    let Invocation { cashier, appid, payer, parameters } = read(&body)?;
    let payer = payer_or_first(payer.as_deref())?;
    Ok(Json(match wechat.invoke(cashier, appid.as_deref(), &parameters, payer).await? {
        Invoked::Sheet(order) => json!({"code": order.code, "order": Scanned::of(&wechat, &order, None)}),
        Invoked::Failed(failed) => json!(failed),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    appid: String,
    payer: Option<String>,
}

/// `wx.login`.
async fn log_in(State(wechat): Here, body: Bytes) -> Answer<Value> {
    let LogIn { appid, payer } = read(&body)?;
    let payer = payer_or_first(payer.as_deref())?;
    let app = wechat
        .app(&appid)
        .filter(|app| app.kind == AppKind::MiniProgram)
        .ok_or_else(|| ControlError::NotFound(format!("no mini-program {appid}")))?;
    Ok(Json(json!({"code": wechat.issue_code(Door::MiniProgram, &app, payer).await?})))
}

/// What the payer's phone shows.
#[derive(Serialize)]
struct Scanned {
    out_trade_no: String,
    merchant: String,
    description: String,
    total: i64,
    trade_state: &'static str,
    created_at: String,
    paid_at: Option<String>,
    transaction_id: Option<String>,
    /// Why it cannot be paid.
    reason: Option<&'static str>,
    /// `prepay_id` or `code_url`.
    #[serde(flatten)]
    code: Value,
}

impl Scanned {
    fn of(wechat: &Wechat, order: &Order, barred: Option<Unpayable>) -> Self {
        let paid = order.state.paid();
        Self {
            out_trade_no: order.out_trade_no.clone(),
            merchant: wechat.merchants.name_of(&order.terms.mchid),
            description: order.terms.description.clone(),
            total: order.terms.amount.total,
            trade_state: order.state.name(),
            created_at: rfc3339(order.created_at),
            paid_at: paid.map(|paid| rfc3339(paid.paid_at)),
            transaction_id: paid.map(|paid| paid.transaction_id.clone()),
            reason: barred.map(Unpayable::name),
            code: code_json(order),
        }
    }
}
