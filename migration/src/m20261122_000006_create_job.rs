//! Work that was asked for: one row per kind and subject, deleted when done.

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
    r#"CREATE TABLE job (
        id {identity},
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        lane SMALLINT NOT NULL,
        due_at BIGINT NOT NULL,
        lease TEXT,
        wanted_at BIGINT,
        runs BIGINT NOT NULL DEFAULT 0,
        unfinished BIGINT NOT NULL DEFAULT 0,
        failures BIGINT NOT NULL DEFAULT 0,
        last_error TEXT,
        dead_at BIGINT,
        created_at BIGINT NOT NULL,
        CONSTRAINT job_kind_subject_unique UNIQUE (kind, subject),
        CONSTRAINT job_lane_known CHECK (lane IN (0, 1)),
        CONSTRAINT job_dead_holds_no_lease CHECK (dead_at IS NULL OR lease IS NULL)
    )"#,
    r#"CREATE INDEX job_due ON job (lane, due_at) WHERE dead_at IS NULL"#,
];
