//! What the phone page asks for: an order by its code.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Answer, Here, InQuery, read};
use crate::{
    clock::rfc3339,
    payer::{Leave, Pay, Sender},
    rules::{Order, Unpayable},
    store::By,
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/phone", get(read_code))
        .route("/phone/pay", post(pay_by_code))
        .route("/phone/cancel", post(cancel_by_code))
        .route("/phone/fail", post(fail_by_code))
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

impl Scanned {
    fn of(wechat: &Wechat, order: &Order) -> Self {
        let paid = order.state.paid();
        Self {
            out_trade_no: order.out_trade_no.clone(),
            merchant: order.terms.mchid.clone(),
            description: order.terms.description.clone(),
            total: order.terms.amount.total,
            trade_state: order.state.name(),
            paid_at: paid.map(|paid| rfc3339(paid.paid_at)),
            transaction_id: paid.map(|paid| paid.transaction_id.clone()),
            reason: order.payable(None, wechat.now()).err().map(Unpayable::name),
        }
    }
}
