//! How long it takes from WeChat Pay's word that somebody paid until the shop has been told.
//!
//! A notification is posted when it is due; the time runs from there until the shop's endpoint has the
//! delivery in its hands. In between are three jobs: the notification is applied, the shop's event
//! is written down, the delivery is made. Then the merchant has a second endpoint, which takes every
//! delivery at once, or holds it and never answers: what that does to the first is the question.

use std::{
    collections::HashMap,
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
use http::StatusCode;
use serde_json::Value;
use simulator::{MerchantCredentials, Simulator};
use testkit::RedisServer;
use tokio::net::TcpListener;

use crate::{
    ROUNDS, Rounds,
    book::{Book, Database, Open},
    load::{Pace, Spans, drive},
    machine::{Meanwhile, Watch},
    notifications::{Courier, sign},
    report::{machine_did, ms},
    server::{Role, Server, Settings},
};

/// Longer than any of it takes; a run that waits so long is void.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where and on what.
pub struct Place<'a> {
    pub everpaid: &'a Path,
    pub database: &'a Database,
    /// With it there are many processes.
    pub redis: Option<&'a RedisServer>,
    pub data: &'a Path,
}

/// What is promised of a layout, at so many orders a second.
struct Promise {
    layout: &'static str,
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

const EMBEDDED: Promise = Promise {
    layout: "one process on SQLite",
    per_second: 200.0,
    p50: Duration::from_millis(15),
    p99: Duration::from_millis(100),
};

const SCALED: Promise = Promise {
    layout: "an api and two workers on Postgres and Redis",
    per_second: 100.0,
    p50: Duration::from_millis(40),
    p99: Duration::from_millis(250),
};

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

/// What a second endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    None,
    Answers,
    Hangs,
}

/// Orders, and who posts that they are paid.
struct Ready {
    orders: Arc<Vec<Open>>,
    couriers: Vec<Courier>,
}

/// Everything that a run needs.
struct Stage<'a> {
    wechat: &'a Simulator,
    credentials: &'a MerchantCredentials,
    shop: &'a Shop,
    book: Book,
    watch: Watch,
    quick: bool,
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
        let redis_url = self.redis.map(RedisServer::url);
        let settings = |endpoints: usize| Settings {
            everpaid: self.everpaid,
            directory: directory.path(),
            database_url: &self.database.url,
            redis_url: redis_url.as_deref(),
            wechat_url: &wechat_url,
            credentials: &credentials,
            webhook_urls: &webhook_urls[..endpoints],
        };
        let mut stage = Stage {
            wechat: &wechat,
            credentials: &credentials,
            shop: &shop,
            book: Book::open(self.database).await?,
            watch: Watch::over(self.data),
            quick,
        };
        let is_scaled = self.redis.is_some();
        let promise = if is_scaled { SCALED } else { EMBEDDED };
        println!("\n## Paid until told: {}\n", promise.layout);

        let mut layout = Layout::start(&settings(1), usize::from(is_scaled)).await?;
        let idle = layout.idle_cpu(if quick { 3 } else { 20 }).await?;
        if is_scaled {
            layout.workers.push(Server::start(&settings(1), Role::Worker).await?);
        }
        let [alone] = stage.in_turns(&mut layout.api, promise.per_second, [Other::None]).await?;
        let is_met = alone.quantile(0.5) <= promise.p50 && alone.quantile(0.99) <= promise.p99;
        let verdict = if is_met { "met" } else { "**missed**" };
        println!("\nOn a quiet machine, p50 / p99 / max ms: {}.", slashed(&alone));
        println!("p50 ≤ {} and p99 ≤ {} ms: {verdict}.", ms(promise.p50), ms(promise.p99));
        println!("Idle, it uses {:.1} % of a core (with one worker; at most 3).\n", idle * 100.0);
        layout.stop().await?;

        // Two endpoints are more to do, and this is about one beside the other.
        let mut layout = Layout::start(&settings(2), 2 * usize::from(is_scaled)).await?;
        let turns = [Other::Answers, Other::Hangs];
        let [answers, hangs] = stage.in_turns(&mut layout.api, promise.per_second / 2.0, turns).await?;
        println!(
            "\nBeside an endpoint that answers: {}; beside one that hangs: {}:",
            slashed(&answers),
            slashed(&hangs)
        );
        let change = hangs.quantile(0.99).div_duration_f64(answers.quantile(0.99)) - 1.0;
        println!("p99 {:+.1} % (at most +5 %).\n", change * 100.0);
        layout.stop().await?;

        if is_scaled {
            stage.backlogs(&settings(1)).await?;
        }
        stage.book.close().await?;
        wechat.stop().await;
        Ok(())
    }
}

/// The processes.
struct Layout {
    api: Server,
    workers: Vec<Server>,
}

impl Layout {
    /// One that does everything, if there are no workers.
    async fn start(settings: &Settings<'_>, workers: usize) -> anyhow::Result<Self> {
        let api = Server::start(settings, if workers == 0 { Role::Serve } else { Role::Api }).await?;
        let mut layout = Self { api, workers: Vec::new() };
        for _ in 0..workers {
            layout.workers.push(Server::start(settings, Role::Worker).await?);
        }
        Ok(layout)
    }

