//! How long a payer waits between the click and the parameters that call WeChat up, beyond the
//! time that WeChat Pay itself takes.
//!
//! Between the server and WeChat Pay stands a stopwatch: it passes every call on unchanged and
//! notes, for each payment, how long the answer took from there. So each click is charged with its
//! own time minus WeChat Pay's time for that very click; no quantile is subtracted from another.
//! The simulator answers faster than WeChat Pay does; the stopwatch can hold calls up to make up
//! for that, and counts it as WeChat Pay's time.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use simulator::MerchantCredentials;
use tokio::net::TcpListener;

use crate::{
    book::TOTAL,
    http::Connection,
    load::{Lane, Pace, Spans, drive},
    machine::{Meanwhile, Watch},
    server::{API_KEY, Server},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    pub per_second: f64,
    pub count: usize,
    /// How many milliseconds longer than the simulator WeChat Pay takes.
    pub delay_ms: u64,
}

pub struct Figure {
    pub plan: Plan,
    /// From the moment the click was due until the parameters were there.
    pub total: Spans,
    /// What WeChat Pay took of it.
    pub wechat: Spans,
    /// The rest, click by click.
    pub overhead: Spans,
    /// The same without placing the order: the payment's own request, from its beginning.
    pub payment_overhead: Spans,
    /// Of the server's process, for each click, with the questions about earlier payments.
    pub cpu: Duration,
    pub resident_kib: u64,
    pub meanwhile: Meanwhile,
}

/// Stands before WeChat Pay and notes how long each create took.
pub struct Stopwatch {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    wechat: SocketAddr,
    /// In milliseconds, before a call is passed on: what a real WeChat Pay takes longer.
    delay: AtomicU64,
    idle: Mutex<Vec<Connection>>,
    took: Mutex<HashMap<String, Duration>>,
}

impl Stopwatch {
    pub async fn start(wechat: SocketAddr) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            wechat,
            delay: AtomicU64::new(0),
            idle: Mutex::default(),
            took: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let router = Router::new().fallback(pass_on).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { addr, shared })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn took(&self, out_trade_no: &str) -> Option<Duration> {
        self.shared.took.lock().unwrap_or_else(PoisonError::into_inner).get(out_trade_no).copied()
    }
}

async fn pass_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.pass_on(request).await.unwrap_or_else(|error| {
        (StatusCode::BAD_GATEWAY, format!("the stopwatch could not pass it on: {error}")).into_response()
    })
}

impl Shared {
    async fn pass_on(&self, request: Request) -> anyhow::Result<Response> {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.wechat).await?,
        };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let begun = Instant::now();
        let delay = self.delay.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let (head, answer) =
            connection.exchange(head.method.clone(), path, head.headers, body.clone()).await?;
        let took = begun.elapsed();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        if let Ok(asked) = serde_json::from_slice::<Value>(&body)
            && let Some(out_trade_no) = asked["out_trade_no"].as_str()
        {
            self.took.lock().unwrap_or_else(PoisonError::into_inner).insert(out_trade_no.to_owned(), took);
        }
        let mut response = Response::from_parts(head, Body::from(answer));
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        Ok(response)
    }
}

/// A shop's backend, for one payer at a time.
struct Shop {
    connection: Connection,
    headers: HeaderMap,
    app_id: Arc<str>,
    run: Arc<str>,
}

struct Click {
    out_trade_no: String,
    payment_took: Duration,
}

impl Lane for Shop {
    type Told = Click;

