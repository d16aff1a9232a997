//! A browser as it is inside WeChat: a listener of its own that shows another server's pages.
//!
//! To the server it looks like WeChat, and to the page too: every HTML document is given the
//! bridge script, which plays `MicroMessenger` and `WeixinJSBridge`. Everything else passes
//! through as it is and when it comes, streams too. WebSockets do not pass.

mod html;
mod policy;

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::{Context, ensure};
use axum::{
    Router,
    body::{Body, HttpBody, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::StreamExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{self, Entry},
};
use reqwest::Url;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{pages, payers::PAYERS};

/// Where WeChat's OAuth page is in life.
const OPEN_HOST: &str = "open.weixin.qq.com";
/// Where the page finds what is WeChat's own, beside the server's paths.
const BRIDGE: &str = "/_wechat/bridge.js";
const LARGEST_PAGE: usize = 32 << 20;

/// How to open a simulated WeChat browser.
#[derive(Clone, Debug)]
pub struct Browser {
    pub listen: SocketAddr,
    /// The server whose pages it shows: `http://127.0.0.1:8700`.
    pub pages: String,
    pub client: BrowserClient,
}

/// Which WeChat it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrowserClient {
    Ios,
    #[default]
    Android,
    /// A web-view inside a mini-program, in which nobody can pay.
    MiniProgram,
}

impl BrowserClient {
    fn name(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
            Self::MiniProgram => "mini-program",
        }
    }

    /// As in wechatpay-v3.md, section 18.3.
    fn user_agent(self, mini_program: &str) -> String {
        const IOS: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 \
            (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.76(0x18004c24) NetType/WIFI Language/zh_CN";
        const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A.230803.041; wv) \
            AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/111.0.5563.116 Mobile Safari/537.36 \
            XWEB/1110005 MMWEBSDK/20230805 MMWEBID/4650 MicroMessenger/8.0.42.2460(0x28002A58) WeChat/arm64 \
            Weixin NetType/WIFI Language/zh_CN ABI/arm64";
        match self {
            Self::Ios => IOS.to_owned(),
            Self::Android => ANDROID.to_owned(),
            Self::MiniProgram => format!("{IOS} miniProgram/{mini_program}"),
        }
    }
}

/// Where the pages are, for whoever leads a payer back to them.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pages: Url,
    port: u16,
}

impl Windows {
    /// The same page inside the simulated WeChat; `here` is the host the payer knows this machine by.
    pub(crate) fn inside(&self, mut page: Url, here: &str) -> Url {
        if page.origin() == self.pages.origin() {
            // An http address of a host and a port is always one of those.
            let _ = page.set_scheme("http");
            let _ = page.set_host(Some(here));
            let _ = page.set_port(Some(self.port));
        }
        page
    }
}

