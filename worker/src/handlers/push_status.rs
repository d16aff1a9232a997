//! Writes down what the shop is to be told about an order, and for which of its endpoints.
//!
//! Nobody is asked, so all of it is one transaction: an event is told once, and in its place.

use entity::{
    Txn, order, order_event, payment, refund, shipping,
    told_event::{self, Told},
    told_position, webhook_delivery,
};
use jobs::{DeliverWebhook, Failure, Finished, PushStatus, Run, crash_point};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::{Context, webhooks::Endpoint};

pub(crate) async fn run(context: &Context, run: &Run, job: &PushStatus) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let order = order::Entity::find_by_id(job.order.clone()).lock_exclusive().one(txn).await?;
            let order = order.ok_or_else(|| Failure::GiveUp(format!("there is no order {}", job.order)))?;
            if order.told_seq == order.event_seq {
                return run.done(txn).await;
            }
            let endpoints = &context.merchant(&order.merchant)?.webhooks;
            let news = news(txn, &order).await?;
            told_up_to(txn, &order).await?;
            crash_point!("push_status.moved");
            if news.is_empty() {
                return run.done(txn).await;
            }
            tell(txn, &order, &news, endpoints, run).await
        })
        .await
}

/// What the shop has not been told yet, in the order in which it happened.
async fn news(txn: &Txn, order: &order::Model) -> Result<Vec<Told>, Failure> {
    let events = order_event::Entity::find()
        .filter(order_event::Column::OrderId.eq(order.id.clone()))
        .filter(order_event::Column::Seq.gt(order.told_seq))
        .order_by_asc(order_event::Column::Seq)
        .all(txn)
        .await?;
    let mut news = Vec::new();
    for event in events {
        let Some(kind) = event.kind.told_as() else { continue };
        let payment = match &event.payment_id {
            Some(id) => payment::Entity::find_by_id(id.clone()).one(txn).await?,
            None => None,
        };
        let refund = match &event.refund_id {
            Some(id) => refund::Entity::find_by_id(id.clone()).one(txn).await?,
            None => None,
        };
        let shipping = match &event.shipping_id {
            Some(id) => shipping::Entity::find_by_id(id.clone()).one(txn).await?,
            None => None,
        };
        news.push(Told::of(&event, kind, order, payment.as_ref(), refund.as_ref(), shipping.as_ref()));
    }
    Ok(news)
}

async fn told_up_to(txn: &Txn, order: &order::Model) -> Result<(), DbErr> {
    let moved = order::Entity::update_many()
        .col_expr(order::Column::ToldSeq, Expr::value(order.event_seq))
        .filter(order::Column::Id.eq(order.id.clone()))
        .filter(order::Column::ToldSeq.eq(order.told_seq))
        .filter(order::Column::EventSeq.eq(order.event_seq))
        .exec(txn)
        .await?;
    if moved.rows_affected == 1 { Ok(()) } else { Err(DbErr::RecordNotUpdated) }
}

/// Fixes the bytes, gives them their positions, asks for a delivery to each endpoint that wants them, and
/// ends the run.
async fn tell(
    txn: &Txn,
    order: &order::Model,
    news: &[Told],
    endpoints: &[Endpoint],
    run: &Run,
) -> Result<Finished, Failure> {
    let mut bodies = Vec::with_capacity(news.len());
    for told in news {
        let body = serde_json::to_string(told)
            .map_err(|error| Failure::Retry(format!("writing what the shop is told: {error}")))?;
        bodies.push((told, body));
    }
    let now = txn.now().await?;
    let deliveries = news.iter().flat_map(|told| {
        let wanting = endpoints.iter().filter(|endpoint| endpoint.wants(told.kind));
        wanting.map(|endpoint| {
            webhook_delivery::ActiveModel::asked_for(&told.id, &order.merchant, &endpoint.name, now)
        })
    });
    let deliveries: Vec<_> = deliveries.collect();
    let jobs: Vec<_> = deliveries.iter().map(|delivery| DeliverWebhook::of(delivery.id.as_ref())).collect();
    jobs::enqueue_all(txn, &jobs).await?;
    let finished = run.done(txn).await?;

    // From here to the commit, everybody else who tells this merchant's shop waits: whatever else there is
    // to write has been written.
    let count = i64::try_from(bodies.len()).unwrap_or(i64::MAX);
    let first = told_position::take(txn, &order.merchant, count).await?;
    let events = (first..).zip(bodies).map(|(position, (told, body))| told_event::ActiveModel {
        id: Set(told.id.clone()),
        merchant: Set(order.merchant.clone()),
        position: Set(position),
        order_id: Set(order.id.clone()),
        kind: Set(told.kind),
        body: Set(body),
        told_at: Set(now),
    });
    told_event::Entity::insert_many(events).exec_without_returning(txn).await?;
    if !deliveries.is_empty() {
        webhook_delivery::Entity::insert_many(deliveries).exec_without_returning(txn).await?;
    }
    crash_point!("push_status.told");
    Ok(finished)
}
