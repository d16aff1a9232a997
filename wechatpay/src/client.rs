//! The calls themselves: one signed request and its verified answer, and when to try once more.
//!
//! The client repeats a call only where that is safe and at once useful; anything slower is the
//! caller's, who can remember across a restart.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Deserialize;

use crate::bill::{BillFile, BillRequest};
use crate::notification::Resource;
use crate::refund::Refund;
use crate::trust::{SignatureHeaders, VerifyError};
use crate::{ApiV3Key, Cause, Error, Merchant, Transaction, TrustedKeys, sign};

use answer::Answer;
use breaker::{Breakers, Pass, Verdict};
pub use config::{
    Call, Config, ConfigError, Created, Host, Observer, Patience, Product, Switched, unobserved,
};
use target::{address, sent_target};
pub(crate) use target::{base_url, encoded, is_loopback};

mod config;

mod target;

mod answer;

mod breaker;

#[cfg(test)]
mod tests;

const CONNECT_TIME_OUT: Duration = Duration::from_secs(1);
const ANSWER_TIME_OUT: Duration = Duration::from_secs(5);
/// Shorter than what servers and firewalls usually keep a quiet connection for: a request on a
/// connection that is already closed is lost with an unknown outcome.
const POOL_IDLE_TIME_OUT: Duration = Duration::from_secs(20);
const POOL_IDLE_CONNECTIONS_MAX: usize = 64;
/// No answer of WeChat's comes near it; a body without end must not fill our memory.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// A row of a bill is some 300 bytes long, so this is a day of more than a million payments.
const FILE_BYTES_MAX: usize = 512 * 1024 * 1024;
const FILE_TIME_OUT: Duration = Duration::from_secs(60);

const REFUNDS: &str = "/v3/refund/domestic/refunds";

/// A client for one merchant. Clones share its connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    config: Config,
    breakers: Breakers,
}

/// One request, whoever it is tried with.
struct Request<'a, T> {
    operation: &'static str,
    method: Method,
    /// Path and query as they are signed and sent.
    target: String,
    body: Bytes,
    /// Keys that open the certificate which may have signed the very answer that brings it.
    sealed_with: &'a [ApiV3Key],
    read: Read<'a, T>,
    repeat: Repeat,
    kind: Kind,
}

/// What the head of an answer said, whatever became of the rest.
#[derive(Default)]
struct Seen {
    status: Option<u16>,
    date: Option<i64>,
}

/// Makes the result of a verified body.
type Read<'a, T> = Box<dyn Fn(Vec<u8>) -> Result<T, Error> + Send + Sync + 'a>;

/// What is peculiar about a request.
enum Kind {
    Usual,
    /// A refusal that may yet turn out to have been taken.
    Refund,
    /// A file at this scheme and host, whose answer nobody signs.
    File(String),
}

/// Where a second try goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    SameHost,
    /// If there is one.
    OtherHost,
}

/// When a second try at once is right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Somebody waits, and WeChat takes identical orders twice: also when there is no answer.
    Eagerly,
    /// Asking changes nothing: also when the answer is not verified, but not when WeChat is slow.
    AsQuestion,
    /// After a network failure only.
    Carefully,
    /// When nothing reached WeChat.
    WhenUndelivered,
}

