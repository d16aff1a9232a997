//! What goes wrong, on request.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Here, read};
use crate::{faults::Fault, payer::ControlError, wechat::Wechat};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
}

async fn list_faults(State(wechat): Here) -> Json<Value> {
    Json(json!({"faults": wechat.faults.active()}))
}

async fn add_fault(State(wechat): Here, body: Bytes) -> Result<Response, ControlError> {
    let fault: Fault = read(&body)?;
    let id = wechat.faults.add(fault)?;
    Ok((StatusCode::CREATED, Json(json!({"id": id}))).into_response())
}

async fn clear_faults(State(wechat): Here) -> StatusCode {
    wechat.faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(wechat): Here, Path(id): Path<String>) -> Result<StatusCode, ControlError> {
    if id.parse().is_ok_and(|id| wechat.faults.remove(id)) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::NotFound(format!("no fault {id}")))
    }
}
