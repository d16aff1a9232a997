//! The gate for shipping: its status and the event.

use entity::{
    Txn, order,
    order_event::{Entry, Kind, Source},
    payment,
    shipping::{self, Event, Status, lifecycle::IllegalTransition},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    TryIntoModel,
};
use serde_json::json;

use super::record;

/// What WeChat made of it.
#[derive(Clone, Debug)]
pub enum Fact {
    Uploaded,
    Refused { code: String, message: String },
}

pub type Moved = super::Moved<Status, IllegalTransition>;

/// Shipping with its payment and order, as they are and as long as the transaction lasts.
#[derive(Debug)]
pub struct Shipping {
    pub order: order::Model,
    pub payment: payment::Model,
    pub shipping: shipping::Model,
}

/// Loads shipping with what it is of, and keeps other writers of that order away.
pub async fn load(txn: &Txn, shipping: &shipping::Model) -> Result<Shipping, DbErr> {
    let gone = || DbErr::RecordNotFound(format!("shipping {}, its payment or its order", shipping.id));
    let order = order::Entity::find_by_id(shipping.order_id.clone()).lock_exclusive().one(txn).await?;
    let payment = payment::Entity::find_by_id(shipping.payment_id.clone()).one(txn).await?;
    let shipping = shipping::Entity::find_by_id(shipping.id.clone()).one(txn).await?;
    Ok(Shipping {
        order: order.ok_or_else(gone)?,
        payment: payment.ok_or_else(gone)?,
        shipping: shipping.ok_or_else(gone)?,
    })
}

/// Takes a fact in. What was loaded is what it was made.
pub async fn apply(txn: &Txn, of: &mut Shipping, fact: &Fact, learnt_from: Source) -> Result<Moved, DbErr> {
    let before = of.shipping.status;
    let (event, kind, detail) = match fact {
        Fact::Uploaded => (Event::Uploaded, Kind::ShippingUploaded, None),
        Fact::Refused { code, .. } => (Event::Refused, Kind::ShippingRefused, Some(json!({ "code": code }))),
    };
    let after = match before.after(&event) {
        Ok(after) => after,
        Err(refused) => return Ok(Moved::Refused(refused)),
    };
    if after == before {
        return Ok(Moved::Unchanged);
    }
    of.shipping = write(txn, &of.shipping, fact, after).await?;
    let entry = Entry {
        payment: Some((&of.payment.id, of.payment.status)),
        shipping: Some((&of.shipping.id, after)),
        detail,
        ..Entry::of_order(kind, txn.now().await?, learnt_from)
    };
    record(txn, &mut of.order, entry, |_| {}).await?;
    Ok(Moved::To(after))
}

/// The row as the fact makes it, if nobody else has moved it.
async fn write(
    txn: &Txn,
    shipping: &shipping::Model,
    fact: &Fact,
    after: Status,
) -> Result<shipping::Model, DbErr> {
    let mut row = shipping.clone().into_active_model();
    row.status = Set(after);
    row.unanswered = Set(false);
    row.settled_at = Set(Some(txn.now().await?));
    if let Fact::Refused { code, message } = fact {
        row.failure_code = Set(Some(code.clone()));
        row.failure_message = Set(Some(message.clone()));
    }
    let moved = row.clone().try_into_model()?;
    let written = shipping::Entity::update_many()
        .set(row)
        .filter(shipping::Column::Id.eq(shipping.id.clone()))
        .filter(shipping::Column::Status.eq(shipping.status))
        .exec(txn)
        .await?;
    if written.rows_affected != 1 {
        return Err(DbErr::RecordNotUpdated);
    }
    Ok(moved)
}
