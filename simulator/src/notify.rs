//! Telling the merchant: the dispatcher, WeChat Pay's retry ladder, and one try.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use http::{HeaderMap, header::CONTENT_TYPE};
use sea_orm::DbErr;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, watch};
use tracing::{error, info};

use crate::{
    credentials::{random_digits, random_text},
    faults::{FaultKind, Occasion, Target},
    signing::{Envelope, Keys, Signature, notification_id, request_id},
    store::{Delivered, Delivery, Notification, Try},
    wechat::Wechat,
    wire::{event::Event, xml},
};

/// Seconds from one try to the next; after the last there is nothing more.
const LADDER_S: [u64; 15] =
    [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600];
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_KEPT: usize = 4096;
const AT_ONCE: usize = 128;
/// How long an injected clock can have jumped before anyone looks.
const INJECTED_CLOCK_LOOK: Duration = Duration::from_millis(250);

pub(crate) struct Notifier {
    client: reqwest::Client,
    /// Shares no connection with anything.
    twin: reqwest::Client,
    time_scale: f64,
    wake: Notify,
    slots: Arc<Semaphore>,
    /// Whoever waits for quiet looks again whenever this changes.
    changes: watch::Sender<u64>,
    held: Mutex<Vec<Held>>,
}

/// A notification that lets the next one pass.
struct Held {
    id: String,
    mchid: String,
    /// Only the next one of this order counts.
    order: Option<String>,
}

/// What is not true in a post.
#[derive(Clone, Copy, Default)]
struct Lie {
    kind: Option<FaultKind>,
    skew_seconds: i32,
}

