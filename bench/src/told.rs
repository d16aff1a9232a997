//! How long it takes from WeChat Pay's word that somebody paid until the shop has been told.
//!
//! A notification is posted when it is due; the time runs from there until the shop's endpoint has the
//! delivery in its hands. In between are three jobs: the notification is applied, the shop's event
//! is written down, the delivery is made. The merchant has a second endpoint, which takes every
//! delivery at once, or holds it and never answers: what that does to the first is the question.

use std::{
    collections::HashMap,
    fmt,
    net::Ipv4Addr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use axum::{Json, Router, extract::State, routing::post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use simulator::Simulator;
use tokio::net::TcpListener;

use crate::{
    book::{Book, Database, Open},
    http::Connection,
    load::{Lane, Pace, Spans, drive},
    machine::{Meanwhile, Watch},
    notifications::sign,
    report::{machine_did, ms},
    server::{MERCHANT, Role, Server, Settings},
};

/// Longer than any of it takes; a run that waits so long is void.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where and on what.
pub struct Place<'a> {
    pub everpaid: &'a Path,
    pub database: &'a Database,
    /// With it there are many processes.
    pub redis_url: Option<&'a str>,
    pub data: &'a Path,
}

/// What is promised of a layout, at so many orders a second.
struct Promise {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// The shop: when it was first told of each order.
#[derive(Clone, Default)]
struct Shop {
    told: Arc<Mutex<HashMap<String, Instant>>>,
    /// The second endpoint takes deliveries and never answers.
    hangs: Arc<AtomicBool>,
}

impl Shop {
    /// The addresses of its two endpoints.
    async fn open(&self) -> anyhow::Result<Vec<String>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
        let addr = listener.local_addr()?;
        let router =
            Router::new().route("/first", post(take)).route("/second", post(hold)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(vec![format!("http://{addr}/first"), format!("http://{addr}/second")])
    }

    fn told(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(shop): State<Shop>, Json(event): Json<Value>) -> StatusCode {
    let now = Instant::now();
    if let (Some("order.paid"), Some(order)) = (event["type"].as_str(), event["data"]["order"]["id"].as_str())
    {
        shop.told().entry(order.to_owned()).or_insert(now);
    }
    StatusCode::NO_CONTENT
}

async fn hold(State(shop): State<Shop>) -> StatusCode {
    if shop.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    StatusCode::NO_CONTENT
}

struct Courier {
    connection: Connection,
    path: Arc<str>,
    corpus: Arc<Vec<(HeaderMap, Bytes)>>,
}

impl Lane for Courier {
    /// Which it was, and when it was acknowledged.
    type Told = (usize, Instant);

    async fn act(&mut self, number: usize) -> anyhow::Result<(usize, Instant)> {
        let (headers, body) = &self.corpus[number];
        let (status, _) = self.connection.post(&self.path, headers.clone(), body.clone()).await?;
        ensure!(status == 204, "a notification was answered {status}");
        Ok((number, Instant::now()))
    }
}

/// Everything that a run needs.
struct Stage<'a> {
    settings: &'a Settings<'a>,
    wechat: &'a Simulator,
    shop: &'a Shop,
    book: Book,
}

impl Place<'_> {
    /// Measures and prints.
    pub async fn measure(&self, quick: bool) -> anyhow::Result<()> {
        let wechat =
            Simulator::start(simulator::Options::default()).await.context("starting the simulator")?;
        let (credentials, wechat_url) = (wechat.merchant(), wechat.url());
        let directory = tempfile::tempdir()?;
        let shop = Shop::default();
        let webhook_urls = shop.open().await?;
        let settings = Settings {
            everpaid: self.everpaid,
            directory: directory.path(),
            database_url: &self.database.url,
            redis_url: self.redis_url,
            wechat_url: &wechat_url,
            credentials: &credentials,
            webhook_urls: &webhook_urls,
        };
        let is_scaled = self.redis_url.is_some();
        let role = if is_scaled { Role::Api } else { Role::Serve };
        let mut api = Server::start(&settings, role).await?;
        let stage = Stage {
            settings: &settings,
            wechat: &wechat,
            shop: &shop,
            book: Book::open(self.database).await?,
        };
        let mut workers = Vec::new();
        if is_scaled {
            workers.push(Server::start(&settings, Role::Worker).await?);
        }
        let name =
            if is_scaled { "an api and workers on Postgres and Redis" } else { "one process on SQLite" };
        println!("\n## Paid until told: {name}\n");

        let idle = idle_cpu(&api, &workers, if quick { 3 } else { 20 }).await?;
        let promise = match is_scaled {
            true => {
                Promise { per_second: 100.0, p50: Duration::from_millis(40), p99: Duration::from_millis(250) }
            }
            false => {
                Promise { per_second: 200.0, p50: Duration::from_millis(15), p99: Duration::from_millis(100) }
            }
        };
        if is_scaled {
            workers.push(Server::start(&settings, Role::Worker).await?);
        }
        let count = if quick { 300 } else { 2000 };
        let mut watch = Watch::over(api.pid(), self.data);
        println!(
            "| the other endpoint | orders/s | told | p50 ms | p99 ms | max ms | others' CPU | fsync p50 / p99 / max ms |"
        );
        println!("|---|--:|--:|--:|--:|--:|--:|---|");
        let rounds = if quick { 1 } else { 3 };
        for hangs in [false, true].into_iter().cycle().take(2 * rounds) {
            shop.hangs.store(hangs, Ordering::Relaxed);
            eprintln!("{name}: {count} orders, hangs {hangs}");
            let (spans, meanwhile) = stage.at_a_rate(&mut api, &promise, count, &mut watch).await?;
            println!(
                "{}",
                Row { hangs, per_second: promise.per_second, count, spans: &spans, meanwhile: &meanwhile }
            );
            if !hangs {
                println!("{}", verdict(&promise, &spans));
            }
        }
        if is_scaled {
            println!("\nIdle, an api and a worker: {:.1} % of a core (at most 3).\n", idle * 100.0);
            for worker in workers.drain(..) {
                worker.stop().await?;
            }
            shop.hangs.store(false, Ordering::Relaxed);
            println!("| workers | overdue | told /s |\n|--:|--:|--:|");
            for count_of_workers in 1..=3 {
                let told_per_second =
                    stage.backlog(&mut api, count_of_workers, if quick { 300 } else { 3000 }).await?;
                println!(
                    "| {count_of_workers} | {} | {told_per_second:.0} |",
                    if quick { 300 } else { 3000 }
                );
            }
        }
        api.stop().await?;
        stage.book.close().await?;
        wechat.stop().await;
        Ok(())
    }
}

impl Stage<'_> {
    async fn at_a_rate(
        &self,
        api: &mut Server,
        promise: &Promise,
        count: usize,
        watch: &mut Watch,
    ) -> anyhow::Result<(Spans, Meanwhile)> {
        watch.begin()?;
        let (orders, due) = self.notify(api, Pace::Open { per_second: promise.per_second }, count).await?;
        self.all_are_told(api, &orders).await?;
        let meanwhile = watch.end()?;
        let told = self.shop.told();
        let spans = due.iter().map(|(number, due)| {
            told.get(orders[*number].order.as_str())
                .map_or(PATIENCE, |told| told.saturating_duration_since(*due))
        });
        Ok((Spans::of(spans), meanwhile))
    }

    /// Has so many overdue jobs worked off by so many workers, and says how many shops were told a second.
    async fn backlog(&self, api: &mut Server, workers: usize, count: usize) -> anyhow::Result<f64> {
        eprintln!("{count} overdue for {workers} workers");
        let (orders, _) = self.notify(api, Pace::Closed, count).await?;
        let mut running = Vec::new();
        for _ in 0..workers {
            running.push(Server::start(self.settings, Role::Worker).await?);
        }
        self.all_are_told(api, &orders).await?;
        for worker in running {
            worker.stop().await?;
        }
        let told = self.shop.told();
        let at = || orders.iter().filter_map(|open| told.get(open.order.as_str()));
        let span = *at().max().context("nothing was told")? - *at().min().context("nothing was told")?;
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 orders")]
        Ok(count as f64 / span.as_secs_f64())
    }

    /// Posts as many notifications, each about an order of its own, and says when each was due.
    async fn notify(
        &self,
        api: &mut Server,
        pace: Pace,
        count: usize,
    ) -> anyhow::Result<(Arc<Vec<Open>>, Vec<(usize, Instant)>)> {
        const CONNECTIONS: usize = 64;
        let orders =
            Arc::new(self.book.place(count, self.settings.credentials).await.context("placing orders")?);
        let corpus = Arc::new(sign(self.wechat, &orders).await?);
        let path: Arc<str> = format!("/v1/wechat/notifications/{MERCHANT}").into();
        let couriers = Connection::open_many(api.addr, CONNECTIONS).await?.into_iter();
        let couriers =
            couriers.map(|connection| Courier { connection, path: path.clone(), corpus: corpus.clone() });
        let done = drive(couriers.collect(), pace, count).await;
        api.is_alive()?;
        if let Some(failure) = done.failures.first() {
            anyhow::bail!("{} of {count} notifications failed, the first: {failure}", done.failures.len());
        }
        let due = done.acts.into_iter().map(|(took, (number, ended))| (number, ended - took));
        Ok((orders, due.collect()))
    }

    async fn all_are_told(&self, api: &mut Server, orders: &[Open]) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let missing = {
                let told = self.shop.told();
                orders.iter().filter(|open| !told.contains_key(open.order.as_str())).count()
            };
            if missing == 0 {
                return self.book.each_paid_once(orders).await;
            }
            api.is_alive()?;
            ensure!(begun.elapsed() < PATIENCE, "the shop was not told of {missing} orders");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The part of a core that all these processes use while nothing is asked of them.
async fn idle_cpu(api: &Server, workers: &[Server], seconds: u64) -> anyhow::Result<f64> {
    let used = || -> anyhow::Result<Duration> {
        let mut used = api.usage()?.cpu;
        for worker in workers {
            used += worker.usage()?.cpu;
        }
        Ok(used)
    };
    // What a start leaves to do.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (begun, before) = (Instant::now(), used()?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok((used()? - before).div_duration_f64(begun.elapsed()))
}

struct Row<'a> {
    hangs: bool,
    per_second: f64,
    count: usize,
    spans: &'a Spans,
    meanwhile: &'a Meanwhile,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} |",
            if self.hangs { "hangs" } else { "answers" },
            self.per_second,
            self.count,
            ms(self.spans.quantile(0.5)),
            ms(self.spans.quantile(0.99)),
            ms(self.spans.max()),
            machine_did(self.meanwhile),
        )
    }
}

fn verdict(promise: &Promise, spans: &Spans) -> String {
    let is_met = spans.quantile(0.5) <= promise.p50 && spans.quantile(0.99) <= promise.p99;
    let what = format!("p50 ≤ {} and p99 ≤ {} ms", ms(promise.p50), ms(promise.p99));
    format!("| {what}: {} | | | | | | | |", if is_met { "met" } else { "**missed**" })
}
