//! One try to deliver: the POST, and what became of it.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use entity::{EventId, Timestamp};
use reqwest::{Client, ClientBuilder, Response, StatusCode, dns::Resolve, header, redirect};

use super::{
    Endpoint,
    guard::{Blocked, PublicOnly, SystemDns},
    sign::signature,
};

/// How long a try may take in all, from the name's resolution to the last byte of the answer.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// More of an answer is not read.
const ANSWER_MAX: usize = 64 * 1024;

/// More of it is not kept.
const KEPT_MAX: usize = 500;

/// Sends webhooks. Clones share their connections.
#[derive(Clone)]
pub struct Sender {
    /// Connects to public addresses only, and only with https.
    public: Client,
    anywhere: Client,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The same on every try.
    pub id: &'a EventId,
    /// When this try is made; a receiver refuses what is too old.
    pub at: Timestamp,
    pub body: &'a str,
}

/// What became of a try.
#[derive(Clone, Debug)]
pub struct Answer {
    pub outcome: Outcome,
    pub status: Option<u16>,
    /// The beginning of the answer's body, with anything unprintable replaced.
    pub text: Option<String>,
    /// How long the endpoint asks to be left alone.
    pub retry_after: Option<Duration>,
    pub took: Duration,
}

/// A word for what became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// 410: the shop does not want to be told here any more.
    Gone,
    /// 3xx: never followed, because it may lead where we must not go.
    Redirected,
    /// Any other status.
    Rejected,
    TimedOut,
    /// No connection, no TLS, or cut off before an answer.
    Unreachable,
    BlockedAddress,
    /// Nothing was sent: the configuration of this process has no such endpoint.
    NotConfigured,
    /// Nothing was sent: the endpoint is not called any more.
    EndpointDisabled,
}

impl Outcome {
    /// The word, as in `webhook_try` and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Gone => "gone",
            Self::Redirected => "redirected",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::BlockedAddress => "blocked_address",
            Self::NotConfigured => "not_configured",
            Self::EndpointDisabled => "endpoint_disabled",
        }
    }

    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::GONE => Self::Gone,
            status if status.is_success() => Self::Delivered,
            status if status.is_redirection() => Self::Redirected,
            _ => Self::Rejected,
        }
    }
}

impl Answer {
    /// What became of a try that sent nothing.
    pub fn unsent(outcome: Outcome) -> Self {
        Self { outcome, status: None, text: None, retry_after: None, took: Duration::ZERO }
    }
}

impl Sender {
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::with_dns(Arc::new(SystemDns))
    }

    /// With a resolver of somebody else's.
    pub fn with_dns(dns: Arc<dyn Resolve>) -> Result<Self, reqwest::Error> {
        let public = builder().https_only(true).dns_resolver(PublicOnly(dns.clone())).build()?;
        Ok(Self { public, anywhere: builder().dns_resolver(dns).build()? })
    }

    /// Makes one try.
    pub async fn send(&self, endpoint: &Endpoint, message: Message<'_>) -> Answer {
        let started = Instant::now();
        let answer = match endpoint.is_allowed() {
            true => self.post(endpoint, message).await,
            false => Answer::unsent(Outcome::BlockedAddress),
        };
        Answer { took: started.elapsed(), ..answer }
    }

    async fn post(&self, endpoint: &Endpoint, message: Message<'_>) -> Answer {
        let client = if endpoint.allow_private_addresses { &self.anywhere } else { &self.public };
        let sent = client
            .post(endpoint.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id.as_str())
            .header("webhook-timestamp", message.at.unix_seconds())
            .header("webhook-signature", signature(&endpoint.secrets, message.id, message.at, message.body))
            .body(message.body.to_owned())
            .send()
            .await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => {
                // The address may carry a token.
                let error = error.without_url();
                tracing::debug!(endpoint = endpoint.name, error = %chain(&error), "a webhook could not be sent");
                return Answer::unsent(outcome_of(&error));
            }
        };
        let status = response.status();
        let outcome = Outcome::of(status);
        let is_busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let retry_after = response.headers().get(header::RETRY_AFTER).filter(|_| is_busy);
        Answer {
            outcome,
            status: Some(status.as_u16()),
            retry_after: retry_after.and_then(|value| retry_after_of(value.to_str().ok()?, message.at)),
            text: Some(beginning(&mut response).await).filter(|text| !text.is_empty()),
            took: Duration::ZERO,
        }
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("everpaid/", env!("CARGO_PKG_VERSION")))
        // Neither may send it where nobody has looked.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(LIMIT)
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(Duration::from_secs(30))
}

fn outcome_of(error: &reqwest::Error) -> Outcome {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Blocked>() {
            return Outcome::BlockedAddress;
        }
        cause = error.source();
    }
    if error.is_timeout() { Outcome::TimedOut } else { Outcome::Unreachable }
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Reads what came of the answer's body: whatever it is, the status has said what counts.
async fn beginning(response: &mut Response) -> String {
    let (mut read, mut kept) = (0, Vec::new());
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        kept.extend(chunk.iter().take(KEPT_MAX - kept.len()));
        if read >= ANSWER_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&kept);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after_of(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((Timestamp(0) + date).since(now))
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        let check = |value: &str, seconds: Option<u64>| {
            assert_eq!(retry_after_of(value, now), seconds.map(Duration::from_secs), "{value}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 22 Nov 2026 12:10:00 GMT", Some(600));
        check("Sun, 22 Nov 2026 11:00:00 GMT", Some(0));
        check("soon", None);
        check("-5", None);
    }

    #[test]
    fn a_status_is_one_word() {
        let words = [200, 204, 301, 304, 400, 410, 429, 500, 503]
            .map(|code| Outcome::of(StatusCode::from_u16(code).unwrap()).word());
        assert_eq!(
            words,
            [
                "delivered",
                "delivered",
                "redirected",
                "redirected",
                "rejected",
                "gone",
                "rejected",
                "rejected",
                "rejected"
            ]
        );
    }
}