    /// The part of a core that all of it uses while nothing is asked of it.
    async fn idle_cpu(&self, seconds: u64) -> anyhow::Result<f64> {
        let used = || -> anyhow::Result<Duration> {
            let mut used = self.api.usage()?.cpu;
            for worker in &self.workers {
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

    async fn stop(self) -> anyhow::Result<()> {
        for worker in self.workers {
            worker.stop().await?;
        }
        self.api.stop().await
    }
}

impl Stage<'_> {
    /// Orders at a fixed rate, with the other endpoint doing one after the other, so that what becomes of
    /// the machine meanwhile becomes of all. What counts is all that was told on a quiet machine.
    async fn in_turns<const N: usize>(
        &mut self,
        api: &mut Server,
        per_second: f64,
        others: [Other; N],
    ) -> anyhow::Result<[Spans; N]> {
        let count = if self.quick { 300 } else { 2000 };
        println!(
            "| the other endpoint | orders/s | told | p50 ms | p99 ms | max ms | idle cores | others' CPU | fsync p50 / p99 / max ms |"
        );
        println!("|---|--:|--:|--:|--:|--:|--:|--:|---|");
        let mut runs = others.map(|_| Rounds::new(if self.quick { 1 } else { ROUNDS }));
        let mut seen = others.map(|_| Vec::new());
        while runs.iter().any(Rounds::need_more) {
            for (nth, other) in others.into_iter().enumerate() {
                self.shop.hangs.store(other == Other::Hangs, Ordering::Relaxed);
                eprintln!("{count} orders at {per_second}/s, {other:?}");
                let (spans, meanwhile) = self.at_a_rate(api, per_second, count).await?;
                let of_run = Spans::of(spans.iter().copied());
                let figures = figures(&of_run).join(" | ");
                let (idle, did) = (meanwhile.idle, machine_did(&meanwhile));
                println!("| {other:?} | {per_second} | {count} | {figures} | {idle:.1} | {did} |");
                runs[nth].add(meanwhile.was_quiet());
                if meanwhile.was_quiet() {
                    seen[nth].extend(spans);
                }
            }
        }
        ensure!(seen.iter().all(|seen| !seen.is_empty()), "the machine was never quiet: nothing is judged");
        Ok(seen.map(Spans::of))
    }

    async fn at_a_rate(
        &mut self,
        api: &mut Server,
        per_second: f64,
        count: usize,
    ) -> anyhow::Result<(Vec<Duration>, Meanwhile)> {
        let ready = self.ready(api, count).await?;
        self.watch.begin()?;
        let due = notify(api, Pace::Open { per_second }, ready.couriers, count).await?;
        self.all_are_told(api, &ready.orders).await?;
        let meanwhile = self.watch.end()?;
        let told = self.shop.told();
        let span = |(number, due): (usize, Instant)| {
            told.get(ready.orders[number].order.as_str())
                .map_or(PATIENCE, |told| told.saturating_duration_since(due))
        };
        Ok((due.into_iter().map(span).collect(), meanwhile))
    }

    /// Has overdue jobs worked off by one worker, by two and by three.
    async fn backlogs(&mut self, settings: &Settings<'_>) -> anyhow::Result<()> {
        let count = if self.quick { 300 } else { 3000 };
        let mut api = Server::start(settings, Role::Api).await?;
        println!("| workers | overdue | told /s | idle cores | others' CPU | fsync p50 / p99 / max ms |");
        println!("|--:|--:|--:|--:|--:|---|");
        for workers in 1..=3 {
            eprintln!("{count} overdue for {workers} workers");
            let ready = self.ready(&api, count).await?;
            notify(&mut api, Pace::Closed, ready.couriers, count).await?;
            let mut running = Vec::new();
            self.watch.begin()?;
            for _ in 0..workers {
                running.push(Server::start(settings, Role::Worker).await?);
            }
            self.all_are_told(&mut api, &ready.orders).await?;
            let meanwhile = self.watch.end()?;
            for worker in running {
                worker.stop().await?;
            }
            let (told_per_second, idle) = (self.told_per_second(&ready.orders)?, meanwhile.idle);
            println!(
                "| {workers} | {count} | {told_per_second:.0} | {idle:.1} | {} |",
                machine_did(&meanwhile)
            );
        }
        api.stop().await
    }

    /// From the first to the last.
    fn told_per_second(&self, orders: &[Open]) -> anyhow::Result<f64> {
        let told = self.shop.told();
        let at = || orders.iter().filter_map(|open| told.get(open.order.as_str()));
        let span = *at().max().context("nothing was told")? - *at().min().context("nothing was told")?;
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 orders")]
        Ok(orders.len() as f64 / span.as_secs_f64())
    }

    /// Places orders and signs what WeChat Pay will say of them.
    async fn ready(&self, api: &Server, count: usize) -> anyhow::Result<Ready> {
        const CONNECTIONS: usize = 64;
        let orders = Arc::new(self.book.place(count, self.credentials).await.context("placing orders")?);
        let corpus = sign(self.wechat, &orders).await?;
        Ok(Ready { couriers: Courier::many(api.addr, CONNECTIONS, corpus).await?, orders })
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

/// Posts as many notifications, each about an order of its own, and says when each was due.
async fn notify(
    api: &mut Server,
    pace: Pace,
    couriers: Vec<Courier>,
    count: usize,
) -> anyhow::Result<Vec<(usize, Instant)>> {
    let done = drive(couriers, pace, count).await;
    api.is_alive()?;
    if let Some(failure) = done.failures.first() {
        anyhow::bail!("{} of {count} notifications failed, the first: {failure}", done.failures.len());
    }
    Ok(done.acts.into_iter().map(|(took, (number, ended))| (number, ended - took)).collect())
}

fn figures(spans: &Spans) -> [String; 3] {
    [spans.quantile(0.5), spans.quantile(0.99), spans.max()].map(ms)
}

fn slashed(spans: &Spans) -> String {
    figures(spans).join(" / ")
}
