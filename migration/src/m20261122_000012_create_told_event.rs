//! What shops are told, in the order in which they are told it, and every try to deliver it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 8] = [
    // One row per merchant. Whoever tells holds it until the commit, so that positions become
    // visible in their order and a reader that follows them misses none.
    r#"CREATE TABLE told_position (
        merchant TEXT NOT NULL PRIMARY KEY,
        last BIGINT NOT NULL
    )"#,
    r#"CREATE TABLE told_event (
        id TEXT NOT NULL PRIMARY KEY REFERENCES order_event (id),
        merchant TEXT NOT NULL,
        position BIGINT NOT NULL,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        told_at BIGINT NOT NULL,
        CONSTRAINT told_event_position_unique UNIQUE (merchant, position)
    )"#,
    r#"CREATE TABLE webhook_delivery (
        id TEXT NOT NULL PRIMARY KEY,
        event_id TEXT NOT NULL REFERENCES told_event (id),
        merchant TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        status TEXT NOT NULL,
        tries BIGINT NOT NULL DEFAULT 0,
        created_at BIGINT NOT NULL,
        settled_at BIGINT,
        CONSTRAINT webhook_delivery_once UNIQUE (event_id, endpoint),
        CONSTRAINT webhook_delivery_status_known CHECK (status IN ('pending', 'delivered', 'dead')),
        CONSTRAINT webhook_delivery_settled_has_time CHECK ((status = 'pending') = (settled_at IS NULL))
    )"#,
    r#"CREATE INDEX webhook_delivery_unsettled ON webhook_delivery (created_at) WHERE status <> 'delivered'"#,
    r#"CREATE TABLE webhook_try (
        delivery_id TEXT NOT NULL REFERENCES webhook_delivery (id),
        number BIGINT NOT NULL,
        at BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        status BIGINT,
        answer TEXT,
        milliseconds BIGINT NOT NULL,
        PRIMARY KEY (delivery_id, number)
    )"#,
    // An endpoint that said it is gone, or failed for too long, is not called until a person says so.
    r#"CREATE TABLE webhook_endpoint (
        merchant TEXT NOT NULL,
        name TEXT NOT NULL,
        failing_since BIGINT,
        disabled_at BIGINT,
        reason TEXT,
        PRIMARY KEY (merchant, name)
    )"#,
    r#"CREATE INDEX told_event_by_order ON told_event (order_id)"#,
    r#"CREATE INDEX order_untold ON "order" (created_at) WHERE told_seq < event_seq"#,
];
