//! Who the payer is: an openid for a page inside WeChat, and for a mini-program
//! (WeChat documentation, 网页授权 and 小程序登录).
//!
//! These calls go to another host than the payments, know no signature, and answer their errors
//! with status 200. The app's secret stands in the query, as WeChat wants it: no error, log or
//! `Debug` here contains a URL.
//!
//! A code is good for one call and five minutes. When the outcome of that call is unknown the
//! code may be spent, so the payer is sent through the authorisation once more.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use crate::api_host::Said;
use crate::api_host::{ApiHost, Failure};
use crate::client::{ConfigError, encoded};
use crate::{Openid, text::text};

#[cfg(test)]
mod tests;

/// An app 公众号 or 小程序 with its secret.
#[derive(Clone, Debug)]
pub struct App {
    /// `wx` and 16 more.
    pub app_id: String,
    /// AppSecret, from the app's own console; nothing to do with the merchant's keys.
    pub secret: SecretString,
}

/// How much a page asks of the payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The openid, without a question to the payer: enough to pay.
    Base,
    /// The payer's profile, with a question.
    UserInfo,
}

/// The address to send a browser inside WeChat to; it comes back to `redirect_uri` with `code`
/// and `state` in the query.
///
/// `open_url` is scheme and host, `https://open.weixin.qq.com` in earnest. WeChat takes a `state`
/// of at most 128 letters and digits: use it once, against forged returns, and keep the way back
/// on the server.
pub fn authorize_url(open_url: &str, app_id: &str, redirect_uri: &str, scope: Scope, state: &str) -> String {
    let scope = match scope {
        Scope::Base => "snsapi_base",
        Scope::UserInfo => "snsapi_userinfo",
    };
    let (app_id, redirect_uri, state) = (encoded(app_id), encoded(redirect_uri), encoded(state));
    // WeChat matches the address as a pattern: this order, and the fragment too.
    format!(
        "{}/connect/oauth2/authorize?appid={app_id}&redirect_uri={redirect_uri}&response_type=code\
         &scope={scope}&state={state}#wechat_redirect",
        open_url.trim_end_matches('/'),
    )
}

/// Exchanges codes for openids. Clones share its connections.
#[derive(Clone)]
pub struct OpenidClient {
    host: ApiHost,
}

/// What a page inside WeChat learns of its payer.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct WebAuthorization {
    /// The payer, as this app knows them.
    pub openid: Openid,
    /// `snsapi_base` or `snsapi_userinfo`.
    #[serde(default, deserialize_with = "text")]
    pub scope: Option<String>,
    /// The same person in every app of one owner; with `snsapi_userinfo` only.
    #[serde(default, deserialize_with = "text")]
    pub unionid: Option<String>,
    /// 1 for somebody who only previews the page: not a person who can pay.
    #[serde(default)]
    is_snapshotuser: u8,
}

impl WebAuthorization {
    /// Whether the payer only previews the page; take no payment from them.
    pub fn is_snapshot(&self) -> bool {
        self.is_snapshotuser != 0
    }
}

impl fmt::Debug for WebAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebAuthorization")
            .field("scope", &self.scope)
            .field("is_snapshot", &self.is_snapshot())
            .finish_non_exhaustive()
    }
}

/// What a mini-program's server learns of its payer.
#[derive(Clone, Deserialize)]
pub struct MiniProgramSession {
    /// The payer, as this app knows them.
    pub openid: Openid,
    /// Opens what the mini-program hands over sealed; must never reach it.
    pub session_key: SecretString,
    /// The same person in every app of one owner.
    #[serde(default, deserialize_with = "text")]
    pub unionid: Option<String>,
}

impl fmt::Debug for MiniProgramSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MiniProgramSession(..)")
    }
}

impl OpenidClient {
    /// Prepares a client for `base_url`, scheme and host, `https://api.weixin.qq.com` in earnest;
    /// connects to nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`] for a base URL that is more than scheme and host, and when the HTTP
    /// client cannot start.
    pub fn new(base_url: &str) -> Result<Self, ConfigError> {
        Ok(Self { host: ApiHost::new(base_url)? })
    }

    /// Exchanges the `code` that came back to a page for its payer's openid.
    ///
    /// # Errors
    /// [`OpenidError`]; [`Said::is_code_spent`] when the payer must be authorised again.
    pub async fn web_authorization(&self, app: &App, code: &str) -> Result<WebAuthorization, OpenidError> {
        self.ask("/sns/oauth2/access_token", app, "code", code).await
    }

    /// Exchanges the `code` of `wx.login` for its payer's openid.
    ///
    /// # Errors
    /// As for [`web_authorization`](Self::web_authorization).
    pub async fn mini_program_session(
        &self,
        app: &App,
        js_code: &str,
    ) -> Result<MiniProgramSession, OpenidError> {
        self.ask("/sns/jscode2session", app, "js_code", js_code).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        app: &App,
        code_name: &str,
        code: &str,
    ) -> Result<T, OpenidError> {
        let (app_id, secret, code) =
            (encoded(&app.app_id), encoded(app.secret.expose_secret()), encoded(code));
        let target =
            format!("{path}?appid={app_id}&secret={secret}&{code_name}={code}&grant_type=authorization_code");
        self.host.get(&target).await.map_err(OpenidError::from)
    }
}

impl fmt::Debug for OpenidClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenidClient").field("host", &self.host).finish()
    }
}

impl From<Failure> for OpenidError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotDelivered { cause } => Self::NotDelivered { cause },
            Failure::Unknown { cause } => Self::Unknown { cause },
            Failure::Said(said) if said.is_transient() => Self::Refused(said),
            Failure::Said(said) => Self::Definite(said),
        }
    }
}

/// A code that was not exchanged.
///
/// | variant | what happened | what to do |
/// |---|---|---|
/// | `NotDelivered` | nothing reached WeChat | the same code again |
/// | `Refused` | WeChat is busy, or asked too often | the same code again, once, a little later |
/// | `Unknown` | the code may be spent | authorise the payer again |
/// | `Definite` | WeChat said no | decide by the code |
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenidError {
    /// Nothing reached WeChat: no address, no connection, no TLS.
    #[error("the code was not delivered: {cause}")]
    NotDelivered {
        /// Why.
        cause: String,
    },
    /// WeChat did not look at the code.
    #[error("WeChat did not take the code: {0}")]
    Refused(Said),
    /// WeChat may have taken the code without our hearing what it was good for.
    #[error("the code may be spent: {cause}")]
    Unknown {
        /// Why.
        cause: String,
    },
    /// WeChat's no.
    #[error("WeChat refused the code: {0}")]
    Definite(Said),
}

impl Said {
    /// The code is not WeChat's, too old (40029), or used before (40163). Browsers load a page
    /// twice: look first whether an earlier call with this code had an openid.
    pub fn is_code_spent(&self) -> bool {
        matches!(self.code, 40029 | 40163)
    }

    /// Busy (-1), or this payer's calls of this minute are used up (45011).
    fn is_transient(&self) -> bool {
        matches!(self.code, -1 | 45011)
    }
}
