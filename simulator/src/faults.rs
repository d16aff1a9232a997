//! What goes wrong on request: a list of faults, each for a number of times or until cleared,
//! always or by luck.
//!
//! Faults live in memory; a restart is a fresh day.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::info;

use crate::chance::Chance;

/// A fault to add.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub kind: FaultKind,
    #[serde(default)]
    pub on: Target,
    /// How many times it happens; absent: until cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The part of the occasions, from 0 to 1, that luck lets it strike; absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// It strikes each order on this many first occasions and then leaves it alone; with a share,
    /// luck picks the orders instead of the occasions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<u32>,
    /// Strikes this merchant only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mchid: Option<String>,
    /// Strikes this number only: an `out_trade_no`, or an `out_refund_no`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How far a date is off: ahead, or behind when negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_seconds: Option<i32>,
}

/// A fault that is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActiveFault {
    pub id: u64,
    /// The scenario it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<&'static str>,
    #[serde(flatten)]
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Create,
    Query,
    Close,
    Refund,
    RefundQuery,
    Bill,
    Download,
    Certificates,
    /// The exchange of a code from the OAuth page.
    Authorization,
    /// The exchange of a code from `wx.login`.
    Login,
    /// What an app tells of shipping.
    Shipping,
    /// Every answer, to whatever call.
    Answer,
    Notify,
    /// Wherever the kind can happen.
    #[default]
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers late, after the effect.
    Slow,
    /// Waits before the effect.
    SlowBefore,
    #[serde(rename = "status_429")]
    Status429,
    #[serde(rename = "status_500")]
    Status500,
    #[serde(rename = "status_502")]
    Status502,
    #[serde(rename = "status_503")]
    Status503,
    /// A proxy's 502 page instead of JSON.
    Html,
    /// 202: accepted and not processed.
    #[serde(rename = "accepted_202")]
    Accepted202,
    /// 429 although the refund was accepted.
    #[serde(rename = "accepted_429")]
    Accepted429,
    /// 200 without a body, after the effect.
    Empty,
    /// The connection breaks before the effect.
    CutBefore,
    /// The connection breaks after the effect, without an answer.
    CutAfter,
    /// No answer ever comes, after the effect; the connection stays open.
    NoAnswer,
    /// A query, or the shipping, denies an order that exists.
    NotFound,
    /// The payer pays and the notification is answered before the create is.
    PayBeforeAnswer,
    /// The payer pays after the call to close has come in, and before it has an effect.
    PayWhileClosing,
    /// The refund will end ABNORMAL instead of SUCCESS.
    RefundAbnormal,
    /// The refund will end CLOSED instead of SUCCESS.
    RefundClosed,
    /// The bill is said to be still in the making.
    BillLate,
    /// The bill lacks its last row.
    BillShort,
    /// A signature that does not verify: on an answer, after the effect, or on a notification.
    WrongSignature,
    /// WeChat Pay's deliberate wrong signature; on a notification the clean one follows at once.
    ProbeSignature,
    /// A right signature with a date that is off by `skew_seconds`.
    ClockSkew,
    /// Every connection to WeChat Pay is dropped.
    Down,
    /// Nobody listens for `delay_ms`: connections are refused. Then it is over.
    Refused,
    /// The notification is never sent.
    Silent,
    /// The notification is sent twice at once, on two connections.
    Duplicate,
    /// The notification is sent again as soon as it is answered.
    Repeat,
    /// The answer to the notification is not heard: it comes again by the ladder.
    Unheard,
    /// The notification comes later.
    Delay,
    /// The notification waits until the merchant's next one was sent, and for `delay_ms` at most.
    Reorder,
    WrongAmount,
    WrongAppid,
    WrongMchid,
    WrongCurrency,
    UnknownNumber,
    /// Another notification of an unheard-of type comes first.
    UnknownEvent,
    /// The `associated_data` is empty.
    NoAssociatedData,
    /// A code, or shipping, is not looked at: errcode -1.
    SystemBusy,
    /// The payer only previews the page: an openid that many share.
    SnapshotUser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFault {
    #[error("{kind:?} cannot happen on {on:?}")]
    Elsewhere { kind: FaultKind, on: Target },
    #[error("{0:?} needs delay_ms")]
    NoDelay(FaultKind),
    #[error("{0:?} has no delay_ms")]
    Delay(FaultKind),
    #[error("delay_ms is longer than a day")]
    LongDelay,
    #[error("{0:?} needs skew_seconds other than 0")]
    NoSkew(FaultKind),
    #[error("{0:?} has no skew_seconds")]
    Skew(FaultKind),
    #[error("times and each must be at least 1")]
    NoTimes,
    #[error("share must be above 0 and at most 1")]
    Share,
    #[error("{0:?} happens once: it has no times")]
    Once(FaultKind),
    #[error("{0:?} strikes everyone: it has no share, each, mchid or order")]
    Everyone(FaultKind),
}

