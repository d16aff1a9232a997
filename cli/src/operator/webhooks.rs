//! `everpaid webhooks`: what the shops were not told, and the telling of it again.

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use entity::{
    Db, DeliveryId, EventId, Timestamp, told_event,
    webhook_delivery::{self, Status},
    webhook_endpoint, webhook_try,
};
use sea_orm::{ActiveEnum, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use worker::transition::delivery;

use super::Which;

/// How many are asked for in one transaction.
const PAGE: u64 = 200;

#[derive(Debug, Subcommand)]
pub(crate) enum Webhooks {
    /// List the deliveries that were not made, the oldest first, and the endpoints that are not called.
    List {
        #[command(flatten)]
        which: Which,
        /// Those to this endpoint only.
        #[arg(long)]
        endpoint: Option<String>,
        /// No more than these.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Have deliveries made again, from the beginning of the schedule, and call their endpoints again.
    Resend {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        what: What,
        /// Those to this endpoint only.
        #[arg(long)]
        endpoint: Option<String>,
        /// With --since: those that were delivered, too.
        #[arg(long, requires = "since")]
        delivered: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct What {
    /// A delivery (dlv_…), or an event (evt_…) with all its deliveries.
    id: Option<String>,
    /// Whatever was not delivered and was asked for since then, as 2026-11-22T08:00:00+08:00.
    #[arg(long, value_parser = time)]
    since: Option<Timestamp>,
}

pub(crate) async fn run(command: Webhooks) -> anyhow::Result<()> {
    match command {
        Webhooks::List { which, endpoint, limit } => list(&which.open().await?, endpoint, limit).await,
        Webhooks::Resend { which, what, endpoint, delivered } => {
            let mut wanted = what.wanted(delivered)?;
            if let Some(endpoint) = endpoint {
                wanted = wanted.add(webhook_delivery::Column::Endpoint.eq(endpoint));
            }
            let again = resend(&which.open().await?, &wanted).await?;
            ensure!(again > 0, "there is no such delivery");
            println!("{again} deliveries are made again");
            Ok(())
        }
    }
}

impl What {
    fn wanted(&self, delivered: bool) -> anyhow::Result<Condition> {
        if let Some(since) = self.since {
            let since = Condition::all().add(webhook_delivery::Column::CreatedAt.gte(since));
            return Ok(match delivered {
                true => since,
                false => since.add(webhook_delivery::Column::Status.ne(Status::Delivered)),
            });
        }
        let id = self.id.as_deref().unwrap_or_default();
        let one = id.parse::<DeliveryId>().map(|id| webhook_delivery::Column::Id.eq(id));
        let all = || id.parse::<EventId>().map(|id| webhook_delivery::Column::EventId.eq(id));
        let wanted = one.or_else(|_| all()).with_context(|| format!("{id} is no delivery and no event"))?;
        Ok(Condition::all().add(wanted))
    }
}

async fn resend(db: &Db, wanted: &Condition) -> anyhow::Result<usize> {
    let (mut again, mut last) = (0, None::<DeliveryId>);
    loop {
        let mut page = webhook_delivery::Entity::find()
            .filter(wanted.clone())
            .order_by_asc(webhook_delivery::Column::Id)
            .limit(PAGE);
        if let Some(last) = &last {
            page = page.filter(webhook_delivery::Column::Id.gt(last.clone()));
        }
        let page = page.all(db.reader()).await?;
        let Some(newest) = page.last() else { return Ok(again) };
        db.write(async |txn| delivery::ask_again(txn, &page).await).await?;
        again += page.len();
        last = Some(newest.id.clone());
    }
}

async fn list(db: &Db, endpoint: Option<String>, limit: u64) -> anyhow::Result<()> {
    let disabled = webhook_endpoint::Entity::find()
        .filter(webhook_endpoint::Column::DisabledAt.is_not_null())
        .all(db.reader())
        .await?;
    for webhook_endpoint::Model { merchant, name, disabled_at, reason, .. } in disabled {
        let (at, why) = (disabled_at.unwrap_or_default(), reason.unwrap_or_default());
        println!("{merchant}/{name}  not called since {at}: {why}");
    }
    let mut undelivered = webhook_delivery::Entity::find()
        .filter(webhook_delivery::Column::Status.ne(Status::Delivered))
        .order_by_asc(webhook_delivery::Column::Id)
        .limit(limit);
    if let Some(endpoint) = endpoint {
        undelivered = undelivered.filter(webhook_delivery::Column::Endpoint.eq(endpoint));
    }
    for delivery in undelivered.all(db.reader()).await? {
        let event = told_event::Entity::find_by_id(delivery.event_id.clone()).one(db.reader()).await?;
        let kind = event.map(|event| event.kind.word()).unwrap_or_default();
        let last = webhook_try::Entity::find()
            .filter(webhook_try::Column::DeliveryId.eq(delivery.id.clone()))
            .order_by_desc(webhook_try::Column::Number)
            .one(db.reader())
            .await?;
        let last = last.map_or_else(String::new, |last| {
            let status = last.status.map_or_else(String::new, |status| format!(" {status}"));
            format!("at {} {}{status}", last.at, last.outcome)
        });
        let webhook_delivery::Model { id, event_id, merchant, endpoint, status, tries, .. } = delivery;
        println!(
            "{id}  {}  {kind}  {event_id}  {merchant}/{endpoint}  tries {tries}  {last}",
            status.to_value()
        );
    }
    Ok(())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "give a time as 2026-11-22T08:00:00+08:00".to_owned())
}
