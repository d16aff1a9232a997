//! The money book: append-only, one line per fact about money.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 4] = [
    r#"CREATE TABLE money_entry (
        id TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        reference TEXT NOT NULL,
        merchant TEXT NOT NULL,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        payment_id TEXT NOT NULL REFERENCES payment (id),
        amount BIGINT NOT NULL,
        booked_at BIGINT NOT NULL,
        CONSTRAINT money_entry_reference_unique UNIQUE (kind, reference),
        CONSTRAINT money_entry_kind_known CHECK (kind IN ('payment', 'surplus')),
        CONSTRAINT money_entry_amount_positive CHECK (amount > 0)
    )"#,
    r#"CREATE INDEX money_entry_by_order ON money_entry (order_id)"#,
    // One transaction is one fact, whatever it turned out to be.
    r#"CREATE UNIQUE INDEX money_entry_one_per_transaction ON money_entry (reference)
        WHERE kind IN ('payment', 'surplus')"#,
    // Whatever comes on top of the payment that paid an order is surplus.
    r#"CREATE UNIQUE INDEX money_entry_one_payment_per_order ON money_entry (order_id) WHERE kind = 'payment'"#,
];
