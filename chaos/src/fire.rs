//! Real processes under fire: a shop sells while they are killed, frozen, cut off and set back, and in the
//! end the oracle compares.
//!
//! The seed repeats the plan: the orders, and what strikes whom and when. Real time is not repeatable, so
//! a run with the same seed meets the same blows in other states.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, ensure};
use entity::{Clock, Db, Timestamp, money_entry, payment};
use futures::{StreamExt, stream};
use reqwest::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use simulator::Ledger;
use testkit::RedisServer;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, block_in_place},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    figures::Figures,
    oracle::{self, Allowed, Findings, Witnesses},
    sink::Heard,
};

mod plan;
mod layout;
mod member;
mod postgres;
mod wire;
mod shop;
mod planted;

pub use layout::{Between, Database};
pub use member::Executables;
pub use plan::{Kind, Profile};

use layout::Layout;
use plan::{Blow, Plan, Purchase, STEPS_OF_API, STEPS_OF_WORKER, Strike};
use shop::{Answered, Shop};

/// So many orders are under way at once; the others wait for their turn.
const AT_ONCE: usize = 200;
/// How often it is looked whether everything has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The longest that a crashed database may take to recover.
const DATABASE_AWAY_MAX: Duration = Duration::from_secs(60);
/// How often the calls to WeChat Pay are counted.
const COUNT_EVERY: Duration = Duration::from_millis(250);
/// So many questions to the simulator at once.
const ASKED_AT_ONCE: usize = 16;
/// Without notification and page, a payment is asked about within this of being paid, if it was paid in
/// the first minute.
const RUNG_MAX: Duration = Duration::from_secs(60);
/// In fair weather.
const LOOKS_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// So many differences are printed.
const PRINTED: usize = 20;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// How much: for every change, or for a night.
    #[arg(long, value_enum, default_value_t = Size::Pr)]
    profile: Size,
    /// Repeats a plan.
    #[arg(long)]
    seed: Option<u64>,
    /// One process on SQLite, or several on a private Postgres.
    #[arg(long, value_enum, default_value_t = Database::Sqlite)]
    database: Database,
    /// Nothing strikes and nothing goes wrong: what the machine bears.
    #[arg(long)]
    calm: bool,
    /// An older executable of everpaid: processes begin with it, and change to this one and back when they
    /// are told to start again.
    #[arg(long)]
    previous: Option<PathBuf>,
    /// How many orders, if not as many as the profile has; in the same time.
    #[arg(long)]
    orders: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Size {
    Pr,
    Night,
}

/// Runs all of it and prints what it came to; true if nothing was wrong.
pub async fn run(options: &Options) -> anyhow::Result<bool> {
    let seed = options.seed.unwrap_or_else(rand::random);
    let mut profile = match options.profile {
        Size::Pr => Profile::pr(options.database),
        Size::Night => Profile::night(options.database),
    };
    profile.orders = options.orders.unwrap_or(profile.orders);
    if options.calm {
        profile = Profile { blows: Vec::new(), drizzle: false, ..profile };
    }
    let Profile { orders, span, .. } = &profile;
    println!("fire on {:?}: {orders} orders within {span:?}, seed {seed}", options.database);
    let executables = Executables::new(&std::env::current_exe()?, options.previous.as_deref());
    let report = burn(&profile, options.database, seed, &executables).await?;
    println!("{report}");
    Ok(report.is_good())
}

/// What a run came to.
pub struct Report {
    pub planned: u64,
    pub findings: Findings,
    figures: Figures,
    faults: BTreeMap<String, u64>,
    /// From the end of a blow until the shop was told of the first payment that was made after it; the
    /// longest of each kind.
    recovery: BTreeMap<String, Duration>,
    /// How long it took in fair weather until everything had come to its end.
    settled_in: Duration,
    /// Payments that the page had to ask about in the end.
    asked_about: usize,
    placed_in: Duration,
    /// From the payment until the shop was told, in order.
    told_after: Vec<Duration>,
    pub died_at_step: u64,
    ended: u64,
    /// Tries to notify that were answered with 401.
    pub not_believed: u64,
    /// How many jobs were due at once, and how long they took.
    pub backlog: Option<(u32, Duration)>,
    /// Calls to WeChat Pay a second while it was away, and otherwise.
    pub calls: [f64; 2],
    /// By role, in KiB.
    resident_max: BTreeMap<&'static str, u64>,
    /// What was written down, if something was wrong.
    kept: Option<PathBuf>,
}

