use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::testing::{
    API_V3_KEY, MERCHANT_KEY, NOW, OTHER_KEY, PUBLIC_KEY_ID, SERIAL, WECHAT_KEY, api_v3_key, environment,
    headers, merchant, sealed, signed,
};
use crate::{ApiError, Environment};

const ORDER: &str = r#"{"description":"咖啡","out_trade_no":"ORDER-0001"}"#;
const PREPAY: &str = r#"{"prepay_id":"wx26112221580621e9b071c00d9e093b0000"}"#;
const ERROR: &str = r#"{"code":"SOME_CODE","message":"文本"}"#;
/// No answer of the stub's takes that long, on however busy a machine.
const PATIENT: Patience = Patience { first: Duration::from_secs(5), again: Duration::from_secs(5) };
/// For a first answer that never comes.
const BRIEF: Patience = Patience { first: Duration::from_millis(300), ..PATIENT };

/// What the stub does with one request.
enum Reply {
    /// Answers as WeChat does.
    Signed(u16, String),
    /// Answers with these headers.
    With(u16, HeaderMap, String),
    /// Reads the request and closes the connection.
    Cut,
    /// Promises a longer body than it sends.
    CutInBody,
    /// Reads the request and keeps the connection open in silence.
    Silence,
    /// Does the next when it is told to.
    Held(oneshot::Receiver<Reply>),
}

fn good(status: u16, body: &str) -> Reply {
    Reply::Signed(status, body.to_owned())
}

fn unsigned(status: u16, body: &str) -> Reply {
    Reply::With(status, HeaderMap::new(), body.to_owned())
}

fn probe(status: u16, body: &str) -> Reply {
    let mut headers = signed(&WECHAT_KEY, PUBLIC_KEY_ID, body.as_bytes());
    headers.insert("Wechatpay-Signature", "WECHATPAY/SIGNTEST/iRb8Yf".parse().unwrap());
    Reply::With(status, headers, body.to_owned())
}

/// One request as it came over the wire.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    target: String,
    headers: HeaderMap,
    body: String,
}

/// A WeChat Pay that follows a script, one reply a request.
struct Stub {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let stub = Self { url, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        stub
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut connection: TcpStream, script: Arc<Mutex<VecDeque<Reply>>>, seen: Arc<Mutex<Vec<Seen>>>) {
    let Some(request) = read_request(&mut connection).await else {
        return;
    };
    seen.lock().unwrap().push(request);
    let mut reply = script.lock().unwrap().pop_front();
    if let Some(Reply::Held(next)) = reply {
        reply = next.await.ok();
    }
    let (status, headers, body, missing) = match reply {
        Some(Reply::Signed(status, body)) => {
            (status, signed(&WECHAT_KEY, PUBLIC_KEY_ID, body.as_bytes()), body, 0)
        }
        Some(Reply::With(status, headers, body)) => (status, headers, body, 0),
        Some(Reply::CutInBody) => (200, HeaderMap::new(), PREPAY.to_owned(), 10),
        Some(Reply::Silence) => return std::future::pending().await,
        Some(Reply::Cut | Reply::Held(_)) | None => return,
    };
    let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
    for (name, value) in &headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    if status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", body.len() + missing));
    }
    // The client may hang up on a body that is too long for it.
    let _ = connection.write_all(format!("{head}\r\n{body}").as_bytes()).await;
}

