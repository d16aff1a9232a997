//! Is this process alive, and should it be sent requests?

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use sea_orm::DbErr;
use serde_json::json;
use tokio::time::timeout;

use crate::app::App;

/// A database that hangs is away: whoever asks is to hear it within two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);

/// `GET /livez`: it answers, so it lives.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when the database answers and has the schema that this process was built for, and
/// this machine's clock is one that WeChat Pay would believe.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let (database, schema) = match timeout(PATIENCE, ask(&app)).await {
        Err(_) | Ok(Err(_)) => ("unreachable", "unknown"),
        Ok(Ok(false)) => ("ok", "migrations pending"),
        Ok(Ok(true)) => ("ok", "ok"),
    };
    let clock = if app.clocks().is_off() { "off" } else { "ok" };
    let ready = [database, schema, clock] == ["ok"; 3] && !app.ending().leaving.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "database": database, "schema": schema, "clock": clock })))
        .into_response()
}

/// Is the schema up to date? On the way, what time is it there?
async fn ask(app: &App) -> Result<bool, DbErr> {
    app.clocks().database_says(app.db().now().await?);
    Ok(migration::pending(app.db().reader()).await?.is_empty())
}

/// `GET /openapi.json`
pub(crate) async fn openapi(document: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], document).into_response()
}
