//! Shipping: what a shop tells WeChat about how a mini-program's goods reach the payer.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 5] = [
    r#"CREATE TABLE shipping (
        id TEXT NOT NULL PRIMARY KEY,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        payment_id TEXT NOT NULL REFERENCES payment (id),
        merchant TEXT NOT NULL,
        app_id TEXT NOT NULL,
        content TEXT NOT NULL,
        status TEXT NOT NULL,
        request_body TEXT NOT NULL,
        unanswered BOOLEAN NOT NULL DEFAULT FALSE,
        failure_code TEXT,
        failure_message TEXT,
        settled_at BIGINT,
        created_at BIGINT NOT NULL,
        CONSTRAINT shipping_status_known CHECK (status IN ('requested', 'uploaded', 'refused')),
        CONSTRAINT shipping_settled_has_time CHECK ((status = 'requested') = (settled_at IS NULL)),
        CONSTRAINT shipping_refused_has_code CHECK ((status = 'refused') = (failure_code IS NOT NULL))
    )"#,
    r#"CREATE INDEX shipping_by_order ON shipping (order_id, id)"#,
    // A second one would be the change of one that WeChat may not have taken.
    r#"CREATE UNIQUE INDEX shipping_one_under_way ON shipping (order_id) WHERE status = 'requested'"#,
    r#"ALTER TABLE order_event ADD COLUMN shipping_id TEXT REFERENCES shipping (id)"#,
    r#"ALTER TABLE order_event ADD COLUMN shipping_status TEXT"#,
];
