//! Refunds: asking for one, reading it.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use entity::{
    Fen, OrderId, RefundId, Txn, order, payment,
    refund::{self, AskedBy, NotAsked},
};
use http::StatusCode;
use jobs::{RequestRefund, crash_point};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wechatpay::{RefundOrder, refund::Paid};

use crate::{
    app::{App, Merchant},
    caller::Shop,
    problem::{ApiError, Problem},
    request::{Json, Segment},
    text,
    views::{self, Amount},
};

/// WeChat Pay counts bytes here.
const REASON_BYTES_MAX: usize = 80;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRefund {
    /// The shop's own number: 1 to 64 printable ASCII characters, unique per merchant.
    merchant_refund_no: String,
    amount: Amount,
    /// Shown to the payer: at most 80 bytes of UTF-8, no emoji.
    reason: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefundFound {
    refund: views::Refund,
}

/// Give a paid order back, or a part of it.
///
/// The answer says that it was written down; WeChat Pay is asked in the background, and takes some
/// minutes for a wallet and some days for a card: read it to see. The same `merchant_refund_no` with
/// the same content gives the same refund again (200); with other content it is refused. All refunds
/// together never exceed the payment.
#[utoipa::path(post, path = "/v1/orders/{id}/refunds", params(("id" = String, Path)), request_body = CreateRefund,
    responses(
        (status = 201, body = RefundFound),
        (status = 200, body = RefundFound, description = "It was there already"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_refund(
    State(app): State<App>,
    Shop(merchant): Shop,
    Segment(id): Segment,
    Json(asked): Json<CreateRefund>,
) -> Result<Response, ApiError> {
    asked.check()?;
    let id: OrderId = id.parse().map_err(|_| ApiError::OrderNotFound)?;
    let (refund, is_new) = app.db().write(async |txn| ask(txn, &app, &merchant, &id, &asked).await).await?;
    crash_point!("create_refund.committed");
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(RefundFound { refund: refund.into() })).into_response())
}

/// Read a refund.
#[utoipa::path(get, path = "/v1/refunds/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = RefundFound),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn find_refund(
    State(app): State<App>,
    Shop(merchant): Shop,
    Segment(id): Segment,
) -> Result<Answer<RefundFound>, ApiError> {
    let id: RefundId = id.parse().map_err(|_| ApiError::RefundNotFound)?;
    let refund = refund::Entity::find_by_id(id)
        .filter(refund::Column::Merchant.eq(&merchant.name))
        .one(app.db().reader())
        .await?
        .ok_or(ApiError::RefundNotFound)?;
    Ok(Answer(RefundFound { refund: refund.into() }))
}

impl CreateRefund {
    fn check(&self) -> Result<(), ApiError> {
        text::merchant_order_no("/merchant_refund_no", &self.merchant_refund_no)?;
        if self.amount.total < 1 {
            return Err(ApiError::invalid("/amount/total", "must be at least 1 fen"));
        }
        if let Some(reason) = &self.reason {
            text::for_wechat("/reason", reason, REASON_BYTES_MAX)?;
            if reason.len() > REASON_BYTES_MAX {
                let detail = format!("must have at most {REASON_BYTES_MAX} bytes of UTF-8");
                return Err(ApiError::invalid("/reason", detail));
            }
        }
        Ok(())
    }

    /// Is it the refund that is there already? If not, what differs.
    fn same_as(&self, refund: &refund::Model, order: &OrderId) -> Result<(), &'static str> {
        let parts = [
            ("order", *order == refund.order_id),
            ("amount", self.amount.total == refund.amount.0),
            ("reason", self.reason == refund.reason),
        ];
        parts.into_iter().find(|(_, same)| !same).map_or(Ok(()), |(differs, _)| Err(differs))
    }
}

/// Gives the refund of that number again, or writes a new one down and asks for it.
async fn ask(
    txn: &Txn,
    app: &App,
    merchant: &Merchant,
    id: &OrderId,
    asked: &CreateRefund,
) -> Result<(refund::Model, bool), ApiError> {
    // Whoever asks for another part of this order waits here.
    let order = order::lock_of_merchant(txn, id, &merchant.name).await?;
    let mut order = order.ok_or(ApiError::OrderNotFound)?;
    if let Some(known) = find_by_number(txn, merchant, asked, id).await? {
        return Ok((known, false));
    }
    let payment = payment::that_paid(txn, id).await?.ok_or(ApiError::OrderNotPaid)?;
    let transaction_id = payment.transaction_id.clone().ok_or(ApiError::OrderNotPaid)?;

    let id = RefundId::generate();
    let out_refund_no = id.out_refund_no(&merchant.out_trade_no_prefix);
    let body = RefundOrder {
        of: Paid::TransactionId(transaction_id),
        out_refund_no: out_refund_no.clone(),
        reason: asked.reason.clone(),
        notify_url: Some(merchant.notify_url(&app.settings().public_url)),
        refund_fen: asked.amount.total,
        total_fen: payment.amount.0,
    };
    let new = refund::Asked {
        order_id: order.id.clone(),
        payment_id: payment.id.clone(),
        merchant: merchant.name.clone(),
        mchid: payment.mchid.clone(),
        out_refund_no,
        asked_by: AskedBy::Shop,
        merchant_refund_no: Some(asked.merchant_refund_no.clone()),
        amount: Fen(asked.amount.total),
        reason: asked.reason.clone(),
        request_body: body.to_body(),
        at: txn.now().await?,
        id,
    };
    match refund::ask(txn, &mut order, &payment, new).await {
        Ok(refund) => {
            jobs::enqueue(txn, &RequestRefund::of(&refund.id)).await?;
            crash_point!("create_refund.asked");
            Ok((refund, true))
        }
        // At the same moment, and for another order, or it would have waited.
        Err(NotAsked::NumberUsed) => {
            let known = find_by_number(txn, merchant, asked, &order.id).await?;
            known.map(|refund| (refund, false)).ok_or(ApiError::Busy)
        }
        Err(NotAsked::ExceedsPayment { left }) => Err(ApiError::RefundExceedsPayment { left: left.0 }),
        Err(NotAsked::TooManyParts) => Err(ApiError::TooManyRefunds(refund::PARTS_MAX)),
        Err(NotAsked::TooLate) => Err(ApiError::RefundTooLate),
        Err(NotAsked::Database(error)) => Err(error.into()),
    }
}

/// The refund that has that number already, if it is the one that is asked for.
async fn find_by_number(
    txn: &Txn,
    merchant: &Merchant,
    asked: &CreateRefund,
    order: &OrderId,
) -> Result<Option<refund::Model>, ApiError> {
    let known = refund::Entity::find()
        .filter(refund::Column::Merchant.eq(&merchant.name))
        .filter(refund::Column::MerchantRefundNo.eq(&asked.merchant_refund_no))
        .one(txn)
        .await?;
    if let Some(known) = &known {
        asked.same_as(known, order).map_err(ApiError::MerchantRefundNoUsed)?;
    }
    Ok(known)
}
