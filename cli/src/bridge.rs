//! Carries hints from process to process, over Redis pub/sub.
//!
//! The bus of a process hears what the others told: a page that is connected to one api process is
//! woken by what a worker did elsewhere. A hint that is lost costs the 200 or 500 ms after which
//! everybody looks by itself; so nothing here is repeated, and nothing waits for Redis.

use std::time::Duration;

use entity::{
    Bus, Hint, OrderId, Timestamp,
    job::{Due, Lane},
};
use futures::StreamExt;
use redis::{Pipeline, RedisError, RedisResult, aio::ConnectionManager};
use sea_orm::ActiveEnum;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinSet,
    time::timeout,
};
use ulid::Ulid;
use worker::RedisAt;

use crate::roles::Roles;

/// Every process says so often that it is there, to itself: then it knows that it still hears.
const BEAT: Duration = Duration::from_secs(1);

/// A subscription that is silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(4);

const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// So many hints go out in one round trip.
const AT_ONCE: usize = 256;

/// One hint on its way.
#[derive(Debug, Serialize, Deserialize)]
struct Carried {
    /// The process that told it, which need not hear it again.
    from: String,
    hint: Option<CarriedHint>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CarriedHint {
    Order(OrderId),
    Job { id: i64, lane: i16, due_at: i64 },
}

/// Where hints are told. Only those who can use them listen there.
#[derive(Clone)]
struct Channels {
    orders: String,
    jobs: String,
    own: String,
}

/// Starts carrying, for as long as the set lives.
pub(crate) fn start(at: &RedisAt, bus: &Bus, roles: Roles) -> RedisResult<JoinSet<()>> {
    let me = Ulid::generate().to_string();
    let channels = Channels {
        orders: format!("{}:hints:orders", at.prefix),
        jobs: format!("{}:hints:jobs", at.prefix),
        own: format!("{}:hints:{me}", at.prefix),
    };
    let connection = at.connection(ANSWERS_WITHIN)?;
    let speaker = Speaker { me: me.clone(), roles, channels: channels.clone(), connection };
    let listener = Listener { me, roles, channels, bus: bus.clone(), client: at.client.clone() };
    let mut tasks = JoinSet::new();
    tasks.spawn(speaker.speak(bus.told()));
    tasks.spawn(listener.listen());
    Ok(tasks)
}

struct Speaker {
    me: String,
    roles: Roles,
    channels: Channels,
    connection: ConnectionManager,
}

impl Speaker {
    async fn speak(mut self, mut told: Receiver<Hint>) {
        let mut beat = tokio::time::interval(BEAT);
        let mut was_there = true;
        loop {
            let mut hints = Vec::new();
            let is_beat = tokio::select! {
                _ = beat.tick() => true,
                hint = told.recv() => match hint {
                    Ok(hint) => {
                        hints.push(hint);
                        hints.extend(std::iter::from_fn(|| told.try_recv().ok()).take(AT_ONCE));
                        false
                    }
                    // More was told than could be carried; the others look by themselves.
                    Err(RecvError::Lagged(_)) => false,
                    Err(RecvError::Closed) => return,
                },
            };
            let all = self.as_said(&hints, is_beat);
            // Nothing of it is for others: that says nothing about Redis.
            if all.is_empty() {
                continue;
            }
            let said: Result<(), RedisError> = all.exec_async(&mut self.connection).await;
            // A Redis that is full still carries hints. Only a beat shows that it takes writes.
            let is_there = said.is_ok() && (is_beat || was_there);
            metrics::gauge!("everpaid_redis_up").set(if is_there { 1.0 } else { 0.0 });
            match &said {
                Ok(()) if is_there && !was_there => tracing::info!("Redis carries the hints again"),
                Ok(()) => {}
                Err(error) if was_there => {
                    // The error may hold the address with its password; its kind does not.
                    tracing::warn!(kind = ?error.kind(), "Redis does not carry the hints; everybody looks by itself");
                }
                Err(_) => {}
            }
            was_there = is_there;
        }
    }

    fn as_said(&self, hints: &[Hint], is_beat: bool) -> Pipeline {
        let mut all = redis::pipe();
        if is_beat {
            all.publish(&self.channels.own, self.carried(None)).ignore();
            all.set_ex(&self.channels.own, 1, BEAT.as_secs() * 10).ignore();
        }
        for hint in hints {
            match hint {
                Hint::Order(id) => {
                    let carried = self.carried(Some(CarriedHint::Order(id.clone())));
                    all.publish(&self.channels.orders, carried).ignore();
                }
                // A worker's own pump has it in the queue already.
                Hint::Job(_) if self.roles.worker => {}
                Hint::Job(Due { id, lane, due_at }) => {
                    let job = CarriedHint::Job { id: *id, lane: lane.to_value(), due_at: due_at.0 };
                    all.publish(&self.channels.jobs, self.carried(Some(job))).ignore();
                }
            }
        }
        all
    }

    fn carried(&self, hint: Option<CarriedHint>) -> String {
        serde_json::to_string(&Carried { from: self.me.clone(), hint }).unwrap_or_default()
    }
}

struct Listener {
    me: String,
    roles: Roles,
    channels: Channels,
    bus: Bus,
    client: redis::Client,
}

impl Listener {
    async fn listen(self) {
        loop {
            // Why it ended is the speaker's to say: it notices too.
            drop(self.listen_until_it_ends().await);
            tokio::time::sleep(ANSWERS_WITHIN).await;
        }
    }

    async fn listen_until_it_ends(&self) -> anyhow::Result<()> {
        let mut subscription = timeout(ANSWERS_WITHIN, self.client.get_async_pubsub()).await??;
        let wanted = [
            Some(&self.channels.own),
            self.roles.api.then_some(&self.channels.orders),
            self.roles.worker.then_some(&self.channels.jobs),
        ];
        for channel in wanted.into_iter().flatten() {
            timeout(ANSWERS_WITHIN, subscription.subscribe(channel)).await??;
        }
        // What was told while nobody listened.
        self.bus.wake_all();
        let mut messages = subscription.into_on_message();
        while let Some(message) = timeout(SILENCE, messages.next()).await? {
            self.hear(message.get_payload_bytes());
        }
        Ok(())
    }

    fn hear(&self, message: &[u8]) {
        let hint = match serde_json::from_slice(message) {
            Ok(Carried { from, hint: Some(hint) }) if from != self.me => hint,
            Ok(_) => return,
            // A newer process may tell what this one cannot use.
            Err(error) => return tracing::debug!(%error, "a hint was not understood"),
        };
        match hint {
            CarriedHint::Order(id) => self.bus.hear(&Hint::Order(id)),
            CarriedHint::Job { id, lane, due_at } => {
                if let Ok(lane) = Lane::try_from_value(&lane) {
                    self.bus.hear(&Hint::Job(Due { id, lane, due_at: Timestamp(due_at) }));
                }
            }
        }
    }
}
