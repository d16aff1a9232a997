//! How an order gets paid, whatever gets in the way. Each story ends with its timeline.

use std::time::Duration;

use entity::{order, payment::Status};
use everpaid::roles::Roles;
use http::HeaderMap;
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Pay, Target};

use crate::system::{MERCHANT, MINI_PROGRAM, PAID_AT_ONCE, Placed, TestSystem};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The plain life of an order. AC2, AC3, R7.2 with native.
#[tokio::test]
async fn paid_by_notification() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        system.end().await;
    }
}

/// 掉单: WeChat Pay never tells us. The ladder asks five seconds after the payment was opened.
#[tokio::test]
async fn paid_with_every_notification_dropped() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.advance(4 * SECOND).await;
        assert_eq!(system.order(&order).await.status, order::Status::Pending);
        system.advance(SECOND).await;
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "query payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}

/// The payer pays an hour later, and still WeChat Pay never tells us.
#[tokio::test]
async fn paid_late_with_every_notification_dropped() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.advance(31 * MINUTE).await;
        system.payer_pays(&payment).await;
        system.advance(29 * MINUTE).await;
        assert_eq!(system.order(&order).await.status, order::Status::Paid);
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "query payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}

#[tokio::test]
async fn notified_before_the_prepay_answer() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::PayBeforeAnswer).on(Target::Create));
        let order = system.place_order("T-1").await;
        assert_eq!(system.open_payment(&order).await.status, 200);
        system.order_is_paid(&order).await;
        system.jobs_are_idle().await;
        // The notification is written down before the answer goes out; who is applied first is a
        // race that nobody may lose.
        let issued = "call prepay_issued: order pending, payment awaiting_payment";
        let timeline = system.timeline(&order).await;
        assert_eq!(
            timeline.into_iter().filter(|line| line != issued).collect::<Vec<_>>(),
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "notification payment_succeeded: order paid, payment succeeded",
            ]
        );
        let shown = system.shop_gets(&format!("/v1/orders/{}", order.id)).await;
        assert_eq!(shown.body["order"]["payment"]["code_url"], Value::Null);
        system.end().await;
    }
}

/// N-DUP: the same notification on two connections at once.
#[tokio::test]
async fn notified_twice_at_once_on_two_connections() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Duplicate).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        let told = system.simulator.payment(&payment.out_trade_no).await.unwrap();
        assert_eq!(told.notifications[0].deliveries.len(), 2, "both copies were answered");
        assert_eq!(system.notifications().await.len(), 1, "and one was kept");
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        system.end().await;
    }
}

/// WeChat Pay took it, and the answer is late: the same bytes at once again fetch it.
#[tokio::test]
async fn prepay_times_out_after_wechat_took_it() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Slow).on(Target::Create).times(1).delay_ms(10_000));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        assert_eq!(system.simulator.payments(10).await.unwrap().len(), 1, "one order at WeChat Pay");
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        system.end().await;
    }
}

/// WeChat Pay took it and every answer is lost: unknown, asked, found, fetched.
#[tokio::test]
async fn prepay_is_lost_after_wechat_took_it() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::CutAfter).on(Target::Create).times(2));
        let order = system.place_order("T-1").await;
        let answered = system.open_payment(&order).await;
        assert_eq!((answered.status, &answered.body["payment"]["status"]), (202, &"unknown".into()));
        assert!(answered.headers.contains_key("retry-after") && answered.headers.contains_key("location"));
        system.advance(SECOND).await;
        let payment = system.payment_of(&order).await;
        assert_eq!(payment.status, Status::AwaitingPayment);
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call outcome_lost: order pending, payment unknown",
                "call prepay_issued: order pending, payment awaiting_payment",
                "notification payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}

