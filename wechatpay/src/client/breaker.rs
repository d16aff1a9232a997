//! Keeps calls away from a host that does not answer.
//!
//! Somebody waits for a second, or five, on each call to a host that is gone, and connections pile
//! up. So after five tries in a row that nobody answered, the host rests; then one call finds out
//! whether it is back, and if it is not, the host rests longer.
//!
//! Only silence counts. An answer, be it a 429 or a 500, shows that the host is there: how much is
//! asked of WeChat is the caller's to slow down, and a 500 may be about one order, for which the
//! others should not wait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{ANSWER_TIME_OUT, CONNECT_TIME_OUT, Host, Switched};
use crate::{Cause, Error};

#[cfg(test)]
mod tests;

/// So many tries in a row, and nobody answered.
const UNANSWERED_MAX: u32 = 5;

/// In seconds. Each rest in a row is twice as long as the one before.
const REST: i64 = 5;
const REST_MAX: i64 = 30;

/// How long others wait for the one that finds out: as long as it takes to connect.
const VERDICT_TIME_OUT: Duration = CONNECT_TIME_OUT;

/// The breakers of a client's hosts.
pub(super) struct Breakers {
    states: Mutex<[State; 2]>,
    verdicts: watch::Sender<()>,
}

/// Times are those of the caller's clock, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calls go out. So many tries in a row were not answered.
    Closed { unanswered: u32 },
    /// The host rests.
    Open { since: i64, rest: i64 },
    /// It has rested, and one call is finding out.
    HalfOpen { since: i64, rest: i64 },
}

/// What a try says about its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answered,
    Unanswered,
    /// It was not sent, or not waited for.
    Unknown,
}

/// The leave to try a host once. Dropped without a verdict, it leaves finding out to the next call.
#[must_use]
pub(super) struct Pass<'a> {
    host: Host,
    breakers: Option<&'a Breakers>,
    is_probe: bool,
}

impl Breakers {
    pub(super) fn new() -> Self {
        Self { states: Mutex::new([State::Closed { unanswered: 0 }; 2]), verdicts: watch::Sender::new(()) }
    }

    /// Leave for the first of `hosts` that may be tried.
    pub(super) fn pass(&self, hosts: &[Host], now: i64) -> Option<Pass<'_>> {
        let mut states = self.states();
        hosts.iter().find_map(|&host| {
            let state = &mut states[host as usize];
            let is_probe = match *state {
                State::Closed { .. } => false,
                State::Open { since, rest } if has_rested(since, rest, now) => {
                    *state = State::HalfOpen { since, rest };
                    true
                }
                State::Open { .. } | State::HalfOpen { .. } => return None,
            };
            Some(Pass { host, breakers: Some(self), is_probe })
        })
    }

    /// Waits until it is known whether one of `hosts` is back. At once if nobody is finding out.
    ///
    /// Else whoever calls at the very end of an outage would be refused because somebody else was a
    /// moment earlier.
    pub(super) async fn found_out(&self, hosts: &[Host]) {
        let mut verdicts = self.verdicts.subscribe();
        let is_half_open = |host: &Host| matches!(self.states()[*host as usize], State::HalfOpen { .. });
        if hosts.iter().any(is_half_open) {
            drop(tokio::time::timeout(VERDICT_TIME_OUT, verdicts.changed()).await);
        }
    }

    fn states(&self) -> MutexGuard<'_, [State; 2]> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// For a host that has no breaker.
    pub(super) fn unguarded(host: Host) -> Self {
        Self { host, breakers: None, is_probe: false }
    }

    pub(super) fn host(&self) -> Host {
        self.host
    }

    /// Says how the try went, and learns whether that switched the breaker.
    pub(super) fn end(self, verdict: Verdict, now: i64) -> Option<Switched> {
        let breakers = self.breakers?;
        let mut states = breakers.states();
        let state = &mut states[self.host as usize];
        let before = *state;
        *state = match (before, verdict) {
            (before, Verdict::Unknown) => before,
            (_, Verdict::Answered) => State::Closed { unanswered: 0 },
            (State::Closed { unanswered }, Verdict::Unanswered) if unanswered + 1 < UNANSWERED_MAX => {
                State::Closed { unanswered: unanswered + 1 }
            }
            (State::Closed { .. }, Verdict::Unanswered) => State::Open { since: now, rest: REST },
            (State::HalfOpen { rest, .. }, Verdict::Unanswered) if self.is_probe => {
                State::Open { since: now, rest: (rest * 2).min(REST_MAX) }
            }
            // It went out before the host was given up, and says nothing new.
            (before @ (State::Open { .. } | State::HalfOpen { .. }), Verdict::Unanswered) => before,
        };
        match (before, *state) {
            (State::Closed { .. }, State::Open { .. }) => Some(Switched::Open),
            (State::Open { .. } | State::HalfOpen { .. }, State::Closed { .. }) => Some(Switched::Closed),
            _ => None,
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let Some(breakers) = self.breakers.filter(|_| self.is_probe) else { return };
        let mut states = breakers.states();
        if let State::HalfOpen { since, rest } = states[self.host as usize] {
            states[self.host as usize] = State::Open { since, rest };
        }
        drop(states);
        breakers.verdicts.send_replace(());
    }
}

impl Verdict {
    /// What the result of a try that was given `time_out` says.
    pub(super) fn of(error: Option<&Error>, time_out: Duration) -> Self {
        match error {
            Some(Error::NotDelivered { .. } | Error::Unknown { cause: Cause::ConnectionLost { .. } }) => {
                Self::Unanswered
            }
            Some(Error::Unknown { cause: Cause::TimedOut }) if time_out >= ANSWER_TIME_OUT => {
                Self::Unanswered
            }
            // A gateway that has nobody behind it.
            Some(Error::Unknown { cause: Cause::Unreadable { status: 502..=504 } }) => Self::Unanswered,
            // Somebody was in a hurry: a host that takes two seconds is slow, and there.
            Some(Error::Unknown { cause: Cause::TimedOut } | Error::Unsendable { .. }) => Self::Unknown,
            None | Some(Error::Refused(_) | Error::Definite(_) | Error::Unknown { .. }) => Self::Answered,
        }
    }
}

/// A clock that was set back ends the rest: nobody knows how long it would last.
fn has_rested(since: i64, rest: i64, now: i64) -> bool {
    now < since || now.saturating_sub(since) >= rest
}
