//! Money that nobody expected: late, twice, of the wrong amount, for somebody else. Never refused, never
//! lost, and never booked where it does not belong.

use std::time::Duration;

use entity::{OrderId, case, job, notification::Verdict, order, payment, refund};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Pay, RefundOutcome, Target};
use worker::{Identity, Policies, Policy};

use crate::system::{Answered, MERCHANT, MINI_PROGRAM, OTHER_API_KEY, OTHER_MERCHANT, Placed, TestSystem};

const MINUTE: Duration = Duration::from_secs(60);
const DONE_AFTER: Duration = Duration::from_secs(5);

impl TestSystem {
    async fn follow(&mut self, policies: Policies) {
        self.configure(|merchant| merchant.policies = policies).await;
    }

    /// An order that is closed here, with a payment that WeChat Pay denied and still takes money for.
    async fn closed_too_early(&self, merchant_order_no: &str) -> (Placed, payment::Model) {
        let order = self.place_order(merchant_order_no).await;
        self.wechat(Fault::new(FaultKind::CutAfter).on(Target::Create));
        self.wechat(Fault::new(FaultKind::NotFound).on(Target::Query));
        assert_eq!(self.open_payment(&order).await.status, 202);
        self.shop_posts(&format!("/v1/orders/{}/close", order.id), &json!({})).await;
        for _ in 0..9 {
            self.advance(MINUTE).await;
        }
        self.wechat_is_well();
        assert_eq!(self.order(&order).await.status, order::Status::Closed);
        let payment = self.payment_of(&order).await;
        assert_eq!(payment.status, payment::Status::Failed);
        (order, payment)
    }

    /// An order with two payments that WeChat Pay takes money for: it denied the first.
    async fn payable_twice(&self, merchant_order_no: &str) -> (Placed, [payment::Model; 2]) {
        let order = self.place_order(merchant_order_no).await;
        self.wechat(Fault::new(FaultKind::CutAfter).on(Target::Create).times(2));
        self.wechat(Fault::new(FaultKind::NotFound).on(Target::Query));
        assert_eq!(self.open_payment(&order).await.status, 202);
        let other = json!({ "method": "mini_program", "app_id": MINI_PROGRAM, "openid": "oSimulatedPayer0000000000001" });
        let path = format!("/v1/orders/{}/payments", order.id);
        assert_eq!(self.shop_posts(&path, &other).await.status, 202);
        for _ in 0..9 {
            self.advance(MINUTE).await;
        }
        self.wechat_is_well();
        let payments = payment::Entity::find()
            .filter(payment::Column::OrderId.eq(order.id.clone()))
            .order_by_asc(payment::Column::Id)
            .all(self.db().reader())
            .await
            .expect("a read");
        let payments: [payment::Model; 2] = payments.try_into().expect("two payments");
        let statuses = payments.each_ref().map(|payment| payment.status);
        assert_eq!(statuses, [payment::Status::Failed, payment::Status::AwaitingPayment]);
        (order, payments)
    }

    /// What the case about that order says of itself.
    async fn case_of(&self, order: &OrderId) -> case::Model {
        let of_order = case::Entity::find().filter(case::Column::OrderId.eq(order.clone()));
        of_order.one(self.db().reader()).await.expect("a read").expect("a case")
    }

    /// A person resolves a case, and says why.
    async fn resolve(&self, case: &case::Model, resolution: case::Resolution) -> Result<(), String> {
        let identity = Identity {
            out_trade_no_prefix: String::new(),
            notify_url: self.url(&format!("/v1/wechat/notifications/{}", case.merchant)),
        };
        let resolved = self
            .db()
            .write(async |txn| {
                worker::cases::resolve(txn, &identity, &case.id, resolution, "asked the payer").await
            })
            .await;
        resolved.map_err(|why| why.to_string())
    }
}

/// What happened after the order was closed, or after both payments were there.
fn since(timeline: &[String], what: &str) -> Vec<String> {
    let at = timeline.iter().position(|line| line.contains(what)).expect("the event");
    timeline[at + 1..].to_vec()
}

