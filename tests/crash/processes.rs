//! The processes of a scenario: a simulator that lives throughout, and one server after another.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use serde::Deserialize;
use tempfile::TempDir;
use testkit::TestDatabase;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::listener::{Listener, SECRET};

pub const API_KEY: &str = "sk_test_of_the_crash_test";

/// An app that is ours by the configuration, and that WeChat Pay does not know.
pub const UNKNOWN_APP: &str = "wxffffffffffffffff";

const LOOK_EVERY: Duration = Duration::from_millis(20);
const START_MAX: Duration = Duration::from_secs(60);
/// A run may take 20 s, and stopping waits for it.
const STOP_MAX: Duration = Duration::from_secs(30);

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

/// A process that does not outlive its test.
#[derive(Debug)]
pub struct Process(Child);

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
        let mut command = everpaid(&log)?;
        command.arg("serve").arg("--config").arg(config);
        if let Some(failpoints) = failpoints {
            command.env("FAILPOINTS", failpoints);
        }
        Ok(Process(command.spawn().context("starting the server")?))
    }

    /// Waits until the server takes requests.
    pub async fn wait_ready(&self, server: &mut Process) -> anyhow::Result<()> {
        let end = Instant::now() + START_MAX;
        while Instant::now() < end {
            if let Some(status) = server.0.try_wait()? {
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

impl Process {
    /// Waits for the end that was prepared for it.
    pub async fn died(&mut self) -> anyhow::Result<()> {
        let status = self.0.wait().await?;
        ensure!(is_killed(status), "the server ended by itself: {status}");
        Ok(())
    }

    /// `kill -9`.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        ensure!(self.0.try_wait()?.is_none(), "the server was gone before it was killed");
        self.0.start_kill()?;
        self.died().await
    }

    /// SIGTERM; it has to end in order and say so.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // Not waited for yet, so the number cannot be another process'.
        let id = self.0.id().context("it was gone before it was told to stop")?;
        signal::kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
        let status = timeout(STOP_MAX, self.0.wait()).await.context("it did not stop at SIGTERM")??;
        ensure!(status.success(), "SIGTERM was answered with {status}");
        Ok(())
    }
}

fn is_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGKILL as i32)
}

/// The executable, with everything it says in a file.
fn everpaid(log: &Path) -> anyhow::Result<Command> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_everpaid-crashable"));
    command
        .env_remove("FAILPOINTS")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(File::try_clone(&log)?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

fn simulator(dir: &Path) -> anyhow::Result<(Process, String)> {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = everpaid(&dir.join("simulator.log"))?;
    // Minutes between repeated notifications are seconds here.
    command.args(["simulator", "--time-scale", "60", "--listen", &listen]);
    command.arg("--data").arg(dir.join("simulator.sqlite"));
    Ok((Process(command.spawn().context("starting the simulator")?), format!("http://{listen}")))
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

/// A port that stays free while its server is dead: below those that the kernel gives to outgoing
/// connections, and never given twice by this process.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 9_000).unwrap_or_default();
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + next) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
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
