//! What WeChat Pay tells us: verified, written down, and only then acknowledged.
//!
//! Nothing is decrypted here and nobody is called: the answer must be quick whatever the rest of
//! the world does.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use entity::{
    NotificationId, Timestamp,
    notification::{self, Verdict},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use wechatpay::{SignatureHeaders, VerifyError};

use crate::{app::App, intake::NotTaken, request::Segment};

/// The headers that belong to the signature, kept with the bytes they sign.
const KEPT_HEADERS: [&str; 5] = [
    "wechatpay-serial",
    "wechatpay-timestamp",
    "wechatpay-nonce",
    "wechatpay-signature",
    "wechatpay-signature-type",
];

/// How many rejected notifications an operator can look back on.
const REJECTED_KEPT: usize = 200;

/// Why a notification was not taken. WeChat Pay sends it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no such merchant")]
    UnknownMerchant,
    #[error("too large")]
    TooLarge,
    #[error("unreadable")]
    Unreadable,
    #[error("signature not verified: {0}")]
    NotVerified(#[from] VerifyError),
    #[error("not stored")]
    NotTaken(#[from] NotTaken),
}

/// A notification that was rejected, as far as an operator should see it.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the operator's console reads it")]
pub(crate) struct RejectedNotification {
    pub at: Timestamp,
    pub merchant: String,
    pub reason: &'static str,
}

/// The newest rejected notifications, in memory only: a forger must not fill a disk.
#[derive(Debug, Default)]
pub(crate) struct Rejected(Mutex<VecDeque<RejectedNotification>>);

/// Only what is needed to recognise it.
#[derive(Deserialize)]
struct Recognised {
    id: String,
}

/// `POST /v1/wechat/notifications/{merchant}`: 204 after the commit, `FAIL` otherwise.
pub(crate) async fn receive(
    State(app): State<App>,
    Segment(merchant): Segment,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let taken = take(&app, &merchant, &headers, body).await;
    let verdict = match &taken {
        Ok(()) => "accepted",
        Err(refusal) => refusal.reason(),
    };
    metrics::counter!("everpaid_notifications_total", "verdict" => verdict).increment(1);
    match taken {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => {
            app.rejected().remember(RejectedNotification {
                at: app.now(),
                merchant,
                reason: refusal.reason(),
            });
            refusal.into_response()
        }
    }
}

async fn take(
    app: &App,
    merchant: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), Refusal> {
    let merchant = app.merchant(merchant).ok_or(Refusal::UnknownMerchant)?;
    let body = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Refusal::TooLarge
        } else {
            Refusal::Unreadable
        }
    })?;
    let now = app.now();
    let signature = SignatureHeaders::from_map(headers)?;
    merchant.trusted_keys.verify(&signature, &body, now.unix_seconds())?;

    let kept: serde_json::Map<_, _> = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), json!(headers.get(*name)?.to_str().ok()?))))
        .collect();
    let notification = notification::Model {
        id: NotificationId::generate(),
        merchant: merchant.name.clone(),
        wechat_id: recognise(&body),
        headers: serde_json::Value::Object(kept).to_string(),
        body: body.to_vec(),
        received_at: now,
        verdict: Verdict::Received,
        reason: None,
        settled_at: None,
        order_id: None,
    };
    Ok(app.intake().take(notification).await?)
}

/// WeChat Pay's id of it. It is signed, so it is kept even if it makes no sense: then the bytes
/// themselves are what it is known by.
fn recognise(body: &[u8]) -> String {
    match serde_json::from_slice::<Recognised>(body) {
        Ok(Recognised { id }) if !id.is_empty() && id.len() <= 128 => id,
        _ => format!("sha256:{}", hex::encode(Sha256::digest(body))),
    }
}

impl Refusal {
    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownMerchant => "unknown_merchant",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::NotVerified(error) => error.reason(),
            Self::NotTaken(NotTaken::Full) => "busy",
            Self::NotTaken(NotTaken::NotStored) => "not_stored",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownMerchant => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::NotVerified(_) => StatusCode::UNAUTHORIZED,
            Self::NotTaken(NotTaken::Full) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotTaken(NotTaken::NotStored) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // The reason is a word of ours; nothing that was sent comes back.
        (self.status(), Json(json!({ "code": "FAIL", "message": self.reason() }))).into_response()
    }
}

impl Rejected {
    fn remember(&self, rejected: RejectedNotification) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == REJECTED_KEPT {
            newest.pop_front();
        }
        newest.push_back(rejected);
    }
}
