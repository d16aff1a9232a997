//! Starting the roles of a process from its configuration, and stopping them in order.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};
use api::{App, AppSettings, Clocks, Ending};
use axum::Router;
use entity::{
    Clock, Db,
    durability::{self, UnsafeSetting},
};
use futures::future::select_all;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use worker::{RedisAt, Worker, webhooks::Sender};

use crate::{bridge, config::Config, lock::DataLock};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub api: bool,
    pub worker: bool,
}

impl Roles {
    pub const BOTH: Self = Self { api: true, worker: true };
    pub const API: Self = Self { api: true, worker: false };
    pub const WORKER: Self = Self { api: false, worker: true };
}

/// From the word to stop to the end; three seconds more for what is cut off, and one for the database.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// A process at work.
#[derive(Debug)]
pub struct Running {
    pub api_addr: Option<SocketAddr>,
    pub metrics_addr: SocketAddr,
    pub db: Db,
    leaving: CancellationToken,
    drain: Duration,
    stopping: CancellationToken,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    api: Option<App>,
    worker: Option<Worker>,
    bridge: JoinSet<()>,
    _lock: Option<DataLock>,
}

/// Starts what the configuration says. Pending migrations refuse the start.
pub async fn start(roles: Roles, config: &Config, clock: Clock) -> anyhow::Result<Running> {
    let database = config.database.options()?;
    let lock = match DataLock::directory_of(&database.url) {
        Some(_) if roles != Roles::BOTH => {
            bail!("on SQLite one process does everything: run `everpaid serve`, or use Postgres")
        }
        Some(directory) => Some(DataLock::take(&directory)?),
        None => None,
    };
    let listener = match roles.api {
        true => Some(listen(config.listen).await?),
        false => None,
    };
    let api_addr = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let metrics = listen(config.metrics_listen).await?;
    let metrics_addr = metrics.local_addr()?;

    let clocks = Clocks::new(clock.clone());
    let db = Db::open(&database, clock).await.context("opening the database")?;
    let pending = migration::pending(db.reader()).await.context("reading the schema's version")?;
    ensure!(pending.is_empty(), "{} migrations are pending; run `everpaid migrate up` first", pending.len());
    refuse_to_forget(&db, config.database.allow_unsafe_durability).await?;
    let redis = config.redis.at()?;
    if let Some(at) = &redis {
        ensure!(lock.is_none(), "redis.url is for many processes on Postgres; SQLite has one");
        refuse_eviction(at, config.redis.allow_eviction).await?;
    }
    if lock.is_some() {
        // Whoever held them is gone, or the lock would be held.
        let released =
            db.write(async |txn| jobs::release_leases(txn).await).await.context("releasing leases")?;
        if released > 0 {
            tracing::info!(released, "jobs of the process before this one will run again");
        }
    }

    let (leaving, stopping) = (CancellationToken::new(), CancellationToken::new());
    let bridge = match &redis {
        Some(at) => bridge::start(at, db.bus(), roles).context("reaching Redis")?,
        None => JoinSet::new(),
    };
    let mut api = None;
    let mut servers = vec![serve(metrics, api::metrics::router(recorder()?), stopping.clone())];
    tokio::spawn(api::metrics::keep(recorder()?, db.clone(), clocks.clone()));
    let public_url = config.public_url(api_addr.unwrap_or(config.listen))?;
    let worker = match roles.worker {
        true => {
            let merchants = merchants_of_worker(config, &public_url, &clocks)?;
            let sender = Sender::new().context("preparing webhooks")?;
            let context = worker::Context::new(db.clone(), merchants, sender);
            Some(Worker::start(&context, redis.as_ref()).context("starting the worker")?)
        }
        false => None,
    };
    if let Some(listener) = listener {
        let settings = AppSettings {
            public_url,
            merchants: config.merchants_of_api()?,
            link_keys: config.link_keys()?,
            simulator_url: config.wechat.simulator_url(),
            open_url: config.wechat.open_url()?,
            openids: config.wechat.openids()?,
            verify_files: config.wechat.verify_files()?,
        };
        let ending = Ending { leaving: leaving.clone(), stopping: stopping.clone() };
        let app = App::new(db.clone(), settings, clocks, ending);
        servers.push(serve(listener, api::router::router(app.clone()), stopping.clone()));
        api = Some(app);
    }
    let drain = Duration::from_secs(config.drain_seconds);
    Ok(Running {
        api_addr,
        metrics_addr,
        db,
        leaving,
        drain,
        stopping,
        servers,
        api,
        worker,
        bridge,
        _lock: lock,
    })
}

