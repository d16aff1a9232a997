//! Orders: what payers owe the shop.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 2] = [
    r#"CREATE TABLE "order" (
        id TEXT NOT NULL PRIMARY KEY,
        merchant TEXT NOT NULL,
        merchant_order_no TEXT NOT NULL,
        amount BIGINT NOT NULL,
        currency TEXT NOT NULL,
        description TEXT NOT NULL,
        attach TEXT,
        return_url TEXT,
        metadata TEXT,
        status TEXT NOT NULL,
        expires_in BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        paid_at BIGINT,
        closed_at BIGINT,
        refunded BIGINT NOT NULL DEFAULT 0,
        event_seq BIGINT NOT NULL DEFAULT 0,
        told_seq BIGINT NOT NULL DEFAULT 0,
        CONSTRAINT order_merchant_order_no_unique UNIQUE (merchant, merchant_order_no),
        CONSTRAINT order_amount_positive CHECK (amount > 0),
        CONSTRAINT order_currency_cny CHECK (currency = 'CNY'),
        CONSTRAINT order_status_known CHECK (
            status IN ('pending', 'closing', 'closed', 'paid', 'partially_refunded', 'refunded')),
        CONSTRAINT order_paid_has_paid_at CHECK (
            (status IN ('paid', 'partially_refunded', 'refunded')) = (paid_at IS NOT NULL)),
        CONSTRAINT order_closed_has_closed_at CHECK (status <> 'closed' OR closed_at IS NOT NULL),
        CONSTRAINT order_refunded_within_amount CHECK (refunded >= 0 AND refunded <= amount),
        CONSTRAINT order_told_within_events CHECK (told_seq >= 0 AND told_seq <= event_seq)
    )"#,
    r#"CREATE INDEX order_by_merchant ON "order" (merchant, id)"#,
];
