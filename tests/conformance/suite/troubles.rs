//! The simulator's own rules: its clock, its named troubles, and how a run is repeated.

use conformance::{Request, World, send};
use serde_json::{Value, json};
use simulator::Options;

async fn clock(world: &World, change: Value) -> Value {
    world.control("POST", "/clock", change).await.json()
}

async fn now_ms(world: &World) -> i64 {
    world.control("GET", "/clock", Value::Null).await.json()["now_ms"].as_i64().unwrap()
}

pub mod by_hand {
    use super::*;

    pub async fn the_clock_is_stepped() {
        let world = World::start().await;
        let before = now_ms(&world).await;
        world.advance(3600).await;
        assert!((3_600_000..3_660_000).contains(&(now_ms(&world).await - before)));
    }

    pub async fn the_clock_is_frozen() {
        let world = World::start().await;
        clock(&world, json!({"frozen": true})).await;
        let stands = now_ms(&world).await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        assert_eq!(now_ms(&world).await, stands);
        world.advance(60).await;
        assert_eq!(now_ms(&world).await, stands + 60_000);
        clock(&world, json!({"frozen": false})).await;
        while now_ms(&world).await == stands + 60_000 {}
    }

    /// A minute of the ladder passes in a moment, while signatures keep the machine's date.
    pub async fn the_clock_is_scaled() {
        let mut world = World::start().await;
        clock(&world, json!({"scale": 3600})).await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        world.shop.answer_with([500, 500, 500]);
        world.pay("ORDER-1").await;
        for _ in 0..4 {
            let posted = world.shop.next().await;
            let dated: i64 = posted.message.header("Wechatpay-Timestamp").unwrap().parse().unwrap();
            assert!((world.hand.said().timestamp - dated).abs() < 60);
        }
    }

    pub async fn scenarios_are_listed_started_combined_and_stopped() {
        let world = World::start().await;
        let list = async || world.control("GET", "/scenarios", Value::Null).await.json()["scenarios"].clone();
        let running = async || -> Vec<String> {
            let all = list().await;
            let running = all.as_array().unwrap().iter().filter(|one| one["is_running"] == true);
            running.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        assert!(list().await.as_array().unwrap().len() > 10);
        for name in ["lost-answers", "duplicate-notifications"] {
            world.control("POST", "/scenarios", json!({"name": name, "seed": 7})).await;
        }
        let mut both = running().await;
        both.sort();
        assert_eq!(both, ["duplicate-notifications", "lost-answers"]);
        world.control("DELETE", "/scenarios/lost-answers", Value::Null).await;
        assert_eq!(running().await, ["duplicate-notifications"]);
        let unknown = Request::new("POST", "/_sim/scenarios", r#"{"name":"rain"}"#);
        assert!(send(&world.hand.address, &unknown).await.unwrap().status >= 400);
    }

    /// The same orders, the same seed: the same answers.
    pub async fn a_seed_repeats_a_run() {
        let run = async |seed: u64| {
            let world = World::with(Options {
                seed: Some(seed),
                scenarios: vec!["overloaded".into(), "flaky-network".into(), "lying-answers".into()],
                ..Options::default()
            })
            .await;
            let mut story = Vec::new();
            for at in 0..40 {
                let order = world.hand.native(&format!("ORDER-{at}"), "http://127.0.0.1:9/n").to_string();
                let request = world.hand.signed("POST", "/v3/pay/transactions/native", &order);
                story.push(match world.hand.send(&request).await {
                    Ok(answer) if answer.status == 200 => match world.hand.verify(&answer) {
                        Ok(()) if answer.body.is_empty() => "empty".to_owned(),
                        Ok(()) => "good".to_owned(),
                        Err(why) => why,
                    },
                    Ok(answer) => answer.status.to_string(),
                    Err(_) => "cut".to_owned(),
                });
            }
            story
        };
        let first = run(7).await;
        assert_eq!(run(7).await, first);
        assert_ne!(run(8).await, first);
        assert!(first.iter().any(|end| end == "good") && first.iter().any(|end| end != "good"), "{first:?}");
    }
}
