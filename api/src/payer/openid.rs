//! A code for an openid: for a page inside WeChat, and for a mini-program.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use entity::{OrderId, oauth_state};
use http::header;
use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    code_hash,
    exchange::{Code, Door, exchange},
    hash, is_code, is_state,
};
use crate::{
    app::{App, AppKind, Merchant},
    caller::{Caller, Payer},
    problem::{ApiError, Problem},
    request::Json,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangeCode {
    /// What came back in the query.
    code: String,
    /// The same.
    state: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    /// The mini-program's; may be left out if the merchant has only one with a secret.
    app_id: Option<String>,
    /// What `wx.login` gave.
    code: String,
}

/// Who the payer is, as that app knows them.
#[derive(Serialize, ToSchema)]
pub(crate) struct PayerKnown {
    app_id: String,
    /// For `POST /v1/orders/{id}/payments` of this order. Keep it no longer than the page lives.
    openid: String,
}

/// Exchange a code for the payer's openid.
///
/// The same code and state give the same answer for ten minutes, however often and to whichever
/// process they are brought. `authorization_expired` asks for one more authorisation,
/// `snapshot_user` for the payer's consent to see the whole page.
#[utoipa::path(post, path = "/v1/wechat/oauth/openid", request_body = ExchangeCode, responses(
    (status = 200, body = PayerKnown),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 429, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn exchange_openid(
    State(app): State<App>,
    Payer(order): Payer,
    Json(ExchangeCode { code, state }): Json<ExchangeCode>,
) -> Result<Response, ApiError> {
    let merchant = merchant_of(&app, &order).await?;
    let row = match is_code(&code) && is_state(&state) {
        true => oauth_state::Entity::find_by_id(state).one(app.db().reader()).await?,
        false => None,
    };
    let row = row.filter(|row| row.order_id == order).ok_or(ApiError::AuthorizationExpired)?;
    let code_hash = code_hash(&row.state, &code);
    // Only what came back to the browser that was sent out is worth an exchange.
    if row.code_hash.as_ref() != Some(&code_hash) || !row.is_fresh(app.db().now().await?) {
        return Err(ApiError::AuthorizationExpired);
    }
    let login = merchant.app(&row.app_id).and_then(|app| app.login.clone()).ok_or(ApiError::AppUnknown)?;
    known(&app, Code { hash: code_hash, order, app: login, door: Door::Web, text: code }).await
}

/// Log a payer in from a mini-program.
///
/// The code of `wx.login` for the payer's openid; the session key does not leave the server. The same
/// code gives the same answer for ten minutes. `authorization_expired` asks for one more `wx.login`.
#[utoipa::path(post, path = "/v1/wechat/mini-program/login", request_body = LogIn, responses(
    (status = 200, body = PayerKnown),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 429, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn log_in_mini_program(
    State(app): State<App>,
    Payer(order): Payer,
    Json(LogIn { app_id, code }): Json<LogIn>,
) -> Result<Response, ApiError> {
    let merchant = merchant_of(&app, &order).await?;
    if !is_code(&code) {
        return Err(ApiError::AuthorizationExpired);
    }
    let mut logins = merchant
        .apps
        .iter()
        .filter(|app| app.kind == AppKind::MiniProgram && app_id.as_ref().is_none_or(|id| *id == app.id))
        .filter_map(|app| app.login.clone());
    let (Some(login), None) = (logins.next(), logins.next()) else {
        return Err(ApiError::AppUnknown);
    };
    let hash = hash(&["login", order.as_str(), &login.app_id, &code]);
    known(&app, Code { hash, order, app: login, door: Door::MiniProgram, text: code }).await
}

async fn known(app: &App, code: Code) -> Result<Response, ApiError> {
    let app_id = code.app.app_id.clone();
    let openid = exchange(app, code).await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Answer(PayerKnown { app_id, openid })).into_response())
}

/// Whose order it is, while it matters who pays it.
async fn merchant_of<'a>(app: &'a App, order: &OrderId) -> Result<&'a Merchant, ApiError> {
    let order = Caller::Payer(order.clone()).order(app, order.as_str()).await?;
    app.merchant(&order.merchant).ok_or(ApiError::OrderNotFound)
}
