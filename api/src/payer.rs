//! Who pays inside WeChat: the way through its authorisation page and back, the exchange of a code
//! for an openid, and the login of a mini-program.
//!
//! An openid that was exchanged here is worth something for one order and one app. It is in two
//! answers to the payer's own browser, and in no address, log, error or metric.

pub(crate) mod authorize;
pub(crate) mod auth_jump;
pub(crate) mod openid;
mod exchange;
mod browser;

use std::time::Duration;

use entity::OrderId;
use sha2::{Digest, Sha256};

use crate::app::App;

/// How many authorisations an order may begin in an hour, and how many codes may be brought for it. Inside WeChat
/// whoever opens an order's page begins one, and a link may be sent to a chat of many.
const TRIES_MAX: u64 = 100;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What stands for the order's client secret in a stored address.
const SECRETS_PLACE: &str = "{client_secret}";

/// The address of the order's checkout page.
fn checkout_url(app: &App, order: &OrderId) -> String {
    let settings = app.settings();
    settings.checkout_url(&settings.link_keys.client_secret(order))
}

/// The SHA-256 of some texts, in hex. None of them has a line end in it.
fn hash(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(parts.join("\n")))
}

/// What a code of the authorisation page is known by: it belongs to its state.
fn code_hash(state: &str, code: &str) -> String {
    hash(&["oauth", state, code])
}

/// Can it be one of our states?
fn is_state(text: &str) -> bool {
    text.len() == browser::LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Is it what WeChat calls a code? They have 32 characters today.
fn is_code(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
