//! The way back: WeChat sends the payer here with a code, and from here on to where they came from.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use entity::oauth_state;
use http::HeaderMap;
use sea_orm::EntityTrait;
use url::{Url, form_urlencoded};

use super::{SECRETS_PLACE, authorize::elsewhere, browser, checkout_url, code_hash, is_code, is_state};
use crate::{app::App, notice::Notice};

/// `GET /wechat/auth-jump`
///
/// Nobody is sent anywhere but to the target that was written down when this authorisation began, in
/// this browser: a link with somebody else's code in it must not make a payer that somebody (login
/// CSRF), and no link may make this an open redirect.
pub(crate) async fn jump(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Notice> {
    let (code, state) = answer(query.as_deref().unwrap_or_default()).ok_or(Notice::NotOurs)?;
    let row = oauth_state::Entity::find_by_id(&state).one(app.db().reader()).await?.ok_or(Notice::NotOurs)?;
    // First of all: a state stands in addresses that others see, and must not be worth the order's secret.
    if !browser::is_same(&headers, &row) {
        return Err(Notice::OtherBrowser);
    }
    if !row.is_fresh(app.db().now().await?) {
        return Err(Notice::TooOld { checkout: checkout_url(&app, &row.order_id) });
    }
    let code_hash = code_hash(&state, &code);
    if row.code_hash.as_ref() != Some(&code_hash) {
        app.db().write(async |txn| oauth_state::returned(txn, &state, &code_hash).await).await?;
    }
    let secret = app.settings().link_keys.client_secret(&row.order_id);
    let mut target = Url::parse(&row.target.replace(SECRETS_PLACE, &secret)).map_err(|_| Notice::Trouble)?;
    target.query_pairs_mut().append_pair("code", &code).append_pair("state", &state);
    elsewhere(target.as_str(), None).ok_or(Notice::Trouble)
}

/// The one code and the one state of a query. What else WeChat adds does not matter.
fn answer(query: &str) -> Option<(String, String)> {
    let only = |wanted: &str| {
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted);
        let (_, value) = values.next()?;
        values.next().is_none().then(|| value.into_owned())
    };
    let (code, state) = (only("code")?, only("state")?);
    (is_code(&code) && is_state(&state)).then_some((code, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_code_and_one_state_are_an_answer() {
        let state = "a1".repeat(16);
        let check = |query: &str, is_answer: bool| assert_eq!(answer(query).is_some(), is_answer, "{query}");
        check(&format!("code=0a1B&state={state}"), true);
        check(&format!("state={state}&code=0a1B&from=singlemessage"), true);
        check(&format!("code=&state={state}"), false);
        check(&format!("state={state}"), false);
        check("code=0a1B", false);
        check("", false);
        check(&format!("code=a&code=b&state={state}"), false);
        check(&format!("code=a&state={state}&state={state}"), false);
        check(&format!("code=a%0ab&state={state}"), false);
        check(&format!("code={}&state={state}", "a".repeat(257)), false);
        check(&format!("code=a&state={state}x"), false);
        check(&format!("code=a&state={}", "a1".repeat(65)), false);
        check(&format!("code=a&state={}-", &state[1..]), false);
        check(&format!("code=a&state={}%E5%8D%81", &state[3..]), false);
    }
}
