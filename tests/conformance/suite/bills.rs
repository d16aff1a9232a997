//! The trade bill and its file (申请交易账单, 下载账单, 交易账单).

use std::io::Read as _;

use conformance::{Answer, World};
use flate2::read::GzDecoder;
use serde_json::json;
use sha1::{Digest, Sha1};

const DAY: i64 = 86_400;
const HEADER: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
const SUMS: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";

/// A day with an order of 39.90 yuan of which 10.05 went back, and the clock on the day after it, at
/// an hour when its bill is ready; with the day.
async fn after_a_day() -> (World, String) {
    let mut world = World::start().await;
    // Noon in Beijing, so that all of it is on one day.
    let now = world.simulator.now_ms() / 1000 + 8 * 3600;
    world.advance((36 * 3600 - now.rem_euclid(DAY)) % DAY).await;
    let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
    order["amount"]["total"] = json!(3990);
    order["description"] = json!("一壶,龙井\n两杯");
    order["attach"] = json!("table 5");
    world.hand.create("native", &order).await;
    world.pay("ORDER-1").await;
    world.shop.next().await;
    let refund = json!({
        "out_trade_no": "ORDER-1",
        "out_refund_no": "R-1",
        "notify_url": world.shop.notify_url,
        "amount": {"refund": 1005, "total": 3990, "currency": "CNY"},
    });
    assert_eq!(world.hand.post("/v3/refund/domestic/refunds", &refund).await.status, 200);
    world.advance(60).await;
    world.shop.next().await;
    let paid = world.hand.query("ORDER-1").await.json();
    let day = paid["success_time"].as_str().unwrap()[..10].to_owned();
    world.advance(DAY).await;
    (world, day)
}

async fn ask(world: &World, query: &str) -> Answer {
    world.hand.get(&format!("/v3/bill/tradebill?{query}")).await
}

/// The target of the file that an answer leads to.
fn target(bill: &Answer) -> String {
    let url = bill.json()["download_url"].as_str().expect("a download_url").to_owned();
    let path = url.find("/v3/").expect("a path");
    url[path..].to_owned()
}

/// Downloads with a signature, and expects none.
async fn download(world: &World, bill: &Answer) -> Answer {
    let answer = world.hand.send(&world.hand.signed("GET", &target(bill), "")).await.unwrap();
    assert!(!answer.is_signed());
    answer
}

fn sha1(bytes: &[u8]) -> String {
    hex::encode(Sha1::digest(bytes))
}

pub mod by_hand {
    use super::*;

    pub async fn a_bill_has_a_byte_order_mark_and_ends_its_lines_with_cr_lf() {
        let (world, day) = after_a_day().await;
        let bill = ask(&world, &format!("bill_date={day}&bill_type=ALL")).await;
        let file = download(&world, &bill).await.body;
        assert_eq!(file[..3], [0xEF, 0xBB, 0xBF]);
        let text = std::str::from_utf8(&file[3..]).unwrap();
        assert!(text.ends_with("\r\n"));
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    }

    pub async fn a_bills_cells_begin_with_a_backtick_and_split_at_commas() {
        let (world, day) = after_a_day().await;
        let bill = ask(&world, &format!("bill_date={day}")).await;
        let file = String::from_utf8(download(&world, &bill).await.body).unwrap();
        let lines: Vec<_> = file.trim_start_matches('\u{feff}').trim_end().split("\r\n").collect();
        assert_eq!(lines.len(), 5, "{file}");
        assert_eq!((lines[0], lines[3]), (HEADER, SUMS));
        let names: Vec<_> = HEADER.split(',').collect();
        for line in [lines[1], lines[2]] {
            let cells: Vec<_> = line.split(',').collect();
            assert_eq!(cells.len(), names.len(), "{line}");
            assert!(cells.iter().all(|cell| cell.starts_with('`')), "{line}");
        }
        let cell = |line: &str, name: &str| {
            let at = names.iter().position(|known| *known == name).unwrap();
            line.split(',').nth(at).unwrap()[1..].to_owned()
        };
        let (payment, refund) = (lines[1], lines[2]);
        for (name, of_payment, of_refund) in [
            ("商户号", world.hand.mchid(), world.hand.mchid()),
            ("特约商户号", "0", "0"),
            ("商户订单号", "ORDER-1", "ORDER-1"),
            ("交易类型", "NATIVE", "NATIVE"),
            ("交易状态", "SUCCESS", "REFUND"),
            ("货币种类", "CNY", "CNY"),
            ("应结订单金额", "39.90", "0.00"),
            ("微信退款单号", "0", &cell(refund, "微信退款单号")),
            ("商户退款单号", "0", "R-1"),
            ("退款金额", "0.00", "10.05"),
            ("退款状态", "", "SUCCESS"),
            ("商户数据包", "table 5", "table 5"),
            ("订单金额", "39.90", "0.00"),
            ("申请退款金额", "0.00", "10.05"),
        ] {
            assert_eq!(
                (cell(payment, name).as_str(), cell(refund, name).as_str()),
                (of_payment, of_refund),
                "{name}"
            );
        }
        let sums: Vec<_> = lines[4].split(",").map(|cell| cell.trim_start_matches('`')).collect();
        assert!(sums[0] == "2" || sums[0] == "2.0", "{sums:?}");
        assert_eq!((sums[1], sums[5], sums[6]), ("39.90", "39.90", "10.05"));
    }

