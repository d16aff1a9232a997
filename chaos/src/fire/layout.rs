//! Everything that runs: WeChat Pay, everpaid in one process or in several, its database, and the wires
//! between them.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use entity::{Clock, Db, DbOptions};
use futures::future::join_all;
use nix::unistd::{Gid, Uid};
use simulator::{AppKind, MerchantCredentials};
use tempfile::TempDir;
use testkit::{
    RedisServer,
    process::{Process, free_port},
};
use tokio::{
    process::Command,
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    member::{Executables, Member, Spec, faketime},
    postgres::Postgres,
    small_disk::SmallDisk,
    wire::{State, Wire},
};
use crate::sink::Sink;

pub const API_KEY: &str = "sk_test_under_fire";
const LINK_KEY: &str = "a link key of thirty-two bytes...";
const SECRET: &str = "whsec_dW5kZXIgZmlyZSB0aGUgc2hvcCBpcyB0b2xk";

/// Where a small disk is mounted.
const SMALL: &str = "small";

const START_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One process on SQLite, or several on Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// Where something can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Between {
    /// Shops and WeChat Pay, and the apis by turns.
    Api,
    /// Everpaid and WeChat Pay.
    WeChat,
    /// Everpaid and the shop's endpoint.
    Shop,
    /// Everpaid and Postgres.
    Database,
    /// Everpaid and Redis.
    Redis,
}

/// What only some runs need.
#[derive(Clone, Copy, Debug)]
pub struct Furnishing {
    /// Each process has a clock of its own.
    pub clocks: bool,
    /// The database is on a small disk.
    pub small_disk: bool,
}

pub struct Layout {
    pub members: Vec<Member>,
    pub sink: Sink,
    pub http: reqwest::Client,
    pub simulator_url: String,
    pub native_app: String,
    pub mini_program: String,
    pub postgres: Option<Postgres>,
    /// Beside Postgres.
    pub redis: Option<Mutex<RedisServer>>,
    /// Where the database's rows are, if that is to become full.
    pub small_disk: Option<Mutex<SmallDisk>>,
    wires: BTreeMap<Between, Wire>,
    executable: PathBuf,
    simulator: Option<Process>,
    directory: TempDir,
}

impl Layout {
    /// Starts all of it.
    pub async fn start(
        database: Database,
        executables: &Executables,
        seed: u64,
        Furnishing { clocks, small_disk }: Furnishing,
    ) -> anyhow::Result<Self> {
        let executable = executables.newest();
        let directory = TempDir::new()?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let sink = Sink::open(SECRET).await?;
        let wechat = local(free_port());
        let mut command = everpaid(executable);
        command.args(["simulator", "--fast-signing", "--listen", &wechat.to_string()]);
        command.arg("--seed").arg(seed.to_string());
        command.arg("--data").arg(directory.path().join("simulator.sqlite"));
        let simulator = Process::start(&mut command, &directory.path().join("simulator.log"))?;
        let simulator_url = format!("http://{wechat}");

        let mut wires = BTreeMap::from([(Between::WeChat, Wire::lay(vec![wechat]))]);
        let roles: &[&str] = match database {
            Database::Sqlite => &["serve"],
            Database::Postgres => &["api", "api", "worker", "worker"],
        };
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start().await?),
        };
        let small_disk = match (small_disk, &postgres) {
            (false, _) => None,
            (true, None) => {
                let over = directory.path().join(SMALL);
                fs::create_dir(&over)?;
                Some(SmallDisk::mount(&over, (Uid::effective(), Gid::effective()))?)
            }
            (true, Some(postgres)) => Some(postgres.move_to_small_disk().await?),
        };
        let redis = postgres.is_some().then(RedisServer::start);
        if let Some(redis) = &redis {
            wires.insert(Between::Redis, Wire::lay(vec![local(redis.port())]));
        }
        let database_url = match &postgres {
            None => sqlite_url(directory.path(), small_disk.is_some()),
            Some(postgres) => {
                let wire = Wire::lay(vec![local(postgres.port)]);
                let url = postgres.url(wire.addr.port());
                wires.insert(Between::Database, wire);
                url
            }
        };
        let faketime = match clocks {
            true => Some(faketime().context("libfaketime is not installed")?),
            false => None,
        };
        let specs: Vec<_> = roles
            .iter()
            .enumerate()
            .map(|(nth, &role)| Spec {
                name: format!("{role}-{}", nth + 1),
                role,
                executables: executables.clone(),
                directory: directory.path().to_owned(),
                listen: local(free_port()),
                metrics: local(free_port()),
                faketime: faketime.clone(),
            })
            .collect();
        let apis = specs.iter().filter(|spec| spec.role != "worker").map(|spec| spec.listen).collect();
        wires.insert(Between::Api, Wire::lay(apis));
        let shop = sink.url.strip_prefix("http://").and_then(|url| url.split('/').next());
        wires.insert(Between::Shop, Wire::lay(vec![shop.context("a shop without an address")?.parse()?]));

        let merchant = merchant(&http, &simulator_url).await?;
        let app = |kind: AppKind| {
            let app = merchant.apps.iter().find(|app| app.kind == kind);
            app.map(|app| app.appid.clone()).context("the simulator lacks an app")
        };
        let (native_app, mini_program) = (app(AppKind::ServiceAccount)?, app(AppKind::MiniProgram)?);
        let config = config(&database_url, &wires, &merchant);
        fs::write(directory.path().join("everpaid.toml"), config)?;

        let mut layout = Self {
            members: Vec::new(),
            sink,
            http,
            simulator_url,
            native_app,
            mini_program,
            postgres,
            redis: redis.map(Mutex::new),
            small_disk: small_disk.map(Mutex::new),
            wires,
            executable: executable.to_owned(),
            simulator: Some(simulator),
            directory,
        };
        layout.everpaid(&["migrate", "up"]).await?;
        for spec in specs {
            layout.members.push(Member::start(spec)?);
        }
        for member in &layout.members {
            member.ready(&layout.http).await?;
        }
        // Otherwise it was somebody else's that answered.
        let ended = layout.simulator.as_mut().context("no simulator")?.ended()?;
        ensure!(ended.is_none(), "the simulator has ended: {ended:?}");
        Ok(layout)
    }

    pub fn wire(&self, between: Between) -> Option<&Wire> {
        self.wires.get(&between)
    }

    pub fn clear_wires(&self) {
        for wire in self.wires.values() {
            wire.set(State::Clear);
        }
    }

    /// Where shops and WeChat Pay reach everpaid.
    pub fn api_url(&self) -> String {
        self.wires[&Between::Api].url()
    }

    /// A command of the operator's.
    pub async fn everpaid(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = everpaid(&self.executable);
        command.args(arguments).arg("--config").arg(self.directory.path().join("everpaid.toml"));
        let ended = command.kill_on_drop(true).output().await.context("running everpaid")?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "everpaid {}: {said}", arguments.join(" "));
        Ok(())
    }

    /// The database, beside everpaid and not over its wire.
    pub async fn open_database(&self) -> anyhow::Result<Db> {
        let url = match &self.postgres {
            None => sqlite_url(self.directory.path(), self.small_disk.is_some()),
            Some(postgres) => postgres.url(postgres.port),
        };
        let options = DbOptions { writers: 1, readers: 2, statement_limit: None, ..DbOptions::new(url) };
        Db::open(&options, Clock::System).await.context("opening the database")
    }

    /// Ends everything in order; what does not end so is said.
    pub async fn end(mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for stopped in join_all(self.members.iter().map(Member::stop)).await {
            if let Err(error) = stopped {
                wrong.push(format!("{error:#}"));
            }
        }
        self.members.clear();
        if let Some(simulator) = self.simulator.take()
            && let Err(error) = simulator.stop().await
        {
            wrong.push(format!("the simulator: {error:#}"));
        }
        if let Some(postgres) = self.postgres.take()
            && let Err(error) = postgres.stop().await
        {
            wrong.push(format!("Postgres: {error:#}"));
        }
        wrong
    }

    /// Everything that was written down, for a person to look into.
    pub fn keep(self) -> PathBuf {
        let Self { directory, .. } = self;
        directory.keep()
    }
}

