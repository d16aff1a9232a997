//! A client that gives up nothing: what is not answered is sent again.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// A client that sends a request until it is answered, and not with an excuse (5xx).
#[derive(Clone, Debug)]
pub struct Patient {
    pub http: Client,
    /// Sent with every request.
    pub api_key: &'static str,
    /// Nobody is away for so long.
    pub patience: Duration,
    pub again_after: Duration,
}

impl Patient {
    pub async fn ask(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let end = Instant::now() + self.patience;
        loop {
            let request = self.http.request(method.clone(), url).bearer_auth(self.api_key);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            match answer(request).await {
                Ok((status, said)) if !status.is_server_error() => return Ok((status, said)),
                last if Instant::now() > end => {
                    bail!("{url}: no answer in {:?}, at last {last:?}", self.patience)
                }
                _ => sleep(self.again_after).await,
            }
        }
    }
}

async fn answer(request: RequestBuilder) -> anyhow::Result<(StatusCode, Value)> {
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    Ok((status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? }))
}

pub fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("not a text: {value}"))
}