const LONGEST_DELAY_MS: u64 = 86_400_000;

impl Target {
    fn includes(self, target: Self) -> bool {
        match self {
            Self::Any => true,
            Self::Answer => target != Self::Notify,
            one => one == target,
        }
    }

    /// Can this kind happen here at all?
    fn covers(self, kind: FaultKind) -> bool {
        self == Self::Any || kind.happens_on().iter().any(|target| self.includes(*target))
    }
}

impl FaultKind {
    fn happens_on(self) -> &'static [Target] {
        use Target::{
            Authorization, Bill, Certificates, Close, Create, Download, Login, Notify, Query, Refund,
            RefundQuery, Shipping,
        };
        match self {
            Self::Slow
            | Self::SlowBefore
            | Self::Status429
            | Self::Status500
            | Self::Status502
            | Self::Status503
            | Self::Html
            | Self::Accepted202
            | Self::Empty
            | Self::CutBefore
            | Self::CutAfter
            | Self::NoAnswer => &[Create, Query, Close, Refund, RefundQuery, Bill, Download, Certificates],
            Self::NotFound => &[Query, RefundQuery, Shipping],
            Self::PayBeforeAnswer => &[Create],
            Self::PayWhileClosing => &[Close],
            Self::BillLate | Self::BillShort => &[Bill],
            Self::Accepted429 | Self::RefundAbnormal | Self::RefundClosed => &[Refund],
            Self::WrongSignature | Self::ProbeSignature | Self::ClockSkew => {
                &[Create, Query, Close, Refund, RefundQuery, Bill, Certificates, Notify]
            }
            Self::Down | Self::Refused => &[],
            Self::Silent
            | Self::Duplicate
            | Self::Repeat
            | Self::Unheard
            | Self::Delay
            | Self::Reorder
            | Self::WrongAmount
            | Self::WrongAppid
            | Self::WrongMchid
            | Self::WrongCurrency
            | Self::UnknownNumber
            | Self::UnknownEvent
            | Self::NoAssociatedData => &[Notify],
            Self::SystemBusy => &[Authorization, Login, Shipping],
            Self::SnapshotUser => &[Authorization],
        }
    }

    fn needs_delay(self) -> bool {
        matches!(self, Self::Slow | Self::SlowBefore | Self::Delay | Self::Reorder | Self::Refused)
    }

    /// Does it put the sending of a notification off?
    fn puts_off(self) -> bool {
        matches!(self, Self::Delay | Self::Reorder)
    }
}

