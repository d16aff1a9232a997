//! `everpaid simulator`: WeChat Pay alone, for a client of any stack.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};
use simulator::{Browser, BrowserClient, Config, MerchantCredentials, Simulator, TrustMode};

use crate::{private::write_private, terminal::ToldToStop};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8701")]
    listen: SocketAddr,
    /// Where a forward proxy listens, for clients whose host is fixed: they need HTTPS_PROXY and
    /// --proxy-ca, and no change.
    #[arg(long)]
    proxy_listen: Option<SocketAddr>,
    /// Where to write the certificate of the proxy's authority, as PEM.
    #[arg(long, default_value = "wechatpay-simulator-ca.pem", requires = "proxy_listen")]
    proxy_ca: PathBuf,
    /// The simulator's own SQLite file.
    #[arg(long, default_value = "wechatpay-simulator.sqlite", conflicts_with = "in_memory")]
    data: PathBuf,
    /// Keep nothing.
    #[arg(long)]
    in_memory: bool,
    /// A TOML file that names the merchants and their apps; without it there is 1900000001.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Which key WeChat Pay signs with, for every merchant; without it each goes on as it was.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Write what a client needs into this directory, as PEM files and JSON; with several merchants
    /// into a directory of its own for each.
    #[arg(long, value_name = "DIR")]
    write_credentials: Option<PathBuf>,
    /// Sign with aws-lc-rs, several times as fast, instead of an implementation that no client uses.
    #[arg(long)]
    fast_signing: bool,
    /// Simulated seconds in a second, 0 for a clock that stands still; by default as it was left,
    /// and a second at first.
    #[arg(long)]
    clock_scale: Option<f64>,
    /// Divides the waits between repeated notifications: 60 makes minutes seconds.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// Milliseconds that every answer takes.
    #[arg(long, default_value_t = 0)]
    answer_delay: u64,
    /// The part of answers and notifications, from 0 to 1, that carries a probe (签名探测).
    #[arg(long, default_value_t = 0.0)]
    probe_share: f64,
    /// Repeats what was left to luck in the run with this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// A host that OAuth may lead back to (网页授权域名), once for each; none: any.
    #[arg(long = "redirect-domain", value_name = "HOST")]
    redirect_domains: Vec<String>,
    /// Where pages are shown as WeChat's own browser does; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", requires = "browser_for")]
    browser_listen: Option<SocketAddr>,
    /// The server of those pages: http://127.0.0.1:8700.
    #[arg(long, value_name = "URL", requires = "browser_listen")]
    browser_for: Option<String>,
    /// Which WeChat that browser is in; nobody can pay in a mini-program's web-view.
    #[arg(long, value_enum, default_value_t = Client::Android)]
    browser_client: Client,
    /// What goes wrong from the start; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(scenarios()))]
    scenario: Vec<String>,
}

fn scenarios() -> impl Iterator<Item = PossibleValue> {
    simulator::SCENARIOS.iter().map(|scenario| PossibleValue::new(scenario.name).help(scenario.en))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Client {
    Ios,
    Android,
    MiniProgram,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    PublicKey,
    Migrating,
    Certificate,
}

impl From<Mode> for TrustMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::PublicKey => Self::PublicKey,
            Mode::Migrating => Self::Migrating,
            Mode::Certificate => Self::Certificate,
        }
    }
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut told_to_stop = ToldToStop::listen()?;
    let merchants = match &options.config {
        None => Vec::new(),
        Some(path) => {
            let reading = || format!("reading {}", path.display());
            let toml = fs::read_to_string(path).with_context(reading)?;
            Config::parse(&toml).with_context(reading)?.merchants
        }
    };
    let simulator = Simulator::start(simulator::Options {
        listen: options.listen,
        data: (!options.in_memory).then_some(options.data),
        clock_scale: options.clock_scale,
        time_scale: options.time_scale,
        mode: options.mode.map(TrustMode::from),
        merchants,
        fast_signing: options.fast_signing,
        answer_delay: Duration::from_millis(options.answer_delay),
        probe_share: options.probe_share,
        seed: options.seed,
        redirect_domains: options.redirect_domains,
        browser: options.browser_listen.zip(options.browser_for).map(|(listen, pages)| Browser {
            listen,
            pages,
            client: match options.browser_client {
                Client::Ios => BrowserClient::Ios,
                Client::Android => BrowserClient::Android,
                Client::MiniProgram => BrowserClient::MiniProgram,
            },
        }),
        scenarios: options.scenario,
        ..simulator::Options::default()
    })
    .await?;
    if let Some(directory) = &options.write_credentials {
        write_credentials(directory, &simulator)?;
    }
    println!("WeChat Pay, simulated:  {}", simulator.url());
    println!("  credentials           {}/_sim/merchant", simulator.url());
    if let Some(url) = simulator.browser_url() {
        println!("  a WeChat browser      {url}");
    }
    println!("  the payer's phone     {}/phone", simulator.url());
    let proxy = match options.proxy_listen {
        None => None,
        Some(listen) => {
            let proxy = simulator.open_proxy(listen).await?;
            std::fs::write(&options.proxy_ca, proxy.authority())
                .with_context(|| format!("writing {}", options.proxy_ca.display()))?;
            println!("  its forward proxy     {}, trust {}", proxy.url(), options.proxy_ca.display());
            Some(proxy)
        }
    };
    told_to_stop.wait().await;
    drop(proxy);
    simulator.stop().await;
    Ok(())
}

