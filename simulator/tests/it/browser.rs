use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::HeaderMap,
    response::{Html, IntoResponse, Redirect},
    routing::{any, get},
};
use bytes::Bytes;
use futures::StreamExt;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use simulator::{Browser, BrowserClient, Options, Simulator};
use tokio::{net::TcpListener, sync::mpsc};

use crate::client::{Client, options, start_with};

const PAGE: &str = "<!doctype html><html><head><title>茶</title></head><body>茶</body></html>";

/// A shop's server and a WeChat browser that shows it.
struct Window {
    _simulator: Simulator,
    client: Client,
    pages: String,
    url: String,
    http: reqwest::Client,
    /// What the server sends down `/stream`, piece by piece.
    pieces: mpsc::UnboundedSender<&'static str>,
}

impl Window {
    async fn open(client: BrowserClient) -> Self {
        let (pieces, stream) = mpsc::unbounded_channel::<&'static str>();
        let stream = Arc::new(Mutex::new(Some(stream)));
        let streamed = async move || {
            let mut stream = stream.lock().unwrap().take().unwrap();
            let body = futures::stream::poll_fn(move |cx| stream.poll_recv(cx)).map(Ok::<_, Infallible>);
            ([("content-type", "text/event-stream")], Body::from_stream(body))
        };
        let cookies = [
            ("set-cookie", "sid=1; HttpOnly; Domain=shop.example"),
            ("content-security-policy", "default-src 'self'; script-src 'self'"),
        ];
        let router = Router::new()
            .route("/", get(move || async move { (cookies, Html(PAGE)) }))
            .route("/echo", any(echo))
            .route("/stream", get(streamed))
            .route("/script.js", get(async || ([("content-type", "text/javascript")], "<head>")))
            .route(
                "/to/{*rest}",
                get(async |request: Request| {
                    let to = request.uri().query().unwrap_or_default().to_owned();
                    Redirect::to(&to)
                }),
            );
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let pages = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self::onto(pages, client, pieces).await
    }

    async fn onto(pages: String, client: BrowserClient, pieces: mpsc::UnboundedSender<&'static str>) -> Self {
        let browser = Browser { listen: SocketAddr::from(([127, 0, 0, 1], 0)), pages: pages.clone(), client };
        let (simulator, client) = start_with(Options { browser: Some(browser), ..options() }).await;
        let url = simulator.browser_url().unwrap();
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { _simulator: simulator, client, pages, url, http, pieces }
    }

    async fn get(&self, target: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}{target}", self.url)).header("accept", "text/html");
        request.send().await.unwrap()
    }

    async fn sent_to(&self, target: &str) -> String {
        let answer = self.get(&format!("/to/x?{target}")).await;
        assert_eq!(answer.status(), 303);
        answer.headers()["location"].to_str().unwrap().to_owned()
    }
}

/// What the server was asked, as JSON.
async fn echo(request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let headers = |headers: &HeaderMap| -> Value {
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    };
    let said = json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": headers(&parts.headers),
        "body": String::from_utf8(body.to_vec()).unwrap(),
    });
    ([("content-type", "application/json")], said.to_string())
}

#[tokio::test]
async fn a_page_is_given_the_bridge_before_its_own_scripts() {
    let window = Window::open(BrowserClient::Android).await;
    let page = window.get("/").await;
    assert_eq!(page.status(), 200);
    let headers = page.headers().clone();
    assert_eq!(headers["set-cookie"], "sid=1; HttpOnly");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains(&format!("script-src 'self' {}/_wechat/bridge.js", window.url)), "{policy}");
    assert!(policy.contains(&format!("frame-src 'self' {}", window.client.url)), "{policy}");
    let text = page.text().await.unwrap();
    assert!(text.starts_with("<!doctype html><html><head><script src=\"/_wechat/bridge.js\""), "{text}");
    assert!(
        text.contains("MicroMessenger/8") && text.ends_with("<title>茶</title></head><body>茶</body></html>")
    );
    let bridge = window.get("/_wechat/bridge.js").await;
    assert!(bridge.text().await.unwrap().contains("WeixinJSBridgeReady"));
    // Nothing but documents is touched.
    assert_eq!(window.get("/script.js").await.text().await.unwrap(), "<head>");
}

