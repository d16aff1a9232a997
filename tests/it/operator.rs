//! An operator's commands, beside a server that runs. Those about cases and webhooks are told with these.

use std::time::Duration;

use entity::{Clock, NotificationId, job};
use jobs::ApplyNotification;
use sea_orm::EntityTrait;

use crate::system::TestSystem;

#[tokio::test]
async fn a_job_that_was_given_up_is_listed_and_has_one_more_run() {
    for system in TestSystem::each().await {
        let of_nothing = ApplyNotification::of(&NotificationId::generate());
        system.db().write(async |txn| jobs::enqueue(txn, &of_nothing).await).await.unwrap();
        let given_up = async |runs: i64| {
            let jobs = async || job::Entity::find().all(system.db().reader()).await.unwrap();
            let is_it = |job: &job::Model| job.dead_at.is_some() && job.runs == runs;
            let found = async {
                loop {
                    if let Some(job) = jobs().await.into_iter().find(is_it) {
                        return job.id.to_string();
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), found).await.expect("it was given up")
        };
        let id = given_up(1).await;
        let (is_done, list) = system.everpaid(&["jobs", "list"]).await;
        assert!(is_done && list.starts_with(&format!("{id}  dead  apply_notification  ")), "{list}");
        assert!(list.contains("runs 1  there is no notification"), "{list}");
        let (_, all) = system.everpaid(&["jobs", "list", "--all"]).await;
        assert!(all.contains("  waiting  sweep_overdue  "), "{all}");

        let (is_done, said) = system.everpaid(&["jobs", "revive", "4711"]).await;
        assert!(!is_done && said.contains("no job of that number was given up"), "{said}");
        let revived = (true, "1 jobs run again\n".to_owned());
        assert_eq!(system.everpaid(&["jobs", "revive", &id]).await, revived);
        // The command knows only the machine's clock; the test's must not be behind it.
        system.advance(Clock::System.now().since(system.clock.now())).await;
        assert_eq!(given_up(2).await, id);
        assert_eq!(system.everpaid(&["jobs", "revive"]).await, revived);
        system.advance(Clock::System.now().since(system.clock.now())).await;
        given_up(3).await;
        system
            .db()
            .write(async |txn| job::Entity::delete_by_id(id.parse::<i64>().unwrap()).exec(txn).await)
            .await
            .unwrap();
        system.end().await;
    }
}

#[tokio::test]
async fn an_order_is_explained_in_english_and_chinese() {
    for system in TestSystem::each().await {
        let order = system.paid_order("T-1").await;
        let (is_done, english) = system.everpaid(&["explain", "T-1"]).await;
        assert!(
            is_done && english.contains(order.id.as_str()) && english.contains("What is known:"),
            "{english}"
        );
        let (is_done, chinese) = system.everpaid(&["explain", "T-1", "--lang", "zh"]).await;
        assert!(is_done && chinese.contains(order.id.as_str()) && chinese.contains("已知："), "{chinese}");
        let (is_done, said) = system.everpaid(&["explain", "T-2"]).await;
        assert!(!is_done && said.contains("no order, payment or refund has the number T-2"), "{said}");
        system.end().await;
    }
}
