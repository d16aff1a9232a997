use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use simulator::{Fault, FaultKind, Options, Pay, Simulator, Target};

use crate::{
    client::{Client, options, start, start_with},
    merchant::{Merchant, Posted},
};

const NOWHERE: &str = "http://127.0.0.1:9/notify";

fn once(simulator: &Simulator, kind: FaultKind, on: Target) {
    simulator.add_fault(Fault::new(kind).on(on).times(1)).unwrap();
}

#[tokio::test]
async fn refusals_come_without_effect() {
    let (simulator, client) = start().await;
    let order = client.native_order("ORDER-1", NOWHERE);
    for (kind, outcome) in [
        (FaultKind::Status429, (429, "FREQUENCY_LIMITED")),
        (FaultKind::Status500, (500, "SYSTEM_ERROR")),
        (FaultKind::Status502, (502, "SERVICE_UNAVAILABLE")),
        (FaultKind::Status503, (503, "SERVICE_UNAVAILABLE")),
        (FaultKind::Html, (502, "")),
        (FaultKind::Accepted202, (202, "")),
    ] {
        once(&simulator, kind, Target::Create);
        let answer = client.create("native", &order).await;
        assert_eq!(answer.outcome(), (outcome.0, outcome.1.into()), "{kind:?}");
        assert_eq!(client.query("ORDER-1").await.status, 404, "{kind:?}");
    }
    assert_eq!(client.create("native", &order).await.status, 200);
}

#[tokio::test]
async fn an_html_page_is_not_json() {
    let (simulator, client) = start().await;
    once(&simulator, FaultKind::Html, Target::Query);
    let answer = client.query("ORDER-1").await;
    assert_eq!(answer.headers["content-type"], "text/html");
    assert!(answer.body.starts_with(b"<html>"));
}

#[tokio::test]
async fn answers_that_cannot_be_trusted_follow_a_real_effect() {
    for kind in [FaultKind::WrongSignature, FaultKind::ProbeSignature] {
        let (simulator, client) = start().await;
        once(&simulator, kind, Target::Create);
        let answer = client.try_create(&client.native_order("ORDER-1", NOWHERE)).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(client.check_signature(&answer.headers, &answer.body).is_err(), "{kind:?}");
        let signature = answer.headers["wechatpay-signature"].to_str().unwrap();
        let is_probe = signature.starts_with("WECHATPAY/SIGNTEST/");
        assert_eq!(is_probe, kind == FaultKind::ProbeSignature);
        assert_eq!(client.state("ORDER-1").await, "NOTPAY");
    }
}

#[tokio::test]
async fn a_probed_call_is_clean_when_it_is_repeated() {
    let by_share = start_with(Options { probe_share: 1.0, ..options() }).await;
    let by_fault = start().await;
    by_fault.0.add_fault(Fault::new(FaultKind::ProbeSignature).share(1.0)).unwrap();
    for (_simulator, client) in [by_share, by_fault] {
        let order = client.native_order("ORDER-1", NOWHERE);
        let mut verified = Vec::new();
        for _ in 0..4 {
            let answer = client.try_create(&order).await.unwrap();
            verified.push(client.check_signature(&answer.headers, &answer.body).is_ok());
        }
        assert_eq!(verified, [false, true, false, true]);
        // Another call has not been probed yet.
        let target = client.query_target("ORDER-1");
        let answer = client.try_call("GET", &target, "").await.unwrap();
        assert!(client.check_signature(&answer.headers, &answer.body).is_err());
    }
}

