//! A scenario: processes that die, a shop that goes on, and the comparison at the end.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::json;
use testkit::{patient::text, process::Process};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    oracle::{self, Answered, Books, Findings, GivenBack, Outside, Taken},
    processes::World,
    shop::Purchase,
    steps::{Step, Weather},
};

const PURCHASES_AT_A_STEP: u32 = 4;
/// How long after the last purchase a step may still be reached: on Postgres, when a lease has run out.
const STEP_AFTER_ALL: Duration = Duration::from_secs(45);

pub const RANDOM_KILLS: usize = 20;
/// After this many the orders that wait are finished first: a job whose process died five times in
/// a row is put off for minutes, and on a slow machine few jobs end between two kills. On Postgres a
/// lease of 30 s lies between one run and the next.
const KILLS_IN_A_ROW_MAX: usize = 3;
const PURCHASES_AT_RANDOM_MIN: u32 = 60;

/// Until the last lease of a process that died is over, and the run after it, and its retries; and the
/// first look at a refund that nobody was told of.
const SETTLE_MAX: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a scenario ended.
#[derive(Debug)]
pub struct Report {
    pub orders: usize,
    pub paid: usize,
    pub refunds: usize,
    pub kills: usize,
    pub found: Findings,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, paid, refunds, kills, found } = self;
        write!(f, "orders {orders}, paid {paid}, refunds {refunds}, kills {kills}, {found}")
    }
}

/// Lets a server die at a step while a few orders are placed and paid.
pub async fn at_step(world: &Arc<World>, step: &Step) -> anyhow::Result<Report> {
    for fault in step.weather.faults() {
        world.control(Method::POST, "faults", Some(&fault)).await?;
    }
    // All but the last are paid.
    let mut purchases = Purchases::default();
    for n in 1..=PURCHASES_AT_A_STEP {
        let purchase = Purchase::nth(n, n < PURCHASES_AT_A_STEP);
        let purchase = if step.weather.gives_back() { purchase.given_back(n) } else { purchase };
        purchases.begin(world, purchase, step.weather);
    }
    let mut shop = std::pin::pin!(purchases.answered());
    let mut answered = None;
    for failpoints in step.lives {
        let mut server = world.start_server(Some(failpoints))?;
        let reached = async {
            tokio::select! {
                died = server.died() => return died,
                all = &mut shop, if answered.is_none() => answered = Some(all?),
            }
            timeout(STEP_AFTER_ALL, server.died()).await.context("nobody came to the step")?
        };
        reached.await.with_context(|| format!("dying at {failpoints}"))?;
    }
    if step.weather == Weather::PaidUnheard {
        // Asking may find it again.
        world.control(Method::DELETE, "faults", None).await?;
    }
    let mut server = world.start_server(None)?;
    world.wait_ready(&mut server).await?;
    let answered = match answered {
        Some(answered) => answered,
        None => shop.await?,
    };
    end(world, server, answered, step.lives.len()).await
}

/// Kills servers at random moments while orders come in and are paid.
pub async fn at_random_moments(world: &Arc<World>, seed: u64) -> anyhow::Result<Report> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut purchases = Purchases::default();
    let mut placed = 0;
    let mut server = world.start_server(None)?;
    let mut answered = Vec::new();
    for kills in 0..RANDOM_KILLS {
        if kills % KILLS_IN_A_ROW_MAX == 0 && world.database.name == "sqlite" {
            answered.extend(purchases.answered().await?);
        }
        // From its start on, which takes a part of it.
        let dies_at = Instant::now() + Duration::from_millis(dice.random_range(0..2000));
        loop {
            let next = Instant::now() + Duration::from_millis(dice.random_range(50..400));
            placed += 1;
            place(world, &mut purchases, placed, &mut dice).await?;
            if next >= dies_at {
                break;
            }
            tokio::time::sleep_until(next).await;
        }
        tokio::time::sleep_until(dies_at).await;
        server.kill().await?;
        server = world.start_server(None)?;
    }
    world.wait_ready(&mut server).await?;
    while placed < PURCHASES_AT_RANDOM_MIN {
        placed += 1;
        place(world, &mut purchases, placed, &mut dice).await?;
    }
    answered.extend(purchases.answered().await?);
    end(world, server, answered, RANDOM_KILLS).await
}

/// Purchases that go on by themselves.
#[derive(Default)]
struct Purchases(JoinSet<anyhow::Result<Answered>>);

impl Purchases {
    fn begin(&mut self, world: &Arc<World>, purchase: Purchase, weather: Weather) {
        let world = Arc::clone(world);
        self.0.spawn(async move { world.buy(&purchase, weather).await });
    }

