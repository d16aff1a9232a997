//! `everpaid simulator`: WeChat Pay alone, for a client of any stack.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};
use simulator::{Browser, BrowserClient, Simulator, TrustMode};

use crate::terminal::ToldToStop;

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
    /// Which key WeChat Pay signs with.
    #[arg(long, value_enum, default_value_t = Mode::PublicKey)]
    mode: Mode,
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
    Certificate,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut told_to_stop = ToldToStop::listen()?;
    let simulator = Simulator::start(simulator::Options {
        listen: options.listen,
        data: (!options.in_memory).then_some(options.data),
        clock_scale: options.clock_scale,
        time_scale: options.time_scale,
        mode: match options.mode {
            Mode::PublicKey => TrustMode::PublicKey,
            Mode::Certificate => TrustMode::Certificate,
        },
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
