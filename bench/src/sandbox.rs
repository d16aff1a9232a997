//! How much the simulator alone can carry: signed creates and notifications a second, and memory.
//!
//! The simulator is the real `everpaid simulator` in a process of its own. This process signs the
//! requests beforehand, sends them, and is the merchant who is notified; both share the cores.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256},
};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use simulator::MerchantCredentials;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    Rounds,
    http::Connection,
    load::{Lane, Pace, Spans, drive},
    machine::{Meanwhile, Watch},
    report::{machine_did, median, ms, rounds_together},
    server::{Usage, free_port},
};

const CREATE: &str = "/v3/pay/transactions/native";
const CONNECTIONS: usize = 64;
/// So many payments does the simulator keep when its memory is read.
const KEPT: usize = 100_000;
/// What is signed beforehand must be used within five minutes.
const AT_ONCE: usize = 5_000;
/// The longest that notifications may take before a run is void.
const DRAIN_MAX: Duration = Duration::from_secs(180);
/// Each so-manieth signature of WeChat Pay is checked after a run.
const CHECKED: usize = 50;

/// How the simulator is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setup {
    fast_signing: bool,
    in_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Creates,
    Notifications,
}

/// What one run showed.
struct Figure {
    setup: Setup,
    load: Load,
    count: usize,
    per_second: f64,
    /// From request to answer; none for notifications, which wait for each other by design.
    spans: Option<Spans>,
    /// Of the simulator's process, for each.
    cpu: Duration,
    resident_kib: u64,
    meanwhile: Meanwhile,
}

/// The simulator's memory with [`KEPT`] payments, each notified.
struct Memory {
    setup: Setup,
    usage: Usage,
    payments: usize,
}

/// Measures the simulator and prints what was found.
pub async fn measure(everpaid: &Path, quick: bool, memory_alone: bool) -> anyhow::Result<()> {
    let (mut figures, mut memories) = (Vec::new(), Vec::new());
    let signers: &[bool] = if memory_alone { &[] } else { &[false, true] };
    for &fast_signing in signers {
        let setup = Setup { fast_signing, in_memory: false };
        for load in [Load::Creates, Load::Notifications] {
            // About three seconds at what is promised.
            let count = whole(setup.floor(load) * if quick { 1.0 } else { 3.0 });
            let mut sandbox = Sandbox::start(everpaid, setup).await?;
            let mut runs = Rounds::new(if quick { 1 } else { crate::ROUNDS });
            while runs.need_more() {
                eprintln!("{setup:?}: {count} {load:?}");
                let figure = match load {
                    Load::Creates => sandbox.creates(count).await?,
                    Load::Notifications => sandbox.notifications(count).await?,
                };
                runs.add(figure.meanwhile.was_quiet());
                figures.push(figure);
            }
            sandbox.stop().await?;
        }
    }
    for in_memory in [false, true] {
        let setup = Setup { fast_signing: true, in_memory };
        let payments = if quick { KEPT / 20 } else { KEPT };
        let mut sandbox = Sandbox::start(everpaid, setup).await?;
        for made in (0..payments).step_by(AT_ONCE) {
            eprintln!("{setup:?}: {made} of {payments} payments");
            let orders = sandbox.create(AT_ONCE).await?.orders;
            let told = sandbox.shop.count() + AT_ONCE;
            sandbox.pay(&orders).await?;
            sandbox.shop.wait_for(told).await?;
        }
        memories.push(Memory { setup, usage: Usage::of(sandbox.pid)?, payments });
        sandbox.stop().await?;
    }
    println!("{}", Report { figures, memories });
    Ok(())
}

/// A running simulator, and the merchant it notifies.
struct Sandbox {
    child: Child,
    pid: i32,
    addr: SocketAddr,
    setup: Setup,
    merchant: MerchantCredentials,
    shop: Shop,
    watch: Watch,
    /// Orders so far, which number the next ones.
    made: usize,
    _directory: tempfile::TempDir,
}

