//! What an operator's Prometheus reads after a day at the shop.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use entity::payment;
use serde_json::json;
use simulator::{Fault, FaultKind, Target};

use crate::{
    sink::Sink,
    system::{Answered, MERCHANT, TestSystem, UNBOUND_APP},
};

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";

/// Longer than a tick of the gauges.
const PATIENCE: Duration = Duration::from_secs(20);

/// The names in the first column of docs/metrics.md.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(page).expect("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap_or_default().to_owned()).collect()
}

/// What `/metrics` says of a name, or of a name with its first label: the sum of its lines, if there
/// are any.
fn value(metrics: &str, name: &str) -> Option<f64> {
    let of_name =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{', '}', ',']));
    let values = metrics.lines().filter(of_name).map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.reduce(|sum, value| Some(sum? + value?)).flatten()
}

/// Every metric of docs/metrics.md is there after a day with a bit of everything, and what was
/// counted is what happened. Other tests count in this process too, so there may be more.
#[tokio::test]
async fn after_a_day_every_metric_has_a_value() {
    let mut system = TestSystem::one().await;
    system.configure(|merchant| merchant.out_trade_no_prefix = "EP".to_owned()).await;
    let sink = Sink::start(&system.clock).await;
    system.listens(MERCHANT, "shop", sink.webhook(SECRET)).await;

    let told = system.paid_order("T-TOLD").await;
    system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
    let asked = system.place_order("T-ASKED").await;
    let payment = system.ready_payment(&asked).await;
    system.payer_pays(&payment).await;
    system.advance(Duration::from_secs(5)).await;
    system.order_is_paid(&asked).await;
    let looked = system.place_order("T-LOOKED").await;
    let payment = system.ready_payment(&looked).await;
    system.payer_pays(&payment).await;
    system.confirm(&looked, &payment.id).await;
    system.order_is_paid(&looked).await;
    system.wechat_is_well();
    let closed = system.place_order("T-CLOSED").await;
    system.ready_payment(&closed).await;
    system.shop_posts(&format!("/v1/orders/{}/close", closed.id), &json!({})).await;
    system.post("/v1/wechat/mini-program/login", &closed.client_secret, &json!({ "code": "nonsense" })).await;
    let unbound = json!({ "method": "mini_program", "app_id": UNBOUND_APP, "openid": "oPayerOfTea" });
    let refused = system.place_order("T-REFUSED").await;
    let answered = system.shop_posts(&format!("/v1/orders/{}/payments", refused.id), &unbound).await;
    assert_eq!(answered.code(), "payment_refused");
    system.refund(&told, "R-1", 1000).await;
    let notary = system.simulator.notary();
    for number in ["EPNOTOURS0000001", "SOMEBODY00000001"] {
        let claim = notary.notification(&notary.paid_transaction(number, 100)).unwrap();
        assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
    }
    system.jobs_are_idle().await;
    system.advance(Duration::from_secs(5)).await;
    sink.has_got(4).await;

    let names = documented();
    assert!(names.len() > 20, "{names:?}");
    let read = async || Answered::of(system.http.get(system.metrics_url())).await.body;
    let all_there = async {
        loop {
            let metrics = read().await;
            let text = metrics.as_str().unwrap();
            // A histogram is there as its count.
            let is_there =
                |name: &String| value(text, name).or_else(|| value(text, &format!("{name}_count"))).is_some();
            if names.iter().all(is_there) {
                return;
            }
            // The gauges follow at their own pace.
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(PATIENCE, all_there).await.is_err() {
        panic!("not all of {names:#?} are in\n{}", read().await.as_str().unwrap());
    }
    let metrics = read().await;
    let text = metrics.as_str().unwrap();
    for (name, at_least) in [
        ("everpaid_payments_ended_total{status=\"succeeded\"", 2.0),
        ("everpaid_payments_ended_total{status=\"closed\"", 1.0),
        ("everpaid_payments_ended_total{status=\"failed\"", 1.0),
        ("everpaid_payment_known_seconds_count{source=\"notification\"", 1.0),
        ("everpaid_payment_known_seconds_count{source=\"query\"", 1.0),
        ("everpaid_payment_known_seconds_count{source=\"page\"", 1.0),
        ("everpaid_payment_known_seconds_sum{source=\"query\"", 5.0),
        ("everpaid_notifications_settled_total{verdict=\"applied\"", 2.0),
        ("everpaid_notifications_foreign_total", 1.0),
        ("everpaid_cases_opened_total{kind=\"unknown_number\"", 1.0),
        ("everpaid_openid_exchanges_total{door=\"mini_program\"", 1.0),
        ("everpaid_webhook_deliveries_total{outcome=\"delivered\"", 4.0),
    ] {
        let counted = value(text, name).unwrap_or_default();
        assert!(counted >= at_least, "{name} is {counted} and not {at_least} in\n{text}");
    }
    assert!(!text.contains(told.id.as_str()), "no id is a label");
    system.end().await;
}

/// What WeChat Pay does not let come to rest is overdue from its order's expiry on.
#[tokio::test]
async fn a_payment_that_does_not_come_to_rest_is_overdue() {
    for system in TestSystem::each().await {
        assert_eq!(payment::oldest_overdue(&system.db()).await.unwrap(), None);
        let order = system.place_order("T-STUCK").await;
        system.ready_payment(&order).await;
        let later = system.place_order("T-LATER").await;
        system.ready_payment(&later).await;
        let expires_at = system.order(&order).await.expires_at;
        assert_eq!(payment::oldest_overdue(&system.db()).await.unwrap(), Some(expires_at));
        system.wechat(Fault::new(FaultKind::Down));
        system.advance(Duration::from_secs(3 * 60 * 60)).await;
        assert_eq!(payment::oldest_overdue(&system.db()).await.unwrap(), Some(expires_at));
        assert!(expires_at < system.clock.now());
        system.wechat_is_well();
        system.advance(Duration::from_secs(60 * 60)).await;
        assert_eq!(payment::oldest_overdue(&system.db()).await.unwrap(), None);
        system.end().await;
    }
}

/// The page lists what the sources count, neither more nor less.
#[test]
fn the_page_of_metrics_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut counted = BTreeSet::new();
    let mut folders = vec![root.join("api/src"), root.join("worker/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).expect("a source");
            let words = source.split('"').filter(|word| word.starts_with("everpaid_"));
            counted.extend(words.map(str::to_owned));
        }
    }
    assert_eq!(documented(), counted);
}
