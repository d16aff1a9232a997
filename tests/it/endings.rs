//! How an order ends without being paid, and how one payment gives way to the next.

use std::time::Duration;

use entity::{job, order, payment};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr};
use serde_json::json;
use simulator::{Fault, FaultKind, Target};

use crate::{
    system::{MINI_PROGRAM, PAID_AT_ONCE, Placed, TestSystem},
    wire::Rule,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn payments_of(system: &TestSystem, order: &Placed) -> Vec<payment::Model> {
    payment::Entity::find()
        .filter(payment::Column::OrderId.eq(order.id.clone()))
        .order_by_asc(payment::Column::Id)
        .all(system.db().reader())
        .await
        .unwrap()
}

async fn close(system: &TestSystem, order: &Placed) -> (u16, String) {
    let answered = system.shop_posts(&format!("/v1/orders/{}/close", order.id), &json!({})).await;
    let status = answered.body["order"]["status"].as_str().unwrap_or(answered.code()).to_owned();
    (answered.status, status)
}

async fn at_wechat(system: &TestSystem, payment: &payment::Model) -> &'static str {
    system.simulator.payment(&payment.out_trade_no).await.unwrap().trade_state
}

fn mini_program() -> serde_json::Value {
    json!({ "method": "mini_program", "app_id": MINI_PROGRAM, "openid": "oSimulatedPayer0000000000001" })
}

/// Nobody pays. At the end the payment is closed at WeChat Pay first, and then here.
#[tokio::test]
async fn an_order_that_nobody_pays_is_closed_when_its_time_is_over() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.advance(2 * HOUR - SECOND).await;
        assert_eq!(system.order(&order).await.status, order::Status::Pending);
        system.advance(SECOND).await;
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "rule order_closing: order closing",
                "rule close_requested: order closing, payment closing",
                "query close_confirmed: order closing, payment closed",
                "rule order_closed: order closed",
            ]
        );
        assert_eq!(at_wechat(&system, &payment).await, "CLOSED");
        let shown = system.shop_gets(&format!("/v1/orders/{}", order.id)).await.body;
        assert_eq!(shown["order"]["status"], "closed");
        assert_eq!(system.open_payment(&order).await.code(), "order_closed");
        system.end().await;
    }
}

/// Nothing was ever opened at WeChat Pay, so nobody is asked.
#[tokio::test]
async fn an_order_that_nobody_tried_to_pay_is_closed_alone() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        system.wechat(Fault::new(FaultKind::Down));
        system.advance(2 * HOUR).await;
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "rule order_closing: order closing",
                "rule order_closed: order closed",
            ]
        );
        system.end().await;
    }
}

#[tokio::test]
async fn the_shop_closes_an_order_and_asking_again_is_fine() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        assert_eq!(close(&system, &order).await, (202, "pending".to_owned()));
        assert_eq!(system.open_payment(&order).await.code(), "order_closed", "none is opened from now on");
        system.jobs_are_idle().await;
        assert_eq!(
            system.timeline(&order).await[3..],
            [
                "api close_asked: order pending",
                "api order_closing: order closing",
                "api close_requested: order closing, payment closing",
                "query close_confirmed: order closing, payment closed",
                "api order_closed: order closed",
            ]
        );
        assert_eq!(at_wechat(&system, &payment).await, "CLOSED");
        assert_eq!(close(&system, &order).await, (200, "closed".to_owned()));
        system.end().await;
    }
}

#[tokio::test]
async fn what_is_paid_or_foreign_is_not_closed() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        assert_eq!(close(&system, &order).await, (409, "order_paid".to_owned()));
        for id in ["ord_01ARZ3NDEKTSV4RRFFQ69G5FAV", "nonsense"] {
            let answered = system.shop_posts(&format!("/v1/orders/{id}/close"), &json!({})).await;
            assert_eq!((answered.status, answered.code()), (404, "order_not_found"));
        }
        let path = format!("/v1/orders/{}/close", order.id);
        let payer = system.post(&path, &order.client_secret, &json!({})).await;
        assert_eq!((payer.status, payer.code()), (403, "shop_key_required"));
        assert_eq!(system.order(&order).await.status, order::Status::Paid);
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        system.end().await;
    }
}