#[tokio::test]
async fn late_money_is_accepted_unless_decided_otherwise() {
    for system in TestSystem::each_way().await {
        let (order, payment) = system.closed_too_early("T-1").await;
        system.payer_pays(&payment).await;
        system.jobs_are_idle().await;
        assert_eq!(
            since(&system.timeline(&order).await, "order_closed"),
            ["notification payment_succeeded: order paid, payment succeeded"]
        );
        assert_eq!(system.cases().await, ["late_payment of 3990: accepted by policy"]);
        system.end().await;
    }
}

#[tokio::test]
async fn late_money_goes_back_by_policy() {
    for mut system in TestSystem::each_way().await {
        system.follow(Policies { late: Policy::Refund, ..Policies::default() }).await;
        let (order, payment) = system.closed_too_early("T-1").await;
        system.payer_pays(&payment).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(
            since(&system.timeline(&order).await, "order_closed"),
            [
                "notification payment_succeeded: order paid, payment succeeded",
                "rule refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "notification refund_succeeded: order refunded, refund succeeded",
            ]
        );
        assert_eq!(system.cases().await, ["late_payment of 3990: refunded by policy"]);
        let refund = system.refunds_of(&order).await.pop().unwrap();
        assert_eq!(
            (refund.asked_by, system.case_of(&order.id).await.refund_id),
            (refund::AskedBy::Policy, Some(refund.id))
        );
        system.end().await;
    }
}

/// Held: a person decides, and can decide once.
#[tokio::test]
async fn late_money_is_held_for_a_person() {
    for mut system in TestSystem::each_way().await {
        system.follow(Policies { late: Policy::Hold, ..Policies::default() }).await;
        let (order, payment) = system.closed_too_early("T-1").await;
        system.payer_pays(&payment).await;
        system.jobs_are_idle().await;
        assert_eq!(system.cases().await, ["late_payment of 3990: open"]);
        let case = system.case_of(&order.id).await;
        let (a, b) = tokio::join!(
            system.resolve(&case, case::Resolution::Refunded),
            system.resolve(&case, case::Resolution::Refunded)
        );
        assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|is_ok| **is_ok).count(), 1, "{a:?} {b:?}");
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(
            since(&system.timeline(&order).await, "payment_succeeded"),
            [
                "person refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "notification refund_succeeded: order refunded, refund succeeded",
            ]
        );
        assert_eq!(system.cases().await, ["late_payment of 3990: refunded by person"]);
        let again = system.resolve(&case, case::Resolution::Accepted).await;
        assert_eq!(again, Err("the case is resolved already".to_owned()));
        assert_eq!(system.simulator.refunds(10).await.unwrap().len(), 1);
        system.end().await;
    }
}

/// O-TWICE: both payments of an order are paid. It is paid once, and what came on top goes back.
#[tokio::test]
async fn paid_twice_is_paid_once_and_the_surplus_goes_back_once() {
    for system in TestSystem::each_way().await {
        let (order, [first, second]) = system.payable_twice("T-1").await;
        system.payer_pays(&second).await;
        system.order_is_paid(&order).await;
        system.wechat(Fault::new(FaultKind::Duplicate).on(Target::Notify));
        system.payer_pays(&first).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(
            since(&system.timeline(&order).await, "prepay_issued"),
            [
                "notification payment_succeeded: order paid, payment succeeded",
                "notification surplus_received: order paid, payment succeeded",
                "rule refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "notification refund_succeeded: order paid, refund succeeded",
            ]
        );
        assert_eq!(system.order(&order).await.refunded.0, 0, "surplus does not count");
        assert_eq!(system.cases().await, ["surplus of 3990: refunded by policy"]);
        let ledger = system.simulator.ledger().await.unwrap();
        let (taken, back) = (ledger.payments.len(), ledger.refunds.len());
        let story = system.timeline(&order).await;
        let paid = story.iter().filter(|line| line.contains(" payment_succeeded:")).count();
        println!("O-TWICE: payments taken {taken}, times the order was paid {paid}, surplus refunded {back}");
        assert_eq!((taken, paid, back), (2, 1, 1));
        // What paid the order can still go back, all of it.
        system.refund(&order, "R-1", 3990).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(system.order(&order).await.status, order::Status::Refunded);
        system.end().await;
    }
}