async fn read_request(connection: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut start = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers: HeaderMap = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        if connection.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen {
        method: start.next().unwrap(),
        target: start.next().unwrap(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn nonce(&self) -> String {
        self.authorization("nonce_str")
    }

    fn authorization(&self, field: &str) -> String {
        let header = self.header("authorization").unwrap();
        let (_, rest) = header.split_once(&format!("{field}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Checks the signature over what came, not over what was meant.
    fn assert_signed(&self) {
        let Self { method, target, body, .. } = self;
        let message = format!("{method}\n{target}\n{NOW}\n{}\n{body}\n", self.nonce());
        assert!(MERCHANT_KEY.verifies(message.as_bytes(), &self.authorization("signature")), "{self:?}");
    }
}

/// A port where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

struct Setup {
    client: Client,
    calls: Arc<Mutex<Vec<Call>>>,
    seconds: Arc<AtomicI64>,
}

impl Setup {
    fn new(base_url: &str, backup_url: Option<&str>) -> Self {
        let keys = TrustedKeys::with_public_key(PUBLIC_KEY_ID, &WECHAT_KEY.public_pem).unwrap();
        Self::believing(keys, base_url, backup_url)
    }

    fn believing(trusted_keys: TrustedKeys, base_url: &str, backup_url: Option<&str>) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&calls);
        let seconds = Arc::new(AtomicI64::new(0));
        let watch = Arc::clone(&seconds);
        let environment =
            Environment { now: Arc::new(move || NOW + watch.load(Ordering::SeqCst)), ..environment() };
        let client = Client::new(Config {
            base_url: base_url.to_owned(),
            backup_url: backup_url.map(str::to_owned),
            merchant: merchant(),
            trusted_keys,
            environment,
            user_agent: "everpaid-test/1".to_owned(),
            observer: Arc::new(move |call| heard.lock().unwrap().push(call.clone())),
        })
        .unwrap();
        Self { client, calls, seconds }
    }

    fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn create(&self) -> Result<Created, Error> {
        self.create_within(PATIENT).await
    }

    async fn create_within(&self, patience: Patience) -> Result<Created, Error> {
        self.client.create(Product::Jsapi, "ORDER-0001", ORDER, patience).await
    }

    /// Every try as `host outcome status`.
    fn tries(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .map(|call| {
                let status = call.status.map_or("-".to_owned(), |status| status.to_string());
                format!("{} {} {status}", call.host.as_str(), call.outcome)
            })
            .collect()
    }
}

fn prepay_id() -> Created {
    Created::PrepayId("wx26112221580621e9b071c00d9e093b0000".to_owned())
}

fn api_error(status: u16) -> ApiError {
    ApiError {
        status,
        code: "SOME_CODE".to_owned(),
        message: "文本".to_owned(),
        verified: false,
        request_id: None,
        earlier_unanswered: false,
    }
}

#[tokio::test]
async fn the_bytes_sent_are_the_bytes_signed() {
    let stub = Stub::start([
        good(200, PREPAY),
        good(200, r#"{"code_url":"weixin://wxpay/bizpayurl?pr=p4lpSuKzz"}"#),
        good(200, r#"{"trade_state":"NOTPAY","out_trade_no":"a|b*c"}"#),
        good(200, r#"{"trade_state":"SUCCESS","transaction_id":"42","mchid":"1900000001"}"#),
        good(204, ""),
    ])
    .await;
    let setup = Setup::new(&stub.url, None);
    let client = &setup.client;

    assert_eq!(setup.create().await, Ok(prepay_id()));
    let native = client.create(Product::Native, "ORDER-0001", ORDER, Patience::default()).await;
    assert_eq!(native, Ok(Created::CodeUrl("weixin://wxpay/bizpayurl?pr=p4lpSuKzz".to_owned())));
    assert!(!client.query_by_out_trade_no("a|b*c").await.unwrap().is_paid());
    assert!(client.query_by_transaction_id("42").await.unwrap().is_paid());
    assert_eq!(client.close("a|b*c").await, Ok(()));

    let seen = stub.seen();
    let told: Vec<_> =
        seen.iter().map(|seen| (seen.method.as_str(), seen.target.as_str(), seen.body.as_str())).collect();
    assert_eq!(
        told,
        [
            ("POST", "/v3/pay/transactions/jsapi", ORDER),
            ("POST", "/v3/pay/transactions/native", ORDER),
            ("GET", "/v3/pay/transactions/out-trade-no/a%7Cb%2Ac?mchid=1900000001", ""),
            ("GET", "/v3/pay/transactions/id/42?mchid=1900000001", ""),
            ("POST", "/v3/pay/transactions/out-trade-no/a%7Cb%2Ac/close", r#"{"mchid":"1900000001"}"#),
        ],
    );
    for request in &seen {
        request.assert_signed();
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.header("user-agent"), Some("everpaid-test/1"));
        assert_eq!(request.header("wechatpay-serial"), Some(PUBLIC_KEY_ID));
        let content_type = (request.method == "POST").then_some("application/json");
        assert_eq!(request.header("content-type"), content_type);
    }
    let operations: Vec<_> = setup.calls.lock().unwrap().iter().map(|call| call.operation).collect();
    assert_eq!(
        operations,
        ["create_jsapi", "create_native", "query_by_out_trade_no", "query_by_transaction_id", "close"],
    );
}

#[tokio::test]
async fn a_refused_connection_leads_to_the_backup_host() {
    let backup = Stub::start([good(200, PREPAY), good(204, "")]).await;
    let setup = Setup::new(&nobody().await, Some(&backup.url));

    assert_eq!(setup.create().await, Ok(prepay_id()));
    assert_eq!(setup.client.close("ORDER-0001").await, Ok(()));

    let both = ["primary not_delivered -", "backup ok 200", "primary not_delivered -", "backup ok 204"];
    assert_eq!(setup.tries(), both);
}

#[tokio::test]
async fn nothing_delivered_is_told_as_such() {
    let setup = Setup::new(&nobody().await, Some(&nobody().await));
    let error = setup.create().await.unwrap_err();
    assert!(matches!(error, Error::NotDelivered { .. }), "{error}");
    assert!(!error.to_string().contains("/v3/"), "{error}");
    assert_eq!(setup.tries(), ["primary not_delivered -", "backup not_delivered -"]);
}

#[tokio::test]
async fn an_answer_tells_the_time_whether_it_is_believed_or_not() {
    let mut dated = HeaderMap::new();
    dated.insert("Date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
    let mut nonsense = HeaderMap::new();
    nonsense.insert("Date", "yesterday".parse().unwrap());
    let refused = |headers| Reply::With(401, headers, ERROR.to_owned());
    for (reply, date) in [(refused(dated), Some(784_111_777)), (refused(nonsense), None), (Reply::Cut, None)]
    {
        let stub = Stub::start([reply, good(200, PREPAY)]).await;
        let setup = Setup::new(&stub.url, None);
        drop(setup.create().await);
        assert_eq!(setup.calls.lock().unwrap()[0].date, date);
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_bytes() {
    for (lost, host) in [
        (Reply::Cut, "backup ok 200"),
        (Reply::CutInBody, "backup ok 200"),
        (Reply::Silence, "primary ok 200"),
        (probe(200, PREPAY), "primary ok 200"),
        (unsigned(200, PREPAY), "primary ok 200"),
        (probe(400, ERROR), "primary ok 200"),
    ] {
        let patience = if matches!(lost, Reply::Silence) { BRIEF } else { PATIENT };
        let stub = Stub::start([lost, good(200, PREPAY)]).await;
        // Both names lead to the one stub, so that it sees both tries.
        let setup = Setup::new(&stub.url, Some(&stub.url));

        assert_eq!(setup.create_within(patience).await, Ok(prepay_id()));

        let seen = stub.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!((&seen[0].body, &seen[0].target), (&seen[1].body, &seen[1].target));
        assert_ne!(seen[0].nonce(), seen[1].nonce());
        seen.iter().for_each(Seen::assert_signed);
        assert_eq!(setup.tries()[1], host);
    }
}

#[tokio::test]
async fn a_second_try_keeps_what_the_first_may_have_done() {
    let definite = Error::Definite(ApiError { earlier_unanswered: true, ..api_error(403) });
    let refused = ApiError { earlier_unanswered: true, ..api_error(429) };
    for (second, expected) in [
        (unsigned(403, ERROR), definite),
        (unsigned(429, ERROR), Cause::RefusedAfterUnanswered(refused).into()),
        (probe(200, PREPAY), Cause::Unverified(VerifyError::Probe).into()),
        (unsigned(502, "<html>"), Cause::Unreadable { status: 502 }.into()),
    ] {
        let stub = Stub::start([Reply::Silence, second]).await;
        assert_eq!(Setup::new(&stub.url, None).create_within(BRIEF).await, Err(expected));
    }
    let stub = Stub::start([Reply::Cut]).await;
    let setup = Setup::new(&stub.url, Some(&nobody().await));
    assert_eq!(setup.create().await.unwrap_err().reason(), "connection_lost");
    assert_eq!(setup.tries(), ["primary connection_lost -", "backup not_delivered -"]);
}

#[tokio::test]
async fn an_answer_that_came_is_not_asked_for_again() {
    let elsewhere = headers(&[("Location", "http://127.0.0.1:1/v3/elsewhere")]);
    for (reply, expected) in [
        (unsigned(404, ERROR), Error::Definite(api_error(404))),
        (good(404, ERROR), Error::Definite(ApiError { verified: true, ..api_error(404) })),
        (unsigned(429, ERROR), Error::Refused(api_error(429))),
        (unsigned(500, ERROR), Error::Refused(api_error(500))),
        (unsigned(502, "<html>Bad Gateway</html>"), Cause::Unreadable { status: 502 }.into()),
        (good(202, ""), Cause::AcceptedOnly.into()),
        (good(200, "{}"), Cause::Unusable.into()),
        (good(200, ""), Cause::Unusable.into()),
        (good(200, &format!("\"{}\"", "x".repeat(BODY_BYTES_MAX))), Cause::Unreadable { status: 200 }.into()),
        (Reply::With(307, elsewhere, String::new()), Cause::Unreadable { status: 307 }.into()),
    ] {
        let stub = Stub::start([reply]).await;
        let setup = Setup::new(&stub.url, Some(&nobody().await));
        assert_eq!(setup.create().await, Err(expected));
        assert_eq!(setup.tries().len(), 1);
    }
}

#[tokio::test]
async fn a_question_is_repeated_and_a_close_is_not_when_the_answer_is_a_probe() {
    let answer = r#"{"trade_state":"NOTPAY"}"#;
    let stub = Stub::start([probe(200, answer), good(200, answer), probe(204, "")]).await;
    let setup = Setup::new(&stub.url, None);
    assert!(setup.client.query_by_out_trade_no("ORDER-0001").await.is_ok());
    let closed = setup.client.close("ORDER-0001").await;
    assert_eq!(closed, Err(Cause::Unverified(VerifyError::Probe).into()));
    assert_eq!(setup.tries(), ["primary probe 200", "primary ok 200", "primary probe 204"]);
}

#[tokio::test]
async fn an_answer_about_another_order_is_not_taken() {
    for answer in [
        r#"{"trade_state":"SUCCESS","out_trade_no":"ORDER-0002"}"#,
        r#"{"trade_state":"SUCCESS","out_trade_no":"ORDER-0001","mchid":"1900000002"}"#,
    ] {
        let stub = Stub::start([good(200, answer)]).await;
        let found = Setup::new(&stub.url, None).client.query_by_out_trade_no("ORDER-0001").await;
        assert_eq!(found, Err(Cause::OtherOrder.into()));
    }
}

#[tokio::test]
async fn a_number_that_would_change_the_path_is_not_sent() {
    let stub = Stub::start([]).await;
    let setup = Setup::new(&stub.url, None);
    for number in [".", ".."] {
        let error = setup.client.close(number).await.unwrap_err();
        assert!(matches!(error, Error::Unsendable { .. }), "{error}");
    }
    assert!(stub.seen().is_empty());
}

#[test]
fn what_to_do_after_a_first_try() {
    let check = |error: Error,
                 eagerly: Option<Again>,
                 as_question: Option<Again>,
                 carefully: Option<Again>| {
        let expected =
            [(Repeat::Eagerly, eagerly), (Repeat::AsQuestion, as_question), (Repeat::Carefully, carefully)];
        for (repeat, expected) in expected {
            assert_eq!(again(&error, repeat), expected, "{error}");
        }
    };
    let (same, other) = (Some(Again::SameHost), Some(Again::OtherHost));
    check(Error::NotDelivered { cause: String::new() }, other, other, other);
    check(Cause::ConnectionLost { detail: String::new() }.into(), other, other, other);
    check(Cause::TimedOut.into(), same, None, None);
    check(Cause::Unverified(VerifyError::Probe).into(), same, same, None);
    check(Cause::AcceptedOnly.into(), None, None, None);
    check(Cause::Unreadable { status: 502 }.into(), None, None, None);
    check(Error::Refused(api_error(429)), None, None, None);
    check(Error::Definite(api_error(400)), None, None, None);
    check(Error::Unsendable { cause: String::new() }, None, None, None);

    let unheard = Error::from(Cause::ConnectionLost { detail: String::new() });
    assert_eq!(again(&unheard, Repeat::WhenUndelivered), None);
    let undelivered = Error::NotDelivered { cause: String::new() };
    assert_eq!(again(&undelivered, Repeat::WhenUndelivered), other);
}

#[tokio::test]
async fn without_a_backup_host_the_same_one_is_tried_again() {
    let (alone, both) =
        (Setup::new(&nobody().await, None), Setup::new(&nobody().await, Some(&nobody().await)));
    for first in [Host::Primary, Host::Backup] {
        assert_eq!(alone.client.hosts_from(first), [Host::Primary]);
        assert_eq!(both.client.hosts_from(first), [first, first.other()]);
    }
}

#[tokio::test]
async fn the_first_certificate_vouches_for_the_answer_that_brings_it() {
    let pem = WECHAT_KEY.certificate(SERIAL, 2040);
    let answer = serde_json::json!({ "data": [{
        "serial_no": SERIAL,
        "effective_time ": "2018-06-08T10:34:56+08:00",
        "encrypt_certificate": sealed(API_V3_KEY, Some("certificate"), pem.as_bytes()),
    }]})
    .to_string();
    let by = |key, serial| Reply::With(200, signed(key, serial, answer.as_bytes()), answer.clone());
    let check = async |trusted: TrustedKeys, replies: Vec<Reply>, key: &str, expected: Result<(), &str>| {
        let stub = Stub::start(replies).await;
        let client = Setup::believing(trusted, &stub.url, None).client;
        let got = client.certificates(&[api_v3_key(key)]).await;
        let seen = got.as_ref().map(|pems| assert_eq!(pems, &[pem.as_str()])).map_err(Error::reason);
        assert_eq!(seen, expected);
        assert_eq!(stub.seen()[0].header("wechatpay-serial"), None);
        if let Ok(pems) = got {
            client.trusted_keys().replace_certificates(pems).unwrap();
            assert_eq!(client.trusted_keys().certificates()[0].serial, SERIAL);
        }
    };
    let known = || {
        let keys = TrustedKeys::new();
        keys.add_certificate(&OTHER_KEY.certificate("0B", 2040)).unwrap();
        keys
    };
    let wrong_key = "k".repeat(32);
    let (wechat, other) = (&*WECHAT_KEY, &*OTHER_KEY);
    check(TrustedKeys::new(), vec![by(wechat, SERIAL)], API_V3_KEY, Ok(())).await;
    check(known(), vec![by(other, "0B")], API_V3_KEY, Ok(())).await;
    check(known(), vec![by(wechat, "0B"), by(other, "0B")], API_V3_KEY, Ok(())).await;
    let forged = || vec![by(other, SERIAL), by(other, SERIAL)];
    check(TrustedKeys::new(), forged(), API_V3_KEY, Err("bad_signature")).await;
    check(TrustedKeys::new(), vec![by(wechat, SERIAL)], &wrong_key, Err("sealed")).await;
    let strange = vec![by(wechat, "0C"), by(wechat, "0C")];
    check(TrustedKeys::new(), strange, API_V3_KEY, Err("unknown_serial")).await;
}

const REFUND: &str =
    r#"{"refund_id":"50000000382019052709732678859","out_refund_no":"R@1","status":"PROCESSING"}"#;
/// SHA-1 of the plain text, checked with sha1sum.
const BILL: &str = "\u{feff}交易时间\r\n";
const BILL_SHA1: &str = "326ed0ecb149e2f8f20ffc578f7ffc6799671a9d";

#[tokio::test]
async fn refunds_are_asked_for_and_looked_up() {
    let stub = Stub::start([good(200, REFUND), good(200, REFUND), good(200, REFUND)]).await;
    let setup = Setup::new(&stub.url, None);
    let body = r#"{"out_trade_no":"ORDER-0001","out_refund_no":"R@1"}"#;

    let asked = setup.client.refund("R@1", body).await.unwrap();
    assert_eq!((asked.status.as_str(), asked.out_refund_no.as_str()), ("PROCESSING", "R@1"));
    assert_eq!(setup.client.query_refund("R@1").await.unwrap(), asked);
    assert_eq!(setup.client.query_refund("R@2").await, Err(Cause::OtherOrder.into()));

    let seen = stub.seen();
    let told: Vec<_> =
        seen.iter().map(|seen| (seen.method.as_str(), seen.target.as_str(), seen.body.as_str())).collect();
    assert_eq!(
        told,
        [
            ("POST", "/v3/refund/domestic/refunds", body),
            ("GET", "/v3/refund/domestic/refunds/R%401", ""),
            ("GET", "/v3/refund/domestic/refunds/R%402", ""),
        ],
    );
    seen.iter().for_each(Seen::assert_signed);
}

#[tokio::test]
async fn a_refund_that_may_be_taken_yet_is_not_asked_for_again() {
    for (reply, expected) in [
        (unsigned(429, ERROR), Cause::PerhapsTaken(api_error(429)).into()),
        (unsigned(500, ERROR), Cause::PerhapsTaken(api_error(500)).into()),
        (probe(200, REFUND), Cause::Unverified(VerifyError::Probe).into()),
        (good(202, ""), Cause::AcceptedOnly.into()),
        (unsigned(403, ERROR), Error::Definite(api_error(403))),
    ] {
        let stub = Stub::start([reply, good(200, REFUND)]).await;
        let setup = Setup::new(&stub.url, Some(&stub.url));
        assert_eq!(setup.client.refund("R@1", "{}").await, Err(expected));
        assert_eq!(stub.seen().len(), 1);
    }
    let stub = Stub::start([Reply::Cut, good(200, REFUND)]).await;
    let error = Setup::new(&stub.url, Some(&stub.url)).client.refund("R@1", "{}").await.unwrap_err();
    assert_eq!((error.reason(), stub.seen().len()), ("connection_lost", 1));

    let backup = Stub::start([good(200, REFUND)]).await;
    let setup = Setup::new(&nobody().await, Some(&backup.url));
    assert!(setup.client.refund("R@1", "{}").await.is_ok());
}

#[tokio::test]
async fn a_bill_is_found_and_downloaded_with_a_signature_and_without_one() {
    let files = Stub::start([unsigned(200, BILL), unsigned(200, "{}"), unsigned(400, ERROR)]).await;
    let location = serde_json::json!({
        "hash_type": "SHA1",
        "hash_value": BILL_SHA1,
        "download_url": format!("{}/v3/billdownload/file?token=a%2Fb", files.url),
    });
    let stub = Stub::start([good(200, &location.to_string()), unsigned(400, ERROR)]).await;
    let setup = Setup::new(&stub.url, None);
    let day =
        BillRequest { date: jiff::civil::date(2024, 8, 5), kind: crate::BillKind::All, is_compressed: true };

    let file = setup.client.trade_bill(&day).await.unwrap();
    assert_eq!(setup.client.download_bill(&file).await.unwrap(), BILL.as_bytes());
    assert_eq!(setup.client.download_bill(&file).await, Err(Cause::HashDiffers.into()));
    assert_eq!(setup.client.download_bill(&file).await, Err(Error::Definite(api_error(400))));
    assert_eq!(setup.client.trade_bill(&day).await, Err(Error::Definite(api_error(400))));
    let odd = BillFile { download_url: "ftp://elsewhere/bill".to_owned(), ..file };
    assert_eq!(setup.client.download_bill(&odd).await, Err(Cause::Unusable.into()));

    let asked = "/v3/bill/tradebill?bill_date=2024-08-05&bill_type=ALL&tar_type=GZIP";
    assert_eq!(stub.seen()[0].target, asked);
    assert_eq!(files.seen()[0].target, "/v3/billdownload/file?token=a%2Fb");
    stub.seen().iter().chain(&files.seen()).for_each(Seen::assert_signed);
}

/// What one try did to the breaker of its host, in the order of the tries.
fn switches(setup: &Setup) -> Vec<(Host, Switched)> {
    let calls = setup.calls.lock().unwrap();
    calls.iter().filter_map(|call| Some((call.host, call.switched?))).collect()
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_left_alone_until_one_call_finds_it_back() {
    let lost = std::iter::repeat_with(|| Reply::Cut).take(5);
    let primary = Stub::start(lost.chain([good(200, PREPAY), good(200, PREPAY)])).await;
    let backup = Stub::start(std::iter::repeat_with(|| good(200, PREPAY)).take(8)).await;
    let setup = Setup::new(&primary.url, Some(&backup.url));
    for _ in 0..5 {
        assert_eq!(setup.create().await, Ok(prepay_id()));
    }
    assert_eq!(switches(&setup), [(Host::Primary, Switched::Open)]);

    for seconds in [0, 4] {
        setup.advance(seconds);
        assert_eq!(setup.create().await, Ok(prepay_id()));
    }
    assert_eq!(setup.tries()[10..], ["backup ok 200", "backup ok 200"]);
    assert_eq!(primary.seen().len(), 5);

    setup.advance(1);
    for _ in 0..2 {
        assert_eq!(setup.create().await, Ok(prepay_id()));
    }
    assert_eq!(setup.tries()[12..], ["primary ok 200", "primary ok 200"]);
    assert_eq!(switches(&setup)[1..], [(Host::Primary, Switched::Closed)]);
}

#[tokio::test]
async fn with_every_host_gone_a_call_fails_at_once_and_one_now_and_then_finds_out() {
    let setup = Setup::new(&nobody().await, Some(&nobody().await));
    for _ in 0..5 {
        setup.create().await.unwrap_err();
    }
    assert_eq!(switches(&setup), [(Host::Primary, Switched::Open), (Host::Backup, Switched::Open)]);

    for _ in 0..3 {
        let error = setup.create().await.unwrap_err();
        assert_eq!(error, Error::NotDelivered { cause: "not tried: no host has answered lately".to_owned() });
    }
    assert_eq!(setup.tries().len(), 10);

    setup.advance(5);
    for _ in 0..2 {
        setup.create().await.unwrap_err();
    }
    assert_eq!(setup.tries()[10..], ["primary not_delivered -", "backup not_delivered -"]);
}

#[tokio::test]
async fn a_second_try_does_not_go_to_a_host_that_rests() {
    let primary = Stub::start([good(200, PREPAY), Reply::Cut, good(200, PREPAY)]).await;
    let setup = Setup::new(&primary.url, Some(&nobody().await));
    for _ in 0..5 {
        let pass = setup.client.0.breakers.pass(&[Host::Backup], NOW).unwrap();
        pass.end(Verdict::Unanswered, NOW);
    }
    for _ in 0..2 {
        assert_eq!(setup.create().await, Ok(prepay_id()));
    }
    assert_eq!(setup.tries(), ["primary ok 200", "primary connection_lost -", "primary ok 200"]);
}

#[tokio::test]
async fn an_answer_never_makes_a_host_rest() {
    for reply in [
        || unsigned(400, ERROR),
        || good(404, ERROR),
        || unsigned(429, ERROR),
        || good(500, ERROR),
        || unsigned(503, ERROR),
        || probe(204, ""),
    ] {
        let stub = Stub::start(std::iter::repeat_with(reply).take(12)).await;
        let setup = Setup::new(&stub.url, None);
        for _ in 0..12 {
            setup.client.close("ORDER-0001").await.unwrap_err();
        }
        assert_eq!((stub.seen().len(), switches(&setup)), (12, vec![]));
    }
}

/// A gateway in front of nobody.
#[tokio::test]
async fn the_page_of_a_gateway_is_no_answer() {
    let stub = Stub::start(std::iter::repeat_with(|| unsigned(502, "<html>")).take(6)).await;
    let setup = Setup::new(&stub.url, None);
    for _ in 0..6 {
        setup.client.close("ORDER-0001").await.unwrap_err();
    }
    assert_eq!((stub.seen().len(), switches(&setup)), (5, vec![(Host::Primary, Switched::Open)]));
}

#[tokio::test]
async fn of_many_calls_one_finds_out_and_the_others_learn_from_it() {
    for is_back in [true, false] {
        let (tell, held) = oneshot::channel();
        let lost = std::iter::repeat_with(|| Reply::Cut).take(5);
        let after = std::iter::repeat_with(|| good(200, REFUND)).take(3);
        let stub = Stub::start(lost.chain([Reply::Held(held)]).chain(after)).await;
        let setup = Setup::new(&stub.url, None);
        for _ in 0..5 {
            setup.client.refund("R@1", "{}").await.unwrap_err();
        }
        setup.advance(5);
        let mut calls: Vec<_> = (0..4).map(|_| Box::pin(setup.client.refund("R@1", "{}"))).collect();
        while stub.seen().len() < 6 {
            assert!(poll_once(&mut calls[0]).await.is_none());
            tokio::task::yield_now().await;
        }
        for call in &mut calls[1..] {
            assert!(poll_once(call).await.is_none(), "it waits for the first");
        }
        tell.send(if is_back { good(200, REFUND) } else { Reply::Cut }).ok().unwrap();
        for (at, call) in calls.into_iter().enumerate() {
            let reason = call.await.map_err(|error| error.reason());
            match (is_back, at) {
                (true, _) => assert!(reason.is_ok(), "{reason:?}"),
                (false, 0) => assert_eq!(reason, Err("connection_lost")),
                (false, _) => assert_eq!(reason, Err("not_delivered")),
            }
        }
        assert_eq!(stub.seen().len(), if is_back { 9 } else { 6 });
    }
}

/// The result of a future that is asked once.
async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn whoever_finds_out_and_goes_away_leaves_it_to_the_next() {
    let lost = std::iter::repeat_with(|| Reply::Cut).take(5);
    let stub = Stub::start(lost.chain([Reply::Silence, good(200, REFUND)])).await;
    let setup = Setup::new(&stub.url, None);
    for _ in 0..5 {
        setup.client.refund("R@1", "{}").await.unwrap_err();
    }
    setup.advance(5);
    let mut call = Box::pin(setup.client.refund("R@1", "{}"));
    while stub.seen().len() < 6 {
        assert!(poll_once(&mut call).await.is_none());
        tokio::task::yield_now().await;
    }
    drop(call);
    assert!(setup.client.refund("R@1", "{}").await.is_ok());
    assert_eq!(switches(&setup)[1..], [(Host::Primary, Switched::Closed)]);
}
