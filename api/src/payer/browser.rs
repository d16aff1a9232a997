//! What tells the browser that began an authorisation from every other one: a cookie for each, so
//! that two tabs do not undo each other.

use entity::oauth_state;
use http::{HeaderMap, HeaderValue, header};
use rand::distr::{Alphanumeric, SampleString};

use super::hash;

/// The length of a state, and of what its cookie says: 190 bits.
pub(super) const LENGTH: usize = 32;

/// That many letters and digits that nobody can guess.
pub(super) fn random() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), LENGTH)
}

/// What is kept of what a cookie says.
pub(super) fn browser_hash(said: &str) -> String {
    hash(&["browser", said])
}

/// Only the way back sees the cookie, and a page that is not ours cannot make the browser send it with
/// anything but a visit.
pub(super) fn set_cookie(state: &str, said: &str, public_url: &str) -> Option<HeaderValue> {
    let secure = if public_url.starts_with("https://") { "; Secure" } else { "" };
    // As long as its state is known: whoever comes too late is still told by the right page.
    let age = oauth_state::Model::KEPT.as_secs();
    let cookie =
        format!("{}={said}; Path=/wechat; Max-Age={age}; HttpOnly; SameSite=Lax{secure}", cookie_name(state));
    let mut value = HeaderValue::from_str(&cookie).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Is this the browser that the authorisation began in?
pub(super) fn is_same(headers: &HeaderMap, row: &oauth_state::Model) -> bool {
    let name = cookie_name(&row.state);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .any(|(its_name, said)| its_name == name && browser_hash(said) == row.browser_hash)
}

fn cookie_name(state: &str) -> String {
    format!("everpaid-{state}")
}
