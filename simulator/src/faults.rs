//! What goes wrong on request: a list of faults, each for a number of times or until cleared.
//!
//! Faults live in memory; a restart is a fresh day.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// A fault to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub kind: FaultKind,
    #[serde(default)]
    pub on: Target,
    /// How many times it happens; absent: until cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

/// A fault that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActiveFault {
    pub id: u64,
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
    /// A query denies an order that exists.
    NotFound,
    /// The payer pays and the notification is answered before the create is.
    PayBeforeAnswer,
    /// The refund will end ABNORMAL instead of SUCCESS.
    RefundAbnormal,
    /// The refund will end CLOSED instead of SUCCESS.
    RefundClosed,
    /// A signature that does not verify: on an answer, after the effect, or on a notification.
    WrongSignature,
    /// WeChat Pay's deliberate wrong signature; on a notification the clean one follows at once.
    ProbeSignature,
    /// Every connection to WeChat Pay is dropped.
    Down,
    /// The notification is never sent.
    Silent,
    /// The notification is sent twice at once, on two connections.
    Duplicate,
    /// The notification comes later.
    Delay,
    WrongAmount,
    WrongAppid,
    WrongMchid,
    WrongCurrency,
    UnknownNumber,
    /// Another notification of an unheard-of type comes first.
    UnknownEvent,
    /// The `associated_data` is empty.
    NoAssociatedData,
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
    #[error("times must be at least 1")]
    NoTimes,
}

const LONGEST_DELAY_MS: u64 = 86_400_000;

impl FaultKind {
    fn happens_on(self) -> &'static [Target] {
        use Target::{Bill, Close, Create, Download, Notify, Query, Refund, RefundQuery};
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
            | Self::CutAfter => &[Create, Query, Close, Refund, RefundQuery, Bill, Download],
            Self::NotFound => &[Query, RefundQuery],
            Self::Accepted429 | Self::RefundAbnormal | Self::RefundClosed => &[Refund],
            Self::PayBeforeAnswer => &[Create],
            Self::WrongSignature | Self::ProbeSignature => {
                &[Create, Query, Close, Refund, RefundQuery, Bill, Notify]
            }
            Self::Down => &[],
            Self::Silent
            | Self::Duplicate
            | Self::Delay
            | Self::WrongAmount
            | Self::WrongAppid
            | Self::WrongMchid
            | Self::WrongCurrency
            | Self::UnknownNumber
            | Self::UnknownEvent
            | Self::NoAssociatedData => &[Notify],
        }
    }

    fn needs_delay(self) -> bool {
        matches!(self, Self::Slow | Self::SlowBefore | Self::Delay)
    }

    /// Can it happen to the download of certificates?
    fn happens_to_any_answer(self) -> bool {
        self.happens_on().starts_with(&[Target::Create, Target::Query])
    }
}

impl Fault {
    /// A fault wherever its kind can happen, until cleared.
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, on: Target::Any, times: None, delay_ms: None }
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
    pub fn delay_ms(self, delay_ms: u64) -> Self {
        Self { delay_ms: Some(delay_ms), ..self }
    }

    fn check(&self) -> Result<(), BadFault> {
        let (kind, on) = (self.kind, self.on);
        if on != Target::Any && !kind.happens_on().contains(&on) {
            return Err(BadFault::Elsewhere { kind, on });
        }
        if self.times == Some(0) {
            return Err(BadFault::NoTimes);
        }
        match self.delay_ms {
            None if kind.needs_delay() => Err(BadFault::NoDelay(kind)),
            Some(_) if !kind.needs_delay() => Err(BadFault::Delay(kind)),
            Some(delay) if delay > LONGEST_DELAY_MS => Err(BadFault::LongDelay),
            _ => Ok(()),
        }
    }

    fn strikes(&self, target: Target) -> bool {
        match self.on {
            Target::Any if target == Target::Any => self.kind.happens_to_any_answer(),
            Target::Any => self.kind.happens_on().contains(&target),
            on => on == target,
        }
    }
}

