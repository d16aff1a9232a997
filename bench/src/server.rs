//! The server under test: the real executable, in a process of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use api::ApiKeyHash;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use simulator::MerchantCredentials;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{http::Connection, machine};

pub const MERCHANT: &str = "bench";
pub const API_KEY: &str = "sk_bench_0123456789abcdef0123456789abcdef";
const WEBHOOK_SECRET: &str = "whsec_YmVuY2htYXJrcy1wcm90ZWN0LW5vdGhpbmctYXQtYWxs";

/// What the server is told.
pub struct Settings<'a> {
    pub everpaid: &'a Path,
    pub directory: &'a Path,
    pub database_url: &'a str,
    pub redis_url: Option<&'a str>,
    pub wechat_url: &'a str,
    pub credentials: &'a MerchantCredentials,
    /// Where the shop is told.
    pub webhook_urls: &'a [String],
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Serve,
    Api,
    Worker,
}

impl Role {
    fn command(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

pub struct Server {
    child: Child,
    pid: i32,
    pub addr: SocketAddr,
    metrics: SocketAddr,
    log: PathBuf,
}

/// What the kernel has counted for a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time since its start.
    pub cpu: Duration,
    pub resident_kib: u64,
    /// The most it ever had.
    pub resident_max_kib: u64,
}

impl Server {
    /// Migrates the database and starts a process on it.
    pub async fn start(settings: &Settings<'_>, role: Role) -> anyhow::Result<Self> {
        let (addr, metrics) = (free_port()?, free_port()?);
        let name = format!("{}-{}", role.command(), metrics.port());
        let config = settings.directory.join(format!("{name}.toml"));
        fs::write(&config, settings.to_toml(addr, metrics))?;
        let log = settings.directory.join(format!("{name}.log"));
        let everpaid = |arguments: &[&str]| -> anyhow::Result<Command> {
            let mut command = Command::new(settings.everpaid);
            let output = || fs::OpenOptions::new().create(true).append(true).open(&log);
            command.args(arguments).arg("--config").arg(&config);
            command.stdin(Stdio::null()).stdout(output()?).stderr(output()?).kill_on_drop(true);
            Ok(command)
        };
        let migrated = everpaid(&["migrate", "up"])?.status().await.context("running everpaid migrate")?;
        ensure!(migrated.success(), "everpaid migrate: {migrated}; see {}", log.display());
        let child = everpaid(&[role.command()])?.spawn().context("running everpaid")?;
        let pid = i32::try_from(child.id().context("everpaid has no pid")?)?;
        let mut server = Self { child, pid, addr, metrics, log };
        let (addr, path) = if role == Role::Worker { (metrics, "/metrics") } else { (addr, "/readyz") };
        server.wait_until_well(addr, path).await?;
        Ok(server)
    }

    async fn wait_until_well(&mut self, addr: SocketAddr, path: &str) -> anyhow::Result<()> {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(mut connection) = Connection::open(addr).await
                && connection.get(path).await.is_ok()
            {
                return Ok(());
            }
            self.is_alive()?;
            ensure!(Instant::now() < give_up, "everpaid did not become ready");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails, with the end of its log, if the process has ended.
    pub fn is_alive(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(5).collect();
        bail!("everpaid ended: {status}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.pid)
    }

    /// The sum of a metric over the series that carry all these labels.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
        let page = Connection::open(self.metrics).await?.get("/metrics").await?;
        Ok(sum_of(std::str::from_utf8(&page)?, name, labels))
    }

    /// Ends it with SIGTERM, and harder if that does not help.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid), Signal::SIGTERM)?;
        if timeout(Duration::from_secs(30), self.child.wait()).await.is_err() {
            self.child.kill().await?;
            bail!("everpaid did not stop when it was told to");
        }
        Ok(())
    }
}

impl Settings<'_> {
    fn to_toml(&self, listen: SocketAddr, metrics_listen: SocketAddr) -> String {
        let MerchantCredentials {
            mchid,
            certificate_serial,
            private_key,
            apiv3_key,
            public_key_id,
            public_key,
            apps,
            ..
        } = self.credentials;
        let redis = self.redis_url.map(|url| format!("[redis]\nurl = \"{url}\"\n")).unwrap_or_default();
        let webhooks: String = self
            .webhook_urls
            .iter()
            .enumerate()
            .map(|(number, url)| {
                format!(
                    "[merchants.{MERCHANT}.webhooks.shop{number}]\nurl = \"{url}\"\nsecret = \"{WEBHOOK_SECRET}\"\nallow_private_addresses = true\n"
                )
            })
            .collect();
        let apps: Vec<_> = apps.iter().map(|app| format!("{} = \"service_account\"", app.appid)).collect();
        format!(
            r#"listen = "{listen}"
metrics_listen = "{metrics_listen}"
public_url = "http://{listen}"
drain_seconds = 0
[database]
url = "{database_url}"
{redis}[wechat]
base_url = "{wechat_url}"
backup_url = "{wechat_url}"
[links]
key = "the link key of a benchmark, which protects nothing"
[merchants.{MERCHANT}]
display_name = "Benchmark"
mchid = "{mchid}"
certificate_serial = "{certificate_serial}"
private_key = """
{private_key}"""
apiv3_key = "{apiv3_key}"
public_key_id = "{public_key_id}"
public_key = """
{public_key}"""
api_key_hashes = ["{hash}"]
apps = {{ {apps} }}
{webhooks}"#,
            database_url = self.database_url,
            wechat_url = self.wechat_url,
            hash = ApiKeyHash::of(API_KEY).to_hex(),
            apps = apps.join(", "),
        )
    }
}

impl Usage {
    pub fn of(pid: i32) -> anyhow::Result<Self> {
        let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        Self::parse(&of("stat")?, &of("status")?).with_context(|| format!("reading /proc of {pid}"))
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            cpu: machine::cpu_of(stat)?,
            resident_kib: kib("VmRSS")?,
            resident_max_kib: kib("VmHWM")?,
        })
    }
}

fn sum_of(page: &str, name: &str, labels: &[&str]) -> f64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter(|rest| labels.iter().all(|label| rest.contains(label)))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        // Not `sum`, which makes nothing -0.
        .fold(0.0, std::ops::Add::add)
}

pub fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_behind_a_name_of_any_kind() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1 2 3";
        let status = "Name:\ta\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        let usage = Usage::parse(stat, status).unwrap();
        assert_eq!(usage.cpu, Duration::from_secs(3));
        assert_eq!((usage.resident_kib, usage.resident_max_kib), (10240, 20480));
    }

    #[test]
    fn a_metric_is_summed_over_the_series_that_are_meant() {
        let page = "# HELP a x\na{kind=\"x\",outcome=\"ok\"} 3\na{kind=\"y\",outcome=\"ok\"} 4\nab{kind=\"x\"} 9\na 1\n";
        assert_eq!(sum_of(page, "a", &[]).to_string(), "8");
        assert_eq!(sum_of(page, "a", &["outcome=\"ok\"", "kind=\"y\""]).to_string(), "4");
        assert_eq!(sum_of(page, "b", &[]).to_string(), "0");
    }
}
