//! How many notifications a second are acknowledged, and how soon.
//!
//! Every notification is signed, is about an order of its own that waits to be paid, and is
//! verified and committed before it is acknowledged; the worker in the same process applies them
//! meanwhile. A run counts only if afterwards every order is paid exactly once.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use simulator::Simulator;

use crate::{
    book::{self, Book},
    http::Connection,
    load::{Lane, Pace, Spans, drive},
    machine::{Meanwhile, Watch},
    server::{MERCHANT, Server},
};

/// The longest that the worker may need to catch up before the run is void.
const DRAIN_MAX: Duration = Duration::from_secs(180);

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    pub pace: Pace,
    pub connections: usize,
    pub count: usize,
}

/// What one run showed.
pub struct Figure {
    pub plan: Plan,
    pub acknowledged_per_second: f64,
    pub spans: Spans,
    /// Of the server's process, up to the last acknowledgement and up to the last order paid,
    /// for each notification.
    pub cpu_until_acknowledged: Duration,
    pub cpu_until_paid: Duration,
    /// From the first notification to the last order paid.
    pub paid_per_second: f64,
    pub resident_kib: u64,
    /// Until the last acknowledgement.
    pub meanwhile: Meanwhile,
}

/// Posts signed notifications, one at a time.
pub struct Courier {
    connection: Connection,
    path: Arc<str>,
    corpus: Arc<Vec<(HeaderMap, Bytes)>>,
}

impl Courier {
    /// So many of them, who share what there is to post.
    pub async fn many(
        addr: SocketAddr,
        count: usize,
        corpus: Vec<(HeaderMap, Bytes)>,
    ) -> anyhow::Result<Vec<Self>> {
        let (corpus, path) = (Arc::new(corpus), format!("/v1/wechat/notifications/{MERCHANT}").into());
        let courier = |connection| Self { connection, path: Arc::clone(&path), corpus: corpus.clone() };
        Ok(Connection::open_many(addr, count).await?.into_iter().map(courier).collect())
    }
}

impl Lane for Courier {
    /// Which it was, and when it was acknowledged.
    type Told = (usize, Instant);

    async fn act(&mut self, number: usize) -> anyhow::Result<(usize, Instant)> {
        let (headers, body) = &self.corpus[number];
        let (status, said) = self.connection.post(&self.path, headers.clone(), body.clone()).await?;
        ensure!(status == 204, "a notification was answered {status} {}", String::from_utf8_lossy(&said));
        Ok((number, Instant::now()))
    }
}

pub async fn run(
    plan: Plan,
    server: &mut Server,
    book: &Book,
    wechat: &Simulator,
    watch: &mut Watch,
) -> anyhow::Result<Figure> {
    let orders = Arc::new(book.place(plan.count, &wechat.merchant()).await.context("placing orders")?);
    // Signed right before the run: the server refuses what is older than five minutes.
    let corpus = sign(wechat, &orders).await?;
    let couriers = Courier::many(server.addr, plan.connections, corpus).await?;

    let settled = async |server: &Server| {
        server.metric("everpaid_notifications_settled_total", &["verdict=\"applied\""]).await
    };
    let settled_before = settled(server).await?;
    let before = server.usage()?;
    watch.begin()?;
    let started = Instant::now();
    let done = drive(couriers, plan.pace, plan.count).await;
    let (acknowledged, meanwhile) = (server.usage()?, watch.end()?);
    server.is_alive()?;
    if let Some(failure) = done.failures.first() {
        anyhow::bail!("{} of {} notifications failed, the first: {failure}", done.failures.len(), plan.count);
    }
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 notifications")]
    let count = plan.count as f64;
    while settled(server).await? - settled_before < count {
        server.is_alive()?;
        ensure!(started.elapsed() < done.elapsed + DRAIN_MAX, "the worker did not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let paid_after = started.elapsed();
    let paid = server.usage()?;
    // The counter is ahead of the commit by a moment.
    tokio::time::sleep(Duration::from_millis(200)).await;
    book.each_paid_once(&orders).await?;
    Ok(Figure {
        plan,
        acknowledged_per_second: count / done.elapsed.as_secs_f64(),
        spans: Spans::of(done.acts.iter().map(|(took, _)| *took)),
        cpu_until_acknowledged: (acknowledged.cpu - before.cpu).div_f64(count),
        cpu_until_paid: (paid.cpu - before.cpu).div_f64(count),
        paid_per_second: count / paid_after.as_secs_f64(),
        resident_kib: paid.resident_kib.max(acknowledged.resident_kib),
        meanwhile,
    })
}

pub async fn sign(
    wechat: &Simulator,
    orders: &Arc<Vec<book::Open>>,
) -> anyhow::Result<Vec<(HeaderMap, Bytes)>> {
    let (notary, orders) = (wechat.notary(), orders.clone());
    let signed = tokio::task::spawn_blocking(move || {
        notary.corpus(orders.len(), |i| notary.paid_transaction(&orders[i].out_trade_no, book::TOTAL.0))
    });
    let ready = signed.await??.into_iter().map(|mut notification| {
        notification.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (notification.headers, Bytes::from(notification.body))
    });
    Ok(ready.collect())
}
