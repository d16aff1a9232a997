//! HTTP/1.1 on a socket, one request a connection.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request, byte for byte.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query as they go over the wire.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer, or a notification that came in.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The connection broke before an answer was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

impl Request {
    pub fn new(method: &str, target: &str, body: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![
                ("User-Agent".to_owned(), "by-hand/1".to_owned()),
                ("Accept".to_owned(), "application/json".to_owned()),
                ("Content-Type".to_owned(), "application/json".to_owned()),
            ],
            body: body.as_bytes().to_vec(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The names of the headers as they were spelt.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// Whether any `Wechatpay-*` header is there.
    pub fn is_signed(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("wechatpay-"))
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Status and WeChat's code, which is what a client branches on.
    pub fn outcome(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Sends a request to `host:port` and reads its answer to the end.
pub async fn send(address: &str, request: &Request) -> Result<Answer, Cut> {
    let mut stream = TcpStream::connect(address).await.map_err(|_| Cut)?;
    let Request { method, target, headers, body } = request;
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(&[head.as_bytes(), body].concat()).await.map_err(|_| Cut)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|_| Cut)?;
    let (first, headers, body) = split(&bytes).ok_or(Cut)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Cut)?;
    let length = header(&headers, "content-length").map_or(body.len(), |length| length.parse().unwrap());
    // A body that is shorter than it was promised to be is one that was cut.
    if body.len() < length { Err(Cut) } else { Ok(Answer { status, headers, body: body[..length].to_vec() }) }
}

/// Reads one request off a connection.
pub(crate) async fn receive(stream: &mut TcpStream) -> Option<(String, Answer)> {
    let mut bytes = Vec::new();
    loop {
        if let Some((first, headers, body)) = split(&bytes) {
            let length: usize = header(&headers, "content-length")?.parse().ok()?;
            if body.len() >= length {
                let (first, body) = (first.to_owned(), body[..length].to_vec());
                return Some((first, Answer { status: 0, headers, body }));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

type Headers = Vec<(String, String)>;

fn split(bytes: &[u8]) -> Option<(&str, Headers, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
    let first = lines.next()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some((first, headers, &bytes[end + 4..]))
}

fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
