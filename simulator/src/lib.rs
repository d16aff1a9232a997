//! WeChat Pay API v3 on this machine, for everyone who has no sandbox.
//!
//! It signs, encrypts, notifies and retries like the real one, keeps its own ledger in its own
//! file, shows the payer's phone, and breaks on request. It is an implementation of its own: it
//! shares no code with any client, so that each checks the other. It does not take real money,
//! its keys are thrown away with its file, and it has no protection against the public internet.

mod bills;
mod browser;
mod chance;
mod clock;
mod config;
mod control;
mod credentials;
mod faults;
mod gateway;
mod invoke;
mod login;
mod limit;
mod merchants;
mod notify;
mod pages;
mod payer;
mod payers;
mod phone;
mod proxy;
mod refunds;
mod rotation;
mod rules;
mod scenario;
mod server;
mod shipping;
mod signing;
mod store;
mod wechat;
mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, ensure};
use http::HeaderMap;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    browser::Open,
    chance::Chance,
    clock::{Pace, SimClock, check_scale},
    faults::Faults,
    gateway::CALLS_PER_SECOND,
    limit::PerSecond,
    merchants::{Merchants, Wanted},
    notify::Notifier,
    payer::{Leave, Sender},
    signing::{Library, Workshop},
    store::{By, Store},
    wechat::{CLOCK, Wechat},
};
pub use crate::{
    browser::{Browser, BrowserClient},
    clock::Now,
    config::{AppConfig, Config, MerchantConfig},
    control::{
        Console, ConsoleRefund, Ledger, LedgerAccount, LedgerPayment, LedgerRefund, PayerTry, Payment, Post,
        Refund, Told,
    },
    credentials::{
        ApiCertificate, App, AppKind, CertificateState, Certified, Credentials, MerchantCredentials,
        PlatformCertificate, ShownPlatformCertificate,
    },
    faults::{ActiveFault, BadFault, Fault, FaultKind, Target},
    payer::{ControlError, Pay},
    proxy::Proxy,
    rotation::MerchantChange,
    rules::{
        Endpoint,
        refund::{Outcome as RefundOutcome, Source as RefundSource},
    },
    scenario::{Description, SCENARIOS, Scenario, ScenarioStatus},
    shipping::Shipped,
    signing::{Notary, Signature, SignedNotification, TrustMode},
};

/// How long stopping waits for what is going on.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How to start a simulator; the default is in memory, on a free port of this machine only.
#[derive(Clone)]
pub struct Options {
    pub listen: SocketAddr,
    /// Its SQLite file; absent: everything is forgotten at the end.
    pub data: Option<PathBuf>,
    /// Simulated seconds in a second, 0 for a clock that stands still; absent: as it was kept in
    /// the file, otherwise 1.
    pub clock_scale: Option<f64>,
    /// Divides the waits between notifications, by the simulator's clock; 1 is WeChat Pay's own
    /// pace.
    pub time_scale: f64,
    /// For every merchant, now and after the next start; absent: what each had, 微信支付公钥 at first.
    pub mode: Option<TrustMode>,
    /// A clock instead of the machine's; call [`Simulator::clock_moved`] when it jumps.
    pub now: Option<Now>,
    /// How long every answer takes.
    pub answer_delay: Duration,
    /// How long a client may take to send a request, and leave a connection without one; then it
    /// is hung up on.
    pub patience: Duration,
    /// The part of answers and notifications, from 0 to 1, whose signature is a probe (签名探测) that
    /// must be refused; the same call or notification is clean the next time.
    pub probe_share: f64,
    /// Repeats what was left to luck; absent: a new one each time, told in the log.
    pub seed: Option<u64>,
    /// 网页授权域名: the hosts an OAuth page may send the payer back to; empty: any.
    pub redirect_domains: Vec<String>,
    /// Pages to show as WeChat's own browser does, on a listener of its own.
    pub browser: Option<Browser>,
    /// The [`SCENARIOS`] that run from the start, by their names.
    pub scenarios: Vec<String>,
    /// Who has a contract, beside those in the file; empty, and nobody there: 1900000001 alone.
    pub merchants: Vec<MerchantConfig>,
    /// A merchant's ready-made keys instead of those in the file, or of new ones.
    pub credentials: Option<Credentials>,
    /// Sign and verify with aws-lc-rs, several times as fast, instead of the independent `rsa`.
    pub fast_signing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: None,
            clock_scale: None,
            time_scale: 1.0,
            mode: None,
            now: None,
            answer_delay: Duration::ZERO,
            patience: Duration::from_secs(60),
            probe_share: 0.0,
            seed: None,
            redirect_domains: Vec::new(),
            browser: None,
            scenarios: Vec::new(),
            merchants: Vec::new(),
            credentials: None,
            fast_signing: false,
        }
    }
}

