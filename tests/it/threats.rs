//! What could lose an order, by its name: each test prints one line of figures for each database.
//!
//! Small by default; `EVERPAID_SIZE=full` makes them as large as they are meant to be.

use std::{collections::HashSet, time::Duration};

use entity::{order, order_event, payment, refund};
use everpaid::roles::Roles;
use futures::{
    future::join_all,
    stream::{self, StreamExt},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use serde_json::json;
use simulator::{Fault, FaultKind, Pay, Target};
use testkit::size;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, timeout},
};

use crate::{
    system::{Answered, MERCHANT, MINI_PROGRAM, Placed, TestSystem},
    wire::{Rule, Wire},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Where every draw comes from.
const SEED: u64 = 20_261_122;

/// So many payers, or shops, act at a time.
const AT_ONCE: usize = 25;

/// Each of these keeps the machine busy: one at a time, or they measure each other.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// An order with its newest payment, as it was when it could be paid.
type Ready = (Placed, payment::Model);

/// So many orders that can be paid.
async fn ready_orders(system: &TestSystem, count: usize) -> Vec<Ready> {
    let ready = stream::iter(0..count).map(|n| async move {
        let order = system.place_order(&format!("T-{n}")).await;
        let payment = opened(system, &order).await;
        (order, payment)
    });
    ready.buffer_unordered(AT_ONCE).collect().await
}

/// Opens a payment and waits until it can be paid. The clock stands still meanwhile, so nothing may go wrong.
async fn opened(system: &TestSystem, order: &Placed) -> payment::Model {
    system.open_payment(order).await;
    let mut changes = system.db().bus().follow(&order.id);
    let payable = async {
        loop {
            let payment = system.payment_of(order).await;
            if payment.status == payment::Status::AwaitingPayment {
                return payment;
            }
            timeout(Duration::from_millis(200), changes.changed()).await.ok();
        }
    };
    timeout(MINUTE, payable).await.expect("it can be paid within a minute")
}

async fn ask_to_close(system: &TestSystem, order: &Placed) {
    let answered = system.shop_posts(&format!("/v1/orders/{}/close", order.id), &json!({})).await;
    assert!(matches!(answered.status, 200 | 202 | 409), "{answered:?}");
}

async fn trade_state(system: &TestSystem, payment: &payment::Model) -> &'static str {
    system.simulator.payment(&payment.out_trade_no).await.unwrap().trade_state
}

/// How often an order went from one status to another that does not follow it.
async fn illegal_transitions(system: &TestSystem) -> usize {
    use order::Status::{Closed, Closing, Paid, PartiallyRefunded, Pending, Refunded};
    let events = order_event::Entity::find()
        .order_by_asc(order_event::Column::OrderId)
        .order_by_asc(order_event::Column::Seq)
        .all(system.db().reader())
        .await
        .unwrap();
    let is_illegal = |pair: &&[order_event::Model]| {
        pair[0].order_id == pair[1].order_id
            && !matches!(
                (pair[0].order_status, pair[1].order_status),
                (Pending, Pending | Closing | Paid)
                    | (Closing, Closing | Closed | Paid)
                    | (Closed, Closed | Paid)
                    | (Paid, Paid | PartiallyRefunded | Refunded)
                    | (PartiallyRefunded, PartiallyRefunded | Refunded)
                    | (Refunded, Refunded)
            )
    };
    events.windows(2).filter(is_illegal).count()
}