    pub async fn a_bills_hash_is_of_the_plain_text() {
        let (world, day) = after_a_day().await;
        let plain = ask(&world, &format!("bill_date={day}")).await;
        assert_eq!(plain.json()["hash_type"], "SHA1");
        let file = download(&world, &plain).await.body;
        assert_eq!(plain.json()["hash_value"].as_str().unwrap().to_ascii_lowercase(), sha1(&file));

        let packed = ask(&world, &format!("bill_date={day}&tar_type=GZIP")).await;
        assert!(target(&packed).contains("tartype=gzip"));
        let sent = download(&world, &packed).await.body;
        let mut unpacked = Vec::new();
        GzDecoder::new(sent.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, file);
        assert_eq!(packed.json()["hash_value"], plain.json()["hash_value"]);
    }

    pub async fn a_download_is_asked_for_with_a_signature_and_answered_without() {
        let (world, day) = after_a_day().await;
        let bill = ask(&world, &format!("bill_date={day}")).await;
        let anonymous = conformance::Request::new("GET", &target(&bill), "");
        assert_eq!(world.hand.send(&anonymous).await.unwrap().outcome(), (401, "SIGN_ERROR".into()));
        assert_eq!(download(&world, &bill).await.status, 200);
    }

    pub async fn a_download_url_lives_five_minutes() {
        let (world, day) = after_a_day().await;
        let bill = ask(&world, &format!("bill_date={day}")).await;
        world.advance(290).await;
        assert_eq!(download(&world, &bill).await.status, 200);
        world.advance(20).await;
        assert_eq!(download(&world, &bill).await.outcome(), (400, "INVALID_REQUEST".into()));
    }

    pub async fn a_day_without_trade_has_no_statement() {
        let (world, day) = after_a_day().await;
        let date: jiff::civil::Date = day.parse().unwrap();
        let before = date.yesterday().unwrap();
        let answer = ask(&world, &format!("bill_date={before}")).await;
        assert_eq!(answer.outcome(), (400, "NO_STATEMENT_EXIST".into()));
    }

    pub async fn a_bill_is_being_created_until_the_next_morning() {
        let (world, day) = after_a_day().await;
        // It is noon; at nine in the morning it was not ready, and the clock does not go back: the
        // day that is over now is asked for after midnight.
        let today: jiff::civil::Date = day.parse().unwrap();
        let today = today.tomorrow().unwrap();
        assert_eq!(
            ask(&world, &format!("bill_date={today}")).await.outcome(),
            (400, "INVALID_REQUEST".into())
        );
        world.hand.create("native", &world.hand.native("ORDER-2", &world.shop.notify_url)).await;
        world.pay("ORDER-2").await;
        world.advance(13 * 3600).await;
        let answer = ask(&world, &format!("bill_date={today}")).await;
        assert_eq!(answer.outcome(), (400, "STATEMENT_CREATING".into()));
        world.advance(10 * 3600).await;
        assert_eq!(ask(&world, &format!("bill_date={today}")).await.status, 200);
    }

    pub async fn a_bill_has_a_kind_and_three_months() {
        let (world, day) = after_a_day().await;
        for (kind, rows) in [("ALL", 2), ("SUCCESS", 1), ("REFUND", 1)] {
            let bill = ask(&world, &format!("bill_date={day}&bill_type={kind}")).await;
            let file = String::from_utf8(download(&world, &bill).await.body).unwrap();
            let found = file.lines().filter(|line| line.starts_with('`')).count();
            assert_eq!(found, rows + 1, "{kind} {file}");
        }
        for query in ["bill_date=2024-13-01", "bill_type=ALL", &format!("bill_date={day}&bill_type=SOME")] {
            assert_eq!(ask(&world, query).await.outcome(), (400, "PARAM_ERROR".into()), "{query}");
        }
        world.advance(100 * DAY).await;
        let old = ask(&world, &format!("bill_date={day}")).await;
        assert_eq!(old.outcome(), (400, "INVALID_REQUEST".into()));
    }

