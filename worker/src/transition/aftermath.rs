//! What becomes of the rest of an order when one of its payments has come to rest.

use entity::{
    Txn, order,
    order_event::Source,
    payment::{self, Status},
};
use jobs::{CloseOrder, ClosePayment, ConfirmPayment, RequestPrepay};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};

use super::{Fact, Pair, move_payment};

/// The successor that waited is opened, unless nobody may pay any more; then it ends unsent. What
/// could still be paid although the order is paid, or is to be closed, is closed. An order that is
/// to be closed is looked at again.
pub(super) async fn follow(txn: &Txn, pair: &mut Pair) -> Result<(), DbErr> {
    let others = payment::Entity::find()
        .filter(payment::Column::OrderId.eq(pair.order.id.clone()))
        .filter(payment::Column::Id.ne(pair.payment.id.clone()))
        .filter(payment::Column::Status.is_in(Status::NOT_AT_REST))
        .all(txn)
        .await?;
    let is_open = pair.order.status == order::Status::Pending;
    let (queued, payable): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|other| other.status == Status::Queued);
    for other in &payable {
        if !is_open {
            jobs::enqueue(txn, &ClosePayment::of(&other.id)).await?;
        }
    }
    for other in queued {
        // A payment that was over before can succeed late, while another can still be paid.
        if is_open && !payable.is_empty() {
            continue;
        }
        let mut next = Pair { order: pair.order.clone(), payment: other };
        let now = txn.now().await?;
        if is_open && next.order.takes_payments(now) {
            move_payment(txn, &mut next, &Fact::Started, Source::Rule).await?;
            jobs::enqueue_urgently(txn, &RequestPrepay::of(&next.payment.id), now).await?;
            let first_look = now + ConfirmPayment::FIRST_LOOK;
            jobs::enqueue_at(txn, &ConfirmPayment::of(&next.payment.id), first_look).await?;
        } else {
            move_payment(txn, &mut next, &Fact::CloseRequested, Source::Rule).await?;
        }
        pair.order = next.order;
    }
    let close = CloseOrder::of(&pair.order.id);
    match pair.order.status {
        order::Status::Closing => jobs::enqueue(txn, &close).await?,
        // Nothing is left to be closed when its time is over.
        status if status.is_paid() => jobs::withdraw(txn, &close).await?,
        _ => {}
    }
    Ok(())
}