#[tokio::test]
async fn surplus_is_accepted_or_held_as_decided() {
    for mut system in TestSystem::each_way().await {
        for (number, policy, end) in
            [("T-1", Policy::Accept, "accepted by policy"), ("T-2", Policy::Hold, "open")]
        {
            system.follow(Policies { surplus: policy, ..Policies::default() }).await;
            let (order, [first, second]) = system.payable_twice(number).await;
            system.payer_pays(&first).await;
            system.order_is_paid(&order).await;
            system.jobs_are_idle().await;
            // The second is closed at WeChat Pay now, unless the payer is faster; here nobody is.
            assert_eq!(system.simulator.payment(&second.out_trade_no).await.unwrap().trade_state, "CLOSED");
            assert_eq!(
                since(&system.timeline(&order).await, "prepay_issued"),
                [
                    "notification payment_succeeded: order paid, payment succeeded",
                    "rule close_requested: order paid, payment closing",
                    "query close_confirmed: order paid, payment closed",
                ]
            );
            assert_eq!(system.cases().await.len(), usize::from(number == "T-2"), "nothing came on top");
            let (order, [first, second]) = system.payable_twice(&format!("{number}-TWICE")).await;
            system.payer_pays(&second).await;
            // What is acknowledged is not yet applied.
            system.order_is_paid(&order).await;
            system.payer_pays(&first).await;
            system.jobs_are_idle().await;
            assert_eq!(system.cases().await.last().unwrap(), &format!("surplus of 3990: {end}"));
            assert!(system.refunds_of(&order).await.is_empty());
            assert_eq!(
                since(&system.timeline(&order).await, "prepay_issued"),
                [
                    "notification payment_succeeded: order paid, payment succeeded",
                    "notification surplus_received: order paid, payment succeeded",
                ]
            );
        }
        system.end().await;
    }
}

/// The policy's refund was given up by WeChat Pay: a case, and a person asks anew.
#[tokio::test]
async fn a_refund_by_policy_that_fails_is_a_case() {
    for system in TestSystem::each_way().await {
        let (order, [first, second]) = system.payable_twice("T-1").await;
        system.wechat(Fault::new(FaultKind::RefundClosed).on(Target::Refund).times(1));
        system.payer_pays(&second).await;
        // What is acknowledged is not yet applied.
        system.order_is_paid(&order).await;
        system.payer_pays(&first).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(
            system.cases().await,
            ["surplus of 3990: refunded by policy", "refund_failed of 3990: open"]
        );
        let open = case::Entity::find().filter(case::Column::ResolvedAt.is_null());
        let failed = open.one(system.db().reader()).await.unwrap().unwrap();
        system.advance(2 * MINUTE).await;
        system.resolve(&failed, case::Resolution::Refunded).await.unwrap();
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(system.cases().await[1], "refund_failed of 3990: refunded by person");
        let refunds = system.refunds_of(&order).await;
        let statuses: Vec<_> = refunds.iter().map(|refund| refund.status).collect();
        assert_eq!(statuses, [refund::Status::Closed, refund::Status::Succeeded]);
        assert_eq!(
            since(&system.timeline(&order).await, "surplus_received"),
            [
                "rule refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "notification refund_closed: order paid, refund closed",
                "person refund_requested: order paid, refund requested",
                "call refund_taken: order paid, refund processing",
                "notification refund_succeeded: order paid, refund succeeded",
            ]
        );
        system.end().await;
    }
}

