//! What a run will do, all of it drawn from its seed before it begins: who buys what and when, and what
//! strikes whom and when. The seed repeats this, not what the machine makes of it.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use simulator::{Fault, FaultKind, Target};

use super::{
    layout::{Between, Database},
    wire::State,
};

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Profile {
    pub orders: u32,
    /// Orders are placed within this span.
    pub span: Duration,
    /// Whatever has not come to its end in so much fair weather afterwards is stuck.
    pub rest: Duration,
    /// How often each strikes.
    pub blows: Vec<(Kind, u32)>,
    /// Do a part of the notifications and answers go wrong all the time?
    pub drizzle: bool,
    /// How far clocks are stepped, in seconds.
    pub step: i64,
    /// How long something is away at most.
    pub away_max: Duration,
    /// How long a process stands still.
    pub freeze: Duration,
    /// How many jobs are a backlog.
    pub backlog: u32,
}

/// What can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed.
    Kill,
    /// A process is killed, and once more in its next life, at a named step.
    KillAtStep,
    /// A process stands still; one of several for longer than a lease.
    Freeze,
    /// Every process is told to stop and started again, one after the other.
    Roll,
    /// Postgres ends without a word to its disk.
    DatabaseCrash,
    /// Postgres ends every connection and takes none, because others have them all.
    Starved,
    /// The disk that the database's rows are on is full.
    DiskFull,
    /// Redis is emptied.
    RedisFlush,
    /// Redis stands still.
    RedisPause,
    /// Redis is killed, and comes back empty after a while.
    RedisLoss,
    /// Something between two parties breaks.
    Cut(Between),
    /// WeChat Pay is away, or talks nonsense.
    Outage,
    /// The shop's endpoint takes nothing.
    ShopDown,
    /// A process' clock is off for a while.
    Clock,
    /// Jobs appear that nobody can do.
    Poison,
    /// Many jobs are due at once.
    Backlog,
}

/// One blow.
#[derive(Clone, Debug)]
pub struct Strike {
    pub at: Duration,
    pub lasts: Duration,
    pub blow: Blow,
}

/// Members are counted from 0, around.
#[derive(Clone, Debug)]
pub enum Blow {
    Kill(usize),
    /// The word of the step, and how often it is passed before.
    KillAtStep(usize, u32, u32),
    Freeze(usize),
    Roll,
    DatabaseCrash,
    Starved,
    DiskFull,
    RedisFlush,
    RedisPause,
    RedisLoss,
    Wire(Between, State),
    WeChat(Fault),
    ShopDown,
    Clock(usize, i64),
    Poison(u32),
    Backlog(u32),
}

/// What a payer and the shop do with one order.
#[derive(Clone, Debug)]
pub struct Purchase {
    pub number: String,
    pub at: Duration,
    pub total: i64,
    pub native: bool,
    pub course: Course,
    /// How much of it the shop gives back once it is paid.
    pub gives_back: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Pays after so many milliseconds.
    Pays(u64),
    /// As before, and the page asks how it stands until it knows.
    PaysAndAsks(u64),
    /// Walks away from the cashier, comes back and pays.
    ComesBack,
    /// Pays in another way than at first.
    ChangesWay,
    /// Walks away, and the shop closes the order.
    Leaves,
    /// Pays while the shop closes the order.
    Races,
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order of time.
    pub purchases: Vec<Purchase>,
    /// In the order of time.
    pub strikes: Vec<Strike>,
    /// What goes wrong at WeChat Pay all the time.
    pub drizzle: Vec<Fault>,
}

/// Longer than the lease of a job (30 s).
const LONG_FREEZE: Duration = Duration::from_secs(32);

/// Within two seconds a process says that it cannot work.
const NOTICED_AFTER: Duration = Duration::from_secs(3);

/// It takes a second until a process sees that its clock is off.
const CLOCK_OFF: Duration = Duration::from_secs(7);

/// The shop's endpoint is tried again after five seconds, and then after five minutes.
const SHOP_AWAY_MAX: Duration = Duration::from_secs(3);

/// Nothing strikes at the beginning and in the end, so that there is a payment before and after each blow.
const CALM: Duration = Duration::from_secs(3);

/// The outages of WeChat Pay, by turns.
const OUTAGES: [FaultKind; 13] = [
    FaultKind::Down,
    FaultKind::Status500,
    FaultKind::NoAnswer,
    FaultKind::Refused,
    FaultKind::Status429,
    FaultKind::WrongSignature,
    FaultKind::CutAfter,
    FaultKind::Html,
    FaultKind::Status503,
    FaultKind::Empty,
    FaultKind::SlowBefore,
    FaultKind::CutBefore,
    FaultKind::Status502,
];