/// A browser that is open.
pub(crate) struct Open {
    windows: Windows,
    /// Where the phone and the OAuth page are.
    simulator_port: u16,
    client: BrowserClient,
    user_agent: HeaderValue,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl Open {
    pub(crate) fn new(
        browser: &Browser,
        addr: SocketAddr,
        simulator: SocketAddr,
        mini_program: &str,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let pages = Url::parse(&browser.pages).context("reading the address of the pages")?;
        let is_server = matches!(pages.scheme(), "http" | "https") && pages.path() == "/";
        ensure!(is_server && pages.query().is_none(), "the pages are on a server: http://host:port");
        Ok(Self {
            windows: Windows { pages, port: addr.port() },
            simulator_port: simulator.port(),
            client: browser.client,
            user_agent: HeaderValue::from_str(&browser.client.user_agent(mini_program))?,
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .context("making the browser's client")?,
            stop,
        })
    }

    pub(crate) fn windows(&self) -> Windows {
        self.windows.clone()
    }
}

pub(crate) async fn serve(open: Arc<Open>, listener: TcpListener) -> io::Result<()> {
    let stop = open.stop.clone();
    let router = Router::new()
        .route(BRIDGE, get(async || pages::page("bridge.js")))
        .fallback(forward)
        .with_state(open);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn forward(State(open): State<Arc<Open>>, request: Request) -> Response {
    let here = Here::of(request.headers(), open.windows.port);
    let is_head = request.method() == Method::HEAD;
    match open.ask(request, &here).await {
        Ok(answer) => open.show(answer, &here, is_head).await,
        Err(error) => {
            warn!(error = format!("{error:#}"), "the server of the pages did not answer");
            let said = format!("模拟的微信浏览器：{} 没有回应。 It did not answer.", open.windows.pages);
            (StatusCode::BAD_GATEWAY, said).into_response()
        }
    }
}

/// What the payer calls this machine, as in the address bar.
struct Here {
    host: String,
    origin: String,
}

impl Here {
    fn of(headers: &HeaderMap, port: u16) -> Self {
        let host = host_in(headers);
        Self { origin: format!("http://{host}:{port}"), host }
    }
}

/// The name in the `Host` header, without its port.
pub(crate) fn host_in(headers: &HeaderMap) -> String {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok()?.parse::<Uri>().ok()?.host().map(str::to_owned))
        .unwrap_or_else(|| "127.0.0.1".to_owned())
}

impl Open {
    async fn ask(&self, request: Request, here: &Here) -> reqwest::Result<reqwest::Response> {
        let (parts, body) = request.into_parts();
        let mut target = self.windows.pages.clone();
        target.set_path(parts.uri.path());
        target.set_query(parts.uri.query());
        let mut asked = self.http.request(parts.method, target).headers(self.sent(parts.headers, here));
        if !body.is_end_stream() {
            asked = asked.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        asked.send().await
    }

    /// The request's headers, as WeChat would have sent them to the server itself.
    fn sent(&self, mut headers: HeaderMap, here: &Here) -> HeaderMap {
        drop_hop_by_hop(&mut headers);
        headers.remove(header::HOST);
        let hints: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with("sec-ch-ua")).cloned().collect();
        for hint in hints {
            headers.remove(hint);
        }
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        // A page has to be read to be given the bridge, and a kept one has none, or an old one.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if accepts_html(&headers) {
            headers.remove(header::IF_NONE_MATCH);
            headers.remove(header::IF_MODIFIED_SINCE);
        }
        let theirs = self.windows.pages.origin().ascii_serialization();
        for name in [header::ORIGIN, header::REFERER] {
            replace(&mut headers, name, |value| {
                value.strip_prefix(&here.origin).map(|rest| format!("{theirs}{rest}"))
            });
        }
        headers
    }

    /// The server's answer, as this browser shows it.
    async fn show(&self, answer: reqwest::Response, here: &Here, is_head: bool) -> Response {
        let status = answer.status();
        let asked_at = answer.url().clone();
        let mut headers = answer.headers().clone();
        drop_hop_by_hop(&mut headers);
        for name in ["strict-transport-security", "cross-origin-embedder-policy"] {
            headers.remove(name);
        }
        replace(&mut headers, header::LOCATION, |location| {
            let to = asked_at.join(location).ok()?;
            Some(self.inside(to, here).into())
        });
        let is_https = self.windows.pages.scheme() == "https";
        change_each(&mut headers, &header::SET_COOKIE, |cookie| Some(own_cookie(cookie, is_https)));
        let nonce = hex::encode(rand::random::<[u8; 12]>());
        let script = format!("{}{BRIDGE}", here.origin);
        let phone = format!("http://{}:{}", here.host, self.simulator_port);
        for name in [header::CONTENT_SECURITY_POLICY, header::CONTENT_SECURITY_POLICY_REPORT_ONLY] {
            change_each(&mut headers, &name, |policies| {
                Some(policy::admit(
                    policies,
                    &policy::Guests { script: &script, nonce: &nonce, frame: &phone },
                ))
            });
        }
        let is_html = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/html"));
        let stream = answer.bytes_stream().take_until(self.stop.clone().cancelled_owned());
        let mut body = Body::from_stream(stream);
        if is_html {
            headers.remove(header::CONTENT_LENGTH);
        }
        if is_html && !is_head {
            let Ok(page) = to_bytes(body, LARGEST_PAGE).await else {
                return (StatusCode::BAD_GATEWAY, "the page broke off, or is too large").into_response();
            };
            body = Body::from(html::insert(&page, &self.tag(&nonce)));
        }
        let mut shown = Response::new(body);
        *shown.status_mut() = status;
        *shown.headers_mut() = headers;
        shown
    }

