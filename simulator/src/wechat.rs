//! WeChat Pay as one value: its clock, its keys, its ledger and what is wrong with it today.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    browser::Windows, chance::Chance, clock::SimClock, faults::Faults, limit::PerSecond,
    merchants::Merchants, notify::Notifier, store::Store,
};

pub(crate) struct Wechat {
    pub clock: Arc<SimClock>,
    /// Held while the clock is changed and that is written down.
    pub clock_change: tokio::sync::Mutex<()>,
    pub merchants: Merchants,
    pub store: Store,
    pub chance: Chance,
    /// The part of answers and of notifications that carries a probe instead of a signature.
    pub probe_share: f64,
    pub faults: Faults,
    /// Downloads of platform certificates, by merchant.
    pub certificate_calls: PerSecond,
    pub notifier: Notifier,
    pub answer_delay: Duration,
    /// How long a request may take to come in.
    pub patience: Duration,
    /// Where OAuth may lead; empty: anywhere.
    pub redirect_domains: Vec<String>,
    /// Pages that a payer sees inside WeChat.
    pub windows: OnceLock<Windows>,
    /// How often something changed that a page may be showing.
    pub changes: watch::Sender<u64>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

pub(crate) const CLOCK: &str = "clock";

/// The simulator is stopping; whatever was going on is left as if the machine had died.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Wechat {
    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Something changed that a page may be showing.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Waits in real time.
    pub(crate) async fn pause(&self, span: Duration) -> Result<(), Stopped> {
        if span.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(span) => Ok(()),
        }
    }

    /// Changes the clock, for good, and lets everything that was waiting for a time look again.
    pub(crate) async fn set_clock(&self, change: impl FnOnce(&SimClock)) -> Result<i64, sea_orm::DbErr> {
        let _one_at_a_time = self.clock_change.lock().await;
        change(&self.clock);
        let pace =
            serde_json::to_string(&self.clock.pace()).map_err(|e| sea_orm::DbErr::Json(e.to_string()))?;
        self.store.set(CLOCK, &pace).await?;
        self.notifier.wake();
        Ok(self.now())
    }
}