/// A-AMOUNT: signed by WeChat Pay, and not what the order asks for.
#[tokio::test]
async fn another_amount_or_currency_pays_nothing_and_is_held() {
    for system in TestSystem::each_way().await {
        let mut moved = 0;
        let mut lies = 0;
        for (pointer, lie) in [
            ("/amount/total", json!(3989)),
            ("/amount/total", json!(3991)),
            ("/amount/total", json!(0)),
            ("/amount/currency", json!("USD")),
            ("/appid", json!("wx9999999999999999")),
            ("/mchid", json!("1999999999")),
        ] {
            let order = system.place_order(&format!("T-{lies}")).await;
            let payment = system.ready_payment(&order).await;
            let notary = system.simulator.notary();
            let mut said = notary.paid_transaction(&payment.out_trade_no, 3990);
            *said.pointer_mut(pointer).unwrap() = lie;
            for _ in 0..2 {
                let claim = notary.notification(&said).unwrap();
                assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
                system.jobs_are_idle().await;
            }
            lies += 1;
            moved += usize::from(system.order(&order).await.status != order::Status::Pending);
            assert_eq!(system.cases().await.len(), lies, "once each");
            let timeline = system.timeline(&order).await;
            let reports = timeline.iter().filter(|line| line.contains("mismatch_reported")).count();
            assert_eq!(reports, 1, "{timeline:?}");
        }
        assert_eq!(system.cases().await, vec!["mismatch of 3990: open"; lies]);
        let case = case::Entity::find().one(system.db().reader()).await.unwrap().unwrap();
        let refunded = system.resolve(&case, case::Resolution::Refunded).await;
        assert!(refunded.is_err(), "nothing was booked that could go back");
        system.resolve(&case, case::Resolution::Dismissed).await.unwrap();
        println!("A-AMOUNT: lies told {}, orders paid by them {moved}, cases {lies}", 2 * lies);
        assert_eq!(moved, 0);
        system.end().await;
    }
}

/// A-CROSS: what is about one merchant has no effect at the address of another.
#[tokio::test]
async fn a_notification_for_another_merchant_has_no_effect() {
    for system in TestSystem::each().await {
        let here = system.place_order("T-1").await;
        let there = system.post("/v1/orders", OTHER_API_KEY, &crate::system::order("T-1")).await.placed();
        let notary = system.simulator.notary();
        let payments = [system.ready_payment(&here).await, system.ready_payment(&there).await];
        let statuses = async || [system.order(&here).await.status, system.order(&there).await.status];
        for (payment, wrong) in payments.iter().zip([OTHER_MERCHANT, MERCHANT]) {
            let claim = notary.notification(&notary.paid_transaction(&payment.out_trade_no, 3990)).unwrap();
            assert_eq!(system.tell(wrong, claim.headers, claim.body).await.status, 204);
            system.jobs_are_idle().await;
            let unknown = case::Entity::find().filter(case::Column::Merchant.eq(wrong));
            let case = unknown.one(system.db().reader()).await.unwrap().unwrap();
            assert_eq!((case.kind, &case.order_id), (case::Kind::UnknownNumber, &None));
        }
        let effects = statuses().await.iter().filter(|status| **status != order::Status::Pending).count();
        println!(
            "A-CROSS: notifications swapped {}, effects on the wrong merchant {effects}",
            payments.len()
        );
        assert_eq!(effects, 0);
        // The same, where they belong.
        for payment in &payments {
            system.payer_pays(payment).await;
        }
        system.jobs_are_idle().await;
        assert_eq!(statuses().await, [order::Status::Paid; 2]);
        system.end().await;
    }
}

/// Money under a number that we do not know is held, once, however often it is told.
#[tokio::test]
async fn an_unknown_number_is_a_case() {
    for system in TestSystem::each_way().await {
        let notary = system.simulator.notary();
        let said = notary.paid_transaction("NOTOURS000000001", 100);
        for _ in 0..3 {
            let claim = notary.notification(&said).unwrap();
            assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
            system.jobs_are_idle().await;
        }
        assert_eq!(system.cases().await, ["unknown_number of 100: open"]);
        let case = case::Entity::find().one(system.db().reader()).await.unwrap().unwrap();
        assert_eq!(case.reference, "NOTOURS000000001");
        let refunded = system.resolve(&case, case::Resolution::Refunded).await;
        assert!(refunded.is_err(), "there is nothing of ours to give back");
        system.resolve(&case, case::Resolution::Dismissed).await.unwrap();
        assert_eq!(system.cases().await, ["unknown_number of 100: dismissed by person"]);
        system.end().await;
    }
}

