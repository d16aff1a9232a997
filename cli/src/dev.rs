//! `everpaid dev`: simulator, api, worker, demo shop and checkout in one process.
//!
//! Everything it knows is in one directory: our SQLite file, the simulator's own, and the keys of
//! this installation. Started again, it goes on where it was.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::Context;
use entity::{Clock, Db};
use migration::{Migrator, MigratorTrait};
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};
use simulator::{Browser, BrowserClient, MerchantCredentials, Simulator};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Merchant, Webhook},
    lock::DataLock,
    private::write_private,
    roles::{self, Roles},
    shop::{self, Shop},
    terminal::ToldToStop,
};

const MERCHANT: &str = "demo";

#[derive(Debug, clap::Args)]
pub(crate) struct DevOptions {
    /// Where the api and the checkout page are; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    /// Where the simulated WeChat Pay is.
    #[arg(long, default_value = "127.0.0.1:8701")]
    simulator_listen: SocketAddr,
    /// Where Prometheus reads.
    #[arg(long, default_value = "127.0.0.1:8702")]
    metrics_listen: SocketAddr,
    /// Where the demo shop is.
    #[arg(long, default_value = "127.0.0.1:8703")]
    shop_listen: SocketAddr,
    /// Where the checkout page is as WeChat's own browser shows it; by default 127.0.0.1:8704, or a
    /// free port if the api is on one.
    #[arg(long)]
    browser_listen: Option<SocketAddr>,
    /// Where everything is kept.
    #[arg(long, default_value = "everpaid-data")]
    data: PathBuf,
}

/// The keys of this installation, made at its first start.
#[derive(Serialize, Deserialize)]
struct DevKeys {
    api_key: String,
    link_key: String,
    webhook_secret: String,
}

/// For scripts: where everything is. Written anew at every start.
#[derive(Serialize)]
struct DevJson<'a> {
    api_url: &'a str,
    simulator_url: &'a str,
    metrics_url: &'a str,
    shop_url: &'a str,
    wechat_url: &'a str,
    api_key: &'a str,
    merchant: &'a str,
    webhook_secret: &'a str,
}

pub(crate) async fn run(options: DevOptions) -> anyhow::Result<()> {
    let DevOptions { data, .. } = &options;
    let mut told_to_stop = ToldToStop::listen()?;
    // Before anything is touched: the simulator's file is in there too.
    drop(DataLock::take(data)?);
    let keys = DevKeys::of(data)?;

    let mut simulator = Simulator::start(simulator::Options {
        listen: options.simulator_listen,
        data: Some(data.join("simulator.sqlite")),
        ..simulator::Options::default()
    })
    .await
    .context("starting the simulator")?;
    // Before everpaid, which has the shop to tell.
    let listener = roles::listen(options.shop_listen).await?;
    let shop_url = format!("http://{}", listener.local_addr()?);
    let account =
        simulator.merchant().apps.into_iter().find(|app| app.kind == simulator::AppKind::ServiceAccount);
    let config = config(&options, &keys, &simulator.url(), simulator.merchant(), &shop_url)?;
    migrate(&config).await?;
    let running = roles::start(Roles::BOTH, &config, Clock::System).await?;

    let api_url = format!("http://{}", running.api_addr.context("the api has no address")?);
    let metrics_url = format!("http://{}", running.metrics_addr);
    let browser = Browser {
        listen: options.browser_listen(),
        pages: api_url.clone(),
        client: BrowserClient::default(),
    };
    let wechat_url =
        simulator.open_browser(&browser).await.context("opening the simulated WeChat browser")?;
    let stopping = CancellationToken::new();
    let shop = Shop {
        api_url: api_url.clone(),
        api_key: keys.api_key.clone(),
        simulator_url: simulator.url(),
        wechat_url: wechat_url.clone(),
        metrics_url: metrics_url.clone(),
        app_id: account.map(|app| app.appid).unwrap_or_default(),
        webhook_secret: keys.webhook_secret.clone(),
        told: Mutex::default(),
        checkouts: Mutex::default(),
        http: reqwest::Client::builder().no_proxy().build()?,
    };
    let shop = roles::serve(listener, shop::router(shop), stopping.clone());

    let simulator_url = simulator.url();
    let described = DevJson {
        api_url: &api_url,
        simulator_url: &simulator_url,
        metrics_url: &metrics_url,
        shop_url: &shop_url,
        wechat_url: &wechat_url,
        api_key: &keys.api_key,
        merchant: MERCHANT,
        webhook_secret: &keys.webhook_secret,
    };
    write_private(&data.join("dev.json"), &serde_json::to_vec_pretty(&described)?)?;
    println!(
        "
  everpaid is running, with a simulated WeChat Pay. No money moves.    模拟环境，不会真实扣款。

    buy something        {shop_url}
    the payer's phone    {simulator_url}/phone
    inside WeChat        {wechat_url}          (open /pay/… of an order there)
    api                  {api_url}          (key: see {dev_json})
    metrics              {metrics_url}/metrics

  Ctrl-C stops it; started again, it goes on where it was.
",
        dev_json = data.join("dev.json").display()
    );

    told_to_stop.wait().await;
    stopping.cancel();
    shop.await?.context("serving the shop")?;
    running.stop().await?;
    simulator.stop().await;
    Ok(())
}

