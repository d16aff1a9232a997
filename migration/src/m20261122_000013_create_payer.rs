//! Who pays: authorisations on their way through WeChat, codes that were exchanged, and the payers
//! of an order.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &STATEMENTS).await
    }
}

const STATEMENTS: [&str; 8] = [
    r#"CREATE TABLE oauth_state (
        state TEXT NOT NULL PRIMARY KEY,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        app_id TEXT NOT NULL,
        target TEXT NOT NULL,
        browser_hash TEXT NOT NULL,
        code_hash TEXT,
        created_at BIGINT NOT NULL
    )"#,
    r#"CREATE INDEX oauth_state_by_order ON oauth_state (order_id, created_at)"#,
    r#"CREATE INDEX oauth_state_by_age ON oauth_state (created_at)"#,
    r#"CREATE TABLE code_exchange (
        code_hash TEXT NOT NULL PRIMARY KEY,
        order_id TEXT NOT NULL REFERENCES "order" (id),
        app_id TEXT NOT NULL,
        tries BIGINT NOT NULL,
        claimed_at BIGINT,
        outcome TEXT,
        openid TEXT,
        created_at BIGINT NOT NULL,
        CONSTRAINT code_exchange_tries_positive CHECK (tries > 0),
        CONSTRAINT code_exchange_outcome_known CHECK (
            outcome IN ('exchanged', 'snapshot_user', 'expired', 'refused')),
        CONSTRAINT code_exchange_exchanged_has_openid CHECK (
            (COALESCE(outcome, '') = 'exchanged') = (openid IS NOT NULL)),
        CONSTRAINT code_exchange_settled_holds_no_claim CHECK (outcome IS NULL OR claimed_at IS NULL)
    )"#,
    r#"CREATE INDEX code_exchange_by_order ON code_exchange (order_id, created_at)"#,
    r#"CREATE INDEX code_exchange_by_age ON code_exchange (created_at)"#,
    // An openid is worth something for one order and one app only.
    r#"CREATE TABLE order_payer (
        order_id TEXT NOT NULL REFERENCES "order" (id),
        app_id TEXT NOT NULL,
        openid TEXT NOT NULL,
        known_at BIGINT NOT NULL,
        PRIMARY KEY (order_id, app_id, openid)
    )"#,
    r#"CREATE INDEX order_payer_by_age ON order_payer (known_at)"#,
];