#[tokio::test]
async fn an_empty_answer_is_signed_and_the_effect_is_there() {
    let (simulator, client) = start().await;
    once(&simulator, FaultKind::Empty, Target::Create);
    let answer = client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(client.state("ORDER-1").await, "NOTPAY");
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_the_effect() {
    for (kind, found) in [(FaultKind::CutBefore, 404), (FaultKind::CutAfter, 200)] {
        let (simulator, client) = start().await;
        once(&simulator, kind, Target::Create);
        let order = client.native_order("ORDER-1", NOWHERE);
        let broken = client.try_create(&order).await;
        assert!(broken.is_err_and(|error| error.is_request()), "{kind:?}");
        assert_eq!(client.query("ORDER-1").await.status, found, "{kind:?}");
    }
}

#[tokio::test]
async fn down_means_every_connection_is_dropped_but_the_controls_stay() {
    let (simulator, client) = start().await;
    let id = simulator.add_fault(Fault::new(FaultKind::Down)).unwrap();
    for _ in 0..3 {
        assert!(client.try_call("GET", "/v3/certificates", "").await.is_err());
    }
    assert_eq!(client.control("GET", "/ledger", "").await.status, 200);
    assert!(simulator.remove_fault(id));
    assert_eq!(client.query("ORDER-1").await.status, 404);
}

/// Tries to connect until that ends in this way.
async fn connects(simulator: &Simulator, wanted: Result<(), ErrorKind>) {
    loop {
        let tried = TcpStream::connect(simulator.addr()).await;
        if tried.map(drop).map_err(|error| error.kind()) == wanted {
            return;
        }
    }
}

#[tokio::test]
async fn connections_are_refused_until_someone_ends_it() {
    let (simulator, client) = start().await;
    assert_eq!(client.query("ORDER-1").await.status, 404);
    let id = simulator.add_fault(Fault::new(FaultKind::Refused).delay_ms(60_000)).unwrap();
    connects(&simulator, Err(ErrorKind::ConnectionRefused)).await;
    // Neither on a new connection nor on the one that is still open, and not for the controls.
    for target in ["/v3/certificates", "/_sim/ledger"] {
        assert!(client.try_call("GET", target, "").await.is_err(), "{target}");
    }
    assert!(simulator.remove_fault(id));
    connects(&simulator, Ok(())).await;
    assert_eq!(client.query("ORDER-1").await.status, 404);
}

#[tokio::test]
async fn refusing_connections_ends_by_itself() {
    let (simulator, client) = start().await;
    let fault = r#"{"kind":"refused","delay_ms":50}"#;
    assert_eq!(client.control("POST", "/faults", fault).await.status, 201);
    connects(&simulator, Err(ErrorKind::ConnectionRefused)).await;
    connects(&simulator, Ok(())).await;
    assert!(simulator.faults().is_empty());
    assert_eq!(client.query("ORDER-1").await.status, 404);
}

#[tokio::test]
async fn a_simulator_stops_while_it_refuses() {
    let (simulator, _client) = start().await;
    simulator.add_fault(Fault::new(FaultKind::Refused).delay_ms(60_000)).unwrap();
    connects(&simulator, Err(ErrorKind::ConnectionRefused)).await;
    let stopping = Instant::now();
    simulator.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_answer_never_comes_and_the_effect_is_there() {
    let (simulator, client) = start().await;
    once(&simulator, FaultKind::NoAnswer, Target::Create);
    let order = client.native_order("ORDER-1", NOWHERE);
    let mut waiting = Box::pin(client.try_create(&order));
    let looked = async { while client.query("ORDER-1").await.status != 200 {} };
    tokio::select! {
        _ = &mut waiting => panic!("it was answered"),
        () = looked => {}
    }
    let stopping = Instant::now();
    simulator.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(2));
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn a_skewed_answer_is_rightly_signed_with_a_wrong_date() {
    let (simulator, client) = start().await;
    for skew in [600, -600] {
        let fault = Fault::new(FaultKind::ClockSkew).on(Target::Query).times(1).skew_seconds(skew);
        simulator.add_fault(fault).unwrap();
        client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
        // `call` verifies the signature and not its date.
        let dated = dated(&client.query("ORDER-1").await.headers);
        assert!((dated - client.said().timestamp - i64::from(skew)).abs() < 60);
    }
}

fn dated(headers: &http::HeaderMap) -> i64 {
    headers["wechatpay-timestamp"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_payer_is_faster_than_the_close_that_has_come_in() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    once(&simulator, FaultKind::PayWhileClosing, Target::Close);
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    assert_eq!(client.close("ORDER-1").await.outcome(), (400, "ORDER_PAID".into()));
    assert_eq!(client.state("ORDER-1").await, "SUCCESS");
    assert_eq!(merchant.next().await.transaction(&client).unwrap()["out_trade_no"], "ORDER-1");
    assert_eq!(simulator.ledger().await.unwrap().payments.len(), 1);

    // Who cannot pay changes nothing.
    once(&simulator, FaultKind::PayWhileClosing, Target::Close);
    client.create("native", &client.native_order("ORDER-2", &merchant.notify_url)).await;
    simulator.advance_clock(Duration::from_secs(2 * 3600)).await.unwrap();
    assert_eq!(client.close("ORDER-2").await.status, 204);
    assert_eq!(client.close("ORDER-3").await.outcome(), (404, "ORDER_NOT_EXIST".into()));
}

#[tokio::test]
async fn each_order_is_denied_twice_and_then_found() {
    let (simulator, client) = start().await;
    simulator.add_fault(Fault::new(FaultKind::NotFound).each(2)).unwrap();
    for number in ["ORDER-1", "ORDER-2"] {
        client.create("native", &client.native_order(number, NOWHERE)).await;
        simulator.pay(number, Pay::default()).await.unwrap();
    }
    let id = simulator.payment("ORDER-2").await.unwrap().transaction_id.unwrap();
    let by_id = format!("/v3/pay/transactions/id/{id}?mchid={}", client.merchant.mchid);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.query("ORDER-1").await.status);
    }
    // By whichever number: it is the same order.
    statuses.push(client.call("GET", &by_id, "").await.status);
    statuses.push(client.query("ORDER-2").await.status);
    statuses.push(client.call("GET", &by_id, "").await.status);
    assert_eq!(statuses, [404, 404, 200, 404, 404, 200]);
}

#[tokio::test]
async fn a_fault_for_one_order_spares_the_others() {
    let (simulator, client) = start().await;
    simulator.add_fault(Fault::new(FaultKind::Status500).order("ORDER-2")).unwrap();
    simulator.add_fault(Fault::new(FaultKind::Status503).mchid("1900000009")).unwrap();
    let create =
        async |number: &str| client.create("native", &client.native_order(number, NOWHERE)).await.status;
    assert_eq!((create("ORDER-1").await, create("ORDER-2").await), (200, 500));
    assert_eq!(client.close("ORDER-2").await.status, 500);
    assert_eq!(client.query("ORDER-2").await.status, 500);
    assert_eq!(client.query("ORDER-1").await.status, 200);
}

#[tokio::test]
async fn certificates_can_be_aimed_at() {
    let (simulator, client) = start().await;
    once(&simulator, FaultKind::Status503, Target::Certificates);
    assert_eq!(client.query("ORDER-1").await.status, 404);
    assert_eq!(client.call("GET", "/v3/certificates", "").await.status, 503);
    assert!(simulator.faults().is_empty());
}

#[tokio::test]
async fn slow_answers_wait_after_or_before_the_effect() {
    let (simulator, client) = start().await;
    for (kind, number, found) in [(FaultKind::Slow, "ORDER-1", 200), (FaultKind::SlowBefore, "ORDER-2", 404)]
    {
        let fault = Fault::new(kind).on(Target::Create).times(1).delay_ms(60_000);
        simulator.add_fault(fault).unwrap();
        let order = client.native_order(number, NOWHERE);
        let mut waiting = Box::pin(client.try_create(&order));
        // The fault is used up when the request has come in; then look at the effect.
        while !simulator.faults().is_empty() {
            tokio::select! {
                _ = &mut waiting => panic!("{kind:?} did not wait"),
                () = tokio::task::yield_now() => {}
            }
        }
        let looked = async {
            loop {
                let status = client.query(number).await.status;
                if status == found {
                    return status;
                }
            }
        };
        tokio::select! {
            _ = &mut waiting => panic!("{kind:?} did not wait"),
            status = looked => assert_eq!(status, found),
        }
    }
    // And nothing of it holds up the end.
    let stopping = Instant::now();
    simulator.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_short_delay_ends_in_an_answer() {
    let (simulator, client) = start().await;
    let fault = Fault::new(FaultKind::SlowBefore).times(1).delay_ms(30);
    simulator.add_fault(fault).unwrap();
    let started = Instant::now();
    assert_eq!(client.create("native", &client.native_order("ORDER-1", NOWHERE)).await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn an_order_that_exists_is_denied_once() {
    let (simulator, client) = start().await;
    client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
    once(&simulator, FaultKind::NotFound, Target::Query);
    assert_eq!(client.query("ORDER-1").await.outcome(), (404, "ORDER_NOT_EXIST".into()));
    assert_eq!(client.query("ORDER-1").await.status, 200);
}

#[tokio::test]
async fn the_payer_is_faster_than_the_answer() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    once(&simulator, FaultKind::PayBeforeAnswer, Target::Create);
    let order = client.native_order("ORDER-1", &merchant.notify_url);
    assert_eq!(client.create("native", &order).await.status, 200);
    // Nothing is awaited here: it came before the answer did.
    let posts = merchant.take_all();
    assert_eq!(posts.len(), 1);
    assert!(posts[0].transaction(&client).is_ok());
    assert_eq!(simulator.payment("ORDER-1").await.unwrap().notifications[0].state, "taken");
}

/// Pays one order under one fault and returns what was posted until nothing more was due.
async fn paid_under(fault: Fault) -> (Simulator, Client, Merchant, Vec<Posted>) {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    simulator.add_fault(fault).unwrap();
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    simulator.notifications_settled().await.unwrap();
    let posts = merchant.take_all();
    (simulator, client, merchant, posts)
}

#[tokio::test]
async fn silence_is_for_good() {
    let (simulator, client, mut merchant, posts) = paid_under(Fault::new(FaultKind::Silent)).await;
    assert!(posts.is_empty());
    simulator.advance_clock(Duration::from_secs(100_000)).await.unwrap();
    simulator.notifications_settled().await.unwrap();
    assert!(merchant.take_all().is_empty());
    let payment = simulator.payment("ORDER-1").await.unwrap();
    assert_eq!(payment.notifications[0].state, "never_sent");
    drop(client);
}

#[tokio::test]
async fn a_duplicate_comes_on_two_connections() {
    let (_simulator, client, _merchant, posts) = paid_under(Fault::new(FaultKind::Duplicate)).await;
    assert_eq!(posts.len(), 2);
    assert_ne!(posts[0].from, posts[1].from);
    assert_eq!(posts[0].envelope()["id"], posts[1].envelope()["id"]);
    assert!(posts.iter().all(|posted| posted.transaction(&client).is_ok()));
}

#[tokio::test]
async fn a_probe_is_followed_by_the_clean_one() {
    let (_simulator, client, _merchant, posts) =
        paid_under(Fault::new(FaultKind::ProbeSignature).on(Target::Notify)).await;
    let right: Vec<_> = posts.iter().map(|posted| posted.transaction(&client).is_ok()).collect();
    assert_eq!(right, [false, true]);
}

#[tokio::test]
async fn a_wrong_signature_is_tried_again_when_refused() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([401]);
    once(&simulator, FaultKind::WrongSignature, Target::Notify);
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    assert!(merchant.next().await.transaction(&client).is_err());
    simulator.notifications_settled().await.unwrap();
    simulator.advance_clock(Duration::from_secs(15)).await.unwrap();
    assert!(merchant.next().await.transaction(&client).is_ok());
}

#[tokio::test]
async fn a_delayed_notification_comes_once_in_its_time() {
    let fault = Fault::new(FaultKind::Delay).delay_ms(60_000);
    let (simulator, _client, mut merchant, posts) = paid_under(fault).await;
    assert!(posts.is_empty());
    simulator.advance_clock(Duration::from_secs(60)).await.unwrap();
    merchant.next().await;
}

#[tokio::test]
async fn a_repeated_notification_comes_again_when_it_is_answered() {
    let (simulator, client, _merchant, posts) = paid_under(Fault::new(FaultKind::Repeat)).await;
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0].envelope()["id"], posts[1].envelope()["id"]);
    assert_ne!(posts[0].headers["wechatpay-signature"], posts[1].headers["wechatpay-signature"]);
    assert!(posts.iter().all(|posted| posted.transaction(&client).is_ok()));
    let payment = simulator.payment("ORDER-1").await.unwrap();
    assert_eq!((payment.notifications[0].state, payment.notifications[0].attempts), ("taken", 1));
}