/// N-DUP: each notification five times at once, over five connections and, on Postgres, to two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_notification_five_times_at_once_pays_once() {
    const COPIES: usize = 5;
    let _turn = alone().await;
    for system in TestSystem::each().await {
        let name = system.database.name;
        let path = format!("/v1/wechat/notifications/{MERCHANT}");
        let mut urls = vec![system.url(&path)];
        let apart = match name {
            "sqlite" => None,
            _ => Some(system.start_apart(Roles::API).await),
        };
        urls.extend(apart.iter().map(|apart| format!("http://{}{path}", apart.api_addr.unwrap())));
        // WeChat Pay takes the money and keeps quiet, so that the only notifications are these.
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let orders = ready_orders(&system, size(30, 2000)).await;
        let notary = system.simulator.notary();
        let clients = [(); COPIES].map(|()| reqwest::Client::builder().no_proxy().build().unwrap());
        let told = stream::iter(&orders).map(|(order, payment)| {
            let (system, clients, urls, notary) = (&system, &clients, &urls, &notary);
            async move {
                let paid = system.simulator.pay(&payment.out_trade_no, Pay::default()).await.unwrap();
                let mut said = notary.paid_transaction(&payment.out_trade_no, payment.amount.0);
                said["transaction_id"] = json!(paid.transaction_id);
                let said = notary.notification(&said).unwrap();
                let copies = clients.iter().zip(urls.iter().cycle()).map(async |(client, url)| {
                    let sent = || client.post(url).headers(said.headers.clone()).body(said.body.clone());
                    let mut refused = 0;
                    // A machine that is too busy says so, and WeChat Pay comes again.
                    while Answered::of(sent()).await.status != 204 {
                        refused += 1;
                        assert!(refused < 5, "it is not taken");
                    }
                    refused
                });
                let refused: usize = join_all(copies).await.into_iter().sum();
                system.order_is_paid(order).await;
                refused
            }
        });
        let refused: usize = told.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().sum();
        system.jobs_are_idle().await;
        let effects = order_event::Entity::find()
            .filter(order_event::Column::Kind.eq(order_event::Kind::PaymentSucceeded))
            .count(system.db().reader())
            .await
            .unwrap();
        let (kept, sent) = (system.notifications().await.len(), COPIES * orders.len());
        let twice = usize::try_from(effects).unwrap() - orders.len();
        println!(
            "N-DUP {name}: notifications {}, sent {sent} over {COPIES} connections to {} processes, \
             at first refused {refused}, kept {kept}, effects twice {twice}",
            orders.len(),
            urls.len(),
        );
        assert_eq!((kept, twice), (orders.len(), 0));
        if let Some(apart) = apart {
            apart.stop().await.unwrap();
        }
        system.end().await;
    }
}

/// O-EARLY: paid and notified before the create is answered, and every answer to it is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notified_before_the_create_is_answered_and_the_answer_lost() {
    let _turn = alone().await;
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        wire.now(Rule::Lose("POST /v3/pay/transactions/native"));
        system.wechat(Fault::new(FaultKind::PayBeforeAnswer).on(Target::Create));
        let unpaid = async || {
            let unpaid = order::Entity::find().filter(order::Column::Status.ne(order::Status::Paid));
            unpaid.count(system.db().reader()).await.unwrap()
        };
        let numbers: Vec<_> = (0..size(50, 2000)).map(|n| format!("T-{n}")).collect();
        let mut orders = Vec::new();
        for part in numbers.chunks(AT_ONCE) {
            let opened = part.iter().map(async |number| {
                let order = system.place_order(number).await;
                system.open_payment(&order).await;
                order
            });
            orders.extend(join_all(opened).await);
            // So many unheard answers open the circuit breaker, and what it holds back goes out later, a few
            // at a time: each part comes to its end before the next, or most would expire unsent.
            system.advance(5 * SECOND).await;
            for _ in 0..40 {
                if unpaid().await == 0 {
                    break;
                }
                system.advance(15 * SECOND).await;
            }
        }
        let mut by_notification = 0;
        for order in &orders {
            let timeline = system.timeline(order).await;
            by_notification +=
                usize::from(timeline.iter().any(|line| line.starts_with("notification payment_succeeded")));
        }
        let answers = wire.passed().iter().filter(|passed| passed.line.starts_with("say POST")).count();
        let lost = unpaid().await;
        println!(
            "O-EARLY {}: orders {}, answers lost {answers}, by notification {by_notification}, lost {lost}",
            system.database.name,
            orders.len()
        );
        let heard = payment::Entity::find().filter(payment::Column::CodeUrl.is_not_null());
        assert_eq!(heard.count(system.db().reader()).await.unwrap(), 0, "nobody heard an answer to a create");
        assert_eq!(lost, 0);
        // Those that went out together with the first question may be known by it.
        assert!(by_notification >= orders.len() / 2, "{by_notification}");
        system.end().await;
    }
}

