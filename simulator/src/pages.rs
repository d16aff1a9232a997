//! The pages: the payer's phone, and the list of payments. They talk to `/_sim/` only.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use crate::wechat::Wechat;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// Nothing from elsewhere; a checkout page may show the phone in a frame.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'self'; base-uri 'none'");
/// A mini-program shows a developer's page, from wherever it is.
const MINI_PROGRAM_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'self'; frame-src http: https:; base-uri 'none'");

pub(crate) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/", get(async || page("index.html")))
        .route("/phone", get(async || page("phone.html")))
        .route("/mini-program", get(async || mini_program()))
        // The demo shop's ear: it takes every notification, and asks WeChat Pay itself.
        .route("/demo/notify", post(async || StatusCode::NO_CONTENT))
        .route("/assets/{name}", get(async |Path(name): Path<String>| page(&name)))
}

fn mini_program() -> Response {
    let mut response = page("mini-program.html");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, MINI_PROGRAM_POLICY);
    response
}

pub(crate) fn page(name: &str) -> Response {
    let Some(file) = Assets::get(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = Response::new(Body::from(file.data));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(file.metadata.mimetype()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    restrict(headers);
    response
}

/// What every page of ours is sent with.
pub(crate) fn restrict(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
}
