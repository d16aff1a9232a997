//! What merchants were told, the newest first.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Answer, Here, Limit, Told};
use crate::wechat::Wechat;

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new().route("/notifications", get(list_notifications))
}

/// A notification, and whom it told about what.
#[derive(Serialize)]
struct Listed {
    mchid: String,
    out_trade_no: String,
    notify_url: String,
    #[serde(flatten)]
    told: Told,
}

async fn list_notifications(State(wechat): Here, limit: Limit) -> Answer<Value> {
    let mut listed = Vec::new();
    for notification in wechat.store.newest_notifications(limit.0).await? {
        let deliveries = wechat.store.deliveries_of(&notification.id).await?;
        listed.push(Listed {
            mchid: notification.mchid.clone(),
            out_trade_no: notification.out_trade_no.clone(),
            notify_url: notification.notify_url.clone(),
            told: Told::of(notification, deliveries),
        });
    }
    Ok(Json(json!({"notifications": listed})))
}
