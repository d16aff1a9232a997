//! The payer's page. Fetching it has no effect.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use entity::order;
use http::{HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use sea_orm::EntityTrait;
use sha2::{Digest, Sha256};

use crate::{app::App, notice::Notice, problem::ApiError, request::Segment};

#[derive(RustEmbed)]
#[folder = "../checkout"]
#[include = "*.html"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
#[exclude = "mini-program/*"]
#[exclude = "tests/*"]
struct Files;

/// `GET /pay/{client_secret}`
pub(crate) async fn page(State(app): State<App>, Segment(secret): Segment) -> Result<Response, Notice> {
    let order = match app.settings().link_keys.order(&secret) {
        Some(id) => order::Entity::find_by_id(id).one(app.db().reader()).await?,
        None => None,
    };
    let merchant = order.as_ref().and_then(|order| app.merchant(&order.merchant));
    let Some(merchant) = merchant else { return Err(Notice::LinkNotValid) };
    Ok(html(
        "index.html",
        &[
            ("merchant_name", &escape(&merchant.display_name)),
            ("app_id", merchant.official_account().map_or("", |app| &app.id)),
            ("simulator_url", &escape(app.settings().simulator_url.as_deref().unwrap_or_default())),
        ],
    ))
}

/// `GET /checkout/{version}/{file}`
pub(crate) async fn asset(path: Option<Path<(String, String)>>) -> Result<Response, ApiError> {
    let Path((asked, name)) = path.ok_or(ApiError::NoSuchRoute)?;
    let file = file(&name).ok_or(ApiError::NoSuchRoute)?;
    let kind = HeaderValue::from_str(file.metadata.mimetype()).map_err(|_| ApiError::NoSuchRoute)?;
    // While several processes are being replaced, a page of one may ask another for its parts: better
    // those of the other than none, but nobody is to keep them under this name.
    let kept = if asked == version() { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, file.data).into_response())
}

/// `GET /checkout/{file}`: the address for pages of shops, which know no version.
pub(crate) async fn newest(Segment(name): Segment) -> Result<Response, ApiError> {
    file(&name).ok_or(ApiError::NoSuchRoute)?;
    let location =
        HeaderValue::from_str(&format!("{}/{name}", assets())).map_err(|_| ApiError::NoSuchRoute)?;
    let headers =
        [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
}

fn file(name: &str) -> Option<EmbeddedFile> {
    Files::get(name).filter(|_| !name.ends_with(".html"))
}

/// The address of the parts, which changes with any of them, so that a browser never asks twice.
fn assets() -> String {
    format!("/checkout/{}", version())
}

fn version() -> String {
    let parts = Files::iter().filter_map(|name| file(&name).map(|file| (name, file.metadata.sha256_hash())));
    let all =
        parts.fold(Sha256::new(), |all, (name, hash)| all.chain_update(name.as_bytes()).chain_update(hash));
    hex::encode(&all.finalize()[..8])
}

/// A page with its style in it, so that one answer is enough for the first paint. `values` fill the
/// places in the file, and must be escaped.
pub(crate) fn html(name: &str, values: &[(&str, &str)]) -> Response {
    let style = text("style.css");
    let policy = policy(&STANDARD.encode(Sha256::digest(&style)));
    let page = text(name).replace("{{style}}", &style).replace("{{assets}}", &assets());
    let page =
        values.iter().fold(page, |page, (place, value)| page.replace(&format!("{{{{{place}}}}}"), value));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, policy),
        // The address of this page is a secret.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, page).into_response()
}

/// Nothing from elsewhere, and no style but this one. The three schemes are for the bridge that WeChat
/// puts into pages.
fn policy(style_hash: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'sha256-{style_hash}'; img-src 'self'; connect-src 'self'; \
         frame-src weixin: weixinping: weixinpreinject:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // It is ASCII.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

fn text(name: &str) -> String {
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