impl Notifier {
    pub(crate) fn new(time_scale: f64) -> anyhow::Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(ANSWER_TIMEOUT)
                .user_agent("Mozilla/4.0")
                .http1_title_case_headers()
        };
        Ok(Self {
            client: builder().build()?,
            twin: builder().http1_only().pool_max_idle_per_host(0).build()?,
            time_scale,
            wake: Notify::new(),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            changes: watch::Sender::new(0),
            held: Mutex::default(),
        })
    }

    fn hold(&self, told: &Notification, order: Option<String>) {
        let held = Held { id: told.id.clone(), mchid: told.mchid.clone(), order };
        self.held().push(held);
    }

    /// Those that waited for this one to be told first.
    fn let_go_by(&self, told: &Notification) -> Vec<String> {
        let is_told =
            |number: &String| *number == told.out_trade_no || told.out_refund_no.as_ref() == Some(number);
        let waited = |held: &mut Held| held.mchid == told.mchid && held.order.as_ref().is_none_or(is_told);
        self.held().extract_if(.., waited).map(|held| held.id).filter(|id| *id != told.id).collect()
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something became due, or the time changed.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// When to try again after so many tries.
    fn next_at(&self, now: i64, attempts: u32) -> Option<i64> {
        let rung = usize::try_from(attempts).ok()?.checked_sub(1)?;
        let wait = Duration::from_secs(*LADDER_S.get(rung)?).div_f64(self.time_scale);
        Some(now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Wechat {
    /// Sends what is due until the simulator stops.
    pub(crate) async fn dispatch(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let pause = match self.send_due().await {
                Ok(pause) => pause,
                Err(error) => {
                    error!(%error, "reading due notifications failed");
                    Some(Duration::from_secs(1))
                }
            };
            let timer = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.notifier.wake.notified() => {}
                () = timer => {}
            }
        }
    }

    /// Starts what is due and has room; says how long until the next, if that is known.
    async fn send_due(self: &Arc<Self>) -> Result<Option<Duration>, DbErr> {
        let room = self.notifier.slots.available_permits();
        if room == 0 {
            return Ok(None);
        }
        let due = self.store.claim_due(self.now(), u64::try_from(room).unwrap_or(1)).await?;
        for notification in due {
            let wechat = Arc::clone(self);
            self.tasks.spawn(async move {
                let permit = Arc::clone(&wechat.notifier.slots).acquire_owned().await;
                wechat.notify(notification).await;
                drop(permit);
                wechat.notifier.wake();
            });
        }
        let (next_try, next_refund) = self.store.next_due().await?;
        if next_refund.is_some_and(|due_at| due_at <= self.now()) {
            self.settle_due_refunds().await?;
            return Ok(Some(Duration::ZERO));
        }
        let Some(next_at) = next_try.into_iter().chain(next_refund).min() else {
            return Ok(None);
        };
        let wait = self.clock.wait_for(next_at);
        Ok(if self.clock.is_injected() {
            Some(wait.map_or(INJECTED_CLOCK_LOOK, |wait| wait.min(INJECTED_CLOCK_LOOK)))
        } else {
            wait
        })
    }

    /// One try with all that goes wrong in it, written down.
    pub(crate) async fn notify(self: &Arc<Self>, notification: Notification) {
        let id = notification.id.clone();
        match self.try_to_notify(notification).await {
            Ok(()) => {}
            Err(TryError::Stopped) => return,
            Err(TryError::Failed(error)) => {
                error!(%error, notification.id = %id, "notifying failed");
            }
        }
        self.notifier.changes.send_modify(|changes| *changes += 1);
        self.changed();
    }

    /// Waits until no notification is due and none is on its way.
    pub(crate) async fn notifications_settled(&self) -> Result<(), DbErr> {
        let mut changes = self.notifier.changes.subscribe();
        while self.store.is_notifying(self.now()).await? {
            if changes.changed().await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn try_to_notify(self: &Arc<Self>, mut told: Notification) -> Result<(), TryError> {
        let occasion = Occasion {
            target: Target::Notify,
            mchid: told.mchid.clone(),
            numbers: told.out_refund_no.iter().chain([&told.out_trade_no]).cloned().collect(),
            path: String::new(),
            was_put_off: told.was_delayed,
        };
        let fault = self.faults.take(&self.chance, &occasion);
        let kind = match &fault {
            Some(fault) => Some(fault.kind),
            None => self
                .chance
                .happens(self.probe_share, "probe notification", &occasion.subject())
                .then_some(FaultKind::ProbeSignature),
        };
        match kind {
            Some(FaultKind::Silent) => {
                told.state = Delivered::NeverSent;
                return self.record(&told, Vec::new()).await;
            }
            Some(put_off @ (FaultKind::Delay | FaultKind::Reorder)) => {
                let delay = fault.as_ref().and_then(|fault| fault.delay_ms).unwrap_or(0);
                told.was_delayed = true;
                told.next_at = Some(self.now().saturating_add_unsigned(delay));
                self.record(&told, Vec::new()).await?;
                if put_off == FaultKind::Reorder {
                    self.notifier.hold(&told, fault.and_then(|fault| fault.order));
                }
                return Ok(());
            }
            _ => {}
        }
        told.attempts += 1;
        let lie = Lie { kind, skew_seconds: fault.and_then(|fault| fault.skew_seconds).unwrap_or(0) };
        let deliveries = match kind {
            Some(FaultKind::Duplicate) => {
                let (one, other) = tokio::join!(
                    self.post(&told, lie, &self.notifier.twin),
                    self.post(&told, lie, &self.notifier.twin)
                );
                vec![one?, other?]
            }
            Some(FaultKind::UnknownEvent) => vec![
                self.post(&unknown_event(&told), lie, &self.notifier.client).await?,
                self.post(&told, Lie::default(), &self.notifier.client).await?,
            ],
            Some(FaultKind::Repeat) => vec![
                self.post(&told, lie, &self.notifier.client).await?,
                self.post(&told, lie, &self.notifier.client).await?,
            ],
            Some(FaultKind::ProbeSignature) => vec![
                self.post(&told, lie, &self.notifier.client).await?,
                self.post(&told, Lie::default(), &self.notifier.client).await?,
            ],
            _ => vec![self.post(&told, lie, &self.notifier.client).await?],
        };
        // A probe is there to be refused, and an unknown event is another one; taking them settles
        // nothing. Nor does what nobody heard.
        let others = [FaultKind::ProbeSignature, FaultKind::UnknownEvent].map(name);
        let taken = kind != Some(FaultKind::Unheard)
            && deliveries.iter().any(|sent| !others.contains(&sent.fault) && is_taken(&told, sent));
        told.next_at = None;
        told.state = if taken {
            Delivered::Taken
        } else {
            told.next_at = self.notifier.next_at(self.now(), told.attempts);
            match told.next_at {
                Some(_) => Delivered::Pending,
                None => Delivered::GivenUp,
            }
        };
        self.record(&told, deliveries).await?;
        let held = self.notifier.let_go_by(&told);
        if !held.is_empty() {
            self.store.make_due(&held, self.now()).await?;
            self.notifier.wake();
        }
        Ok(())
    }

    async fn record(&self, told: &Notification, sent: Vec<Delivery>) -> Result<(), TryError> {
        self.store.record_try(Try { told: told.clone(), sent }).await?;
        info!(
            notification.id = %told.id,
            notification.state = told.state.name(),
            notification.attempts = told.attempts,
            "notification tried"
        );
        Ok(())
    }

    /// Posts once, freshly sealed and signed.
    async fn post(
        self: &Arc<Self>,
        told: &Notification,
        Lie { kind, skew_seconds }: Lie,
        client: &reqwest::Client,
    ) -> Result<Delivery, TryError> {
        let content = altered(&told.content, kind)?;
        let (id, created_at, event) = (told.id.clone(), told.created_at, told.event);
        let now = self.now();
        let dated = self.clock.signing_ms() + i64::from(skew_seconds) * 1000;
        let signature = match kind {
            Some(FaultKind::WrongSignature) => Signature::Wrong,
            Some(FaultKind::ProbeSignature) => Signature::Probe,
            _ => Signature::Right,
        };
        let keys = self.merchants.find(&told.mchid).context("the merchant is gone")?;
        let public = || self.chance.happens(0.5, "public key on notification", &told.out_trade_no);
        let key = Arc::clone(keys.for_notification(public, now));
        let (body, headers) = keys
            .off_thread(move |keys| {
                if event == Event::RefundV2 {
                    return anyhow::Ok((notice_v2(keys, &content)?.into_bytes(), HeaderMap::new()));
                }
                let body = keys.envelope(&Envelope {
                    id: &id,
                    created_at,
                    event,
                    content: &serde_json::to_vec(&content)?,
                    has_associated_data: kind != Some(FaultKind::NoAssociatedData),
                })?;
                let headers = key.sign(dated, &body, signature);
                Ok((body, headers))
            })
            .await??;
        let content_type = if event == Event::RefundV2 { "text/xml" } else { "application/json" };
        let request = client
            .post(&told.notify_url)
            .headers(headers)
            .header(CONTENT_TYPE, content_type)
            .header("request-id", request_id(0))
            .body(body);
        let started = Instant::now();
        let answer = tokio::select! {
            () = self.stop.cancelled() => return Err(TryError::Stopped),
            answer = read_answer(request) => answer,
        };
        let (status, answer, error) = match answer {
            Ok((status, answer)) => (Some(status), Some(answer), None),
            Err(error) => (None, None, Some(root_cause(&error))),
        };
        Ok(Delivery {
            attempt: told.attempts,
            at: now,
            fault: kind.and_then(name),
            status,
            answer,
            error,
            took_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        })
    }
}

async fn read_answer(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, String)> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let mut answer = Vec::new();
    while answer.len() < ANSWER_KEPT
        && let Some(chunk) = response.chunk().await?
    {
        answer.extend_from_slice(&chunk);
    }
    answer.truncate(ANSWER_KEPT);
    Ok((status, String::from_utf8_lossy(&answer).into_owned()))
}

/// The content as the fault tells it; a field that is not there cannot lie.
fn altered(content: &str, kind: Option<FaultKind>) -> anyhow::Result<Value> {
    let mut said: Value = serde_json::from_str(content)?;
    let lie = match kind {
        Some(FaultKind::WrongAmount) => {
            for field in ["total", "payer_total", "refund", "payer_refund"] {
                if let Some(amount) = said["amount"].get_mut(field) {
                    *amount = amount.as_i64().map(|fen| fen + 1).into();
                }
            }
            None
        }
        Some(FaultKind::WrongAppid) => Some(("/appid", "wx9999999999999999".to_owned())),
        Some(FaultKind::WrongMchid) => Some(("/mchid", "1999999999".to_owned())),
        Some(FaultKind::WrongCurrency) => Some(("/amount/currency", "USD".to_owned())),
        Some(FaultKind::UnknownNumber) => Some(("/out_trade_no", format!("UNKNOWN{}", random_digits(16)))),
        _ => None,
    };
    if let Some((pointer, lie)) = lie
        && let Some(field) = said.pointer_mut(pointer)
    {
        *field = lie.into();
    }
    Ok(said)
}

/// A notification of something that no client has asked for.
fn unknown_event(told: &Notification) -> Notification {
    Notification {
        id: notification_id(),
        event: Event::Unknown,
        content: json!({"mchid": told.mchid}).to_string(),
        ..told.clone()
    }
}

/// The XML of API v2, which has no signature around its secret.
fn notice_v2(keys: &Keys, content: &Value) -> anyhow::Result<String> {
    let text = |name: &str| content[name].as_str().unwrap_or_default();
    let secret = content["req_info"].as_object().context("a notice without its secret")?;
    let fields = [
        ("return_code", "SUCCESS".to_owned()),
        ("appid", text("appid").to_owned()),
        ("mch_id", text("mch_id").to_owned()),
        ("nonce_str", random_text(32)),
        ("req_info", keys.seal_v2(&xml::element("root", secret))?),
    ];
    let fields = fields.map(|(name, text)| (name.to_owned(), Value::from(text)));
    Ok(xml::element("xml", &fields.into_iter().collect()))
}

/// Did the merchant say yes? v2 reads the answer, v3 its status.
fn is_taken(told: &Notification, sent: &Delivery) -> bool {
    match told.event {
        Event::RefundV2 => sent.status == Some(200) && sent.answer.as_deref().is_some_and(xml::is_success),
        _ => matches!(sent.status, Some(200 | 204)),
    }
}

fn name(kind: FaultKind) -> Option<String> {
    let name = serde_json::to_value(kind).ok()?;
    name.as_str().map(str::to_owned)
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

enum TryError {
    Stopped,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for TryError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_fifteen_rungs_and_lasts_a_day_and_four_minutes() {
        let notifier = Notifier::new(1.0).unwrap();
        let mut now = 0;
        let mut attempts = 1;
        while let Some(next) = notifier.next_at(now, attempts) {
            now = next;
            attempts += 1;
        }
        assert_eq!((attempts, now), (16, (24 * 60 + 4) * 60_000));
    }

    #[test]
    fn time_scale_shortens_the_ladder() {
        let notifier = Notifier::new(1000.0).unwrap();
        assert_eq!(notifier.next_at(7, 1), Some(22));
    }
}
