//! An authorisation on its way through WeChat. Its `state` is all that travels: where it leads back
//! to, and for which order it is, stays here.

use std::time::Duration;

use sea_orm::{entity::prelude::*, sea_query::Expr};

use crate::{OrderId, Timestamp, Txn};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "oauth_state")]
pub struct Model {
    /// 32 random letters and digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub state: String,
    pub order_id: OrderId,
    /// The service account that is asked who the payer is.
    pub app_id: String,
    /// Where the payer is sent with the code. The order's client secret is not in it, only its place.
    pub target: String,
    /// The SHA-256, in hex, of what the browser's cookie says.
    pub browser_hash: String,
    /// The SHA-256, in hex, of the code that came back to that browser, see [`crate::code_exchange`].
    pub code_hash: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// How long a payer may take through WeChat and back.
    pub const LIFE: Duration = Duration::from_secs(10 * 60);

    /// How long it is remembered, so that whoever comes back too late is told so.
    pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.created_at + Self::LIFE
    }
}

/// How many authorisations an order has begun since then.
pub async fn count_since(txn: &Txn, order: &OrderId, since: Timestamp) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::OrderId.eq(order.clone()))
        .filter(Column::CreatedAt.gt(since))
        .count(txn)
        .await
}

/// Writes down which code came back. Who goes back to WeChat comes with another one, and the newest
/// counts.
pub async fn returned(txn: &Txn, state: &str, code_hash: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::CodeHash, Expr::value(code_hash))
        .filter(Column::State.eq(state))
        .exec(txn)
        .await
        .map(drop)
}