/// The payer is faster than the close: WeChat Pay says ORDER_PAID, and the money counts.
#[tokio::test]
async fn paid_while_it_was_being_closed() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        // The payer finishes while the close is on its way.
        system.wechat(Fault::new(FaultKind::PayWhileClosing).on(Target::Close));
        assert_eq!(close(&system, &order).await.0, 202);
        system.jobs_are_idle().await;
        assert_eq!(at_wechat(&system, &payment).await, "SUCCESS");
        let timeline = system.timeline(&order).await;
        assert_eq!(timeline.last().unwrap(), "query payment_succeeded: order paid, payment succeeded");
        system.end().await;
    }
}

/// The close took effect and its answer was lost: asking settles it.
#[tokio::test]
async fn a_close_whose_answer_is_lost_is_settled_by_asking() {
    for kind in [FaultKind::CutAfter, FaultKind::WrongSignature, FaultKind::Status500, FaultKind::Html] {
        for system in TestSystem::each_way().await {
            let order = system.place_order("T-1").await;
            let payment = system.ready_payment(&order).await;
            system.wechat(Fault::new(kind).on(Target::Close).times(2));
            assert_eq!(close(&system, &order).await.0, 202);
            system.jobs_are_idle().await;
            for _ in 0..10 {
                system.advance(Duration::from_secs(30)).await;
            }
            assert_eq!(system.order(&order).await.status, order::Status::Closed, "{kind:?}");
            assert_eq!(at_wechat(&system, &payment).await, "CLOSED");
            assert_eq!(
                system.timeline(&order).await,
                [
                    "api order_created: order pending",
                    "api payment_created: order pending, payment created",
                    "call prepay_issued: order pending, payment awaiting_payment",
                    "api close_asked: order pending",
                    "api order_closing: order closing",
                    "api close_requested: order closing, payment closing",
                    "query close_confirmed: order closing, payment closed",
                    "api order_closed: order closed",
                ]
            );
            system.end().await;
        }
    }
}

/// WeChat Pay handed out a prepay, took the money, told nobody, and now denies all of it.
#[tokio::test]
async fn what_wechat_pay_has_known_is_not_given_up_when_it_denies_it() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-DENIED").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        system.wechat(Fault::new(FaultKind::NotFound).on(Target::Query));
        for _ in 0..3 {
            system.advance(HOUR).await;
        }
        assert_eq!(system.order(&order).await.status, order::Status::Closing);
        system.wechat_is_well();
        system.advance(HOUR).await;
        system.order_is_paid(&order).await;
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "rule order_closing: order closing",
                "rule close_requested: order closing, payment closing",
                "query payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}

#[tokio::test]
async fn what_wechat_pay_has_forgotten_for_a_day_is_over() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-FORGOTTEN").await;
        system.ready_payment(&order).await;
        system.wechat(Fault::new(FaultKind::NotFound).on(Target::Query));
        for _ in 0..23 {
            system.advance(HOUR).await;
        }
        assert_eq!(system.order(&order).await.status, order::Status::Closing);
        for _ in 0..3 {
            system.advance(HOUR).await;
        }
        assert_eq!(system.order(&order).await.status, order::Status::Closed);
        assert_eq!(system.payment_of(&order).await.status, payment::Status::Failed);
        system.end().await;
    }
}

/// The payer changes from the QR code to the mini-program: only one of them can be paid at a time.
#[tokio::test]
async fn another_method_waits_until_the_first_is_closed() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let first = system.ready_payment(&order).await;
        let path = format!("/v1/orders/{}/payments", order.id);
        let answered = system.shop_posts(&path, &mini_program()).await;
        // 200 when it was ready while the request waited, which takes two jobs one after the other.
        assert!(matches!(answered.status, 200 | 202), "{answered:?}");
        system.jobs_are_idle().await;
        assert_eq!(at_wechat(&system, &first).await, "CLOSED");
        assert_eq!(
            system.timeline(&order).await[3..],
            [
                "api payment_created: order pending, payment queued",
                "rule close_requested: order pending, payment closing",
                "query close_confirmed: order pending, payment closed",
                "rule payment_started: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
            ]
        );
        let second = payments_of(&system, &order).await.pop().unwrap();
        system.payer_pays(&second).await;
        system.order_is_paid(&order).await;
        system.end().await;
    }
}

