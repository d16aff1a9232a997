//! The payer's page. Looking at it has no effect.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use entity::order;
use http::{HeaderName, HeaderValue, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use sea_orm::EntityTrait;

use crate::{app::App, notice::Notice, problem::ApiError, request::Segment};

#[derive(RustEmbed)]
#[folder = "../checkout"]
#[include = "*.html"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
#[exclude = "tests/*"]
struct Files;

/// Nothing from elsewhere. The three schemes are for the bridge that WeChat puts into pages.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     frame-src weixin: weixinping: weixinpreinject:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /pay/{client_secret}`
pub(crate) async fn page(State(app): State<App>, Segment(secret): Segment) -> Result<Response, Notice> {
    let order = match app.settings().link_keys.order(&secret) {
        Some(id) => order::Entity::find_by_id(id).one(app.db().reader()).await?,
        None => None,
    };
    let merchant = order.as_ref().and_then(|order| app.merchant(&order.merchant));
    let (Some(order), Some(merchant)) = (&order, merchant) else {
        return Err(Notice::LinkNotValid);
    };
    let page = text("index.html")
        .replace("{{order_id}}", order.id.as_str())
        .replace("{{merchant_name}}", &escape(&merchant.display_name))
        .replace("{{app_id}}", merchant.official_account().map_or("", |app| &app.id))
        .replace("{{simulator_url}}", &escape(app.settings().simulator_url.as_deref().unwrap_or_default()));
    Ok((headers(), page).into_response())
}

/// `GET /checkout/{file}`
pub(crate) async fn asset(Segment(name): Segment) -> Result<Response, ApiError> {
    let file = Files::get(&name).filter(|_| !name.ends_with(".html")).ok_or(ApiError::NoSuchRoute)?;
    let kind = HeaderValue::from_str(file.metadata.mimetype()).map_err(|_| ApiError::NoSuchRoute)?;
    // The page names its modules without a version, so they are asked for each time.
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, file.data.into_owned()).into_response())
}

pub(crate) fn headers() -> [(HeaderName, HeaderValue); 5] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // The address of this page is a secret.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]
}

pub(crate) fn text(name: &str) -> String {
    let data = Files::get(name).map_or_else(Default::default, |EmbeddedFile { data, .. }| data);
    String::from_utf8_lossy(&data).into_owned()
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
