//! Leads lives through many worlds, a wave in each, as many side by side as there are cores.

use std::{collections::BTreeMap, num::NonZero, thread, time::Duration};

use anyhow::{Context, ensure};
use entity::{OrderId, Timestamp, payment, refund};
use futures::{StreamExt, future::join_all, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use simulator::{Credentials, Pay, RefundOutcome};
use tokio::time::timeout;

use crate::{
    figures::Figures,
    lives::{
        life::{Act, BEAT, Life, Payer},
        weather::{Spell, Trouble},
        world::World,
    },
    oracle::{self, Allowed, Findings, Witnesses},
};

mod life;
mod weather;
mod world;

#[cfg(test)]
mod tests;

/// So many orders share a world.
const WAVE: u64 = 500;

/// Orders are placed within this span.
const PLACING: Duration = Duration::from_secs(20 * 60);

/// Whatever was not over after this span of fair weather is stuck.
const AFTERWARDS: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// A page that is not answered at once is left; what it asked for goes on.
const LEAVES_AFTER: Duration = Duration::from_millis(60);

/// So many differences are printed.
const PRINTED: usize = 20;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many orders.
    #[arg(long, default_value_t = 5000)]
    count: u64,
    /// Repeats a run: the same lives in the same weather.
    #[arg(long)]
    seed: Option<u64>,
    /// One wave of the run only.
    #[arg(long)]
    wave: Option<u64>,
}

/// Something that happens at a moment of a wave.
#[derive(Clone, Debug)]
enum Happening {
    Begins(usize),
    Ends(usize),
    Placed(usize),
    Done(usize, Act),
}

/// Runs all of it and prints what it came to; true if nothing was wrong.
pub async fn run(options: &Options) -> anyhow::Result<bool> {
    let seed = options.seed.unwrap_or_else(rand::random);
    ensure!(options.count > 0, "a run has at least one order");
    let waves = options.count.div_ceil(WAVE);
    let again = format!("cargo run -p chaos -- lives --count {} --seed {seed}", options.count);
    println!("lives {}, seed {seed}", options.count);
    let credentials = tokio::task::spawn_blocking(Credentials::generate).await??;
    let (mut figures, mut findings) = (Figures::default(), Findings::default());
    let side_by_side = thread::available_parallelism().map_or(1, NonZero::get);
    let mut ended = stream::iter(options.wave.map_or(0..waves, |wave| wave..wave + 1))
        .map(|wave| {
            let count = WAVE.min(options.count - wave * WAVE);
            let chance = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(wave));
            let credentials = credentials.clone();
            // A task of its own, or the waves would take turns on one core.
            tokio::spawn(async move { (wave, Wave::run(&credentials, chance, count).await) })
        })
        .buffered(side_by_side);
    while let Some(ended) = ended.next().await {
        let (wave, ended) = ended?;
        let (of_wave, found) = ended.with_context(|| format!("wave {wave}; again: {again} --wave {wave}"))?;
        figures.add(of_wave);
        if !found.is_clean() {
            println!("wave {wave}: {found}; again: {again} --wave {wave}");
            for (kind, what) in found.all().take(PRINTED) {
                println!("  {kind}: {what}");
            }
        }
        findings.add(found);
    }
    print!("{figures}");
    println!("{findings}");
    // A system that does nothing does nothing wrong.
    let is_alive = figures.finished * 10 >= figures.orders * 9;
    if !is_alive {
        println!("fewer than nine in ten orders came to their end");
    }
    if !findings.is_clean() || !is_alive {
        println!("again: {again}");
    }
    Ok(findings.is_clean() && is_alive)
}

struct Wave {
    world: World,
    began: Timestamp,
    lives: Vec<Life>,
    spells: Vec<Spell>,
    orders: Vec<Option<OrderId>>,
    /// The requests for refunds of each order, as they were sent.
    refunds: Vec<Vec<Value>>,
    /// The numbers of the faults in force, by their spells.
    faults: BTreeMap<usize, u64>,
}

impl Wave {
    async fn run(
        credentials: &Credentials,
        mut chance: StdRng,
        count: u64,
    ) -> anyhow::Result<(Figures, Findings)> {
        let spells = weather::draw(&mut chance);
        let wave = Self::lead(credentials, chance, spells, count).await?;
        let (figures, found) = wave.judge().await?;
        if let Some(kept) = wave.world.end(!found.is_clean()).await? {
            println!("the database is in {}", kept.display());
        }
        Ok((figures, found))
    }

