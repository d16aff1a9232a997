//! How money goes back, whatever gets in the way.

use std::time::Duration;

use entity::{RefundId, job, order, refund::Status};
use futures::future::join_all;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use simulator::{ConsoleRefund, Fault, FaultKind, RefundOutcome, Target};

use crate::system::{MERCHANT, OTHER_API_KEY, OTHER_MERCHANT, Placed, TestSystem};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// WeChat Pay takes five seconds for a refund, and one refund of a payment in a minute.
const DONE_AFTER: Duration = Duration::from_secs(5);
const NEXT_PART_AFTER: Duration = Duration::from_secs(65);

/// What happened after the order was paid.
async fn story(system: &TestSystem, order: &Placed) -> Vec<String> {
    system.timeline(order).await.split_off(4)
}

async fn status(system: &TestSystem, refund: &RefundId) -> Status {
    system.refund_of(refund).await.status
}

/// Why the job that sends it was not done last time.
async fn last_error(system: &TestSystem, refund: &RefundId) -> Option<String> {
    system.job("request_refund", refund.as_str()).await.and_then(|job| job.last_error)
}

#[tokio::test]
async fn given_back_in_parts_up_to_the_whole() {
    for system in TestSystem::each_way().await {
        let order = system.paid_order("T-1").await;
        let path = format!("/v1/orders/{}/refunds", order.id);
        let asked = json!({
            "merchant_refund_no": "R-1",
            "amount": { "total": 1000, "currency": "CNY" },
            "reason": "少了一个杯子",
        });
        let answered = system.shop_posts(&path, &asked).await;
        assert_eq!(answered.status, 201, "{answered:?}");
        let refund = &answered.body["refund"];
        assert_eq!((&refund["merchant_refund_no"], &refund["asked_by"]), (&json!("R-1"), &json!("shop")));
        assert_eq!(refund["amount"], json!({ "total": 1000, "currency": "CNY" }));
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        system.advance(NEXT_PART_AFTER).await;
        let second = system.refund(&order, "R-2", 2990).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(
            story(&system, &order).await,
            [
                "api refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "notification refund_succeeded: order partially_refunded, refund succeeded",
                "api refund_requested: order partially_refunded, refund requested",
                "call refund_taken: order partially_refunded, refund processing",
                "notification refund_succeeded: order refunded, refund succeeded",
            ]
        );
        let at_wechat = system.simulator.refunds(10).await.unwrap();
        assert_eq!(at_wechat.last().unwrap().reason.as_deref(), Some("少了一个杯子"));

        let shown = system.shop_gets(&format!("/v1/orders/{}", order.id)).await.body;
        assert_eq!(shown["order"]["refunded"], json!({ "total": 3990, "currency": "CNY" }));
        let found = system.shop_gets(&format!("/v1/refunds/{second}")).await;
        assert_eq!((found.status, &found.body["refund"]["status"]), (200, &json!("succeeded")));
        assert!(
            found.body["refund"]["refund_id"].is_string() && found.body["refund"]["succeeded_at"].is_string()
        );

        let more = system.ask_refund(&order, "R-3", 1).await;
        assert_eq!((more.status, more.code()), (409, "refund_exceeds_payment"));
        assert!(more.body["detail"].as_str().unwrap().starts_with("only 0 fen"), "{more:?}");
        assert_eq!(system.cases().await, Vec::<String>::new());
        system.end().await;
    }
}