/// The part of the occasions on which it goes wrong without any outage.
const DRIZZLE: [(FaultKind, Target, f64); 13] = [
    (FaultKind::Silent, Target::Notify, 0.1),
    (FaultKind::Duplicate, Target::Notify, 0.2),
    (FaultKind::Repeat, Target::Notify, 0.1),
    (FaultKind::Unheard, Target::Notify, 0.05),
    (FaultKind::Reorder, Target::Notify, 0.1),
    (FaultKind::ProbeSignature, Target::Notify, 0.05),
    (FaultKind::WrongSignature, Target::Notify, 0.02),
    (FaultKind::CutAfter, Target::Create, 0.02),
    (FaultKind::PayBeforeAnswer, Target::Create, 0.01),
    (FaultKind::CutAfter, Target::Close, 0.1),
    (FaultKind::CutAfter, Target::Refund, 0.1),
    (FaultKind::Accepted429, Target::Refund, 0.05),
    (FaultKind::ProbeSignature, Target::Any, 0.02),
];

/// Steps at which a process dies under load: those that every order passes. An api passes the first, a
/// worker the others.
pub const STEPS_OF_API: [&str; 4] =
    ["create_order.committed", "create_payment.committed", "intake.inserted", "intake.committed"];
pub const STEPS_OF_WORKER: [&str; 8] = [
    "pump.offered",
    "job.claimed",
    "job.finished",
    "request_prepay.asked",
    "request_prepay.applied",
    "apply_notification.applied",
    "push_status.told",
    "deliver_webhook.asked",
];

impl Profile {
    /// What every change is tested with: three minutes with everything around it.
    pub fn pr(database: Database) -> Self {
        let cut = |between| (Kind::Cut(between), 2);
        let mut blows = vec![
            (Kind::Kill, 6),
            (Kind::KillAtStep, 4),
            (Kind::Freeze, 1),
            (Kind::Roll, 1),
            cut(Between::Api),
            cut(Between::WeChat),
            cut(Between::Shop),
            (Kind::Outage, 4),
            (Kind::ShopDown, 1),
            (Kind::Clock, 2),
            (Kind::Poison, 2),
        ];
        let is_alone = database == Database::Sqlite;
        if !is_alone {
            blows.extend([
                (Kind::DatabaseCrash, 2),
                (Kind::Starved, 1),
                cut(Between::Database),
                (Kind::RedisFlush, 2),
                (Kind::RedisPause, 1),
                (Kind::RedisLoss, 1),
                cut(Between::Redis),
            ]);
        }
        Self {
            orders: 6000,
            span: Duration::from_secs(100),
            rest: Duration::from_secs(60),
            blows,
            drizzle: true,
            // On SQLite that clock is the only one, and nothing that WeChat Pay says is believed while it is far off.
            step: if is_alone { 20 } else { 600 },
            away_max: Duration::from_secs(4),
            // Nobody takes over from one who is alone, so that a lease is nothing to it, and the rest of
            // the time would not be enough for the orders.
            freeze: if is_alone { Duration::from_secs(8) } else { LONG_FREEZE },
            backlog: 2000,
        }
    }

    /// More than half an hour, and some minutes to come to rest.
    pub fn night(database: Database) -> Self {
        let pr = Self::pr(database);
        Self {
            orders: 48_000,
            span: Duration::from_secs(32 * 60),
            rest: Duration::from_secs(5 * 60),
            blows: pr.blows.into_iter().map(|(kind, times)| (kind, times * 8)).collect(),
            step: 600,
            away_max: Duration::from_secs(12),
            freeze: LONG_FREEZE,
            backlog: 100_000,
            ..pr
        }
    }

    /// Nothing but this, under a load that a busy machine bears.
    pub fn only(kind: Kind, times: u32, orders: u32, span: Duration) -> Self {
        Self {
            orders,
            span,
            rest: Duration::from_secs(180),
            blows: vec![(kind, times)],
            drizzle: false,
            step: 600,
            away_max: Duration::from_secs(6),
            freeze: LONG_FREEZE,
            backlog: 100_000,
        }
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.blows.iter().any(|(one, times)| *one == kind && *times > 0)
    }
}

