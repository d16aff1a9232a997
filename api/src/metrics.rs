//! What Prometheus sees, on a listener of its own.
//!
//! Labels are bounded: route templates, kinds, words of ours. Never an id, a merchant or a path.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
    routing::get,
};
use entity::{
    Db, Timestamp, case, payment, refund,
    webhook_delivery::{self, Undelivered},
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sea_orm::{ActiveEnum, DbErr, Iterable};
use wechatpay::{Host, Switched};

use crate::Clocks;

/// How often the gauges are read from the database and the histograms are tidied up.
const EVERY: Duration = Duration::from_secs(5);

/// How long the database may take to answer all of them. One that hangs answers nothing, not even no.
const PATIENCE: Duration = Duration::from_secs(10);

/// From a tenth of a millisecond to WeChat Pay's longest answer.
const SECONDS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// From what nobody waits for to the last rung of the ladder: WeChat Pay tells the time in whole seconds.
const SECONDS_UNTIL_KNOWN: [f64; 12] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0];

/// Installs the recorder of this process. Once.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        // Without buckets they would come out as summaries, which cannot be added up.
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(
            Matcher::Full("everpaid_payment_known_seconds".to_owned()),
            &SECONDS_UNTIL_KNOWN,
        )?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_histogram!("everpaid_http_request_duration_seconds", "Requests by route template and status");
    describe_counter!(
        "everpaid_notifications_total",
        "Notifications of WeChat Pay by what became of them at the door"
    );
    describe_counter!(
        "everpaid_notifications_settled_total",
        "Stored notifications by the verdict on what is inside"
    );
    describe_counter!(
        "everpaid_notifications_foreign_total",
        "Notifications about numbers of others who use the same mchid"
    );
    describe_counter!("everpaid_payments_ended_total", "Payments by how they ended");
    describe_histogram!(
        "everpaid_payment_known_seconds",
        "From the payer's success at WeChat Pay to our commit, by who told"
    );
    describe_gauge!(
        "everpaid_payment_oldest_overdue_seconds",
        "For how long the time of the most overdue payment has been up"
    );
    describe_gauge!("everpaid_database_up", "Whether the database answered when the gauges were last read");
    describe_gauge!("everpaid_redis_up", "Whether Redis takes the hints of this process");
    describe_counter!("everpaid_sweeper_finds_total", "What was not over and had no job, by what it was");
    describe_counter!("everpaid_cases_opened_total", "Cases that were opened, by kind");
    describe_gauge!("everpaid_cases_open", "Cases that wait for a person, by kind");
    describe_gauge!("everpaid_refunds", "Refunds that are not over, by status");
    describe_counter!("everpaid_job_runs_total", "Runs of jobs by kind and outcome");
    describe_histogram!("everpaid_job_run_seconds", "How long a run took");
    describe_gauge!("everpaid_jobs_live", "Jobs that wait or run, by kind");
    describe_gauge!("everpaid_jobs_dead", "Jobs that were given up, by kind");
    describe_gauge!("everpaid_job_oldest_overdue_seconds", "How long the longest overdue job has been due");
    describe_counter!("everpaid_webhook_deliveries_total", "Tries to tell a shop, by what became of them");
    describe_histogram!("everpaid_webhook_seconds", "How long a try to tell a shop took, by its outcome");
    describe_gauge!("everpaid_webhook_pending", "Deliveries to shops that are not made yet");
    describe_gauge!("everpaid_webhook_dead", "Deliveries to shops that were given up");
    describe_gauge!(
        "everpaid_webhook_oldest_pending_seconds",
        "Since when the oldest delivery that is not made yet was asked for"
    );
    describe_counter!(
        "everpaid_openid_exchanges_total",
        "Questions to WeChat about who a payer is, by where the code came from and what came of it"
    );
    describe_histogram!(
        "everpaid_wechat_call_duration_seconds",
        "Tries of calls to WeChat Pay by operation, host and outcome"
    );
    describe_gauge!(
        "everpaid_wechat_breaker_open",
        "Merchants whose calls are kept from a host of WeChat Pay that does not answer"
    );
    describe_gauge!(
        "everpaid_clock_ahead_seconds",
        "How far this machine's clock is ahead of WeChat Pay's and of the database's"
    );
    for host in [Host::Primary, Host::Backup] {
        breaker(host).set(0.0);
    }
}

/// How many merchants' clients let a host rest: each has breakers of its own.
fn breaker(host: Host) -> metrics::Gauge {
    metrics::gauge!("everpaid_wechat_breaker_open", "host" => host.as_str())
}