/// A blow that was struck.
struct Struck {
    name: String,
    /// By the machine's clock, which is the simulator's too.
    began: Timestamp,
    ended: Timestamp,
    shifts_time: bool,
    /// WeChat Pay was away.
    is_outage: bool,
}

/// A run in progress.
struct Fire {
    layout: Layout,
    shop: Arc<Shop>,
    db: Db,
    struck: Mutex<Vec<Struck>>,
    poison: Mutex<HashSet<String>>,
    wrong: Mutex<Vec<String>>,
    backlog: Mutex<Option<(u32, Duration)>>,
    /// The calls to WeChat Pay so far, from time to time.
    calls: Mutex<Vec<(Timestamp, u64)>>,
}

/// Leads a run to its end with these executables.
pub async fn burn(
    profile: &Profile,
    database: Database,
    seed: u64,
    executables: &Executables,
) -> anyhow::Result<Report> {
    let plan = Plan::draw(profile, seed);
    let layout = Layout::start(database, executables, seed, profile.has(Kind::Clock)).await?;
    let (shop, db) = (Shop::of(&layout), layout.open_database().await?);
    let fire = Arc::new(Fire {
        layout,
        shop,
        db,
        struck: Mutex::default(),
        poison: Mutex::default(),
        wrong: Mutex::default(),
        backlog: Mutex::default(),
        calls: Mutex::default(),
    });
    for fault in &plan.drizzle {
        fire.wechat(fault).await?;
    }
    let began = Instant::now();
    let since = Clock::System.now();
    let mut strikes = JoinSet::new();
    for strike in plan.strikes {
        let fire = fire.clone();
        strikes.spawn(async move {
            sleep_until(began + strike.at).await;
            fire.strike(&strike).await.with_context(|| strike.name())
        });
    }
    let counting = tokio::spawn({
        let fire = fire.clone();
        async move { fire.count_calls().await }
    });
    let answered = fire.sell(plan.purchases, began).await;
    let placed_in = began.elapsed();
    counting.abort();
    while let Some(struck) = strikes.join_next().await {
        struck??;
    }
    let rested = fire.come_to_rest(profile.rest, since).await?;
    // It was told to end, and ends at its next pause.
    drop(counting.await);
    let fire = Arc::into_inner(fire).context("somebody is still at work")?;
    fire.judge(profile, &answered, database, placed_in, rested).await
}

impl Fire {
    /// Leads every purchase through its course, and says what was answered.
    async fn sell(self: &Arc<Self>, purchases: Vec<Purchase>, began: Instant) -> Vec<Answered> {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut sales = JoinSet::new();
        for purchase in purchases {
            sleep_until(began + purchase.at).await;
            // It is never closed.
            let Ok(place) = room.clone().acquire_owned().await else { break };
            let shop = self.shop.clone();
            sales.spawn(async move {
                let _place = place;
                shop.sell(&purchase).await
            });
        }
        let mut answered = Vec::new();
        while let Some(sold) = sales.join_next().await {
            match sold {
                Ok(Ok(sold)) => answered.push(sold),
                Ok(Err(error)) => self.is_wrong(format!("{error:#}")),
                Err(error) => self.is_wrong(format!("a sale: {error}")),
            }
        }
        answered
    }

