//! One everpaid with its WeChat Pay and its shop, in virtual time.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use entity::{Clock, Db, Hint, ManualClock, Timestamp, job, job::Lane};
use everpaid::{
    config::{Config, Merchant, Webhook},
    roles::{self, Roles, Running},
};
use migration::{Migrator, MigratorTrait};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use simulator::{Credentials, Simulator};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::sink::Sink;

const MERCHANT: &str = "lives";
const API_KEY: &str = "sk_test_lives";
const LINK_KEY: &str = "a link key of thirty-two bytes...";
const SECRET: &str = "whsec_bGl2ZXMgYXJlIHRvbGQgdG8gdGhlIHNob3A=";

/// Nothing takes longer in real time, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub simulator: Simulator,
    pub sink: Sink,
    pub mini_program: String,
    clock: ManualClock,
    config: Config,
    running: Option<Running>,
    http: reqwest::Client,
    directory: TempDir,
}

impl World {
    pub async fn begin(credentials: &Credentials, seed: u64) -> anyhow::Result<Self> {
        let began = Timestamp::parse("2026-11-22T12:00:00+08:00").context("reading a time")?;
        let clock = ManualClock::at(began);
        let now = clock.clone();
        let simulator = Simulator::start(simulator::Options {
            now: Some(Arc::new(move || now.now().0)),
            credentials: Some(credentials.clone()),
            seed: Some(seed),
            fast_signing: true,
            ..simulator::Options::default()
        })
        .await
        .context("starting WeChat Pay")?;
        let sink = Sink::open(SECRET).await?;
        let directory = tempfile::tempdir()?;
        let database = format!("sqlite://{}", directory.path().join("everpaid.sqlite").display());
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let merchant = simulator.merchant();
        let app = merchant.apps.iter().find(|app| app.kind == simulator::AppKind::MiniProgram);
        let mini_program = app.context("there is no mini-program")?.appid.clone();
        let mut merchant = Merchant::simulated(MERCHANT, merchant, API_KEY);
        // Virtual time has room for every call; the budget counts real time.
        merchant.calls_per_second = NonZeroU32::MAX;
        merchant.webhooks = [("shop".to_owned(), Webhook::private(&sink.url, SECRET))].into();
        let config = Config {
            listen: anywhere,
            metrics_listen: anywhere,
            merchants: [(MERCHANT.to_owned(), merchant)].into(),
            ..Config::simulated(&database, &simulator.url(), LINK_KEY)
        };
        let db = Db::open(&config.database.options()?, Clock::System).await.context("making a database")?;
        Migrator::up(db.migrator(), None).await.context("migrating")?;
        db.close().await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut world = Self { simulator, sink, mini_program, clock, config, running: None, http, directory };
        world.start().await?;
        Ok(world)
    }

    /// Starts everpaid at the same address as before.
    async fn start(&mut self) -> anyhow::Result<()> {
        let running = roles::start(Roles::BOTH, &self.config, Clock::Manual(self.clock.clone())).await?;
        // Notifications must find it after the next start.
        self.config.listen = running.api_addr.context("the api has no address")?;
        self.running = Some(running);
        Ok(())
    }

    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.running.take().context("everpaid runs")?.stop().await?;
        self.start().await
    }

    pub fn db(&self) -> &Db {
        &self.running.as_ref().expect("it is only ever absent while it is restarted").db
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn forget_jobs(&self) -> anyhow::Result<()> {
        self.db().write(async |txn| job::Entity::delete_many().exec(txn).await).await?;
        Ok(())
    }

    /// Moves the one clock there is and waits until nothing is due any more.
    pub async fn move_to(&self, moment: Timestamp) -> anyhow::Result<()> {
        self.clock.advance(moment.since(self.clock.now()));
        self.simulator.clock_moved();
        self.hint_at_what_is_due().await?;
        self.settle().await
    }

    /// The pump would find it by itself, 200 ms of real time later.
    async fn hint_at_what_is_due(&self) -> anyhow::Result<()> {
        for lane in Lane::ALL {
            for due in jobs::due(self.db(), lane, u32::MAX.into()).await? {
                self.db().bus().tell(&Hint::Job(due));
            }
        }
        Ok(())
    }

    /// Waits until nothing is due, here and at WeChat Pay.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.jobs_are_idle().await?;
        self.simulator.notifications_settled().await?;
        self.jobs_are_idle().await
    }

    async fn jobs_are_idle(&self) -> anyhow::Result<()> {
        let mut hints = self.db().bus().jobs();
        let begun = Instant::now();
        loop {
            let now = self.clock.now();
            let is_busy =
                Condition::any().add(job::Column::Lease.is_not_null()).add(job::Column::DueAt.lte(now));
            let busy = job::Entity::find()
                .filter(job::Column::DeadAt.is_null())
                .filter(is_busy)
                .one(self.db().reader())
                .await?;
            let Some(busy) = busy else { return Ok(()) };
            ensure!(begun.elapsed() < PATIENCE, "this job does not come to an end: {busy:?}");
            // The end of a run is no hint, so look again soon.
            timeout(Duration::from_millis(5), hints.recv()).await.ok();
        }
    }

    /// When the next job is due, the sweeper's left out.
    pub async fn next_due(&self) -> anyhow::Result<Option<Timestamp>> {
        let due: Option<Timestamp> = job::Entity::find()
            .select_only()
            .column(job::Column::DueAt)
            .filter(job::Column::DeadAt.is_null())
            .filter(job::Column::Kind.ne("sweep_overdue"))
            .order_by_asc(job::Column::DueAt)
            .into_tuple()
            .one(self.db().reader())
            .await?;
        Ok(due)
    }

    /// What the shop asks, and the payer with the shop's key: the answer's status and body.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let url = format!("http://{}{path}", self.config.listen);
        let answer = self.http.post(url).bearer_auth(API_KEY).json(body).send().await?;
        let status = answer.status().as_u16();
        ensure!(status < 500, "{path} answered {status}: {}", answer.text().await?);
        Ok((status, answer.json().await?))
    }

    /// The database's directory is kept if somebody should look into it.
    pub async fn end(mut self, keep: bool) -> anyhow::Result<Option<PathBuf>> {
        self.running.take().context("everpaid runs")?.stop().await?;
        self.simulator.stop().await;
        Ok(keep.then(|| self.directory.keep()))
    }
}
