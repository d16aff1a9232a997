//! The merchant's own server: it takes what is posted, answers as told, and shows what it got.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::StatusCode,
    routing::post,
};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::client::Client;

pub struct Merchant {
    pub notify_url: String,
    answers: Answers,
    posts: mpsc::UnboundedReceiver<Posted>,
    server: JoinHandle<()>,
}

pub struct Posted {
    pub headers: HeaderMap,
    pub body: Bytes,
    pub from: SocketAddr,
}

type Answers = Arc<Mutex<VecDeque<(u16, &'static str)>>>;
type Shared = (Answers, mpsc::UnboundedSender<Posted>);

impl Merchant {
    pub async fn open() -> Self {
        Self::open_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn open_at(addr: SocketAddr) -> Self {
        let (sender, posts) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let router = Router::new().route("/notify", post(take)).with_state((Arc::clone(&answers), sender));
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { notify_url: format!("http://{addr}/notify"), answers, posts, server }
    }

    /// Answers the next posts with these, and 204 after them.
    pub fn answer_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.answers.lock().unwrap().extend(statuses.into_iter().map(|status| (status, "")));
    }

    /// Answers a later post with 200 and this.
    pub fn answer_with_body(&self, body: &'static str) {
        self.answers.lock().unwrap().push_back((200, body));
    }

    pub async fn next(&mut self) -> Posted {
        self.posts.recv().await.unwrap()
    }

    /// Everything that has come so far.
    pub fn take_all(&mut self) -> Vec<Posted> {
        std::iter::from_fn(|| self.posts.try_recv().ok()).collect()
    }
}

impl Drop for Merchant {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Posted {
    pub fn envelope(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The transaction or refund, if signature and seal are right.
    pub fn transaction(&self, client: &Client) -> Result<Value, String> {
        client.check_signature(&self.headers, &self.body)?;
        let opened = client.open(&self.envelope()["resource"]).ok_or("sealed otherwise")?;
        serde_json::from_slice(&opened).map_err(|error| error.to_string())
    }
}

async fn take(
    State((answers, posts)): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let (status, answer) = answers.lock().unwrap().pop_front().unwrap_or((204, ""));
    let _ = posts.send(Posted { headers, body, from });
    (StatusCode::from_u16(status).unwrap(), answer)
}
