//! What goes wrong between a merchant and WeChat Pay, and what it has done (公共错误码).

use conformance::{Answer, Cut, World};
use serde_json::{Value, json};

async fn struck(kind: &str) -> World {
    let world = World::start().await;
    world.fault(json!({"kind": kind, "on": "create", "times": 1})).await;
    world
}

fn order(world: &World) -> Value {
    world.hand.native("ORDER-1", &world.shop.notify_url)
}

/// A create whose answer nobody verifies.
async fn create(world: &World) -> Result<Answer, Cut> {
    let hand = &world.hand;
    hand.send(&hand.signed("POST", "/v3/pay/transactions/native", &order(world).to_string())).await
}

async fn assert_no_effect(world: &World) {
    assert_eq!(world.hand.query("ORDER-1").await.outcome(), (404, "ORDER_NOT_EXIST".into()));
    assert_eq!(create(world).await.unwrap().status, 200);
}

pub mod by_hand {
    use super::*;

    pub async fn accepted_202_has_no_effect() {
        let world = struck("accepted_202").await;
        let answer = create(&world).await.unwrap();
        assert_eq!(answer.status, 202);
        assert_eq!(world.hand.verify(&answer), Ok(()));
        assert_no_effect(&world).await;
    }

    pub async fn too_frequent_429_has_no_effect() {
        let world = struck("status_429").await;
        assert_eq!(create(&world).await.unwrap().outcome(), (429, "FREQUENCY_LIMITED".into()));
        assert_no_effect(&world).await;
    }

    pub async fn system_error_500_has_no_effect() {
        let world = struck("status_500").await;
        assert_eq!(create(&world).await.unwrap().outcome(), (500, "SYSTEM_ERROR".into()));
        assert_no_effect(&world).await;
    }

    pub async fn bad_gateway_502_and_overload_503_have_no_effect() {
        for (kind, status) in [("status_502", 502), ("status_503", 503)] {
            let world = struck(kind).await;
            assert_eq!(create(&world).await.unwrap().outcome(), (status, "SERVICE_UNAVAILABLE".into()));
            assert_no_effect(&world).await;
        }
    }

    pub async fn a_proxys_page_is_not_json() {
        let world = struck("html").await;
        let answer = create(&world).await.unwrap();
        assert!(answer.status >= 500 && answer.header("Content-Type").unwrap().starts_with("text/html"));
        assert_eq!(answer.json(), Value::Null);
        assert_no_effect(&world).await;
    }

    pub async fn an_answer_may_be_empty() {
        let world = struck("empty").await;
        let answer = create(&world).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
    }

    pub async fn an_answer_may_be_slow() {
        let world = World::start().await;
        world.fault(json!({"kind": "slow", "on": "create", "times": 1, "delay_ms": 300})).await;
        let started = std::time::Instant::now();
        assert_eq!(create(&world).await.unwrap().status, 200);
        assert!(started.elapsed().as_millis() >= 300);
    }

    pub async fn a_connection_cut_before_the_effect_has_none() {
        let world = struck("cut_before").await;
        assert_eq!(create(&world).await.unwrap_err(), Cut);
        assert_no_effect(&world).await;
    }

    pub async fn an_answer_lost_after_the_effect_is_found_by_asking() {
        let world = struck("cut_after").await;
        assert_eq!(create(&world).await.unwrap_err(), Cut);
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
    }

    pub async fn an_answer_may_carry_a_wrong_signature() {
        let world = struck("wrong_signature").await;
        let answer = create(&world).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(world.hand.verify(&answer), Err("the signature differs".to_owned()));
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
    }

    pub async fn an_order_may_be_denied_and_then_found() {
        let world = World::start().await;
        create(&world).await.unwrap();
        world.fault(json!({"kind": "not_found", "times": 1})).await;
        assert_eq!(world.hand.query("ORDER-1").await.outcome(), (404, "ORDER_NOT_EXIST".into()));
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
    }

    pub async fn an_answer_may_be_dated_wrong() {
        let world = World::start().await;
        world.fault(json!({"kind": "clock_skew", "on": "create", "times": 1, "skew_seconds": -600})).await;
        let answer = create(&world).await.unwrap();
        assert_eq!(world.hand.verify(&answer), Ok(()));
        let dated: i64 = answer.header("Wechatpay-Timestamp").unwrap().parse().unwrap();
        assert!((-660..=-540).contains(&(dated - world.hand.said().timestamp)));
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
    }

    pub async fn an_answer_may_never_come() {
        let world = struck("no_answer").await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(500), create(&world)).await;
        assert!(waiting.is_err());
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
    }

    pub async fn connections_may_be_refused_for_a_while() {
        let world = World::start().await;
        world.fault(json!({"kind": "refused", "delay_ms": 500})).await;
        let connect = async || tokio::net::TcpStream::connect(&world.hand.address).await;
        while connect().await.is_ok() {}
        while connect().await.is_err() {}
        assert_no_effect(&world).await;
    }

    pub async fn connections_may_be_reset_for_a_while() {
        let world = World::start().await;
        world.fault(json!({"kind": "down"})).await;
        assert_eq!(create(&world).await.unwrap_err(), Cut);
        world.control("DELETE", "/faults", Value::Null).await;
        assert_no_effect(&world).await;
    }
}