/// A running WeChat Pay. Dropping it stops it without waiting.
pub struct Simulator {
    wechat: Arc<Wechat>,
    addr: SocketAddr,
    browser_addr: Option<SocketAddr>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Simulator {
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        ensure!(
            options.time_scale.is_finite() && options.time_scale > 0.0,
            "time_scale must be a positive number"
        );
        if let Some(scale) = options.clock_scale {
            check_scale(scale)?;
        }
        ensure!((0.0..=1.0).contains(&options.probe_share), "probe_share must be from 0 to 1");
        let store = Store::open(options.data.as_deref()).await.context("opening the simulator's file")?;
        let library = if options.fast_signing { Library::Fast } else { Library::Independent };
        let wanted = Wanted { named: options.merchants, given: options.credentials, mode: options.mode };
        let merchants = Merchants::open(&store, wanted, Workshop::new(library)).await?;
        let pace = match store.setting(CLOCK).await? {
            Some(pace) => serde_json::from_str(&pace).context("reading the clock's pace")?,
            None => Pace::REAL,
        };
        let listener = listen(options.listen).await?;
        let addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let wechat = Arc::new(Wechat {
            clock: Arc::new(SimClock::new(options.now, pace)),
            clock_change: tokio::sync::Mutex::default(),
            merchants,
            store,
            chance: Chance::new(options.seed.unwrap_or_else(rand::random)),
            probe_share: options.probe_share,
            faults: Faults::default(),
            certificate_calls: PerSecond::new(CALLS_PER_SECOND),
            notifier: Notifier::new(options.time_scale)?,
            answer_delay: options.answer_delay,
            patience: options.patience,
            redirect_domains: options.redirect_domains,
            windows: OnceLock::new(),
            changes: watch::Sender::new(0),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
        });
        if let Some(scale) = options.clock_scale {
            wechat.set_clock(|clock| clock.scale(scale)).await?;
        }
        for name in &options.scenarios {
            wechat.start_scenario(name, None)?;
        }
        wechat.tasks.spawn(Arc::clone(&wechat).dispatch());
        let server = tokio::spawn(server::serve(Arc::clone(&wechat), listener));
        tracing::info!(%addr, seed = wechat.chance.seed(), "the WeChat Pay simulator is listening");
        let mut started = Self { wechat, addr, browser_addr: None, server };
        if let Some(browser) = &options.browser {
            started.open_browser(browser).await?;
        }
        Ok(started)
    }