impl Fault {
    /// A fault wherever its kind can happen, every time, until cleared.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            on: Target::Any,
            times: None,
            share: None,
            each: None,
            mchid: None,
            order: None,
            delay_ms: None,
            skew_seconds: None,
        }
    }

    #[must_use]
    pub fn on(self, on: Target) -> Self {
        Self { on, ..self }
    }

    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    #[must_use]
    pub fn share(self, share: f64) -> Self {
        Self { share: Some(share), ..self }
    }

    #[must_use]
    pub fn each(self, each: u32) -> Self {
        Self { each: Some(each), ..self }
    }

    #[must_use]
    pub fn mchid(self, mchid: impl Into<String>) -> Self {
        Self { mchid: Some(mchid.into()), ..self }
    }

    #[must_use]
    pub fn order(self, order: impl Into<String>) -> Self {
        Self { order: Some(order.into()), ..self }
    }

    #[must_use]
    pub fn delay_ms(self, delay_ms: u64) -> Self {
        Self { delay_ms: Some(delay_ms), ..self }
    }

    #[must_use]
    pub fn skew_seconds(self, skew_seconds: i32) -> Self {
        Self { skew_seconds: Some(skew_seconds), ..self }
    }

    fn check(&self) -> Result<(), BadFault> {
        let (kind, on) = (self.kind, self.on);
        if !on.covers(kind) {
            return Err(BadFault::Elsewhere { kind, on });
        }
        if [self.times, self.each].contains(&Some(0)) {
            return Err(BadFault::NoTimes);
        }
        if self.share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
            return Err(BadFault::Share);
        }
        let is_aimed = self.mchid.is_some() || self.order.is_some();
        if kind.happens_on().is_empty() && (is_aimed || self.share.is_some() || self.each.is_some()) {
            return Err(BadFault::Everyone(kind));
        }
        if kind == FaultKind::Refused && self.times.is_some() {
            return Err(BadFault::Once(kind));
        }
        match self.skew_seconds {
            None | Some(0) if kind == FaultKind::ClockSkew => return Err(BadFault::NoSkew(kind)),
            Some(_) if kind != FaultKind::ClockSkew => return Err(BadFault::Skew(kind)),
            _ => {}
        }
        match self.delay_ms {
            None if kind.needs_delay() => Err(BadFault::NoDelay(kind)),
            Some(_) if !kind.needs_delay() => Err(BadFault::Delay(kind)),
            Some(delay) if delay > LONGEST_DELAY_MS => Err(BadFault::LongDelay),
            _ => Ok(()),
        }
    }

    /// Is it about this? Luck has not been asked yet.
    fn fits(&self, occasion: &Occasion) -> bool {
        let target = occasion.target;
        self.on.includes(target)
            && self.kind.happens_on().contains(&target)
            && !(occasion.was_put_off && self.kind.puts_off())
            && self.mchid.as_ref().is_none_or(|mchid| *mchid == occasion.mchid)
            && self.order.as_ref().is_none_or(|order| occasion.numbers.contains(order))
    }
}

/// Something that can go wrong: an authentic call, or a try to notify.
#[derive(Clone, Debug)]
pub(crate) struct Occasion {
    pub target: Target,
    pub mchid: String,
    /// What it is about by the merchant's numbers, the closest first.
    pub numbers: Vec<String>,
    /// What it is about when it has no number.
    pub path: String,
    /// A notification that comes later already.
    pub was_put_off: bool,
}

impl Occasion {
    /// What luck is drawn for: nothing in it is made up in this run.
    pub(crate) fn subject(&self) -> String {
        let about = self.numbers.first().unwrap_or(&self.path);
        format!("{:?} {} {about}", self.target, self.mchid)
    }
}

pub(crate) struct Faults {
    list: Mutex<List>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct List {
    last_id: u64,
    entries: Vec<Entry>,
}

struct Entry {
    active: ActiveFault,
    /// What luck is drawn for.
    purpose: String,
    /// The luck of its scenario; absent: everyone's.
    luck: Option<Arc<Chance>>,
    /// With `each`: how often it had a chance to strike an order.
    met: HashMap<String, u32>,
}

impl Entry {
    fn strikes(&mut self, chance: &Chance, occasion: &Occasion) -> bool {
        let fault = &self.active.fault;
        if !fault.fits(occasion) {
            return false;
        }
        if fault.share.is_none() && fault.each.is_none() {
            return true;
        }
        let chance = self.luck.as_deref().unwrap_or(chance);
        let share = fault.share.unwrap_or(1.0);
        let subject = occasion.subject();
        let Some(each) = fault.each else {
            return match fault.kind {
                // WeChat Pay never probes the same call twice in a row.
                FaultKind::ProbeSignature => chance.happens_and_spares(share, &self.purpose, &subject),
                _ => chance.happens(share, &self.purpose, &subject),
            };
        };
        if !chance.picks(share, &self.purpose, &subject) {
            return false;
        }
        let met = self.met.entry(subject).or_default();
        *met = met.saturating_add(1);
        *met <= each
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self { list: Mutex::default(), changes: watch::Sender::new(()) }
    }
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> Result<u64, BadFault> {
        fault.check()?;
        let purpose = format!("{:?}", fault.kind);
        let id = self.list().push(None, fault, purpose, None);
        self.changes.send_replace(());
        Ok(id)
    }

