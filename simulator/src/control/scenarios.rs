//! Named troubles: listed, started, stopped.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Here, read};
use crate::{payer::ControlError, wechat::Wechat};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/scenarios", get(list_scenarios).post(start_scenario))
        .route("/scenarios/{name}", delete(stop_scenario))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    name: String,
    seed: Option<u64>,
}

async fn list_scenarios(State(wechat): Here) -> Json<Value> {
    Json(json!({"scenarios": wechat.scenarios()}))
}

async fn start_scenario(State(wechat): Here, body: Bytes) -> Result<Response, ControlError> {
    let Start { name, seed } = read(&body)?;
    let seed = wechat.start_scenario(&name, seed)?;
    Ok((StatusCode::CREATED, Json(json!({"name": name, "seed": seed}))).into_response())
}

async fn stop_scenario(State(wechat): Here, Path(name): Path<String>) -> Result<StatusCode, ControlError> {
    wechat.stop_scenario(&name)?;
    Ok(StatusCode::NO_CONTENT)
}
