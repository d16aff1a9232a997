//! The merchants' contracts: who there is, what each needs to know, and what it changes.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Answer, Here, Whose, read};
use crate::{
    credentials::MerchantCredentials, payer::ControlError, rotation::MerchantChange, signing::Keys,
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/merchants", get(list_merchants))
        .route("/merchant", get(show_merchant).post(change_merchant))
}

/// Everybody, without anything secret.
async fn list_merchants(State(wechat): Here) -> Json<Value> {
    let merchants: Vec<_> = wechat.merchants.all().map(|keys| summary(&keys)).collect();
    Json(json!({"merchants": merchants}))
}

async fn show_merchant(State(wechat): Here, Whose(mchid): Whose, headers: HeaderMap) -> Answer<Contract> {
    let keys = wechat.merchants.find(&mchid);
    let keys = keys.ok_or_else(|| ControlError::NotFound(format!("no merchant {mchid}")))?;
    Ok(Json(Contract::of(&keys, &headers)))
}

async fn change_merchant(
    State(wechat): Here,
    Whose(mchid): Whose,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Contract> {
    let change: MerchantChange = read(&body)?;
    let keys = wechat.change_merchant(&mchid, change).await?;
    Ok(Json(Contract::of(&keys, &headers)))
}

fn summary(keys: &Keys) -> Value {
    let merchant = keys.merchant();
    let apps = merchant.apps.iter();
    json!({
        "mchid": merchant.mchid,
        "name": merchant.name,
        "mode": merchant.mode,
        "apps": apps.map(|app| json!({"appid": app.appid, "kind": app.kind})).collect::<Vec<_>>(),
    })
}

/// Everything a client needs.
#[derive(Serialize)]
struct Contract {
    /// Instead of `https://api.mch.weixin.qq.com`, as the caller reached us.
    base_url: String,
    #[serde(flatten)]
    merchant: MerchantCredentials,
}

impl Contract {
    fn of(keys: &Keys, headers: &HeaderMap) -> Self {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        Self { base_url: format!("http://{host}"), merchant: keys.merchant().clone() }
    }
}
