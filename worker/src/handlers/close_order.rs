//! Ends an order that nobody paid: when its time is over, or when the shop wishes.
//!
//! The order waits in `closing` until none of its payments can be paid at WeChat Pay any more.

use std::time::Duration;

use entity::{
    order::{self, Status},
    order_event::Source,
    payment,
};
use jobs::{CloseOrder, ClosePayment, Failure, Finished, Run, crash_point};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::{
    Context,
    transition::{self, Fact, Pair},
};

/// The end of a payment asks for the next look; this is the net below.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);

pub(crate) async fn run(context: &Context, run: &Run, job: &CloseOrder) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let order = order::Entity::find_by_id(job.order.clone()).lock_exclusive().one(txn).await?;
            let gone = || Failure::GiveUp(format!("there is no order {}", job.order));
            let mut order = order.ok_or_else(gone)?;
            let now = txn.now().await?;
            let is_asked_for = order.close_asked_at.is_some();
            let (event, source) = match is_asked_for {
                true => (order::Event::CloseRequested, Source::Api),
                false => (order::Event::Expired, Source::Rule),
            };
            match order.status {
                Status::Pending if !is_asked_for && now < order.expires_at => {
                    let expires_at = order.expires_at;
                    return run.again_at(txn, expires_at).await;
                }
                Status::Pending => {
                    transition::move_order(txn, &mut order, &event, source).await?;
                }
                Status::Closing => {}
                Status::Closed | Status::Paid | Status::PartiallyRefunded | Status::Refunded => {
                    return run.done(txn).await;
                }
            }
            crash_point!("close_order.closing");
            let payments = payment::Entity::find()
                .filter(payment::Column::OrderId.eq(order.id.clone()))
                .filter(payment::Column::Status.is_in(payment::Status::NOT_AT_REST))
                .all(txn)
                .await?;
            let mut is_payable = false;
            for payment in payments {
                let mut pair = Pair { order, payment };
                transition::apply(txn, &mut pair, &Fact::CloseRequested, source).await?;
                if pair.payment.status.is_payable() {
                    is_payable = true;
                    let job = ClosePayment::of(&pair.payment.id);
                    if is_asked_for {
                        jobs::enqueue_urgently(txn, &job, now).await?;
                    } else {
                        jobs::enqueue(txn, &job).await?;
                    }
                }
                order = pair.order;
            }
            if is_payable {
                return run.again_at(txn, now + LOOK_EVERY).await;
            }
            transition::move_order(txn, &mut order, &order::Event::CloseConfirmed, source).await?;
            crash_point!("close_order.closed");
            run.done(txn).await
        })
        .await
}
