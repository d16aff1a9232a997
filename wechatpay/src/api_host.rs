//! WeChat's host for apps, `api.weixin.qq.com` in earnest: it knows no signature, wants secrets and tokens
//! in the query, and answers its errors with status 200. No error, log or `Debug` here contains a URL.

use std::fmt;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{ConfigError, base_url, is_loopback, told};

const CONNECT_TIME_OUT: Duration = Duration::from_secs(1);
const ANSWER_TIME_OUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Clones share its connections.
#[derive(Clone)]
pub(crate) struct ApiHost {
    http: reqwest::Client,
    base_url: String,
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing reached WeChat: no address, no connection, no TLS.
    NotDelivered { cause: String },
    /// It may have been acted on without our hearing of it.
    Unknown { cause: String },
    /// An `errcode`.
    Said(Said),
}

/// WeChat's own words about an error; they come with HTTP status 200.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("errcode {code}")]
pub struct Said {
    /// `errcode`.
    pub code: i64,
    /// For people; it changes without notice and ends in numbers for WeChat's support.
    pub message: String,
}

impl Said {
    /// The app or its secret is wrong, or this machine is not on the app's list of addresses: a
    /// matter for the operator.
    pub fn is_configuration(&self) -> bool {
        matches!(self.code, 40001 | 40013 | 40125 | 40164 | 41002 | 41004)
    }
}

impl ApiHost {
    pub(crate) fn new(base_url_text: &str) -> Result<Self, ConfigError> {
        let mut base = base_url_text.to_owned();
        let url = base_url(&mut base)?;
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME_OUT)
            .timeout(ANSWER_TIME_OUT)
            // Another address would be told the secret.
            .redirect(Policy::none())
            .retry(reqwest::retry::never());
        if url.scheme() == "http" {
            http = http.tls_certs_only([]);
        }
        if is_loopback(&url) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| ConfigError::Http(error.to_string()))?;
        Ok(Self { http, base_url: base })
    }

    /// Asks; `target` is path and query.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        let request = self.http.get(self.url(target)?);
        hear(request).await
    }

    /// Tells something in JSON.
    pub(crate) async fn post<T: DeserializeOwned>(&self, target: &str, json: String) -> Result<T, Failure> {
        let request = self.http.post(self.url(target)?).header("Content-Type", "application/json").body(json);
        hear(request).await
    }

    fn url(&self, target: &str) -> Result<Url, Failure> {
        let not_an_address = |_| Failure::NotDelivered { cause: "not an address".to_owned() };
        Url::parse(&format!("{}{target}", self.base_url)).map_err(not_an_address)
    }
}

impl fmt::Debug for ApiHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base_url)
    }
}

async fn hear<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Failure> {
    let mut response = request.send().await.map_err(network_error)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network_error)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Failure::Unknown { cause: format!("status {status} with a body too large") });
        }
        body.extend_from_slice(&chunk);
    }
    judge(status, &body)
}

/// What an answer means. The content type says nothing: it is `text/plain`.
pub(crate) fn judge<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, Failure> {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        errcode: i64,
        #[serde(default)]
        errmsg: String,
    }
    let unreadable = || Failure::Unknown { cause: format!("status {status} with an unreadable body") };
    if status != 200 {
        return Err(unreadable());
    }
    let said: Refusal = serde_json::from_slice(body).map_err(|_| unreadable())?;
    match said.errcode {
        0 => serde_json::from_slice(body).map_err(|_| unreadable()),
        code => Err(Failure::Said(Said { code, message: said.errmsg.chars().take(512).collect() })),
    }
}

fn network_error(error: reqwest::Error) -> Failure {
    if error.is_connect() {
        Failure::NotDelivered { cause: told(error) }
    } else {
        Failure::Unknown { cause: told(error) }
    }
}
