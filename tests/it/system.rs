//! A whole everpaid with its WeChat Pay, in the words of the domain.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use entity::{
    Clock, Db, Hint, ManualClock, OrderId, PaymentId, RefundId, Timestamp, case, job, job::Due, money_entry,
    notification, order, order_event, payment, refund,
};
use everpaid::{
    config::{AppKind, Config, Merchant, Webhook},
    roles::{self, Roles, Running},
};
use sea_orm::{
    ActiveEnum, ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::{Value, json};
use simulator::{Credentials, Fault, Pay, RefundSource, Simulator, TrustMode};
use tempfile::TempDir;
use testkit::TestDatabase;
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::wire::Wire;

pub const API_KEY: &str = "sk_test_teahouse";
pub const OTHER_API_KEY: &str = "sk_test_bookshop";
pub const MERCHANT: &str = "teahouse";
/// What payers are told when something is unclear.
pub const SUPPORT: &str = "客服电话 020-0000-0000";
pub const OTHER_MERCHANT: &str = "bookshop";
pub const UNBOUND_APP: &str = "wx00000000000000ff";
pub const SERVICE_ACCOUNT: &str = "wx0000000000000001";
pub const MINI_PROGRAM: &str = "wx0000000000000002";
const LINK_KEY: &str = "a link key of thirty-two bytes...";

/// So many busy jobs are enough to know that there are some.
const AT_A_GLANCE: u64 = 128;

/// Nothing here takes longer, unless it never comes.
fn patience() -> Duration {
    Duration::from_secs(testkit::size(20, 30 * 60) as u64)
}

/// Keys take a second to make, so they are made once.
static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials::generate().expect("keys"));

/// One everpaid, one WeChat Pay, one clock for both.
pub struct TestSystem {
    pub database: TestDatabase,
    pub simulator: Simulator,
    pub clock: ManualClock,
    pub http: reqwest::Client,
    telling: Telling,
    running: tokio::sync::Mutex<Option<Running>>,
    /// Of the everpaid that runs, or ran last.
    seen: Mutex<Seen>,
    pub config: Config,
    _certificates: TempDir,
}

/// What a test needs to know of the everpaid that runs.
struct Seen {
    db: Option<Db>,
    /// The same from start to start, once it is known.
    listen: SocketAddr,
    metrics: Option<SocketAddr>,
}

/// How a story is told. Its events must be the same every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Straight,
    /// Every job that is done, or taken back, runs once more.
    Doubled,
    /// Everpaid is stopped and started again after each step.
    Interrupted,
}

/// The timeline of an order whose payer pays at once, and WeChat Pay says so.
pub const PAID_AT_ONCE: [&str; 4] = [
    "api order_created: order pending",
    "api payment_created: order pending, payment created",
    "call prepay_issued: order pending, payment awaiting_payment",
    "notification payment_succeeded: order paid, payment succeeded",
];

/// An order as a test knows it.
#[derive(Clone, Debug)]
pub struct Placed {
    pub id: OrderId,
    pub client_secret: String,
}

