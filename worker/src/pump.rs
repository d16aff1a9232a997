//! Takes due rows and hands their ids to the first queue that is there, never more than it has room for.
//!
//! A hint of the bus saves the wait for the next scan; the scan is what is relied upon.

use std::{sync::Arc, time::Duration};

use entity::job::Due;
use jobs::crash_point;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{
    execution::Engine,
    transport::{Offered, Transport},
};

/// The queues of a lane, the preferred one first. The last is always there.
pub(crate) type Queues = Arc<[Arc<dyn Transport>]>;

/// How long a job that nobody hinted at may stay unseen.
const SCAN_EVERY: Duration = Duration::from_millis(200);

/// A connection that went silent must not silence the pump.
const SCAN_LIMIT: Duration = Duration::from_secs(10);

/// While there is more than fits, look again this soon.
const SCAN_AGAIN: Duration = Duration::from_millis(20);

/// Runs until it is told to stop.
pub(crate) async fn run(engine: Arc<Engine>, queues: Queues, stop: CancellationToken) {
    let mut hints = engine.context().db.bus().jobs();
    let mut hinting = true;
    let mut next_scan = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next_scan) => {
                let full = scan(&engine, &queues).await;
                next_scan = tokio::time::Instant::now() + if full { SCAN_AGAIN } else { SCAN_EVERY };
            }
            hint = hints.recv(), if hinting => match hint {
                Ok(due) => {
                    if due.lane == engine.lane() {
                        offer(&engine, &queues, due).await;
                    }
                }
                // More was hinted at than could be remembered: look at the rows.
                Err(RecvError::Lagged(_)) => next_scan = tokio::time::Instant::now(),
                Err(RecvError::Closed) => hinting = false,
            },
        }
    }
}

/// Hands out what is due; true if there was more than fitted.
async fn scan(engine: &Engine, queues: &Queues) -> bool {
    let room = queues.iter().find(|queue| queue.is_there()).map_or(0, |queue| queue.room());
    if room == 0 {
        return true;
    }
    let reading = jobs::due(&engine.context().db, engine.lane(), room as u64);
    let due = match tokio::time::timeout(SCAN_LIMIT, reading).await {
        Ok(Ok(due)) => due,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the due jobs could not be read");
            return false;
        }
        Err(_) => {
            tracing::warn!("the database did not say which jobs are due");
            return false;
        }
    };
    crash_point!("pump.scanned");
    let full = due.len() >= room;
    for due in due {
        offer(engine, queues, due).await;
    }
    full
}

async fn offer(engine: &Engine, queues: &Queues, due: Due) {
    if engine.hand_out(due) && !is_taken(engine, queues, due).await {
        engine.take_back(due.id);
    }
    crash_point!("pump.offered");
}

/// Offers a job to the first queue that is there; one that goes away over it is followed by the next.
async fn is_taken(engine: &Engine, queues: &Queues, due: Due) -> bool {
    for queue in queues.iter().filter(|queue| queue.is_there()) {
        match queue.offer(due).await {
            Offered::Taken { offered_again_after } => {
                engine.expect_within(due.id, offered_again_after);
                return true;
            }
            Offered::Refused if queue.is_there() => return false,
            Offered::Refused => {}
        }
    }
    false
}