    /// Everything of a scenario at once, or nothing when it runs already.
    pub(crate) fn add_scenario(&self, name: &'static str, faults: Vec<Fault>, luck: Chance) -> bool {
        let luck = Arc::new(luck);
        let mut list = self.list();
        if list.entries.iter().any(|entry| entry.active.scenario == Some(name)) {
            return false;
        }
        for (nth, fault) in faults.into_iter().enumerate() {
            // Two scenarios with one seed have different luck, and so have two faults of one kind.
            let purpose = format!("{name} {nth} {:?}", fault.kind);
            list.push(Some(name), fault, purpose, Some(Arc::clone(&luck)));
        }
        drop(list);
        self.changes.send_replace(());
        true
    }

    pub(crate) fn active(&self) -> Vec<ActiveFault> {
        self.list().entries.iter().map(|entry| entry.active.clone()).collect()
    }

    /// The seed that a scenario runs with, while it does.
    pub(crate) fn seed_of(&self, scenario: &str) -> Option<u64> {
        let list = self.list();
        let entry = list.entries.iter().find(|entry| entry.active.scenario == Some(scenario))?;
        entry.luck.as_ref().map(|luck| luck.seed())
    }

    pub(crate) fn remove(&self, id: u64) -> bool {
        self.remove_where(|active| active.id == id)
    }

    pub(crate) fn remove_scenario(&self, name: &str) -> bool {
        self.remove_where(|active| active.scenario == Some(name))
    }

    pub(crate) fn clear(&self) {
        self.remove_where(|_| true);
    }

    fn remove_where(&self, is_gone: impl Fn(&ActiveFault) -> bool) -> bool {
        let mut list = self.list();
        let before = list.entries.len();
        list.entries.retain(|entry| !is_gone(&entry.active));
        let removed = list.entries.len() < before;
        drop(list);
        self.changes.send_replace(());
        removed
    }

    /// Told when a fault comes or goes.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Is there nothing that could go wrong?
    pub(crate) fn is_empty(&self) -> bool {
        self.list().entries.is_empty()
    }

    /// Is WeChat Pay down for this connection?
    pub(crate) fn take_down(&self) -> bool {
        self.list().take(|entry| entry.active.fault.kind == FaultKind::Down).is_some()
    }

    /// The fault for which nobody listens, if one does; it stays until it is removed.
    pub(crate) fn refused(&self) -> Option<ActiveFault> {
        let list = self.list();
        let refused = |entry: &&Entry| entry.active.fault.kind == FaultKind::Refused;
        list.entries.iter().find(refused).map(|entry| entry.active.clone())
    }

