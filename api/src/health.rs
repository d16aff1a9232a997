//! Is this process alive, and should it be sent requests?

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use migration::{Migrator, MigratorTrait};
use serde_json::json;
use tokio::time::timeout;

use crate::app::App;

/// A database that hangs is away: whoever asks is to hear it within two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);

/// `GET /livez`: it answers, so it lives.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when the database answers and has the schema that this process was built for.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let pending = Migrator::get_pending_migrations_read_only(app.db().reader());
    let (status, database, schema) = match timeout(PATIENCE, pending).await {
        Err(_) | Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, "unreachable", "unknown"),
        Ok(Ok(pending)) if !pending.is_empty() => {
            (StatusCode::SERVICE_UNAVAILABLE, "ok", "migrations pending")
        }
        Ok(Ok(_)) if app.ending().leaving.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "ok", "ok"),
        Ok(Ok(_)) => (StatusCode::OK, "ok", "ok"),
    };
    let ready = status == StatusCode::OK;
    (status, Json(json!({ "ready": ready, "database": database, "schema": schema }))).into_response()
}

/// `GET /openapi.json`
pub(crate) async fn openapi(document: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], document).into_response()
}
