//! `/_sim/`: the hands of whoever tests against the simulator.
//!
//! Bad input is answered with 4xx and `{"error": …}`, and changes nothing.

mod clock;
mod console;
mod events;
mod faults;
mod ledger;
mod merchants;
mod notifications;
mod payments;
mod phone;
mod refunds;
mod scenarios;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tracing::error;

pub use crate::control::{
    console::Console,
    ledger::{Ledger, LedgerAccount, LedgerPayment, LedgerRefund},
    payments::{PayerTry, Payment, Post, Told},
    refunds::{ConsoleRefund, Refund},
};
use crate::{faults::BadFault, payer::ControlError, store::By, wechat::Wechat};

pub(crate) fn routes(wechat: &Arc<Wechat>) -> Router<Arc<Wechat>> {
    Router::new()
        .merge(merchants::routes())
        .merge(payments::routes())
        .merge(refunds::routes())
        .merge(console::routes())
        .merge(phone::routes())
        .merge(ledger::routes())
        .merge(clock::routes())
        .merge(faults::routes())
        .merge(notifications::routes())
        .merge(events::routes())
        .merge(scenarios::routes())
        .fallback(async || ControlError::NotFound("no such control".into()))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"error": "no such method here"})))
        })
        .layer(middleware::from_fn_with_state(Arc::clone(wechat), tell_of_changes))
}

/// Whatever a control did is shown at once by the pages that are open.
async fn tell_of_changes(State(wechat): Here, request: Request, next: Next) -> Response {
    let only_reads = request.method().is_safe();
    let response = next.run(request).await;
    if !only_reads {
        wechat.changed();
    }
    response
}

type Here = State<Arc<Wechat>>;
type Answer<T> = Result<Json<T>, ControlError>;

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::Invalid(error.to_string()))
}

/// `?limit=`, 50 unless said otherwise.
struct Limit(u64);

const LONGEST_LIST: u64 = 1000;

impl<S: Sync> FromRequestParts<S> for Limit {
    type Rejection = ControlError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ControlError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            limit: Option<u64>,
        }
        let InQuery(asked) = InQuery::<Asked>::from_request_parts(parts, &()).await?;
        match asked.limit.unwrap_or(50) {
            limit @ 1..=LONGEST_LIST => Ok(Self(limit)),
            _ => Err(ControlError::Invalid(format!("limit is 1 to {LONGEST_LIST}"))),
        }
    }
}

/// `?mchid=`, the first merchant unless said otherwise.
struct Whose(String);

impl FromRequestParts<Arc<Wechat>> for Whose {
    type Rejection = ControlError;

    async fn from_request_parts(parts: &mut Parts, wechat: &Arc<Wechat>) -> Result<Self, ControlError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            mchid: Option<String>,
        }
        let InQuery(asked) = InQuery::<Asked>::from_request_parts(parts, &()).await?;
        Ok(Self(asked.mchid.unwrap_or_else(|| wechat.merchants.first().mchid().to_owned())))
    }
}

/// A merchant's own number in the path, with [`Whose`] it is.
struct Numbered {
    mchid: String,
    number: String,
}

impl Numbered {
    fn by(&self) -> By<'_> {
        By::Number(&self.mchid, &self.number)
    }
}

impl FromRequestParts<Arc<Wechat>> for Numbered {
    type Rejection = ControlError;

    async fn from_request_parts(parts: &mut Parts, wechat: &Arc<Wechat>) -> Result<Self, ControlError> {
        let Whose(mchid) = Whose::from_request_parts(parts, wechat).await?;
        let Path(number) = Path::<String>::from_request_parts(parts, wechat)
            .await
            .map_err(|error| ControlError::Invalid(error.body_text()))?;
        Ok(Self { mchid, number })
    }
}

/// The query, refused in our own words.
struct InQuery<T>(T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = ControlError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ControlError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| ControlError::Invalid(error.body_text()))
    }
}

impl From<BadFault> for ControlError {
    fn from(bad: BadFault) -> Self {
        Self::Invalid(bad.to_string())
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::WrongPassword => StatusCode::FORBIDDEN,
            Self::Store(error) => {
                error!(%error, "the store failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Broken(error) => {
                error!(error = format!("{error:#}"), "a control failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}