/// Every way in which WeChat Pay can fail to answer leads to the same end.
#[tokio::test]
async fn whatever_wechat_answers_the_payment_is_unknown_and_then_settled() {
    use FaultKind::{
        Accepted202, CutAfter, CutBefore, Empty, Html, ProbeSignature, Status429, Status500, Status502,
        Status503, WrongSignature,
    };
    for system in TestSystem::each_way().await {
        let faults = [
            Status429,
            Status500,
            Status502,
            Status503,
            Html,
            Accepted202,
            Empty,
            WrongSignature,
            ProbeSignature,
            CutBefore,
            CutAfter,
        ];
        for (at, fault) in faults.into_iter().enumerate() {
            system.wechat(Fault::new(fault).on(Target::Create));
            let order = system.place_order(&format!("T-{at}")).await;
            let answered = system.open_payment(&order).await;
            assert_eq!(answered.status, 202, "{fault:?}: {answered:?}");
            assert_eq!(answered.body["payment"]["status"], "unknown", "{fault:?}");
            system.wechat_is_well();
            system.advance(MINUTE).await;
            let payment = system.payment_of(&order).await;
            assert_eq!(payment.status, Status::AwaitingPayment, "{fault:?}");
            system.payer_pays(&payment).await;
            system.order_is_paid(&order).await;
            told_after_a_lost_answer(&system, &order).await;
        }
        system.end().await;
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_holds_no_payer_up_once_it_is_right() {
    for system in TestSystem::each().await {
        system.clock.advance(10 * MINUTE);
        let order = system.place_order("T-1").await;
        system.wechat(Fault::new(FaultKind::Down));
        assert_eq!(system.open_payment(&order).await.status, 202);
        system.wechat_is_well();
        system.clock.set_back(10 * MINUTE);
        let answered = system.open_payment(&order).await;
        assert_eq!(answered.body["payment"]["status"], "awaiting_payment", "{}", answered.status);
        system.end().await;
    }
}

/// The same for what nobody asks for again: a change of method that was begun by a clock that was ahead goes on at
/// its pace, although the clock was set right while everpaid did not run.
#[tokio::test]
async fn what_a_clock_that_was_ahead_has_dated_is_not_late_by_as_much() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        system.ready_payment(&order).await;
        system.clock.advance(10 * MINUTE);
        system.wechat(Fault::new(FaultKind::Down));
        let other = json!({ "method": "mini_program", "app_id": MINI_PROGRAM, "openid": "oPayerOfTea" });
        let path = format!("/v1/orders/{}/payments", order.id);
        assert_eq!(system.shop_posts(&path, &other).await.status, 202);
        system.jobs_are_idle().await;
        system.stop_everpaid().await;
        system.clock.set_back(10 * MINUTE);
        system.wechat_is_well();
        system.resume().await;
        let begun = system.clock.now();
        let opened = async {
            while system.payment_of(&order).await.status != Status::AwaitingPayment {
                system.advance(SECOND).await;
            }
        };
        tokio::time::timeout(MINUTE, opened).await.expect("it goes on");
        let lasted = system.clock.now().since(begun);
        assert!(lasted < MINUTE, "{lasted:?}");
        system.end().await;
    }
}

/// The story of a create whose answer nobody heard, and which WeChat Pay took then or later.
async fn told_after_a_lost_answer(system: &TestSystem, order: &Placed) {
    // Sending again and asking go side by side; asking may be the first to hear of it.
    let found = "query found_unpaid: order pending, payment created";
    let timeline = system.timeline(order).await;
    assert_eq!(
        timeline.into_iter().filter(|line| line != found).collect::<Vec<_>>(),
        [
            "api order_created: order pending",
            "api payment_created: order pending, payment created",
            "call outcome_lost: order pending, payment unknown",
            "call prepay_issued: order pending, payment awaiting_payment",
            "notification payment_succeeded: order paid, payment succeeded",
        ]
    );
}

#[tokio::test]
async fn wechat_is_down_for_a_minute() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Down));
        let order = system.place_order("T-1").await;
        let answered = system.open_payment(&order).await;
        assert_eq!(answered.status, 202);
        for _ in 0..12 {
            system.advance(5 * SECOND).await;
        }
        system.wechat_is_well();
        system.advance(MINUTE).await;
        let payment = system.payment_of(&order).await;
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        told_after_a_lost_answer(&system, &order).await;
        system.end().await;
    }
}

/// Probes of WeChat Pay's own and forgeries of somebody else's, before and after the true one.
#[tokio::test]
async fn probe_and_forged_notifications_in_between() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::ProbeSignature).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        let notary = system.simulator.notary();
        let claim = notary.notification(&notary.paid_transaction(&payment.out_trade_no, 3990)).unwrap();
        let url = system.url(&format!("/v1/wechat/notifications/{MERCHANT}"));
        let forge = async |headers: HeaderMap| {
            let answer =
                system.http.post(&url).headers(headers).body(claim.body.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 401);
        };
        let mut headers = claim.headers.clone();
        headers.insert("wechatpay-nonce", "another".parse().unwrap());
        forge(headers).await;
        forge(HeaderMap::new()).await;
        assert_eq!(system.order(&order).await.status, order::Status::Pending);

        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        let told = system.simulator.payment(&payment.out_trade_no).await.unwrap();
        let answers: Vec<_> =
            told.notifications[0].deliveries.iter().map(|delivery| delivery.status).collect();
        assert_eq!(answers, [Some(401), Some(204)], "the probe, and the clean one after it");

        let mut headers = claim.headers.clone();
        headers.append("wechatpay-signature", "twice".parse().unwrap());
        forge(headers).await;
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        assert_eq!(system.notifications().await.len(), 1);
        system.end().await;
    }
}

