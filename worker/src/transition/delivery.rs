//! The part of the gate that deliveries of webhooks pass. Lock order: the endpoint, its delivery,
//! and the job last.

use entity::{
    DeliveryId, Timestamp, Txn,
    webhook_delivery::{self, Status},
    webhook_endpoint, webhook_try,
};
use jobs::DeliverWebhook;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use crate::webhooks::Answer;

/// Writes a try down, and what the delivery is after it.
///
/// `delivery` is the row as it was when the try began; if it is another by now, nothing is written.
pub(crate) async fn tried(
    txn: &Txn,
    delivery: &webhook_delivery::Model,
    answer: &Answer,
    at: Timestamp,
    after: Status,
) -> Result<(), DbErr> {
    let row = webhook_delivery::ActiveModel {
        status: Set(after),
        tries: Set(delivery.tries + 1),
        settled_at: Set((after != Status::Pending).then_some(at)),
        ..Default::default()
    };
    let written = webhook_delivery::Entity::update_many()
        .set(row)
        .filter(webhook_delivery::Column::Id.eq(delivery.id.clone()))
        .filter(webhook_delivery::Column::Status.eq(Status::Pending))
        .filter(webhook_delivery::Column::Tries.eq(delivery.tries))
        .exec(txn)
        .await?;
    if written.rows_affected != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    // A delivery that was asked for again goes on counting.
    let last: Option<Option<i64>> = webhook_try::Entity::find()
        .select_only()
        .column_as(webhook_try::Column::Number.max(), "last")
        .filter(webhook_try::Column::DeliveryId.eq(delivery.id.clone()))
        .into_tuple()
        .one(txn)
        .await?;
    let row = webhook_try::ActiveModel {
        delivery_id: Set(delivery.id.clone()),
        number: Set(last.flatten().unwrap_or(0) + 1),
        at: Set(at),
        outcome: Set(answer.outcome.word().to_owned()),
        status: Set(answer.status.map(i64::from)),
        answer: Set(answer.text.clone()),
        milliseconds: Set(i64::try_from(answer.took.as_millis()).unwrap_or(i64::MAX)),
    };
    webhook_try::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Has deliveries made again, from the beginning of the schedule, whatever became of them. Their
/// endpoints are called again, too.
pub async fn ask_again(txn: &Txn, deliveries: &[webhook_delivery::Model]) -> Result<(), DbErr> {
    let mut endpoints: Vec<_> =
        deliveries.iter().map(|delivery| (&delivery.merchant, &delivery.endpoint)).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    for (merchant, name) in endpoints {
        webhook_endpoint::enable(txn, merchant, name).await?;
    }
    let ids: Vec<DeliveryId> = deliveries.iter().map(|delivery| delivery.id.clone()).collect();
    let row = webhook_delivery::ActiveModel {
        status: Set(Status::Pending),
        tries: Set(0),
        settled_at: Set(None),
        ..Default::default()
    };
    webhook_delivery::Entity::update_many()
        .set(row)
        .filter(webhook_delivery::Column::Id.is_in(ids.clone()))
        .exec(txn)
        .await?;
    let jobs: Vec<_> = ids.iter().map(DeliverWebhook::of).collect();
    jobs::enqueue_all(txn, &jobs).await
}