#[derive(Default)]
pub(crate) struct Faults {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    last_id: u64,
    active: Vec<ActiveFault>,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> Result<u64, BadFault> {
        fault.check()?;
        let mut list = self.list();
        list.last_id += 1;
        let id = list.last_id;
        list.active.push(ActiveFault { id, fault });
        Ok(id)
    }

    pub(crate) fn active(&self) -> Vec<ActiveFault> {
        self.list().active.clone()
    }

    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut list = self.list();
        let before = list.active.len();
        list.active.retain(|active| active.id != id);
        list.active.len() < before
    }

    pub(crate) fn clear(&self) {
        self.list().active.clear();
    }

    /// Is WeChat Pay down for this connection?
    pub(crate) fn take_down(&self) -> bool {
        self.take(|fault| fault.kind == FaultKind::Down).is_some()
    }

    /// The oldest fault that strikes an answer; `Any` is an answer nobody can aim at.
    pub(crate) fn take_for_answer(&self, target: Target) -> Option<Fault> {
        self.take(|fault| fault.strikes(target))
    }

    /// The oldest fault that strikes a try to notify; one notification is delayed once.
    pub(crate) fn take_for_notification(&self, was_delayed: bool) -> Option<Fault> {
        self.take(|fault| fault.strikes(Target::Notify) && !(was_delayed && fault.kind == FaultKind::Delay))
    }

    fn take(&self, strikes: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut list = self.list();
        let at = list.active.iter().position(|active| strikes(&active.fault))?;
        let active = &mut list.active[at];
        let struck = active.fault.clone();
        if let Some(times) = &mut active.fault.times {
            *times -= 1;
            if *times == 0 {
                list.active.remove(at);
            }
        }
        Some(struck)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_must_fit_where_it_is_put() {
        use FaultKind::{Delay, Down, NotFound, Silent, Slow, Status500, WrongSignature};
        for (fault, accepted) in [
            (Fault::new(Status500), true),
            (Fault::new(Status500).on(Target::Notify), false),
            (Fault::new(WrongSignature).on(Target::Notify), true),
            (Fault::new(NotFound).on(Target::Create), false),
            (Fault::new(Silent).on(Target::Query), false),
            (Fault::new(Down), true),
            (Fault::new(Down).on(Target::Create), false),
            (Fault::new(Slow), false),
            (Fault::new(Slow).delay_ms(1), true),
            (Fault::new(Slow).delay_ms(LONGEST_DELAY_MS + 1), false),
            (Fault::new(Delay).on(Target::Notify).delay_ms(1), true),
            (Fault::new(Status500).delay_ms(1), false),
            (Fault::new(Status500).times(0), false),
        ] {
            assert_eq!(Faults::default().add(fault.clone()).is_ok(), accepted, "{fault:?}");
        }
    }

    #[test]
    fn a_fault_is_used_up_and_the_oldest_comes_first() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::Status500).times(1)).unwrap();
        faults.add(Fault::new(FaultKind::Html).on(Target::Create)).unwrap();
        let kinds = || faults.take_for_answer(Target::Create).map(|fault| fault.kind);
        assert_eq!(kinds(), Some(FaultKind::Status500));
        assert_eq!(kinds(), Some(FaultKind::Html));
        assert_eq!(kinds(), Some(FaultKind::Html));
        assert_eq!(faults.take_for_answer(Target::Query), None);
        assert_eq!(faults.take_for_notification(false), None);
    }

    #[test]
    fn a_notification_is_delayed_once() {
        let faults = Faults::default();
        faults.add(Fault::new(FaultKind::Delay).delay_ms(5)).unwrap();
        assert!(faults.take_for_notification(false).is_some());
        assert!(faults.take_for_notification(true).is_none());
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
