//! The demo shop of `everpaid dev`: what a shop's backend does, in a page of code.
//!
//! It knows a product's price, asks everpaid for an order with its API key, sends the payer to the
//! checkout page, and is told by webhook what came of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
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
    /// The official account that pays inside WeChat.
    pub app_id: String,
    pub webhook_secret: String,
    /// The newest first.
    pub told: Mutex<VecDeque<Value>>,
    /// Where its orders are paid, by its own numbers.
    pub checkouts: Mutex<HashMap<String, Value>>,
    pub http: reqwest::Client,
}

#[derive(Deserialize)]
struct Buy {
    product: String,
}

#[derive(Deserialize)]
struct Checkout {
    order: String,
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
        .route("/mini", get(mini))
        .route("/own", get(own))
        .route("/checkout", get(checkout))
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
    let answer = shop.order(&order).await?;
    Ok(Json(json!({ "checkout_url": answer["checkout_url"] })))
}

async fn orders(State(shop): State<Arc<Shop>>) -> Result<Json<Value>, Response> {
    let mut answer = shop.ask(shop.http.get(format!("{}/v1/orders?limit=20", shop.api_url))).await?;
    for order in answer["orders"].as_array_mut().into_iter().flatten() {
        order["checkout_url"] = shop.checkout_url(order).await?;
    }
    Ok(Json(json!({ "orders": answer["orders"].take() })))
}

async fn links(State(shop): State<Arc<Shop>>) -> Json<Value> {
    Json(json!({
        "api_url": shop.api_url, "simulator_url": shop.simulator_url, "wechat_url": shop.wechat_url,
        "metrics_url": shop.metrics_url,
    }))
}

/// The shop as a mini-program: a page for the simulator's frame, which gives it `wx`.
async fn mini(State(shop): State<Arc<Shop>>) -> Response {
    let Shop { api_url, simulator_url, .. } = &*shop;
    let policy = format!(
        "default-src 'none'; script-src 'self' {simulator_url}; style-src 'self'; img-src 'self'; \
         connect-src 'self' {api_url}; base-uri 'none'; form-action 'none'; frame-ancestors {simulator_url}"
    );
    shop.page("mini.html", policy)
}

/// The shop's own page, which takes the payment itself with everpaid.js.
async fn own(State(shop): State<Arc<Shop>>) -> Response {
    let Shop { api_url, .. } = &*shop;
    let policy = format!(
        "default-src 'none'; script-src 'self' {api_url}; style-src 'self'; img-src 'self' {api_url}; \
         connect-src 'self' {api_url}; frame-src weixin: weixinping: weixinpreinject:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    shop.page("own.html", policy)
}

/// What that page needs to know of an order of this shop. A real shop asks first who wants to know.
async fn checkout(
    State(shop): State<Arc<Shop>>,
    Query(asked): Query<Checkout>,
) -> Result<Json<Value>, Response> {
    let number = asked.order.trim_start_matches("shop-");
    if !number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err((StatusCode::NOT_FOUND, "no such order").into_response());
    }
    let url = format!("{}/v1/orders?merchant_order_no=shop-{number}", shop.api_url);
    let found = shop.ask(shop.http.get(url)).await?;
    let address = shop.checkout_url(&found["orders"][0]).await?;
    let secret = address.as_str().and_then(|address| address.rsplit('/').next());
    let secret = secret.ok_or_else(|| (StatusCode::NOT_FOUND, "no such order").into_response())?;
    Ok(Json(json!({ "client_secret": secret, "app_id": shop.app_id })))
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
    /// A page that reaches beyond the shop.
    fn page(&self, name: &str, policy: String) -> Response {
        let page = Files::get(name).map(|file| file.data).unwrap_or_default();
        let page = String::from_utf8_lossy(&page)
            .replace("{{api_url}}", &self.api_url)
            .replace("{{simulator_url}}", &self.simulator_url);
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::CACHE_CONTROL, "no-cache".to_owned()),
        ];
        (headers, page).into_response()
    }

    async fn order(&self, order: &Value) -> Result<Value, Response> {
        self.ask(self.http.post(format!("{}/v1/orders", self.api_url)).json(order)).await
    }

    /// Where an order of this shop is paid. A shop that forgot asks for the same order again, and is
    /// told the same; null for what others ordered with its key.
    async fn checkout_url(&self, order: &Value) -> Result<Value, Response> {
        let number = order["merchant_order_no"].as_str().unwrap_or_default();
        if !number.starts_with("shop-") {
            return Ok(Value::Null);
        }
        let known = self.checkouts.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned();
        if let Some(url) = known {
            return Ok(url);
        }
        let same = json!({
            "merchant_order_no": number, "description": order["description"], "amount": order["amount"],
        });
        let url = self.order(&same).await?["checkout_url"].take();
        self.checkouts.lock().unwrap_or_else(PoisonError::into_inner).insert(number.to_owned(), url.clone());
        Ok(url)
    }

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