impl Plan {
    pub fn draw(profile: &Profile, seed: u64) -> Self {
        // Strikes and purchases have chances of their own: more orders change no blow.
        let mut chance = StdRng::seed_from_u64(seed);
        let mut strikes_chance = StdRng::seed_from_u64(seed ^ 0x5712_1ce5);
        let purchases = (0..profile.orders).map(|n| Purchase::draw(n, profile, &mut chance)).collect();
        let drizzle = DRIZZLE.iter().filter(|_| profile.drizzle).map(|&(kind, on, share)| {
            let fault = Fault::new(kind).on(on).share(share);
            if kind == FaultKind::Reorder { fault.delay_ms(3000) } else { fault }
        });
        Self { purchases, strikes: strikes(profile, &mut strikes_chance), drizzle: drizzle.collect() }
    }
}

fn strikes(profile: &Profile, chance: &mut StdRng) -> Vec<Strike> {
    let mut kinds: Vec<(Kind, u32)> =
        profile.blows.iter().flat_map(|&(kind, times)| (0..times).map(move |nth| (kind, nth))).collect();
    for at in (1..kinds.len()).rev() {
        kinds.swap(at, chance.random_range(0..=at));
    }
    let room = profile.span.saturating_sub(2 * CALM);
    let count = u32::try_from(kinds.len()).unwrap_or(u32::MAX).max(1);
    let mut strikes: Vec<_> = (0..)
        .zip(kinds)
        .map(|(nth, (kind, turn))| {
            let (lasts, blow) = draw_blow(kind, turn, profile, chance);
            let slot = room / count;
            let at = CALM + slot * nth + slot.mul_f64(chance.random_range(0.0..1.0));
            // Over before the last orders are placed.
            let latest = profile.span.saturating_sub(CALM + lasts);
            Strike { at: at.min(latest), lasts, blow }
        })
        .collect();
    strikes.sort_by_key(|strike| strike.at);
    strikes
}

/// The `turn`th blow of its kind, with how long it lasts.
fn draw_blow(kind: Kind, turn: u32, profile: &Profile, chance: &mut StdRng) -> (Duration, Blow) {
    let away = |chance: &mut StdRng, most: Duration| {
        Duration::from_secs_f64(chance.random_range(1.0..most.as_secs_f64()))
    };
    let member = turn as usize;
    match kind {
        Kind::Kill => (Duration::ZERO, Blow::Kill(member)),
        Kind::KillAtStep => {
            let (step, passes) = (chance.random_range(0..u32::MAX), chance.random_range(0..10));
            (Duration::ZERO, Blow::KillAtStep(member, step, passes))
        }
        // The last one: where there are several, it is a worker.
        Kind::Freeze => (profile.freeze, Blow::Freeze(usize::MAX - member)),
        Kind::Roll => (Duration::ZERO, Blow::Roll),
        Kind::DatabaseCrash => (Duration::ZERO, Blow::DatabaseCrash),
        Kind::Starved => (away(chance, profile.away_max).max(NOTICED_AFTER), Blow::Starved),
        Kind::DiskFull => (away(chance, profile.away_max).max(NOTICED_AFTER), Blow::DiskFull),
        Kind::RedisFlush => (Duration::ZERO, Blow::RedisFlush),
        Kind::RedisPause => (profile.away_max, Blow::RedisPause),
        Kind::RedisLoss => (away(chance, profile.away_max), Blow::RedisLoss),
        Kind::Cut(between) => {
            let states = [
                State::Reset,
                State::BlackHole,
                State::CutAfter(chance.random_range(1..4000)),
                State::Slow(Duration::from_millis(chance.random_range(50..300))),
                State::Refused,
            ];
            let state = states[chance.random_range(0..states.len())];
            let most = if between == Between::Shop { SHOP_AWAY_MAX } else { profile.away_max };
            (away(chance, most), Blow::Wire(between, state))
        }
        Kind::Outage => {
            let lasts = away(chance, profile.away_max);
            let kind = OUTAGES[(turn as usize) % OUTAGES.len()];
            let fault = match kind {
                FaultKind::Refused => {
                    Fault::new(kind).delay_ms(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX))
                }
                FaultKind::SlowBefore => Fault::new(kind).on(Target::Answer).delay_ms(4900),
                FaultKind::Down => Fault::new(kind),
                _ => Fault::new(kind).on(Target::Answer),
            };
            (lasts, Blow::WeChat(fault))
        }
        Kind::ShopDown => (away(chance, SHOP_AWAY_MAX), Blow::ShopDown),
        Kind::Clock => {
            let ahead = if turn.is_multiple_of(2) { profile.step } else { -profile.step };
            (CLOCK_OFF, Blow::Clock(member, ahead))
        }
        Kind::Poison => (Duration::ZERO, Blow::Poison(10)),
        Kind::Backlog => (Duration::ZERO, Blow::Backlog(profile.backlog)),
    }
}

