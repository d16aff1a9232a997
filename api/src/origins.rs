//! Which pages of shops may call the api from a browser (CORS): those on the merchants' lists.
//!
//! Nothing is decided by an origin but what a browser lets a page read: who asks is known by what
//! they send, and no cookie is among it.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::AppSettings;

/// How long a browser remembers the answer.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

pub(crate) fn allowed(settings: &AppSettings) -> CorsLayer {
    let origins = settings.merchants.iter().flat_map(|merchant| &merchant.origins);
    let origins = origins.filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("last-event-id"),
        ])
        // A page counts down by our clock, not by the payer's.
        .expose_headers([
            header::DATE,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(REMEMBERED)
}
