//! Real processes under fire: a shop sells while they are killed, frozen, cut off and set back, and in the
//! end the oracle compares.
//!
//! The seed repeats the plan: the orders, and what strikes whom and when. Real time is not repeatable, so
//! a run with the same seed meets the same blows in other states.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use entity::{Clock, Db, Timestamp, payment};
use futures::{StreamExt, stream};
use reqwest::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use simulator::{Fault, FaultKind, Ledger, Target};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    figures::Figures,
    oracle::{self, Allowed, Findings, Witnesses},
};

mod plan;
mod layout;
mod member;
mod postgres;
mod wire;
mod shop;
mod small_disk;
mod planted;
mod strikes;
mod report;

pub use layout::{Between, Database};
pub use member::Executables;
pub use plan::{Kind, Profile};
pub use report::Report;

use layout::{Furnishing, Layout};
use plan::{Plan, Purchase};
use report::{Struck, calls_per_second, paid_and_told, recoveries};
use shop::{Answered, Shop};

/// So many orders are under way at once; the others wait for their turn.
const AT_ONCE: usize = 300;
/// How often it is looked whether everything has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the calls to WeChat Pay are counted.
const COUNT_EVERY: Duration = Duration::from_millis(250);
/// So many questions to the simulator at once.
const ASKED_AT_ONCE: usize = 16;
/// Without notification and page, a payment is asked about within this of being paid, if it was paid in
/// the first minute.
const RUNG_MAX: Duration = Duration::from_secs(60);
/// In fair weather.
const LOOKS_AGAIN_AFTER: Duration = Duration::from_secs(30);
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
    if !report.is_good() {
        let (size, database) = (format!("{:?}", options.profile), format!("{:?}", options.database));
        let (size, database) = (size.to_lowercase(), database.to_lowercase());
        println!(
            "the same plan again: --profile {size} --database {database} --orders {} --seed {seed}",
            report.planned
        );
    }
    Ok(report.is_good())
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
    /// One clock at a time is off: of two blows on one, the first would set it right in the midst of the other.
    clock: tokio::sync::Mutex<()>,
}

/// What WeChat Pay knows besides its ledger.
#[derive(Default)]
struct AtWeChat {
    /// The numbers of the payments that it would still take money for.
    open: HashSet<String>,
    /// The notifications that it was told were taken.
    taken_in: Vec<String>,
    /// Tries to notify that were answered with 401.
    not_believed: u64,
}

/// Leads a run to its end with these executables.
pub async fn burn(
    profile: &Profile,
    database: Database,
    seed: u64,
    executables: &Executables,
) -> anyhow::Result<Report> {
    let plan = Plan::draw(profile, seed);
    let furnishing = Furnishing { clocks: profile.has(Kind::Clock), small_disk: profile.has(Kind::DiskFull) };
    let layout = Layout::start(database, executables, seed, furnishing).await?;
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
        clock: tokio::sync::Mutex::default(),
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
        if let Err(error) = struck? {
            fire.is_wrong(format!("{error:#}"));
        }
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

    async fn count_calls(&self) {
        let Some(wire) = self.layout.wire(Between::WeChat) else { return };
        loop {
            lock(&self.calls).push((Clock::System.now(), wire.requests()));
            sleep(COUNT_EVERY).await;
        }
    }

    /// Fair weather, until everything has come to its end or will not. Says how long that took, and how
    /// many payments had to be asked about.
    async fn come_to_rest(&self, rest: Duration, since: Timestamp) -> anyhow::Result<(Duration, usize)> {
        let began = Instant::now();
        let mut asked_about = HashSet::new();
        self.layout.clear_wires();
        self.shop.control(Method::DELETE, "faults", None).await?;
        let (mut resent, mut is_quiet) = (false, false);
        loop {
            let left = oracle::unfinished(&self.db).await?;
            let is_over = is_quiet && left.is_empty() && planted::is_all_else_done(&self.db).await?;
            if is_over || began.elapsed() > rest {
                return Ok((began.elapsed(), asked_about.len()));
            }
            if !is_quiet && left.is_empty() {
                // What comes again by WeChat Pay's ladder would come for a day, also while it is judged.
                self.wechat(&Fault::new(FaultKind::Silent).on(Target::Notify)).await?;
                is_quiet = true;
                continue;
            }
            // Who was told of nothing for so long looks at the page again. Without that it would be the
            // next rung, minutes later.
            if began.elapsed() > LOOKS_AGAIN_AFTER {
                self.ask_about_the_rest(&mut asked_about).await?;
            }
            // What the shop did not take twice comes again after minutes; its people need not wait.
            if !resent && !left.is_empty() && left.iter().all(|what| what.ends_with("deliveries")) {
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
        // First what WeChat Pay knows: what it was told is there must be there afterwards.
        let AtWeChat { open, taken_in, not_believed } = self.ask_about_payments().await?;
        let (_, ledger) = self.shop.control(Method::GET, "ledger", None).await?;
        let ledger: Ledger = serde_json::from_value(ledger)?;
        let witnesses = Witnesses { open, ..Witnesses::read(&self.db, ledger).await? };
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

    async fn ask_about_payments(&self) -> anyhow::Result<AtWeChat> {
        let payments = payment::Entity::find().all(self.db.reader()).await?;
        let asked = stream::iter(payments).map(|payment| async move {
            let number = payment.out_trade_no;
            let (status, said) = self.shop.control(Method::GET, &format!("payments/{number}"), None).await?;
            // Those that were never sent it does not know.
            anyhow::Ok((number, status.is_success().then_some(said)))
        });
        let mut asked = asked.buffer_unordered(ASKED_AT_ONCE);
        let mut at_wechat = AtWeChat::default();
        while let Some(answer) = asked.next().await {
            let (number, Some(said)) = answer? else { continue };
            if said["trade_state"] == "NOTPAY" {
                at_wechat.open.insert(number);
            }
            for told in said["notifications"].as_array().into_iter().flatten() {
                if told["state"] == "taken" {
                    at_wechat.taken_in.extend(told["id"].as_str().map(str::to_owned));
                }
                let posts = told["deliveries"].as_array().into_iter().flatten();
                at_wechat.not_believed += posts.filter(|post| post["status"] == 401).count() as u64;
            }
        }
        Ok(at_wechat)
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
