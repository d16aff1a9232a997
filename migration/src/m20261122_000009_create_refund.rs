//! Refunds: money on its way back to a payer.

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
    r#"CREATE TABLE refund (
        id TEXT NOT NULL PRIMARY KEY,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        payment_id TEXT NOT NULL REFERENCES payment (id),
        merchant TEXT NOT NULL,
        mchid TEXT NOT NULL,
        out_refund_no TEXT NOT NULL,
        asked_by TEXT NOT NULL,
        merchant_refund_no TEXT,
        amount BIGINT NOT NULL,
        reason TEXT,
        status TEXT NOT NULL,
        request_body TEXT NOT NULL,
        request_signed_at BIGINT,
        refund_id TEXT,
        succeeded_at BIGINT,
        failure_code TEXT,
        failure_message TEXT,
        asked_at BIGINT,
        created_at BIGINT NOT NULL,
        CONSTRAINT refund_out_refund_no_unique UNIQUE (mchid, out_refund_no),
        CONSTRAINT refund_refund_id_unique UNIQUE (mchid, refund_id),
        CONSTRAINT refund_merchant_refund_no_unique UNIQUE (merchant, merchant_refund_no),
        CONSTRAINT refund_amount_positive CHECK (amount > 0),
        CONSTRAINT refund_asked_by_known CHECK (asked_by IN ('shop', 'policy', 'person')),
        CONSTRAINT refund_of_shop_has_its_number CHECK ((asked_by = 'shop') = (merchant_refund_no IS NOT NULL)),
        CONSTRAINT refund_status_known CHECK (
            status IN ('requested', 'unknown', 'processing', 'succeeded', 'closed', 'abnormal', 'refused')),
        CONSTRAINT refund_succeeded_has_number CHECK (status <> 'succeeded' OR refund_id IS NOT NULL),
        CONSTRAINT refund_succeeded_has_succeeded_at CHECK ((status = 'succeeded') = (succeeded_at IS NOT NULL))
    )"#,
    r#"CREATE INDEX refund_by_order ON refund (order_id, id)"#,
    r#"CREATE INDEX refund_not_at_rest ON refund (created_at)
        WHERE status IN ('requested', 'unknown', 'processing', 'abnormal')"#,
    r#"ALTER TABLE order_event ADD COLUMN refund_id TEXT REFERENCES refund (id)"#,
    r#"ALTER TABLE order_event ADD COLUMN refund_status TEXT"#,
];
