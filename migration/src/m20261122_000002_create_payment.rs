//! Payments: each one try to pay an order at WeChat Pay.

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
    r#"CREATE TABLE payment (
        id TEXT NOT NULL PRIMARY KEY,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        merchant TEXT NOT NULL,
        mchid TEXT NOT NULL,
        out_trade_no TEXT NOT NULL,
        method TEXT NOT NULL,
        app_id TEXT NOT NULL,
        openid TEXT,
        amount BIGINT NOT NULL,
        status TEXT NOT NULL,
        request_body TEXT NOT NULL,
        create_signed_at BIGINT,
        prepay_id TEXT,
        code_url TEXT,
        prepay_expires_at BIGINT,
        call_up TEXT,
        transaction_id TEXT,
        payer_total BIGINT,
        bank_type TEXT,
        succeeded_at BIGINT,
        surplus BOOLEAN NOT NULL DEFAULT FALSE,
        failure_code TEXT,
        failure_message TEXT,
        asked_at BIGINT,
        not_found_at BIGINT,
        created_at BIGINT NOT NULL,
        CONSTRAINT payment_out_trade_no_unique UNIQUE (mchid, out_trade_no),
        CONSTRAINT payment_transaction_unique UNIQUE (mchid, transaction_id),
        CONSTRAINT payment_amount_positive CHECK (amount > 0),
        CONSTRAINT payment_method_known CHECK (method IN ('mini_program', 'native')),
        CONSTRAINT payment_mini_program_has_openid CHECK (method <> 'mini_program' OR openid IS NOT NULL),
        CONSTRAINT payment_status_known CHECK (
            status IN ('queued', 'created', 'awaiting_payment', 'unknown', 'closing', 'closed', 'failed', 'succeeded')),
        CONSTRAINT payment_succeeded_has_transaction CHECK (
            (status = 'succeeded') = (transaction_id IS NOT NULL)),
        CONSTRAINT payment_succeeded_has_succeeded_at CHECK (
            (status = 'succeeded') = (succeeded_at IS NOT NULL)),
        CONSTRAINT payment_surplus_only_when_succeeded CHECK (NOT surplus OR status = 'succeeded')
    )"#,
    r#"CREATE INDEX payment_by_order ON payment (order_id, id)"#,
    // The promise that nobody is asked to pay twice, in the schema.
    r#"CREATE UNIQUE INDEX payment_one_payable_per_order ON payment (order_id)
        WHERE status IN ('created', 'awaiting_payment', 'unknown', 'closing')"#,
    r#"CREATE UNIQUE INDEX payment_one_queued_per_order ON payment (order_id)
        WHERE status = 'queued'"#,
    // What is not at rest is few, however many payments there have been.
    r#"CREATE INDEX payment_not_at_rest ON payment (created_at)
        WHERE status IN ('queued', 'created', 'awaiting_payment', 'unknown', 'closing')"#,
];