/// The payer pays the QR code at the moment of the change: the second is never opened.
#[tokio::test]
async fn the_first_is_paid_before_it_can_be_closed() {
    for system in TestSystem::each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-1").await;
        let first = system.ready_payment(&order).await;
        system.payer_pays(&first).await;
        let path = format!("/v1/orders/{}/payments", order.id);
        let answered = system.shop_posts(&path, &mini_program()).await;
        assert_eq!(answered.body["payment"]["status"], "closed", "{answered:?}");
        assert_eq!(
            system.timeline(&order).await[3..],
            [
                "api payment_created: order pending, payment queued",
                "rule close_requested: order pending, payment closing",
                "query payment_succeeded: order paid, payment succeeded",
                "rule close_requested: order paid, payment closed",
            ]
        );
        let second = payments_of(&system, &order).await.pop().unwrap();
        assert!(system.simulator.payment(&second.out_trade_no).await.is_err(), "WeChat Pay never saw it");
        system.end().await;
    }
}

/// The change comes before WeChat Pay has heard of the first: that is closed as soon as it is there, and nobody
/// waits for the next look.
#[tokio::test]
async fn a_change_that_overtakes_the_first_waits_no_longer_than_it_has_to() {
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let order = system.place_order("T-1").await;
        wire.now(Rule::Hold("ask POST /v3/pay/transactions/native"));
        let changed = async {
            wire.has_seen(1, "ask POST /v3/pay/transactions/native").await;
            let other = mini_program();
            let path = format!("/v1/orders/{}/payments", order.id);
            let denied = async {
                wire.has_seen(1, "say GET /v3/pay/transactions/out-trade-no").await;
                wire.now(Rule::PassAll);
            };
            tokio::join!(system.shop_posts(&path, &other), denied).0
        };
        let (_, changed) = tokio::join!(system.open_payment(&order), changed);
        assert!(matches!(changed.status, 200 | 202), "{changed:?}");
        system.jobs_are_idle().await;
        let statuses: Vec<_> =
            payments_of(&system, &order).await.iter().map(|payment| payment.status).collect();
        assert_eq!(
            statuses,
            [payment::Status::Closed, payment::Status::AwaitingPayment],
            "{:#?} {:#?}",
            system.timeline(&order).await,
            wire.passed()
        );
        system.end().await;
    }
}

/// Two tabs, two devices, two people: whatever they do, one payment at most can be paid.
#[tokio::test]
async fn many_at_once_end_with_one_payable_payment() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let path = format!("/v1/orders/{}/payments", order.id);
        let asked: Vec<_> = (0..12)
            .map(|i| match i % 3 {
                0 => json!({ "method": "native" }),
                1 => mini_program(),
                _ => json!({ "method": "mini_program", "app_id": MINI_PROGRAM, "openid": format!("oOther{i}") }),
            })
            .collect();
        let answers =
            futures::future::join_all(asked.iter().map(|asked| system.shop_posts(&path, asked))).await;
        for answered in &answers {
            assert!(
                matches!(answered.status, 200 | 202) || answered.code() == "payment_in_progress",
                "{answered:?}"
            );
        }
        system.jobs_are_idle().await;
        let payments = payments_of(&system, &order).await;
        let payable: Vec<_> = payments.iter().filter(|payment| payment.status.is_payable()).collect();
        assert_eq!(payable.len(), 1, "{payments:#?}");
        assert!(payments.iter().all(|payment| payment.status != payment::Status::Queued));
        let mut open = 0;
        for payment in &payments {
            if let Ok(known) = system.simulator.payment(&payment.out_trade_no).await {
                open += usize::from(known.trade_state == "NOTPAY");
            }
        }
        assert_eq!(open, 1, "WeChat Pay takes money for one of them");
        system.payer_pays(payable[0]).await;
        system.order_is_paid(&order).await;
        system.end().await;
    }
}