    pub async fn a_bill_may_be_late_or_short() {
        let (world, day) = after_a_day().await;
        world.fault(json!({"kind": "bill_late", "times": 1})).await;
        let query = format!("bill_date={day}");
        assert_eq!(ask(&world, &query).await.outcome(), (400, "STATEMENT_CREATING".into()));
        world.fault(json!({"kind": "bill_short", "times": 1})).await;
        let mut lengths = Vec::new();
        for _ in 0..2 {
            let bill = ask(&world, &query).await;
            let file = download(&world, &bill).await.body;
            assert_eq!(bill.json()["hash_value"].as_str().unwrap().to_ascii_lowercase(), sha1(&file));
            lengths.push(String::from_utf8(file).unwrap().lines().count());
        }
        assert!(lengths[0] < lengths[1], "{lengths:?}");
    }
}

pub mod by_crate {
    use conformance::refused;
    use wechatpay::{BillKind, BillRequest, TradeBill};

    use super::*;

    fn request(day: &str, is_compressed: bool) -> BillRequest {
        BillRequest { date: day.parse().unwrap(), kind: BillKind::All, is_compressed }
    }

    pub async fn a_bills_cells_begin_with_a_backtick_and_split_at_commas() {
        let (world, day) = after_a_day().await;
        let ours = world.ours();
        let file = ours.trade_bill(&request(&day, false)).await.unwrap();
        let bill = TradeBill::parse(&ours.download_bill(&file).await.unwrap()).unwrap();
        let [payment, refund] = bill.rows.as_slice() else { panic!("{bill:?}") };
        assert_eq!((payment.out_trade_no.as_str(), payment.total_fen), ("ORDER-1", 3990));
        assert_eq!(payment.trade_state, "SUCCESS");
        let paid = ours.query_by_out_trade_no("ORDER-1").await.unwrap();
        assert_eq!(Some(payment.at), paid.paid_at());
        assert_eq!(Some(&payment.transaction_id), paid.transaction_id.as_ref());
        let back = refund.refund.as_ref().unwrap();
        assert_eq!((back.out_refund_no.as_str(), back.asked_fen), ("R-1", 1005));
        assert_eq!((bill.summary.total_fen, bill.summary.asked_refund_fen), (3990, Some(1005)));
    }

    pub async fn a_bills_hash_is_of_the_plain_text() {
        let (world, day) = after_a_day().await;
        let ours = world.ours();
        let plain = ours.trade_bill(&request(&day, false)).await.unwrap();
        let packed = ours.trade_bill(&request(&day, true)).await.unwrap();
        assert_eq!(ours.download_bill(&packed).await.unwrap(), ours.download_bill(&plain).await.unwrap());
        let mut altered = plain;
        altered.hash_value = "0".repeat(40);
        assert_eq!(ours.download_bill(&altered).await.unwrap_err().reason(), "hash_differs");
    }

    pub async fn a_download_url_lives_five_minutes() {
        let (world, day) = after_a_day().await;
        let ours = world.ours();
        let file = ours.trade_bill(&request(&day, true)).await.unwrap();
        world.advance(310).await;
        assert_eq!(refused(ours.download_bill(&file).await).code, "INVALID_REQUEST");
    }

    pub async fn a_day_without_trade_has_no_statement() {
        let (world, day) = after_a_day().await;
        let date: jiff::civil::Date = day.parse().unwrap();
        let before = BillRequest { date: date.yesterday().unwrap(), ..request(&day, false) };
        assert!(refused(world.ours().trade_bill(&before).await).is_bill_empty());
    }

    pub async fn a_bill_is_being_created_until_the_next_morning() {
        let (world, day) = after_a_day().await;
        world.hand.create("native", &world.hand.native("ORDER-2", &world.shop.notify_url)).await;
        world.pay("ORDER-2").await;
        world.advance(13 * 3600).await;
        let today: jiff::civil::Date = day.parse().unwrap();
        let bill = BillRequest { date: today.tomorrow().unwrap(), ..request(&day, false) };
        assert!(refused(world.ours().trade_bill(&bill).await).is_bill_late());
    }

    pub async fn a_bill_may_be_late_or_short() {
        let (world, day) = after_a_day().await;
        let ours = world.ours();
        world.fault(json!({"kind": "bill_late", "times": 1})).await;
        assert!(refused(ours.trade_bill(&request(&day, false)).await).is_bill_late());
        world.fault(json!({"kind": "bill_short", "times": 1})).await;
        let mut rows = Vec::new();
        for _ in 0..2 {
            let file = ours.trade_bill(&request(&day, false)).await.unwrap();
            let bill = TradeBill::parse(&ours.download_bill(&file).await.unwrap()).unwrap();
            rows.push(bill.rows.len());
        }
        assert!(rows[0] < rows[1], "{rows:?}");
    }
}