    /// Leads that many lives to their end in that weather.
    async fn lead(
        credentials: &Credentials,
        mut chance: StdRng,
        spells: Vec<Spell>,
        count: u64,
    ) -> anyhow::Result<Self> {
        let world = World::begin(credentials, chance.random()).await?;
        let lives: Vec<_> = (0..count).map(|_| Life::draw(&mut chance)).collect();
        let mut happenings: BTreeMap<Duration, Vec<Happening>> = BTreeMap::new();
        let mut at = |moment: Duration, what| happenings.entry(moment).or_default().push(what);
        for (number, spell) in spells.iter().enumerate() {
            at(spell.from, Happening::Begins(number));
            if spell.until < Duration::MAX {
                at(spell.until, Happening::Ends(number));
            }
        }
        for (number, life) in lives.iter().enumerate() {
            let placed = BEAT * chance.random_range(0..u32::try_from(PLACING.as_secs() / BEAT.as_secs())?);
            at(placed, Happening::Placed(number));
            for &(after, act) in &life.acts {
                // Never at the moment of the placing, which is concurrent with everything else then.
                at(placed + BEAT + after, Happening::Done(number, act));
            }
        }
        let mut wave = Self {
            began: world.now(),
            world,
            spells,
            orders: vec![None; lives.len()],
            refunds: vec![Vec::new(); lives.len()],
            lives,
            faults: BTreeMap::new(),
        };
        for (moment, now) in happenings {
            wave.pass_until(wave.began + moment).await?;
            wave.happen(now).await?;
        }
        wave.come_to_rest().await?;
        Ok(wave)
    }

    /// Lets time pass, beat by beat where something is due.
    async fn pass_until(&self, moment: Timestamp) -> anyhow::Result<()> {
        while let Some(due) =
            self.world.next_due().await?.map(|due| self.on_beat(due)).filter(|due| *due < moment)
        {
            self.world.move_to(due.max(self.world.now() + BEAT)).await?;
        }
        self.world.move_to(moment).await
    }

    /// The first beat that is not before `moment`.
    fn on_beat(&self, moment: Timestamp) -> Timestamp {
        let beats = moment.since(self.began).as_millis().div_ceil(BEAT.as_millis());
        self.began + BEAT * u32::try_from(beats).unwrap_or(u32::MAX)
    }

    async fn happen(&mut self, now: Vec<Happening>) -> anyhow::Result<()> {
        let mut acts = Vec::new();
        for happening in now {
            match happening {
                Happening::Begins(spell) => self.begin(spell).await?,
                Happening::Ends(spell) => self.end(spell),
                Happening::Placed(life) => self.place(life).await?,
                Happening::Done(life, act) => acts.push((life, act)),
            }
        }
        // All at once: a payer who pays while the shop closes, two people who tap.
        let asked = join_all(acts.into_iter().map(|(life, act)| self.act(life, act))).await;
        for asked in asked {
            if let Some((life, refund)) = asked? {
                self.refunds[life].push(refund);
            }
        }
        self.world.settle().await
    }

    async fn begin(&mut self, spell: usize) -> anyhow::Result<()> {
        match &self.spells[spell].trouble {
            Trouble::Fault(fault) | Trouble::Denial(fault) => {
                let number = self.world.simulator.add_fault(fault.clone()).context("an impossible fault")?;
                self.faults.insert(spell, number);
            }
            Trouble::ShopDown => self.world.sink.set_down(true),
            Trouble::Restart => self.world.restart().await?,
            Trouble::JobsForgotten => {
                self.world.forget_jobs().await?;
                // It would ask for its sweeper again within a minute of real time, which no wave lasts.
                self.world.restart().await?;
            }
        }
        Ok(())
    }

    fn end(&mut self, spell: usize) {
        if let Some(number) = self.faults.remove(&spell) {
            self.world.simulator.remove_fault(number);
        }
        if matches!(self.spells[spell].trouble, Trouble::ShopDown) {
            self.world.sink.set_down(false);
        }
    }

    async fn place(&mut self, life: usize) -> anyhow::Result<()> {
        let Life { amount, expires_in, .. } = self.lives[life];
        let order = json!({
            "merchant_order_no": format!("L-{life}"),
            "description": "一壶龙井",
            "amount": { "total": amount, "currency": "CNY" },
            "expires_in": expires_in,
        });
        let (status, placed) = self.world.post("/v1/orders", &order).await?;
        ensure!(status == 201, "the order was answered {status}: {placed}");
        let id = placed["order"]["id"].as_str().context("an order without an id")?;
        self.orders[life] = Some(id.parse()?);
        Ok(())
    }

