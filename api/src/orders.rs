//! Orders: placing them, finding them.

use std::time::Duration;

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use entity::{
    CNY, Fen, OrderId, Txn, order,
    order_event::{self, Entry, Kind, Source},
    payment,
};
use http::StatusCode;
use jobs::{CloseOrder, crash_point};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::App,
    caller::{Caller, Shop},
    problem::{ApiError, Problem},
    request::{Json, Query, Segment},
    text,
    views::{self, Amount, Reader},
};

/// No order is worth more: ¥100,000,000.00.
const AMOUNT_MAX: i64 = 10_000_000_000;
const METADATA_BYTES_MAX: usize = 4096;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOrder {
    /// The shop's own number: 1 to 64 printable ASCII characters, unique per merchant.
    merchant_order_no: String,
    /// What is bought, as the payer reads it: 1 to 127 characters, no emoji (WeChat Pay takes none).
    description: String,
    amount: Amount,
    /// Seconds until it can no longer be paid: 60 to 604800, 7200 if not given.
    #[serde(default = "expires_in")]
    #[schema(minimum = 60, maximum = 604_800)]
    expires_in: i64,
    /// The shop's own words, at most 128 characters; WeChat Pay shows them in its bills.
    attach: Option<String>,
    /// Where the page sends the payer afterwards.
    return_url: Option<String>,
    /// The shop's own JSON object, at most 4096 bytes.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

fn expires_in() -> i64 {
    7200
}

/// An order with what a payer needs for it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderCreated {
    order: views::Order,
    /// Lets a payer see and pay this order, and nothing else.
    client_secret: String,
    checkout_url: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderFound {
    order: views::Order,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderRead {
    order: views::OrderSeen,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrdersListed {
    orders: Vec<views::Order>,
    /// Whether there are more after the last one.
    has_more: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListOrders {
    merchant_order_no: Option<String>,
    status: Option<order::Status>,
    /// 1 to 100, 20 if not given.
    limit: Option<u64>,
    /// The id of the last order of the page before.
    starting_after: Option<String>,
}

/// Place an order.
///
/// The same `merchant_order_no` with the same content gives the same order again (200); with other
/// content it is refused. A number is never free again.
#[utoipa::path(post, path = "/v1/orders", request_body = CreateOrder, responses(
    (status = 201, body = OrderCreated),
    (status = 200, body = OrderCreated, description = "It was there already"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create_order(
    State(app): State<App>,
    Shop(merchant): Shop,
    Json(asked): Json<CreateOrder>,
) -> Result<Response, ApiError> {
    asked.check()?;
    let metadata = asked.metadata.as_ref().map(|map| Value::Object(map.clone()).to_string());
    let (order, is_new) = app
        .db()
        .write(async |txn| {
            let placed = place(txn, &merchant.name, &asked, metadata.as_deref()).await?;
            crash_point!("create_order.placed");
            let order = find_by_number(txn, &merchant.name, &asked.merchant_order_no).await?;
            let order = order.ok_or_else(|| DbErr::RecordNotFound("an order just placed".to_owned()))?;
            if !placed {
                asked.same_as(&order, metadata.as_deref()).map_err(ApiError::MerchantOrderNoUsed)?;
            }
            Ok::<_, ApiError>((order, placed))
        })
        .await?;
    crash_point!("create_order.committed");
    let payment = if is_new { None } else { newest_payment(app.db().reader(), &order).await? };
    let client_secret = app.settings().link_keys.client_secret(&order.id);
    let created = OrderCreated {
        checkout_url: app.settings().checkout_url(&client_secret),
        client_secret,
        order: views::Order::of(order, payment, &merchant, Reader::Shop, app.now()),
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(created)).into_response())
}

/// Read an order.
///
/// Seven days after the order was paid, or closed unpaid, its client secret shows `id`, `merchant`,
/// `status` and `amount` here and nothing more; every other call with it is refused as `status_only`.
#[utoipa::path(get, path = "/v1/orders/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = OrderRead),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn find_order(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Answer<OrderRead>, ApiError> {
    let order = caller.order_or_its_status(&app, &id).await?;
    let order = if caller.sees_status_only(&app, &order) {
        let merchant = app.merchant(&order.merchant).ok_or(ApiError::OrderNotFound)?;
        views::OrderSeen::AtRest(views::OrderAtRest::of(&order, merchant))
    } else {
        let payment = newest_payment(app.db().reader(), &order).await?;
        views::OrderSeen::Whole(Box::new(view(&app, order, payment, caller.reader())?))
    };
    Ok(Answer(OrderRead { order }))
}

/// Close an order that nobody paid.
///
/// It can no longer be paid from now on, and is closed as soon as WeChat Pay has closed what was
/// open there; read it to see. If somebody paid meanwhile, it is paid. Closing again is fine.
#[utoipa::path(post, path = "/v1/orders/{id}/close", params(("id" = String, Path)), responses(
    (status = 202, body = OrderFound, description = "It is being closed"),
    (status = 200, body = OrderFound, description = "It is closed"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn close_order(
    State(app): State<App>,
    Shop(merchant): Shop,
    Segment(id): Segment,
) -> Result<Response, ApiError> {
    let id: OrderId = id.parse().map_err(|_| ApiError::OrderNotFound)?;
    let order = app.db().write(async |txn| ask_to_close(txn, &merchant.name, &id).await).await?;
    crash_point!("close_order.asked");
    let status = if order.status == order::Status::Closed { StatusCode::OK } else { StatusCode::ACCEPTED };
    let payment = newest_payment(app.db().reader(), &order).await?;
    let found = OrderFound { order: view(&app, order, payment, Reader::Shop)? };
    Ok((status, Answer(found)).into_response())
}

/// Writes the wish down; the worker makes it true.
async fn ask_to_close(txn: &Txn, merchant: &str, id: &OrderId) -> Result<order::Model, ApiError> {
    let order = order::lock_of_merchant(txn, id, merchant).await?;
    let mut order = order.ok_or(ApiError::OrderNotFound)?;
    match order.status {
        order::Status::Paid | order::Status::PartiallyRefunded | order::Status::Refunded => {
            return Err(ApiError::OrderPaid);
        }
        order::Status::Closed => return Ok(order),
        order::Status::Pending | order::Status::Closing => {}
    }
    let now = txn.now().await?;
    if order.close_asked_at.is_none() {
        let entry = Entry::of_order(Kind::CloseAsked, now, Source::Api);
        order_event::append(txn, &mut order, entry, |row| row.close_asked_at = Set(Some(now))).await?;
    }
    jobs::enqueue_urgently(txn, &CloseOrder::of(&order.id), now).await?;
    Ok(order)
}

/// List orders, the newest first.
#[utoipa::path(get, path = "/v1/orders", params(ListOrders), responses(
    (status = 200, body = OrdersListed),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_orders(
    State(app): State<App>,
    Shop(merchant): Shop,
    Query(asked): Query<ListOrders>,
) -> Result<Answer<OrdersListed>, ApiError> {
    let limit = asked.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::invalid("/limit", "must be from 1 to 100"));
    }
    let mut query = order::Entity::find()
        .filter(order::Column::Merchant.eq(&merchant.name))
        .order_by_desc(order::Column::Id)
        .limit(limit + 1);
    if let Some(number) = asked.merchant_order_no {
        text::merchant_order_no("/merchant_order_no", &number)?;
        query = query.filter(order::Column::MerchantOrderNo.eq(number));
    }
    if let Some(status) = asked.status {
        query = query.filter(order::Column::Status.eq(status));
    }
    if let Some(after) = asked.starting_after {
        let after: OrderId =
            after.parse().map_err(|_| ApiError::invalid("/starting_after", "is not the id of an order"))?;
        query = query.filter(order::Column::Id.lt(after));
    }
    let mut found = query.all(app.db().reader()).await?;
    let has_more = found.len() as u64 > limit;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let ids = found.iter().map(|order| order.id.clone());
    let payments = payment::Entity::find()
        .filter(payment::Column::OrderId.is_in(ids))
        .order_by_asc(payment::Column::Id)
        .all(app.db().reader())
        .await?;
    let mut newest: std::collections::HashMap<_, _> =
        payments.into_iter().map(|payment| (payment.order_id.clone(), payment)).collect();
    let orders = found.into_iter().map(|order| {
        let payment = newest.remove(&order.id);
        views::Order::of(order, payment, &merchant, Reader::Shop, app.now())
    });
    Ok(Answer(OrdersListed { orders: orders.collect(), has_more }))
}

impl CreateOrder {
    fn check(&self) -> Result<(), ApiError> {
        text::merchant_order_no("/merchant_order_no", &self.merchant_order_no)?;
        text::for_wechat("/description", &self.description, 127)?;
        if !(1..=AMOUNT_MAX).contains(&self.amount.total) {
            let detail = format!("must be from 1 to {AMOUNT_MAX} fen");
            return Err(ApiError::invalid("/amount/total", detail));
        }
        if !(60..=604_800).contains(&self.expires_in) {
            return Err(ApiError::invalid("/expires_in", "must be from 60 to 604800 seconds"));
        }
        if let Some(attach) = &self.attach {
            text::for_wechat("/attach", attach, 128)?;
        }
        if let Some(return_url) = &self.return_url {
            text::web_address("/return_url", return_url)?;
        }
        let bytes = self.metadata.as_ref().map_or(0, |map| Value::Object(map.clone()).to_string().len());
        if bytes > METADATA_BYTES_MAX {
            let detail = format!("must be at most {METADATA_BYTES_MAX} bytes of JSON");
            return Err(ApiError::invalid("/metadata", detail));
        }
        Ok(())
    }

    /// Is it the order that is there already? If not, what differs.
    fn same_as(&self, order: &order::Model, metadata: Option<&str>) -> Result<(), &'static str> {
        let parts = [
            ("description", self.description == order.description),
            ("amount", self.amount.total == order.amount.0),
            ("expires_in", self.expires_in == order.expires_in),
            ("attach", self.attach == order.attach),
            ("return_url", self.return_url == order.return_url),
            ("metadata", metadata == order.metadata.as_deref()),
        ];
        parts.into_iter().find(|(_, same)| !same).map_or(Ok(()), |(differs, _)| Err(differs))
    }
}

impl Caller {
    pub(crate) fn reader(&self) -> Reader {
        match self {
            Self::Shop(_) => Reader::Shop,
            Self::Payer(_) => Reader::Payer,
        }
    }
}

/// Writes the order down with its first event; false if the number is taken.
async fn place(
    txn: &Txn,
    merchant: &str,
    asked: &CreateOrder,
    metadata: Option<&str>,
) -> Result<bool, DbErr> {
    let now = txn.now().await?;
    let expires_in = Duration::from_secs(u64::try_from(asked.expires_in).unwrap_or_default());
    let mut order = order::Model {
        id: OrderId::generate(),
        merchant: merchant.to_owned(),
        merchant_order_no: asked.merchant_order_no.clone(),
        amount: Fen(asked.amount.total),
        currency: CNY.to_owned(),
        description: asked.description.clone(),
        attach: asked.attach.clone(),
        return_url: asked.return_url.clone(),
        metadata: metadata.map(str::to_owned),
        status: order::Status::Pending,
        expires_in: asked.expires_in,
        expires_at: now + expires_in,
        created_at: now,
        close_asked_at: None,
        paid_at: None,
        closed_at: None,
        refunded: Fen(0),
        event_seq: 0,
        told_seq: 0,
    };
    let row = order::ActiveModel::from(order.clone());
    let taken = OnConflict::columns([order::Column::Merchant, order::Column::MerchantOrderNo])
        .do_nothing()
        .to_owned();
    if order::Entity::insert(row).on_conflict(taken).exec_without_returning(txn).await? == 0 {
        return Ok(false);
    }
    let entry = Entry::of_order(Kind::OrderCreated, now, Source::Api);
    order_event::append(txn, &mut order, entry, |_| {}).await?;
    jobs::enqueue_at(txn, &CloseOrder::of(&order.id), order.expires_at).await?;
    Ok(true)
}

async fn find_by_number(
    connection: &impl ConnectionTrait,
    merchant: &str,
    number: &str,
) -> Result<Option<order::Model>, DbErr> {
    order::Entity::find()
        .filter(order::Column::Merchant.eq(merchant))
        .filter(order::Column::MerchantOrderNo.eq(number))
        .one(connection)
        .await
}

pub(crate) async fn newest_payment(
    connection: &impl ConnectionTrait,
    order: &order::Model,
) -> Result<Option<payment::Model>, DbErr> {
    payment::Entity::find()
        .filter(payment::Column::OrderId.eq(order.id.clone()))
        .order_by_desc(payment::Column::Id)
        .one(connection)
        .await
}

pub(crate) fn view(
    app: &App,
    order: order::Model,
    payment: Option<payment::Model>,
    reader: Reader,
) -> Result<views::Order, ApiError> {
    let merchant = app.merchant(&order.merchant).ok_or(ApiError::OrderNotFound)?;
    Ok(views::Order::of(order, payment, merchant, reader, app.now()))
}
