//! Every route, grouped by who calls.
//!
//! To add an endpoint: a handler with its `utoipa::path` beside its kin, its line here, and
//! `UPDATE_GOLDEN=1 cargo test -p api` to see `openapi.json` change.

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tower_http::{compression::CompressionLayer, timeout::RequestBodyTimeoutLayer};
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App, checkout, events, health, intake::BODY_MAX, metrics, notifications, orders, origins, payer,
    payments, problem, refunds, request, shipping, timeline, told,
};

const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "everpaid",
        description = "A self-hosted WeChat Pay backend that never loses an order. Amounts are whole fen, times RFC 3339 in UTC, errors RFC 9457 problem details.",
    ),
    components(schemas(problem::Problem))
)]
struct Description;

/// The public listener.
pub fn router(app: App) -> Router {
    let (described, description) = described().split_for_parts();
    let description = serde_json::to_string_pretty(&description).unwrap_or_default();
    let proofs = app.settings().verify_files.clone();
    let with_proofs = proofs.into_iter().fold(Router::new(), |router, (name, text)| {
        router.route(&format!("/{name}"), get(async move || text))
    });
    described
        // Shops' own pages call these too, and load the page's modules. What is not asked for
        // properly is answered inside the layer, or an OPTIONS would not come through to it.
        .route("/checkout/{file}", get(checkout::newest))
        .route("/checkout/{version}/{file}", get(checkout::asset).layer(CompressionLayer::new()))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(origins::allowed(app.settings()))
        // WeChat Pay. Its own size limit, because a notification may be large.
        .route(
            "/v1/wechat/notifications/{merchant}",
            post(notifications::receive).layer(DefaultBodyLimit::max(BODY_MAX)),
        )
        // The payer's page. Fetching it has no effect: WeChat's scanners fetch links too.
        .route("/pay/{client_secret}", get(checkout::page).layer(CompressionLayer::new()))
        // The payer comes back from WeChat.
        .route("/wechat/auth-jump", get(payer::auth_jump::jump))
        // WeChat looks whose host this is.
        .merge(with_proofs)
        // Operators.
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(move || health::openapi(description.clone())))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .route_layer(middleware::from_fn(metrics::observe))
        .fallback(problem::no_such_route)
        .layer(DefaultBodyLimit::max(request::BODY_MAX))
        // Whoever begins a body and does not go on with it is not waited for.
        .layer(RequestBodyTimeoutLayer::new(BODY_TIMEOUT))
        .layer(middleware::from_fn(problem::render))
        .with_state(app)
}

/// The routes for shops and payers, which are described in `openapi.json`.
fn described() -> OpenApiRouter<App> {
    let mut description = Description::openapi();
    description.webhooks = Some(told::webhooks());
    OpenApiRouter::with_openapi(description)
        // Shops.
        .routes(routes!(orders::create_order, orders::list_orders))
        .routes(routes!(orders::close_order))
        .routes(routes!(refunds::create_refund))
        .routes(routes!(refunds::find_refund))
        .routes(routes!(shipping::ship_order))
        .routes(routes!(timeline::show_timeline))
        .routes(routes!(told::list_events))
        // Payers and shops.
        .routes(routes!(orders::find_order))
        .routes(routes!(payments::create_payment))
        .routes(routes!(payments::find_payment))
        .routes(routes!(payments::confirm_payment))
        .routes(routes!(payments::show_qr))
        .routes(routes!(events::stream_order_events))
        .routes(routes!(payer::authorize::authorize_payer))
        .routes(routes!(payer::openid::exchange_openid))
        .routes(routes!(payer::openid::log_in_mini_program))
}

/// The OpenAPI 3.1 document.
pub fn description() -> OpenApi {
    described().into_openapi()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_openapi_document_is_the_one_that_is_checked_in() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let actual = serde_json::to_string_pretty(&super::description()).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(path).unwrap_or_default();
        assert!(actual == expected, "openapi.json differs; review and run again with UPDATE_GOLDEN=1");
    }
}
