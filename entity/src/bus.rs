//! Hints that something was committed. Lossy on purpose: whoever waits reads the row, waits for a
//! hint or a short time, and reads again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{broadcast, watch};

use crate::{OrderId, job::Due};

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something happened to this order.
    Order(OrderId),
    /// This job became due.
    Job(Due),
}

/// Carries hints inside one process; [`Bus::told`] and [`Bus::hear`] are where another process begins.
///
/// Pages are spread by order, so that an event wakes only those who look at that order.
#[derive(Clone, Debug)]
pub struct Bus {
    orders: Arc<Mutex<HashMap<OrderId, watch::Sender<()>>>>,
    jobs: broadcast::Sender<Due>,
    told: broadcast::Sender<Hint>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { orders: Arc::default(), jobs: broadcast::channel(4096).0, told: broadcast::channel(4096).0 }
    }
}

impl Bus {
    /// Tells this process, and whoever carries hints to others.
    pub fn tell(&self, hint: &Hint) {
        // That nobody carries it is no error: others read the rows.
        if self.told.receiver_count() > 0 {
            self.told.send(hint.clone()).ok();
        }
        self.hear(hint);
    }

    /// Takes in a hint that another process told.
    pub fn hear(&self, hint: &Hint) {
        match hint {
            Hint::Order(id) => {
                let mut orders = self.orders();
                if let Some(sender) = orders.get(id)
                    && sender.send(()).is_err()
                {
                    orders.remove(id);
                }
            }
            // No pump in this process is no error: another process' pump will scan.
            Hint::Job(due) => drop(self.jobs.send(*due)),
        }
    }

    /// Wakes everybody who follows an order: hints may have been missed.
    pub fn wake_all(&self) {
        self.orders().retain(|_, sender| sender.send(()).is_ok());
    }

    /// What this process tells from now on.
    pub fn told(&self) -> broadcast::Receiver<Hint> {
        self.told.subscribe()
    }

    /// Follows one order. Subscribe first, then read the row, then wait.
    pub fn follow(&self, order: &OrderId) -> watch::Receiver<()> {
        let mut orders = self.orders();
        // Those nobody follows any more leave when the map has grown, not one by one.
        if orders.len() >= 1024 && orders.len().is_power_of_two() {
            orders.retain(|_, sender| sender.receiver_count() > 0);
        }
        orders.entry(order.clone()).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Follows the jobs that became due.
    pub fn jobs(&self) -> broadcast::Receiver<Due> {
        self.jobs.subscribe()
    }

    fn orders(&self) -> MutexGuard<'_, HashMap<OrderId, watch::Sender<()>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
