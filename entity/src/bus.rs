//! Hints that something was committed. Lossy on purpose: whoever waits reads the row, waits for a
//! hint or a short time, and reads again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{broadcast, watch};

use crate::OrderId;

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something happened to this order.
    Order(OrderId),
    /// This job became due.
    Job { id: i64, lane: crate::job::Lane },
}

/// Carries hints inside one process.
///
/// Pages are spread by order, so that an event wakes only those who look at that order.
#[derive(Clone, Debug)]
pub struct Bus {
    orders: Arc<Mutex<HashMap<OrderId, watch::Sender<()>>>>,
    jobs: broadcast::Sender<(i64, crate::job::Lane)>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { orders: Arc::default(), jobs: broadcast::channel(4096).0 }
    }
}

impl Bus {
    pub fn tell(&self, hint: Hint) {
        match hint {
            Hint::Order(id) => {
                let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = orders.get(&id)
                    && sender.send(()).is_err()
                {
                    orders.remove(&id);
                }
            }
            // No pump in this process is no error: another process' pump will scan.
            Hint::Job { id, lane } => drop(self.jobs.send((id, lane))),
        }
    }

    /// Follows one order. Subscribe first, then read the row, then wait.
    pub fn follow(&self, order: &OrderId) -> watch::Receiver<()> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // Those nobody follows any more leave when the map has grown, not one by one.
        if orders.len() >= 1024 && orders.len().is_power_of_two() {
            orders.retain(|_, sender| sender.receiver_count() > 0);
        }
        orders.entry(order.clone()).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Follows the jobs that became due.
    pub fn jobs(&self) -> broadcast::Receiver<(i64, crate::job::Lane)> {
        self.jobs.subscribe()
    }
}
