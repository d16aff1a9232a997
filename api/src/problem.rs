//! Everything a client may be told when something is not as it should be.
//!
//! One variant per thing, with a stable code. The cause of a failure of ours goes to the log once,
//! here, and never to the client.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use sea_orm::DbErr;
use serde::Serialize;
use tracing::Instrument;
use ulid::Ulid;
use utoipa::ToSchema;

/// RFC 9457 problem details.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:everpaid:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// A word to branch on.
    code: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// The JSON pointer to the field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Also in the header `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// May the same request succeed later?
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    wechat: Option<WeChatSaid>,
}

/// What WeChat Pay said about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WeChatSaid {
    pub code: String,
    pub message: String,
}

/// What may be wrong.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{detail}")]
    InvalidRequest { pointer: Option<String>, detail: String },
    #[error("send the body as application/json")]
    UnsupportedMediaType,
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error("send a valid key or client secret as `Authorization: Bearer …`")]
    Unauthorized,
    #[error("this needs a shop's API key; a client secret is not enough")]
    ShopKeyRequired,
    #[error("this is for a payer: send the order's client secret, not a shop's API key")]
    ClientSecretRequired,
    #[error(
        "the order came to rest more than seven days ago; this client secret shows how it stands, no more"
    )]
    StatusOnly,
    #[error("there is no such order")]
    OrderNotFound,
    #[error("there is no such payment")]
    PaymentNotFound,
    #[error("there is no such refund")]
    RefundNotFound,
    #[error("this payment has no QR code now")]
    QrNotAvailable,
    #[error("there is nothing at this address")]
    NoSuchRoute,
    #[error("this address does not take that method")]
    MethodNotAllowed,
    #[error("this merchant_order_no was used for an order with other content: {0} differs")]
    MerchantOrderNoUsed(&'static str),
    #[error("the order's amount is {actual} fen, not {expected}")]
    AmountDiffers { actual: i64, expected: i64 },
    #[error("the order is paid")]
    OrderPaid,
    #[error("the order is closed, or being closed")]
    OrderClosed,
    #[error("the order can no longer be paid: it expires within a minute, or has expired")]
    OrderExpired,
    #[error("another payment of this order is being replaced; try again in a moment")]
    PaymentInProgress,
    #[error("the order has had {0} payments; no more are taken")]
    TooManyPayments(u64),
    #[error("mini_program payments need the payer's openid for the app")]
    OpenidRequired,
    #[error("with a client secret only an openid that was exchanged for this order is taken")]
    OpenidNotVerified,
    #[error("name the app: this merchant has several, or none of that id that would do")]
    AppUnknown,
    #[error("the authorisation or its code is used, too old, or of another order; begin it again")]
    AuthorizationExpired,
    #[error("the payer only previews the page; WeChat says who they are when they open all of it")]
    SnapshotUser,
    #[error("WeChat refused to say who this payer is")]
    PayerRefused,
    #[error("WeChat does not say now who the payer is; bring the same code again in a moment")]
    WechatUnavailable,
    #[error("this order has had {0} authorisations within an hour")]
    TooManyAuthorizations(u64),
    #[error("the payment could not be opened at WeChat Pay; open another")]
    PaymentNotOpened,
    #[error("WeChat Pay refused the payment")]
    PaymentRefused { code: String, message: String },
    #[error("the order is not paid, or all of it went back")]
    OrderNotPaid,
    #[error("this merchant_refund_no was used for a refund with other content: {0} differs")]
    MerchantRefundNoUsed(&'static str),
    #[error("only {left} fen of the payment are left to give back")]
    RefundExceedsPayment { left: i64 },
    #[error("the payment has {0} refunds; WeChat Pay takes no more")]
    TooManyRefunds(usize),
    #[error("the payment is older than 365 days; WeChat Pay gives nothing of it back")]
    RefundTooLate,
    #[error("WeChat wants no shipping for it: the order was not paid in a mini-program with a secret here")]
    ShippingNotTaken,
    #[error("WeChat is being told of other shipping; try again when it has answered")]
    ShippingInProgress,
    #[error("WeChat takes one change of an order's shipping, and it was made")]
    ShippingUsed,
    #[error("too busy; try again")]
    Busy,
    #[error("something went wrong here; the same request again is safe")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    pub(crate) fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::InvalidRequest { pointer: Some(pointer.to_owned()), detail: detail.into() }
    }

    /// Status, code, title, and whether trying again may help.
    fn parts(&self) -> (StatusCode, &'static str, &'static str, bool) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest { .. } => {
                (S::BAD_REQUEST, "invalid_request", "The request is not valid", false)
            }
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body is not JSON", false)
            }
            Self::BodyTooLarge(_) => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large", false),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "Who is asking is not known", false),
            Self::ShopKeyRequired => (S::FORBIDDEN, "shop_key_required", "Only the shop may do this", false),
            Self::ClientSecretRequired => {
                (S::FORBIDDEN, "client_secret_required", "Only a payer may do this", false)
            }
            Self::StatusOnly => (S::FORBIDDEN, "status_only", "Only the status is shown", false),
            Self::OrderNotFound => (S::NOT_FOUND, "order_not_found", "No such order", false),
            Self::PaymentNotFound => (S::NOT_FOUND, "payment_not_found", "No such payment", false),
            Self::RefundNotFound => (S::NOT_FOUND, "refund_not_found", "No such refund", false),
            Self::QrNotAvailable => (S::NOT_FOUND, "qr_not_available", "No QR code", false),
            Self::NoSuchRoute => (S::NOT_FOUND, "no_such_route", "Nothing here", false),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Wrong method", false),
            Self::MerchantOrderNoUsed(_) => {
                (S::CONFLICT, "merchant_order_no_used", "The number is taken", false)
            }
            Self::AmountDiffers { .. } => (S::CONFLICT, "amount_differs", "The amount is another", false),
            Self::OrderPaid => (S::CONFLICT, "order_paid", "The order is paid", false),
            Self::OrderClosed => (S::CONFLICT, "order_closed", "The order is closed", false),
            Self::OrderExpired => (S::CONFLICT, "order_expired", "The order has expired", false),
            Self::PaymentInProgress => {
                (S::CONFLICT, "payment_in_progress", "Another payment is being replaced", true)
            }
            Self::TooManyPayments(_) => (S::CONFLICT, "too_many_payments", "Too many payments", false),
            Self::OpenidRequired => {
                (S::BAD_REQUEST, "openid_required", "The payer's openid is missing", false)
            }
            Self::OpenidNotVerified => {
                (S::FORBIDDEN, "openid_not_verified", "The openid was not exchanged here", false)
            }
            Self::AppUnknown => (S::BAD_REQUEST, "app_unknown", "The app is not known", false),
            Self::AuthorizationExpired => {
                (S::BAD_REQUEST, "authorization_expired", "The authorisation has expired", false)
            }
            Self::SnapshotUser => (S::FORBIDDEN, "snapshot_user", "The payer only previews the page", false),
            Self::PayerRefused => (S::FORBIDDEN, "payer_refused", "WeChat refused the payer", false),
            Self::WechatUnavailable => {
                (S::SERVICE_UNAVAILABLE, "wechat_unavailable", "WeChat does not answer", true)
            }
            Self::TooManyAuthorizations(_) => {
                (S::TOO_MANY_REQUESTS, "too_many_authorizations", "Too many authorisations", true)
            }
            Self::PaymentRefused { .. } => {
                (S::UNPROCESSABLE_ENTITY, "payment_refused", "WeChat Pay refused the payment", false)
            }
            Self::PaymentNotOpened => {
                (S::CONFLICT, "payment_not_opened", "The payment came to nothing", true)
            }
            Self::OrderNotPaid => (S::CONFLICT, "order_not_paid", "The order is not paid", false),
            Self::MerchantRefundNoUsed(_) => {
                (S::CONFLICT, "merchant_refund_no_used", "The number is taken", false)
            }
            Self::RefundExceedsPayment { .. } => {
                (S::CONFLICT, "refund_exceeds_payment", "More than is left", false)
            }
            Self::TooManyRefunds(_) => (S::CONFLICT, "too_many_refunds", "Too many refunds", false),
            Self::RefundTooLate => (S::CONFLICT, "refund_too_late", "The payment is too old", false),
            Self::ShippingNotTaken => {
                (S::CONFLICT, "shipping_not_taken", "No shipping for this order", false)
            }
            Self::ShippingInProgress => {
                (S::CONFLICT, "shipping_in_progress", "WeChat is being told of other shipping", true)
            }
            Self::ShippingUsed => (S::CONFLICT, "shipping_used", "The one change was made", false),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "Too busy", true),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here", true),
        }
    }
}

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, title, retryable) = self.parts();
        let detail = self.to_string();
        let (mut pointer, mut wechat) = (None, None);
        match self {
            Self::InvalidRequest { pointer: at, .. } => pointer = at,
            Self::PaymentRefused { code, message } => wechat = Some(WeChatSaid { code, message }),
            Self::Internal(cause) => tracing::error!(error = %cause, "a request failed"),
            _ => {}
        }
        let mut response = status.into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            // By then those that count are an hour old.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("3600"));
        }
        // Written by `render`, which knows the request's id.
        response.extensions_mut().insert(Problem {
            kind: format!("urn:everpaid:problem:{code}"),
            code,
            title,
            status: status.as_u16(),
            detail,
            pointer,
            request_id: None,
            retryable,
            wechat,
        });
        response
    }
}

/// Gives every request an id, in its log lines, in the answer's header and in a problem's body.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let id = format!("req_{}", Ulid::generate());
    let span = tracing::info_span!("request", request.id = id, method = %request.method());
    let mut response = next.run(request).instrument(span).await;
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.clone());
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        *response.body_mut() = body.into();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

pub(crate) async fn no_such_route() -> ApiError {
    ApiError::NoSuchRoute
}

pub(crate) async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