    async fn strike(&self, strike: &Strike) -> anyhow::Result<()> {
        let members = &self.layout.members;
        let member = |nth: usize| &members[nth % members.len()];
        let began = Clock::System.now();
        match &strike.blow {
            Blow::Kill(nth) => member(*nth).kill(None).await?,
            Blow::KillAtStep(nth, step, passes) => {
                let member = member(*nth);
                let steps: Vec<_> = match member.spec.role {
                    "api" => STEPS_OF_API.to_vec(),
                    "worker" => STEPS_OF_WORKER.to_vec(),
                    _ => [STEPS_OF_API.as_slice(), &STEPS_OF_WORKER].concat(),
                };
                let step = steps[*step as usize % steps.len()];
                member.kill(Some(format!("{step}={passes}*off->return"))).await?;
            }
            // Counted from the end.
            Blow::Freeze(nth) => {
                let last = &members[members.len() - 1 - (usize::MAX - nth) % members.len()];
                last.freeze(strike.lasts).await?;
            }
            Blow::Roll => {
                for member in members {
                    member.restart(&self.layout.http).await?;
                }
            }
            Blow::DatabaseCrash => self.layout.postgres.as_ref().context("no Postgres")?.crash().await?,
            Blow::RedisFlush => {
                let redis = self.redis().await?;
                let said = block_in_place(|| redis.say(&["FLUSHALL"]));
                ensure!(said == "OK", "FLUSHALL: {said}");
            }
            Blow::RedisPause => {
                let redis = self.redis().await?;
                redis.freeze();
                sleep(strike.lasts).await;
                redis.thaw();
            }
            Blow::RedisLoss => {
                let mut redis = self.redis().await?;
                block_in_place(|| redis.kill());
                sleep(strike.lasts).await;
                block_in_place(|| redis.start_again());
            }
            Blow::Wire(between, state) => {
                let wire = self.layout.wire(*between).context("no such wire")?;
                wire.set(*state);
                sleep(strike.lasts).await;
                wire.set(wire::State::Clear);
            }
            Blow::WeChat(fault) => {
                let id = self.wechat(fault).await?;
                sleep(strike.lasts).await;
                // The one that is over by itself has no number any more.
                self.shop.control(Method::DELETE, &format!("faults/{id}"), None).await?;
            }
            Blow::ShopDown => {
                self.layout.sink.set_down(true);
                sleep(strike.lasts).await;
                self.layout.sink.set_down(false);
            }
            Blow::Clock(nth, seconds) => {
                let member = member(*nth);
                member.set_clock(*seconds)?;
                sleep(strike.lasts).await;
                member.set_clock(0)?;
            }
            Blow::Poison(count) => self.poison(*count).await?,
            Blow::Backlog(count) => {
                let drained_in = planted::backlog(&self.db, *count).await?;
                lock(&self.backlog).replace((*count, drained_in));
            }
        }
        let (name, ended) = (strike.name(), Clock::System.now());
        let shifts_time = matches!(strike.blow, Blow::Clock(..));
        let is_outage = matches!(strike.blow, Blow::WeChat(_));
        lock(&self.struck).push(Struck { name, began, ended, shifts_time, is_outage });
        Ok(())
    }