/// Others use the same mchid: their numbers begin otherwise, and are none of our business.
#[tokio::test]
async fn a_foreign_number_is_counted_and_no_case() {
    for mut system in TestSystem::each().await {
        system.configure(|merchant| merchant.out_trade_no_prefix = "EP".to_owned()).await;
        let order = system.paid_order("T-1").await;
        let payment = system.payment_of(&order).await;
        assert!(payment.out_trade_no.starts_with("EP"));
        let notary = system.simulator.notary();
        let foreign = notary.paid_transaction("SOMEBODY00000001", 100);
        let refund = notary.settled_refund(&foreign, "SOMEBODYSREFUND1", 100);
        for claim in [notary.notification(&foreign).unwrap(), notary.refund_notification(&refund).unwrap()] {
            assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
            system.jobs_are_idle().await;
            let kept = system.notifications().await.pop().unwrap();
            assert_eq!((kept.verdict, kept.reason.as_deref()), (Verdict::Ignored, Some("foreign")));
        }
        assert_eq!(system.cases().await, Vec::<String>::new());
        let metrics = Answered::of(system.http.get(system.metrics_url())).await.body;
        assert!(metrics.as_str().unwrap().contains("everpaid_notifications_foreign_total"), "{metrics}");
        // A payment of ours that somebody else gives back is our business, whatever the number.
        let mut ours = notary.paid_transaction(&payment.out_trade_no, 3990);
        ours["transaction_id"] = json!(payment.transaction_id);
        let claim =
            notary.refund_notification(&notary.settled_refund(&ours, "SOMEBODYSREFUND2", 100)).unwrap();
        assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
        system.jobs_are_idle().await;
        assert_eq!(system.cases().await, ["unknown_number of 100: open"]);
        assert_eq!(system.case_of(&order.id).await.payment_id, Some(payment.id));
        // Ours go on under the prefix.
        let refund = system.refund(&order, "R-1", 1000).await;
        assert!(system.refund_of(&refund).await.out_refund_no.starts_with("EP"));
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        assert_eq!(system.order(&order).await.refunded.0, 1000);
        system.end().await;
    }
}

