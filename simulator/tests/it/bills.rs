//! The trade bill of a day, and its download.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use flate2::read::GzDecoder;
use serde_json::json;
use sha1::{Digest, Sha1};
use simulator::{Fault, FaultKind, Options, Pay, Simulator, Target};

use crate::client::{Answer, CREDENTIALS, Client, start_with};

const NOWHERE: &str = "http://127.0.0.1:9/notify";
const HOUR: u64 = 3600;
/// 2026-09-12 08:00:00 in Beijing.
const MORNING: i64 = 1_789_171_200_000;

/// A simulator whose clock stands still, in the morning of a day in September; the merchant's
/// stands with it.
async fn start() -> (Simulator, Client) {
    start_in(Options::default()).await
}

async fn start_in(given: Options) -> (Simulator, Client) {
    let clock = Arc::new(AtomicI64::new(MORNING));
    let now = Arc::new(move || clock.load(Ordering::SeqCst));
    let credentials = given.credentials.or_else(|| Some(CREDENTIALS.clone()));
    let (simulator, mut client) = start_with(Options { now: Some(now), credentials, ..given }).await;
    client.date = Some(MORNING / 1000);
    (simulator, client)
}

async fn paid(simulator: &Simulator, client: &Client, number: &str) {
    client.create("native", &client.native_order(number, NOWHERE)).await;
    simulator.pay(number, Pay::default()).await.unwrap();
}

async fn later(simulator: &Simulator, seconds: u64) {
    simulator.advance_clock(Duration::from_secs(seconds)).await.unwrap();
}

async fn refund(client: &Client, order: &str, number: &str, fen: i64) {
    let refund = json!({
        "out_trade_no": order,
        "out_refund_no": number,
        "amount": {"refund": fen, "total": 100, "currency": "CNY"},
    });
    assert_eq!(client.refund(&refund).await.status, 200);
}

async fn ask(client: &Client, query: &str) -> Answer {
    client.call("GET", &format!("/v3/bill/tradebill?{query}"), "").await
}

/// Signed as it was given, answered without a signature.
async fn download(client: &Client, bill: &Answer) -> Answer {
    let url = bill.json()["download_url"].as_str().unwrap().to_owned();
    let target = url.strip_prefix(&client.url).unwrap();
    client.try_call("GET", target, "").await.unwrap()
}

/// The cells of a bill's lines, without the header and the summary.
fn rows(bill: &Answer) -> Vec<Vec<String>> {
    let text = String::from_utf8(bill.body.clone()).unwrap();
    let lines: Vec<_> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
    let cells = |line: &&str| line.split(',').map(|cell| cell.replacen('`', "", 1)).collect();
    lines[1..lines.len() - 2].iter().map(cells).collect()
}

#[tokio::test]
async fn a_day_of_trade_is_billed_the_next_morning() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    client.create("native", &client.native_order("UNPAID", NOWHERE)).await;
    later(&simulator, 10).await;
    refund(&client, "ORDER-1", "R1", 40).await;
    later(&simulator, 26 * HOUR).await;

    let bill = ask(&client, "bill_date=2026-09-12").await;
    assert_eq!(bill.status, 200);
    assert_eq!(bill.json()["hash_type"], "SHA1");
    let file = download(&client, &bill).await;
    assert_eq!(file.status, 200);
    assert!(!file.is_signed());
    assert_eq!(bill.json()["hash_value"], hex::encode(Sha1::digest(&file.body)));
    assert!(file.body.starts_with("\u{feff}交易时间,公众账号ID,".as_bytes()));

    let order = simulator.payment("ORDER-1").await.unwrap();
    let refunded = &order.refunds[0];
    let rows = rows(&file);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][0], "2026-09-12 08:00:00");
    assert_eq!(rows[0][2], "1900000001");
    assert_eq!(Some(&rows[0][5]), order.transaction_id.as_ref());
    assert_eq!((rows[0][9].as_str(), rows[0][24].as_str()), ("SUCCESS", "1.00"));
    assert_eq!(rows[1][0], "2026-09-12 08:00:10");
    assert_eq!(rows[1][14], refunded.refund_id);
    assert_eq!((rows[1][9].as_str(), rows[1][15].as_str()), ("REFUND", "R1"));
    assert_eq!((rows[1][16].as_str(), rows[1][19].as_str()), ("0.40", "SUCCESS"));
    let text = String::from_utf8(file.body).unwrap();
    assert!(text.ends_with("\r\n`2,`1.00,`0.40,`0.00,`0.00000,`1.00,`0.40\r\n"), "{text}");
}

