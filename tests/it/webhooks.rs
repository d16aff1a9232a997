//! How the shop is told, whatever its endpoints do.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use entity::{
    Clock, Db, job, order,
    order_event::{self, Entry, Kind, Source},
    told_position,
    webhook_delivery::{self, Status},
    webhook_endpoint, webhook_try,
};
use everpaid::{config::Webhook, roles::Roles};
use futures::future::join_all;
use jobs::PushStatus;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Target};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use worker::transition::delivery;

use crate::{
    sink::{Got, Reply, Sink},
    system::{MERCHANT, MINI_PROGRAM, OTHER_API_KEY, OTHER_MERCHANT, PAID_AT_ONCE, Placed, TestSystem},
};

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
const PREVIOUS_SECRET: &str = "whsec_AgICAgICAgICAgICAgICAgICAgICAgIC";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// An everpaid for each database, whose shop listens at one endpoint.
async fn each() -> Vec<(TestSystem, Sink)> {
    listened_to(TestSystem::each().await).await
}

/// Likewise, and one for each way to tell the story.
async fn each_way() -> Vec<(TestSystem, Sink)> {
    listened_to(TestSystem::each_way().await).await
}

async fn listened_to(systems: Vec<TestSystem>) -> Vec<(TestSystem, Sink)> {
    let mut all = Vec::new();
    for mut system in systems {
        let sink = Sink::start(&system.clock).await;
        system.listens(MERCHANT, "shop", sink.webhook(SECRET)).await;
        all.push((system, sink));
    }
    all
}

async fn close(system: &TestSystem, order: &Placed) {
    let answered = system.shop_posts(&format!("/v1/orders/{}/close", order.id), &json!({})).await;
    assert!(matches!(answered.status, 200 | 202), "{answered:?}");
}

async fn deliveries(system: &TestSystem) -> Vec<webhook_delivery::Model> {
    webhook_delivery::Entity::find()
        .order_by_asc(webhook_delivery::Column::Id)
        .all(system.db().reader())
        .await
        .unwrap()
}

async fn tries(system: &TestSystem, delivery: &webhook_delivery::Model) -> Vec<webhook_try::Model> {
    webhook_try::Entity::find()
        .filter(webhook_try::Column::DeliveryId.eq(delivery.id.clone()))
        .order_by_asc(webhook_try::Column::Number)
        .all(system.db().reader())
        .await
        .unwrap()
}

/// The outcomes of every try of a delivery.
async fn outcomes(system: &TestSystem, delivery: &webhook_delivery::Model) -> Vec<String> {
    tries(system, delivery).await.into_iter().map(|one| one.outcome).collect()
}

async fn endpoint(system: &TestSystem, name: &str) -> Option<webhook_endpoint::Model> {
    webhook_endpoint::find(system.db().reader(), MERCHANT, name).await.unwrap()
}

/// All that the shop was told, by asking.
async fn listed(system: &TestSystem) -> Vec<Value> {
    let page = system.shop_gets("/v1/events?limit=100").await;
    assert_eq!(page.body["has_more"], false);
    page.body["events"].as_array().unwrap().clone()
}

fn ids(got: &[Got]) -> Vec<String> {
    got.iter().map(|got| got.header("webhook-id").to_owned()).collect()
}

