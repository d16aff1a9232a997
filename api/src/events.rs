//! The live stream of one order.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response, Sse, sse},
};
use entity::{
    OrderId, Timestamp, order, order_event,
    payment::{self, Status},
};
use futures::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use jobs::ConfirmPayment;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio::{sync::watch, time::Instant};

use crate::{
    app::App,
    caller::CallerByUrl,
    problem::{ApiError, Problem},
    request::Segment,
    views::Event,
};

/// A hint may be lost; then the rows are read this often.
const READ_EVERY: Duration = Duration::from_millis(500);

/// Little happens to an order that is paid or closed.
const READ_EVERY_AT_REST: Duration = Duration::from_secs(5);

/// While somebody follows an order, WeChat Pay is asked this often.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many events are read at once.
const PAGE: u64 = 50;

/// Follow an order.
///
/// Server-sent events named `order`, each with its sequence as id. A reader that comes back with
/// `Last-Event-ID` gets what it missed, from any process.
#[utoipa::path(get, path = "/v1/orders/{id}/events",
    params(
        ("id" = String, Path),
        ("client_secret" = Option<String>, Query, description = "Instead of the header, which an EventSource cannot send"),
        ("Last-Event-ID" = Option<i64>, Header),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = Event),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn stream_order_events(
    State(app): State<App>,
    CallerByUrl(caller): CallerByUrl,
    Segment(id): Segment,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let order = caller.order(&app, &id).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
    let follower = Follower {
        hints: app.db().bus().follow(&order.id),
        app,
        order: order.id,
        last,
        read: VecDeque::new(),
        next_confirm: Instant::now(),
        read_every: READ_EVERY,
    };
    let keep_alive = sse::KeepAlive::new().interval(KEEP_ALIVE);
    // A proxy that buffers would hold the news back.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(follower.into_stream()).keep_alive(keep_alive)).into_response())
}

struct Follower {
    app: App,
    order: OrderId,
    hints: watch::Receiver<()>,
    /// The sequence of the last event that was sent.
    last: i64,
    read: VecDeque<order_event::Model>,
    next_confirm: Instant,
    read_every: Duration,
}

impl Follower {
    fn into_stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut follower| async {
            let event = follower.next().await?;
            let sent = sse::Event::default().id(event.seq.to_string()).event("order");
            // A view that cannot be written is a hint without data: the page reads the order.
            let sent = sent.json_data(Event::from(event)).unwrap_or_default();
            Some((Ok(sent), follower))
        })
    }

    /// The next event, however long it takes; `None` when this process stops, and the reader will
    /// come back to another.
    async fn next(&mut self) -> Option<order_event::Model> {
        let stopping = self.app.ending().stopping.clone();
        loop {
            if let Some(event) = self.read.pop_front() {
                self.last = event.seq;
                let is_at_rest = event.order_status.is_paid() || event.order_status == order::Status::Closed;
                self.read_every = if is_at_rest { READ_EVERY_AT_REST } else { READ_EVERY };
                return Some(event);
            }
            match self.look().await {
                Ok(true) => continue,
                Ok(false) => {}
                // The database may be away for a moment; the stream outlives it.
                Err(error) => tracing::warn!(%error, order.id = %self.order, "the events could not be read"),
            }
            tokio::select! {
                () = stopping.cancelled() => return None,
                changed = self.hints.changed() => changed.ok()?,
                () = tokio::time::sleep(self.read_every) => {}
            }
        }
    }

    /// Reads what is new; true if anything was.
    async fn look(&mut self) -> Result<bool, DbErr> {
        let events = order_event::Entity::find()
            .filter(order_event::Column::OrderId.eq(self.order.clone()))
            .filter(order_event::Column::Seq.gt(self.last))
            .order_by_asc(order_event::Column::Seq)
            .limit(PAGE)
            .all(self.app.db().reader())
            .await?;
        self.read.extend(events);
        if !self.read.is_empty() {
            return Ok(true);
        }
        if self.next_confirm <= Instant::now() {
            self.next_confirm = Instant::now() + CONFIRM_EVERY;
            self.confirm().await?;
        }
        Ok(false)
    }

    /// Somebody is looking: WeChat Pay is to be asked ten seconds after it was asked last.
    async fn confirm(&self) -> Result<(), DbErr> {
        let live = payment::Entity::find()
            .filter(payment::Column::OrderId.eq(self.order.clone()))
            .filter(payment::Column::Status.is_in([Status::AwaitingPayment, Status::Unknown]))
            .one(self.app.db().reader())
            .await?;
        let Some(payment) = live else { return Ok(()) };
        self.app
            .db()
            .write(async |txn| {
                let now: Timestamp = txn.now().await?;
                let since = payment.asked_at.unwrap_or(payment.created_at);
                let due = now.max(since + CONFIRM_EVERY);
                jobs::enqueue_at(txn, &ConfirmPayment::of(&payment.id), due).await
            })
            .await
    }
}