/// O-LATE: the shop closes and the payer pays within five milliseconds of each other: of the shop's wish,
/// and of everpaid's call to WeChat Pay that comes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_by_the_shop_and_paid_at_the_same_moment() {
    let _turn = alone().await;
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let orders = ready_orders(&system, size(200, 10_000)).await;
        let mut chance = StdRng::seed_from_u64(SEED);
        let raced = stream::iter(&orders).enumerate().map(|(nth, (order, payment))| {
            // The little wait is what is tested: which of them is first.
            let ahead = chance.random_range(-5000..=5000_i64);
            let wait = |micros: i64| sleep(Duration::from_micros(micros.max(0).unsigned_abs()));
            let (system, wire) = (&system, &wire);
            async move {
                let close = async {
                    wait(-ahead).await;
                    ask_to_close(system, order).await;
                };
                let pay = async {
                    if nth % 2 == 1 {
                        wire.has_seen(
                            1,
                            &format!(
                                "ask POST /v3/pay/transactions/out-trade-no/{}/close",
                                payment.out_trade_no
                            ),
                        )
                        .await;
                    }
                    wait(ahead).await;
                    system.simulator.pay(&payment.out_trade_no, Pay::default()).await.is_ok()
                };
                tokio::join!(close, pay).1
            }
        });
        let took: Vec<bool> = raced.buffer_unordered(AT_ONCE).collect().await;
        system.simulator.notifications_settled().await.unwrap();
        system.jobs_are_idle().await;
        for _ in 0..4 {
            system.advance(30 * SECOND).await;
        }
        let (mut paid, mut closed, mut closed_though_paid, mut open_though_closed, mut undecided) =
            (0, 0, 0, 0, 0);
        for (order, payment) in &orders {
            let (here, there) = (system.order(order).await.status, trade_state(&system, payment).await);
            match (here, there) {
                (order::Status::Paid, "SUCCESS") => paid += 1,
                (order::Status::Closed, "CLOSED") => closed += 1,
                (_, "SUCCESS") => closed_though_paid += 1,
                (order::Status::Closed, _) => open_though_closed += 1,
                _ => undecided += 1,
            }
        }
        println!(
            "O-LATE {}: seed {SEED}, orders {}, paid {paid}, closed {closed}, closed though paid \
             {closed_though_paid}, open at WeChat Pay though closed {open_though_closed}, undecided {undecided}",
            system.database.name,
            orders.len()
        );
        assert_eq!((closed_though_paid, open_though_closed, undecided), (0, 0, 0));
        assert_eq!(paid, took.into_iter().filter(|took| *took).count(), "every payer who paid");
        system.end().await;
    }
}