    /// Shows pages as WeChat's own browser does, for a server that is there only now; once. Gives back
    /// where they are inside WeChat, without a slash at the end.
    pub async fn open_browser(&mut self, browser: &Browser) -> anyhow::Result<String> {
        let listener = listen(browser.listen).await?;
        let addr = listener.local_addr()?;
        let merchant = self.merchant();
        let mini_program = merchant.apps.iter().find(|app| app.kind == AppKind::MiniProgram);
        let mini_program = mini_program.map_or("", |app| &app.appid);
        let open = Open::new(browser, addr, self.addr, mini_program, self.wechat.stop.clone())?;
        ensure!(self.wechat.windows.set(open.windows()).is_ok(), "a browser is open already");
        self.wechat.tasks.spawn(browser::serve(Arc::new(open), listener));
        self.browser_addr = Some(addr);
        Ok(format!("http://{addr}"))
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:…`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where the pages of the open browser are inside WeChat, without a slash at the end.
    pub fn browser_url(&self) -> Option<String> {
        self.browser_addr.map(|addr| format!("http://{addr}"))
    }

    /// The first merchant.
    pub fn merchant(&self) -> MerchantCredentials {
        self.wechat.merchants.first().merchant().clone()
    }

    /// Everyone who has a contract, in the order in which they were named.
    pub fn merchants(&self) -> Vec<MerchantCredentials> {
        self.wechat.merchants.all().map(|keys| keys.merchant().clone()).collect()
    }

    /// Changes a merchant's keys or mode, at once and for good.
    pub async fn change_merchant(
        &self,
        mchid: &str,
        change: MerchantChange,
    ) -> Result<MerchantCredentials, ControlError> {
        Ok(self.wechat.change_merchant(mchid, change).await?.merchant().clone())
    }

    /// Ends it in order; what was not delivered is delivered after the next start.
    pub async fn stop(mut self) {
        self.wechat.stop.cancel();
        self.wechat.tasks.close();
        let stopped = async {
            let _ = (&mut self.server).await;
            self.wechat.tasks.wait().await;
        };
        if tokio::time::timeout(STOP_TIMEOUT, stopped).await.is_err() {
            tracing::warn!("the simulator stopped without waiting for everyone");
        }
        if let Err(error) = self.wechat.store.close().await {
            tracing::warn!(%error, "closing the simulator's file failed");
        }
    }

    /// Unix milliseconds by the simulator's clock.
    pub fn now_ms(&self) -> i64 {
        self.wechat.now()
    }

    /// Moves orders, codes and retries on (not the dates of signatures) and returns the clock's
    /// time in Unix milliseconds.
    pub async fn advance_clock(&self, span: Duration) -> Result<i64, ControlError> {
        let far = || ControlError::Invalid("the clock moves by 136 years at most".into());
        if span > Duration::from_secs(u32::MAX.into()) {
            return Err(far());
        }
        let span_ms = i64::try_from(span.as_millis()).map_err(|_| far())?;
        Ok(self.wechat.set_clock(|clock| clock.advance(span_ms)).await?)
    }

    /// From now on so many simulated seconds pass in a second; 0 freezes the clock.
    pub async fn scale_clock(&self, scale: f64) -> Result<i64, ControlError> {
        check_scale(scale)?;
        Ok(self.wechat.set_clock(|clock| clock.scale(scale)).await?)
    }

    /// The clock stands still; it can be advanced all the same.
    pub async fn freeze_clock(&self) -> Result<i64, ControlError> {
        Ok(self.wechat.set_clock(|clock| clock.freeze(true)).await?)
    }

    /// The clock goes on, as fast as before it was frozen.
    pub async fn thaw_clock(&self) -> Result<i64, ControlError> {
        Ok(self.wechat.set_clock(|clock| clock.freeze(false)).await?)
    }

    /// Says that the injected clock jumped.
    pub fn clock_moved(&self) {
        self.wechat.notifier.wake();
    }

    /// The payer pays; the notification goes out by itself.
    pub async fn pay(&self, out_trade_no: &str, pay: Pay) -> Result<Payment, ControlError> {
        let first = self.wechat.merchants.first();
        let by = By::Number(first.mchid(), out_trade_no);
        self.wechat.pay(by, &pay, Sender::Dispatcher).await?;
        self.wechat.payment(by).await
    }

    /// The payer walks away; the order stays payable.
    pub async fn cancel(&self, out_trade_no: &str) -> Result<Payment, ControlError> {
        let first = self.wechat.merchants.first();
        let by = By::Number(first.mchid(), out_trade_no);
        self.wechat.leave(by, Leave::Cancelled).await?;
        self.wechat.payment(by).await
    }

    /// The payer cannot pay; the order stays payable.
    pub async fn fail(&self, out_trade_no: &str) -> Result<Payment, ControlError> {
        let first = self.wechat.merchants.first();
        let by = By::Number(first.mchid(), out_trade_no);
        self.wechat.leave(by, Leave::BalanceShort).await?;
        self.wechat.payment(by).await
    }

    pub async fn payment(&self, out_trade_no: &str) -> Result<Payment, ControlError> {
        let first = self.wechat.merchants.first();
        self.wechat.payment(By::Number(first.mchid(), out_trade_no)).await
    }

    /// The newest orders, without what happened around them.
    pub async fn payments(&self, limit: u64) -> Result<Vec<Payment>, ControlError> {
        self.wechat.payments(limit).await
    }

    /// Gives money back as a person in the merchant's console does.
    pub async fn refund_from_console(
        &self,
        out_trade_no: &str,
        how: ConsoleRefund,
    ) -> Result<Refund, ControlError> {
        let first = self.wechat.merchants.first();
        self.wechat.console_refund(By::Number(first.mchid(), out_trade_no), how).await
    }

    pub async fn refund(&self, out_refund_no: &str) -> Result<Refund, ControlError> {
        let first = self.wechat.merchants.first();
        self.wechat.shown_refund(first.mchid(), out_refund_no).await
    }

    /// The newest refunds, without their notifications.
    pub async fn refunds(&self, limit: u64) -> Result<Vec<Refund>, ControlError> {
        self.wechat.refunds(limit).await
    }

    /// Ends a refund now: one that is PROCESSING in any way, one that is ABNORMAL in success.
    pub async fn settle_refund(
        &self,
        out_refund_no: &str,
        outcome: RefundOutcome,
    ) -> Result<Refund, ControlError> {
        let first = self.wechat.merchants.first();
        self.wechat.settle_refund(first.mchid(), out_refund_no, outcome).await?;
        self.wechat.shown_refund(first.mchid(), out_refund_no).await
    }

    /// Takes money out of the merchant's account, or puts some in, until it holds this many fen.
    pub async fn set_balance(&self, balance: i64) -> Result<Console, ControlError> {
        let first = self.wechat.merchants.first();
        self.wechat.set_balance(first.mchid(), balance).await?;
        self.wechat.console(first.mchid()).await
    }

    /// Where a refund without a `notify_url` is told, in the XML of v2; `None` is nowhere.
    pub async fn set_refund_notify_url(&self, url: Option<&str>) -> Result<Console, ControlError> {
        let first = self.wechat.merchants.first();
        self.wechat.set_refund_notify_url(first.mchid(), url).await?;
        self.wechat.console(first.mchid()).await
    }

    /// The money that was taken and given back, in the order in which that was accepted.
    pub async fn ledger(&self) -> Result<Ledger, ControlError> {
        self.wechat.ledger().await
    }

    /// What is wrong in the ledger, in words; nothing, unless the simulator itself is at fault.
    pub async fn check_ledger(&self) -> Result<Vec<String>, ControlError> {
        self.wechat.check_ledger().await
    }

    /// What WeChat was told of a payment's shipping, if it was.
    pub async fn shipped(&self, transaction_id: &str) -> Result<Option<Shipped>, ControlError> {
        Ok(self.wechat.shipped(transaction_id).await?)
    }

    pub fn add_fault(&self, fault: Fault) -> Result<u64, BadFault> {
        self.wechat.faults.add(fault)
    }

    pub fn faults(&self) -> Vec<ActiveFault> {
        self.wechat.faults.active()
    }

    pub fn remove_fault(&self, id: u64) -> bool {
        self.wechat.faults.remove(id)
    }

    pub fn clear_faults(&self) {
        self.wechat.faults.clear();
    }

    /// Every scenario, and whether it runs.
    pub fn scenarios(&self) -> Vec<ScenarioStatus> {
        self.wechat.scenarios()
    }

    /// Starts a scenario beside whatever runs, with luck from this seed or from the simulator's
    /// own, and returns the seed.
    pub fn start_scenario(&self, name: &str, seed: Option<u64>) -> Result<u64, ControlError> {
        self.wechat.start_scenario(name, seed)
    }

    pub fn stop_scenario(&self, name: &str) -> Result<(), ControlError> {
        self.wechat.stop_scenario(name)
    }

    /// Waits until no notification is due and none is on its way; later tries may be waiting.
    pub async fn notifications_settled(&self) -> Result<(), ControlError> {
        Ok(self.wechat.notifications_settled().await?)
    }

    /// Makes notifications without sending them, on any thread.
    pub fn notary(&self) -> Notary {
        Notary { keys: self.wechat.merchants.first(), clock: Arc::clone(&self.wechat.clock) }
    }

    /// The `Wechatpay-*` headers that make `body` a notification of now.
    pub fn sign_notification(&self, body: &[u8]) -> HeaderMap {
        self.notary().sign_notification(body)
    }

    /// The envelope around a transaction, with an id of its own.
    pub fn encrypt_transaction(&self, transaction: &Value) -> anyhow::Result<Vec<u8>> {
        self.notary().encrypt_transaction(transaction)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.wechat.stop.cancel();
    }
}

async fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("listening on {addr}"))
}