    async fn act(&mut self, number: usize) -> anyhow::Result<Click> {
        let order = json!({
            "merchant_order_no": format!("{}-{number}", self.run),
            "description": "a cup of tea",
            "amount": { "total": TOTAL.0, "currency": "CNY" },
        });
        let order = self.post("/v1/orders", &order, StatusCode::CREATED).await?;
        let id = order["order"]["id"].as_str().context("an order without an id")?.to_owned();
        let in_wechat = number.is_multiple_of(2);
        let asked = if in_wechat {
            json!({ "method": "mini_program", "app_id": *self.app_id, "openid": "oSimulatedPayer0000000000001" })
        } else {
            json!({ "method": "native" })
        };
        let begun = Instant::now();
        let payment = self.post(&format!("/v1/orders/{id}/payments"), &asked, StatusCode::OK).await?;
        let payment_took = begun.elapsed();
        let wanted = if in_wechat { "call_up" } else { "code_url" };
        ensure!(!payment["payment"][wanted].is_null(), "a payment without {wanted}: {payment}");
        let id = payment["payment"]["id"].as_str().context("a payment without an id")?;
        let out_trade_no = id.strip_prefix("pay_").context("a payment's id of another kind")?.to_owned();
        Ok(Click { out_trade_no, payment_took })
    }
}

impl Shop {
    async fn post(&mut self, path: &str, body: &Value, expected: StatusCode) -> anyhow::Result<Value> {
        let body = Bytes::from(serde_json::to_vec(body)?);
        let (status, said) = self.connection.post(path, self.headers.clone(), body).await?;
        ensure!(status == expected, "{path} answered {status} {}", String::from_utf8_lossy(&said));
        Ok(serde_json::from_slice(&said)?)
    }
}

pub async fn run(
    plan: Plan,
    server: &mut Server,
    stopwatch: &Stopwatch,
    wechat: &MerchantCredentials,
    watch: &mut Watch,
) -> anyhow::Result<Figure> {
    /// Enough that no click waits for a shop while clicks take less than a second.
    const SHOPS: usize = 64;
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {API_KEY}"))?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let app_id: Arc<str> = wechat.apps.first().context("the merchant has no app")?.appid.as_str().into();
    let shops = async |run: String| -> anyhow::Result<Vec<Shop>> {
        let run: Arc<str> = run.into();
        let connections = Connection::open_many(server.addr, SHOPS).await?;
        Ok(connections
            .into_iter()
            .map(|connection| Shop {
                connection,
                headers: headers.clone(),
                app_id: app_id.clone(),
                run: run.clone(),
            })
            .collect())
    };
    stopwatch.shared.delay.store(plan.delay_ms, Ordering::Relaxed);
    // No run repeats a number of an order.
    let name = entity::Clock::System.now().0.to_string();
    // The first call opens the connection to WeChat Pay; nobody measures that.
    drop(drive(shops(format!("{name}-warm")).await?, Pace::Open { per_second: plan.per_second }, 50).await);

    let shops = shops(name).await?;
    let before = server.usage()?;
    watch.begin()?;
    let done = drive(shops, Pace::Open { per_second: plan.per_second }, plan.count).await;
    let (after, meanwhile) = (server.usage()?, watch.end()?);
    server.is_alive()?;
    if let Some(failure) = done.failures.first() {
        anyhow::bail!("{} of {} clicks failed, the first: {failure}", done.failures.len(), plan.count);
    }
    let mut clicks = Vec::with_capacity(done.acts.len());
    for (total, click) in &done.acts {
        let wechat = stopwatch.took(&click.out_trade_no).context("a click that never reached WeChat Pay")?;
        clicks.push((*total, wechat, click.payment_took));
    }
    Ok(Figure {
        plan,
        total: Spans::of(clicks.iter().map(|(total, ..)| *total)),
        wechat: Spans::of(clicks.iter().map(|(_, wechat, _)| *wechat)),
        overhead: Spans::of(clicks.iter().map(|(total, wechat, _)| total.saturating_sub(*wechat))),
        payment_overhead: Spans::of(
            clicks.iter().map(|(_, wechat, payment)| payment.saturating_sub(*wechat)),
        ),
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 clicks")]
        cpu: (after.cpu - before.cpu).div_f64(plan.count as f64),
        resident_kib: after.resident_kib,
        meanwhile,
    })
}