    /// The oldest fault that strikes.
    pub(crate) fn take(&self, chance: &Chance, occasion: &Occasion) -> Option<Fault> {
        let struck = self.list().take(|entry| entry.strikes(chance, occasion))?;
        info!(
            fault = ?struck.kind,
            on = ?occasion.target,
            mchid = occasion.mchid,
            number = occasion.numbers.first(),
            "a fault strikes"
        );
        Some(struck)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn push(
        &mut self,
        scenario: Option<&'static str>,
        fault: Fault,
        purpose: String,
        luck: Option<Arc<Chance>>,
    ) -> u64 {
        self.last_id += 1;
        let active = ActiveFault { id: self.last_id, scenario, fault };
        self.entries.push(Entry { active, purpose, luck, met: HashMap::new() });
        self.last_id
    }

    fn take(&mut self, mut strikes: impl FnMut(&mut Entry) -> bool) -> Option<Fault> {
        let mut first = None;
        for (at, entry) in self.entries.iter_mut().enumerate() {
            // All of them are asked: whether another was faster must not change anyone's luck.
            if strikes(entry) {
                first.get_or_insert(at);
            }
        }
        let at = first?;
        let fault = &mut self.entries[at].active.fault;
        let struck = fault.clone();
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                self.entries.remove(at);
            }
        }
        Some(struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(target: Target, number: &str) -> Occasion {
        Occasion {
            target,
            mchid: "1900000001".into(),
            numbers: vec![number.into()],
            path: "/v3/somewhere".into(),
            was_put_off: false,
        }
    }

    fn take(faults: &Faults, target: Target) -> Option<FaultKind> {
        faults.take(&Chance::new(1), &about(target, "ORDER-1")).map(|fault| fault.kind)
    }

    #[test]
    fn a_fault_must_fit_where_it_is_put() {
        use FaultKind::{
            ClockSkew, Delay, Down, NotFound, PayWhileClosing, Refused, Silent, Slow, Status500,
            WrongSignature,
        };
        for (fault, accepted) in [
            (Fault::new(Status500), true),
            (Fault::new(Status500).on(Target::Certificates), true),
            (Fault::new(Status500).on(Target::Notify), false),
            (Fault::new(WrongSignature).on(Target::Notify), true),
            (Fault::new(WrongSignature).on(Target::Answer), true),
            (Fault::new(Silent).on(Target::Answer), false),
            (Fault::new(NotFound).on(Target::Create), false),
            (Fault::new(PayWhileClosing).on(Target::Query), false),
            (Fault::new(Silent).on(Target::Query), false),
            (Fault::new(Down), true),
            (Fault::new(Down).on(Target::Create), false),
            (Fault::new(Down).share(0.5), false),
            (Fault::new(Down).order("ORDER-1"), false),
            (Fault::new(Refused), false),
            (Fault::new(Refused).delay_ms(5), true),
            (Fault::new(Refused).delay_ms(5).times(1), false),
            (Fault::new(Slow), false),
            (Fault::new(Slow).delay_ms(1), true),
            (Fault::new(Slow).delay_ms(LONGEST_DELAY_MS + 1), false),
            (Fault::new(Delay).on(Target::Notify).delay_ms(1), true),
            (Fault::new(Status500).delay_ms(1), false),
            (Fault::new(Status500).times(0), false),
            (Fault::new(Status500).each(0), false),
            (Fault::new(Status500).share(1.0), true),
            (Fault::new(Status500).share(0.0), false),
            (Fault::new(Status500).share(1.1), false),
            (Fault::new(Status500).share(f64::NAN), false),
            (Fault::new(ClockSkew), false),
            (Fault::new(ClockSkew).skew_seconds(-400), true),
            (Fault::new(ClockSkew).skew_seconds(0), false),
            (Fault::new(Status500).skew_seconds(1), false),
        ] {
            assert_eq!(Faults::default().add(fault.clone()).is_ok(), accepted, "{fault:?}");
        }
    }

    #[test]
    fn a_fault_is_used_up_and_the_oldest_comes_first() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::Status500).times(1)).unwrap();
        faults.add(Fault::new(FaultKind::Html).on(Target::Create)).unwrap();
        assert_eq!(take(&faults, Target::Create), Some(FaultKind::Status500));
        assert_eq!(take(&faults, Target::Create), Some(FaultKind::Html));
        assert_eq!(take(&faults, Target::Create), Some(FaultKind::Html));
        assert_eq!(take(&faults, Target::Query), None);
        assert_eq!(take(&faults, Target::Notify), None);
    }

    #[test]
    fn a_fault_on_answers_spares_notifications() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::ProbeSignature).on(Target::Answer)).unwrap();
        assert_eq!(take(&faults, Target::Notify), None);
        assert!(take(&faults, Target::Certificates).is_some());
    }

    #[test]
    fn a_notification_is_put_off_once() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::Delay).delay_ms(5)).unwrap();
        faults.add(Fault::new(FaultKind::Reorder).delay_ms(5)).unwrap();
        let first = about(Target::Notify, "ORDER-1");
        assert!(faults.take(&Chance::new(1), &first).is_some());
        let again = Occasion { was_put_off: true, ..first };
        assert!(faults.take(&Chance::new(1), &again).is_none());
    }

    #[test]
    fn a_fault_may_be_aimed_at_a_merchant_or_a_number() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::Html).mchid("1900000002")).unwrap();
        faults.add(Fault::new(FaultKind::Empty).order("ORDER-2")).unwrap();
        assert_eq!(take(&faults, Target::Create), None);
        let other = Occasion { mchid: "1900000002".into(), ..about(Target::Create, "ORDER-1") };
        let kind = |at: &Occasion| faults.take(&Chance::new(1), at).map(|fault| fault.kind);
        assert_eq!(kind(&other), Some(FaultKind::Html));
        assert_eq!(kind(&about(Target::Create, "ORDER-2")), Some(FaultKind::Empty));
    }

    #[test]
    fn each_order_is_struck_so_often_and_then_left_alone() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::NotFound).each(2)).unwrap();
        let struck = |number: &str| faults.take(&Chance::new(1), &about(Target::Query, number)).is_some();
        assert_eq!(["A", "A", "B", "A", "B", "B"].map(struck), [true, true, true, false, true, false]);
    }

    #[test]
    fn with_each_luck_picks_orders_and_otherwise_occasions() {
        let chance = Chance::new(7);
        let pattern = |fault: Fault| {
            let faults = Faults::default();
            faults.add(fault).unwrap();
            let hits = |number: usize| {
                let at = about(Target::Query, &format!("ORDER-{number}"));
                [(); 3].map(|()| faults.take(&chance, &at).is_some())
            };
            (0..200).map(hits).collect::<Vec<_>>()
        };
        let picked = pattern(Fault::new(FaultKind::NotFound).share(0.5).each(2));
        assert!(picked.iter().all(|hits| *hits == [true, true, false] || *hits == [false; 3]));
        let orders = picked.iter().filter(|hits| hits[0]).count();
        assert!((70..130).contains(&orders), "{orders} of 200");
        let any = pattern(Fault::new(FaultKind::NotFound).share(0.5));
        assert!(any.contains(&[false, true, true]) && any.contains(&[true, false, true]));
    }

    #[test]
    fn what_else_runs_changes_nobodys_luck() {
        let struck = |scenarios: &[(&'static str, FaultKind)]| {
            let faults = Faults::default();
            for (name, kind) in scenarios {
                faults.add_scenario(name, vec![Fault::new(*kind).share(0.5)], Chance::new(7));
            }
            (0..200).map(|_| take(&faults, Target::Query)).collect::<Vec<_>>()
        };
        let alone = struck(&[("test", FaultKind::Html)]);
        let second = struck(&[("other", FaultKind::Empty), ("test", FaultKind::Html)]);
        assert!(second.contains(&Some(FaultKind::Empty)));
        for (alone, second) in alone.into_iter().zip(second) {
            match second {
                Some(FaultKind::Empty) => {}
                other => assert_eq!(other, alone),
            }
        }
    }

    #[test]
    fn a_scenario_comes_and_goes_as_one() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::Html)).unwrap();
        let two = || vec![Fault::new(FaultKind::Empty), Fault::new(FaultKind::CutAfter)];
        assert!(faults.add_scenario("test", two(), Chance::new(5)));
        assert!(!faults.add_scenario("test", two(), Chance::new(6)));
        assert_eq!((faults.active().len(), faults.seed_of("test")), (3, Some(5)));
        assert!(faults.remove_scenario("test"));
        assert!(!faults.remove_scenario("test"));
        assert_eq!((faults.active().len(), faults.seed_of("test")), (1, None));
    }

    #[test]
    fn the_kinds_read_as_documented() {
        for (kind, text) in
            [(FaultKind::Status429, "\"status_429\""), (FaultKind::Accepted202, "\"accepted_202\"")]
        {
            assert_eq!(serde_json::to_string(&kind).unwrap(), text);
        }
    }
}