#[tokio::test]
async fn each_kind_has_its_own_trades() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    refund(&client, "ORDER-1", "R1", 40).await;
    later(&simulator, 26 * HOUR).await;
    for (kind, states) in [
        ("&bill_type=ALL", &["SUCCESS", "REFUND"][..]),
        ("", &["SUCCESS", "REFUND"]),
        ("&bill_type=SUCCESS", &["SUCCESS"]),
        ("&bill_type=REFUND", &["REFUND"]),
    ] {
        let bill = ask(&client, &format!("bill_date=2026-09-12{kind}")).await;
        let file = download(&client, &bill).await;
        let found: Vec<_> = rows(&file).into_iter().map(|row| row[9].clone()).collect();
        assert_eq!(found, states, "{kind}");
    }
}

#[tokio::test]
async fn a_payment_is_billed_on_its_own_day_and_a_refund_on_its() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    // Ordered in the last second of the 12th, paid in the first of the 13th, given back on the 14th.
    later(&simulator, 16 * HOUR - 1).await;
    client.create("native", &client.native_order("ORDER-2", NOWHERE)).await;
    later(&simulator, 1).await;
    simulator.pay("ORDER-2", Pay::default()).await.unwrap();
    later(&simulator, 24 * HOUR).await;
    refund(&client, "ORDER-2", "R1", 40).await;
    later(&simulator, 34 * HOUR).await;
    for (day, numbers) in [
        ("2026-09-12", &[("ORDER-1", "SUCCESS")][..]),
        ("2026-09-13", &[("ORDER-2", "SUCCESS")]),
        ("2026-09-14", &[("ORDER-2", "REFUND")]),
    ] {
        let bill = ask(&client, &format!("bill_date={day}")).await;
        let rows = rows(&download(&client, &bill).await);
        let found: Vec<_> = rows.iter().map(|row| (row[6].as_str(), row[9].as_str())).collect();
        assert_eq!(found, numbers, "{day}");
    }
}

#[tokio::test]
async fn a_compressed_bill_has_the_hash_of_the_plain_one() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    later(&simulator, 26 * HOUR).await;
    let plain = ask(&client, "bill_date=2026-09-12").await;
    let packed = ask(&client, "bill_date=2026-09-12&tar_type=GZIP").await;
    assert_eq!(packed.json()["hash_value"], plain.json()["hash_value"]);
    assert!(packed.json()["download_url"].as_str().unwrap().ends_with("&tartype=gzip"));
    let file = download(&client, &packed).await;
    assert!(!file.headers.contains_key("content-encoding"));
    let mut unpacked = Vec::new();
    GzDecoder::new(file.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, download(&client, &plain).await.body);
}

#[tokio::test]
async fn the_address_of_a_bill_is_where_the_caller_found_us() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    later(&simulator, 26 * HOUR).await;
    let target = "/v3/bill/tradebill?bill_date=2026-09-12";
    for (host, address) in [
        ("pay.test:8701", "http://pay.test:8701/v3/billdownload/file?token="),
        ("api2.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com/v3/billdownload/file?token="),
    ] {
        let authorization = client.authorization(&client.said(), "GET", target, "");
        let request = client.request("GET", target).header("authorization", authorization);
        let answer = client.send(request.header("host", host)).await.unwrap();
        assert!(answer.json()["download_url"].as_str().unwrap().starts_with(address), "{host}");
    }
}

#[tokio::test]
async fn there_is_no_bill_yet_or_no_longer_or_at_all() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    let refused = async |query: &str| {
        let answer = ask(&client, query).await;
        assert_eq!(answer.status, 400, "{query}");
        answer.code()
    };
    assert_eq!(refused("bill_date=2026-09-12").await, "INVALID_REQUEST");
    assert_eq!(refused("bill_date=2026-09-13").await, "INVALID_REQUEST");
    later(&simulator, 16 * HOUR).await;
    assert_eq!(refused("bill_date=2026-09-12").await, "STATEMENT_CREATING");
    later(&simulator, 10 * HOUR - 1).await;
    assert_eq!(refused("bill_date=2026-09-12").await, "STATEMENT_CREATING");
    later(&simulator, 1).await;
    assert_eq!(ask(&client, "bill_date=2026-09-12").await.status, 200);
    assert_eq!(refused("bill_date=2026-09-12&bill_type=REFUND").await, "NO_STATEMENT_EXIST");
    assert_eq!(refused("bill_date=2026-09-11").await, "NO_STATEMENT_EXIST");
    later(&simulator, 100 * 24 * HOUR).await;
    assert_eq!(refused("bill_date=2026-09-12").await, "INVALID_REQUEST");
    for (query, field) in [
        ("", "bill_date"),
        ("bill_date=20260912", "bill_date"),
        ("bill_date=2026-02-30", "bill_date"),
        ("bill_date=2026-09-12&bill_type=SOME", "bill_type"),
        ("bill_date=2026-09-12&tar_type=ZIP", "tar_type"),
    ] {
        let answer = ask(&client, query).await;
        assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()), "{query}");
        let detail = &answer.json()["detail"];
        assert_eq!((&detail["field"], &detail["location"]), (&json!(field), &json!("query")));
    }
}

