//! How WeChat is told of shipping, whatever gets in the way.

use std::time::Duration;

use entity::{job, payment};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Pay, Target};

use crate::{
    system::{Answered, MINI_PROGRAM, OTHER_API_KEY, Placed, SERVICE_ACCOUNT, TestSystem},
    wire::Rule,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const PAYER: &str = "oPayerOfTea";

/// An order of 3990 fen that was paid inside WeChat, with that app.
async fn paid_with(system: &TestSystem, merchant_order_no: &str, app_id: &str) -> Placed {
    let order = system.place_order(merchant_order_no).await;
    let asked = json!({ "method": "mini_program", "app_id": app_id, "openid": PAYER });
    let opened = system.shop_posts(&format!("/v1/orders/{}/payments", order.id), &asked).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let payment = system.payment_of(&order).await;
    let pay = Pay { openid: Some(PAYER.to_owned()), total: None };
    system.simulator.pay(&payment.out_trade_no, pay).await.unwrap();
    system.simulator.notifications_settled().await.unwrap();
    system.order_is_paid(&order).await;
    order
}

async fn paid(system: &TestSystem, merchant_order_no: &str) -> Placed {
    paid_with(system, merchant_order_no, MINI_PROGRAM).await
}

fn parcel(tracking_no: &str) -> Value {
    json!({
        "way": "express",
        "item_desc": "一壶龙井",
        "express_company": "SF",
        "tracking_no": tracking_no,
        "receiver_contact": "189****1234",
    })
}

async fn ship(system: &TestSystem, order: &Placed, asked: &Value) -> Answered {
    system.shop_posts(&format!("/v1/orders/{}/shipping", order.id), asked).await
}

/// What happened after the order was paid.
async fn story(system: &TestSystem, order: &Placed) -> Vec<String> {
    system.timeline(order).await.split_off(4)
}

/// The tracking number that WeChat knows, and how often it was told.
async fn at_wechat(system: &TestSystem, order: &Placed) -> Option<(Option<String>, i64)> {
    let number = system.payment_of(order).await.transaction_id.unwrap();
    let shipped = system.simulator.shipped(&number).await.unwrap();
    shipped.map(|shipped| (shipped.tracking_no, shipped.uploads))
}

fn known(tracking_no: &str, uploads: i64) -> Option<(Option<String>, i64)> {
    Some((Some(tracking_no.to_owned()), uploads))
}

const REQUESTED: &str = "api shipping_requested: order paid, payment succeeded, shipping requested";
const UPLOADED: &str = "call shipping_uploaded: order paid, payment succeeded, shipping uploaded";
const REFUSED: &str = "call shipping_refused: order paid, payment succeeded, shipping refused";

#[tokio::test]
async fn wechat_is_told_once_and_of_one_change() {
    for system in TestSystem::each_way().await {
        let order = paid(&system, "T-1").await;
        let first = ship(&system, &order, &parcel("SF1")).await;
        assert_eq!((first.status, &first.body["shipping"]["order_id"]), (201, &json!(order.id.as_str())));
        system.jobs_are_idle().await;
        assert_eq!(at_wechat(&system, &order).await, known("SF1", 1));

        let again = ship(&system, &order, &parcel("SF1")).await;
        let id = &first.body["shipping"]["id"];
        assert_eq!((again.status, &again.body["shipping"]["id"]), (200, id));
        assert_eq!(again.body["shipping"]["status"], "uploaded");
        let change = ship(&system, &order, &parcel("SF2")).await;
        assert_eq!(change.status, 201, "{change:?}");
        system.jobs_are_idle().await;
        assert_eq!(at_wechat(&system, &order).await, known("SF2", 2));

        let third = ship(&system, &order, &parcel("SF3")).await;
        assert_eq!((third.status, third.code()), (409, "shipping_used"));
        assert_eq!(ship(&system, &order, &parcel("SF1")).await.code(), "shipping_used", "nor back again");
        assert_eq!(ship(&system, &order, &parcel("SF2")).await.status, 200);
        assert_eq!(story(&system, &order).await, [REQUESTED, UPLOADED, REQUESTED, UPLOADED]);

        let told = system.shop_gets("/v1/events").await.body;
        let last = told["events"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["type"], &last["data"]["order"]["status"]),
            (&json!("shipping.uploaded"), &json!("paid"))
        );
        assert_eq!(
            last["data"]["shipping"],
            json!({ "id": change.body["shipping"]["id"], "status": "uploaded" })
        );
        let timeline = system.shop_gets(&format!("/v1/orders/{}/timeline", order.id)).await.body;
        let why = timeline["explanation"]["why"].to_string();
        assert!(why.contains("发货信息") && why.contains("WeChat took shipping"), "{why}");
        for shown in [timeline, told] {
            let shown = shown.to_string();
            assert!(!shown.contains(PAYER) && !shown.contains("189****"), "{shown}");
        }
        system.end().await;
    }
}

