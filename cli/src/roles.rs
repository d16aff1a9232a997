//! Starting the roles of a process from its configuration, and stopping them in order.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::{Context, bail, ensure};
use api::{App, AppSettings};
use axum::Router;
use entity::{Clock, Db};
use migration::{Migrator, MigratorTrait};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use worker::{Worker, webhooks::Sender};

use crate::{config::Config, lock::DataLock};

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

/// A process at work.
#[derive(Debug)]
pub struct Running {
    pub api_addr: Option<SocketAddr>,
    pub metrics_addr: SocketAddr,
    pub db: Db,
    stopping: CancellationToken,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    worker: Option<Worker>,
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

    let db = Db::open(&database, clock).await.context("opening the database")?;
    let pending = Migrator::get_pending_migrations_read_only(db.reader())
        .await
        .context("reading the schema's version")?;
    ensure!(pending.is_empty(), "{} migrations are pending; run `everpaid migrate up` first", pending.len());
    if lock.is_some() {
        // Whoever held them is gone, or the lock would be held.
        let released =
            db.write(async |txn| jobs::release_leases(txn).await).await.context("releasing leases")?;
        if released > 0 {
            tracing::info!(released, "jobs of the process before this one will run again");
        }
    }

    let stopping = CancellationToken::new();
    let mut servers = vec![serve(metrics, api::metrics::router(recorder()?), stopping.clone())];
    tokio::spawn(api::metrics::keep(recorder()?, db.clone()));
    let public_url = config.public_url(api_addr.unwrap_or(config.listen))?;
    let worker = match roles.worker {
        true => {
            let merchants = merchants_of_worker(config, &public_url, db.clock())?;
            let sender = Sender::new().context("preparing webhooks")?;
            Some(Worker::start(&worker::Context::new(db.clone(), merchants, sender)))
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
        let app = App::new(db.clone(), settings, stopping.clone());
        servers.push(serve(listener, api::router::router(app), stopping.clone()));
    }
    Ok(Running { api_addr, metrics_addr, db, stopping, servers, worker, _lock: lock })
}

impl Running {
    /// Takes no new request, answers those that are there, finishes the jobs that run. A client that
    /// does not go away is left after ten seconds.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stopping.cancel();
        let end = Instant::now() + Duration::from_secs(10);
        for mut server in self.servers {
            match tokio::time::timeout_at(end, &mut server).await {
                Ok(served) => served?.context("serving")?,
                Err(_) => server.abort(),
            }
        }
        if let Some(worker) = self.worker {
            worker.stop().await;
        }
        self.db.close().await.context("closing the database")
    }
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
    clock: &Clock,
) -> anyhow::Result<HashMap<String, worker::Merchant>> {
    let merchants = config.merchants.iter().map(|(name, merchant)| {
        let merchant = merchant.for_worker(name, public_url, &config.wechat, clock)?;
        Ok((name.clone(), merchant))
    });
    merchants.collect()
}