/// O-REPAY: the payer walks away and tries again, with the same method and then with another, while
/// WeChat Pay does not hear every call to close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tried_again_under_a_second_number_only_after_the_first_is_closed() {
    let _turn = alone().await;
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        system.wechat(Fault::new(FaultKind::CutBefore).on(Target::Close).share(0.5).each(2));
        let numbers: Vec<_> = (0..size(20, 1000)).map(|n| format!("T-{n}")).collect();
        let mut tried = Vec::new();
        for part in numbers.chunks(AT_ONCE) {
            let orders = join_all(part.iter().map(|number| system.place_order(number))).await;
            join_all(orders.iter().map(|order| system.open_payment(order))).await;
            let first = payable(&system, &orders).await;
            walk_away(&system, &first).await;
            join_all(orders.iter().map(|order| system.open_payment(order))).await;
            let again = payable(&system, &orders).await;
            walk_away(&system, &again).await;
            let otherwise = orders.iter().map(async |order| {
                let other =
                    json!({ "method": "mini_program", "app_id": MINI_PROGRAM, "openid": "oPayerOfTea" });
                let answered = system.shop_posts(&format!("/v1/orders/{}/payments", order.id), &other).await;
                assert!(matches!(answered.status, 200 | 202), "{answered:?}");
            });
            join_all(otherwise).await;
            let second = payable(&system, &orders).await;
            // Before they expire: the next parts take their time.
            let paid = orders.iter().zip(&second).map(async |(order, payment)| {
                system.payer_pays(payment).await;
                system.order_is_paid(order).await;
            });
            join_all(paid).await;
            let numbers =
                |payments: Vec<payment::Model>| payments.into_iter().map(|payment| payment.out_trade_no);
            tried.extend(numbers(first).zip(numbers(again)).zip(numbers(second)));
        }
        let (mut renumbered, mut too_early) = (0, 0);
        let lines: Vec<_> = wire.passed().into_iter().map(|passed| passed.line).collect();
        let at = |wanted: &str| lines.iter().position(|line| line == wanted).expect("it went over the wire");
        for ((first, again), second) in &tried {
            assert_ne!(first, second);
            renumbered += usize::from(first != again);
            let is_closed = format!("say GET /v3/pay/transactions/out-trade-no/{first} 200 CLOSED");
            let is_created = format!("ask POST /v3/pay/transactions/jsapi {second}");
            too_early += usize::from(at(&is_created) < at(&is_closed));
        }
        let closes =
            lines.iter().filter(|line| line.starts_with("ask POST") && line.ends_with("/close")).count();
        println!(
            "O-REPAY {}: orders tried again {}, calls to close {closes}, same method under another number \
             {renumbered}, second number before the first was closed {too_early}",
            system.database.name,
            tried.len()
        );
        assert_eq!((renumbered, too_early), (0, 0));
        assert!(closes > tried.len(), "some closes were not heard");
        system.end().await;
    }
}

/// The newest payment of each, once it can be paid: unheard calls to close open the circuit breaker, and
/// what it holds back goes out when time has passed.
async fn payable(system: &TestSystem, orders: &[Placed]) -> Vec<payment::Model> {
    system.jobs_are_idle().await;
    for _ in 0..40 {
        let payments = join_all(orders.iter().map(|order| system.payment_of(order))).await;
        if payments.iter().all(|payment| payment.status == payment::Status::AwaitingPayment) {
            return payments;
        }
        system.advance(5 * SECOND).await;
    }
    panic!("some cannot be paid after minutes");
}

async fn walk_away(system: &TestSystem, payments: &[payment::Model]) {
    for payment in payments {
        system.simulator.cancel(&payment.out_trade_no).await.unwrap();
    }
}

