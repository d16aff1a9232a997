//! The people who can hold the simulated phone.
//!
//! A person has another openid at every app, and always the same one there: it is computed, not
//! kept.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::COOKIE};
use serde::Serialize;
use sha2::{Digest, Sha256};

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Payer {
    /// What pages and tests call this person.
    pub id: &'static str,
    pub name: &'static str,
    pub english_name: &'static str,
}

/// The first one is meant when nobody says who.
pub(crate) const PAYERS: [Payer; 3] = [
    Payer { id: "xiaoming", name: "小明", english_name: "Xiao Ming" },
    Payer { id: "xiaohong", name: "小红", english_name: "Xiao Hong" },
    Payer { id: "xiaohua", name: "小华", english_name: "Xiao Hua" },
];

/// Says who holds the phone in this browser; the pages set it.
const COOKIE_NAME: &str = "simulated_payer";

/// As long as a real openid.
const OPENID_LENGTH: usize = 28;

impl Payer {
    pub(crate) fn first() -> &'static Self {
        &PAYERS[0]
    }

    pub(crate) fn find(id: &str) -> Option<&'static Self> {
        PAYERS.iter().find(|payer| payer.id == id)
    }

    /// Whose openid at this app this is; nobody's when the merchant made it up.
    pub(crate) fn of_openid(openid: &str, appid: &str) -> Option<&'static Self> {
        PAYERS.iter().find(|payer| payer.openid(appid) == openid)
    }

    /// Who holds the phone in the browser that sent these headers.
    pub(crate) fn in_browser(headers: &HeaderMap) -> &'static Self {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE_NAME)
            .find_map(|(_, id)| Self::find(id))
            .unwrap_or_else(Self::first)
    }

    pub(crate) fn openid(&self, appid: &str) -> String {
        self.number("openid", appid)
    }

    /// The same at every app of one owner; here everything has one owner.
    pub(crate) fn unionid(&self) -> String {
        self.number("unionid", "")
    }

    fn number(&self, kind: &str, at: &str) -> String {
        let digest = Sha256::digest(format!("{kind}\0{}\0{at}", self.id));
        let mut number = format!("o{}", URL_SAFE_NO_PAD.encode(digest));
        number.truncate(OPENID_LENGTH);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_openid_names_one_person_at_one_app() {
        let at = |appid: &str| PAYERS.each_ref().map(|payer| payer.openid(appid));
        let (here, there) = (at("wx1"), at("wx2"));
        assert_eq!(here, at("wx1"));
        assert!(here.iter().all(|openid| openid.len() == OPENID_LENGTH && !there.contains(openid)));
        assert_ne!(here[0], here[1]);
        assert_eq!(Payer::of_openid(&here[1], "wx1").map(|payer| payer.id), Some("xiaohong"));
        assert_eq!(Payer::of_openid(&here[1], "wx2"), None);
    }

    #[test]
    fn a_cookie_says_who_holds_the_phone() {
        for (cookie, id) in [
            ("simulated_payer=xiaohong", "xiaohong"),
            ("a=b; simulated_payer=xiaohong; c", "xiaohong"),
            ("simulated_payer=nobody", "xiaoming"),
            ("", "xiaoming"),
        ] {
            let headers = HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
            assert_eq!(Payer::in_browser(&headers).id, id, "{cookie}");
        }
        assert_eq!(Payer::in_browser(&HeaderMap::new()).id, "xiaoming");
    }
}