    /// One blow at a time: nobody can empty what stands still.
    async fn redis(&self) -> anyhow::Result<tokio::sync::MutexGuard<'_, RedisServer>> {
        Ok(self.layout.redis.as_ref().context("there is no Redis")?.lock().await)
    }

    async fn count_calls(&self) {
        let Some(wire) = self.layout.wire(Between::WeChat) else { return };
        loop {
            lock(&self.calls).push((Clock::System.now(), wire.requests()));
            sleep(COUNT_EVERY).await;
        }
    }

    async fn wechat(&self, fault: &simulator::Fault) -> anyhow::Result<u64> {
        let (status, said) =
            self.shop.control(Method::POST, "faults", Some(&serde_json::to_value(fault)?)).await?;
        ensure!(status.is_success(), "a fault at WeChat Pay: {status} {said}");
        said["id"].as_u64().context("a fault without a number")
    }

    async fn poison(&self, count: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        let planted = loop {
            match planted::poison(&self.db, count).await {
                // The database may be down at this moment; then nothing was written.
                Err(_) if began.elapsed() < DATABASE_AWAY_MAX => sleep(LOOK_EVERY).await,
                planted => break planted?,
            }
        };
        lock(&self.poison).extend(planted);
        Ok(())
    }

    /// Fair weather, until everything has come to its end or will not. Says how long that took, and how
    /// many payments had to be asked about.
    async fn come_to_rest(&self, rest: Duration, since: Timestamp) -> anyhow::Result<(Duration, usize)> {
        let began = Instant::now();
        let mut asked_about = HashSet::new();
        self.layout.clear_wires();
        self.shop.control(Method::DELETE, "faults", None).await?;
        let mut resent = false;
        loop {
            let left = oracle::unfinished(&self.db).await?;
            if left.is_empty() || began.elapsed() > rest {
                return Ok((began.elapsed(), asked_about.len()));
            }
            // Who was told of nothing for so long looks at the page again. Without that it would be the
            // next rung, minutes later.
            if began.elapsed() > LOOKS_AGAIN_AFTER {
                self.ask_about_the_rest(&mut asked_about).await?;
            }
            // What the shop did not take twice comes again after minutes; its people need not wait.
            if !resent && left.iter().all(|what| what.ends_with("deliveries")) {
                resent = true;
                // All of it may be delivered by now.
                self.layout.everpaid(&["webhooks", "resend", "--since", &since.to_beijing()]).await.ok();
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn ask_about_the_rest(&self, asked_about: &mut HashSet<String>) -> anyhow::Result<()> {
        let waits = payment::Entity::find()
            .filter(payment::Column::Status.eq(payment::Status::AwaitingPayment))
            .all(self.db.reader())
            .await?;
        for payment in waits {
            let id = payment.id.to_string();
            if asked_about.insert(id.clone()) {
                self.shop.confirm(&id).await?;
            }
        }
        Ok(())
    }

    async fn judge(
        self,
        profile: &Profile,
        answered: &[Answered],
        database: Database,
        placed_in: Duration,
        (settled_in, asked_about): (Duration, usize),
    ) -> anyhow::Result<Report> {
        let (_, ledger) = self.shop.control(Method::GET, "ledger", None).await?;
        let ledger: Ledger = serde_json::from_value(ledger)?;
        let mut witnesses = Witnesses::read(&self.db, ledger).await?;
        let (taken_in, not_believed) = self.ask_about_payments(&mut witnesses).await?;
        let poison = lock(&self.poison).clone();
        let allowed = Allowed { looks: true, poison, ..Allowed::default() };
        let heard = self.layout.sink.heard().clone();
        let mut findings = witnesses.judge(&heard, &allowed);
        judge_answers(&witnesses, answered, &taken_in, &mut findings);
        planted::judge_poison(&witnesses, &allowed.poison, &mut findings);
        let (_, book) = self.shop.control(Method::GET, "ledger/check", None).await?;
        for broken in book["violations"].as_array().into_iter().flatten() {
            findings.wrong.push(format!("WeChat Pay's own ledger: {broken}"));
        }
        findings.wrong.append(&mut lock(&self.wrong));

        let struck = std::mem::take(&mut *lock(&self.struck));
        // On SQLite what happens is dated by the clock that was off.
        let is_dated = |paid_at: Timestamp| {
            database == Database::Postgres
                || !struck
                    .iter()
                    .any(|one| one.shifts_time && paid_at + RUNG_MAX >= one.began && paid_at <= one.ended)
        };
        let names = struck.iter().map(|one| one.name.clone());
        let figures = Figures::of(names, &witnesses, &heard, is_dated);
        let mut faults = BTreeMap::new();
        for one in &struck {
            *faults.entry(one.name.clone()).or_default() += 1;
        }
        let told = paid_and_told(&witnesses, &heard);
        let recovery = recoveries(&told, &struck);
        let mut told_after: Vec<_> = told.iter().map(|(paid_at, told_at)| told_at.since(*paid_at)).collect();
        told_after.sort_unstable();
        let members = &self.layout.members;
        let died_at_step = members.iter().map(member::Member::died_at_step).sum();
        let ended = members.iter().map(member::Member::ended).sum();
        let mut resident_max = BTreeMap::new();
        for member in members {
            let most = resident_max.entry(member.spec.role).or_default();
            *most = member.resident_max_kib().max(*most);
        }
        let calls = calls_per_second(&lock(&self.calls), &struck);
        let backlog = *lock(&self.backlog);
        let Self { layout, db, .. } = self;
        db.close().await?;
        let mut report = Report {
            planned: profile.orders.into(),
            findings,
            figures,
            faults,
            recovery,
            settled_in,
            asked_about,
            placed_in,
            told_after,
            died_at_step,
            ended,
            not_believed,
            backlog,
            calls,
            resident_max,
            kept: None,
        };
        if report.is_good() {
            report.findings.wrong.extend(layout.end().await);
        } else {
            report.kept = Some(layout.keep());
        }
        Ok(report)
    }

    /// Which payments are open at WeChat Pay, which notifications it was told were taken, and how many tries
    /// to notify were answered with 401.
    async fn ask_about_payments(&self, witnesses: &mut Witnesses) -> anyhow::Result<(Vec<String>, u64)> {
        let numbers: Vec<_> = witnesses.payments.iter().map(|payment| payment.out_trade_no.clone()).collect();
        let asked = stream::iter(numbers).map(|number| async move {
            let (status, said) = self.shop.control(Method::GET, &format!("payments/{number}"), None).await?;
            // Those that were never sent it does not know.
            anyhow::Ok((number, status.is_success().then_some(said)))
        });
        let mut asked = asked.buffer_unordered(ASKED_AT_ONCE);
        let (mut taken_in, mut not_believed) = (Vec::new(), 0);
        while let Some(answer) = asked.next().await {
            let (number, Some(said)) = answer? else { continue };
            if said["trade_state"] == "NOTPAY" {
                witnesses.open.insert(number);
            }
            for told in said["notifications"].as_array().into_iter().flatten() {
                if told["state"] == "taken" {
                    taken_in.extend(told["id"].as_str().map(str::to_owned));
                }
                let posts = told["deliveries"].as_array().into_iter().flatten();
                not_believed += posts.filter(|post| post["status"] == 401).count() as u64;
            }
        }
        Ok((taken_in, not_believed))
    }

    fn is_wrong(&self, what: String) {
        lock(&self.wrong).push(what);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was answered is there: orders to shops, refunds to shops, notifications to WeChat Pay.
fn judge_answers(witnesses: &Witnesses, answered: &[Answered], taken_in: &[String], found: &mut Findings) {
    let orders: BTreeMap<_, _> =
        witnesses.orders.iter().map(|order| (order.merchant_order_no.as_str(), order)).collect();
    let mut asked_back: BTreeMap<_, i64> = BTreeMap::new();
    for refund in &witnesses.refunds {
        *asked_back.entry(refund.order_id.as_str()).or_default() += refund.amount.0;
    }
    for Answered { number, id, total, gives_back } in answered {
        match orders.get(number.as_str()) {
            None => found.lost.push(format!("order {number} was answered and is gone")),
            Some(order) if order.id.as_str() != id || order.amount.0 != *total => {
                found.wrong.push(format!("order {number} is not what was answered: {order:?}"));
            }
            Some(_) => {}
        }
        let back = asked_back.get(id.as_str()).copied().unwrap_or_default();
        if gives_back.is_some_and(|part| part > back) {
            found.lost.push(format!("a refund of order {number} was answered and is gone"));
        }
    }
    let there: HashSet<_> =
        witnesses.notifications.iter().map(|notification| notification.wechat_id.as_str()).collect();
    for id in taken_in.iter().filter(|id| !there.contains(id.as_str())) {
        found.lost.push(format!("notification {id} was acknowledged and is gone"));
    }
}

/// When each order was paid at WeChat Pay and when the shop was told so, both by the machine's clock; in
/// the order of the telling.
fn paid_and_told(witnesses: &Witnesses, heard: &Heard) -> Vec<(Timestamp, Timestamp)> {
    let paid_at: BTreeMap<_, _> = witnesses
        .ledger
        .payments
        .iter()
        .map(|taken| (taken.transaction_id.as_str(), Timestamp(taken.paid_at_ms)))
        .collect();
    let of_order: BTreeMap<_, _> = witnesses
        .entries
        .iter()
        .filter(|entry| entry.kind == money_entry::Kind::Payment)
        .filter_map(|entry| Some((entry.order_id.as_str(), *paid_at.get(entry.reference.as_str())?)))
        .collect();
    let told = heard.events.values().filter(|event| event.kind == "order.paid");
    let mut spans: Vec<_> =
        told.filter_map(|event| Some((*of_order.get(event.order_id.as_str())?, event.heard_at))).collect();
    spans.sort_by_key(|(_, told_at)| *told_at);
    spans
}

fn recoveries(told: &[(Timestamp, Timestamp)], struck: &[Struck]) -> BTreeMap<String, Duration> {
    let mut slowest: BTreeMap<String, Duration> = BTreeMap::new();
    for one in struck {
        if let Some((_, told_at)) = told.iter().find(|(paid_at, _)| *paid_at >= one.ended) {
            let span = slowest.entry(one.name.clone()).or_default();
            *span = told_at.since(one.ended).max(*span);
        }
    }
    slowest
}

/// Calls a second while WeChat Pay was away, and otherwise.
fn calls_per_second(counts: &[(Timestamp, u64)], struck: &[Struck]) -> [f64; 2] {
    let is_away =
        |at: Timestamp| struck.iter().any(|one| one.is_outage && one.began <= at && at <= one.ended);
    let mut sums = [(0, Duration::ZERO); 2];
    for pair in counts.windows(2) {
        let [(from, before), (until, after)] = [pair[0], pair[1]];
        // What is only partly within says nothing.
        if is_away(from) == is_away(until) {
            let (calls, span) = &mut sums[usize::from(!is_away(from))];
            *calls += after - before;
            *span += until.since(from);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "no run makes 2^53 calls")]
    sums.map(|(calls, span)| calls as f64 / span.as_secs_f64().max(f64::MIN_POSITIVE))
}

impl Report {
    /// A system that does nothing does nothing wrong, and a run in which nothing happens proves nothing.
    pub fn is_good(&self) -> bool {
        self.findings.is_clean() && self.is_alive()
    }

    fn is_alive(&self) -> bool {
        self.figures.finished * 10 >= self.planned * 9
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        let slowest = self.recovery.iter().max_by_key(|(_, span)| **span);
        let slowest = slowest.map_or_else(
            || "none".to_owned(),
            |(what, span)| format!("{:.2} s after {what}", span.as_secs_f64()),
        );
        let memory = self.resident_max.iter().map(|(role, kib)| format!("{role} {} MiB", kib / 1024));
        let known = |came: bool| {
            self.figures.known(came).map_or_else(
                || "none".to_owned(),
                |[p50, p99, max]| format!("p50 {p50:.2} s p99 {p99:.2} s max {max:.2} s"),
            )
        };
        writeln!(
            f,
            "orders {}, payments {}, faults {} ({}), {}, slowest recovery {slowest}, \
             paid and known with notification {}, without {}, memory {}",
            self.figures.orders,
            self.figures.payments,
            self.faults.values().sum::<u64>(),
            list(&self.faults),
            self.findings,
            known(true),
            known(false),
            memory.collect::<Vec<_>>().join(", "),
        )?;
        write!(f, "{}", self.figures)?;
        let recovery = self.recovery.iter().map(|(what, span)| format!("{what} {:.2} s", span.as_secs_f64()));
        writeln!(f, "slowest recovery after each: {}", recovery.collect::<Vec<_>>().join(", "))?;
        if let Some(last) = self.told_after.len().checked_sub(1) {
            let [p50, p99, max] = [50, 99, 100].map(|part| self.told_after[last * part / 100].as_secs_f64());
            writeln!(f, "paid and told: p50 {p50:.2} s, p99 {p99:.2} s, max {max:.2} s")?;
        }
        writeln!(
            f,
            "sold in {:.0} s, at rest {:.1} s later, asked about in the end {}; died at a named step {}, ended \
             unasked {}",
            self.placed_in.as_secs_f64(),
            self.settled_in.as_secs_f64(),
            self.asked_about,
            self.died_at_step,
            self.ended
        )?;
        let [away, otherwise] = self.calls;
        writeln!(
            f,
            "calls to WeChat Pay a second: {away:.1} while it was away, {otherwise:.1} otherwise; \
             notifications not believed {}",
            self.not_believed
        )?;
        if let Some((count, drained_in)) = self.backlog {
            writeln!(f, "{count} jobs due at once were done in {:.1} s", drained_in.as_secs_f64())?;
        }
        for (kind, what) in self.findings.all().take(PRINTED) {
            writeln!(f, "  {kind}: {what}")?;
        }
        if !self.is_alive() {
            writeln!(f, "fewer than nine in ten orders came to their end")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "what was written down is in {}", kept.display())?;
        }
        Ok(())
    }
}