/// W1, W2: told once of what it is told of, signed, and the same by webhook and by asking.
#[tokio::test]
async fn the_shop_is_told_once_of_each_event() {
    for (mut system, all) in each_way().await {
        let paid_only = Sink::start(&system.clock).await;
        let webhook = Webhook { events: Some(vec!["order.paid".to_owned()]), ..paid_only.webhook(SECRET) };
        system.listens(MERCHANT, "paid-only", webhook).await;
        let elsewhere = Sink::start(&system.clock).await;
        system.listens(OTHER_MERCHANT, "shop", elsewhere.webhook(SECRET)).await;

        let mut asked = crate::system::order("T-1");
        asked["attach"] = "table 5".into();
        asked["metadata"] = json!({ "cups": 2 });
        let order = system.shop_posts("/v1/orders", &asked).await.placed();
        let openid = "oSimulatedPayer0000000000001";
        let wish = json!({ "method": "mini_program", "app_id": MINI_PROGRAM, "openid": openid });
        assert_eq!(system.shop_posts(&format!("/v1/orders/{}/payments", order.id), &wish).await.status, 200);
        let payment = system.payment_of(&order).await;
        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        let got = all.has_got(1).await.remove(0);
        let payment = system.payment_of(&order).await;
        let told = got.json();
        let shown = system.shop_gets(&format!("/v1/orders/{}", order.id)).await.body;
        assert_eq!(
            told,
            json!({
                "id": got.header("webhook-id"),
                "type": "order.paid",
                "timestamp": system.clock.now().to_string(),
                "data": {
                    "seq": 4,
                    "order": {
                        "id": order.id,
                        "merchant_order_no": "T-1",
                        "status": "paid",
                        "amount": { "total": 3990, "currency": "CNY" },
                        "refunded": { "total": 0, "currency": "CNY" },
                        "paid_at": shown["order"]["paid_at"],
                        "attach": "table 5",
                        "metadata": { "cups": 2 },
                    },
                    "payment": {
                        "id": payment.id,
                        "method": "mini_program",
                        "status": "succeeded",
                        "out_trade_no": payment.out_trade_no,
                        "transaction_id": payment.transaction_id,
                        "succeeded_at": shown["order"]["payment"]["succeeded_at"],
                    },
                },
            })
        );
        assert!(!got.text.contains(openid));
        assert_eq!(got.header("content-type"), "application/json");
        assert_eq!(got.header("webhook-timestamp"), system.clock.now().unix_seconds().to_string());
        assert_eq!(got.header("webhook-signature"), got.signature_by(SECRET));

        let closed = system.place_order("T-2").await;
        close(&system, &closed).await;
        system.jobs_are_idle().await;
        let expired = system.place_order("T-3").await;
        system.advance(2 * HOUR).await;
        let got = all.has_got(3).await;
        let kinds: Vec<_> = got.iter().map(Got::kind).collect();
        assert_eq!(kinds, ["order.paid", "order.closed", "order.closed"]);
        assert_eq!(got[2].json()["data"]["order"]["id"], expired.id.as_str());
        assert!(got[2].json()["data"].get("payment").is_none());
        assert!(got[2].json()["data"]["order"].get("paid_at").is_none());
        assert_eq!(ids(&paid_only.got()), ids(&got[..1]));
        assert_eq!(elsewhere.got().len(), 0, "another merchant's shop");
        let bodies: Vec<_> = got.iter().map(Got::json).collect();
        assert_eq!(listed(&system).await, bodies);

        let page = system.http.get(system.url("/v1/events?limit=1")).bearer_auth(crate::system::API_KEY);
        let text = page.send().await.unwrap().text().await.unwrap();
        assert_eq!(text, format!("{{\"events\":[{}],\"has_more\":true}}", got[0].text), "byte for byte");
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        assert_eq!(
            system.timeline(&closed).await,
            [
                "api order_created: order pending",
                "api close_asked: order pending",
                "api order_closing: order closing",
                "api order_closed: order closed",
            ]
        );
        assert_eq!(
            system.timeline(&expired).await,
            [
                "api order_created: order pending",
                "rule order_closing: order closing",
                "rule order_closed: order closed",
            ]
        );
        for delivery in deliveries(&system).await {
            assert_eq!((delivery.status, delivery.tries), (Status::Delivered, 1));
        }
        system.end().await;
    }
}

