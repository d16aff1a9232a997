//! What happened to an order: append-only, numbered per order.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 1] = [r#"CREATE TABLE order_event (
        id TEXT NOT NULL PRIMARY KEY,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        seq BIGINT NOT NULL,
        kind TEXT NOT NULL,
        at BIGINT NOT NULL,
        learnt_from TEXT NOT NULL,
        payment_id TEXT REFERENCES payment (id),
        order_status TEXT NOT NULL,
        payment_status TEXT,
        detail TEXT,
        CONSTRAINT order_event_seq_unique UNIQUE (order_id, seq),
        CONSTRAINT order_event_seq_positive CHECK (seq > 0)
    )"#];