/// Stopped between the payment and the news of it: the notification comes again, and nothing is lost.
#[tokio::test]
async fn started_again_it_goes_on_where_it_was() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.stop_everpaid().await;
        system.payer_pays(&payment).await;
        system.resume().await;
        system.advance(15 * SECOND).await;
        system.order_is_paid(&order).await;
        let mut timeline = system.timeline(&order).await;
        // The question of the ladder and the repeated notification are due in the same seconds.
        let learnt = timeline.pop().unwrap();
        assert!(learnt.ends_with(" payment_succeeded: order paid, payment succeeded"), "{learnt}");
        assert_eq!(timeline, PAID_AT_ONCE[..3]);
        system.end().await;
    }
}

/// A create that never arrived, on an order that ran out: failed only when nothing can arrive any
/// more and WeChat Pay said twice that it knows nothing.
#[tokio::test]
async fn a_payment_that_never_came_to_exist_fails_after_two_looks() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        system.wechat(Fault::new(FaultKind::CutBefore).on(Target::Create));
        assert_eq!(system.open_payment(&order).await.status, 202);
        // It is tried until the order can no longer be paid, after 120 minutes.
        system.advance(119 * MINUTE).await;
        assert_eq!(system.payment_of(&order).await.status, Status::Unknown);
        system.advance(MINUTE).await;
        for _ in 0..4 {
            system.advance(MINUTE).await;
            let payment = system.payment_of(&order).await;
            assert_eq!(payment.status, Status::Closing, "what was signed last may still arrive");
        }
        system.advance(MINUTE).await;
        system.advance(MINUTE).await;
        assert_eq!(system.payment_of(&order).await.status, Status::Failed);
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call outcome_lost: order pending, payment unknown",
                "rule order_closing: order closing",
                "rule close_requested: order closing, payment closing",
                "query never_existed: order closing, payment failed",
                "rule order_closed: order closed",
            ]
        );
        system.end().await;
    }
}

/// A page asks after the payer's tap: the answer comes with the answer.
#[tokio::test]
async fn a_page_that_asks_is_told_at_once_and_wechat_is_not_asked_too_often() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        let before = system.confirm(&order, &payment.id).await;
        assert_eq!((before.status, &before.body["payment"]["status"]), (200, &"awaiting_payment".into()));
        system.simulator.pay(&payment.out_trade_no, Pay::default()).await.unwrap();
        let asked_at = system.payment_of(&order).await.asked_at;
        // Two seconds have not passed: nobody is asked, and the page is told what is known.
        let throttled = system.confirm(&order, &payment.id).await;
        assert_eq!(throttled.body["payment"]["status"], "awaiting_payment");
        assert_eq!(system.payment_of(&order).await.asked_at, asked_at);
        system.clock.advance(2 * SECOND);
        let after = system.confirm(&order, &payment.id).await;
        assert_eq!(after.body["payment"]["status"], "succeeded");
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "page payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}

/// A prepay dies after two hours; the same payment gets a fresh one.
#[tokio::test]
async fn a_qr_code_that_died_is_fetched_anew_for_the_same_payment() {
    for system in TestSystem::each_way().await {
        let long = json!({ "merchant_order_no": "T-1", "description": "茶", "expires_in": 604_800,
            "amount": { "total": 1, "currency": "CNY" } });
        let order = system.shop_posts("/v1/orders", &long).await.placed();
        let first = system.ready_payment(&order).await;
        system.advance(121 * MINUTE).await;
        let second = system.ready_payment(&order).await;
        assert_eq!(first.id, second.id);
        assert_ne!(first.code_url, second.code_url);
        system.payer_pays(&second).await;
        system.order_is_paid(&order).await;
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "call prepay_issued: order pending, payment awaiting_payment",
                "notification payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}

/// 平台证书 instead of 微信支付公钥: the same story.
#[tokio::test]
async fn paid_where_wechat_signs_with_a_platform_certificate() {
    let system = TestSystem::with_platform_certificate().await;
    let order = system.place_order("T-1").await;
    let payment = system.ready_payment(&order).await;
    system.payer_pays(&payment).await;
    system.order_is_paid(&order).await;
    system.end().await;
}

/// Two processes on one Postgres, an api and a worker that cannot hint at each other, without Redis:
/// what one writes down, another finds. On SQLite there is one process, and a second role is refused.
#[tokio::test]
async fn paid_with_api_and_worker_apart() {
    for mut system in TestSystem::each().await {
        if system.database.name == "sqlite" {
            system.end().await;
            continue;
        }
        system.stop_everpaid().await;
        system.change(|config| config.redis.url = None);
        let worker = system.start_apart(Roles::WORKER).await;
        system.resume_as(Roles::API).await;
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        // Nobody does what is still to be told once the worker is gone.
        system.jobs_are_idle().await;
        worker.stop().await.unwrap();
        system.end().await;
    }
}