/// An answer of the api.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl TestSystem {
    /// One for each database of this run.
    pub async fn each() -> Vec<Self> {
        Self::told(&[Telling::Straight]).await
    }

    /// One for each database and each way to tell the story.
    pub async fn each_way() -> Vec<Self> {
        Self::told(&[Telling::Straight, Telling::Doubled, Telling::Interrupted]).await
    }

    async fn told(tellings: &[Telling]) -> Vec<Self> {
        let mut all = Vec::new();
        for telling in tellings {
            for database in testkit::databases().await {
                all.push(Self::start(database, TrustMode::PublicKey, *telling).await);
            }
        }
        all
    }

    /// One on SQLite, for what has nothing to do with the database.
    pub async fn one() -> Self {
        Self::start(testkit::sqlite().await, TrustMode::PublicKey, Telling::Straight).await
    }

    /// One whose WeChat Pay signs with a platform certificate.
    pub async fn with_platform_certificate() -> Self {
        Self::start(testkit::sqlite().await, TrustMode::Certificate, Telling::Straight).await
    }

    async fn start(database: TestDatabase, mode: TrustMode, telling: Telling) -> Self {
        let clock = ManualClock::at(Timestamp::parse("2026-11-22T12:00:00+08:00").expect("a time"));
        let credentials = tokio::task::spawn_blocking(|| CREDENTIALS.clone()).await.expect("keys");
        let now = clock.clone();
        let simulator = Simulator::start(simulator::Options {
            now: Some(Arc::new(move || now.now().0)),
            credentials: Some(credentials),
            mode: Some(mode),
            ..simulator::Options::default()
        })
        .await
        .expect("a simulator");
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let certificates = tempfile::tempdir().expect("a temporary directory");
        let of = |name: &str, key: &str| {
            let credentials = simulator.merchant();
            let certificate = credentials.platform_certificate.clone();
            let mut merchant = Merchant::simulated(name, credentials, key);
            merchant.support = Some(SUPPORT.to_owned());
            if let Some(pem) = certificate {
                let file = certificates.path().join(format!("{name}.pem"));
                std::fs::write(&file, pem).expect("a file");
                (merchant.public_key_id, merchant.public_key) = (None, None);
                merchant.platform_certificate_files = vec![file];
            }
            (name.to_owned(), merchant)
        };
        let mut config = Config {
            listen: anywhere,
            metrics_listen: anywhere,
            merchants: [of(MERCHANT, API_KEY), of(OTHER_MERCHANT, OTHER_API_KEY)].into(),
            ..Config::simulated(&database.url, &simulator.url(), LINK_KEY)
        };
        // The Postgres of a test run does not sync its files.
        config.database.allow_unsafe_durability = true;
        if database.name == "postgres"
            && let Ok(redis) = std::env::var("EVERPAID_TEST_REDIS")
        {
            config.redis.url = Some(redis.into());
            config.redis.prefix = database.url.rsplit('/').next().expect("a name").to_owned();
        }
        let teahouse = config.merchants.get_mut(MERCHANT).expect("the teahouse");
        teahouse.apps.insert(UNBOUND_APP.to_owned(), AppKind::ServiceAccount.into());
        let system = Self {
            database,
            simulator,
            clock,
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
            telling,
            running: tokio::sync::Mutex::default(),
            seen: Mutex::new(Seen { db: None, listen: anywhere, metrics: None }),
            config,
            _certificates: certificates,
        };
        system.resume().await;
        if telling == Telling::Doubled {
            crate::doubling::begin(&system.db()).await;
        }
        system
    }

    /// Starts everpaid again, at the same address.
    pub async fn resume(&self) {
        self.resume_as(Roles::BOTH).await;
    }

    pub async fn resume_as(&self, roles: Roles) {
        let listen = self.seen().listen;
        let config = Config { listen, ..self.config.clone() };
        let end = Instant::now() + patience();
        let running = loop {
            match roles::start(roles, &config, Clock::Manual(self.clock.clone())).await {
                Ok(running) => break running,
                // Somebody's outgoing connection may have the port for a moment.
                Err(error)
                    if format!("{error:#}").contains("Address already in use") && Instant::now() < end =>
                {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("everpaid does not start: {error:#}"),
            }
        };
        *self.seen() = Seen {
            db: Some(running.db.clone()),
            listen: running.api_addr.expect("an address"),
            metrics: Some(running.metrics_addr),
        };
        *self.running.lock().await = Some(running);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes after each step of a story.
    async fn stepped(&self) {
        if self.telling == Telling::Interrupted && self.running.lock().await.is_some() {
            self.stop_everpaid().await;
            self.resume().await;
        }
    }

    /// Starts everpaid again with another configuration of the teahouse.
    pub async fn configure(&mut self, change: impl FnOnce(&mut Merchant)) {
        self.reconfigure(|config| change(config.merchants.get_mut(MERCHANT).expect("the teahouse"))).await;
    }

    /// Starts everpaid again with another configuration.
    pub async fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        self.stop_everpaid().await;
        self.change(change);
        self.resume().await;
    }

    /// What everpaid is started with from now on.
    pub fn change(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// Puts a wire between everpaid and WeChat Pay, which takes a new start.
    pub async fn wired(&mut self) -> Wire {
        let wire = Wire::start(self.simulator.url()).await;
        self.stop_everpaid().await;
        self.config.wechat.base_url.clone_from(&wire.url);
        self.resume().await;
        wire
    }

    /// Another process on the same database, with that role.
    pub async fn start_apart(&self, roles: Roles) -> Running {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config { listen: anywhere, ..self.config.clone() };
        roles::start(roles, &config, Clock::Manual(self.clock.clone())).await.expect("another process starts")
    }

    pub async fn stop_everpaid(&self) {
        let running = self.running.lock().await.take().expect("everpaid runs");
        running.stop().await.expect("an orderly end");
    }

    /// Gives a merchant's shop an endpoint, which takes a new start.
    pub async fn listens(&mut self, merchant: &str, endpoint: &str, webhook: Webhook) {
        self.stop_everpaid().await;
        let merchant = self.config.merchants.get_mut(merchant).expect("a merchant");
        merchant.webhooks.insert(endpoint.to_owned(), webhook);
        self.resume().await;
    }

    /// What a command of an operator's does and says, beside a server that may run.
    pub async fn everpaid(&self, words: &[&str]) -> (bool, String) {
        let config = tempfile::NamedTempFile::new().unwrap();
        let toml = format!(
            "public_url = \"{}\"\n[wechat]\nbase_url = \"{}\"\n[database]\nurl = \"{}\"\n\
             [merchants.{MERCHANT}]\ndisplay_name = \"x\"\nmchid = \"1\"\ncertificate_serial = \"1\"\n\
             apps = {{ wx1 = \"mini_program\" }}\n",
            self.url(""),
            self.simulator.url(),
            self.database.url,
        );
        std::fs::write(config.path(), toml).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_everpaid-crashable"));
        command.args(words).arg("--config").arg(config.path()).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    pub fn db(&self) -> Db {
        self.seen().db.clone().expect("everpaid ran")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.seen().listen)
    }

    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.seen().metrics.expect("everpaid ran"))
    }

    // ---- the shop ----

    pub async fn place_order(&self, merchant_order_no: &str) -> Placed {
        let answered = self.shop_posts("/v1/orders", &order(merchant_order_no)).await;
        answered.placed()
    }

    /// Asks for a part of an order to go back.
    pub async fn ask_refund(&self, order: &Placed, merchant_refund_no: &str, fen: i64) -> Answered {
        let asked = json!({
            "merchant_refund_no": merchant_refund_no,
            "amount": { "total": fen, "currency": "CNY" },
        });
        self.shop_posts(&format!("/v1/orders/{}/refunds", order.id), &asked).await
    }

    /// Asks for a part of an order to go back, which is written down.
    pub async fn refund(&self, order: &Placed, merchant_refund_no: &str, fen: i64) -> RefundId {
        let answered = self.ask_refund(order, merchant_refund_no, fen).await;
        assert_eq!(answered.status, 201, "{answered:?}");
        let id = answered.body["refund"]["id"].as_str().expect("an id");
        id.parse().expect("the id of a refund")
    }

    pub async fn shop_posts(&self, path: &str, body: &Value) -> Answered {
        self.post(path, API_KEY, body).await
    }

    pub async fn shop_gets(&self, path: &str) -> Answered {
        self.get(path, API_KEY).await
    }

    // ---- anyone ----

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answered {
        let answered = Answered::of(self.http.post(self.url(path)).bearer_auth(token).json(body)).await;
        self.stepped().await;
        answered
    }

    pub async fn get(&self, path: &str, token: &str) -> Answered {
        Answered::of(self.http.get(self.url(path)).bearer_auth(token)).await
    }

    // ---- the payer ----

    /// Opens a native payment and waits as long as a page would.
    pub async fn open_payment(&self, order: &Placed) -> Answered {
        let path = format!("/v1/orders/{}/payments", order.id);
        self.post(&path, &order.client_secret, &json!({ "method": "native" })).await
    }

    /// Opens a payment that is ready at once.
    pub async fn ready_payment(&self, order: &Placed) -> payment::Model {
        let answered = self.open_payment(order).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        self.payment_of(order).await
    }

    /// Scans and pays; returns when WeChat Pay has tried to tell us, if it does.
    pub async fn payer_pays(&self, payment: &payment::Model) {
        self.simulator.pay(&payment.out_trade_no, Pay::default()).await.expect("the payer pays");
        self.simulator.notifications_settled().await.expect("notifications");
        self.stepped().await;
    }

    /// An order of 3990 fen that is paid.
    pub async fn paid_order(&self, merchant_order_no: &str) -> Placed {
        let order = self.place_order(merchant_order_no).await;
        let payment = self.ready_payment(&order).await;
        self.payer_pays(&payment).await;
        self.order_is_paid(&order).await;
        order
    }

    pub async fn confirm(&self, order: &Placed, payment: &PaymentId) -> Answered {
        self.post(&format!("/v1/payments/{payment}/confirm"), &order.client_secret, &json!({})).await
    }

    // ---- WeChat Pay ----

    /// Tells a merchant something, as WeChat Pay would.
    pub async fn tell(&self, merchant: &str, headers: http::HeaderMap, body: Vec<u8>) -> Answered {
        let url = self.url(&format!("/v1/wechat/notifications/{merchant}"));
        Answered::of(self.http.post(url).headers(headers).body(body)).await
    }

    pub fn wechat(&self, fault: Fault) {
        self.simulator.add_fault(fault).expect("a fault that can happen");
    }

    pub fn wechat_is_well(&self) {
        self.simulator.clear_faults();
    }

    // ---- time ----

    /// Moves both clocks on and lets everything that became due happen.
    pub async fn advance(&self, span: Duration) {
        // Before the clock moves: what WeChat Pay tells while everpaid starts comes again much later.
        self.stepped().await;
        // And a run that ends after it is due again by the new time.
        self.jobs_are_idle().await;
        self.clock.advance(span);
        self.simulator.clock_moved();
        self.jobs_are_idle().await;
        self.simulator.notifications_settled().await.expect("notifications");
        self.jobs_are_idle().await;
    }

    /// Waits until nothing is due and nothing runs. The pump is told of what became due by the clock, or it
    /// would find each by its next scan.
    pub async fn jobs_are_idle(&self) {
        let end = Instant::now() + patience();
        let db = self.db();
        let mut hints = db.bus().jobs();
        let mut told = HashSet::new();
        loop {
            let now = self.clock.now();
            let busy = job::Entity::find()
                .filter(job::Column::DeadAt.is_null())
                .filter(
                    Condition::any().add(job::Column::Lease.is_not_null()).add(job::Column::DueAt.lte(now)),
                )
                // Those that are due come before those that run.
                .order_by_asc(job::Column::DueAt)
                .limit(AT_A_GLANCE)
                .all(db.reader())
                .await
                .expect("the jobs");
            if busy.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "still busy: {busy:#?}");
            for job in busy.into_iter().filter(|job| job.due_at <= now) {
                if told.insert((job.id, job.due_at, job.runs)) {
                    db.bus().tell(&Hint::Job(Due { id: job.id, lane: job.lane, due_at: job.due_at }));
                }
            }
            // The end of a run is no hint, so look again soon.
            timeout(Duration::from_millis(10), hints.recv()).await.ok();
        }
    }

    // ---- what is known ----

    pub async fn order(&self, order: &Placed) -> order::Model {
        order::Entity::find_by_id(order.id.clone())
            .one(self.db().reader())
            .await
            .expect("a read")
            .expect("the order")
    }

    /// The newest payment of the order.
    pub async fn payment_of(&self, order: &Placed) -> payment::Model {
        payment::Entity::find()
            .filter(payment::Column::OrderId.eq(order.id.clone()))
            .order_by_desc(payment::Column::Id)
            .one(self.db().reader())
            .await
            .expect("a read")
            .expect("a payment")
    }

    /// The refunds of the order, the oldest first.
    pub async fn refunds_of(&self, order: &Placed) -> Vec<refund::Model> {
        refund::Entity::find()
            .filter(refund::Column::OrderId.eq(order.id.clone()))
            .order_by_asc(refund::Column::Id)
            .all(self.db().reader())
            .await
            .expect("a read")
    }

    pub async fn refund_of(&self, id: &RefundId) -> refund::Model {
        let found = refund::Entity::find_by_id(id.clone()).one(self.db().reader()).await;
        found.expect("a read").expect("the refund")
    }

    /// Every case, as lines: what it is about, and what became of it.
    pub async fn cases(&self) -> Vec<String> {
        let cases = case::Entity::find().order_by_asc(case::Column::Id).all(self.db().reader()).await;
        let line = |case: case::Model| {
            let end = match (case.resolution, case.resolved_by) {
                (Some(resolution), Some(by)) => format!("{} by {}", resolution.to_value(), by.to_value()),
                _ => "open".to_owned(),
            };
            let amount = case.amount.map_or_else(|| "?".to_owned(), |amount| amount.0.to_string());
            format!("{} of {amount}: {end}", case.kind.to_value())
        };
        cases.expect("a read").into_iter().map(line).collect()
    }

    pub async fn notifications(&self) -> Vec<notification::Model> {
        notification::Entity::find()
            .order_by_asc(notification::Column::Id)
            .all(self.db().reader())
            .await
            .expect("a read")
    }

    pub async fn job(&self, kind: &str, subject: &str) -> Option<job::Model> {
        job::Entity::find()
            .filter(job::Column::Kind.eq(kind))
            .filter(job::Column::Subject.eq(subject))
            .one(self.db().reader())
            .await
            .expect("a read")
    }

    /// Waits until the order is paid.
    pub async fn order_is_paid(&self, order: &Placed) {
        let mut changes = self.db().bus().follow(&order.id);
        let paid = async {
            while !self.order(order).await.status.is_paid() {
                timeout(Duration::from_millis(200), changes.changed()).await.ok();
            }
        };
        timeout(patience(), paid).await.expect("the order is paid in time");
    }

    /// The story of an order: who said what, and what was so after it.
    pub async fn timeline(&self, order: &Placed) -> Vec<String> {
        let events = order_event::Entity::find()
            .filter(order_event::Column::OrderId.eq(order.id.clone()))
            .order_by_asc(order_event::Column::Seq)
            .all(self.db().reader())
            .await
            .expect("the events");
        let line = |event: order_event::Model| {
            let payment = event
                .payment_status
                .map_or_else(String::new, |status| format!(", payment {}", status.to_value()));
            let refund = event
                .refund_status
                .map_or_else(String::new, |status| format!(", refund {}", status.to_value()));
            let shipping = event
                .shipping_status
                .map_or_else(String::new, |status| format!(", shipping {}", status.to_value()));
            format!(
                "{} {}: order {}{payment}{refund}{shipping}",
                event.learnt_from.to_value(),
                event.kind.to_value(),
                event.order_status.to_value()
            )
        };
        events.into_iter().map(line).collect()
    }

    /// WeChat Pay's ledger and our money book, as lines that must be the same. What a person gave back
    /// in WeChat Pay's console is not ours to know.
    pub async fn books_agree(&self) {
        let ledger = self.simulator.ledger().await.expect("the ledger");
        let paid = ledger.payments.iter().map(|paid| format!("in {} {}", paid.transaction_id, paid.total));
        let refunded = ledger.refunds.iter().filter(|refund| refund.source == RefundSource::Api);
        let refunded = refunded.filter(|refund| refund.status == "SUCCESS");
        let refunded = refunded.map(|refund| format!("out {} {}", refund.refund_id, refund.refund));
        let mut theirs: Vec<_> = paid.chain(refunded).collect();
        let entries = money_entry::Entity::find().all(self.db().reader()).await.expect("the money book");
        let line = |entry: &money_entry::Model| {
            let way = match entry.kind {
                money_entry::Kind::Payment | money_entry::Kind::Surplus => "in",
                money_entry::Kind::Refund | money_entry::Kind::SurplusRefund => "out",
            };
            format!("{way} {} {}", entry.reference, entry.amount.0)
        };
        let mut ours: Vec<_> = entries.iter().map(line).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{}", self.database.name);
        self.orders_say_what_the_book_says(&entries).await;
    }

    /// No order has given back more or less than the book says, and none more than was paid.
    async fn orders_say_what_the_book_says(&self, entries: &[money_entry::Model]) {
        let orders = order::Entity::find().all(self.db().reader()).await.expect("the orders");
        for order in orders {
            let sum = |kind| -> i64 {
                let of_order =
                    entries.iter().filter(|entry| entry.order_id == order.id && entry.kind == kind);
                of_order.map(|entry| entry.amount.0).sum()
            };
            let (paid, back) = (sum(money_entry::Kind::Payment), sum(money_entry::Kind::Refund));
            assert_eq!(order.refunded.0, back, "{order:?}");
            assert!(back <= paid, "{order:?}");
            let surplus = (sum(money_entry::Kind::Surplus), sum(money_entry::Kind::SurplusRefund));
            assert!(surplus.1 <= surplus.0, "{order:?}");
        }
    }

    /// How many rows each table has; the sweeper's job, which is nobody's, does not count.
    pub async fn rows(&self) -> [u64; 6] {
        let db = self.db();
        let db = db.reader();
        let jobs = job::Entity::find().filter(job::Column::Kind.ne("sweep_overdue"));
        [
            order::Entity::find().count(db).await.expect("a count"),
            payment::Entity::find().count(db).await.expect("a count"),
            notification::Entity::find().count(db).await.expect("a count"),
            money_entry::Entity::find().count(db).await.expect("a count"),
            order_event::Entity::find().count(db).await.expect("a count"),
            jobs.count(db).await.expect("a count"),
        ]
    }

    /// Nothing may be left to do, nothing given up, and the books must agree.
    pub async fn end(self) {
        self.jobs_are_idle().await;
        let dead =
            job::Entity::find().filter(job::Column::DeadAt.is_not_null()).all(self.db().reader()).await;
        assert_eq!(dead.expect("a read"), [], "jobs were given up");
        self.books_agree().await;
        self.stop_everpaid().await;
        self.simulator.stop().await;
    }
}

impl Answered {
    /// The order that was placed.
    pub fn placed(&self) -> Placed {
        assert_eq!(self.status, 201, "{self:?}");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Placed {
            id: text(&self.body["order"]["id"]).parse().expect("an order id"),
            client_secret: text(&self.body["client_secret"]),
        }
    }

    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// An order for a cup of tea.
pub fn order(merchant_order_no: &str) -> Value {
    json!({
        "merchant_order_no": merchant_order_no,
        "description": "一壶龙井",
        "amount": { "total": 3990, "currency": "CNY" },
    })
}
