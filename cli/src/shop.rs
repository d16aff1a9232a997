//! The demo shop of `everpaid dev`: what a shop's backend does, in a page of code.
//!
//! It knows a product's price, asks everpaid for an order with its API key, sends the payer to the
//! checkout page, and is told by webhook what came of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;
use serde::Deserialize;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

#[derive(RustEmbed)]
#[folder = "shop"]
#[include = "*.html"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
#[include = "products.json"]
#[exclude = "tests/*"]
struct Files;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How much of what it was told the shop remembers.
const TOLD_MAX: usize = 50;

/// Where the shop finds everything, and what it was told.
pub(crate) struct Shop {
    pub api_url: String,
    pub api_key: String,
    pub simulator_url: String,
    /// Where the api's pages are inside the simulated WeChat.
    pub wechat_url: String,
    pub metrics_url: String,
    pub webhook_secret: String,
    /// The newest first.
    pub told: Mutex<VecDeque<Value>>,
    pub http: reqwest::Client,
}

#[derive(Deserialize)]
struct Buy {
    product: String,
}

#[derive(Deserialize)]
struct Products {
    products: Vec<Product>,
}

#[derive(Deserialize)]
struct Product {
    id: String,
    amount: Value,
    name: Name,
}

#[derive(Deserialize)]
struct Name {
    zh: String,
}

pub(crate) fn router(shop: Shop) -> Router {
    Router::new()
        .route("/", get(async || file("index.html")))
        .route("/{file}", get(async |Path(name): Path<String>| file(&name)))
        .route("/buy", post(buy))
        .route("/orders", get(orders))
        .route("/links", get(links))
        .route("/webhooks", post(be_told))
        .route("/told.json", get(told))
        .with_state(Arc::new(shop))
}

async fn buy(State(shop): State<Arc<Shop>>, Json(asked): Json<Buy>) -> Result<Json<Value>, Response> {
    let product = products().into_iter().find(|product| product.id == asked.product);
    let product = product.ok_or_else(|| (StatusCode::NOT_FOUND, "no such product").into_response())?;
    // The shop's own number; a real shop has one before it asks.
    let number = format!("shop-{:016x}", rand::random::<u64>());
    let order = json!({
        "merchant_order_no": number, "description": product.name.zh, "amount": product.amount,
    });
    let answer = shop.ask(shop.http.post(format!("{}/v1/orders", shop.api_url)).json(&order)).await?;
    Ok(Json(json!({ "checkout_url": answer["checkout_url"] })))
}

async fn orders(State(shop): State<Arc<Shop>>) -> Result<Json<Value>, Response> {
    let mut answer = shop.ask(shop.http.get(format!("{}/v1/orders?limit=20", shop.api_url))).await?;
    Ok(Json(json!({ "orders": answer["orders"].take() })))
}

async fn links(State(shop): State<Arc<Shop>>) -> Json<Value> {
    Json(json!({
        "api_url": shop.api_url, "simulator_url": shop.simulator_url, "metrics_url": shop.metrics_url,
    }))
}

/// Takes a webhook in: believes what is signed, and takes the same event once.
async fn be_told(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let verified = Webhook::new(&shop.webhook_secret).and_then(|webhook| webhook.verify(&body, &headers));
    let Ok(event) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    if let Err(error) = verified {
        tracing::warn!(%error, "the demo shop does not believe a webhook");
        return StatusCode::UNAUTHORIZED;
    }
    let mut told = shop.told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.iter().all(|known| known["id"] != event["id"]) {
        told.push_front(event);
        told.truncate(TOLD_MAX);
    }
    StatusCode::NO_CONTENT
}

async fn told(State(shop): State<Arc<Shop>>) -> Json<Value> {
    let told = shop.told.lock().unwrap_or_else(PoisonError::into_inner);
    Json(json!({ "told": *told }))
}

impl Shop {
    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, Response> {
        let failed = |error: reqwest::Error| {
            tracing::warn!(%error, "the demo shop got no answer");
            (StatusCode::BAD_GATEWAY, "everpaid did not answer").into_response()
        };
        let answer = request.bearer_auth(&self.api_key).send().await.map_err(failed)?;
        answer.error_for_status().map_err(failed)?.json().await.map_err(failed)
    }
}

fn products() -> Vec<Product> {
    let data = Files::get("products.json").map(|file| file.data).unwrap_or_default();
    serde_json::from_slice::<Products>(&data).map(|all| all.products).unwrap_or_default()
}

fn file(name: &str) -> Response {
    let Some(file) = Files::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let headers = [
        (header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream"))),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, file.data.into_owned()).into_response()
}
