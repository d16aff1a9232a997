//! Is this process alive, and should it be sent requests?

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use migration::{Migrator, MigratorTrait};
use serde_json::json;

use crate::app::App;

/// `GET /livez`: it answers, so it lives.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when the database answers and has the schema that this process was built for.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let pending = Migrator::get_pending_migrations_read_only(app.db().reader()).await;
    let (status, database, schema) = match &pending {
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unreachable", "unknown"),
        Ok(pending) if !pending.is_empty() => (StatusCode::SERVICE_UNAVAILABLE, "ok", "migrations pending"),
        Ok(_) if app.stopping().is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "ok", "ok"),
        Ok(_) => (StatusCode::OK, "ok", "ok"),
    };
    let ready = status == StatusCode::OK;
    (status, Json(json!({ "ready": ready, "database": database, "schema": schema }))).into_response()
}

/// `GET /openapi.json`
pub(crate) async fn openapi(document: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], document).into_response()
}
