//! Reading a request strictly: unknown fields are refused, and what is wrong is said with its place.

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::{StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;

use crate::{app::App, problem::ApiError};

/// The largest body of a shop or a payer, in bytes.
pub(crate) const BODY_MAX: usize = 64 * 1024;

/// A JSON body.
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let body = Bytes::from_request(request, app).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::BodyTooLarge(BODY_MAX)
            } else {
                ApiError::InvalidRequest { pointer: None, detail: "the body could not be read".to_owned() }
            }
        })?;
        let mut json = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let pointer = pointer(error.path());
            ApiError::InvalidRequest { pointer, detail: without_place(&error.into_inner()) }
        })?;
        json.end().map_err(|error| ApiError::InvalidRequest { pointer: None, detail: error.to_string() })?;
        Ok(Self(value))
    }
}

/// The query of a URL.
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let query = axum::extract::Query::try_from_uri(&parts.uri)
            .map_err(|rejection| ApiError::InvalidRequest { pointer: None, detail: rejection.body_text() })?;
        Ok(Self(query.0))
    }
}

/// The one variable part of a path.
pub(crate) struct Segment(pub String);

impl FromRequestParts<App> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // What is not even text is the address of nothing.
        let path = axum::extract::Path::from_request_parts(parts, app).await;
        path.map(|axum::extract::Path(part)| Self(part)).map_err(|_| ApiError::NoSuchRoute)
    }
}

fn pointer(path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } => pointer += &format!("/{key}"),
            Segment::Seq { index } => pointer += &format!("/{index}"),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    (!pointer.is_empty()).then_some(pointer)
}

/// serde_json's message, which never repeats more than the offending value.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.is_syntax() || error.is_eof() { format!("not JSON: {text}") } else { text }
}
