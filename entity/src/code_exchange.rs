//! What a code of WeChat's was worth. It is good for one exchange and is often brought twice, so the
//! first answer is kept, for every process.

use std::{fmt, time::Duration};

use sea_orm::{ActiveValue::Set, entity::prelude::*, sea_query::Expr};

use crate::{OrderId, Timestamp, Txn};

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "code_exchange")]
pub struct Model {
    /// The SHA-256, in hex, of the code and of what it belongs to: its state, or its order and app.
    #[sea_orm(primary_key, auto_increment = false)]
    pub code_hash: String,
    pub order_id: OrderId,
    pub app_id: String,
    /// How often WeChat was asked; the number of the newest try is also its fence.
    pub tries: i64,
    /// Since when somebody is asking.
    pub claimed_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// Who it was.
    pub openid: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The code …
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Outcome {
    /// was exchanged for an openid.
    Exchanged,
    /// was of somebody who only previews the page, to whom WeChat lends an openid that many share.
    SnapshotUser,
    /// was too old, used before, or never WeChat's.
    Expired,
    /// was refused for another reason.
    Refused,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order_id, tries, outcome, .. } = self;
        write!(f, "code_exchange of {order_id}, tries {tries}, {outcome:?}")
    }
}

impl Model {
    /// Longer than a try takes: who claimed it before that is gone.
    const CLAIM: Duration = Duration::from_secs(10);

    pub fn is_claimed(&self, now: Timestamp) -> bool {
        self.claimed_at.is_some_and(|since| now < since + Self::CLAIM)
    }
}

/// How many codes were brought for an order since then.
pub async fn count_since(txn: &Txn, order: &OrderId, since: Timestamp) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::OrderId.eq(order.clone()))
        .filter(Column::CreatedAt.gt(since))
        .count(txn)
        .await
}

/// Writes down that a code is being exchanged for the first time.
pub async fn begin(
    txn: &Txn,
    code_hash: &str,
    order: &OrderId,
    app_id: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        code_hash: Set(code_hash.to_owned()),
        order_id: Set(order.clone()),
        app_id: Set(app_id.to_owned()),
        tries: Set(1),
        claimed_at: Set(Some(now)),
        outcome: Set(None),
        openid: Set(None),
        created_at: Set(now),
    };
    Entity::insert(row).exec_without_returning(txn).await.map(drop)
}

/// Claims the next try of a code, if nobody was faster.
pub async fn begin_again(txn: &Txn, row: &Model, now: Timestamp) -> Result<bool, DbErr> {
    let claimed = Entity::update_many()
        .col_expr(Column::Tries, Expr::value(row.tries + 1))
        .col_expr(Column::ClaimedAt, Expr::value(now.0))
        .filter(Column::CodeHash.eq(&row.code_hash))
        .filter(Column::Tries.eq(row.tries))
        .filter(Column::Outcome.is_null())
        .exec(txn)
        .await?;
    Ok(claimed.rows_affected == 1)
}

/// Ends a try, with an outcome or to be tried again. False if another try began meanwhile.
pub async fn end(
    txn: &Txn,
    code_hash: &str,
    tried: i64,
    outcome: Option<Outcome>,
    openid: Option<&str>,
) -> Result<bool, DbErr> {
    let ended = Entity::update_many()
        .col_expr(Column::ClaimedAt, Expr::value(Option::<i64>::None))
        .col_expr(Column::Outcome, Expr::value(outcome))
        .col_expr(Column::Openid, Expr::value(openid))
        .filter(Column::CodeHash.eq(code_hash))
        .filter(Column::Tries.eq(tried))
        .filter(Column::Outcome.is_null())
        .exec(txn)
        .await?;
    Ok(ended.rows_affected == 1)
}
