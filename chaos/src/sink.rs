//! The shop's webhook endpoint: verifies every delivery, and remembers what it was told.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use entity::{Clock, Timestamp};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::{net::TcpListener, task::JoinHandle};

/// What the shop knows.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// By the event's id, each as it was first told.
    pub events: BTreeMap<String, Event>,
    /// Deliveries of an event that was taken before.
    pub repeated: u64,
    /// Deliveries that the shop did not take, being down.
    pub refused: u64,
    /// What no shop should ever be sent, in words.
    pub wrong: Vec<String>,
    is_down: bool,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub kind: String,
    pub order_id: String,
    /// By the machine's clock.
    pub heard_at: Timestamp,
    body: Bytes,
}

/// A shop that listens.
pub struct Sink {
    pub url: String,
    heard: Arc<Mutex<Heard>>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shop {
    heard: Arc<Mutex<Heard>>,
    secret: Arc<Webhook>,
}

impl Sink {
    pub async fn open(secret: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
        let url = format!("http://{}/told", listener.local_addr()?);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shop = Shop {
            heard: heard.clone(),
            secret: Arc::new(Webhook::new(secret).context("reading the webhook's secret")?),
        };
        let router = Router::new().route("/told", post(take)).with_state(shop);
        let server = tokio::spawn(async move {
            // It ends with the task.
            axum::serve(listener, router).await.ok();
        });
        Ok(Self { url, heard, server })
    }

    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }

    pub fn set_down(&self, is_down: bool) {
        self.heard().is_down = is_down;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The library's own check would compare the time with the machine's, and ours is virtual.
fn is_signed(secret: &Webhook, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let (Some(id), Some(at), Some(signatures)) =
        (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"))
    else {
        return false;
    };
    let expected = at.parse().ok().and_then(|at| secret.sign(id, at, body).ok());
    expected.is_some_and(|expected| signatures.split(' ').any(|signature| signature == expected))
}

async fn take(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut heard = lock(&shop.heard);
    if heard.is_down {
        heard.refused += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if !is_signed(&shop.secret, &headers, &body) {
        heard.wrong.push("a delivery with a bad signature".to_owned());
        return StatusCode::UNAUTHORIZED;
    }
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (Some(id), Some(kind), Some(order)) =
        (told["id"].as_str(), told["type"].as_str(), told["data"]["order"]["id"].as_str())
    else {
        heard.wrong.push(format!("a delivery that is no event: {told}"));
        return StatusCode::BAD_REQUEST;
    };
    if headers.get("webhook-id").and_then(|id| id.to_str().ok()) != Some(id) {
        heard.wrong.push(format!("{id} was sent under another webhook-id"));
    }
    let heard_at = Clock::System.now();
    let event = Event { kind: kind.to_owned(), order_id: order.to_owned(), heard_at, body: body.clone() };
    match heard.events.get(id) {
        Some(before) => {
            if before.body != body {
                heard.wrong.push(format!("{id} was told with two bodies"));
            }
            heard.repeated += 1;
        }
        None => drop(heard.events.insert(id.to_owned(), event)),
    }
    StatusCode::NO_CONTENT
}