/// The number is the shop's key: the same content is the same refund, other content is refused.
#[tokio::test]
async fn the_same_number_is_the_same_refund() {
    for system in TestSystem::each().await {
        let (order, other) = (system.paid_order("T-1").await, system.paid_order("T-2").await);
        let first = system.ask_refund(&order, "R-1", 1000).await;
        system.jobs_are_idle().await;
        let again = system.ask_refund(&order, "R-1", 1000).await;
        assert_eq!((again.status, &again.body["refund"]["id"]), (200, &first.body["refund"]["id"]));
        for (refused, differs) in [
            (system.ask_refund(&order, "R-1", 999).await, "amount"),
            (system.ask_refund(&other, "R-1", 1000).await, "order"),
        ] {
            assert_eq!((refused.status, refused.code()), (409, "merchant_refund_no_used"));
            assert!(refused.body["detail"].as_str().unwrap().contains(differs), "{refused:?}");
        }
        // Also when two orders want it at the same moment.
        let (a, b) = tokio::join!(system.ask_refund(&order, "R-2", 10), system.ask_refund(&other, "R-2", 10));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{a:?} {b:?}");
        // Another shop may use the number too, and sees nothing of this one.
        let path = format!("/v1/refunds/{}", first.body["refund"]["id"].as_str().unwrap());
        let foreign = system.get(&path, OTHER_API_KEY).await;
        let missing = system.shop_gets("/v1/refunds/rfd_01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
        let (mut foreign, mut missing) = (foreign.body, missing.body);
        (foreign["request_id"], missing["request_id"]) = (Value::Null, Value::Null);
        assert_eq!((&foreign, &foreign["code"]), (&missing, &json!("refund_not_found")));
        system.advance(NEXT_PART_AFTER).await;
        system.advance(NEXT_PART_AFTER).await;
        system.advance(DONE_AFTER).await;
        system.end().await;
    }
}

#[tokio::test]
async fn what_cannot_be_given_back_is_refused_with_a_reason() {
    let system = TestSystem::one().await;
    let order = system.place_order("T-1").await;
    let unpaid = system.ask_refund(&order, "R-1", 1).await;
    assert_eq!((unpaid.status, unpaid.code()), (409, "order_not_paid"));
    let payment = system.ready_payment(&order).await;
    system.payer_pays(&payment).await;
    system.order_is_paid(&order).await;
    system.jobs_are_idle().await;
    let rows = system.rows().await;
    let asked = |field: &str, value: Value| {
        let mut asked = json!({ "merchant_refund_no": "R-1", "amount": { "total": 1, "currency": "CNY" }, "reason": "x" });
        asked[field] = value;
        asked
    };
    let amount =
        |total: Value, currency: &str| asked("amount", json!({ "total": total, "currency": currency }));
    let path = format!("/v1/orders/{}/refunds", order.id);
    for (pointer, body) in [
        ("/merchant_refund_no", asked("merchant_refund_no", json!(""))),
        ("/merchant_refund_no", asked("merchant_refund_no", json!("a b"))),
        ("/merchant_refund_no", asked("merchant_refund_no", json!("x".repeat(65)))),
        ("/amount/total", amount(json!(0), "CNY")),
        ("/amount/total", amount(json!(-1), "CNY")),
        ("/amount/total", amount(json!(1.5), "CNY")),
        ("/amount/currency", amount(json!(1), "USD")),
        ("/reason", asked("reason", json!(""))),
        ("/reason", asked("reason", json!("茶🍵"))),
        ("/reason", asked("reason", json!("茶".repeat(27)))),
        ("/order", asked("order", json!("x"))),
    ] {
        let answered = system.shop_posts(&path, &body).await;
        assert_eq!((answered.status, answered.code()), (400, "invalid_request"), "{body} {answered:?}");
        assert_eq!(answered.body["pointer"], pointer, "{answered:?}");
    }
    let payer = system.post(&path, &order.client_secret, &asked("reason", json!("x"))).await;
    assert_eq!((payer.status, payer.code()), (403, "shop_key_required"));
    let foreign = system.post(&path, OTHER_API_KEY, &asked("reason", json!("x"))).await;
    assert_eq!((foreign.status, foreign.code()), (404, "order_not_found"));
    let more = system.ask_refund(&order, "R-1", 3991).await;
    assert_eq!((more.status, more.code()), (409, "refund_exceeds_payment"));
    assert!(more.body["detail"].as_str().unwrap().starts_with("only 3990 fen"), "{more:?}");
    assert_eq!(system.rows().await, rows, "nothing was written");

    system.advance(366 * 24 * HOUR).await;
    let late = system.ask_refund(&order, "R-1", 1).await;
    assert_eq!((late.status, late.code()), (409, "refund_too_late"));
    system.end().await;
}

#[tokio::test]
async fn a_payment_has_fifty_parts_at_most() {
    let system = TestSystem::one().await;
    let order = system.paid_order("T-1").await;
    for part in 0..50 {
        system.refund(&order, &format!("R-{part}"), 1).await;
    }
    let more = system.ask_refund(&order, "R-50", 1).await;
    assert_eq!((more.status, more.code()), (409, "too_many_refunds"));
    for _ in 0..51 {
        system.advance(NEXT_PART_AFTER).await;
    }
    assert_eq!(system.order(&order).await.refunded.0, 50);
    assert_eq!(system.simulator.refunds(100).await.unwrap().len(), 50);
    system.end().await;
}

/// Many at once, for more than there is: never above, here and at WeChat Pay.
#[tokio::test]
async fn many_at_once_never_give_back_more_than_was_paid() {
    for system in TestSystem::each().await {
        let order = system.paid_order("T-1").await;
        let numbers: Vec<_> = (0..20).map(|n| format!("R-{n}")).collect();
        let answers = join_all(numbers.iter().map(|number| system.ask_refund(&order, number, 500))).await;
        let taken = answers.iter().filter(|answered| answered.status == 201).count();
        let refused = answers.iter().filter(|answered| answered.code() == "refund_exceeds_payment").count();
        assert_eq!((taken, refused), (7, 13), "{answers:#?}");
        for _ in 0..9 {
            system.advance(NEXT_PART_AFTER).await;
        }
        assert_eq!(system.order(&order).await.refunded.0, 3500);
        // Their minute was kept, so WeChat Pay never said that it was too often.
        assert!(story(&system, &order).await.iter().all(|line| !line.contains("lost")));
        println!(
            "I9: {} asked of 3990 fen at 500 each, taken {taken}, given back {} fen, above the payment 0",
            answers.len(),
            system.order(&order).await.refunded.0
        );
        system.end().await;
    }
}

/// W-AMBIG: whatever happens to the call or its answer, WeChat Pay has one refund with one number.
#[tokio::test]
async fn whatever_becomes_of_the_call_there_is_one_refund() {
    use FaultKind::{
        Accepted202, Accepted429, CutAfter, CutBefore, Empty, Html, ProbeSignature, Status429, Status500,
        Status502, Status503, WrongSignature,
    };
    let kinds = [
        CutBefore,
        CutAfter,
        Status429,
        Accepted429,
        Status500,
        Status502,
        Status503,
        Html,
        Empty,
        Accepted202,
        WrongSignature,
        ProbeSignature,
    ];
    for system in TestSystem::each().await {
        let mut asked = 0;
        // By turns alone, and with questions that go wrong as well.
        let troubles = [None, Some(FaultKind::NotFound), Some(FaultKind::Status500)].into_iter().cycle();
        for (kind, trouble) in kinds.into_iter().zip(troubles) {
            let order = system.paid_order(&format!("T-{asked}")).await;
            system.wechat(Fault::new(kind).on(Target::Refund).times(2));
            if let Some(trouble) = trouble {
                system.wechat(Fault::new(trouble).on(Target::RefundQuery).times(2));
            }
            let refund = system.refund(&order, &format!("R-{asked}"), 1000).await;
            asked += 1;
            system.jobs_are_idle().await;
            assert_eq!(status(&system, &refund).await, Status::Unknown, "{kind:?}");
            // It is asked about, and sent again, before WeChat Pay is done with it and tells of it.
            for _ in 0..4 {
                system.advance(SECOND).await;
            }
            for _ in 0..10 {
                if status(&system, &refund).await != Status::Succeeded {
                    system.advance(DONE_AFTER).await;
                }
            }
            assert_eq!(status(&system, &refund).await, Status::Succeeded, "{kind:?} {trouble:?}");
            let story = story(&system, &order).await;
            assert_eq!(story[1], "call refund_outcome_lost: order paid, refund unknown", "{story:?}");
            assert_eq!(system.order(&order).await.refunded.0, 1000);
            system.wechat_is_well();
        }
        let ledger = system.simulator.ledger().await.unwrap().refunds;
        let sum: i64 = ledger.iter().map(|refund| refund.refund).sum();
        let doubled = ledger.len() - asked;
        println!(
            "W-AMBIG: {} kinds of trouble, refunds asked {asked}, at WeChat Pay {}, doubled {doubled}, fen {sum}",
            kinds.len(),
            ledger.len(),
        );
        assert_eq!((doubled, sum), (0, 1000 * i64::try_from(asked).unwrap()));
        system.end().await;
    }
}

/// WeChat Pay does not sign its refusals, so one alone is not the end: it counts when it comes again
/// after nothing of ours can be on its way any more.
#[tokio::test]
async fn a_refusal_counts_when_nothing_can_be_on_its_way() {
    for system in TestSystem::each_way().await {
        let order = system.paid_order("T-1").await;
        let payment = system.payment_of(&order).await;
        // Somebody was faster in the console: there is nothing left at WeChat Pay.
        system.simulator.refund_from_console(&payment.out_trade_no, ConsoleRefund::default()).await.unwrap();
        let refund = system.refund(&order, "R-1", 1000).await;
        system.jobs_are_idle().await;
        assert_eq!(last_error(&system, &refund).await.as_deref(), Some("refused_in_doubt"));
        // It still holds its part: nobody can ask for it again.
        assert_eq!(system.ask_refund(&order, "R-2", 3000).await.code(), "refund_exceeds_payment");
        system.advance(6 * MINUTE - SECOND).await;
        assert_eq!(status(&system, &refund).await, Status::Unknown, "what was sent first may still arrive");
        system.advance(SECOND).await;
        assert_eq!(
            story(&system, &order).await,
            [
                "api refund_requested: order paid, refund requested",
                "call refund_outcome_lost: order paid, refund unknown",
                "call refund_refused: order paid, refund refused",
            ]
        );
        let shown = system.shop_gets(&format!("/v1/refunds/{refund}")).await.body;
        assert_eq!(shown["refund"]["failure"]["code"], "INVALID_REQUEST", "{shown}");
        // It holds nothing any more, and the shop is told, so there is no case.
        assert_eq!(system.ask_refund(&order, "R-2", 3990).await.status, 201);
        assert_eq!(system.cases().await, Vec::<String>::new());
        system.jobs_are_idle().await;
        system.end().await;
    }
}

/// The first call never arrived, and the second is refused: the first may arrive yet.
#[tokio::test]
async fn a_refusal_after_an_unanswered_call_waits_for_that_call() {
    for system in TestSystem::each_way().await {
        let order = system.paid_order("T-1").await;
        let payment = system.payment_of(&order).await;
        system.wechat(Fault::new(FaultKind::CutBefore).on(Target::Refund).times(1));
        let refund = system.refund(&order, "R-1", 1000).await;
        system.jobs_are_idle().await;
        assert_eq!(last_error(&system, &refund).await.as_deref(), Some("connection_lost"));
        system.simulator.refund_from_console(&payment.out_trade_no, ConsoleRefund::default()).await.unwrap();
        system.advance(2 * SECOND).await;
        assert_eq!(last_error(&system, &refund).await.as_deref(), Some("refused_in_doubt"));
        system.advance(5 * MINUTE).await;
        assert_eq!(status(&system, &refund).await, Status::Unknown);
        system.advance(MINUTE).await;
        assert_eq!(status(&system, &refund).await, Status::Refused);
        assert_eq!(
            story(&system, &order).await,
            [
                "api refund_requested: order paid, refund requested",
                "call refund_outcome_lost: order paid, refund unknown",
                "call refund_refused: order paid, refund refused",
            ]
        );
        system.end().await;
    }
}

/// The account is empty: the same number again and again, a case after a day, and then money.
#[tokio::test]
async fn a_balance_that_is_short_is_waited_for() {
    for system in TestSystem::each_way().await {
        let order = system.paid_order("T-1").await;
        system.simulator.set_balance(0).await.unwrap();
        let refund = system.refund(&order, "R-1", 1000).await;
        system.jobs_are_idle().await;
        assert_eq!(status(&system, &refund).await, Status::Requested);
        assert_eq!(last_error(&system, &refund).await.as_deref(), Some("balance_short"));
        let timeline = system.shop_gets(&format!("/v1/orders/{}/timeline", order.id)).await.body;
        let job =
            timeline["timeline"].as_array().unwrap().iter().find(|line| line["kind"] == "request_refund");
        assert_eq!(job.unwrap()["last_error"], "balance_short", "{timeline}");
        system.advance(23 * HOUR).await;
        assert_eq!(system.cases().await, Vec::<String>::new());
        system.advance(HOUR).await;
        assert_eq!(system.cases().await, ["refund_failed of 1000: open"]);
        system.simulator.set_balance(1000).await.unwrap();
        system.advance(10 * MINUTE).await;
        system.advance(DONE_AFTER).await;
        assert_eq!(
            story(&system, &order).await,
            [
                "api refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "notification refund_succeeded: order partially_refunded, refund succeeded",
            ]
        );
        assert_eq!(system.cases().await, ["refund_failed of 1000: refunded by policy"]);
        system.end().await;
    }
}

/// WeChat Pay gives it up: no money moved, and another may be asked for.
#[tokio::test]
async fn a_refund_that_wechat_gives_up_can_be_asked_for_anew() {
    for system in TestSystem::each_way().await {
        let order = system.paid_order("T-1").await;
        system.wechat(Fault::new(FaultKind::RefundClosed).on(Target::Refund).times(1));
        system.refund(&order, "R-1", 3990).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(
            story(&system, &order).await[2..],
            ["notification refund_closed: order paid, refund closed"]
        );
        system.advance(NEXT_PART_AFTER).await;
        system.refund(&order, "R-2", 3990).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(system.order(&order).await.status, order::Status::Refunded);
        assert_eq!(system.cases().await, Vec::<String>::new(), "the shop was told");
        system.end().await;
    }
}

/// The payer's card is dead: always a case, looked at daily, and over when a person has seen to it.
#[tokio::test]
async fn an_abnormal_refund_is_a_case_until_it_succeeds() {
    for system in TestSystem::each_way().await {
        let order = system.paid_order("T-1").await;
        system.wechat(Fault::new(FaultKind::RefundAbnormal).on(Target::Refund).times(1));
        let refund = system.refund(&order, "R-1", 3990).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(status(&system, &refund).await, Status::Abnormal);
        assert_eq!(system.cases().await, ["refund_failed of 3990: open"]);
        assert_eq!(system.ask_refund(&order, "R-2", 1).await.code(), "refund_exceeds_payment");
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let number = system.refund_of(&refund).await.out_refund_no;
        system.simulator.settle_refund(&number, RefundOutcome::Success).await.unwrap();
        system.advance(25 * HOUR).await;
        assert_eq!(
            story(&system, &order).await[2..],
            [
                "notification refund_abnormal: order paid, refund abnormal",
                "query refund_succeeded: order refunded, refund succeeded",
            ]
        );
        assert_eq!(system.cases().await, ["refund_failed of 3990: refunded by policy"]);
        system.end().await;
    }
}

#[tokio::test]
async fn with_every_notification_dropped_the_ladder_finds_it() {
    for system in TestSystem::each_way().await {
        let order = system.paid_order("T-1").await;
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let refund = system.refund(&order, "R-1", 3990).await;
        system.jobs_are_idle().await;
        system.advance(59 * SECOND).await;
        assert_eq!(status(&system, &refund).await, Status::Processing);
        system.wechat(Fault::new(FaultKind::Status503).on(Target::RefundQuery).times(1));
        system.advance(SECOND).await;
        system.advance(SECOND).await;
        assert_eq!(
            story(&system, &order).await[2..],
            ["query refund_succeeded: order refunded, refund succeeded"]
        );
        assert!(system.job("confirm_refund", refund.as_str()).await.is_none(), "nobody asks any more");
        system.end().await;
    }
}

/// The same notification on two connections, and fifty copies with other ids.
#[tokio::test]
async fn a_repeated_notification_gives_back_once() {
    for system in TestSystem::each().await {
        system.wechat(Fault::new(FaultKind::Duplicate).on(Target::Notify));
        let order = system.paid_order("T-1").await;
        let refund = system.refund(&order, "R-1", 1000).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(status(&system, &refund).await, Status::Succeeded);
        let notary = system.simulator.notary();
        let said = said_of(&system, &order, &refund).await;
        let copies: Vec<_> = (0..50).map(|_| notary.refund_notification(&said).unwrap()).collect();
        let tell = copies.into_iter().map(|copy| system.tell(MERCHANT, copy.headers, copy.body));
        assert!(join_all(tell).await.iter().all(|answered| answered.status == 204));
        system.jobs_are_idle().await;
        assert_eq!(story(&system, &order).await.len(), 3);
        assert_eq!(system.order(&order).await.refunded.0, 1000);
        system.end().await;
    }
}

/// What WeChat Pay said when the refund succeeded.
async fn said_of(system: &TestSystem, order: &Placed, refund: &RefundId) -> Value {
    let (payment, refund) = (system.payment_of(order).await, system.refund_of(refund).await);
    let notary = system.simulator.notary();
    let mut paid = notary.paid_transaction(&payment.out_trade_no, payment.amount.0);
    paid["transaction_id"] = json!(payment.transaction_id);
    let mut said = notary.settled_refund(&paid, &refund.out_refund_no, refund.amount.0);
    if let Some(known) = refund.refund_id {
        said["refund_id"] = json!(known);
    }
    said
}

/// Signed, and not what we asked for: kept as a case, and nothing moves until WeChat Pay is asked.
#[tokio::test]
async fn a_notification_that_contradicts_the_refund_moves_nothing() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.advance(DONE_AFTER).await;
        let refund = system.refund(&order, "R-1", 1000).await;
        system.jobs_are_idle().await;
        let lies = [
            ("/amount/refund", json!(1001), "amount_differs"),
            ("/amount/refund", json!(999), "amount_differs"),
            ("/amount/total", json!(3991), "amount_differs"),
            ("/mchid", json!("1900000009"), "mchid_differs"),
            ("/transaction_id", json!("4200000000000000000000000000"), "transaction_differs"),
            ("/out_trade_no", json!("SOMEBODYELSE"), "out_trade_no_differs"),
            ("/refund_id", json!("50000000000000000000000000001"), "refund_differs"),
        ];
        for (pointer, lie, reason) in lies {
            let mut said = said_of(&system, &order, &refund).await;
            *said.pointer_mut(pointer).unwrap() = lie;
            let claim = system.simulator.notary().refund_notification(&said).unwrap();
            assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
            system.jobs_are_idle().await;
            let kept = system.notifications().await.pop().unwrap();
            assert_eq!(kept.reason.as_deref(), Some(reason), "{pointer}");
            assert_eq!(status(&system, &refund).await, Status::Processing, "{pointer}");
        }
        // The same contradiction three times is one case.
        assert_eq!(system.cases().await, vec!["mismatch of 1000: open"; 5]);
        // At another merchant's address it is about nothing.
        let said = said_of(&system, &order, &refund).await;
        let claim = system.simulator.notary().refund_notification(&said).unwrap();
        assert_eq!(system.tell(OTHER_MERCHANT, claim.headers, claim.body).await.status, 204);
        system.jobs_are_idle().await;
        assert_eq!(status(&system, &refund).await, Status::Processing);
        assert_eq!(system.cases().await.last().unwrap(), "unknown_number of 1000: open");
        system.advance(MINUTE).await;
        assert_eq!(status(&system, &refund).await, Status::Succeeded);
        let reported = "notification mismatch_reported: order paid, refund processing";
        let story = story(&system, &order).await;
        assert_eq!(story.iter().filter(|line| *line == reported).count(), 5, "{story:?}");
        assert_eq!(
            story.into_iter().filter(|line| line != reported).collect::<Vec<_>>(),
            [
                "api refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "query refund_succeeded: order partially_refunded, refund succeeded",
            ]
        );
        system.end().await;
    }
}