impl DevOptions {
    fn browser_listen(&self) -> SocketAddr {
        let port = if self.listen.port() == 0 { 0 } else { 8704 };
        self.browser_listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into())
    }
}

impl DevKeys {
    fn of(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("dev-keys.json");
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let random = |length| Alphanumeric.sample_string(&mut rand::rng(), length);
                let keys = Self {
                    api_key: format!("sk_test_{}", random(43)),
                    link_key: random(43),
                    // Standard Webhooks wants base64 of 24 to 64 bytes; 32 letters are 24 bytes.
                    webhook_secret: format!("whsec_{}", random(32)),
                };
                write_private(&path, &serde_json::to_vec_pretty(&keys)?)?;
                Ok(keys)
            }
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
}

/// How WeChat Pay knows what is the merchant's, in the directory of a `dev`.
pub(crate) fn identity(data: &Path, merchant: &str) -> anyhow::Result<worker::Identity> {
    #[derive(Deserialize)]
    struct Described {
        api_url: String,
    }
    let path = data.join("dev.json");
    let json = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let described: Described =
        serde_json::from_slice(&json).with_context(|| format!("reading {}", path.display()))?;
    Ok(worker::Identity {
        out_trade_no_prefix: String::new(),
        notify_url: api::notify_url(&described.api_url, merchant),
    })
}

/// The configuration that a shop would write by hand.
fn config(
    options: &DevOptions,
    keys: &DevKeys,
    simulator_url: &str,
    credentials: MerchantCredentials,
    shop_url: &str,
) -> anyhow::Result<Config> {
    let file = std::path::absolute(options.data.join("everpaid.sqlite"))?;
    let database_url = format!("sqlite://{}", file.display());
    let mut merchant = Merchant::simulated("山茶小铺", credentials, &keys.api_key);
    let webhook = Webhook::private(&format!("{shop_url}/webhooks"), &keys.webhook_secret);
    merchant.webhooks.insert("shop".to_owned(), webhook);
    merchant.support = Some("客服电话 020-0000-0000（9:00–21:00）".to_owned());
    merchant.origins.push(shop_url.to_owned());
    Ok(Config {
        listen: options.listen,
        metrics_listen: options.metrics_listen,
        merchants: [(MERCHANT.to_owned(), merchant)].into(),
        ..Config::simulated(&database_url, simulator_url, &keys.link_key)
    })
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let db = Db::open(&config.database.options()?, Clock::System).await.context("opening the database")?;
    Migrator::up(db.migrator(), None).await.context("migrating")?;
    db.close().await.context("closing the database")
}
