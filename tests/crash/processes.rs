//! The processes of a scenario: a simulator that lives throughout, and one server after another.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::Deserialize;
use tempfile::TempDir;
use testkit::{
    TestDatabase,
    process::{Process, free_port},
};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::listener::{Listener, SECRET};

pub const API_KEY: &str = "sk_test_of_the_crash_test";

/// An app that is ours by the configuration, and that WeChat Pay does not know.
pub const UNKNOWN_APP: &str = "wxffffffffffffffff";

const LOOK_EVERY: Duration = Duration::from_millis(20);
const START_MAX: Duration = Duration::from_secs(60);

/// Everything a scenario has for itself.
#[derive(Debug)]
pub struct World {
    pub database: TestDatabase,
    pub http: reqwest::Client,
    pub api_url: String,
    pub simulator_url: String,
    pub native_app: String,
    pub mini_program_app: String,
    pub listener: Listener,
    dir: TempDir,
    _simulator: Process,
}

/// A simulator's file with keys in it, which take a second to make.
#[derive(Debug)]
pub struct SimulatorKeys(TempDir);

/// `GET /_sim/merchant`.
#[derive(Deserialize)]
struct Merchant {
    mchid: String,
    certificate_serial: String,
    private_key: String,
    apiv3_key: String,
    public_key_id: String,
    public_key: String,
    apps: Vec<App>,
}

#[derive(Deserialize)]
struct App {
    appid: String,
    kind: String,
    secret: String,
}

impl SimulatorKeys {
    pub async fn generate() -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let (process, url) = simulator(dir.path())?;
        merchant(&http()?, &url).await?;
        process.stop().await?;
        Ok(Self(dir))
    }
}

impl World {
    pub async fn build(database: TestDatabase, keys: &SimulatorKeys) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        fs::copy(keys.0.path().join("simulator.sqlite"), dir.path().join("simulator.sqlite"))?;
        let http = http()?;
        let (simulator, simulator_url) = simulator(dir.path())?;
        let merchant = merchant(&http, &simulator_url).await?;
        let app = |kind: &str| {
            let app = merchant.apps.iter().find(|app| app.kind == kind);
            app.map(|app| app.appid.clone()).with_context(|| format!("the simulator has no {kind}"))
        };
        let (native_app, mini_program_app) = (app("service_account")?, app("mini_program")?);
        let api_addr = format!("127.0.0.1:{}", free_port());
        let (listener, webhook_url) = Listener::start().await?;
        let config = config(&api_addr, &database.url, &simulator_url, &merchant, &webhook_url);
        fs::write(dir.path().join("everpaid.toml"), config)?;
        let api_url = format!("http://{api_addr}");
        Ok(Self {
            database,
            http,
            api_url,
            simulator_url,
            native_app,
            mini_program_app,
            listener,
            dir,
            _simulator: simulator,
        })
    }

    /// Starts a server that dies where `failpoints` says, if it says.
    pub fn start_server(&self, failpoints: Option<&str>) -> anyhow::Result<Process> {
        let log = self.log("server.log");
        let mut marked = OpenOptions::new().create(true).append(true).open(&log)?;
        writeln!(marked, "--- FAILPOINTS={}", failpoints.unwrap_or("none"))?;
        let config = self.dir.path().join("everpaid.toml");
        let mut command = everpaid();
        command.arg("serve").arg("--config").arg(config);
        if let Some(failpoints) = failpoints {
            command.env("FAILPOINTS", failpoints);
        }
        Process::start(&mut command, &log)
    }

    /// Waits until the server takes requests.
    pub async fn wait_ready(&self, server: &mut Process) -> anyhow::Result<()> {
        let end = Instant::now() + START_MAX;
        while Instant::now() < end {
            if let Some(status) = server.ended()? {
                bail!("the server ended instead of starting: {status}");
            }
            let answer = self.http.get(format!("{}/readyz", self.api_url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("the server was not ready in {START_MAX:?}")
    }

    /// The last lines that the processes wrote.
    pub fn tail_of_logs(&self) -> String {
        let tail = |name: &str, lines: usize| {
            let log = fs::read_to_string(self.log(name)).unwrap_or_default();
            let all: Vec<_> = log.lines().collect();
            let (before, end) = all.split_at(all.len().saturating_sub(lines));
            let errors: Vec<_> = before.iter().filter(|line| line.contains("ERROR")).copied().collect();
            format!("=== {name}, errors and end\n{}\n", [errors.as_slice(), end].concat().join("\n"))
        };
        tail("simulator.log", 10) + &tail("server.log", 60)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn everpaid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everpaid-crashable"));
    command.env_remove("FAILPOINTS").env_remove("RUST_LOG");
    command
}

fn simulator(dir: &Path) -> anyhow::Result<(Process, String)> {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = everpaid();
    // Minutes between repeated notifications are seconds here.
    command.args(["simulator", "--time-scale", "60", "--listen", &listen]);
    command.arg("--data").arg(dir.join("simulator.sqlite"));
    Ok((Process::start(&mut command, &dir.join("simulator.log"))?, format!("http://{listen}")))
}

async fn merchant(http: &reqwest::Client, simulator_url: &str) -> anyhow::Result<Merchant> {
    let end = Instant::now() + START_MAX;
    loop {
        match http.get(format!("{simulator_url}/_sim/merchant")).send().await {
            Ok(answer) => return Ok(answer.error_for_status()?.json().await?),
            Err(error) if Instant::now() > end => return Err(error).context("the simulator does not start"),
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?)
}

fn config(
    api_addr: &str,
    database_url: &str,
    simulator_url: &str,
    merchant: &Merchant,
    webhook_url: &str,
) -> String {
    let Merchant { mchid, certificate_serial, private_key, apiv3_key, public_key_id, public_key, apps } =
        merchant;
    let app = |App { appid, kind, secret }: &App| {
        format!("{appid} = {{ kind = \"{kind}\", secret = \"{secret}\" }}")
    };
    let apps: Vec<String> = apps.iter().map(app).collect();
    let redis = match std::env::var("EVERPAID_TEST_REDIS") {
        Ok(url) if database_url.starts_with("postgres") => {
            let prefix = database_url.rsplit('/').next().unwrap_or_default();
            format!("[redis]\nurl = \"{url}\"\nprefix = \"{prefix}\"\n")
        }
        _ => String::new(),
    };
    format!(
        r#"
public_url = "http://{api_addr}"
listen = "{api_addr}"
metrics_listen = "127.0.0.1:0"

[database]
url = "{database_url}"
# The Postgres of a test run does not sync its files; a killed process needs no more than the kernel.
allow_unsafe_durability = true
# Many servers of this test share one Postgres.
writers = 4
readers = 2

{redis}
[wechat]
base_url = "{simulator_url}"

[links]
key = "a key that links of the crash test are made with"

[merchants.teahouse]
display_name = "山茶小铺"
mchid = "{mchid}"
certificate_serial = "{certificate_serial}"
private_key = '''{private_key}'''
apiv3_key = "{apiv3_key}"
public_key_id = "{public_key_id}"
public_key = '''{public_key}'''
api_key_hashes = ["{hash}"]
apps = {{ {apps}, {UNKNOWN_APP} = "service_account" }}

[merchants.teahouse.webhooks.shop]
url = "{webhook_url}"
secret = "{SECRET}"
allow_private_addresses = true
"#,
        hash = api::ApiKeyHash::of(API_KEY).to_hex(),
        apps = apps.join(", "),
    )
}