/// O-ORDER: each message of WeChat Pay comes up to a minute late, on its own: many a refund is told
/// before the payment that it gives back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_out_of_order_end_in_the_truth() {
    let _turn = alone().await;
    for system in TestSystem::each().await {
        let mut chance = StdRng::seed_from_u64(SEED);
        let mut late = |payment: &payment::Model| {
            let delay = chance.random_range(1..60_000);
            let delayed = Fault::new(FaultKind::Delay).on(Target::Notify).delay_ms(delay);
            system.wechat(delayed.order(&payment.out_trade_no).times(1));
        };
        let mut unpaid = ready_orders(&system, size(20, 500)).await;
        let orders = unpaid.clone();
        for (_, payment) in &unpaid {
            late(payment);
            system.payer_pays(payment).await;
        }
        let mut refunds = Vec::new();
        for _ in 0..30 {
            system.advance(5 * SECOND).await;
            let mut still = Vec::new();
            for (order, payment) in unpaid {
                if system.order(&order).await.status.is_paid() {
                    late(&payment);
                    refunds.push(system.refund(&order, &format!("R-{}", order.id), 1000).await);
                } else {
                    still.push((order, payment));
                }
            }
            unpaid = still;
        }
        let (mut untrue, mut out_of_order) = (unpaid.len(), 0);
        for (order, payment) in &orders {
            let known = system.order(order).await;
            let is_true = (known.status, known.refunded.0) == (order::Status::PartiallyRefunded, 1000);
            untrue += usize::from(!is_true);
            let told = system.simulator.payment(&payment.out_trade_no).await.unwrap().notifications;
            let at = |of_refund: bool| {
                let told = told.iter().find(|told| told.out_refund_no.is_some() == of_refund).unwrap();
                told.deliveries[0].at.clone()
            };
            out_of_order += usize::from(at(true) < at(false));
        }
        for refund in &refunds {
            untrue += usize::from(system.refund_of(refund).await.status != refund::Status::Succeeded);
        }
        let illegal = illegal_transitions(&system).await;
        println!(
            "O-ORDER {}: seed {SEED}, orders {}, refund told before its payment {out_of_order}, \
             final states untrue {untrue}, illegal transitions {illegal}",
            system.database.name,
            orders.len()
        );
        assert!(out_of_order > 0, "nothing was out of order");
        assert_eq!((untrue, illegal), (0, 0));
        system.end().await;
    }
}

/// O-ORDER: WeChat Pay said "not paid" before the payer paid, and we hear it afterwards.
#[tokio::test]
async fn an_old_not_paid_that_comes_late_undoes_nothing() {
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        wire.now(Rule::Hold("NOTPAY"));
        let paid = async {
            wire.has_seen(1, "NOTPAY").await;
            system.payer_pays(&payment).await;
            system.order_is_paid(&order).await;
            wire.now(Rule::PassAll);
        };
        tokio::join!(system.confirm(&order, &payment.id), paid);
        system.jobs_are_idle().await;
        assert_eq!(
            system.timeline(&order).await[3..],
            ["notification payment_succeeded: order paid, payment succeeded"]
        );
        system.end().await;
    }
}

/// O-ORDER: WeChat Pay said "closed", contradicts itself with a success, and we hear the first last.
#[tokio::test]
async fn a_closed_that_comes_after_a_success_undoes_nothing() {
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        wire.now(Rule::Hold("CLOSED"));
        ask_to_close(&system, &order).await;
        wire.has_seen(1, "CLOSED").await;
        let notary = system.simulator.notary();
        let claim = notary.notification(&notary.paid_transaction(&payment.out_trade_no, 3990)).unwrap();
        assert_eq!(system.tell(MERCHANT, claim.headers, claim.body).await.status, 204);
        system.order_is_paid(&order).await;
        wire.now(Rule::PassAll);
        system.jobs_are_idle().await;
        assert_eq!(system.order(&order).await.status, order::Status::Paid);
        assert_eq!(system.payment_of(&order).await.status, payment::Status::Succeeded);
        assert_eq!(illegal_transitions(&system).await, 0);
        // The simulator took no money, so its book has no line of it.
        system.stop_everpaid().await;
    }
}

/// The calls of everpaid from then on, without those about these numbers.
fn calls(wire: &Wire, since: Instant, except: &HashSet<String>) -> Vec<Instant> {
    let is_one = |line: &str| line.starts_with("ask ") && !except.iter().any(|number| line.contains(number));
    let passed = wire.passed().into_iter().filter(|passed| passed.at >= since && is_one(&passed.line));
    passed.map(|passed| passed.at).collect()
}

/// Opens so many new payments one after the other, and says how long the 50th and the 99th of a hundred
/// waited.
async fn tap(system: &TestSystem, word: &str, count: usize) -> (Vec<Placed>, [Duration; 2]) {
    let (mut orders, mut waits) = (Vec::new(), Vec::new());
    for n in 0..count {
        let order = system.place_order(&format!("{word}-{n}")).await;
        let begun = Instant::now();
        let answered = system.open_payment(&order).await;
        waits.push(begun.elapsed());
        // 202 says that it takes longer than a page waits; on a busy machine one may.
        assert!(matches!(answered.status, 200 | 202), "{answered:?}");
        orders.push(order);
    }
    waits.sort();
    (orders, [50, 99].map(|part| waits[(count * part).div_ceil(100) - 1]))
}

