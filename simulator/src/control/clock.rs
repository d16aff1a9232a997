//! The simulator's clock, moved by hand.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Here, read};
use crate::{clock::rfc3339, wechat::Wechat};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new().route("/clock", get(show_clock).post(advance_clock))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u32,
}

async fn show_clock(State(wechat): Here) -> Json<Value> {
    Json(clock_json(&wechat))
}

async fn advance_clock(State(wechat): Here, body: Bytes) -> Answer<Value> {
    let advance: Advance = read(&body)?;
    wechat.advance_clock(i64::from(advance.advance_seconds) * 1000).await?;
    Ok(Json(clock_json(&wechat)))
}

fn clock_json(wechat: &Wechat) -> Value {
    let now = wechat.now();
    json!({
        "now": rfc3339(now),
        "now_ms": now,
        "offset_seconds": wechat.clock.offset_ms() / 1000,
    })
}
