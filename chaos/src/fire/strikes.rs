//! Striking.

use std::time::Duration;

use anyhow::{Context, ensure};
use entity::Clock;
use reqwest::Method;
use testkit::RedisServer;
use tokio::{
    sync::MutexGuard,
    task::block_in_place,
    time::{Instant, sleep},
};

use super::{
    Fire, lock,
    member::Member,
    plan::{Blow, STEPS_OF_API, STEPS_OF_WORKER, Strike},
    planted,
    report::Struck,
    wire,
};

const AGAIN_AFTER: Duration = Duration::from_millis(250);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// So soon `/readyz` turns, with some time for the question on a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_millis(2500);

/// A process that lives answers again after so long.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// So many seconds a clock may be off.
const BEARABLE: i64 = 300;

/// What SQLite says of a full disk, and what Postgres does.
const DISK_FULL: [&str; 2] = ["database or disk is full", "No space left on device"];

/// The longest that a crashed database may take to recover.
const DATABASE_AWAY_MAX: Duration = Duration::from_secs(60);

impl Fire {
    /// Carries a blow out, and writes down when it was over.
    pub(super) async fn strike(&self, strike: &Strike) -> anyhow::Result<()> {
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
            Blow::Starved => {
                let postgres = self.layout.postgres.as_ref().context("no Postgres")?;
                let held = postgres.starve().await?;
                let noticed = self.apis_are("database", "unreachable").await;
                sleep(strike.lasts).await;
                drop(held);
                noticed?;
            }
            Blow::DiskFull => {
                let disk = self.layout.small_disk.as_ref().context("no small disk")?.lock().await;
                disk.fill()?;
                sleep(strike.lasts).await;
                disk.free()?;
                // Every row that could not be written was refused, and that was said.
                let said = self.layout.members.iter().map(Member::log).collect::<String>();
                ensure!(DISK_FULL.iter().any(|words| said.contains(words)), "nobody met the full disk");
            }
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
                let _turn = self.clock.lock().await;
                member.set_clock(*seconds)?;
                sleep(strike.lasts).await;
                let noticed =
                    self.is(member, "clock", if seconds.abs() > BEARABLE { "off" } else { "ok" }).await;
                member.set_clock(0)?;
                noticed?;
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

    /// Each process that takes requests says so of itself in time.
    async fn apis_are(&self, what: &str, how: &str) -> anyhow::Result<()> {
        for member in &self.layout.members {
            self.is(member, what, how).await?;
        }
        Ok(())
    }

    /// Says `/readyz` so of what it looks at, within two seconds? Who takes no requests says nothing: a
    /// worker, and an api that was killed or frozen meanwhile.
    async fn is(&self, member: &Member, what: &str, how: &str) -> anyhow::Result<()> {
        if member.spec.role == "worker" {
            return Ok(());
        }
        let http = &self.layout.http;
        let (began, mut answers_since) = (Instant::now(), None);
        loop {
            let Ok(said) = member.readiness(http).await else {
                // Killed by another blow; it is asked once more when it is back, unless that takes long.
                answers_since = None;
                if began.elapsed() > NOTICED_WITHIN && !member.is_alive(http).await {
                    return Ok(());
                }
                ensure!(began.elapsed() < BACK_WITHIN, "{} does not answer /readyz", member.spec.name);
                sleep(LOOK_EVERY).await;
                continue;
            };
            if said[what] == how {
                return Ok(());
            }
            ensure!(
                answers_since.get_or_insert_with(Instant::now).elapsed() < NOTICED_WITHIN,
                "{} does not say that {what} is {how}: {said}",
                member.spec.name
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// One blow at a time: nobody can empty what stands still.
    async fn redis(&self) -> anyhow::Result<MutexGuard<'_, RedisServer>> {
        Ok(self.layout.redis.as_ref().context("there is no Redis")?.lock().await)
    }

    pub(super) async fn wechat(&self, fault: &simulator::Fault) -> anyhow::Result<u64> {
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
                Err(_) if began.elapsed() < DATABASE_AWAY_MAX => sleep(AGAIN_AFTER).await,
                planted => break planted?,
            }
        };
        lock(&self.poison).extend(planted);
        Ok(())
    }
}