#[tokio::test]
async fn a_download_wants_its_merchant_and_is_over_in_five_minutes() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    later(&simulator, 26 * HOUR).await;
    let bill = ask(&client, "bill_date=2026-09-12").await;
    let url = bill.json()["download_url"].as_str().unwrap().to_owned();
    let unsigned = client.send(client.http.get(&url)).await.unwrap();
    assert_eq!(unsigned.outcome(), (401, "SIGN_ERROR".into()));
    assert_eq!(download(&client, &bill).await.status, 200);
    later(&simulator, 299).await;
    assert_eq!(download(&client, &bill).await.status, 200);
    later(&simulator, 1).await;
    assert_eq!(download(&client, &bill).await.outcome(), (400, "INVALID_REQUEST".into()));
    for target in ["/v3/billdownload/file?token=none", "/v3/billdownload/file"] {
        let answer = client.call("GET", target, "").await;
        assert_eq!(answer.outcome(), (400, "INVALID_REQUEST".into()), "{target}");
    }
}

#[tokio::test]
async fn a_download_survives_a_restart_and_stays_its_merchants() {
    let folder = tempfile::tempdir().unwrap();
    let with_file = || Options { data: Some(folder.path().join("simulator.db")), ..Options::default() };
    let (simulator, client) = start_in(with_file()).await;
    paid(&simulator, &client, "ORDER-1").await;
    later(&simulator, 26 * HOUR).await;
    let bill = ask(&client, "bill_date=2026-09-12").await;
    let body = download(&client, &bill).await.body;
    simulator.stop().await;
    let url = bill.json()["download_url"].as_str().unwrap().to_owned();
    let target = url.strip_prefix(&client.url).unwrap();
    let (simulator, again) = start_in(with_file()).await;
    assert_eq!(again.try_call("GET", target, "").await.unwrap().body, body);
    simulator.stop().await;

    // Another merchant, who has got hold of the address.
    let mut credentials = CREDENTIALS.clone();
    credentials.mchid = "1900000009".into();
    let (_simulator, other) = start_in(Options { credentials: Some(credentials), ..with_file() }).await;
    assert_eq!(other.call("GET", target, "").await.outcome(), (403, "NO_AUTH".into()));
}

#[tokio::test]
async fn a_bill_and_its_download_can_fail() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    later(&simulator, 26 * HOUR).await;
    simulator.add_fault(Fault::new(FaultKind::Status500).on(Target::Bill).times(1)).unwrap();
    assert_eq!(ask(&client, "bill_date=2026-09-12").await.outcome(), (500, "SYSTEM_ERROR".into()));
    let bill = ask(&client, "bill_date=2026-09-12").await;
    simulator.add_fault(Fault::new(FaultKind::Status503).on(Target::Download).times(1)).unwrap();
    assert_eq!(download(&client, &bill).await.status, 503);
    assert_eq!(download(&client, &bill).await.status, 200);
}

#[tokio::test]
async fn a_bill_is_late_and_each_kind_of_it_by_itself() {
    let (simulator, client) = start().await;
    paid(&simulator, &client, "ORDER-1").await;
    later(&simulator, 26 * HOUR).await;
    simulator.start_scenario("late-bill", None).unwrap();
    let creating = (400, "STATEMENT_CREATING".to_owned());
    for query in ["bill_date=2026-09-12", "bill_date=2026-09-12&bill_type=SUCCESS"] {
        for _ in 0..3 {
            assert_eq!(ask(&client, query).await.outcome(), creating);
        }
        assert_eq!(ask(&client, query).await.status, 200);
    }
    // A day that is not over has no bill to be late.
    let today = ask(&client, "bill_date=2026-09-13").await;
    assert_eq!(today.outcome(), (400, "INVALID_REQUEST".into()));
}

#[tokio::test]
async fn a_short_bill_lacks_its_last_row() {
    let (simulator, client) = start().await;
    for number in ["ORDER-1", "ORDER-2"] {
        paid(&simulator, &client, number).await;
        later(&simulator, 1).await;
    }
    later(&simulator, 26 * HOUR).await;
    simulator.start_scenario("short-bill", None).unwrap();
    let short = ask(&client, "bill_date=2026-09-12").await;
    let file = download(&client, &short).await;
    // The hash is right all the same: nothing of it tells.
    assert_eq!(short.json()["hash_value"], hex::encode(Sha1::digest(&file.body)));
    let numbers: Vec<_> = rows(&file).into_iter().map(|row| row[6].clone()).collect();
    assert_eq!(numbers, ["ORDER-1"]);
    simulator.stop_scenario("short-bill").unwrap();
    let whole = ask(&client, "bill_date=2026-09-12").await;
    assert_eq!(rows(&download(&client, &whole).await).len(), 2);
}
