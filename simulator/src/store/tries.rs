//! What came of tries to notify: those that end at the same moment are written together.
//!
//! There is one connection, and each statement is a trip to it. Under load many tries wait for it;
//! whoever's turn is next takes the others' along, in as many statements as for one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{Delivery, Notification, Store, statement};

/// A notification as it stands after a try, and the posts of that try.
pub(crate) struct Try {
    pub told: Notification,
    pub sent: Vec<Delivery>,
}

/// Tries that wait to be written.
#[derive(Default)]
pub(super) struct Tries {
    waiting: Mutex<Vec<(Try, oneshot::Sender<Written>)>>,
    turn: tokio::sync::Mutex<()>,
}

type Written = Result<(), DbErr>;

impl Tries {
    fn waiting(&self) -> MutexGuard<'_, Vec<(Try, oneshot::Sender<Written>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    pub(crate) async fn record_try(&self, tried: Try) -> Written {
        let (written, mut outcome) = oneshot::channel();
        self.tries.waiting().push((tried, written));
        let _turn = self.tries.turn.lock().await;
        match outcome.try_recv() {
            Ok(outcome) => return outcome,
            Err(TryRecvError::Closed) => return Err(DbErr::Custom("whoever wrote it was stopped".into())),
            Err(TryRecvError::Empty) => {}
        }
        let waiting = std::mem::take(&mut *self.tries.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let (tries, others): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let outcome = self.write_tries(&tries).await;
        for other in others {
            // Only our own is not waited for.
            let _ = other.send(outcome.clone());
        }
        outcome
    }

    async fn write_tries(&self, tries: &[Try]) -> Written {
        let deliveries: Vec<_> = tries
            .iter()
            .flat_map(|tried| tried.sent.iter().map(|sent| delivery_json(&tried.told.id, sent)))
            .collect();
        let notifications: Vec<_> = tries.iter().map(|tried| notification_json(&tried.told)).collect();
        let txn = self.begin().await?;
        txn.execute_raw(statement(
            "INSERT INTO delivery (notification_id, attempt, at, fault, status, answer, error, took_ms)
             SELECT value ->> 'notification_id', value ->> 'attempt', value ->> 'at', value ->> 'fault',
                value ->> 'status', value ->> 'answer', value ->> 'error', value ->> 'took_ms'
             FROM json_each(?)",
            [Value::from(deliveries).to_string().into()],
        ))
        .await?;
        txn.execute_raw(statement(
            "UPDATE notification SET state = told.value ->> 'state', attempts = told.value ->> 'attempts',
                was_delayed = told.value ->> 'was_delayed', next_at = told.value ->> 'next_at'
             FROM json_each(?) AS told WHERE notification.id = told.value ->> 'id'",
            [Value::from(notifications).to_string().into()],
        ))
        .await?;
        txn.commit().await
    }
}

fn delivery_json(notification_id: &str, delivery: &Delivery) -> Value {
    json!({
        "notification_id": notification_id,
        "attempt": delivery.attempt,
        "at": delivery.at,
        "fault": delivery.fault,
        "status": delivery.status,
        "answer": delivery.answer,
        "error": delivery.error,
        "took_ms": delivery.took_ms,
    })
}

fn notification_json(notification: &Notification) -> Value {
    json!({
        "id": notification.id,
        "state": notification.state.name(),
        "attempts": notification.attempts,
        "was_delayed": notification.was_delayed,
        "next_at": notification.next_at,
    })
}