/// W1: how far the shop was told is written down, so whoever asks for the telling again tells nothing twice.
#[tokio::test]
async fn what_was_told_is_not_told_again() {
    for (system, sink) in each().await {
        let order = system.paid_order("T-1").await;
        let tell_again = async || {
            let again = PushStatus::of(&order.id);
            system.db().write(async |txn| jobs::enqueue(txn, &again).await).await.unwrap();
            system.jobs_are_idle().await;
        };
        sink.has_got(1).await;
        tell_again().await;
        system.refund(&order, "R-1", 1000).await;
        system.jobs_are_idle().await;
        system.advance(5 * SECOND).await;
        sink.has_got(2).await;
        tell_again().await;
        let told: Vec<_> = listed(&system).await.iter().map(|event| event["type"].clone()).collect();
        assert_eq!(told, ["order.paid", "refund.succeeded"]);
        assert_eq!(sink.got().len(), 2);
        system.end().await;
    }
}

/// The money came while the order was being closed: the shop is told, and told that it is late.
#[tokio::test]
async fn money_that_came_late_is_said_to_be() {
    for (system, sink) in each_way().await {
        system.wechat(Fault::new(FaultKind::Silent).on(Target::Notify));
        let order = system.place_order("T-1").await;
        system.ready_payment(&order).await;
        system.wechat(Fault::new(FaultKind::PayWhileClosing).on(Target::Close));
        close(&system, &order).await;
        system.jobs_are_idle().await;
        let told = sink.has_got(1).await[0].json();
        assert_eq!((&told["type"], &told["data"]["late"]), (&json!("order.paid"), &json!(true)));
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
                "api close_asked: order pending",
                "api order_closing: order closing",
                "api close_requested: order closing, payment closing",
                "query payment_succeeded: order paid, payment succeeded",
            ]
        );
        system.end().await;
    }
}