    /// Waits for those that were begun.
    async fn answered(&mut self) -> anyhow::Result<Vec<Answered>> {
        let mut answered = Vec::new();
        while let Some(purchase) = self.0.join_next().await {
            answered.push(purchase??);
        }
        Ok(answered)
    }
}

/// Adds a purchase, and perhaps something that goes wrong at WeChat Pay.
async fn place(
    world: &Arc<World>,
    purchases: &mut Purchases,
    n: u32,
    dice: &mut StdRng,
) -> anyhow::Result<()> {
    let fault = match dice.random_range(0..20) {
        0..5 => Some(("silent", "notify")),
        5..10 => Some(("duplicate", "notify")),
        10 => Some(("wrong_signature", "notify")),
        11 => Some(("wrong_amount", "notify")),
        12 => Some(("unknown_number", "notify")),
        13 => Some(("cut_after", "create")),
        14 => Some(("status_503", "create")),
        15 => Some(("status_500", "query")),
        16 => Some(("cut_after", "refund")),
        17 => Some(("status_500", "refund")),
        _ => None,
    };
    if let Some((kind, on)) = fault {
        world.control(Method::POST, "faults", Some(&json!({ "kind": kind, "on": on, "times": 1 }))).await?;
    }
    // One in ten does not pay; the shop gives one in four back.
    let purchase = Purchase::nth(n, !n.is_multiple_of(10));
    let purchase = if n.is_multiple_of(4) { purchase.given_back(n) } else { purchase };
    purchases.begin(world, purchase, Weather::Clear);
    Ok(())
}

/// Waits until everything is settled, stops the server in order, and compares.
async fn end(
    world: &World,
    server: Process,
    answered: Vec<Answered>,
    kills: usize,
) -> anyhow::Result<Report> {
    world.control(Method::DELETE, "faults", None).await?;
    settle(world, &answered).await.context("settling")?;
    server.stop().await?;
    // Again, now that nobody writes any more.
    let db = oracle::open(&world.database.url).await?;
    let ((outside, _), books) = (outside(world, &answered).await?, Books::read(&db).await?);
    db.close().await?;
    let report = Report {
        orders: answered.len(),
        paid: outside.ledger.len(),
        refunds: outside.refunds.len(),
        kills,
        found: oracle::compare(&outside, &books),
    };
    ensure!(report.found.is_clean(), "{report}: {:#?}", report.found);
    ensure!(report.paid > 0, "nothing was paid: {report}");
    Ok(report)
}

async fn settle(world: &World, answered: &[Answered]) -> anyhow::Result<()> {
    let db = oracle::open(&world.database.url).await?;
    let until = Instant::now() + SETTLE_MAX;
    loop {
        let ((outside, untold), books) = (outside(world, answered).await?, Books::read(&db).await?);
        let found = oracle::compare(&outside, &books);
        if found.is_clean() && untold.is_empty() {
            break;
        }
        if Instant::now() > until {
            bail!("not settled in {SETTLE_MAX:?}: {found:#?}, not told: {untold:#?}");
        }
        let is_taken = |number: &str| outside.ledger.iter().any(|taken| taken.out_trade_no == number);
        for payment in books.payments.iter().filter(|payment| !payment.status.is_at_rest()) {
            if is_taken(&payment.out_trade_no) {
                world.have_asked(&payment.id).await?;
            }
        }
        sleep(LOOK_EVERY).await;
    }
    db.close().await?;
    Ok(())
}

/// What WeChat Pay and the shop can show, and the payments whose notification is still on its way.
async fn outside(world: &World, answered: &[Answered]) -> anyhow::Result<(Outside, Vec<String>)> {
    let ledger = world.control(Method::GET, "ledger", None).await?;
    let refunds: Vec<GivenBack> = serde_json::from_value(ledger["refunds"].clone())?;
    let ledger: Vec<Taken> = serde_json::from_value(ledger["payments"].clone())?;
    let (mut taken_in, mut untold) = (Vec::new(), Vec::new());
    for Taken { out_trade_no, .. } in &ledger {
        let payment = world.control(Method::GET, &format!("payments/{out_trade_no}"), None).await?;
        for told in payment["notifications"].as_array().context("no list of notifications")? {
            match told["state"].as_str() {
                Some("taken") => taken_in.push(text(&told["id"])?),
                Some("pending") => untold.push(out_trade_no.clone()),
                _ => {}
            }
        }
    }
    let known = world.control(Method::GET, "payments?limit=1000", None).await?;
    let known = known["payments"].as_array().context("no list of payments")?;
    let open = known.iter().filter(|payment| payment["trade_state"] == "NOTPAY");
    let open = open.map(|payment| text(&payment["out_trade_no"])).collect::<anyhow::Result<_>>()?;
    let heard = world.listener.heard();
    Ok((Outside { ledger, refunds, open, answered: answered.to_vec(), taken_in, heard }, untold))
}