/// J-HERD: WeChat Pay was away for ten minutes, and everything that is open is due when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_no_more_calls_are_made_than_the_budget_allows() {
    const BUDGET: u32 = 100;
    let _turn = alone().await;
    for mut system in TestSystem::each().await {
        system.configure(|merchant| merchant.calls_per_second = BUDGET.try_into().unwrap()).await;
        let wire = system.wired().await;
        let due = size(300, 50_000);
        let orders = ready_orders(&system, due).await;
        let (_, calm) = tap(&system, "CALM", size(40, 400)).await;

        system.wechat(Fault::new(FaultKind::Down));
        // A tenth of them is closed by the shop meanwhile, and as many new payments come to nothing.
        for part in orders.chunks(AT_ONCE).take(due.div_ceil(10 * AT_ONCE)) {
            join_all(part.iter().map(|(order, _)| ask_to_close(&system, order))).await;
        }
        let lost: Vec<_> = (0..due / 10).map(|n| format!("LOST-{n}")).collect();
        for part in lost.chunks(AT_ONCE * 4) {
            let opened = join_all(part.iter().map(async |number| {
                let order = system.place_order(number).await;
                system.open_payment(&order).await
            }));
            assert!(opened.await.iter().all(|answered| answered.status == 202));
        }
        let down_at = wire.passed().len();
        system.clock.advance(10 * MINUTE);
        // One finds out that WeChat Pay is still away, and the others learn it from the circuit breaker.
        wire.has_seen(down_at + 1, "").await;
        // Whatever failed is due again, together with what never had its turn.
        system.wechat_is_well();
        system.clock.advance(MINUTE);
        let begun = Instant::now();
        let drained = async {
            // Those that are being closed are looked at once more after five seconds.
            for _ in 0..3 {
                system.jobs_are_idle().await;
                system.clock.advance(5 * SECOND);
            }
            system.jobs_are_idle().await;
        };
        let (new, ()) = tokio::join!(tap(&system, "NEW", size(40, 400)), drained);
        let mut numbers = HashSet::new();
        for order in &new.0 {
            let payment = system.payment_of(order).await;
            assert_eq!(payment.status, payment::Status::AwaitingPayment, "{payment:?}");
            numbers.insert(payment.out_trade_no);
        }
        let calls = calls(&wire, begun, &numbers);
        let lasted = calls.last().unwrap().duration_since(calls[0]);
        let per_second = calls.len() as f64 / lasted.as_secs_f64();
        let within = |(nth, from): (usize, &Instant)| calls[nth..].partition_point(|at| *at - *from < SECOND);
        let most = calls.iter().enumerate().map(within);
        println!(
            "J-HERD {}: due {due}, calls {}, {per_second:.0}/s of {BUDGET}/s, at most {} in a second, drained in \
             {:.1} s of {:.1} s ideal, p50 and p99 of a new prepay {calm:.0?} calm and {:.0?} meanwhile",
            system.database.name,
            calls.len(),
            most.max().unwrap(),
            lasted.as_secs_f64(),
            calls.len() as f64 / f64::from(BUDGET),
            new.1
        );
        assert!(calls.len() >= due, "each of them was asked about");
        assert!(per_second <= f64::from(BUDGET) * 1.2, "{per_second}");
        let open = order::Entity::find()
            .filter(order::Column::CloseAskedAt.is_not_null())
            .filter(order::Column::Status.ne(order::Status::Closed));
        assert_eq!(open.count(system.db().reader()).await.unwrap(), 0, "what was to be closed is");
        system.end().await;
    }
}