#[tokio::test]
async fn two_who_ship_at_once_do_not_ship_twice() {
    for system in TestSystem::each().await {
        let (order, other) = (paid(&system, "T-1").await, paid(&system, "T-2").await);
        system.wechat(Fault::new(FaultKind::SystemBusy).on(Target::Shipping));
        let (one, two) = (parcel("SF1"), parcel("SF2"));
        let (a, b) = tokio::join!(ship(&system, &order, &one), ship(&system, &order, &one));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!((statuses, &a.body["shipping"]["id"]), ([200, 201], &b.body["shipping"]["id"]));
        let (a, b) = tokio::join!(ship(&system, &other, &one), ship(&system, &other, &two));
        let mut said = [(a.status, a.code()), (b.status, b.code())];
        said.sort_unstable();
        assert_eq!(said, [(201, ""), (409, "shipping_in_progress")]);
        system.wechat_is_well();
        system.advance(MINUTE).await;
        assert_eq!(story(&system, &order).await, [REQUESTED, UPLOADED]);
        assert_eq!(story(&system, &other).await, [REQUESTED, UPLOADED]);
        system.end().await;
    }
}

#[tokio::test]
async fn what_wechat_wants_no_shipping_for_is_refused_with_a_reason() {
    let system = TestSystem::one().await;
    let unpaid = system.place_order("T-1").await;
    let native = system.paid_order("T-2").await;
    let in_browser = paid_with(&system, "T-3", SERVICE_ACCOUNT).await;
    let order = paid(&system, "T-4").await;
    system.jobs_are_idle().await;
    let rows = system.rows().await;
    for (order, code) in
        [(&unpaid, "order_not_paid"), (&native, "shipping_not_taken"), (&in_browser, "shipping_not_taken")]
    {
        let refused = ship(&system, order, &parcel("SF1")).await;
        assert_eq!((refused.status, refused.code()), (409, code), "{refused:?}");
    }
    let with = |field: &str, value: Value| {
        let mut asked = parcel("SF1");
        asked[field] = value;
        asked
    };
    for (pointer, asked) in [
        ("/way", with("way", json!("pigeon"))),
        ("/item_desc", with("item_desc", json!(""))),
        ("/item_desc", with("item_desc", json!("茶🍵"))),
        ("/item_desc", with("item_desc", json!("茶".repeat(121)))),
        ("/express_company", with("express_company", Value::Null)),
        ("/express_company", with("express_company", json!("顺丰"))),
        ("/tracking_no", with("tracking_no", Value::Null)),
        ("/tracking_no", with("tracking_no", json!("a b"))),
        ("/tracking_no", with("tracking_no", json!("x".repeat(129)))),
        ("/receiver_contact", with("receiver_contact", json!("18912341234"))),
        ("/receiver_contact", with("receiver_contact", json!("189****12"))),
        ("/express_company", with("way", json!("virtual"))),
        ("/colour", with("colour", json!("red"))),
    ] {
        let refused = ship(&system, &order, &asked).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_request"), "{asked}");
        assert_eq!(refused.body["pointer"], pointer, "{refused:?}");
    }
    let path = format!("/v1/orders/{}/shipping", order.id);
    let foreign = system.post(&path, OTHER_API_KEY, &parcel("SF1")).await;
    assert_eq!((foreign.status, foreign.code()), (404, "order_not_found"));
    let payer = system.post(&path, &order.client_secret, &parcel("SF1")).await;
    assert_eq!((payer.status, payer.code()), (403, "shop_key_required"));
    assert_eq!(system.rows().await, rows, "nothing was written");

    // Virtual goods go on no way at all; and of what went back in full nothing is shipped.
    let virtual_goods = json!({ "way": "virtual", "item_desc": "一堂茶艺课" });
    assert_eq!(ship(&system, &order, &virtual_goods).await.status, 201);
    system.jobs_are_idle().await;
    assert_eq!(at_wechat(&system, &order).await, Some((None, 1)));
    system.refund(&native, "R-1", 3990).await;
    system.jobs_are_idle().await;
    system.advance(5 * SECOND).await;
    assert_eq!(ship(&system, &native, &parcel("SF1")).await.code(), "order_not_paid");
    system.shop_posts(&format!("/v1/orders/{}/close", unpaid.id), &json!({})).await;
    system.end().await;
}