#[tokio::test]
async fn a_notification_whose_answer_is_not_heard_comes_again_by_the_ladder() {
    let fault = Fault::new(FaultKind::Unheard).times(1);
    let (simulator, client, mut merchant, posts) = paid_under(fault).await;
    assert_eq!(posts.len(), 1);
    let payment = simulator.payment("ORDER-1").await.unwrap();
    assert_eq!(payment.notifications[0].state, "pending");
    assert_eq!(payment.notifications[0].deliveries[0].status, Some(204));
    simulator.advance_clock(Duration::from_secs(15)).await.unwrap();
    assert!(merchant.next().await.transaction(&client).is_ok());
    simulator.notifications_settled().await.unwrap();
    assert_eq!(simulator.payment("ORDER-1").await.unwrap().notifications[0].state, "taken");
}

#[tokio::test]
async fn a_skewed_notification_is_rightly_signed_with_a_wrong_date() {
    let fault = Fault::new(FaultKind::ClockSkew).on(Target::Notify).skew_seconds(-600);
    let (_simulator, client, _merchant, posts) = paid_under(fault).await;
    assert!(posts[0].transaction(&client).is_ok());
    assert!((dated(&posts[0].headers) - client.said().timestamp + 600).abs() < 60);
}

#[tokio::test]
async fn the_later_payment_is_told_first() {
    let fault = Fault::new(FaultKind::Reorder).times(1).delay_ms(60_000);
    let (simulator, client, mut merchant, posts) = paid_under(fault).await;
    assert!(posts.is_empty());
    client.create("native", &client.native_order("ORDER-2", &merchant.notify_url)).await;
    simulator.pay("ORDER-2", Pay::default()).await.unwrap();
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let told = merchant.next().await.transaction(&client).unwrap();
        numbers.push(told["out_trade_no"].as_str().unwrap().to_owned());
    }
    assert_eq!(numbers, ["ORDER-2", "ORDER-1"]);
}