/// Orders just created.
struct Created {
    orders: Arc<Vec<String>>,
    elapsed: Duration,
    spans: Spans,
}

impl Sandbox {
    async fn start(everpaid: &Path, setup: Setup) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let addr = free_port()?;
        let mut command = Command::new(everpaid);
        command.args(["simulator", "--listen", &addr.to_string()]);
        match setup.in_memory {
            true => command.arg("--in-memory"),
            false => command.arg("--data").arg(directory.path().join("simulator.sqlite")),
        };
        if setup.fast_signing {
            command.arg("--fast-signing");
        }
        let log = std::fs::File::create(directory.path().join("simulator.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let child = command.spawn().context("running everpaid simulator")?;
        let pid = i32::try_from(child.id().context("the simulator has no pid")?)?;
        let merchant = timeout(Duration::from_secs(20), read_merchant(addr)).await;
        Ok(Self {
            merchant: merchant.context("the simulator does not answer")??,
            watch: Watch::over(directory.path()),
            shop: Shop::open().await?,
            made: 0,
            _directory: directory,
            child,
            pid,
            addr,
            setup,
        })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("ending the simulator")
    }

    async fn creates(&mut self, count: usize) -> anyhow::Result<Figure> {
        let (signed, orders) = self.sign(count).await?;
        let before = self.begin()?;
        let created = self.send(signed, orders).await?;
        self.figure(Load::Creates, count, before, created.elapsed, Some(created.spans))
    }

    /// As many as wait to be sent, all due at one moment.
    async fn notifications(&mut self, count: usize) -> anyhow::Result<Figure> {
        const HOUR_S: u32 = 3600;
        let orders = self.create(count).await?.orders;
        let hold = json!({"kind": "delay", "on": "notify", "delay_ms": HOUR_S * 1000}).to_string();
        let held = self.control("POST", "/faults", &hold).await?;
        self.pay(&orders).await?;
        for order in orders.iter() {
            self.wait_until_held(order).await?;
        }
        let id = held["id"].as_u64().context("a fault has no id")?;
        self.control("DELETE", &format!("/faults/{id}"), "").await?;

        let told = self.shop.count() + count;
        let before = self.begin()?;
        let started = Instant::now();
        self.control("POST", "/clock", &json!({"advance_seconds": HOUR_S}).to_string()).await?;
        self.shop.wait_for(told).await?;
        let elapsed = started.elapsed();
        let figure = self.figure(Load::Notifications, count, before, elapsed, None)?;
        self.shop.check(&self.merchant)?;
        Ok(figure)
    }

    /// A notification that was put off says when it is due; one on its way does not.
    async fn wait_until_held(&self, order: &str) -> anyhow::Result<()> {
        let give_up = Instant::now() + DRAIN_MAX;
        loop {
            let payment = self.control("GET", &format!("/payments/{order}"), "").await?;
            let notification = &payment["notifications"][0];
            if notification["next_at"].as_str() > payment["paid_at"].as_str() {
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "the notification of {order} is not held");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn begin(&mut self) -> anyhow::Result<Usage> {
        self.watch.begin()?;
        Usage::of(self.pid)
    }

    fn figure(
        &mut self,
        load: Load,
        count: usize,
        before: Usage,
        elapsed: Duration,
        spans: Option<Spans>,
    ) -> anyhow::Result<Figure> {
        let after = Usage::of(self.pid)?;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let each = count as f64;
        Ok(Figure {
            setup: self.setup,
            load,
            count,
            per_second: each / elapsed.as_secs_f64(),
            spans,
            cpu: (after.cpu - before.cpu).div_f64(each),
            resident_kib: after.resident_kib,
            meanwhile: self.watch.end()?,
        })
    }

    async fn create(&mut self, count: usize) -> anyhow::Result<Created> {
        let (signed, orders) = self.sign(count).await?;
        self.send(signed, orders).await
    }

    async fn send(&self, signed: Vec<Signed>, orders: Vec<String>) -> anyhow::Result<Created> {
        let (count, signed) = (signed.len(), Arc::new(signed));
        let lanes = Connection::open_many(self.addr, CONNECTIONS).await?;
        let lanes = lanes.into_iter().map(|connection| Orders { connection, signed: signed.clone() });
        let done = drive(lanes.collect(), Pace::Closed, count).await;
        none_failed(&done.failures, "creates")?;
        let key = public_key(&self.merchant)?;
        for (headers, body) in done.acts.iter().filter_map(|(_, answer)| answer.as_ref()) {
            check_signature(&key, &self.merchant, headers, body).context("an answer's signature")?;
        }
        let spans = Spans::of(done.acts.iter().map(|(took, _)| *took));
        Ok(Created { orders: Arc::new(orders), elapsed: done.elapsed, spans })
    }

    async fn pay(&self, orders: &Arc<Vec<String>>) -> anyhow::Result<()> {
        let lanes = Connection::open_many(self.addr, CONNECTIONS).await?;
        let lanes = lanes.into_iter().map(|connection| Payer { connection, orders: orders.clone() });
        let done = drive(lanes.collect(), Pace::Closed, orders.len()).await;
        none_failed(&done.failures, "payments")
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let mut connection = Connection::open(self.addr).await?;
        let body = Bytes::copy_from_slice(body.as_bytes());
        let path = format!("/_sim{path}");
        let (head, said) = connection.exchange(method.parse()?, &path, HeaderMap::new(), body).await?;
        ensure!(head.status.is_success(), "{method} {path} answered {}", head.status);
        Ok(serde_json::from_slice(&said).unwrap_or(Value::Null))
    }

    /// Orders of their own, signed now.
    async fn sign(&mut self, count: usize) -> anyhow::Result<(Vec<Signed>, Vec<String>)> {
        let orders: Vec<_> = (self.made..self.made + count).map(|n| format!("BENCH-{n:09}")).collect();
        self.made += count;
        let (merchant, notify_url) = (self.merchant.clone(), self.shop.notify_url.clone());
        let signed = tokio::task::spawn_blocking(move || {
            let pem = pem_bytes(&merchant.private_key)?;
            let key = KeyPair::from_pkcs8(&pem).context("reading the merchant's key")?;
            let sign = |order: &String| sign_create(&merchant, &key, order, &notify_url);
            anyhow::Ok((orders.iter().map(sign).collect::<anyhow::Result<Vec<_>>>()?, orders))
        });
        signed.await?
    }
}

async fn read_merchant(addr: SocketAddr) -> anyhow::Result<MerchantCredentials> {
    loop {
        if let Ok(mut connection) = Connection::open(addr).await {
            return Ok(serde_json::from_slice(&connection.get("/_sim/merchant").await?)?);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

type Signed = (HeaderMap, Bytes);

/// A merchant's backend that creates orders; each so-manieth answer is kept.
struct Orders {
    connection: Connection,
    signed: Arc<Vec<Signed>>,
}

impl Lane for Orders {
    type Told = Option<(HeaderMap, Bytes)>;

    async fn act(&mut self, number: usize) -> anyhow::Result<Self::Told> {
        let (headers, body) = self.signed[number].clone();
        let (head, said) = self.connection.exchange(http::Method::POST, CREATE, headers, body).await?;
        ensure!(head.status == 200, "answered {} {}", head.status, String::from_utf8_lossy(&said));
        Ok((number.is_multiple_of(CHECKED)).then_some((head.headers, said)))
    }
}

struct Payer {
    connection: Connection,
    orders: Arc<Vec<String>>,
}

impl Lane for Payer {
    type Told = ();

    async fn act(&mut self, number: usize) -> anyhow::Result<()> {
        let path = format!("/_sim/payments/{}/pay", self.orders[number]);
        let (status, said) = self.connection.post(&path, HeaderMap::new(), Bytes::new()).await?;
        ensure!(status == 200, "answered {status} {}", String::from_utf8_lossy(&said));
        Ok(())
    }
}

/// The merchant's server: counts what is posted, and keeps each so-manieth post.
struct Shop {
    notify_url: String,
    posts: Arc<Posts>,
    server: JoinHandle<std::io::Result<()>>,
}

struct Posts {
    count: AtomicUsize,
    told: watch::Sender<usize>,
    kept: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Shop {
    async fn open() -> anyhow::Result<Self> {
        let posts = Arc::new(Posts {
            count: AtomicUsize::new(0),
            told: watch::Sender::new(0),
            kept: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let notify_url = format!("http://{}/notify", listener.local_addr()?);
        let router = Router::new().route("/notify", post(take)).with_state(posts.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { notify_url, posts, server })
    }

    fn count(&self) -> usize {
        self.posts.count.load(Ordering::SeqCst)
    }

    async fn wait_for(&self, count: usize) -> anyhow::Result<()> {
        let mut told = self.posts.told.subscribe();
        let enough = timeout(DRAIN_MAX, told.wait_for(|seen| *seen >= count)).await;
        enough.with_context(|| format!("{} of {count} notifications came", self.count()))??;
        Ok(())
    }

    fn check(&self, merchant: &MerchantCredentials) -> anyhow::Result<()> {
        let key = public_key(merchant)?;
        let kept = std::mem::take(&mut *self.posts.kept.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(!kept.is_empty(), "no notification was kept");
        for (headers, body) in kept {
            check_signature(&key, merchant, &headers, &body).context("a notification's signature")?;
        }
        Ok(())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(posts): State<Arc<Posts>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let seen = posts.count.fetch_add(1, Ordering::SeqCst) + 1;
    if seen.is_multiple_of(CHECKED) {
        posts.kept.lock().unwrap_or_else(PoisonError::into_inner).push((headers, body));
    }
    posts.told.send_replace(seen);
    StatusCode::NO_CONTENT
}

fn sign_create(
    merchant: &MerchantCredentials,
    key: &KeyPair,
    order: &str,
    notify_url: &str,
) -> anyhow::Result<Signed> {
    let app = merchant.apps.first().context("the merchant has no app")?;
    let body = json!({
        "appid": app.appid,
        "mchid": merchant.mchid,
        "description": "a cup of tea",
        "out_trade_no": order,
        "notify_url": notify_url,
        "amount": {"total": 100, "currency": "CNY"},
    })
    .to_string();
    let timestamp = entity::Clock::System.now().0.div_euclid(1000);
    let message = format!("POST\n{CREATE}\n{timestamp}\n{order}\n{body}\n");
    let signature = sign(key, message.as_bytes())?;
    let authorization = format!(
        "WECHATPAY2-SHA256-RSA2048 mchid=\"{}\",nonce_str=\"{order}\",timestamp=\"{timestamp}\",\
         serial_no=\"{}\",signature=\"{signature}\"",
        merchant.mchid, merchant.certificate_serial
    );
    let headers = [
        (header::AUTHORIZATION, HeaderValue::from_str(&authorization)?),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (header::USER_AGENT, HeaderValue::from_static("bench")),
    ];
    Ok((headers.into_iter().collect(), body.into()))
}

fn sign(key: &KeyPair, message: &[u8]) -> anyhow::Result<String> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
    Ok(STANDARD.encode(signature))
}

fn public_key(merchant: &MerchantCredentials) -> anyhow::Result<ParsedPublicKey> {
    let der = pem_bytes(&merchant.public_key)?;
    Ok(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)?)
}

fn check_signature(
    key: &ParsedPublicKey,
    merchant: &MerchantCredentials,
    headers: &HeaderMap,
    body: &[u8],
) -> anyhow::Result<()> {
    let text = |name: &str| anyhow::Ok(headers.get(name).context("a header is missing")?.to_str()?);
    ensure!(text("wechatpay-serial")? == merchant.public_key_id, "another key signed");
    let head = format!("{}\n{}\n", text("wechatpay-timestamp")?, text("wechatpay-nonce")?);
    let message = [head.as_bytes(), body, b"\n"].concat();
    let signature = STANDARD.decode(text("wechatpay-signature")?)?;
    key.verify_sig(&message, &signature).context("it is not over these bytes")
}

fn pem_bytes(pem: &str) -> anyhow::Result<Vec<u8>> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(STANDARD.decode(base64)?)
}

fn none_failed(failures: &[anyhow::Error], what: &str) -> anyhow::Result<()> {
    match failures.first() {
        None => Ok(()),
        Some(first) => anyhow::bail!("{} {what} failed, the first: {first:#}", failures.len()),
    }
}

impl Setup {
    /// So many a second are promised.
    fn floor(self, load: Load) -> f64 {
        match (load, self.fast_signing) {
            (Load::Creates, false) => 500.0,
            (Load::Creates, true) => 1000.0,
            (Load::Notifications, false) => 700.0,
            (Load::Notifications, true) => 2000.0,
        }
    }

    fn signer(self) -> &'static str {
        if self.fast_signing { "aws-lc-rs" } else { "rsa" }
    }

    fn data(self) -> &'static str {
        if self.in_memory { "memory" } else { "file" }
    }
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Self::Creates => "creates",
            Self::Notifications => "notifications",
        }
    }
}

struct Report {
    figures: Vec<Figure>,
    memories: Vec<Memory>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## The simulator alone, its data in a file\n")?;
        writeln!(
            f,
            "| signer | load | /s | p50 ms | p99 ms | max ms | CPU µs | resident MB | others' CPU | fsync p50 / p99 / max ms |"
        )?;
        writeln!(f, "|---|---|--:|--:|--:|--:|--:|--:|--:|---|")?;
        let told = rounds_together(&self.figures, |figure| (figure.setup, figure.load));
        for figure in &told {
            let span = |read: fn(&Spans) -> Duration| {
                figure.spans.as_ref().map_or_else(|| "—".to_owned(), |spans| ms(read(spans)))
            };
            writeln!(
                f,
                "| {} | {} {} | {:.0} | {} | {} | {} | {} | {} | {} |",
                figure.setup.signer(),
                figure.count,
                figure.load.name(),
                figure.per_second,
                span(|spans| spans.quantile(0.5)),
                span(|spans| spans.quantile(0.99)),
                span(Spans::max),
                figure.cpu.as_micros(),
                figure.resident_kib / 1024,
                machine_did(&figure.meanwhile),
            )?;
        }
        writeln!(f, "\n| floor | median of the quiet runs | |\n|---|---|---|")?;
        let verdict = |met| if met { "met" } else { "**missed**" };
        for runs in told.chunk_by(|one, next| (one.setup, one.load) == (next.setup, next.load)) {
            let first = runs[0];
            let floor = first.setup.floor(first.load);
            let what = format!("≥ {floor} {}/s with {}", first.load.name(), first.setup.signer());
            match median(runs, |run| run.meanwhile.was_quiet(), |run| run.per_second) {
                Some(got) => writeln!(f, "| {what} | {got:.0} | {} |", verdict(got >= floor))?,
                None => writeln!(f, "| {what} | — | the machine was never quiet |")?,
            }
        }
        for Memory { setup, usage, payments } in &self.memories {
            let (now, most) = (usage.resident_kib / 1024, usage.resident_max_kib / 1024);
            let what = format!("< 200 MB with {payments} payments, data in {}", setup.data());
            writeln!(f, "| {what} | {now} MB, {most} MB at most | {} |", verdict(most < 200))?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
fn whole(count: f64) -> usize {
    count as usize
}

/// The executable beside this program, unless another one is named.
pub fn executable(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let everpaid = match named {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("everpaid"),
    };
    ensure!(everpaid.exists(), "{} is not there; build it with --release first", everpaid.display());
    Ok(everpaid)
}