/// J-SWEEP: every row of `job` is gone. What is open still ends, and is known.
#[tokio::test]
async fn with_the_job_table_emptied_by_hand_every_order_still_ends() {
    for system in TestSystem::each().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let paid = system.place_order("T-PAID").await;
        let payment = system.ready_payment(&paid).await;
        let changed = system.place_order("T-CHANGED").await;
        system.ready_payment(&changed).await;
        let untouched = system.place_order("T-UNTOUCHED").await;
        let closing = system.place_order("T-CLOSING").await;
        system.ready_payment(&closing).await;
        system.wechat(Fault::new(FaultKind::Down));
        assert_eq!(close(&system, &closing).await.0, 202);
        let path = format!("/v1/orders/{}/payments", changed.id);
        assert_eq!(system.shop_posts(&path, &mini_program()).await.status, 202);
        system.payer_pays(&payment).await;
        system.db().write(async |txn| job::Entity::delete_many().exec(txn).await).await.unwrap();
        system.stop_everpaid().await;
        system.wechat_is_well();
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        system.resume().await;
        system.order_is_paid(&paid).await;
        for _ in 0..4 {
            system.advance(Duration::from_secs(30)).await;
        }
        assert_eq!(system.order(&closing).await.status, order::Status::Closed);
        assert_eq!(system.payment_of(&changed).await.status, payment::Status::AwaitingPayment);
        system.advance(2 * HOUR).await;
        for order in [&changed, &untouched] {
            assert_eq!(system.order(order).await.status, order::Status::Closed);
        }
        system.end().await;
    }
}

/// J-SWEEP: the same for a change that has not begun, of which only its job knew.
#[tokio::test]
async fn with_the_job_table_emptied_by_hand_a_change_of_method_goes_on() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let first = system.ready_payment(&order).await;
        system.wechat(Fault::new(FaultKind::Down));
        let path = format!("/v1/orders/{}/payments", order.id);
        assert_eq!(system.shop_posts(&path, &mini_program()).await.status, 202);
        system.jobs_are_idle().await;
        let not_begun = payment::Entity::update_many()
            .col_expr(payment::Column::Status, Expr::value(payment::Status::AwaitingPayment))
            .filter(payment::Column::Id.eq(first.id.clone()));
        let db = system.db();
        let by_hand = db.write(async |txn| {
            job::Entity::delete_many().exec(txn).await?;
            not_begun.exec(txn).await
        });
        assert_eq!(by_hand.await.unwrap().rows_affected, 1);
        system.stop_everpaid().await;
        system.wechat_is_well();
        system.resume().await;
        let opened = async {
            while system.payment_of(&order).await.status != payment::Status::AwaitingPayment {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(MINUTE, opened).await.expect("the worker sweeps when it starts");
        assert_eq!(at_wechat(&system, &first).await, "CLOSED");
        system.end().await;
    }
}

/// WeChat Pay is down: the change waits, and goes on by itself.
#[tokio::test]
async fn a_change_of_method_outlives_an_outage() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let first = system.ready_payment(&order).await;
        system.wechat(Fault::new(FaultKind::Down));
        let path = format!("/v1/orders/{}/payments", order.id);
        let answered = system.shop_posts(&path, &mini_program()).await;
        assert_eq!((answered.status, &answered.body["payment"]["status"]), (202, &json!("queued")));
        let third = json!({ "method": "mini_program", "app_id": MINI_PROGRAM, "openid": "oThird" });
        assert_eq!(system.shop_posts(&path, &third).await.code(), "payment_in_progress");
        system.wechat_is_well();
        for _ in 0..10 {
            system.advance(Duration::from_secs(30)).await;
        }
        assert_eq!(at_wechat(&system, &first).await, "CLOSED");
        let second = payments_of(&system, &order).await.pop().unwrap();
        assert_eq!(second.status, payment::Status::AwaitingPayment);
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "api payment_created: order pending, payment queued",
                "rule close_requested: order pending, payment closing",
                "query close_confirmed: order pending, payment closed",
                "rule payment_started: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
            ]
        );
        system.end().await;
    }
}
