//! The way out: a visit that ends at WeChat's authorisation page.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use entity::{OrderId, Txn, oauth_state, order};
use http::{HeaderValue, StatusCode, header};
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait, QuerySelect};
use serde::Deserialize;
use url::Url;
use utoipa::IntoParams;
use wechatpay::openid::{self, Scope};

use super::{HOUR, SECRETS_PLACE, TRIES_MAX, browser, checkout_url};
use crate::{
    app::{App, Merchant, MerchantApp},
    notice::Notice,
    problem::ApiError,
    request::Query,
};

const RETURN_TO_MAX: usize = 1024;

#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Authorize {
    /// The order's.
    client_secret: String,
    /// Where the payer is sent with `code` and `state`: the checkout page, if it is left out;
    /// otherwise a page of this server or of an origin in the merchant's `origins`, at most 1024
    /// characters.
    return_to: Option<String>,
}

/// Ask WeChat who the payer is.
///
/// A visit, not a call: the payer's browser inside WeChat goes to WeChat's authorisation page, which
/// asks nothing (`snsapi_base`), and comes to `return_to` with `code` and `state` in the query, which
/// are good for `POST /v1/wechat/oauth/openid` within ten minutes. The cookie that this answer sets
/// must come back with them. What goes wrong is said on a page for the payer. At most 100 in an hour
/// for an order.
#[utoipa::path(get, path = "/v1/wechat/oauth/authorize", params(Authorize), responses(
    (status = 303, description = "To WeChat's authorisation page"),
    (status = 400, content_type = "text/html", description = "return_to is not allowed"),
    (status = 404, content_type = "text/html", description = "The client secret opens no order, or its status only"),
    (status = 409, content_type = "text/html", description = "The merchant has no service account with a secret"),
    (status = 429, content_type = "text/html", description = "Too many for this order"),
))]
pub(crate) async fn authorize_payer(
    State(app): State<App>,
    asked: Result<Query<Authorize>, ApiError>,
) -> Result<Response, Notice> {
    let Query(asked) = asked.map_err(|_| Notice::LinkNotValid)?;
    let settings = app.settings();
    let order = settings.link_keys.order(&asked.client_secret).ok_or(Notice::LinkNotValid)?;
    let order = order::Entity::find_by_id(order).one(app.db().reader()).await?;
    let order = order.filter(|order| !order.shows_status_only(app.now())).ok_or(Notice::LinkNotValid)?;
    let merchant = app.merchant(&order.merchant).ok_or(Notice::LinkNotValid)?;
    let target = target(&app, merchant, &asked).ok_or(Notice::ReturnNotAllowed)?;
    let checkout = || checkout_url(&app, &order.id);
    let account =
        merchant.official_account().ok_or_else(|| Notice::CannotAuthorize { checkout: checkout() })?;

    let (state, said) = (browser::random(), browser::random());
    let begun = app.db().write(async |txn| begin(txn, &order.id, account, &target, &state, &said).await);
    if !begun.await? {
        return Err(Notice::TooMany { checkout: checkout() });
    }
    let redirect_uri = format!("{}/wechat/auth-jump", settings.public_url);
    let location = openid::authorize_url(&settings.open_url, &account.id, &redirect_uri, Scope::Base, &state);
    let cookie = browser::set_cookie(&state, &said, &settings.public_url);
    elsewhere(&location, cookie).ok_or(Notice::Trouble)
}

/// Writes the authorisation down; false if there were too many before it.
async fn begin(
    txn: &Txn,
    order: &OrderId,
    account: &MerchantApp,
    target: &str,
    state: &str,
    said: &str,
) -> Result<bool, DbErr> {
    // Whoever counts those of this order at the same time waits here.
    order::Entity::find_by_id(order.clone()).lock_exclusive().one(txn).await?;
    let now = txn.now().await?;
    if oauth_state::count_since(txn, order, now - HOUR).await? >= TRIES_MAX {
        return Ok(false);
    }
    let row = oauth_state::ActiveModel {
        state: Set(state.to_owned()),
        order_id: Set(order.clone()),
        app_id: Set(account.id.clone()),
        target: Set(target.to_owned()),
        browser_hash: Set(browser::browser_hash(said)),
        code_hash: Set(None),
        created_at: Set(now),
    };
    oauth_state::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(true)
}

/// Where the payer is sent in the end, without the client secret, which is stored nowhere. `None` for
/// a place that is not allowed.
fn target(app: &App, merchant: &Merchant, asked: &Authorize) -> Option<String> {
    let settings = app.settings();
    let Some(return_to) = &asked.return_to else {
        return Some(settings.checkout_url(SECRETS_PLACE));
    };
    // Read as browsers read it: a sloppier reading would see another host than they do.
    let mut url = Url::parse(return_to).ok().filter(|_| return_to.len() <= RETURN_TO_MAX)?;
    let own = Url::parse(&settings.public_url).ok().map(|url| url.origin());
    // A `blob:` address has the origin of the page that made it.
    let is_a_page = matches!(url.scheme(), "http" | "https");
    let is_plain = url.username().is_empty() && url.password().is_none();
    let origin = url.origin();
    // Our own doors are no pages: through these the payer would only go round in circles.
    let is_own_door = url.path().starts_with("/wechat/") || url.path().starts_with("/v1/");
    let is_allowed = match own.as_ref() == Some(&origin) {
        true => !is_own_door,
        false => merchant.origins.iter().any(|allowed| *allowed == origin.ascii_serialization()),
    };
    if !(is_a_page && is_plain && is_allowed) {
        return None;
    }
    drop_answers(&mut url);
    Some(String::from(url).replace(&asked.client_secret, SECRETS_PLACE))
}

/// Takes the answer of an authorisation before this one out of the query.
fn drop_answers(url: &mut Url) {
    let is_answer = |name: &str| matches!(name, "code" | "state");
    if url.query_pairs().any(|(name, _)| is_answer(&name)) {
        let rest: Vec<_> = url.query_pairs().into_owned().filter(|(name, _)| !is_answer(name)).collect();
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
    }
}

/// Sends a browser on; neither this address nor its answer is to be kept or passed on.
pub(super) fn elsewhere(location: &str, cookie: Option<HeaderValue>) -> Option<Response> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(location).ok()?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    Some(response)
}
