//! The simulator's clock: stepped, scaled, frozen.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Here, read};
use crate::{
    clock::{check_scale, rfc3339},
    payer::ControlError,
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new().route("/clock", get(show_clock).post(change_clock))
}

/// `frozen` or `scale`, and `advance_seconds` after them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    advance_seconds: Option<u32>,
    scale: Option<f64>,
    frozen: Option<bool>,
}

async fn show_clock(State(wechat): Here) -> Json<Value> {
    Json(clock_json(&wechat))
}

async fn change_clock(State(wechat): Here, body: Bytes) -> Answer<Value> {
    let Change { advance_seconds, scale, frozen } = read(&body)?;
    if let Some(scale) = scale {
        check_scale(scale)?;
    }
    match (advance_seconds, scale, frozen) {
        (None, None, None) => {
            return Err(ControlError::Invalid("say advance_seconds, scale or frozen".into()));
        }
        (_, Some(_), Some(_)) => {
            return Err(ControlError::Invalid("say either scale or frozen".into()));
        }
        _ => {}
    }
    wechat
        .set_clock(|clock| {
            if let Some(scale) = scale {
                clock.scale(scale);
            }
            if let Some(frozen) = frozen {
                clock.freeze(frozen);
            }
            if let Some(seconds) = advance_seconds {
                clock.advance(i64::from(seconds) * 1000);
            }
        })
        .await?;
    Ok(Json(clock_json(&wechat)))
}

fn clock_json(wechat: &Wechat) -> Value {
    let (now_ms, ahead_ms) = wechat.clock.reading();
    let rate = wechat.clock.pace().rate();
    json!({
        "now": rfc3339(now_ms),
        "now_ms": now_ms,
        "offset_seconds": ahead_ms / 1000,
        "scale": rate,
        "frozen": rate == 0.0,
    })
}