#[tokio::test]
async fn while_wechat_is_busy_or_does_not_know_the_payment_yet_it_is_told_again() {
    for system in TestSystem::each_way().await {
        let order = paid(&system, "T-1").await;
        system.wechat(Fault::new(FaultKind::NotFound).on(Target::Shipping).times(1));
        system.wechat(Fault::new(FaultKind::SystemBusy).on(Target::Shipping).times(2));
        ship(&system, &order, &parcel("SF1")).await;
        system.jobs_are_idle().await;
        for _ in 0..3 {
            system.advance(5 * SECOND).await;
        }
        assert_eq!(at_wechat(&system, &order).await, known("SF1", 1));
        assert_eq!(story(&system, &order).await, [REQUESTED, UPLOADED]);
        system.end().await;
    }
}

/// WeChat took it, and nobody heard so: the same bytes go out again, and are not the one change.
#[tokio::test]
async fn an_answer_that_is_lost_is_not_another_shipping() {
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let order = paid(&system, "T-1").await;
        wire.now(Rule::Lose("say POST /wxa/sec/order/upload_shipping_info"));
        ship(&system, &order, &parcel("SF1")).await;
        wire.has_seen(1, "say POST /wxa/sec/order/upload_shipping_info").await;
        system.jobs_are_idle().await;
        assert_eq!(story(&system, &order).await, [REQUESTED]);
        assert_eq!(at_wechat(&system, &order).await, known("SF1", 1));
        wire.now(Rule::PassAll);
        system.advance(5 * SECOND).await;
        assert_eq!(story(&system, &order).await, [REQUESTED, UPLOADED]);
        assert_eq!(at_wechat(&system, &order).await, known("SF1", 1));
        assert_eq!(ship(&system, &order, &parcel("SF2")).await.status, 201, "the change is left");
        system.jobs_are_idle().await;
        assert_eq!(at_wechat(&system, &order).await, known("SF2", 2));
        system.end().await;
    }
}

/// One token is asked for and kept until WeChat refuses it.
#[tokio::test]
async fn a_token_that_has_ended_is_replaced_by_itself() {
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let tokens = || {
            let is_asked = |line: &str| line == "ask POST /cgi-bin/stable_token";
            wire.passed().iter().filter(|passed| is_asked(&passed.line)).count()
        };
        for (number, wanted) in [("T-1", 1), ("T-2", 1)] {
            let order = paid(&system, number).await;
            ship(&system, &order, &parcel(number)).await;
            system.jobs_are_idle().await;
            assert_eq!((at_wechat(&system, &order).await, tokens()), (known(number, 1), wanted));
        }
        // It ends by itself after two hours, and when somebody asks for another by force.
        system.advance(2 * HOUR).await;
        for (number, wanted) in [("T-3", 2), ("T-4", 3)] {
            let order = paid(&system, number).await;
            ship(&system, &order, &parcel(number)).await;
            system.jobs_are_idle().await;
            system.advance(SECOND).await;
            assert_eq!((at_wechat(&system, &order).await, tokens()), (known(number, 1), wanted));
            token_by_force(&system).await;
        }
        system.end().await;
    }
}

/// Somebody else's program asks for a token of the mini-program; all before it end.
async fn token_by_force(system: &TestSystem) -> String {
    let app = system.simulator.merchant().apps.into_iter().find(|app| app.appid == MINI_PROGRAM).unwrap();
    let asked = json!({
        "grant_type": "client_credential", "appid": app.appid, "secret": app.secret, "force_refresh": true,
    });
    let url = format!("{}/cgi-bin/stable_token", system.simulator.url());
    let given = Answered::of(system.http.post(url).json(&asked)).await;
    given.body["access_token"].as_str().unwrap().to_owned()
}

