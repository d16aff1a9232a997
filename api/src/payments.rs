//! Payments: opening one, reading it, asking WeChat Pay about it, its QR code.

use std::time::Duration;

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use entity::{
    OrderId, PaymentId, Txn, order,
    order_event::{self, Entry, Kind, Source},
    order_payer,
    payment::{self, Method, Status},
};
use fast_qr::convert::{Builder, svg::SvgBuilder};
use http::{HeaderValue, StatusCode, header};
use jobs::{ClosePayment, ConfirmPayment, RequestPrepay, crash_point};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use utoipa::ToSchema;
use wechatpay::{
    Openid,
    order::{JsapiOrder, NativeOrder, Order},
};

use crate::{
    app::{App, Merchant, MerchantApp},
    caller::{Caller, CallerByUrl},
    problem::{ApiError, Problem},
    request::{Json, Segment},
    views::{self, Reader},
};

/// How long a request waits for its job before it says "later".
const PATIENCE: Duration = Duration::from_millis(2500);

/// A hint may be lost; then the row is read this often.
const READ_EVERY: Duration = Duration::from_millis(500);

const PAYMENTS_MAX: u64 = 20;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreatePayment {
    /// `jsapi` is taken for `mini_program`.
    method: Method,
    /// The app that the payer is in; for a native payment any app of the merchant's.
    app_id: Option<String>,
    /// Who pays; needed for `mini_program`. With a client secret, one that was exchanged for this order and
    /// this app.
    openid: Option<String>,
    /// What the page showed, in fen. If the order's amount is another, nothing is opened.
    expected_total: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentFound {
    payment: views::Payment,
}

/// Open a payment.
///
/// A live payment of the same method, app and person is given again. Another one is closed at
/// WeChat Pay first: only one payment of an order can be paid at a time. Waits up to 2.5 s for
/// WeChat Pay; when that is not enough, answers 202 and goes on by itself.
#[utoipa::path(post, path = "/v1/orders/{id}/payments", params(("id" = String, Path)), request_body = CreatePayment,
    responses(
        (status = 200, body = PaymentFound, description = "Ready to be paid"),
        (status = 202, body = PaymentFound, description = "WeChat Pay has not answered yet; read it at Location"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_payment(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Json(asked): Json<CreatePayment>,
) -> Result<Response, ApiError> {
    let order = caller.order(&app, &id).await?;
    let merchant = app.merchant(&order.merchant).ok_or(ApiError::OrderNotFound)?;
    let wanted = Wanted::from(&asked, merchant)?;
    if let (Reader::Payer, Some(openid)) = (caller.reader(), wanted.openid)
        && !order_payer::is_known(app.db().reader(), &order.id, &wanted.app.id, openid).await?
    {
        return Err(ApiError::OpenidNotVerified);
    }
    if let Some(expected) = asked.expected_total.filter(|expected| *expected != order.amount.0) {
        return Err(ApiError::AmountDiffers { actual: order.amount.0, expected });
    }
    let mut hints = app.db().bus().follow(&order.id);
    let payment = app.db().write(async |txn| open(txn, &app, merchant, &order.id, &wanted).await).await?;
    crash_point!("create_payment.committed");
    let payment = wait(&app, payment, &mut hints, |payment| is_ready(payment, app.now())).await?;
    answer(payment, caller.reader(), app.now())
}

/// Read a payment.
#[utoipa::path(get, path = "/v1/payments/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = PaymentFound),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn find_payment(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Answer<PaymentFound>, ApiError> {
    let payment = find(&app, &caller, &id).await?;
    Ok(Answer(PaymentFound { payment: views::Payment::of(payment, caller.reader(), app.now()) }))
}

/// Ask WeChat Pay about a payment now.
///
/// At most every 2 s a payment, however many ask. Waits up to 2.5 s for the answer, and says what
/// is known then.
#[utoipa::path(post, path = "/v1/payments/{id}/confirm", params(("id" = String, Path)), responses(
    (status = 200, body = PaymentFound),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn confirm_payment(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Answer<PaymentFound>, ApiError> {
    let mut payment = find(&app, &caller, &id).await?;
    if !payment.status.is_at_rest() && payment.status != Status::Queued {
        let before = payment.asked_at;
        let mut hints = app.db().bus().follow(&payment.order_id);
        app.db()
            .write(async |txn| {
                let earliest = ConfirmPayment::earliest(&payment, txn.now().await?);
                jobs::enqueue_urgently(txn, &ConfirmPayment::of(&payment.id), earliest).await
            })
            .await?;
        payment = wait(&app, payment, &mut hints, |payment| {
            payment.status.is_at_rest() || payment.asked_at != before
        })
        .await?;
    }
    Ok(Answer(PaymentFound { payment: views::Payment::of(payment, caller.reader(), app.now()) }))
}

/// The QR code of a native payment, as SVG.
#[utoipa::path(get, path = "/v1/payments/{id}/qr.svg",
    params(("id" = String, Path), ("client_secret" = Option<String>, Query)),
    responses(
        (status = 200, content_type = "image/svg+xml"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show_qr(
    State(app): State<App>,
    CallerByUrl(caller): CallerByUrl,
    Segment(id): Segment,
) -> Result<Response, ApiError> {
    let payment = find(&app, &caller, &id).await?;
    let shown = views::Payment::of(payment, caller.reader(), app.now());
    let code_url = shown.code_url.ok_or(ApiError::QrNotAvailable)?;
    let qr = fast_qr::QRBuilder::new(code_url)
        .ecl(fast_qr::ECL::M)
        .build()
        .map_err(|error| ApiError::Internal(format!("drawing a QR code: {error:?}").into()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    // Four modules of quiet zone, as the standard asks.
    Ok((headers, SvgBuilder::default().margin(4).to_str(&qr)).into_response())
}

/// What is to be opened.
struct Wanted<'a> {
    method: Method,
    app: &'a MerchantApp,
    /// Whether the app was named, or is as good as any other.
    app_matters: bool,
    openid: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn from(asked: &'a CreatePayment, merchant: &'a Merchant) -> Result<Self, ApiError> {
        let openid = match (asked.method, asked.openid.as_deref()) {
            (Method::Native, None) => None,
            (Method::Native, Some(_)) => {
                return Err(ApiError::invalid("/openid", "is for mini_program only"));
            }
            (Method::MiniProgram, None | Some("")) => return Err(ApiError::OpenidRequired),
            (Method::MiniProgram, Some(openid)) => Some(openid),
        };
        if openid.is_some_and(|openid| openid.len() > 128 || !openid.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(ApiError::invalid("/openid", "must be at most 128 printable ASCII characters"));
        }
        let app = merchant.app_for(asked.method, asked.app_id.as_deref()).ok_or(ApiError::AppUnknown)?;
        let app_matters = asked.method == Method::MiniProgram || asked.app_id.is_some();
        Ok(Self { method: asked.method, app, app_matters, openid })
    }

    fn is(&self, payment: &payment::Model) -> bool {
        self.method == payment.method
            && (!self.app_matters || self.app.id == payment.app_id)
            && self.openid == payment.openid.as_deref()
    }
}

/// Gives the live payment again, or writes a new one down and asks for it.
async fn open(
    txn: &Txn,
    app: &App,
    merchant: &Merchant,
    order: &OrderId,
    wanted: &Wanted<'_>,
) -> Result<payment::Model, ApiError> {
    // Whoever opens a payment of this order waits here for whoever does so at the same time.
    let order = order::Entity::find_by_id(order.clone()).lock_exclusive().one(txn).await?;
    let mut order = order.ok_or(ApiError::OrderNotFound)?;
    let now = txn.now().await?;
    match order.status {
        order::Status::Pending => {}
        order::Status::Closing | order::Status::Closed => return Err(ApiError::OrderClosed),
        order::Status::Paid | order::Status::PartiallyRefunded | order::Status::Refunded => {
            return Err(ApiError::OrderPaid);
        }
    }
    if order.close_asked_at.is_some() {
        return Err(ApiError::OrderClosed);
    }
    if !order.takes_payments(now) {
        return Err(ApiError::OrderExpired);
    }
    let of_order = || payment::Entity::find().filter(payment::Column::OrderId.eq(order.id.clone()));
    let live = of_order().filter(payment::Column::Status.is_in(Status::NOT_AT_REST)).all(txn).await?;
    let (queued, payable): (Vec<_>, Vec<_>) =
        live.into_iter().partition(|payment| payment.status == Status::Queued);
    // By the schema there is one of each at most.
    let (queued, payable) = (queued.into_iter().next(), payable.into_iter().next());
    if let Some(queued) = queued {
        // Who changes their mind again waits until the change before is through.
        return if wanted.is(&queued) { Ok(queued) } else { Err(ApiError::PaymentInProgress) };
    }
    if let Some(payable) = &payable
        && wanted.is(payable)
        && payable.status != Status::Closing
    {
        if !is_ready(payable, now) {
            let earliest = RequestPrepay::earliest(payable, now);
            jobs::enqueue_urgently(txn, &RequestPrepay::of(&payable.id), earliest).await?;
        }
        return Ok(payable.clone());
    }
    if of_order().count(txn).await? >= PAYMENTS_MAX {
        return Err(ApiError::TooManyPayments(PAYMENTS_MAX));
    }

    let id = PaymentId::generate();
    let out_trade_no = id.out_trade_no(&merchant.out_trade_no_prefix);
    let payment = payment::Model::from(payment::Opened {
        order_id: order.id.clone(),
        merchant: merchant.name.clone(),
        mchid: merchant.mchid.clone(),
        method: wanted.method,
        app_id: wanted.app.id.clone(),
        openid: wanted.openid.map(str::to_owned),
        amount: order.amount,
        request_body: request_body(app, merchant, &order, wanted, &out_trade_no)?,
        out_trade_no,
        is_queued: payable.is_some(),
        at: now,
        id,
    });
    let row = payment::ActiveModel::from(payment.clone());
    payment::Entity::insert(row).exec_without_returning(txn).await?;
    let entry = Entry {
        payment: Some((&payment.id, payment.status)),
        detail: Some(serde_json::json!({ "method": payment.method })),
        ..Entry::of_order(Kind::PaymentCreated, now, Source::Api)
    };
    order_event::append(txn, &mut order, entry, |_| {}).await?;
    if let Some(predecessor) = payable {
        // At most one can be paid: this one is opened when WeChat Pay has closed the one before.
        jobs::enqueue_urgently(txn, &ClosePayment::of(&predecessor.id), now).await?;
    } else {
        jobs::enqueue(txn, &RequestPrepay::of(&payment.id)).await?;
        // From birth to rest there is always somebody who will ask, whatever becomes of the request.
        let first_look = now + ConfirmPayment::FIRST_LOOK;
        jobs::enqueue_at(txn, &ConfirmPayment::of(&payment.id), first_look).await?;
    }
    crash_point!("create_payment.opened");
    Ok(payment)
}

/// The bytes that will go to WeChat Pay, now and at every repetition.
fn request_body(
    app: &App,
    merchant: &Merchant,
    order: &order::Model,
    wanted: &Wanted<'_>,
    out_trade_no: &str,
) -> Result<String, ApiError> {
    let expires = order.expires_at.to_beijing().parse();
    let time_expire = expires.map_err(|error| ApiError::Internal(Box::new(error)))?;
    let body = Order {
        app_id: wanted.app.id.clone(),
        mchid: merchant.mchid.clone(),
        description: order.description.clone(),
        out_trade_no: out_trade_no.to_owned(),
        time_expire: Some(time_expire),
        attach: order.attach.clone(),
        notify_url: merchant.notify_url(&app.settings().public_url),
        goods_tag: None,
        amount_fen: order.amount.0,
        payer_client_ip: None,
    };
    Ok(match wanted.openid {
        Some(openid) => JsapiOrder { order: body, openid: Openid(openid.to_owned()) }.to_body(),
        None => NativeOrder { order: body }.to_body(),
    })
}

/// Reads the payment until it is as wished, or patience ends; then as it is.
async fn wait(
    app: &App,
    mut payment: payment::Model,
    hints: &mut watch::Receiver<()>,
    wished: impl Fn(&payment::Model) -> bool,
) -> Result<payment::Model, ApiError> {
    let end = Instant::now() + PATIENCE;
    while !wished(&payment) && Instant::now() < end {
        let next_read = end.min(Instant::now() + READ_EVERY);
        drop(tokio::time::timeout_at(next_read, hints.changed()).await);
        payment = payment::Entity::find_by_id(payment.id)
            .one(app.db().reader())
            .await?
            .ok_or(ApiError::PaymentNotFound)?;
    }
    Ok(payment)
}

/// Is there nothing to wait for before the payer can act, or need not?
fn is_ready(payment: &payment::Model, now: entity::Timestamp) -> bool {
    match payment.status {
        Status::AwaitingPayment => payment.prepay_expires_at.is_none_or(|end| now < end),
        Status::Closed | Status::Failed | Status::Succeeded => true,
        Status::Queued | Status::Created | Status::Unknown | Status::Closing => false,
    }
}

fn answer(payment: payment::Model, reader: Reader, now: entity::Timestamp) -> Result<Response, ApiError> {
    if payment.status == Status::Failed {
        let code = payment.failure_code.ok_or(ApiError::PaymentNotOpened)?;
        let message = payment.failure_message.filter(|_| reader == Reader::Shop).unwrap_or_default();
        return Err(ApiError::PaymentRefused { code, message });
    }
    let ready = is_ready(&payment, now);
    let location = format!("/v1/payments/{}", payment.id);
    let found = Answer(PaymentFound { payment: views::Payment::of(payment, reader, now) });
    if ready {
        return Ok(found.into_response());
    }
    let headers = [(header::LOCATION, location), (header::RETRY_AFTER, "1".to_owned())];
    Ok((StatusCode::ACCEPTED, headers, found).into_response())
}

/// The payment, if this caller may see its order. Foreign and missing look the same.
async fn find(app: &App, caller: &Caller, id: &str) -> Result<payment::Model, ApiError> {
    let id: PaymentId = id.parse().map_err(|_| ApiError::PaymentNotFound)?;
    let query = payment::Entity::find_by_id(id);
    let query = match caller {
        Caller::Shop(merchant) => query.filter(payment::Column::Merchant.eq(&merchant.name)),
        Caller::Payer(order) => {
            caller.order(app, order.as_str()).await?;
            query.filter(payment::Column::OrderId.eq(order.clone()))
        }
    };
    let found: Result<Option<payment::Model>, DbErr> = query.one(app.db().reader()).await;
    found?.ok_or(ApiError::PaymentNotFound)
}