#[tokio::test]
async fn the_server_is_asked_as_wechat_asks() {
    for (client, marks) in [
        (BrowserClient::Android, ["Android", "MicroMessenger/", "ABI/arm64"]),
        (BrowserClient::Ios, ["iPhone", "MicroMessenger/", "NetType/WIFI"]),
        (BrowserClient::MiniProgram, ["iPhone", "MicroMessenger/", " miniProgram/wx0000000000000002"]),
    ] {
        let window = Window::open(client).await;
        let request = window
            .http
            .post(format!("{}/echo?a=%2F&b", window.url))
            .header("user-agent", "Chrome")
            .header("sec-ch-ua-mobile", "?0")
            .header("origin", &window.url)
            .header("referer", format!("{}/pay", window.url))
            .header("if-none-match", "\"1\"")
            .header("cookie", "sid=1")
            .body("{\"a\": \"茶\"}");
        let said: Value = request.send().await.unwrap().json().await.unwrap();
        let headers = &said["headers"];
        let agent = headers["user-agent"].as_str().unwrap();
        assert!(marks.iter().all(|mark| agent.contains(mark)), "{agent}");
        assert_eq!(headers["sec-ch-ua-mobile"], Value::Null);
        assert_eq!(headers["origin"], window.pages.as_str());
        assert_eq!(headers["referer"], format!("{}/pay", window.pages));
        assert_eq!(headers["host"], window.pages.strip_prefix("http://").unwrap());
        assert_eq!((&headers["cookie"], &headers["if-none-match"]), (&"sid=1".into(), &"\"1\"".into()));
        assert_eq!(said["body"], "{\"a\": \"茶\"}");
        assert_eq!((&said["method"], &said["target"]), (&"POST".into(), &"/echo?a=%2F&b".into()));
    }
}

#[tokio::test]
async fn a_stream_comes_through_piece_by_piece() {
    let window = Window::open(BrowserClient::Ios).await;
    let mut stream = window.get("/stream").await.bytes_stream();
    for piece in ["data: 1\n\n", "data: 2\n\n"] {
        // The next piece is not there before this one was read.
        window.pieces.send(piece).unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), Bytes::from(piece));
    }
}

#[tokio::test]
async fn links_to_the_pages_and_to_oauth_stay_in_the_window() {
    let window = Window::open(BrowserClient::Android).await;
    let oauth = "/connect/oauth2/authorize?appid=wx1#wechat_redirect";
    assert_eq!(window.sent_to("/next").await, format!("{}/next", window.url));
    assert_eq!(window.sent_to(&format!("{}/next", window.pages)).await, format!("{}/next", window.url));
    let open = format!("https://open.weixin.qq.com{oauth}");
    // A fragment does not travel in a query.
    assert_eq!(
        window.sent_to(open.strip_suffix("#wechat_redirect").unwrap()).await,
        format!("{}/connect/oauth2/authorize?appid=wx1", window.client.url)
    );
    assert_eq!(window.sent_to("https://other.example/").await, "https://other.example/");
}

#[tokio::test]
async fn oauth_leads_back_into_the_window() {
    let window = Window::open(BrowserClient::Android).await;
    let appid = &window.client.merchant.apps[0].appid;
    let back = window.pages.replace(':', "%3A").replace('/', "%2F");
    let link = format!(
        "{}/connect/oauth2/authorize?appid={appid}&redirect_uri={back}%2Fback&response_type=code&scope=snsapi_base&state=S1",
        window.client.url
    );
    let sent = window.http.get(link).send().await.unwrap();
    let to = sent.headers()["location"].to_str().unwrap();
    assert!(to.starts_with(&format!("{}/back?code=", window.url)), "{to}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of() {
    let (pieces, _) = mpsc::unbounded_channel();
    let window = Window::onto("http://127.0.0.1:9".into(), BrowserClient::Android, pieces).await;
    let answer = window.get("/").await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().await.unwrap().contains("没有回应"));
}

#[tokio::test]
async fn the_pages_are_on_a_server_and_not_in_a_folder() {
    for pages in ["http://127.0.0.1:9/shop", "ftp://127.0.0.1", "nowhere", "http://127.0.0.1:9/?a"] {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let browser = Browser { listen, pages: pages.into(), client: BrowserClient::Ios };
        assert!(Simulator::start(Options { browser: Some(browser), ..options() }).await.is_err(), "{pages}");
    }
}
