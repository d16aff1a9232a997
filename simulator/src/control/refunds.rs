//! Refunds with what was told of them, and hands on how they end.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Answer, Here, Limit, Numbered, Told, read};
use crate::{
    clock::rfc3339,
    credentials::random_digits,
    payer::ControlError,
    rules::refund::{self, Outcome, Source},
    store::By,
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/payments/{out_trade_no}/refund", post(refund_payment))
        .route("/refunds", get(list_refunds))
        .route("/refunds/{out_refund_no}", get(show_refund))
        .route("/refunds/{out_refund_no}/succeed", post(succeed))
        .route("/refunds/{out_refund_no}/abnormal", post(abnormal))
        .route("/refunds/{out_refund_no}/close", post(close))
}

async fn refund_payment(State(wechat): Here, at: Numbered, body: Bytes) -> Answer<Refund> {
    let how: ConsoleRefund = if body.is_empty() { ConsoleRefund::default() } else { read(&body)? };
    Ok(Json(wechat.console_refund(at.by(), how).await?))
}

async fn list_refunds(State(wechat): Here, limit: Limit) -> Answer<Value> {
    Ok(Json(json!({"refunds": wechat.refunds(limit.0).await?})))
}

async fn show_refund(State(wechat): Here, at: Numbered) -> Answer<Refund> {
    Ok(Json(wechat.shown_refund(&at.mchid, &at.number).await?))
}

async fn succeed(state: Here, at: Numbered) -> Answer<Refund> {
    settle(state, at, Outcome::Success).await
}

async fn abnormal(state: Here, at: Numbered) -> Answer<Refund> {
    settle(state, at, Outcome::Abnormal).await
}

async fn close(state: Here, at: Numbered) -> Answer<Refund> {
    settle(state, at, Outcome::Closed).await
}

async fn settle(State(wechat): Here, at: Numbered, outcome: Outcome) -> Answer<Refund> {
    wechat.settle_refund(&at.mchid, &at.number, outcome).await?;
    Ok(Json(wechat.shown_refund(&at.mchid, &at.number).await?))
}

/// A refund made by a person in the merchant's console (商户平台).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleRefund {
    /// How much, in fen; absent: all that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A refund with what was told of it.
#[derive(Clone, Debug, Serialize)]
pub struct Refund {
    pub mchid: String,
    pub out_refund_no: String,
    pub refund_id: String,
    pub out_trade_no: String,
    pub source: Source,
    pub refund: i64,
    pub total: i64,
    pub currency: &'static str,
    pub reason: Option<String>,
    pub notify_url: Option<String>,
    pub status: &'static str,
    pub created_at: String,
    /// When it ends by itself.
    pub due_at: Option<String>,
    pub settled_at: Option<String>,
    /// Empty in a list.
    pub notifications: Vec<Told>,
}

impl Wechat {
    pub(crate) async fn refunds(&self, limit: u64) -> Result<Vec<Refund>, ControlError> {
        self.settle_due_refunds().await?;
        Ok(self.store.newest_refunds(limit).await?.into_iter().map(Refund::of).collect())
    }

    pub(crate) async fn shown_refund(&self, mchid: &str, number: &str) -> Result<Refund, ControlError> {
        let (refund, _) = self
            .find_refund(mchid, number)
            .await?
            .ok_or_else(|| ControlError::NotFound(format!("no refund {number}")))?;
        let mut shown = Refund::of(refund);
        shown.notifications = self.told(mchid, &shown.out_trade_no).await?;
        shown.notifications.retain(|told| told.out_refund_no.as_ref() == Some(&shown.out_refund_no));
        Ok(shown)
    }

    pub(crate) async fn console_refund(
        &self,
        by: By<'_>,
        how: ConsoleRefund,
    ) -> Result<Refund, ControlError> {
        let number = format!("CONSOLE{}", random_digits(20));
        let (refund, _) = self.refund_from_console(by, number, how.refund, how.reason.as_deref()).await?;
        Ok(Refund::of(refund))
    }
}

impl Refund {
    pub(super) fn of(refund: refund::Refund) -> Self {
        Self {
            status: refund.state.name(),
            created_at: rfc3339(refund.created_at),
            due_at: refund.due.map(|(_, at)| rfc3339(at)),
            settled_at: refund.state.settled_at().map(rfc3339),
            mchid: refund.mchid,
            out_refund_no: refund.out_refund_no,
            refund_id: refund.refund_id,
            out_trade_no: refund.out_trade_no,
            source: refund.source,
            refund: refund.terms.amount.refund,
            total: refund.terms.amount.total,
            currency: "CNY",
            reason: refund.terms.reason,
            notify_url: refund.terms.notify_url,
            notifications: Vec::new(),
        }
    }
}