#[tokio::test]
async fn what_was_not_taken_comes_again_with_the_same_id_and_bytes_and_a_fresh_signature() {
    for (system, sink) in each().await {
        sink.says(Reply::Status(500));
        system.paid_order("T-1").await;
        sink.has_got(1).await;
        system.jobs_are_idle().await;
        system.advance(6 * SECOND).await;
        // Stopped in between, it goes on where it was.
        system.stop_everpaid().await;
        sink.says(Reply::Status(200));
        system.resume().await;
        system.advance(Duration::from_secs(331)).await;
        let got = sink.has_got(3).await;
        assert_eq!(got.len(), 3);
        assert_eq!(ids(&got).iter().collect::<HashSet<_>>().len(), 1);
        assert!(got.iter().all(|one| one.text == got[0].text));
        assert!(got.iter().all(|one| one.header("webhook-signature") == one.signature_by(SECRET)));
        let times: Vec<_> = got.iter().map(|one| one.header("webhook-timestamp").to_owned()).collect();
        let clock: Vec<_> = got.iter().map(|one| one.at.unix_seconds().to_string()).collect();
        assert_eq!(times, clock);
        assert_eq!(times.iter().collect::<HashSet<_>>().len(), 3, "each try is signed anew");

        let delivery = deliveries(&system).await.remove(0);
        assert_eq!((delivery.status, delivery.tries), (Status::Delivered, 3));
        let tries = tries(&system, &delivery).await;
        let written: Vec<_> =
            tries.iter().map(|one| (one.number, one.outcome.as_str(), one.status)).collect();
        assert_eq!(
            written,
            [(1, "rejected", Some(500)), (2, "rejected", Some(500)), (3, "delivered", Some(200))]
        );
        assert_eq!(tries[0].answer.as_deref(), Some("so said the shop"));
        assert_eq!(endpoint(&system, "shop").await.unwrap().failing_since, None);
        system.advance(24 * HOUR).await;
        assert_eq!(sink.got().len(), 3, "and then no more");
        system.end().await;
    }
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_sign() {
    for (mut system, sink) in each_way().await {
        let webhook =
            Webhook { previous_secret: Some(PREVIOUS_SECRET.to_owned().into()), ..sink.webhook(SECRET) };
        system.listens(MERCHANT, "shop", webhook).await;
        let order = system.paid_order("T-1").await;
        let got = sink.has_got(1).await.remove(0);
        let both = format!("{} {}", got.signature_by(SECRET), got.signature_by(PREVIOUS_SECRET));
        assert_eq!(got.header("webhook-signature"), both);
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        system.end().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_asks_for_time_gets_it() {
    for (system, sink) in each_way().await {
        sink.says(Reply::With(503, "retry-after", "600".to_owned()));
        let order = system.paid_order("T-1").await;
        sink.has_got(1).await;
        system.jobs_are_idle().await;
        system.advance(599 * SECOND).await;
        assert_eq!(sink.got().len(), 1, "the schedule says 5 s, the shop says 600");
        // No time is too long for it but a day.
        sink.says(Reply::With(429, "retry-after", "9999999".to_owned()));
        system.advance(SECOND).await;
        sink.has_got(2).await;
        sink.says(Reply::Status(204));
        system.advance(24 * HOUR).await;
        assert_eq!(sink.has_got(3).await.len(), 3);
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        system.end().await;
    }
}

/// 410: nothing more goes there, the others are told, and a person can have it sent again.
#[tokio::test]
async fn an_endpoint_that_is_gone_is_left_alone_until_a_person_says_otherwise() {
    for (mut system, sink) in each().await {
        let other = Sink::start(&system.clock).await;
        system.listens(MERCHANT, "other", other.webhook(SECRET)).await;
        sink.says(Reply::Status(410));
        system.paid_order("T-1").await;
        sink.has_got(1).await;
        system.jobs_are_idle().await;
        system.paid_order("T-2").await;
        system.jobs_are_idle().await;
        assert_eq!((sink.got().len(), other.got().len()), (1, 2));
        let gone: Vec<_> =
            deliveries(&system).await.into_iter().filter(|one| one.endpoint == "shop").collect();
        assert!(gone.iter().all(|one| one.status == Status::Dead));
        assert_eq!(outcomes(&system, &gone[0]).await, ["gone"]);
        assert_eq!(outcomes(&system, &gone[1]).await, ["endpoint_disabled"]);
        assert_eq!(endpoint(&system, "shop").await.unwrap().reason.as_deref(), Some("gone"));

        sink.says(Reply::Status(204));
        let command = async |words: &[&str]| system.everpaid(&[&["webhooks"], words].concat()).await;
        let (_, list) = command(&["list"]).await;
        assert!(list.contains("teahouse/shop  not called since") && list.contains(": gone\n"), "{list}");
        assert_eq!(list.matches("  dead  order.paid  evt_").count(), 2, "{list}");
        assert!(!command(&["resend", "evt_01KAQ3V8Z5N7M2YH4T6WXC9PDE"]).await.0, "there is no such event");
        assert!(!command(&["resend"]).await.0, "what?");
        let event = gone[0].event_id.as_str();
        assert_eq!(
            command(&["resend", event, "--endpoint", "shop"]).await,
            (true, "1 deliveries are made again\n".to_owned())
        );
        // The command knows only the machine's clock; the test's must not be behind it.
        let catch_up = async || system.advance(Clock::System.now().since(system.clock.now())).await;
        catch_up().await;
        let resent = sink.has_got(2).await;
        assert_eq!(ids(&resent)[1], event);
        let rest = command(&["resend", "--since", "2026-11-22T00:00:00Z"]).await;
        assert_eq!(rest, (true, "1 deliveries are made again\n".to_owned()));
        catch_up().await;
        sink.has_got(3).await;
        system.jobs_are_idle().await;
        assert_eq!(command(&["list"]).await, (true, String::new()));
        assert_eq!(other.got().len(), 2);
        system.end().await;
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for (system, sink) in each_way().await {
        let elsewhere = Sink::start(&system.clock).await;
        sink.says(Reply::With(307, "location", elsewhere.url.clone()));
        let order = system.paid_order("T-1").await;
        sink.has_got(1).await;
        system.jobs_are_idle().await;
        let delivery = deliveries(&system).await.remove(0);
        assert_eq!(
            (delivery.status, outcomes(&system, &delivery).await),
            (Status::Pending, vec!["redirected".to_owned()])
        );
        sink.says(Reply::Status(204));
        system.advance(6 * SECOND).await;
        assert_eq!((sink.has_got(2).await.len(), elsewhere.got().len()), (2, 0));
        assert_eq!(system.timeline(&order).await, PAID_AT_ONCE);
        system.end().await;
    }
}

#[tokio::test]
async fn of_a_huge_answer_a_little_is_read_and_less_is_kept() {
    for (system, sink) in each().await {
        sink.says(Reply::Huge);
        system.paid_order("T-1").await;
        sink.has_got(1).await;
        system.jobs_are_idle().await;
        let delivery = deliveries(&system).await.remove(0);
        assert_eq!(delivery.status, Status::Delivered, "what counts is the status");
        let kept = tries(&system, &delivery).await.remove(0).answer;
        assert_eq!(kept, None, "nothing of it can be printed");
        let given = sink.bytes_given();
        println!("{}: of an answer of 10 MiB {given} bytes were given before the end", system.database.name);
        assert!(given < 8 * 1024 * 1024, "{given}");
        system.end().await;
    }
}

/// M-DOWN: one endpoint takes what it is given and never answers. The other does not notice.
#[tokio::test]
async fn an_endpoint_that_hangs_holds_up_nobody_else() {
    const ORDERS: usize = 24;
    for (mut system, hanging) in each().await {
        let other = Sink::start(&system.clock).await;
        system.listens(MERCHANT, "other", other.webhook(SECRET)).await;
        // How long the other waits with nothing in its way, and then with.
        let mut lasted = Vec::new();
        for (round, reply) in [Reply::Status(204), Reply::Hang].into_iter().enumerate() {
            hanging.says(reply);
            let start = Instant::now();
            for n in 0..ORDERS {
                system.paid_order(&format!("T-{round}-{n}")).await;
            }
            other.has_got((round + 1) * ORDERS).await;
            lasted.push(start.elapsed());
            if round == 0 {
                // One that had to wait for its turn comes when the clock moves.
                system.advance(SECOND).await;
                hanging.has_got(ORDERS).await;
            }
        }
        let held = hanging.got().len() - ORDERS;
        println!(
            "{}: {ORDERS} orders paid and told to an endpoint in {:?}; while another hangs, in {:?}, and {held} calls hang",
            system.database.name, lasted[0], lasted[1]
        );
        // On a slow machine the first four are over after 15 s, and others have their turn.
        let turns = 1 + usize::try_from(lasted[1].as_secs() / 15).unwrap();
        assert!((4..=4 * turns).contains(&held), "no more than four hang at once: {held} in {lasted:?}");
        assert!(lasted[1] < lasted[0] * 3 + SECOND, "{lasted:?}");
        hanging.says(Reply::Status(204));
        let end = Instant::now() + Duration::from_secs(20);
        while ids(&hanging.got()).iter().collect::<HashSet<_>>().len() < 2 * ORDERS {
            assert!(Instant::now() < end, "those that had no turn never came");
            system.advance(SECOND).await;
        }
        system.end().await;
    }
}

/// S-SSRF with the real resolver: a name of ours that leads to this machine.
#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_followed() {
    for (mut system, sink) in each().await {
        let local = sink.url.replace("http://127.0.0.1", "https://localhost");
        let webhook = Webhook { allow_private_addresses: false, ..Webhook::private(&local, SECRET) };
        system.listens(MERCHANT, "shop", webhook).await;
        system.paid_order("T-1").await;
        system.jobs_are_idle().await;
        let delivery = deliveries(&system).await.remove(0);
        assert_eq!(outcomes(&system, &delivery).await, ["blocked_address"]);
        assert_eq!(sink.got().len(), 0);
        system.listens(MERCHANT, "shop", sink.webhook(SECRET)).await;
        system.advance(6 * SECOND).await;
        sink.has_got(1).await;
        system.end().await;
    }
}

/// J-SWEEP: every row of `job` is gone. What was not delivered is, and what was not told is told.
#[tokio::test]
async fn with_the_job_table_emptied_by_hand_the_shop_is_told_all_the_same() {
    for (system, sink) in each().await {
        sink.says(Reply::Status(500));
        system.paid_order("T-1").await;
        let forgotten = system.place_order("T-2").await;
        sink.has_got(1).await;
        system.jobs_are_idle().await;
        sink.says(Reply::Status(204));
        let mut order = system.order(&forgotten).await;
        let now = system.clock.now();
        // An event that is told, without the job that tells it.
        system
            .db()
            .write(async |txn| {
                let entry = Entry::of_order(Kind::OrderClosed, now, Source::Rule);
                order_event::append(txn, &mut order, entry, |row| {
                    row.status = sea_orm::ActiveValue::Set(order::Status::Closed);
                    row.closed_at = sea_orm::ActiveValue::Set(Some(now));
                })
                .await?;
                job::Entity::delete_many().exec(txn).await
            })
            .await
            .unwrap();
        system.stop_everpaid().await;
        system.resume().await;
        let got = sink.has_got(3).await;
        system.jobs_are_idle().await;
        let kinds: BTreeSet<_> = got.iter().skip(1).map(Got::kind).collect();
        assert_eq!(kinds, ["order.closed".to_owned(), "order.paid".to_owned()].into());
        assert_eq!(sink.got().len(), 3);
        system.end().await;
    }
}

/// M-DOWN: an endpoint is down for more than four days of virtual time, and the shop sells on.
#[tokio::test]
async fn an_endpoint_that_is_down_for_days_is_tried_by_the_schedule_and_told_everything_afterwards() {
    const WAITS: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for (mut system, down) in each().await {
        let up = Sink::start(&system.clock).await;
        system.listens(MERCHANT, "up", up.webhook(SECRET)).await;
        down.says(Reply::Status(500));
        let start = system.clock.now();
        let mut orders = 0;
        // In steps to whatever is due next; an order every six hours.
        while system.clock.now().since(start) < 102 * HOUR {
            if system.clock.now().since(start) >= u32::try_from(orders).unwrap() * 6 * HOUR {
                system.paid_order(&format!("T-{orders}")).await;
                orders += 1;
                // Before the clock moves on.
                up.has_got(orders).await;
                system.jobs_are_idle().await;
            }
            let now = system.clock.now();
            let next = job::Entity::find()
                .filter(job::Column::Kind.eq("deliver_webhook"))
                .order_by_asc(job::Column::DueAt)
                .one(system.db().reader())
                .await
                .unwrap();
            let next = next.map_or(HOUR, |job| job.due_at.since(now)).clamp(SECOND, HOUR);
            system.advance(next).await;
        }
        let mut of_event: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for got in down.got() {
            of_event
                .entry(got.header("webhook-id").to_owned())
                .or_default()
                .push(got.at.since(start).as_secs());
        }
        let first = ids(&down.got()).remove(0);
        let waits: Vec<_> = of_event[&first].windows(2).map(|pair| pair[1] - pair[0]).collect();
        println!("M-DOWN {}: waits of the first event {waits:?} s", system.database.name);
        // Steps are whole seconds or more, so a try may be a second late.
        for (wait, published) in waits.iter().zip(WAITS) {
            assert!((published..=published * 11 / 10 + 1).contains(wait), "{waits:?}");
        }
        assert_eq!(waits.len(), WAITS.len(), "ten tries: {waits:?}");
        let disabled = endpoint(&system, "shop").await.unwrap();
        assert_eq!(disabled.reason.as_deref(), Some("failing"));
        let all = deliveries(&system).await;
        let (to_up, to_down): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.endpoint == "up");
        assert!(to_up.iter().all(|one| (one.status, one.tries) == (Status::Delivered, 1)));
        let tried: i64 = to_down.iter().map(|one| one.tries).sum();
        let dead = to_down.iter().filter(|one| one.status == Status::Dead).count();
        assert_eq!(to_down.iter().filter(|one| one.status == Status::Delivered).count(), 0);

        // It is back, and a person says so.
        down.says(Reply::Status(204));
        let calls = down.got().len();
        system.db().write(async |txn| delivery::ask_again(txn, &to_down).await).await.unwrap();
        while down.got().len() < calls + orders {
            system.advance(SECOND).await;
        }
        system.jobs_are_idle().await;
        let (again, told) = (ids(&down.got()[calls..]), ids(&up.got()));
        assert_eq!(again.iter().collect::<BTreeSet<_>>(), told.iter().collect::<BTreeSet<_>>());
        assert_eq!((again.len(), told.len()), (orders, orders));
        assert_eq!(endpoint(&system, "shop").await, None);
        println!(
            "M-DOWN {}: events {orders}, tries {tried} (calls {calls}), dead after 102 h {dead}, disabled {} h after the first; \
             the other endpoint: delivered {}, tries {}; resent and delivered {}",
            system.database.name,
            disabled.disabled_at.unwrap().since(start).as_secs() / 3600,
            told.len(),
            to_up.len(),
            again.len()
        );
        system.end().await;
    }
}

/// What failed long ago says nothing of today: one failure after a quiet week is not a week of failures.
#[tokio::test]
async fn a_quiet_week_is_not_held_against_an_endpoint() {
    for (system, sink) in each().await {
        sink.says(Reply::Status(500));
        system.paid_order("T-1").await;
        sink.has_got(1).await;
        system.jobs_are_idle().await;
        let is_dead = async || deliveries(&system).await[0].status == Status::Dead;
        while !is_dead().await {
            system.advance(HOUR).await;
        }
        assert_eq!(sink.got().len(), 10);
        assert_eq!(endpoint(&system, "shop").await.unwrap().disabled_at, None);
        system.advance(7 * 24 * HOUR).await;

        system.paid_order("T-2").await;
        sink.has_got(11).await;
        system.jobs_are_idle().await;
        assert_eq!(endpoint(&system, "shop").await.unwrap().disabled_at, None, "it failed once this week");
        sink.says(Reply::Status(204));
        system.advance(6 * SECOND).await;
        sink.has_got(12).await;
        system.jobs_are_idle().await;
        assert_eq!(deliveries(&system).await[1].status, Status::Delivered);
        system.end().await;
    }
}

/// Why a follower misses nothing: nobody has the next position before the one before it is committed
/// or given back.
#[tokio::test]
async fn positions_are_handed_out_one_transaction_at_a_time() {
    for system in TestSystem::each().await {
        let take = |db: Db, keeps: bool, goes_on: oneshot::Receiver<()>, has: oneshot::Sender<i64>| async move {
            let taken = db.write(async |txn| {
                has.send(told_position::take(txn, MERCHANT, 2).await?).expect("somebody listens");
                goes_on.await.expect("somebody speaks");
                if keeps { Ok(()) } else { Err(DbErr::Custom("given back".to_owned())) }
            });
            assert_eq!(taken.await.is_ok(), keeps);
        };
        for (keeps, expected) in [(true, 3), (false, 5)] {
            let ((a_goes_on, a_waits), (b_goes_on, b_waits)) = (oneshot::channel(), oneshot::channel());
            let ((a_has, a_has_it), (b_has, mut b_has_it)) = (oneshot::channel(), oneshot::channel());
            let a = tokio::spawn(take(system.db().clone(), keeps, a_waits, a_has));
            a_has_it.await.unwrap();
            let b = tokio::spawn(take(system.db().clone(), true, b_waits, b_has));
            let early = timeout(Duration::from_millis(300), &mut b_has_it).await;
            assert!(early.is_err(), "{}: {early:?} while the one before it is open", system.database.name);
            a_goes_on.send(()).unwrap();
            assert_eq!(b_has_it.await.unwrap(), expected, "{}", system.database.name);
            b_goes_on.send(()).unwrap();
            a.await.unwrap();
            b.await.unwrap();
        }
        system.end().await;
    }
}

/// Whoever follows `GET /v1/events` misses nothing, while many workers tell at once.
#[tokio::test]
async fn a_follower_misses_nothing_however_many_tell_at_once() {
    const ORDERS: usize = 60;
    for system in TestSystem::each().await {
        let mut apart = Vec::new();
        if system.database.name == "postgres" {
            for _ in 0..2 {
                apart.push(system.start_apart(Roles::WORKER).await);
            }
        }
        let numbers: Vec<_> = (0..ORDERS).map(|n| format!("T-{n}")).collect();
        let placed = join_all(numbers.iter().map(|number| system.place_order(number))).await;
        let mut followed: Vec<Value> = Vec::new();
        let mut asked = 0;
        let follow = async {
            let end = Instant::now() + Duration::from_secs(60);
            while followed.len() < ORDERS {
                assert!(Instant::now() < end, "{} were seen", followed.len());
                let after = followed.last().map_or_else(String::new, |last| {
                    format!("&starting_after={}", last["id"].as_str().unwrap())
                });
                let page = system.shop_gets(&format!("/v1/events?limit=100{after}")).await;
                followed.extend(page.body["events"].as_array().unwrap().clone());
                asked += 1;
            }
        };
        // Closing an order that nobody tried to pay asks nobody, so all are told at once.
        tokio::join!(follow, join_all(placed.iter().map(|order| close(&system, order))));
        assert_eq!(followed, listed(&system).await, "in the order of their positions, without a gap");
        let told: HashSet<_> =
            followed.iter().map(|event| event["data"]["order"]["id"].to_string()).collect();
        assert_eq!(told.len(), ORDERS);
        println!("{}: {ORDERS} events, seen by a follower in {asked} looks", system.database.name);
        for running in apart {
            running.stop().await.unwrap();
        }
        system.end().await;
    }
}

#[tokio::test]
async fn events_are_listed_to_the_shop_they_were_told_to() {
    for system in TestSystem::each().await {
        for number in ["T-1", "T-2", "T-3"] {
            close(&system, &system.place_order(number).await).await;
        }
        system.jobs_are_idle().await;
        let all = listed(&system).await;
        let first = all[0]["id"].as_str().unwrap();
        let page = system.shop_gets(&format!("/v1/events?limit=1&starting_after={first}")).await.body;
        assert_eq!((&page["events"][0], &page["has_more"]), (&all[1], &json!(true)));
        assert_eq!(
            system.get("/v1/events", OTHER_API_KEY).await.body,
            json!({ "events": [], "has_more": false })
        );
        let order = system.place_order("T-4").await;
        assert_eq!(system.get("/v1/events", &order.client_secret).await.code(), "shop_key_required");
        for query in [
            "limit=0",
            "limit=101",
            "starting_after=nonsense",
            "starting_after=evt_01KAQ3V8Z5N7M2YH4T6WXC9PDE",
            "before=x",
        ] {
            let answered = system.shop_gets(&format!("/v1/events?{query}")).await;
            assert_eq!((answered.status, answered.code()), (400, "invalid_request"), "{query}");
        }
        let foreign = system.get(&format!("/v1/events?starting_after={first}"), OTHER_API_KEY).await;
        assert_eq!(foreign.status, 400, "another merchant's event");
        close(&system, &order).await;
        system.end().await;
    }
}