impl Client {
    /// Prepares a client; connects to nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`] for a base URL that is more than scheme and host, and when the HTTP
    /// client cannot start, for instance without root certificates on the machine.
    pub fn new(mut config: Config) -> Result<Self, ConfigError> {
        let mut urls = vec![base_url(&mut config.base_url)?];
        if let Some(backup) = &mut config.backup_url {
            urls.push(base_url(backup)?);
        }
        let mut http = reqwest::Client::builder()
            .user_agent(&config.user_agent)
            .connect_timeout(CONNECT_TIME_OUT)
            .pool_idle_timeout(POOL_IDLE_TIME_OUT)
            .pool_max_idle_per_host(POOL_IDLE_CONNECTIONS_MAX)
            // A signature is for one address, and an answer from elsewhere is not WeChat's.
            .redirect(Policy::none())
            // Every try is signed afresh and told to the observer, so it must be ours.
            .retry(reqwest::retry::never())
            // With HTTP/2 all calls would share one connection and its death; here a time-out
            // drops its own connection, and the next try makes a new one.
            .http1_only();
        if urls.iter().all(|url| url.scheme() == "http") {
            // A simulator needs no root certificates, so neither does the machine it runs on.
            http = http.tls_certs_only([]);
        }
        if urls.iter().any(is_loopback) {
            // A proxy from the environment does not know our loopback.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| ConfigError::Http(error.to_string()))?;
        Ok(Self(Arc::new(Inner { http, config, breakers: Breakers::new() })))
    }

    /// Makes an order with `body`, the JSON of [`order`](crate::order). `out_trade_no` is the
    /// number in it, for the logs.
    ///
    /// When the first try is not delivered, not answered in time or answered without a good
    /// signature, the same bytes go out once more at once, with a new signature; to the other
    /// host if it was the network that failed.
    ///
    /// # Errors
    /// The error of the second try, if there was one, with what the first may have done in mind:
    /// [`Error::Unknown`] rather than `NotDelivered` or `Refused`, and
    /// [`earlier_unanswered`](crate::ApiError::earlier_unanswered) in a definite refusal.
    pub async fn create(
        &self,
        product: Product,
        out_trade_no: &str,
        body: &str,
        patience: Patience,
    ) -> Result<Created, Error> {
        let (operation, target, read): (_, _, Read<'_, Created>) = match product {
            Product::Jsapi => (
                "create_jsapi",
                "/v3/pay/transactions/jsapi",
                Box::new(|body| Ok(Created::PrepayId(read::<Jsapi>(&body)?.prepay_id))),
            ),
            Product::Native => (
                "create_native",
                "/v3/pay/transactions/native",
                Box::new(|body| Ok(Created::CodeUrl(read::<Native>(&body)?.code_url))),
            ),
        };
        let request = Request {
            operation,
            method: Method::POST,
            target: target.to_owned(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            sealed_with: &[],
            read,
            repeat: Repeat::Eagerly,
            kind: Kind::Usual,
        };
        self.send(&request, out_trade_no, patience).await
    }

    /// Asks for an order by the merchant's number.
    ///
    /// # Errors
    /// `Definite` with [`is_order_not_found`](crate::ApiError::is_order_not_found) when WeChat
    /// has no such order; the rest see [`Error`].
    pub async fn query_by_out_trade_no(&self, out_trade_no: &str) -> Result<Transaction, Error> {
        let path = format!("/v3/pay/transactions/out-trade-no/{}", encoded(out_trade_no));
        let is_asked = |found: &Transaction| is_absent_or(&found.out_trade_no, out_trade_no);
        self.query("query_by_out_trade_no", &path, out_trade_no, is_asked).await
    }

    /// Asks for a paid order by WeChat's number.
    ///
    /// # Errors
    /// As for [`query_by_out_trade_no`](Self::query_by_out_trade_no).
    pub async fn query_by_transaction_id(&self, transaction_id: &str) -> Result<Transaction, Error> {
        let path = format!("/v3/pay/transactions/id/{}", encoded(transaction_id));
        let is_asked = |found: &Transaction| is_absent_or(&found.transaction_id, transaction_id);
        self.query("query_by_transaction_id", &path, transaction_id, is_asked).await
    }

    async fn query(
        &self,
        operation: &'static str,
        path: &str,
        number: &str,
        is_asked: impl Fn(&Transaction) -> bool + Send + Sync,
    ) -> Result<Transaction, Error> {
        let mchid = &self.0.config.merchant.mchid;
        let request = Request {
            operation,
            method: Method::GET,
            target: format!("{path}?mchid={}", encoded(mchid)),
            body: Bytes::new(),
            sealed_with: &[],
            read: Box::new(move |body| {
                let found: Transaction = read(&body)?;
                // The signature covers the answer but not the question: something in between
                // could hand us the answer to another one.
                if is_asked(&found) && is_absent_or(&found.mchid, mchid) {
                    Ok(found)
                } else {
                    Err(Cause::OtherOrder.into())
                }
            }),
            repeat: Repeat::AsQuestion,
            kind: Kind::Usual,
        };
        self.send(&request, number, usual_patience()).await
    }

    /// Closes an unpaid order. A closed one may be closed again.
    ///
    /// # Errors
    /// `Definite` with [`says_paid_used_or_closed`](crate::ApiError::says_paid_used_or_closed)
    /// when it is paid; the rest see [`Error`].
    pub async fn close(&self, out_trade_no: &str) -> Result<(), Error> {
        let body = serde_json::json!({ "mchid": self.0.config.merchant.mchid }).to_string();
        let request = Request {
            operation: "close",
            method: Method::POST,
            target: format!("/v3/pay/transactions/out-trade-no/{}/close", encoded(out_trade_no)),
            body: Bytes::from(body),
            sealed_with: &[],
            read: Box::new(|_| Ok(())),
            repeat: Repeat::Carefully,
            kind: Kind::Usual,
        };
        self.send(&request, out_trade_no, usual_patience()).await
    }

    /// Asks for a refund with `body`, the JSON of [`RefundOrder`](crate::refund::RefundOrder).
    /// `out_refund_no` is the number in it.
    ///
    /// An answer means that it was taken in, not that the money is back. The same number refunds
    /// once, however often it is sent.
    ///
    /// # Errors
    /// `Definite` when WeChat says no. Everything but that and `NotDelivered` is
    /// [`Error::Unknown`], a 429 or a 500 too: [`query_refund`](Self::query_refund) tells, and
    /// when it finds nothing, the same bytes may be sent again.
    pub async fn refund(&self, out_refund_no: &str, body: &str) -> Result<Refund, Error> {
        let request = Request {
            operation: "refund",
            method: Method::POST,
            target: REFUNDS.to_owned(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            sealed_with: &[],
            read: Box::new(|body| read_refund(&body, out_refund_no)),
            repeat: Repeat::WhenUndelivered,
            kind: Kind::Refund,
        };
        self.send(&request, out_refund_no, usual_patience()).await
    }

    /// Asks for a refund by the merchant's number.
    ///
    /// # Errors
    /// `Definite` with [`is_resource_not_found`](crate::ApiError::is_resource_not_found) when
    /// WeChat has no such refund; the rest see [`Error`].
    pub async fn query_refund(&self, out_refund_no: &str) -> Result<Refund, Error> {
        let request = Request {
            operation: "query_refund",
            method: Method::GET,
            target: format!("{REFUNDS}/{}", encoded(out_refund_no)),
            body: Bytes::new(),
            sealed_with: &[],
            read: Box::new(|body| read_refund(&body, out_refund_no)),
            repeat: Repeat::AsQuestion,
            kind: Kind::Usual,
        };
        self.send(&request, out_refund_no, usual_patience()).await
    }

    /// Asks where the trade bill of a day is.
    ///
    /// # Errors
    /// `Definite` with [`is_bill_empty`](crate::ApiError::is_bill_empty) when nothing happened on
    /// that day, with [`is_bill_late`](crate::ApiError::is_bill_late) when it is being written;
    /// the rest see [`Error`].
    pub async fn trade_bill(&self, bill: &BillRequest) -> Result<BillFile, Error> {
        let request = Request {
            operation: "trade_bill",
            method: Method::GET,
            target: bill.target(),
            body: Bytes::new(),
            sealed_with: &[],
            read: Box::new(|body| read(&body)),
            repeat: Repeat::AsQuestion,
            kind: Kind::Usual,
        };
        self.send(&request, "", usual_patience()).await
    }

    /// Downloads a bill, at once, because its address is good for five minutes, and hands out the
    /// uncompressed text for [`TradeBill::parse`](crate::bill::TradeBill::parse).
    ///
    /// WeChat does not sign files: what is downloaded must have the hash that `file`, which was
    /// signed, promises. The request goes to the host that `file` names.
    ///
    /// # Errors
    /// `Unknown` with [`Cause::HashDiffers`] for a file that is not the promised one; `Definite`
    /// when the address is too old, and a new one is needed; the rest see [`Error`].
    pub async fn download_bill(&self, file: &BillFile) -> Result<Vec<u8>, Error> {
        let (base, target) = address(&file.download_url).ok_or(Cause::Unusable)?;
        let request = Request {
            operation: "download_bill",
            method: Method::GET,
            target: target.to_owned(),
            body: Bytes::new(),
            sealed_with: &[],
            read: Box::new(|body| Ok(file.opened(body, FILE_BYTES_MAX)?)),
            repeat: Repeat::AsQuestion,
            kind: Kind::File(base.to_owned()),
        };
        self.send(&request, "", Patience { first: FILE_TIME_OUT, again: FILE_TIME_OUT }).await
    }

    /// Downloads the platform certificates as PEM, for
    /// [`TrustedKeys::replace_certificates`]. At least every twelve hours
    /// (WeChat Pay documentation, 平台证书); merchants with a public key need none.
    ///
    /// The answer may be signed by a certificate that it brings. That one is believed because
    /// only WeChat and the merchant know the key that sealed it.
    ///
    /// # Errors
    /// `Definite` when WeChat has no certificate for this merchant; the rest see [`Error`].
    pub async fn certificates(&self, keys: &[ApiV3Key]) -> Result<Vec<String>, Error> {
        let request = Request {
            operation: "certificates",
            method: Method::GET,
            target: "/v3/certificates".to_owned(),
            body: Bytes::new(),
            sealed_with: keys,
            read: Box::new(|body| opened_certificates(&body, keys)),
            repeat: Repeat::AsQuestion,
            kind: Kind::Usual,
        };
        self.send(&request, "", usual_patience()).await
    }

    /// The merchant this client asks for.
    pub fn merchant(&self) -> &Merchant {
        &self.0.config.merchant
    }

    /// The keys this client believes.
    pub fn trusted_keys(&self) -> &TrustedKeys {
        &self.0.config.trusted_keys
    }

    /// One try, and a second one at once where that is right.
    async fn send<T>(&self, request: &Request<'_, T>, number: &str, patience: Patience) -> Result<T, Error> {
        let hosts = self.hosts_from(Host::Primary);
        let mut pass = self.pass(request, hosts);
        if pass.is_none() {
            self.0.breakers.found_out(hosts).await;
            pass = self.pass(request, hosts);
        }
        let Some(pass) = pass else {
            return Err(Error::NotDelivered { cause: "not tried: no host has answered lately".to_owned() });
        };
        let first_host = pass.host();
        let first = match self.attempt(request, pass, patience.first).await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        let hosts = match again(&first, request.repeat) {
            None => return Err(first),
            Some(Again::SameHost) => self.hosts_from(first_host),
            Some(Again::OtherHost) => self.hosts_from(first_host.other()),
        };
        let Some(pass) = self.pass(request, hosts) else {
            return Err(first);
        };
        tracing::info!(
            operation = request.operation,
            number,
            host = pass.host().as_str(),
            reason = first.reason(),
            "trying once more"
        );
        self.attempt(request, pass, patience.again).await.map_err(|second| match request.repeat {
            // Nothing can have happened twice, so the last word counts.
            Repeat::AsQuestion => second,
            Repeat::Eagerly | Repeat::Carefully | Repeat::WhenUndelivered => first.followed_by(second),
        })
    }

    /// The hosts there are, beginning with that one.
    fn hosts_from(&self, first: Host) -> &'static [Host] {
        match (first, &self.0.config.backup_url) {
            (_, None) => &[Host::Primary],
            (Host::Primary, Some(_)) => &[Host::Primary, Host::Backup],
            (Host::Backup, Some(_)) => &[Host::Backup, Host::Primary],
        }
    }

    fn pass<T>(&self, request: &Request<'_, T>, hosts: &[Host]) -> Option<Pass<'_>> {
        match request.kind {
            // It comes from a host of its own.
            Kind::File(_) => Some(Pass::unguarded(hosts[0])),
            Kind::Usual | Kind::Refund => self.0.breakers.pass(hosts, self.now()),
        }
    }

    async fn attempt<T>(
        &self,
        request: &Request<'_, T>,
        pass: Pass<'_>,
        time_out: Duration,
    ) -> Result<T, Error> {
        let (started, host) = (Instant::now(), pass.host());
        let mut seen = Seen::default();
        let result = self.exchange(request, host, time_out, &mut seen).await;
        let error = result.as_ref().err();
        let switched = pass.end(Verdict::of(error, time_out), self.now());
        match switched {
            Some(Switched::Open) => {
                tracing::warn!(host = host.as_str(), "WeChat Pay does not answer; this host rests");
            }
            Some(Switched::Closed) => tracing::info!(host = host.as_str(), "WeChat Pay answers again"),
            None => {}
        }
        (self.0.config.observer)(&Call {
            operation: request.operation,
            host,
            outcome: error.map_or("ok", Error::reason),
            status: seen.status,
            date: seen.date,
            duration: started.elapsed(),
            switched,
        });
        result
    }

    fn now(&self) -> i64 {
        (self.0.config.environment.now)()
    }

    /// Signs, sends, verifies, reads.
    async fn exchange<T>(
        &self,
        request: &Request<'_, T>,
        host: Host,
        time_out: Duration,
        seen: &mut Seen,
    ) -> Result<T, Error> {
        let url = self.url(host, request)?;
        let authorization = self.authorization(request).await?;
        let mut builder = self
            .0
            .http
            .request(request.method.clone(), url)
            .timeout(time_out)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, authorization);
        if !request.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json").body(request.body.clone());
        }
        if let Some(serial) = self.0.config.trusted_keys.preferred_serial() {
            builder = builder.header("Wechatpay-Serial", serial);
        }
        let response = builder.send().await.map_err(network_error)?;
        *seen = Seen { status: Some(response.status().as_u16()), date: date_of(response.headers()) };
        let body = match &request.kind {
            Kind::File(_) => {
                let answer = received(response, FILE_BYTES_MAX).await?;
                if answer.status == 200 { answer.body } else { self.judge(answer, request)? }
            }
            Kind::Usual => self.judge(received(response, BODY_BYTES_MAX).await?, request)?,
            Kind::Refund => {
                let judged = self.judge(received(response, BODY_BYTES_MAX).await?, request);
                judged.map_err(Error::in_doubt)?
            }
        };
        (request.read)(body)
    }

    fn judge<T>(&self, answer: Answer, request: &Request<'_, T>) -> Result<Vec<u8>, Error> {
        answer.judge(|headers, body| self.verify(headers, body, request.sealed_with))
    }

    fn url<T>(&self, host: Host, request: &Request<'_, T>) -> Result<Url, Error> {
        let Config { base_url, backup_url, .. } = &self.0.config;
        let base = match (&request.kind, host) {
            (Kind::File(base), _) => base,
            (_, Host::Primary) => base_url,
            (_, Host::Backup) => backup_url.as_ref().unwrap_or(base_url),
        };
        let target = request.target.as_str();
        let url = Url::parse(&format!("{base}{target}")).ok();
        // What is sent must be what is signed: a number like `..` would be resolved away.
        url.filter(|url| sent_target(url) == target)
            .ok_or_else(|| Error::Unsendable { cause: "a number that cannot stand in a path".to_owned() })
    }

    /// A signature takes as long as hundreds of async steps, so it goes to a blocking thread.
    async fn authorization<T>(&self, request: &Request<'_, T>) -> Result<HeaderValue, Error> {
        let inner = Arc::clone(&self.0);
        let (method, target, body) = (request.method.clone(), request.target.clone(), request.body.clone());
        let signed = tokio::task::spawn_blocking(move || {
            let Config { merchant, environment, .. } = &inner.config;
            sign::authorization(merchant, method.as_str(), &target, &body, environment)
        })
        .await
        .map_err(|_| Error::NotDelivered { cause: "the program is shutting down".to_owned() })?
        .map_err(|error| Error::Unsendable { cause: error.to_string() })?;
        let mut header = HeaderValue::try_from(signed).map_err(|_| Error::Unsendable {
            cause: "mchid or serial cannot stand in a header".to_owned(),
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn verify(&self, headers: &SignatureHeaders, body: &[u8], sealed_with: &[ApiV3Key]) -> Result<(), Error> {
        let (trusted_keys, now) = (&self.0.config.trusted_keys, self.now());
        let verdict = match trusted_keys.verify(headers, body, now) {
            Err(VerifyError::UnknownSerial(_)) if !sealed_with.is_empty() => {
                let delivered = TrustedKeys::new();
                delivered
                    .replace_certificates(opened_certificates(body, sealed_with)?)
                    .map_err(|_| Cause::Unusable)?;
                delivered.verify(headers, body, now)
            }
            verdict => verdict,
        };
        verdict.map_err(|error| Cause::Unverified(error).into())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { base_url, backup_url, merchant, .. } = &self.0.config;
        f.debug_struct("Client")
            .field("base_url", base_url)
            .field("backup_url", backup_url)
            .field("mchid", &merchant.mchid)
            .finish_non_exhaustive()
    }
}

fn again(error: &Error, repeat: Repeat) -> Option<Again> {
    match (error, repeat) {
        (Error::Unknown { .. }, Repeat::WhenUndelivered) => None,
        (Error::NotDelivered { .. } | Error::Unknown { cause: Cause::ConnectionLost { .. } }, _) => {
            Some(Again::OtherHost)
        }
        (Error::Unknown { cause: Cause::TimedOut }, Repeat::Eagerly)
        | (Error::Unknown { cause: Cause::Unverified(_) }, Repeat::Eagerly | Repeat::AsQuestion) => {
            Some(Again::SameHost)
        }
        _ => None,
    }
}

fn date_of(headers: &HeaderMap) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn usual_patience() -> Patience {
    Patience { first: ANSWER_TIME_OUT, again: ANSWER_TIME_OUT }
}

/// Reads the body to its end, but not further than `bytes_max`.
async fn received(mut response: reqwest::Response, bytes_max: usize) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network_error)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Cause::Unreadable { status }.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

fn network_error(error: reqwest::Error) -> Error {
    // Connecting comes first: a time-out while connecting has delivered nothing.
    if error.is_connect() {
        return Error::NotDelivered { cause: told(error) };
    }
    if error.is_timeout() {
        return Cause::TimedOut.into();
    }
    if error.is_builder() {
        return Error::Unsendable { cause: told(error) };
    }
    Cause::ConnectionLost { detail: told(error) }.into()
}

/// The error with its causes, without the URL, which carries numbers and secrets.
pub(crate) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[derive(Deserialize)]
struct Jsapi {
    prepay_id: String,
}

#[derive(Deserialize)]
struct Native {
    code_url: String,
}

#[derive(Deserialize)]
struct Certificates {
    data: Vec<SealedCertificate>,
}

#[derive(Deserialize)]
struct SealedCertificate {
    encrypt_certificate: Resource,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| Cause::Unusable.into())
}

fn read_refund(body: &[u8], out_refund_no: &str) -> Result<Refund, Error> {
    let found: Refund = read(body)?;
    if found.out_refund_no == out_refund_no { Ok(found) } else { Err(Cause::OtherOrder.into()) }
}

fn opened_certificates(body: &[u8], keys: &[ApiV3Key]) -> Result<Vec<String>, Error> {
    let sealed: Certificates = read(body)?;
    if sealed.data.is_empty() {
        // Taken at its word it would make us forget every certificate.
        return Err(Cause::Unusable.into());
    }
    sealed
        .data
        .iter()
        .map(|certificate| {
            let pem = certificate.encrypt_certificate.decrypt(keys).map_err(Cause::Sealed)?;
            String::from_utf8(pem).map_err(|_| Cause::Unusable.into())
        })
        .collect()
}

fn is_absent_or(found: &Option<String>, asked: &str) -> bool {
    found.as_deref().is_none_or(|found| found == asked)
}
