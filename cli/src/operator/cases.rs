//! `everpaid cases`: what a person should know about money, and what becomes of it.

use anyhow::{Context, ensure};
use clap::{Subcommand, ValueEnum};
use entity::{CaseId, case};
use sea_orm::{ActiveEnum, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::Which;

#[derive(Debug, Subcommand)]
pub(crate) enum Cases {
    /// List the cases that wait for a person, or all of them.
    List {
        #[command(flatten)]
        which: Which,
        /// Those that are resolved, too.
        #[arg(long)]
        all: bool,
        /// No more than these, the newest first.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Say what becomes of a case.
    Resolve {
        #[command(flatten)]
        which: Which,
        /// The case's id.
        id: String,
        /// What becomes of it.
        #[arg(long = "as", value_enum)]
        resolution: Resolution,
        /// Why, for whoever reads it later.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Resolution {
    /// The money stays.
    Accepted,
    /// All that is left of the payment goes back to the payer.
    Refunded,
    /// It is seen to elsewhere.
    Dismissed,
}

impl From<Resolution> for case::Resolution {
    fn from(resolution: Resolution) -> Self {
        match resolution {
            Resolution::Accepted => Self::Accepted,
            Resolution::Refunded => Self::Refunded,
            Resolution::Dismissed => Self::Dismissed,
        }
    }
}

pub(crate) async fn run(command: Cases) -> anyhow::Result<()> {
    match command {
        Cases::List { which, all, limit } => {
            let db = which.open().await?;
            let mut query = case::Entity::find().order_by_desc(case::Column::Id).limit(limit);
            if !all {
                query = query.filter(case::Column::ResolvedAt.is_null());
            }
            for case in query.all(db.reader()).await? {
                println!("{}", line(&case));
            }
        }
        Cases::Resolve { which, id, resolution, reason } => {
            ensure!(!reason.trim().is_empty(), "say why");
            let id: CaseId = id.parse().context("not the id of a case")?;
            let db = which.open().await?;
            let case = case::Entity::find_by_id(id.clone()).one(db.reader()).await?;
            let identity = which.identity(&case.context("there is no such case")?.merchant)?;
            let resolving = async |txn: &entity::Txn| {
                worker::cases::resolve(txn, &identity, &id, resolution.into(), &reason).await
            };
            db.write(resolving).await?;
            println!("{id} is resolved");
        }
    }
    Ok(())
}

/// One case as a person reads it.
fn line(case: &case::Model) -> String {
    let mut line = format!("{}  {}  {}  {}", case.id, case.opened_at, case.merchant, case.kind.to_value());
    if let Some(amount) = case.amount {
        line += &format!("  {amount}");
    }
    for (what, id) in [
        ("order", case.order_id.as_ref().map(ToString::to_string)),
        ("payment", case.payment_id.as_ref().map(ToString::to_string)),
        ("refund", case.refund_id.as_ref().map(ToString::to_string)),
    ] {
        if let Some(id) = id {
            line += &format!("  {what} {id}");
        }
    }
    line += &format!("  {}", case.reference);
    if let Some(detail) = &case.detail {
        line += &format!("  {detail}");
    }
    match (case.resolution, case.resolved_by) {
        (Some(resolution), Some(by)) => {
            let reason = case.reason.as_deref().unwrap_or_default();
            line += &format!("  {} by {}: {reason}", resolution.to_value(), by.to_value());
        }
        _ => line += "  open",
    }
    line
}