/// The listener for Prometheus.
pub fn router(handle: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(async |State(handle): State<PrometheusHandle>| handle.render()))
        .with_state(handle)
}

/// Reads the gauges and tidies the histograms up, until the process ends.
pub async fn keep(handle: PrometheusHandle, db: Db, clocks: Clocks) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        // Otherwise every sample since the last scrape stays in memory.
        handle.run_upkeep();
        let answered = match tokio::time::timeout(PATIENCE, read(&db, &clocks)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the gauges could not be read from the database");
                false
            }
            Err(_) => {
                tracing::warn!(patience = ?PATIENCE, "the database does not answer; the gauges stand still");
                false
            }
        };
        metrics::gauge!("everpaid_database_up").set(if answered { 1.0 } else { 0.0 });
        clocks.publish();
    }
}

async fn read(db: &Db, clocks: &Clocks) -> Result<(), DbErr> {
    clocks.database_says(db.now().await?);
    publish_jobs(&jobs::overview(db).await?);
    let overdue = payment::oldest_overdue(db).await?;
    metrics::gauge!("everpaid_payment_oldest_overdue_seconds").set(age(db, overdue).await?);
    let undelivered = webhook_delivery::undelivered(db).await?;
    publish_undelivered(undelivered, age(db, undelivered.oldest_pending).await?);
    let cases = case::count_open(db.reader()).await?;
    publish_counts("everpaid_cases_open", "kind", &cases, case::Kind::iter());
    let refunds = refund::count_not_at_rest(db.reader()).await?;
    publish_counts("everpaid_refunds", "status", &refunds, refund::Status::NOT_AT_REST.into_iter());
    Ok(())
}

/// How many seconds ago that was; zero if it was not.
async fn age(db: &Db, at: Option<Timestamp>) -> Result<f64, DbErr> {
    let Some(at) = at else { return Ok(0.0) };
    Ok(db.now().await?.since(at).as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody counts 2^53 jobs")]
fn publish_jobs(kinds: &[jobs::Overview]) {
    for kind in jobs::Kind::ALL.map(jobs::Kind::name) {
        // A kind without rows is zero, not absent: otherwise the last value would stay.
        let of_kind = kinds.iter().find(|overview| overview.kind == kind);
        metrics::gauge!("everpaid_jobs_live", "kind" => kind).set(of_kind.map_or(0, |kind| kind.live) as f64);
        metrics::gauge!("everpaid_jobs_dead", "kind" => kind).set(of_kind.map_or(0, |kind| kind.dead) as f64);
    }
    let oldest = kinds.iter().map(|kind| kind.overdue).max().unwrap_or_default();
    metrics::gauge!("everpaid_job_oldest_overdue_seconds").set(oldest.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody counts 2^53 webhooks")]
fn publish_undelivered(counted: Undelivered, age: f64) {
    metrics::gauge!("everpaid_webhook_pending").set(counted.pending as f64);
    metrics::gauge!("everpaid_webhook_dead").set(counted.dead as f64);
    metrics::gauge!("everpaid_webhook_oldest_pending_seconds").set(age);
}

/// One gauge for every word there is: what was not counted is zero, not absent.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody counts 2^53 of them")]
fn publish_counts<W: ActiveEnum<Value = String> + PartialEq>(
    name: &'static str,
    label: &'static str,
    counts: &[(W, i64)],
    words: impl Iterator<Item = W>,
) {
    for word in words {
        let count = counts.iter().find(|(counted, _)| *counted == word).map_or(0, |(_, count)| *count);
        metrics::gauge!(name, label => word.to_value()).set(count as f64);
    }
}

/// Measures a request by its route template.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched".to_owned(), |path| path.as_str().to_owned());
    // A client may invent methods; a label may not.
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("everpaid_http_request_duration_seconds",
        "method" => method, "route" => route, "status" => status)
    .record(started.elapsed());
    response
}

/// Measures a try of a call to WeChat Pay.
pub fn observe_call(call: &wechatpay::Call, clocks: &Clocks) {
    if let Some(date) = call.date {
        clocks.wechat_pay_says(date);
    }
    metrics::histogram!("everpaid_wechat_call_duration_seconds",
        "operation" => call.operation, "host" => call.host.as_str(), "outcome" => call.outcome)
    .record(call.duration);
    match call.switched {
        Some(Switched::Open) => breaker(call.host).increment(1.0),
        Some(Switched::Closed) => breaker(call.host).decrement(1.0),
        None => {}
    }
}