impl Running {
    /// Comes back only when something has ended that never should: this process cannot do its work.
    pub async fn failed(&mut self) -> anyhow::Error {
        let worker = async {
            match &mut self.worker {
                Some(worker) => worker.failed().await,
                None => std::future::pending().await,
            }
        };
        let intake = async {
            match &self.api {
                Some(api) => api.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = worker => anyhow!("a part of the worker has ended"),
            () = intake => anyhow!("nobody writes notifications down any more"),
            (served, ..) = select_all(&mut self.servers) => anyhow!("a listener has ended: {served:?}"),
        }
    }

    /// Says that it is not ready, and a little later takes no new request, answers those that are
    /// there, and finishes the jobs that run. Within 25 seconds in all it is over: what has not ended
    /// by then is given back, and another process goes on with it.
    pub async fn stop(self) -> anyhow::Result<()> {
        let end = Instant::now() + STOPS_WITHIN;
        self.leaving.cancel();
        tokio::time::sleep(self.drain.min(STOPS_WITHIN / 2)).await;
        self.stopping.cancel();
        // A client that does not go away is left.
        let hang_up = Instant::now() + (end - Instant::now()) / 2;
        for mut server in self.servers {
            match tokio::time::timeout_at(hang_up, &mut server).await {
                Ok(served) => served?.context("serving")?,
                Err(_) => server.abort(),
            }
        }
        if let Some(worker) = self.worker {
            worker.stop(end.saturating_duration_since(Instant::now())).await;
        }
        drop(self.bridge);
        // Whatever it still does is rolled back when the connection breaks.
        match tokio::time::timeout(CLOSES_WITHIN, self.db.close()).await {
            Ok(closed) => closed.context("closing the database"),
            Err(_) => {
                tracing::warn!("the database does not answer; its connections are left");
                Ok(())
            }
        }
    }
}

/// Refuses a database that may forget what it committed.
async fn refuse_to_forget(db: &Db, is_allowed: bool) -> anyhow::Result<()> {
    for UnsafeSetting { name, value } in
        durability::unsafe_settings(db).await.context("asking how durable the database is")?
    {
        let what =
            format!("{name} = {value}: the database may lose payments that WeChat Pay was told we know of");
        ensure!(is_allowed, "{what}; set database.allow_unsafe_durability if that does not matter");
        tracing::error!("{what}");
    }
    Ok(())
}

/// Refuses a Redis that throws keys away when it is full: queues would vanish in the midst of work.
/// One that does not answer is none to refuse; everything goes on without it.
async fn refuse_eviction(at: &RedisAt, is_allowed: bool) -> anyhow::Result<()> {
    const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
    let asking = async {
        let mut connection = at.client.get_multiplexed_async_connection().await?;
        redis::cmd("INFO").arg("memory").query_async::<String>(&mut connection).await
    };
    let Ok(Ok(info)) = tokio::time::timeout(ANSWERS_WITHIN, asking).await else {
        tracing::warn!("Redis does not answer; everything goes on without it until it does");
        return Ok(());
    };
    let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::trim);
    if let Some(policy) = policy.filter(|policy| *policy != "noeviction") {
        let what = format!("Redis throws keys away when it is full (maxmemory-policy {policy})");
        ensure!(is_allowed, "{what}; it must be noeviction, or set redis.allow_eviction");
        tracing::error!("{what}");
    }
    Ok(())
}

pub(crate) async fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("listening on {addr}"))
}

pub(crate) fn serve(
    listener: TcpListener,
    router: Router,
    stopping: CancellationToken,
) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await }).await
    })
}

/// The recorder of this process, installed when it is first asked for.
fn recorder() -> anyhow::Result<metrics_exporter_prometheus::PrometheusHandle> {
    static RECORDER: std::sync::Mutex<Option<metrics_exporter_prometheus::PrometheusHandle>> =
        std::sync::Mutex::new(None);
    let mut recorder = RECORDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*recorder {
        Some(handle) => Ok(handle.clone()),
        None => {
            let handle = api::metrics::install().context("installing the metrics recorder")?;
            Ok(recorder.insert(handle).clone())
        }
    }
}

fn merchants_of_worker(
    config: &Config,
    public_url: &str,
    clocks: &Clocks,
) -> anyhow::Result<HashMap<String, worker::Merchant>> {
    let merchants = config.merchants.iter().map(|(name, merchant)| {
        let merchant = merchant.for_worker(name, public_url, &config.wechat, clocks)?;
        Ok((name.clone(), merchant))
    });
    merchants.collect()
}
