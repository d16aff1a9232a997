//! The money book takes refunds: what went back of an order's payment, and of surplus.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// SQLite changes a CHECK only by copying the table: all of it or nothing.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Sqlite => crate::run(manager, &BY_COPYING).await,
            _ => crate::run(manager, &IN_PLACE).await,
        }
    }
}

const IN_PLACE: [&str; 1] = [
    "ALTER TABLE money_entry DROP CONSTRAINT money_entry_kind_known,
    ADD CONSTRAINT money_entry_kind_known CHECK (kind IN ('payment', 'surplus', 'refund', 'surplus_refund'))",
];

const BY_COPYING: [&str; 7] = [
    r#"CREATE TABLE money_entry_next (
        id TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        reference TEXT NOT NULL,
        merchant TEXT NOT NULL,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        payment_id TEXT NOT NULL REFERENCES payment (id),
        amount BIGINT NOT NULL,
        booked_at BIGINT NOT NULL,
        CONSTRAINT money_entry_reference_unique UNIQUE (kind, reference),
        CONSTRAINT money_entry_kind_known CHECK (kind IN ('payment', 'surplus', 'refund', 'surplus_refund')),
        CONSTRAINT money_entry_amount_positive CHECK (amount > 0)
    )"#,
    "INSERT INTO money_entry_next SELECT id, kind, reference, merchant, order_id, payment_id, amount, booked_at FROM money_entry",
    "DROP TABLE money_entry",
    "ALTER TABLE money_entry_next RENAME TO money_entry",
    "CREATE INDEX money_entry_by_order ON money_entry (order_id)",
    "CREATE UNIQUE INDEX money_entry_one_per_transaction ON money_entry (reference)
        WHERE kind IN ('payment', 'surplus')",
    "CREATE UNIQUE INDEX money_entry_one_payment_per_order ON money_entry (order_id) WHERE kind = 'payment'",
];
