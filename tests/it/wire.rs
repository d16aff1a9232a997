//! The wire between everpaid and WeChat Pay: what goes over it is written down, and answers can be lost
//! or held up.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use http::header::{HOST, TRANSFER_ENCODING};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);
const LARGEST_BODY: usize = 1 << 20;

/// What becomes of lines that contain these words: of answers, and of questions if the words begin with `ask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    PassAll,
    /// WeChat Pay has said it, and nobody hears it.
    Lose(&'static str),
    /// It waits until the rule is another.
    Hold(&'static str),
}

/// Something that went over the wire: `ask GET /v3/…`, or `say GET /v3/… 200 SUCCESS` with the state of
/// the payment. A create has its number behind the path.
#[derive(Clone, Debug)]
pub struct Passed {
    pub at: Instant,
    pub line: String,
}

pub struct Wire {
    pub url: String,
    ends: Arc<Ends>,
}

struct Ends {
    wechat: String,
    http: reqwest::Client,
    passed: Mutex<Vec<Passed>>,
    count: watch::Sender<usize>,
    rule: watch::Sender<Rule>,
}

impl Wire {
    pub async fn start(wechat: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let ends = Arc::new(Ends {
            wechat,
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
            passed: Mutex::default(),
            count: watch::channel(0).0,
            rule: watch::channel(Rule::PassAll).0,
        });
        let router = Router::new().fallback(pass).with_state(ends.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, ends }
    }

    pub fn now(&self, rule: Rule) {
        self.ends.rule.send_replace(rule);
    }

    pub fn passed(&self) -> Vec<Passed> {
        self.ends.passed.lock().expect("no panic").clone()
    }

    /// Waits until so many lines contain these words.
    pub async fn has_seen(&self, count: usize, words: &str) {
        let mut changes = self.ends.count.subscribe();
        let (mut read, mut seen) = (0, 0);
        let enough = async {
            loop {
                {
                    let passed = self.ends.passed.lock().expect("no panic");
                    seen += passed[read..].iter().filter(|passed| passed.line.contains(words)).count();
                    read = passed.len();
                }
                if seen >= count {
                    return;
                }
                changes.changed().await.expect("the wire lives");
            }
        };
        assert!(timeout(PATIENCE, enough).await.is_ok(), "not {count} of {words}: {:#?}", self.passed());
    }
}

impl Ends {
    fn note(&self, line: String) {
        self.passed.lock().expect("no panic").push(Passed { at: Instant::now(), line });
        self.count.send_modify(|count| *count += 1);
    }

    /// Waits as long as the question is held up.
    async fn lets_out(&self, line: &str) {
        let is_held = |rule: &Rule| matches!(rule, Rule::Hold(words) if words.starts_with("ask") && line.contains(words));
        self.rule.subscribe().wait_for(|rule| !is_held(rule)).await.expect("the wire lives");
    }

    /// Is the answer to be heard? Waits as long as it is held up.
    async fn lets_through(&self, line: &str) -> bool {
        let mut rules = self.rule.subscribe();
        let is_held = |rule: &Rule| matches!(rule, Rule::Hold(words) if line.contains(words));
        let rule = *rules.wait_for(|rule| !is_held(rule)).await.expect("the wire lives");
        !matches!(rule, Rule::Lose(words) if line.contains(words))
    }
}

async fn pass(State(ends): State<Arc<Ends>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else { return cut() };
    let number = text(&body, "out_trade_no").map_or_else(String::new, |number| format!(" {number}"));
    let call = format!("{} {}{number}", parts.method, parts.uri.path());
    let line = format!("ask {call}");
    ends.note(line.clone());
    ends.lets_out(&line).await;
    let mut headers = parts.headers;
    headers.remove(HOST);
    let url = format!("{}{}", ends.wechat, parts.uri);
    let asking = ends.http.request(parts.method, url).headers(headers).body(body).send();
    let Ok(answer) = asking.await else { return cut() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(TRANSFER_ENCODING);
    let Ok(body) = answer.bytes().await else { return cut() };
    let line = format!("say {call} {} {}", status.as_u16(), text(&body, "trade_state").unwrap_or_default());
    ends.note(line.clone());
    if ends.lets_through(&line).await { (status, headers, body).into_response() } else { cut() }
}

fn text(body: &[u8], key: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body[key].as_str().map(str::to_owned)
}

/// A connection that breaks in the middle of the answer.
fn cut() -> Response {
    let broken = stream::iter([Err::<Bytes, _>(io::Error::other("cut"))]);
    Body::from_stream(broken).into_response()
}
