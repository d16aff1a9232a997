//! Work that was asked for. The statements that move these rows are in the crate `jobs`.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The word for the work, for example `request_prepay`.
    pub kind: String,
    /// The id of the thing it is about, unique per kind.
    pub subject: String,
    pub lane: Lane,
    /// When it may next be claimed. While it runs: when its lease ends, so that a run whose process
    /// died simply becomes due again.
    pub due_at: Timestamp,
    /// The token of the run that holds it.
    pub lease: Option<String>,
    /// Asked for again while it ran.
    pub wanted_at: Option<Timestamp>,
    /// Runs that were begun.
    pub runs: i64,
    /// Runs in a row that were begun and never reported back.
    pub unfinished: i64,
    /// Runs in a row that failed in an orderly way; decides the back-off.
    pub failures: i64,
    pub last_error: Option<String>,
    pub dead_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A job that is due, as it is handed about: what its row said a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub id: i64,
    pub lane: Lane,
    pub due_at: Timestamp,
}

/// Which queue carries it: a person is waiting, or nobody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Lane {
    Interactive = 0,
    Background = 1,
}

impl Lane {
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Background];

    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Background => "background",
        }
    }
}
