//! Where the shop is told: it believes what a published library verifies, and remembers all of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

pub const SECRET: &str = "whsec_Y3Jhc2hlcyBjb3N0IHRoZSBzaG9wIG5vdGhpbmc=";

/// The bodies that came under each id. Never stopped: it goes with the test's runtime.
#[derive(Clone, Debug, Default)]
pub struct Listener(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Listener {
    /// Listens, and says where.
    pub async fn start() -> anyhow::Result<(Self, String)> {
        let listener = Self::default();
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", socket.local_addr()?);
        let router = Router::new().route("/", post(be_told)).with_state(listener.clone());
        tokio::spawn(async move { axum::serve(socket, router).await });
        Ok((listener, url))
    }

    pub fn heard(&self) -> BTreeMap<String, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn be_told(State(listener): State<Listener>, headers: HeaderMap, body: String) -> StatusCode {
    let verified = Webhook::new(SECRET).and_then(|webhook| webhook.verify(body.as_bytes(), &headers));
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    let (Ok(()), Some(id)) = (verified, id) else { return StatusCode::UNAUTHORIZED };
    let mut heard = listener.0.lock().unwrap_or_else(PoisonError::into_inner);
    heard.entry(id.to_owned()).or_default().push(body);
    StatusCode::NO_CONTENT
}
