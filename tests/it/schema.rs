//! What the schema refuses by itself, whatever the code does.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use crate::system::{Answered, TestSystem};

const PAID_AT: &str = "paid_at = 1, status = 'paid'";

#[tokio::test]
async fn the_schema_repeats_what_matters() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        let (o, p) = (order.id.as_str(), payment.id.as_str());
        let copy_payment = |id: &str, changes: &str| {
            format!(
                "INSERT INTO payment (id, order_id, merchant, mchid, out_trade_no, method, app_id, amount, status, request_body, created_at)
                 SELECT '{id}', order_id, merchant, mchid, {changes}, request_body, created_at FROM payment WHERE id = '{p}'"
            )
        };
        let entry = |id: &str, kind: &str, reference: &str, amount: i64| {
            format!(
                "INSERT INTO money_entry (id, kind, reference, merchant, order_id, payment_id, amount, booked_at)
                 VALUES ('{id}', '{kind}', '{reference}', 'teahouse', '{o}', '{p}', {amount}, 1)"
            )
        };
        let exchange = |columns: &str, values: &str| {
            format!(
                "INSERT INTO code_exchange (code_hash, order_id, app_id, tries, created_at, {columns})
                 VALUES ('h', '{o}', 'wx1', 1, 1, {values})"
            )
        };
        let shipping = |id: &str, columns: &str, values: &str| {
            format!(
                "INSERT INTO shipping (id, order_id, payment_id, merchant, app_id, content, request_body, created_at, {columns})
                 VALUES ('{id}', '{o}', '{p}', 'teahouse', 'wx1', '{{}}', '{{}}', 1, {values})"
            )
        };
        let refused = [
            (
                "a paid order without its time",
                format!("UPDATE \"order\" SET status = 'paid' WHERE id = '{o}'"),
            ),
            (
                "a time of payment without a paid order",
                format!("UPDATE \"order\" SET paid_at = 1 WHERE id = '{o}'"),
            ),
            (
                "a closed order without its time",
                format!("UPDATE \"order\" SET status = 'closed' WHERE id = '{o}'"),
            ),
            ("a word that is no status", format!("UPDATE \"order\" SET status = 'lost' WHERE id = '{o}'")),
            (
                "more refunded than paid",
                format!("UPDATE \"order\" SET {PAID_AT}, refunded = 3991 WHERE id = '{o}'"),
            ),
            ("nothing to pay", format!("UPDATE \"order\" SET amount = 0 WHERE id = '{o}'")),
            ("another currency", format!("UPDATE \"order\" SET currency = 'USD' WHERE id = '{o}'")),
            ("more told than happened", format!("UPDATE \"order\" SET told_seq = 99 WHERE id = '{o}'")),
            (
                "success without a transaction",
                format!("UPDATE payment SET status = 'succeeded' WHERE id = '{p}'"),
            ),
            (
                "a transaction without success",
                format!("UPDATE payment SET transaction_id = '42' WHERE id = '{p}'"),
            ),
            (
                "a second payment that can be paid",
                copy_payment("pay_2", "'N2', method, app_id, amount, 'created'"),
            ),
            ("one number twice", copy_payment("pay_2", "out_trade_no, method, app_id, amount, 'closed'")),
            (
                "a mini-program payment by nobody",
                copy_payment("pay_2", "'N2', 'mini_program', app_id, amount, 'closed'"),
            ),
            ("no money in the book", entry("mny_0", "payment", "4200", 0)),
            ("a word that is no kind", entry("mny_0", "gift", "4200", 1)),
            ("an openid without an exchange", exchange("openid", "'o1'")),
            ("an openid of somebody who was refused", exchange("outcome, openid", "'snapshot_user', 'o1'")),
            ("an exchange without an openid", exchange("outcome", "'exchanged'")),
            ("a word that is no outcome", exchange("outcome", "'lost'")),
            ("shipping that WeChat took at no time", shipping("shp_0", "status", "'uploaded'")),
            (
                "shipping that is under way and over",
                shipping("shp_0", "status, settled_at", "'requested', 1"),
            ),
            ("shipping refused for no reason", shipping("shp_0", "status, settled_at", "'refused', 1")),
            ("a word that is no status of shipping", shipping("shp_0", "status", "'lost'")),
            ("a settled code that somebody asks about", exchange("outcome, claimed_at", "'expired', 1")),
        ];
        let run = async |sql: &str| -> Result<u64, DbErr> {
            let done = system.db().write(async |txn| txn.execute_unprepared(sql).await).await;
            done.map(|done| done.rows_affected())
        };
        for (what, sql) in &refused {
            assert!(run(sql).await.is_err(), "{} allows {what}", system.database.name);
        }
        assert_eq!(run(&entry("mny_1", "payment", "4200", 3990)).await.unwrap(), 1);
        assert!(run(&entry("mny_2", "payment", "4201", 3990)).await.is_err(), "one order paid twice");
        assert!(run(&entry("mny_2", "surplus", "4200", 3990)).await.is_err(), "one transaction twice");
        assert_eq!(run(&entry("mny_2", "surplus", "4201", 3990)).await.unwrap(), 1);
        assert!(run(&entry("mny_3", "surplus", "4201", 3990)).await.is_err(), "one surplus twice");
        assert_eq!(run(&entry("mny_3", "refund", "5030", 1000)).await.unwrap(), 1);
        assert!(run(&entry("mny_4", "refund", "5030", 1000)).await.is_err(), "one refund twice");

        assert_eq!(run(&shipping("shp_1", "status", "'requested'")).await.unwrap(), 1);
        assert!(run(&shipping("shp_2", "status", "'requested'")).await.is_err(), "two shippings under way");
        assert_eq!(run(&shipping("shp_2", "status, settled_at", "'uploaded', 1")).await.unwrap(), 1);
        run("DELETE FROM shipping").await.unwrap();

        let succeed = format!(
            "UPDATE payment SET status = 'succeeded', transaction_id = '4200', succeeded_at = 1 WHERE id = '{p}'"
        );
        assert_eq!(run(&succeed).await.unwrap(), 1);
        let succeed_as = |transaction: &str| {
            format!(
                "INSERT INTO payment (id, order_id, merchant, mchid, out_trade_no, method, app_id, amount, status, request_body,
                   created_at, transaction_id, succeeded_at, surplus)
                 SELECT 'pay_2', order_id, merchant, mchid, 'N2', method, app_id, amount, status, request_body,
                   created_at, '{transaction}', succeeded_at, TRUE FROM payment WHERE id = '{p}'"
            )
        };
        assert!(run(&succeed_as("4200")).await.is_err(), "one transaction, two payments");
        assert_eq!(run(&succeed_as("4201")).await.unwrap(), 1);
        // This test alone may leave its books in disorder.
        run("DELETE FROM money_entry").await.unwrap();
        system.end().await;
    }
}