/// What an operator's alert looks at is there, with every kind, from the start.
#[tokio::test]
async fn the_metrics_count_cases_and_refunds() {
    let system = TestSystem::one().await;
    let wanted =
        ["late_payment", "surplus", "mismatch", "unknown_number", "refund_failed", "bill_discrepancy"]
            .map(|kind| format!("everpaid_cases_open{{kind=\"{kind}\"}}"));
    let refunds = ["requested", "unknown", "processing", "abnormal"]
        .map(|status| format!("everpaid_refunds{{status=\"{status}\"}}"));
    let shown = async {
        loop {
            let metrics = Answered::of(system.http.get(system.metrics_url())).await.body;
            let metrics = metrics.as_str().unwrap();
            if wanted.iter().chain(&refunds).all(|name| metrics.contains(name)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MINUTE, shown).await.expect("the gauges are there");
    system.end().await;
}

/// WeChat Pay gave a refund up, another took its place, and then the first went through after all:
/// both are booked, and a person is told.
#[tokio::test]
async fn money_that_went_back_is_booked_even_if_it_is_too_much() {
    for system in TestSystem::each().await {
        let order = system.paid_order("T-1").await;
        system.wechat(Fault::new(FaultKind::RefundClosed).on(Target::Refund).times(1));
        let first = system.refund(&order, "R-1", 3990).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        system.advance(2 * MINUTE).await;
        system.refund(&order, "R-2", 3990).await;
        system.jobs_are_idle().await;
        system.advance(DONE_AFTER).await;
        system.books_agree().await;
        let (payment, refund) = (system.payment_of(&order).await, system.refund_of(&first).await);
        let notary = system.simulator.notary();
        let mut paid = notary.paid_transaction(&payment.out_trade_no, 3990);
        paid["transaction_id"] = json!(payment.transaction_id);
        let mut said: Value = notary.settled_refund(&paid, &refund.out_refund_no, 3990);
        said["refund_id"] = json!(refund.refund_id);
        let claim = notary.refund_notification(&said).unwrap();
        assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
        system.jobs_are_idle().await;
        let order = system.order(&order).await;
        assert_eq!((order.status, order.refunded.0), (order::Status::Refunded, 3990));
        assert_eq!(system.cases().await, ["mismatch of 3990: open"]);
        assert_eq!(system.refund_of(&first).await.status, refund::Status::Succeeded);
        // The simulator knows nothing of this success, so these books cannot agree.
        let book = entity::money_entry::Entity::find().all(system.db().reader()).await.unwrap();
        assert_eq!(book.iter().map(|entry| entry.amount.0).collect::<Vec<_>>(), [3990; 3]);
    }
}

/// `everpaid cases`: what the operator sees and says, beside a server that runs.
#[tokio::test]
async fn the_operator_lists_and_resolves_cases() {
    for mut system in TestSystem::each().await {
        system.follow(Policies { late: Policy::Hold, ..Policies::default() }).await;
        let (order, payment) = system.closed_too_early("T-1").await;
        system.payer_pays(&payment).await;
        system.jobs_are_idle().await;
        let id = system.case_of(&order.id).await.id;
        let everpaid = async |words: &[&str]| system.everpaid(words).await;
        let (is_done, listed) = everpaid(&["cases", "list"]).await;
        assert!(is_done && listed.contains(id.as_str()), "{listed}");
        assert!(listed.contains("late_payment  ¥39.90") && listed.trim_end().ends_with("open"), "{listed}");
        let resolve = ["cases", "resolve", id.as_str(), "--as", "refunded", "--reason", "the payer called"];
        let (is_done, said) = everpaid(&resolve).await;
        assert!(is_done, "{said}");
        let (is_done, said) = everpaid(&resolve).await;
        assert!(!is_done && said.contains("resolved already"), "{said}");
        let (_, listed) = everpaid(&["cases", "list"]).await;
        assert_eq!(listed, "", "none is open");
        let (_, listed) = everpaid(&["cases", "list", "--all"]).await;
        assert!(listed.contains("refunded by person: the payer called"), "{listed}");
        // The clock stands still here, and the command's does not: have the job run now.
        let due = job::Entity::update_many()
            .col_expr(job::Column::DueAt, sea_orm::sea_query::Expr::value(0_i64))
            .filter(job::Column::Kind.eq("request_refund"));
        system.db().write(async |txn| due.exec(txn).await).await.unwrap();
        let refund = system.refunds_of(&order).await.pop().unwrap();
        while system.refund_of(&refund.id).await.status == refund::Status::Requested {
            tokio::task::yield_now().await;
        }
        system.simulator.settle_refund(&refund.out_refund_no, RefundOutcome::Success).await.unwrap();
        system.simulator.notifications_settled().await.unwrap();
        system.jobs_are_idle().await;
        assert_eq!(system.order(&order).await.status, order::Status::Refunded);
        system.end().await;
    }
}

/// `Pay` may claim what it likes: the ledger keeps the right amount, and asking finds it.
#[tokio::test]
async fn the_truth_behind_a_wrong_notification_is_found_by_asking() {
    for system in TestSystem::each_way().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        let lie = Pay { total: Some(3989), ..Pay::default() };
        system.simulator.pay(&payment.out_trade_no, lie).await.unwrap();
        system.simulator.notifications_settled().await.unwrap();
        system.jobs_are_idle().await;
        assert_eq!(system.order(&order).await.status, order::Status::Pending);
        system.advance(DONE_AFTER).await;
        assert_eq!(system.order(&order).await.status, order::Status::Paid);
        assert_eq!(system.cases().await, ["mismatch of 3990: open"]);
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "notification mismatch_reported: order pending, payment awaiting_payment",
                "query payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}