/// In WeChat's console, say.
async fn shipped_by_somebody_else(
    system: &TestSystem,
    payment: &payment::Model,
    tracking_no: &str,
    at: &str,
) {
    let token = token_by_force(system).await;
    let told = json!({
        "order_key": { "order_number_type": 2, "transaction_id": payment.transaction_id },
        "logistics_type": 1,
        "delivery_mode": 1,
        "shipping_list": [{ "tracking_no": tracking_no, "express_company": "SF", "item_desc": "一壶龙井" }],
        "upload_time": at,
        "payer": { "openid": PAYER },
    });
    let url = format!("{}/wxa/sec/order/upload_shipping_info?access_token={token}", system.simulator.url());
    let taken = Answered::of(system.http.post(url).json(&told)).await;
    assert_eq!(taken.body["errcode"], 0, "{taken:?}");
}

#[tokio::test]
async fn what_wechat_refuses_the_shop_is_told_and_may_correct() {
    for system in TestSystem::each_way().await {
        let order = paid(&system, "T-1").await;
        let payment = system.payment_of(&order).await;
        shipped_by_somebody_else(&system, &payment, "OTHER-1", "2026-11-22T11:00:00.000+08:00").await;
        shipped_by_somebody_else(&system, &payment, "OTHER-2", "2026-11-22T11:30:00.000+08:00").await;
        let asked = ship(&system, &order, &parcel("SF1")).await;
        system.jobs_are_idle().await;
        assert_eq!(story(&system, &order).await, [REQUESTED, REFUSED]);
        assert_eq!(at_wechat(&system, &order).await, known("OTHER-2", 2));
        let told = system.shop_gets("/v1/events").await.body;
        let last = told["events"].as_array().unwrap().last().unwrap();
        assert_eq!(last["type"], "shipping.refused");
        assert_eq!(
            last["data"]["shipping"],
            json!({ "id": asked.body["shipping"]["id"], "status": "refused", "failure_code": "10060003" })
        );
        // It does not count, so the shop may say it once more; WeChat says the same.
        let again = ship(&system, &order, &parcel("SF1")).await;
        assert_eq!(again.status, 201, "{again:?}");
        system.jobs_are_idle().await;
        assert_eq!(story(&system, &order).await, [REQUESTED, REFUSED, REQUESTED, REFUSED]);
        system.end().await;
    }
}

/// A payment that WeChat's shipping never hears of: an hour is enough.
#[tokio::test]
async fn a_payment_that_stays_unknown_to_shipping_is_not_told_of_for_ever() {
    let system = TestSystem::one().await;
    let order = paid(&system, "T-1").await;
    system.wechat(Fault::new(FaultKind::NotFound).on(Target::Shipping));
    ship(&system, &order, &parcel("SF1")).await;
    system.jobs_are_idle().await;
    system.advance(HOUR - SECOND).await;
    assert_eq!(story(&system, &order).await, [REQUESTED]);
    system.advance(MINUTE).await;
    assert_eq!(story(&system, &order).await, [REQUESTED, REFUSED]);
    system.end().await;
}

#[tokio::test]
async fn shipping_without_a_job_is_found_by_the_sweeper() {
    for system in TestSystem::each().await {
        let order = paid(&system, "T-1").await;
        system.wechat(Fault::new(FaultKind::SystemBusy).on(Target::Shipping));
        let asked = ship(&system, &order, &parcel("SF1")).await;
        let id = asked.body["shipping"]["id"].as_str().unwrap();
        system.jobs_are_idle().await;
        system.db().write(async |txn| job::Entity::delete_many().exec(txn).await).await.unwrap();
        system.stop_everpaid().await;
        system.resume().await;
        let swept = async {
            while system.job("upload_shipping", id).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(MINUTE, swept).await.expect("the worker sweeps when it starts");
        system.wechat_is_well();
        system.advance(MINUTE).await;
        assert_eq!(story(&system, &order).await, [REQUESTED, UPLOADED]);
        system.end().await;
    }
}
