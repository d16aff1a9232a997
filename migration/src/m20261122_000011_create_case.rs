//! Cases: what a person should know about money.

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
    r#"CREATE TABLE "case" (
        id TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        merchant TEXT NOT NULL,
        reference TEXT NOT NULL,
        order_id TEXT REFERENCES "order" (id),
        payment_id TEXT REFERENCES payment (id),
        refund_id TEXT REFERENCES refund (id),
        amount BIGINT,
        detail TEXT,
        opened_at BIGINT NOT NULL,
        resolved_at BIGINT,
        resolved_by TEXT,
        resolution TEXT,
        reason TEXT,
        CONSTRAINT case_reference_unique UNIQUE (merchant, kind, reference),
        CONSTRAINT case_kind_known CHECK (kind IN (
            'late_payment', 'surplus', 'mismatch', 'unknown_number', 'refund_failed', 'bill_discrepancy')),
        CONSTRAINT case_resolution_known CHECK (resolution IN ('accepted', 'refunded', 'dismissed')),
        CONSTRAINT case_resolved_by_known CHECK (resolved_by IN ('policy', 'person')),
        CONSTRAINT case_resolved_in_full CHECK (
            (resolved_at IS NULL) = (resolution IS NULL) AND (resolved_at IS NULL) = (resolved_by IS NULL))
    )"#,
    r#"CREATE INDEX case_open ON "case" (opened_at) WHERE resolved_at IS NULL"#,
    r#"CREATE INDEX case_by_order ON "case" (order_id) WHERE order_id IS NOT NULL"#,
];