/// J-SWEEP for refunds: every row of `job` is gone, at every stage of a refund.
#[tokio::test]
async fn with_the_job_table_emptied_by_hand_every_refund_still_ends() {
    for system in TestSystem::each().await {
        let orders = [system.paid_order("T-1").await, system.paid_order("T-2").await];
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let taken = system.refund(&orders[0], "R-1", 1000).await;
        system.jobs_are_idle().await;
        assert_eq!(status(&system, &taken).await, Status::Processing);
        system.wechat(Fault::new(FaultKind::Down));
        let lost = system.refund(&orders[1], "R-2", 1000).await;
        system.jobs_are_idle().await;
        assert_eq!(status(&system, &lost).await, Status::Unknown);
        system.db().write(async |txn| job::Entity::delete_many().exec(txn).await).await.unwrap();
        system.stop_everpaid().await;
        system.wechat_is_well();
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        system.resume().await;
        let swept = async {
            while system.job("confirm_refund", taken.as_str()).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(MINUTE, swept).await.expect("the worker sweeps when it starts");
        for _ in 0..4 {
            system.advance(30 * SECOND).await;
        }
        assert_eq!(status(&system, &taken).await, Status::Succeeded);
        assert_eq!(status(&system, &lost).await, Status::Succeeded);
        system.end().await;
    }
}

/// A refund's job, status and events are in the timeline of its order.
#[tokio::test]
async fn the_timeline_shows_refunds() {
    let system = TestSystem::one().await;
    let order = system.paid_order("T-1").await;
    let refund = system.refund(&order, "R-1", 1000).await;
    system.jobs_are_idle().await;
    let shown = system.shop_gets(&format!("/v1/orders/{}/timeline", order.id)).await.body;
    let lines = shown["timeline"].as_array().unwrap();
    let taken = lines.iter().find(|line| line["kind"] == "refund_taken").unwrap();
    assert_eq!((&taken["refund_id"], &taken["refund_status"]), (&json!(refund), &json!("processing")));
    assert!(lines.iter().any(|line| line["kind"] == "confirm_refund" && line["subject"] == json!(refund)));
    system.advance(DONE_AFTER).await;
    system.end().await;
}
