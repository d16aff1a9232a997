//! Why an order is where it is: everything that is written down about it, in order of time.

use axum::{Json as Answer, extract::State};
use entity::{Timestamp, job, notification, order_event, payment, refund, shipping};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    caller::{Caller, Shop},
    explain::{Dossier, Explanation},
    problem::{ApiError, Problem},
    request::Segment,
};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimelineShown {
    /// The same in sentences, in Chinese and English: why it is where it is, what is known from whom,
    /// what happens next.
    explanation: Explanation,
    timeline: Vec<Line>,
}

/// Something that happened, or will.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What {
    /// The order, one of its payments, refunds or its shipping changed, or was told of.
    Event {
        seq: i64,
        kind: order_event::Kind,
        learnt_from: order_event::Source,
        #[serde(skip_serializing_if = "Option::is_none")]
        payment_id: Option<String>,
        order_status: entity::order::Status,
        #[serde(skip_serializing_if = "Option::is_none")]
        payment_status: Option<payment::Status>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refund_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refund_status: Option<refund::Status>,
        #[serde(skip_serializing_if = "Option::is_none")]
        shipping_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        shipping_status: Option<shipping::Status>,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        detail: Option<Value>,
    },
    /// WeChat Pay told us something.
    Notification {
        id: String,
        wechat_id: String,
        /// `received`, `applied`, `ignored` or `undecryptable`.
        #[schema(value_type = String)]
        verdict: notification::Verdict,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Work that is asked for; `at` is when it is due.
    Job {
        kind: String,
        subject: String,
        running: bool,
        dead: bool,
        runs: i64,
        failures: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_error: Option<String>,
    },
}

/// Show everything that is known about an order, in order of time.
#[utoipa::path(get, path = "/v1/orders/{id}/timeline", params(("id" = String, Path)), responses(
    (status = 200, body = TimelineShown),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn show_timeline(
    State(app): State<App>,
    Shop(merchant): Shop,
    Segment(id): Segment,
) -> Result<Answer<TimelineShown>, ApiError> {
    let order = Caller::Shop(merchant).order(&app, &id).await?;
    let now = app.db().now().await?;
    let dossier = Dossier::read(app.db().reader(), order).await?;
    let explanation = dossier.explain(now);

    let mut timeline: Vec<Line> = dossier.events.into_iter().map(Line::from).collect();
    timeline.extend(dossier.notifications.into_iter().map(Line::from));
    timeline.extend(dossier.jobs.into_iter().map(Line::from));
    // Stable: events of one moment stay in their sequence.
    timeline.sort_by_key(|line| line.at);
    Ok(Answer(TimelineShown { explanation, timeline }))
}

impl From<order_event::Model> for Line {
    fn from(event: order_event::Model) -> Self {
        let what = What::Event {
            seq: event.seq,
            kind: event.kind,
            learnt_from: event.learnt_from,
            payment_id: event.payment_id.map(|id| id.to_string()),
            order_status: event.order_status,
            payment_status: event.payment_status,
            refund_id: event.refund_id.map(|id| id.to_string()),
            refund_status: event.refund_status,
            shipping_id: event.shipping_id.map(|id| id.to_string()),
            shipping_status: event.shipping_status,
            detail: event.detail.and_then(|text| serde_json::from_str(&text).ok()),
        };
        Self { at: event.at, what }
    }
}

impl From<notification::Model> for Line {
    fn from(notification: notification::Model) -> Self {
        let what = What::Notification {
            id: notification.id.to_string(),
            wechat_id: notification.wechat_id,
            verdict: notification.verdict,
            reason: notification.reason,
        };
        Self { at: notification.received_at, what }
    }
}

impl From<job::Model> for Line {
    fn from(job: job::Model) -> Self {
        let what = What::Job {
            kind: job.kind,
            subject: job.subject,
            running: job.lease.is_some(),
            dead: job.dead_at.is_some(),
            runs: job.runs,
            failures: job.failures,
            last_error: job.last_error.map(without_cause),
        };
        Self { at: job.due_at, what }
    }
}

/// What failed, and not in whose words: what follows the colon is the database's, or a library's.
fn without_cause(error: String) -> String {
    match error.split_once(": ") {
        Some((what, _)) => what.to_owned(),
        None => error,
    }
}
