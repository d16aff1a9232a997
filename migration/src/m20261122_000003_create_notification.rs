//! Notifications of WeChat Pay, byte for byte.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 3] = [
    r#"CREATE TABLE notification (
        id TEXT NOT NULL PRIMARY KEY,
        merchant TEXT NOT NULL,
        wechat_id TEXT NOT NULL,
        headers TEXT NOT NULL,
        body {bytes} NOT NULL,
        received_at BIGINT NOT NULL,
        verdict TEXT NOT NULL,
        reason TEXT,
        settled_at BIGINT,
        order_id TEXT REFERENCES "order" (id),
        CONSTRAINT notification_wechat_id_unique UNIQUE (merchant, wechat_id),
        CONSTRAINT notification_verdict_known CHECK (
            verdict IN ('received', 'applied', 'ignored', 'undecryptable')),
        CONSTRAINT notification_settled_has_time CHECK ((verdict = 'received') = (settled_at IS NULL))
    )"#,
    r#"CREATE INDEX notification_by_order ON notification (order_id, received_at) WHERE order_id IS NOT NULL"#,
    r#"CREATE INDEX notification_unsettled ON notification (received_at) WHERE verdict IN ('received', 'undecryptable')"#,
];