impl Strike {
    /// The word for it in the figures.
    pub fn name(&self) -> String {
        match &self.blow {
            Blow::Kill(_) => "kill".to_owned(),
            Blow::KillAtStep(..) => "kill at step".to_owned(),
            Blow::Freeze(_) => "freeze".to_owned(),
            Blow::Roll => "roll".to_owned(),
            Blow::DatabaseCrash => "database crash".to_owned(),
            Blow::Starved => "connections taken".to_owned(),
            Blow::DiskFull => "disk full".to_owned(),
            Blow::RedisFlush => "redis flush".to_owned(),
            Blow::RedisPause => "redis pause".to_owned(),
            Blow::RedisLoss => "redis loss".to_owned(),
            Blow::Wire(between, state) => {
                let state = match state {
                    State::Clear => "clear",
                    State::Slow(_) => "slow",
                    State::CutAfter(_) => "cut",
                    State::Reset => "reset",
                    State::BlackHole => "black hole",
                    State::Refused => "refused",
                };
                format!("{between:?} {state}").to_lowercase()
            }
            Blow::WeChat(fault) => format!("wechat pay {:?}", fault.kind).to_lowercase(),
            Blow::ShopDown => "shop down".to_owned(),
            Blow::Clock(..) => "clock".to_owned(),
            Blow::Poison(_) => "poison".to_owned(),
            Blow::Backlog(_) => "backlog".to_owned(),
        }
    }
}

impl Purchase {
    fn draw(n: u32, profile: &Profile, chance: &mut StdRng) -> Self {
        let total = chance.random_range(100..1_000_000);
        let soon = chance.random_range(50..1500);
        let course = match chance.random_range(0..100) {
            0..70 => Course::Pays(soon),
            70..80 => Course::PaysAndAsks(soon),
            80..84 => Course::ComesBack,
            84..89 => Course::ChangesWay,
            89..96 => Course::Leaves,
            _ => Course::Races,
        };
        let is_paid = !matches!(course, Course::Leaves | Course::Races);
        // A refund that nobody tells of is asked about after a minute.
        let is_early = n < profile.orders / 2;
        let gives_back = (is_paid && is_early && chance.random_bool(0.1))
            .then(|| if chance.random_bool(0.3) { total } else { chance.random_range(1..total) });
        let at = profile.span.mul_f64(f64::from(n) / f64::from(profile.orders.max(1)));
        let native = chance.random_bool(0.5);
        Self { number: format!("F-{n}"), at, total, native, course, gives_back }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn a_seed_repeats_its_plan_and_another_does_not() {
        let plan = |seed| format!("{:?}", Plan::draw(&Profile::pr(Database::Postgres), seed));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn more_orders_change_no_blow() {
        let strikes = |orders| {
            let profile = Profile { orders, ..Profile::pr(Database::Sqlite) };
            format!("{:?}", Plan::draw(&profile, 7).strikes)
        };
        assert_eq!(strikes(10), strikes(1000));
    }

    #[test]
    fn every_blow_is_struck_and_over_in_time() {
        for (database, profile) in [
            (Database::Sqlite, Profile::pr(Database::Sqlite)),
            (Database::Postgres, Profile::night(Database::Postgres)),
        ] {
            let plan = Plan::draw(&profile, 3);
            let planned: u32 = profile.blows.iter().map(|(_, times)| times).sum();
            assert_eq!(plan.strikes.len(), planned as usize, "{database:?}");
            for strike in &plan.strikes {
                assert!(strike.at >= CALM && strike.at + strike.lasts <= profile.span, "{strike:?}");
            }
        }
    }

    #[test]
    fn every_step_is_one_of_everpaids() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let steps: BTreeSet<_> = STEPS_OF_API.into_iter().chain(STEPS_OF_WORKER).collect();
        let mut sources = String::new();
        for folder in ["api/src", "worker/src", "worker/src/handlers"] {
            for entry in fs::read_dir(root.join(folder)).unwrap().flatten() {
                sources += &fs::read_to_string(entry.path()).unwrap_or_default();
            }
        }
        for step in steps {
            assert!(sources.contains(&format!("crash_point!(\"{step}\")")), "nobody passes {step}");
        }
    }
}
