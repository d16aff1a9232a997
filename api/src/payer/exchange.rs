//! One exchange for a code, whoever brings it, however often, to whichever process.
//!
//! The row is claimed, WeChat is asked with no transaction open, and one compare-and-set write keeps
//! what it said. Whoever comes meanwhile waits a little and reads.

use std::time::Duration;

use entity::{
    Hint, OrderId, Txn,
    code_exchange::{self, Model, Outcome},
    oauth_state, order, order_payer,
};
use sea_orm::{EntityTrait, QuerySelect};
use tokio::time::{Instant, timeout_at};
use wechatpay::openid::{App as Login, OpenidClient, OpenidError};

use super::{HOUR, TRIES_MAX};
use crate::{app::App, problem::ApiError};

/// How long somebody waits for the answer to another's question.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A hint may be lost, or be told in another process.
const READ_EVERY: Duration = Duration::from_millis(200);

/// How often WeChat is asked about one code, if it does not answer or does not look at it.
const ASKED_MAX: i64 = 5;

/// A code that a payer's page or mini-program brings.
pub(super) struct Code {
    /// See [`Model::code_hash`].
    pub hash: String,
    pub order: OrderId,
    pub app: Login,
    pub door: Door,
    pub text: String,
}

/// Where a code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Web,
    MiniProgram,
}

/// Who may ask WeChat.
enum Turn {
    /// We, with this try.
    Ours(i64),
    /// Somebody else is asking.
    Others,
    /// Nobody: it is known what the code was worth.
    Nobody(Model),
}

/// What WeChat said.
enum Said {
    Openid(String),
    No(Outcome),
    /// Nothing that counts: the same code again, later.
    Nothing,
}

/// The openid that the code is worth.
pub(super) async fn exchange(app: &App, code: Code) -> Result<String, ApiError> {
    let mut hints = app.db().bus().follow(&code.order);
    let turn = app.db().write(async |txn| claim(txn, &code).await).await?;
    match turn {
        Turn::Nobody(row) => worth(row).unwrap_or(Err(ApiError::WechatUnavailable)),
        Turn::Ours(tried) => {
            let app = app.clone();
            // A browser that loads the page again hangs up on the first one: the code is spent all the
            // same, so its answer is kept for the second.
            let asking = tokio::spawn(async move { ask_and_keep(&app, &code, tried).await });
            asking.await.map_err(|error| ApiError::Internal(error.into()))?
        }
        Turn::Others => {
            let end = Instant::now() + PATIENCE;
            loop {
                let row = code_exchange::Entity::find_by_id(&code.hash).one(app.db().reader()).await?;
                let row = row.ok_or(ApiError::AuthorizationExpired)?;
                let is_asked = row.claimed_at.is_some();
                if let Some(worth) = worth(row) {
                    return worth;
                }
                if !is_asked || Instant::now() >= end {
                    return Err(ApiError::WechatUnavailable);
                }
                drop(timeout_at(end.min(Instant::now() + READ_EVERY), hints.changed()).await);
            }
        }
    }
}

/// What a code was worth, if that is known.
fn worth(row: Model) -> Option<Result<String, ApiError>> {
    Some(match row.outcome? {
        Outcome::Exchanged => row.openid.ok_or(ApiError::AuthorizationExpired),
        Outcome::SnapshotUser => Err(ApiError::SnapshotUser),
        Outcome::Expired => Err(ApiError::AuthorizationExpired),
        Outcome::Refused => Err(ApiError::PayerRefused),
    })
}