    /// What the payer or the shop does; a new request for a refund comes back.
    async fn act(&self, life: usize, act: Act) -> anyhow::Result<Option<(usize, Value)>> {
        let order = self.orders[life].as_ref().context("an act before its order")?;
        match act {
            Act::Open(payer) => {
                let asked = match payer {
                    Payer::Native => json!({ "method": "native" }),
                    Payer::MiniProgram(person) => json!({
                        "method": "mini_program",
                        "app_id": self.world.mini_program,
                        "openid": format!("oSimulatedPayer000000000000{person}"),
                    }),
                };
                self.ask_and_leave(&format!("/v1/orders/{order}/payments"), &asked).await?;
            }
            Act::Confirm => {
                if let Some(payment) = self.payments(order).await?.pop() {
                    self.ask_and_leave(&format!("/v1/payments/{}/confirm", payment.id), &json!({})).await?;
                }
            }
            Act::Pay => {
                let payments = self.payments(order).await?;
                let shown = payments.iter().rfind(|payment| payment.prepay_expires_at.is_some());
                self.pay(shown).await;
            }
            Act::PayTheFirst => self.pay(self.payments(order).await?.first()).await,
            Act::Cancel => {
                if let Some(payment) = self.payments(order).await?.last() {
                    // WeChat Pay may not know it, or it may be over.
                    self.world.simulator.cancel(&payment.out_trade_no).await.ok();
                }
            }
            Act::Close => {
                self.world.post(&format!("/v1/orders/{order}/close"), &json!({})).await?;
            }
            Act::Refund(percent) => {
                let amount = (self.lives[life].amount * i64::from(percent) / 100).max(1);
                let asked = json!({
                    "merchant_refund_no": format!("L-{life}-{}-{percent}", self.refunds[life].len()),
                    "amount": { "total": amount, "currency": "CNY" },
                });
                // It may not be paid, or too little of it may be left: then there is no refund.
                self.world.post(&format!("/v1/orders/{order}/refunds"), &asked).await?;
                return Ok(Some((life, asked)));
            }
            Act::RefundAgain => {
                if let Some(asked) = self.refunds[life].last() {
                    self.world.post(&format!("/v1/orders/{order}/refunds"), asked).await?;
                }
            }
        }
        Ok(None)
    }

    async fn ask_and_leave(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        match timeout(LEAVES_AFTER, self.world.post(path, body)).await {
            Ok(answered) => answered.map(drop),
            Err(_) => Ok(()),
        }
    }

    async fn pay(&self, payment: Option<&payment::Model>) {
        if let Some(payment) = payment {
            // It may be closed or paid by now: then WeChat Pay says so to the payer.
            self.world.simulator.pay(&payment.out_trade_no, Pay::default()).await.ok();
        }
    }

    async fn payments(&self, order: &OrderId) -> anyhow::Result<Vec<payment::Model>> {
        let payments = payment::Entity::find()
            .filter(payment::Column::OrderId.eq(order.clone()))
            .order_by_asc(payment::Column::Id)
            .all(self.world.db().reader())
            .await?;
        Ok(payments)
    }

    /// Fair weather, until everything has come to its end or will not.
    async fn come_to_rest(&mut self) -> anyhow::Result<()> {
        self.world.simulator.clear_faults();
        self.world.sink.set_down(false);
        let end = self.world.now() + AFTERWARDS;
        while !self.is_at_rest().await? && self.world.now() < end {
            self.settle_abnormal_refunds().await?;
            let soon = self.world.now() + Duration::from_secs(5 * 60);
            let due = self.world.next_due().await?.map_or(soon, |due| self.on_beat(due));
            self.world.move_to(due.max(self.world.now() + BEAT).min(end)).await?;
        }
        // One more sweep, which must find nothing.
        self.world.move_to(self.world.now() + Duration::from_secs(6 * 60)).await
    }

    /// A person at WeChat Pay's console says where the money goes.
    async fn settle_abnormal_refunds(&self) -> anyhow::Result<()> {
        let abnormal = refund::Entity::find().filter(refund::Column::Status.eq(refund::Status::Abnormal));
        for refund in abnormal.all(self.world.db().reader()).await? {
            // It may have been settled a moment ago and not be known here yet.
            self.world.simulator.settle_refund(&refund.out_refund_no, RefundOutcome::Success).await.ok();
        }
        Ok(())
    }

    async fn is_at_rest(&self) -> anyhow::Result<bool> {
        let left = oracle::unfinished(self.world.db()).await?;
        Ok(left.is_empty() && self.world.next_due().await?.is_none())
    }

    async fn witnesses(&self) -> anyhow::Result<Witnesses> {
        let mut witnesses = Witnesses::read(self.world.db(), self.world.simulator.ledger().await?).await?;
        for number in witnesses.unpaid() {
            // WeChat Pay does not know those that were never sent.
            if let Ok(known) = self.world.simulator.payment(&number).await
                && known.trade_state == "NOTPAY"
            {
                witnesses.open.insert(number);
            }
        }
        Ok(witnesses)
    }

    async fn judge(&self) -> anyhow::Result<(Figures, Findings)> {
        let witnesses = self.witnesses().await?;
        let (figures, mut found) = {
            let heard = self.world.sink.heard();
            let denied = self.spells.iter().any(|spell| matches!(spell.trouble, Trouble::Denial(_)));
            let troubles = self.spells.iter().map(|spell| spell.trouble.name());
            let allowed = Allowed { denied, ..Allowed::default() };
            (Figures::of(troubles, &witnesses, &heard, |_| true), witnesses.judge(&heard, &allowed))
        };
        for broken in self.world.simulator.check_ledger().await? {
            found.wrong.push(format!("WeChat Pay's own ledger: {broken}"));
        }
        let placed = self.orders.iter().flatten().count();
        if witnesses.orders.len() != placed {
            found.lost.push(format!("{placed} orders were answered, {} are there", witnesses.orders.len()));
        }
        Ok((figures, found))
    }
}