fn sqlite_url(directory: &Path, on_small_disk: bool) -> String {
    let directory = if on_small_disk { directory.join(SMALL) } else { directory.to_owned() };
    format!("sqlite://{}", directory.join("everpaid.sqlite").display())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn everpaid(executable: &Path) -> Command {
    let mut command = Command::new(executable);
    command.arg0("everpaid").env_remove("FAILPOINTS").env_remove("LD_PRELOAD").env("RUST_LOG", "warn");
    command
}

async fn merchant(http: &reqwest::Client, simulator_url: &str) -> anyhow::Result<MerchantCredentials> {
    let end = Instant::now() + START_MAX;
    while Instant::now() < end {
        if let Ok(answer) = http.get(format!("{simulator_url}/_sim/merchant")).send().await {
            return Ok(answer.error_for_status()?.json().await?);
        }
        sleep(LOOK_EVERY).await;
    }
    bail!("the simulator does not start in {START_MAX:?}")
}

fn config(database_url: &str, wires: &BTreeMap<Between, Wire>, merchant: &MerchantCredentials) -> String {
    let MerchantCredentials {
        mchid,
        certificate_serial,
        private_key,
        apiv3_key,
        public_key_id,
        public_key,
        apps,
        ..
    } = merchant;
    let apps: Vec<_> = apps
        .iter()
        .map(|app| {
            let kind = match app.kind {
                AppKind::ServiceAccount => "service_account",
                AppKind::MiniProgram => "mini_program",
            };
            format!("{} = \"{kind}\"", app.appid)
        })
        .collect();
    let redis = wires
        .get(&Between::Redis)
        .map_or_else(String::new, |wire| format!("[redis]\nurl = \"redis://{}\"", wire.addr));
    format!(
        r#"
public_url = "{api}"
# Whoever finds nobody listening goes to the next one.
drain_seconds = 0

[database]
url = "{database_url}"
writers = 8
{redis}

[wechat]
base_url = "{wechat}"

[links]
key = "{LINK_KEY}"

[merchants.teahouse]
display_name = "山茶小铺"
mchid = "{mchid}"
certificate_serial = "{certificate_serial}"
private_key = '''{private_key}'''
apiv3_key = "{apiv3_key}"
public_key_id = "{public_key_id}"
public_key = '''{public_key}'''
api_key_hashes = ["{hash}"]
apps = {{ {apps} }}

[merchants.teahouse.webhooks.shop]
url = "{shop}/told"
secret = "{SECRET}"
allow_private_addresses = true
"#,
        api = wires[&Between::Api].url(),
        wechat = wires[&Between::WeChat].url(),
        shop = wires[&Between::Shop].url(),
        hash = api::ApiKeyHash::of(API_KEY).to_hex(),
        apps = apps.join(", "),
    )
}