pub mod by_crate {
    use std::time::Duration;

    use wechatpay::{Created, Error, Patience, Product};

    use super::*;

    /// One try: our client would try again at once where that is right.
    async fn try_to_create(world: &World) -> Result<Created, Error> {
        let patience = Patience { first: Duration::from_secs(5), again: Duration::from_secs(5) };
        let body = order(world).to_string();
        world.ours().create(Product::Native, "ORDER-1", &body, patience).await
    }

    async fn is_known(world: &World) -> bool {
        world.ours().query_by_out_trade_no("ORDER-1").await.is_ok()
    }

    /// A try that ends like this, and without an effect.
    async fn check(kind: &str, reason: &str) {
        let world = struck(kind).await;
        let error = try_to_create(&world).await.unwrap_err();
        assert_eq!((error.reason(), error.is_transient()), (reason, true));
        assert!(!is_known(&world).await);
        try_to_create(&world).await.unwrap();
    }

    pub async fn accepted_202_has_no_effect() {
        check("accepted_202", "accepted_only").await;
    }

    pub async fn too_frequent_429_has_no_effect() {
        check("status_429", "refused").await;
    }

    pub async fn system_error_500_has_no_effect() {
        check("status_500", "refused").await;
    }

    pub async fn bad_gateway_502_and_overload_503_have_no_effect() {
        check("status_502", "refused").await;
        check("status_503", "refused").await;
    }

    pub async fn a_proxys_page_is_not_json() {
        check("html", "unreadable").await;
    }

    pub async fn an_answer_may_be_empty() {
        let world = struck("empty").await;
        assert_eq!(try_to_create(&world).await.unwrap_err().reason(), "unusable");
        assert!(is_known(&world).await);
    }

    pub async fn an_answer_may_be_slow() {
        let world = World::start().await;
        world.fault(json!({"kind": "slow", "on": "close", "times": 1, "delay_ms": 6_000})).await;
        try_to_create(&world).await.unwrap();
        assert_eq!(world.ours().close("ORDER-1").await.unwrap_err().reason(), "timed_out");
        assert_eq!(world.hand.state("ORDER-1").await, "CLOSED");
    }

    pub async fn a_connection_cut_before_the_effect_has_none() {
        let world = World::start().await;
        world.fault(json!({"kind": "cut_before", "on": "create", "times": 2})).await;
        assert_eq!(try_to_create(&world).await.unwrap_err().reason(), "connection_lost");
        assert!(!is_known(&world).await);
    }

    pub async fn an_answer_lost_after_the_effect_is_found_by_asking() {
        let world = World::start().await;
        world.fault(json!({"kind": "cut_after", "on": "create", "times": 2})).await;
        assert_eq!(try_to_create(&world).await.unwrap_err().reason(), "connection_lost");
        assert!(is_known(&world).await);
    }

    pub async fn an_answer_may_carry_a_wrong_signature() {
        let world = World::start().await;
        world.fault(json!({"kind": "wrong_signature", "on": "create", "times": 2})).await;
        assert_eq!(try_to_create(&world).await.unwrap_err().reason(), "bad_signature");
        assert!(is_known(&world).await);
    }

    pub async fn an_order_may_be_denied_and_then_found() {
        let world = World::start().await;
        try_to_create(&world).await.unwrap();
        world.fault(json!({"kind": "not_found", "times": 1})).await;
        assert!(!is_known(&world).await);
        assert!(is_known(&world).await);
    }

    pub async fn an_answer_may_be_dated_wrong() {
        let world = World::start().await;
        world.fault(json!({"kind": "clock_skew", "on": "create", "times": 2, "skew_seconds": 600})).await;
        assert_eq!(try_to_create(&world).await.unwrap_err().reason(), "stale");
        assert!(is_known(&world).await);
    }

    pub async fn an_answer_may_never_come() {
        let world = World::start().await;
        world.fault(json!({"kind": "no_answer", "on": "create", "times": 2})).await;
        let brief = Duration::from_millis(300);
        let patience = Patience { first: brief, again: brief };
        let body = order(&world).to_string();
        let created = world.ours().create(Product::Native, "ORDER-1", &body, patience).await;
        assert_eq!(created.unwrap_err().reason(), "timed_out");
        assert!(is_known(&world).await);
    }

    pub async fn connections_may_be_refused_for_a_while() {
        let world = World::start().await;
        world.fault(json!({"kind": "refused", "delay_ms": 1500})).await;
        while tokio::net::TcpStream::connect(&world.hand.address).await.is_ok() {}
        assert_eq!(try_to_create(&world).await.unwrap_err().reason(), "not_delivered");
        while tokio::net::TcpStream::connect(&world.hand.address).await.is_err() {}
        try_to_create(&world).await.unwrap();
    }

    pub async fn connections_may_be_reset_for_a_while() {
        let world = World::start().await;
        world.fault(json!({"kind": "down"})).await;
        assert!(try_to_create(&world).await.unwrap_err().is_transient());
        world.control("DELETE", "/faults", Value::Null).await;
        assert!(!is_known(&world).await);
    }
}
