//! Shipping: telling WeChat how a paid order reaches its payer.

use std::time::Duration;

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use entity::{
    OrderId, ShippingId, Txn, order,
    order_event::{self, Entry, Kind, Source},
    payment,
    shipping::{self, Status},
};
use http::StatusCode;
use jobs::{UploadShipping, crash_point};
use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wechatpay::{
    Openid,
    shipping::{Shipping, Way},
};

use crate::{
    app::{App, AppKind, Merchant},
    caller::Shop,
    problem::{ApiError, Problem},
    request::{Json, Segment},
    text, views,
};

/// How an order reaches its payer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShipOrder {
    way: WayName,
    /// What is sent, as WeChat shows it to the payer: 1 to 120 characters, no emoji.
    item_desc: String,
    /// For `express`: WeChat's code of the carrier, such as `SF`.
    #[serde(skip_serializing_if = "Option::is_none")]
    express_company: Option<String>,
    /// For `express`: 1 to 128 printable ASCII characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_no: Option<String>,
    /// For `express`: the receiver's telephone, masked but for the last four digits, as `189****1234`. 顺丰
    /// needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_contact: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WayName {
    /// By a carrier, in one parcel.
    Express,
    /// Within the city, by the shop or a rider.
    SameCity,
    /// Nothing that is carried.
    Virtual,
    /// The payer fetches it.
    PickUp,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShippingFound {
    shipping: views::Shipping,
}

/// Tell WeChat how an order reaches its payer.
///
/// For orders that were paid in a mini-program (发货信息录入): WeChat may hold their money back until it was
/// told. The answer says that it was written down; WeChat is told in the background, and the shop is told
/// what came of it (`shipping.uploaded`, `shipping.refused`). The same content again gives the same shipping
/// (200). WeChat takes one change of it: other content is taken once more, and then refused. What WeChat
/// refused does not count.
#[utoipa::path(post, path = "/v1/orders/{id}/shipping", params(("id" = String, Path)), request_body = ShipOrder,
    responses(
        (status = 201, body = ShippingFound),
        (status = 200, body = ShippingFound, description = "It was there already"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn ship_order(
    State(app): State<App>,
    Shop(merchant): Shop,
    Segment(id): Segment,
    Json(asked): Json<ShipOrder>,
) -> Result<Response, ApiError> {
    let way = asked.way()?;
    let id: OrderId = id.parse().map_err(|_| ApiError::OrderNotFound)?;
    let (shipping, is_new) = app.db().write(async |txn| ask(txn, &merchant, &id, &asked, &way).await).await?;
    crash_point!("ship_order.committed");
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(ShippingFound { shipping: shipping.into() })).into_response())
}

impl ShipOrder {
    /// The way, if all of it is as WeChat takes it.
    fn way(&self) -> Result<Way, ApiError> {
        text::for_wechat("/item_desc", &self.item_desc, 120)?;
        let way = match self.way {
            WayName::Express => return self.express(),
            WayName::SameCity => Way::SameCity,
            WayName::Virtual => Way::Virtual,
            WayName::PickUp => Way::PickUp,
        };
        for (pointer, value) in [
            ("/express_company", &self.express_company),
            ("/tracking_no", &self.tracking_no),
            ("/receiver_contact", &self.receiver_contact),
        ] {
            if value.is_some() {
                return Err(ApiError::invalid(pointer, "is for express only"));
            }
        }
        Ok(way)
    }

    fn express(&self) -> Result<Way, ApiError> {
        let word = |pointer: &str, value: &Option<String>| match value {
            Some(text) if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(text.clone())
            }
            _ => Err(ApiError::invalid(pointer, "express needs it: 1 to 128 printable ASCII characters")),
        };
        if self.receiver_contact.as_deref().is_some_and(|contact| !is_masked(contact)) {
            let detail = "must show the last four digits and mask the others: 189****1234";
            return Err(ApiError::invalid("/receiver_contact", detail));
        }
        Ok(Way::Express {
            company: word("/express_company", &self.express_company)?,
            tracking_no: word("/tracking_no", &self.tracking_no)?,
            receiver_contact: self.receiver_contact.clone(),
        })
    }
}

/// Its last four are digits, and what WeChat is not to know is not there.
fn is_masked(contact: &str) -> bool {
    let digits = contact.bytes().filter(u8::is_ascii_digit).count();
    let ends_in_four = contact.len() >= 4 && contact.bytes().rev().take(4).all(|byte| byte.is_ascii_digit());
    contact.len() <= 32
        && contact.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'-' | b'+'))
        && contact.contains('*')
        && ends_in_four
        && digits <= 8
}

/// Gives the same shipping again, or writes another down and asks for it to be told.
async fn ask(
    txn: &Txn,
    merchant: &Merchant,
    id: &OrderId,
    asked: &ShipOrder,
    way: &Way,
) -> Result<(shipping::Model, bool), ApiError> {
    // Whoever says something else about this order waits here.
    let order = order::lock_of_merchant(txn, id, &merchant.name).await?;
    let mut order = order.ok_or(ApiError::OrderNotFound)?;
    let content = serde_json::to_string(asked).map_err(|error| ApiError::Internal(Box::new(error)))?;
    let told = shipping::of_order(txn, id).await?;
    let counted = || told.iter().filter(|shipping| shipping.status != Status::Refused);
    match counted().next_back() {
        Some(newest) if newest.content == content => return Ok((newest.clone(), false)),
        Some(newest) if newest.status == Status::Requested => return Err(ApiError::ShippingInProgress),
        _ if counted().count() >= shipping::UPLOADS_MAX => return Err(ApiError::ShippingUsed),
        _ => {}
    }
    if !matches!(order.status, order::Status::Paid | order::Status::PartiallyRefunded) {
        return Err(ApiError::OrderNotPaid);
    }
    let payment = payment::that_paid(txn, id).await?.ok_or(ApiError::OrderNotPaid)?;
    let transaction_id = payment.transaction_id.clone().ok_or(ApiError::OrderNotPaid)?;
    let is_ours = merchant
        .app(&payment.app_id)
        .is_some_and(|app| app.kind == AppKind::MiniProgram && app.login.is_some());
    let openid = payment.openid.clone().filter(|_| is_ours).ok_or(ApiError::ShippingNotTaken)?;

    // WeChat wants the time to grow, from one to the next.
    let now = txn.now().await?;
    let at = told.last().map_or(now, |last| now.max(last.created_at + Duration::from_millis(1)));
    let body = Shipping {
        transaction_id,
        openid: Openid(openid),
        way: way.clone(),
        item_desc: asked.item_desc.clone(),
        upload_time: at.to_beijing_ms(),
    };
    let shipping = shipping::Model {
        id: ShippingId::generate(),
        order_id: order.id.clone(),
        payment_id: payment.id.clone(),
        merchant: merchant.name.clone(),
        app_id: payment.app_id.clone(),
        content,
        status: Status::Requested,
        request_body: body.to_body(),
        unanswered: false,
        failure_code: None,
        failure_message: None,
        settled_at: None,
        created_at: at,
    };
    let row = shipping::ActiveModel::from(shipping.clone());
    shipping::Entity::insert(row).exec_without_returning(txn).await?;
    let entry = Entry {
        payment: Some((&payment.id, payment.status)),
        shipping: Some((&shipping.id, shipping.status)),
        ..Entry::of_order(Kind::ShippingRequested, now, Source::Api)
    };
    order_event::append(txn, &mut order, entry, |_| {}).await?;
    jobs::enqueue(txn, &UploadShipping::of(&shipping.id)).await?;
    crash_point!("ship_order.asked");
    Ok((shipping, true))
}