#[tokio::test]
async fn a_refund_is_told_before_its_payment() {
    let fault = Fault::new(FaultKind::Reorder).order("ORDER-1").times(1).delay_ms(86_400_000);
    let (simulator, client, mut merchant, posts) = paid_under(fault).await;
    assert!(posts.is_empty());
    let refund = serde_json::json!({
        "out_trade_no": "ORDER-1",
        "out_refund_no": "REFUND-1",
        "notify_url": merchant.notify_url,
        "amount": {"refund": 40, "total": 100, "currency": "CNY"},
    });
    assert_eq!(client.refund(&refund).await.status, 200);
    simulator.advance_clock(Duration::from_secs(5)).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..2 {
        events.push(merchant.next().await.envelope()["event_type"].as_str().unwrap().to_owned());
    }
    assert_eq!(events, ["REFUND.SUCCESS", "TRANSACTION.SUCCESS"]);
}

#[tokio::test]
async fn a_notification_that_nobody_overtakes_comes_in_the_end() {
    // Only the next one of its own order would let it go.
    let fault = Fault::new(FaultKind::Reorder).order("ORDER-1").delay_ms(60_000);
    let (simulator, client, mut merchant, posts) = paid_under(fault).await;
    assert!(posts.is_empty());
    client.create("native", &client.native_order("ORDER-2", &merchant.notify_url)).await;
    simulator.pay("ORDER-2", Pay::default()).await.unwrap();
    assert_eq!(merchant.next().await.transaction(&client).unwrap()["out_trade_no"], "ORDER-2");
    simulator.notifications_settled().await.unwrap();
    assert!(merchant.take_all().is_empty());
    simulator.advance_clock(Duration::from_secs(60)).await.unwrap();
    assert_eq!(merchant.next().await.transaction(&client).unwrap()["out_trade_no"], "ORDER-1");
}

#[tokio::test]
async fn a_notification_lies_in_one_field() {
    for (kind, pointer) in [
        (FaultKind::WrongAmount, "/amount/total"),
        (FaultKind::WrongAppid, "/appid"),
        (FaultKind::WrongMchid, "/mchid"),
        (FaultKind::WrongCurrency, "/amount/currency"),
        (FaultKind::UnknownNumber, "/out_trade_no"),
    ] {
        let (simulator, client, _merchant, posts) = paid_under(Fault::new(kind)).await;
        let told = posts[0].transaction(&client).unwrap();
        let truth = client.query("ORDER-1").await.json();
        assert_ne!(told.pointer(pointer), truth.pointer(pointer), "{kind:?}");
        assert_eq!(told["transaction_id"], truth["transaction_id"]);
        let payment = simulator.payment("ORDER-1").await.unwrap();
        let fault = payment.notifications[0].deliveries[0].fault.as_deref();
        assert_eq!(fault, serde_json::to_value(kind).unwrap().as_str());
    }
}