async fn claim(txn: &Txn, code: &Code) -> Result<Turn, ApiError> {
    // Whoever brings a code for this order at the same time waits here.
    let order = order::Entity::find_by_id(code.order.clone()).lock_exclusive().one(txn).await?;
    order.ok_or(ApiError::OrderNotFound)?;
    let now = txn.now().await?;
    let Some(row) = code_exchange::Entity::find_by_id(&code.hash).one(txn).await? else {
        if code_exchange::count_since(txn, &code.order, now - HOUR).await? >= TRIES_MAX {
            return Err(ApiError::TooManyAuthorizations(TRIES_MAX));
        }
        code_exchange::begin(txn, &code.hash, &code.order, &code.app.app_id, now).await?;
        return Ok(Turn::Ours(1));
    };
    if now >= row.created_at + oauth_state::Model::LIFE {
        return Err(ApiError::AuthorizationExpired);
    }
    if row.outcome.is_some() {
        return Ok(Turn::Nobody(row));
    }
    if row.is_claimed(now) {
        return Ok(Turn::Others);
    }
    if row.tries >= ASKED_MAX {
        return Err(ApiError::AuthorizationExpired);
    }
    let is_ours = code_exchange::begin_again(txn, &row, now).await?;
    Ok(if is_ours { Turn::Ours(row.tries + 1) } else { Turn::Others })
}

async fn ask_and_keep(app: &App, code: &Code, tried: i64) -> Result<String, ApiError> {
    let said = ask(&app.settings().openids, code).await;
    let (outcome, openid) = match &said {
        Said::Openid(openid) => (Some(Outcome::Exchanged), Some(openid.as_str())),
        Said::No(outcome) => (Some(*outcome), None),
        Said::Nothing => (None, None),
    };
    let row = app
        .db()
        .write(async |txn| {
            if code_exchange::end(txn, &code.hash, tried, outcome, openid).await? {
                if let Some(openid) = openid {
                    let now = txn.now().await?;
                    order_payer::add(txn, &code.order, &code.app.app_id, openid, now).await?;
                }
                txn.after_commit(Hint::Order(code.order.clone())).await;
            }
            code_exchange::Entity::find_by_id(&code.hash).one(txn).await
        })
        .await?;
    row.and_then(worth).unwrap_or(Err(ApiError::WechatUnavailable))
}

async fn ask(openids: &OpenidClient, code: &Code) -> Said {
    let asked = match code.door {
        Door::Web => openids.web_authorization(&code.app, &code.text).await.map(|found| {
            if found.is_snapshot() { Said::No(Outcome::SnapshotUser) } else { Said::Openid(found.openid.0) }
        }),
        // The session key is dropped here.
        Door::MiniProgram => openids
            .mini_program_session(&code.app, &code.text)
            .await
            .map(|session| Said::Openid(session.openid.0)),
    };
    let said = asked.unwrap_or_else(|error| heard(&error, &code.app.app_id));
    let outcome = match &said {
        Said::Openid(_) => "exchanged",
        Said::No(Outcome::SnapshotUser) => "snapshot_user",
        Said::No(Outcome::Refused) => "refused",
        Said::No(_) => "expired",
        Said::Nothing => "unavailable",
    };
    metrics::counter!("everpaid_openid_exchanges_total", "door" => code.door.word(), "outcome" => outcome)
        .increment(1);
    said
}

/// What an error means. WeChat's own words stay out of the log: they are not ours to vouch for.
fn heard(error: &OpenidError, app_id: &str) -> Said {
    match error {
        OpenidError::Definite(said) if said.is_code_spent() => Said::No(Outcome::Expired),
        OpenidError::Definite(said) if said.is_configuration() => {
            tracing::error!(
                app_id,
                errcode = said.code,
                "WeChat does not know the app, its secret or our address"
            );
            Said::Nothing
        }
        OpenidError::Definite(said) => {
            tracing::warn!(app_id, errcode = said.code, "WeChat refused to say who a payer is");
            Said::No(Outcome::Refused)
        }
        // The code may be spent; if it is, WeChat says so the next time.
        OpenidError::NotDelivered { .. } | OpenidError::Refused(_) | OpenidError::Unknown { .. } => {
            tracing::warn!(app_id, %error, "WeChat did not say who a payer is");
            Said::Nothing
        }
    }
}

impl Door {
    fn word(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::MiniProgram => "mini_program",
        }
    }
}
