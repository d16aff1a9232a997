//! The orders that are not over are few, however many there have been.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 1] =
    [r#"CREATE INDEX order_unfinished ON "order" (created_at) WHERE status IN ('pending', 'closing')"#];
