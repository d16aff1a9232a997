//! Many processes on one Postgres and one Redis; and what a process refuses to start on, and how it ends.

use std::time::Duration;

use entity::Clock;
use everpaid::{
    config::{Config, Secret},
    roles::{self, Roles},
};
use sea_orm::ConnectionTrait;
use testkit::RedisServer;
use tokio::time::{Instant, timeout};

use crate::system::TestSystem;

/// Longer than anything here takes; only a defect waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn with_redis(config: &mut Config, redis: &RedisServer) {
    config.redis.url = Some(Secret::from(redis.url()));
}

/// The api hears at once what a worker in another process did, although Redis was not there when they started, and
/// again after it was away. Without Redis the row tells it, half a second later: that never reaches the bus, which is
/// what is looked at here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_hears_what_a_worker_elsewhere_did() {
    for mut system in TestSystem::each().await.into_iter().filter(|system| system.database.name == "postgres")
    {
        let mut redis = RedisServer::start();
        system.stop_everpaid().await;
        system.change(|config| with_redis(config, &redis));
        redis.kill();
        let worker = system.start_apart(Roles::WORKER).await;
        system.resume_as(Roles::API).await;
        for round in ["Redis came late", "Redis was away"] {
            // Everything goes on meanwhile.
            let order = system.place_order(&format!("T-{}", entity::OrderId::generate())).await;
            let payment = system.ready_payment(&order).await;
            system.payer_pays(&payment).await;
            system.order_is_paid(&order).await;
            redis.start_again();
            // Subscribing takes a moment, at the start and after a loss; orders are placed until one is heard of.
            let heard = timeout(PATIENCE, async {
                loop {
                    let order = system.place_order(&format!("T-{}", entity::OrderId::generate())).await;
                    let mut hints = system.db().bus().follow(&order.id);
                    let payment = system.ready_payment(&order).await;
                    hints.mark_unchanged();
                    system.payer_pays(&payment).await;
                    let changed = timeout(Duration::from_secs(2), hints.changed()).await;
                    system.order_is_paid(&order).await;
                    if changed.is_ok() {
                        return;
                    }
                }
            });
            heard.await.unwrap_or_else(|_| panic!("{round}: nothing is heard"));
            redis.kill();
        }
        // Nobody does what is still to be told once the worker is gone.
        system.jobs_are_idle().await;
        worker.stop().await.unwrap();
        system.end().await;
    }
}

#[tokio::test]
async fn a_redis_that_throws_keys_away_is_refused() {
    for mut system in TestSystem::each().await {
        let redis = RedisServer::start();
        redis.say(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        system.stop_everpaid().await;
        system.change(|config| with_redis(config, &redis));
        let start = async |system: &TestSystem| {
            let clock = Clock::Manual(system.clock.clone());
            roles::start(Roles::BOTH, &system.config, clock)
                .await
                .map(drop)
                .map_err(|error| format!("{error:#}"))
        };
        let refused = start(&system).await.unwrap_err();
        if system.database.name == "sqlite" {
            assert!(refused.contains("redis.url is for many processes on Postgres"), "{refused}");
        } else {
            assert!(refused.contains("noeviction") && !refused.contains("redis://"), "{refused}");
            system.change(|config| config.redis.allow_eviction = true);
            start(&system).await.unwrap();
        }
        system.change(|config| config.redis = everpaid::config::Redis::default());
        system.resume().await;
        system.end().await;
    }
}

#[tokio::test]
async fn a_database_that_may_forget_commits_is_refused() {
    for mut system in TestSystem::each().await.into_iter().filter(|system| system.database.name == "postgres")
    {
        let name = system.database.url.rsplit('/').next().unwrap().to_owned();
        let forget = format!("ALTER DATABASE {name} SET synchronous_commit = off");
        system.db().migrator().execute_unprepared(&forget).await.unwrap();
        system.stop_everpaid().await;
        system.change(|config| config.database.allow_unsafe_durability = false);
        let clock = Clock::Manual(system.clock.clone());
        let refused = roles::start(Roles::BOTH, &system.config, clock).await.map(drop).unwrap_err();
        let refused = format!("{refused:#}");
        // The Postgres of the tests does not sync its files either, and may be refused for that.
        assert!(refused.contains("allow_unsafe_durability"), "{refused}");
        system.change(|config| config.database.allow_unsafe_durability = true);
        system.resume().await;
        let found = entity::durability::unsafe_settings(&system.db()).await.unwrap();
        assert!(found.iter().any(|one| one.name == "synchronous_commit" && one.value == "off"), "{found:?}");
        system.end().await;
    }
}

/// SQLite is opened so that it keeps what it says.
#[tokio::test]
async fn sqlite_syncs_every_commit() {
    let system = TestSystem::one().await;
    assert_eq!(entity::durability::unsafe_settings(&system.db()).await.unwrap(), []);
    system.end().await;
}

/// Whoever routes requests hears that it leaves before it leaves.
#[tokio::test]
async fn a_process_that_is_told_to_stop_says_so_while_it_still_answers() {
    for mut system in TestSystem::each().await {
        // Long enough to look; the look ends it.
        system.reconfigure(|config| config.drain_seconds = 5).await;
        let (http, ready) = (system.http.clone(), system.url("/readyz"));
        let status = async || http.get(&ready).send().await.map(|answer| answer.status().as_u16());
        assert_eq!(status().await.unwrap(), 200);
        let begun = Instant::now();
        let looks = async {
            while status().await.expect("it answers while it leaves") == 200 {
                assert!(begun.elapsed() < PATIENCE);
            }
        };
        tokio::join!(looks, system.stop_everpaid());
        assert!(status().await.is_err(), "it has left");
        assert!(begun.elapsed() < Duration::from_secs(25));
        system.change(|config| config.drain_seconds = 0);
        system.resume().await;
        system.end().await;
    }
}
