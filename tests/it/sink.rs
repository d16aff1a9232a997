//! A shop's endpoint for webhooks: answers as it is told to, and remembers what came.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use entity::{ManualClock, Timestamp};
use everpaid::config::Webhook;
use futures::stream;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the shop says.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// A status with a header.
    With(u16, &'static str, String),
    /// 200, and ten megabytes of unprintable words.
    Huge,
    /// Nothing, until it says something else.
    Hang,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Got {
    /// By the clock of the test.
    pub at: Timestamp,
    pub headers: HeaderMap,
    pub text: String,
}

#[derive(Clone)]
pub struct Sink {
    pub url: String,
    shop: Arc<Shop>,
}

struct Shop {
    clock: ManualClock,
    reply: watch::Sender<Reply>,
    got: Mutex<Vec<Got>>,
    count: watch::Sender<usize>,
    bytes_given: AtomicUsize,
}

impl Sink {
    pub async fn start(clock: &ManualClock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let shop = Arc::new(Shop {
            clock: clock.clone(),
            reply: watch::channel(Reply::Status(204)).0,
            got: Mutex::default(),
            count: watch::channel(0).0,
            bytes_given: AtomicUsize::new(0),
        });
        let router = Router::new().route("/hook", post(take)).with_state(shop.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shop }
    }

    /// This endpoint in a configuration.
    pub fn webhook(&self, secret: &str) -> Webhook {
        Webhook::private(&self.url, secret)
    }

    pub fn says(&self, reply: Reply) {
        self.shop.reply.send_replace(reply);
    }

    pub fn got(&self) -> Vec<Got> {
        self.shop.got.lock().expect("no panic").clone()
    }

    /// Waits until so many came.
    pub async fn has_got(&self, count: usize) -> Vec<Got> {
        let mut counted = self.shop.count.subscribe();
        let enough = timeout(PATIENCE, counted.wait_for(|got| *got >= count)).await;
        assert!(enough.is_ok(), "{} came of {count}", self.got().len());
        self.got()
    }

    /// Bytes of huge answers that were taken from the shop's hands.
    pub fn bytes_given(&self) -> usize {
        self.shop.bytes_given.load(Ordering::SeqCst)
    }
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("a text")
    }

    /// The signature that a published library makes with this secret.
    pub fn signature_by(&self, secret: &str) -> String {
        let at = self.header("webhook-timestamp").parse().expect("seconds");
        let webhook = standardwebhooks::Webhook::new(secret).expect("a secret");
        webhook.sign(self.header("webhook-id"), at, self.text.as_bytes()).expect("a signature")
    }
}

async fn take(State(shop): State<Arc<Shop>>, headers: HeaderMap, text: String) -> Response {
    let got = Got { at: shop.clock.now(), headers, text };
    shop.got.lock().expect("no panic").push(got);
    shop.count.send_modify(|count| *count += 1);
    let mut reply = shop.reply.subscribe();
    let reply = reply.wait_for(|reply| !matches!(reply, Reply::Hang)).await.expect("the sink lives").clone();
    let status = |code| StatusCode::from_u16(code).expect("a status");
    match reply {
        Reply::Status(code) => (status(code), "so said the shop").into_response(),
        Reply::With(code, name, value) => (status(code), [(name, value)]).into_response(),
        Reply::Huge => {
            let chunks = (0..160).map(move |_| {
                let chunk = Bytes::from_static(&[7; 64 * 1024]);
                shop.bytes_given.fetch_add(chunk.len(), Ordering::SeqCst);
                Ok::<_, std::convert::Infallible>(chunk)
            });
            Body::from_stream(stream::iter(chunks)).into_response()
        }
        Reply::Hang => unreachable!("it was waited for"),
    }
}