    /// Links to the pages and to WeChat's OAuth page stay on this machine.
    fn inside(&self, mut to: Url, here: &Here) -> Url {
        if to.host_str() == Some(OPEN_HOST) {
            let _ = to.set_scheme("http");
            let _ = to.set_host(Some(&here.host));
            let _ = to.set_port(Some(self.simulator_port));
        }
        self.windows.inside(to, &here.host)
    }

    /// What plays WeChat in the page. The script takes itself out again.
    fn tag(&self, nonce: &str) -> String {
        let payers: Vec<_> = PAYERS
            .iter()
            .map(|payer| format!("{}:{}:{}", payer.id, payer.name, payer.english_name))
            .collect();
        format!(
            "<script src=\"{BRIDGE}\" nonce=\"{nonce}\" data-client=\"{}\" data-user-agent=\"{}\" \
             data-pages=\"{}\" data-simulator-port=\"{}\" data-payers=\"{}\"></script>",
            self.client.name(),
            self.user_agent.to_str().unwrap_or_default(),
            self.windows.pages.origin().ascii_serialization(),
            self.simulator_port,
            payers.join(","),
        )
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepted.is_some_and(|accept| accept.contains("text/html"))
}

/// What is between two neighbours only (RFC 9110, 7.6.1).
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    for name in named.into_iter().chain(always) {
        headers.remove(name);
    }
}

fn replace(headers: &mut HeaderMap, name: HeaderName, change: impl Fn(&str) -> Option<String>) {
    if let Entry::Occupied(mut entry) = headers.entry(name)
        && let Some(changed) = entry.get().to_str().ok().and_then(change)
        && let Ok(value) = HeaderValue::from_str(&changed)
    {
        entry.insert(value);
    }
}

fn change_each(headers: &mut HeaderMap, name: &HeaderName, change: impl Fn(&str) -> Option<String>) {
    let changed: Vec<_> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| {
            value.to_str().ok().and_then(&change).map_or(Some(value.clone()), |text| text.parse().ok())
        })
        .collect();
    headers.remove(name);
    for value in changed {
        headers.append(name, value);
    }
}

/// A cookie of this machine and not of the server's domain, even if that one speaks TLS.
fn own_cookie(cookie: &str, is_https: bool) -> String {
    let kept = cookie.split(';').filter(|part| {
        let name = part.split('=').next().unwrap_or(part).trim().to_ascii_lowercase();
        name != "domain" && !(is_https && name == "secure")
    });
    kept.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_becomes_one_of_this_machine() {
        for (cookie, is_https, kept) in [
            ("a=b; Path=/; HttpOnly", false, "a=b; Path=/; HttpOnly"),
            ("a=b; Domain=shop.example; Path=/", false, "a=b; Path=/"),
            ("a=b; Secure; SameSite=Lax", true, "a=b; SameSite=Lax"),
            ("a=b; Secure", false, "a=b; Secure"),
            ("domain=b", false, ""),
        ] {
            assert_eq!(own_cookie(cookie, is_https), kept);
        }
    }

    #[test]
    fn the_host_is_what_the_payer_typed() {
        for (host, name) in
            [("127.0.0.1:8702", "127.0.0.1"), ("localhost", "localhost"), ("[::1]:8702", "[::1]")]
        {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(host_in(&headers), name);
        }
        assert_eq!(host_in(&HeaderMap::new()), "127.0.0.1");
    }

    #[test]
    fn what_concerns_two_neighbours_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, x-own"), ("x-own", "1"), ("te", "trailers"), ("x", "1")]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        drop_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x"]);
    }
}