/// What each merchant would take from its console, in the files that SDKs ask for.
fn write_credentials(directory: &Path, simulator: &Simulator) -> anyhow::Result<()> {
    match &simulator.merchants()[..] {
        [merchant] => write_merchant(directory, &simulator.url(), merchant),
        merchants => merchants.iter().try_for_each(|merchant| {
            write_merchant(&directory.join(&merchant.mchid), &simulator.url(), merchant)
        }),
    }
}

fn write_merchant(directory: &Path, base_url: &str, merchant: &MerchantCredentials) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let write_public = |name: &str, pem: &str| {
        let path = directory.join(name);
        fs::write(&path, pem).with_context(|| format!("writing {}", path.display()))
    };
    write_private(&directory.join("apiclient_key.pem"), merchant.private_key.as_bytes())?;
    write_public("apiclient_cert.pem", &merchant.certificate)?;
    write_public("pub_key.pem", &merchant.public_key)?;
    write_private(&directory.join("apiv3.key"), merchant.apiv3_key.as_bytes())?;
    for platform in &merchant.platform_certificates {
        write_public(&format!("wechatpay_{}.pem", platform.serial), &platform.certificate)?;
    }
    let mut json = serde_json::to_value(merchant)?;
    json["base_url"] = base_url.into();
    write_private(&directory.join("merchant.json"), &serde_json::to_vec_pretty(&json)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TWO: &str = r#"
        [[merchants]]
        mchid = "1900000001"
        apps = [{ appid = "wx0000000000000001", kind = "service_account" }]

        [[merchants]]
        mchid = "1900000002"
        mode = "migrating"
        certificate_serial = "5157F09EFDC096DE15EBE81A47057A7200000000"
        public_key_id = "PUB_KEY_ID_0119000000020000"
        apps = [{ appid = "wx0000000000000001", kind = "service_account" }]
    "#;

    #[tokio::test]
    async fn credentials_are_files_that_sdks_read() {
        let directory = tempfile::tempdir().unwrap();
        let merchants = Config::parse(TWO).unwrap().merchants;
        let simulator = Simulator::start(simulator::Options { merchants, ..simulator::Options::default() })
            .await
            .unwrap();
        write_credentials(directory.path(), &simulator).unwrap();
        for merchant in simulator.merchants() {
            let directory = directory.path().join(&merchant.mchid);
            let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
            assert_eq!(read("apiclient_key.pem"), merchant.private_key);
            assert_eq!(read("apiclient_cert.pem"), merchant.certificate);
            assert_eq!(read("pub_key.pem"), merchant.public_key);
            assert_eq!(read("apiv3.key"), merchant.apiv3_key);
            for platform in &merchant.platform_certificates {
                assert_eq!(read(&format!("wechatpay_{}.pem", platform.serial)), platform.certificate);
            }
            let json: serde_json::Value = serde_json::from_str(&read("merchant.json")).unwrap();
            assert_eq!(json["base_url"], simulator.url());
            assert_eq!(json["apiv3_key"], merchant.apiv3_key.as_str());
            for name in ["apiclient_key.pem", "apiv3.key", "merchant.json"] {
                let mode = fs::metadata(directory.join(name)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{name}");
            }
        }
        // A configuration may be written before the keys are made.
        let second = &simulator.merchants()[1];
        assert_eq!(second.certificate_serial, "5157F09EFDC096DE15EBE81A47057A7200000000");
        assert_eq!(second.public_key_id, "PUB_KEY_ID_0119000000020000");
        simulator.stop().await;
    }
}