#[tokio::test]
async fn sqlite_keeps_what_it_committed_when_the_power_fails() {
    let system = TestSystem::one().await;
    let db = system.db();
    let pragma = async |name: &str| -> String {
        let row = db.write(async |txn| {
            let statement = sea_orm::Statement::from_string(db.backend(), format!("PRAGMA {name}"));
            txn.query_one_raw(statement).await
        });
        let row = row.await.unwrap().unwrap();
        row.try_get_by_index::<String>(0)
            .or_else(|_| row.try_get_by_index::<i64>(0).map(|n| n.to_string()))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode").await, "wal");
    assert_eq!(pragma("synchronous").await, "2", "FULL");
    assert_eq!(pragma("foreign_keys").await, "1");
    system.end().await;
}

/// While processes are replaced one after the other, those of the last release go on, may start again, and can take
/// the place of the new ones.
#[tokio::test]
async fn a_newer_release_on_the_same_database_stops_nobody() {
    for system in TestSystem::each().await {
        let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20991231_000001_of_a_newer_release', 0)";
        system.db().write(async |txn| txn.execute_unprepared(newer).await.map(drop)).await.unwrap();
        let is_ready = async || {
            let ready = Answered::of(system.http.get(system.url("/readyz"))).await;
            assert_eq!((ready.status, &ready.body["schema"]), (200, &json!("ok")), "{ready:?}");
        };
        is_ready().await;
        system.stop_everpaid().await;
        system.resume().await;
        is_ready().await;
        system.paid_order("T-1").await;
        let (is_done, said) = system.everpaid(&["explain", "T-1"]).await;
        assert!(is_done, "{said}");

        // What this one needs is another matter.
        let older = "DELETE FROM seaql_migrations WHERE version LIKE 'm20261122_000015%'";
        system.db().write(async |txn| txn.execute_unprepared(older).await.map(drop)).await.unwrap();
        let ready = Answered::of(system.http.get(system.url("/readyz"))).await;
        assert_eq!((ready.status, &ready.body["schema"]), (503, &json!("migrations pending")), "{ready:?}");
        let (is_done, said) = system.everpaid(&["explain", "T-1"]).await;
        assert!(!is_done && said.contains("migrations are pending"), "{said}");
        system.end().await;
    }
}
