//! Logging in: the OAuth page of open.weixin.qq.com, and the questions to api.weixin.qq.com; and what an app
//! tells that host of shipping.
//!
//! Nothing here is signed; an error is a page, or `{errcode, errmsg}` with HTTP 200.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::error;

use super::{Here, LARGEST_BODY};
use crate::{
    browser,
    credentials::{App, AppKind, base64, random_text},
    faults::{FaultKind, Occasion, Target},
    login::{BadCode, Door},
    pages,
    payers::Payer,
    shipping,
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/connect/oauth2/authorize", get(ask_to_authorize).post(authorize))
        .route("/sns/oauth2/access_token", get(exchange_web_code))
        .route("/sns/jscode2session", get(exchange_mini_program_code))
        .route("/cgi-bin/stable_token", post(give_token))
        .route("/wxa/sec/order/upload_shipping_info", post(upload_shipping))
}

/// Silent, or with a page that asks the payer first.
async fn ask_to_authorize(
    State(wechat): Here,
    headers: HeaderMap,
    Query(said): Query<Vec<(String, String)>>,
) -> Response {
    match Asked::read(&wechat, &said) {
        Err(why) => why.into_response(),
        Ok(asked) if asked.door == Door::WebUserinfo => pages::page("authorize.html"),
        Ok(asked) => asked.grant(&wechat, &headers).await,
    }
}

/// The payer agreed.
async fn authorize(
    State(wechat): Here,
    headers: HeaderMap,
    Query(said): Query<Vec<(String, String)>>,
) -> Response {
    match Asked::read(&wechat, &said) {
        Err(why) => why.into_response(),
        Ok(asked) => asked.grant(&wechat, &headers).await,
    }
}

/// What a page asks when it sends the payer here.
struct Asked {
    app: App,
    door: Door,
    redirect_uri: Url,
    state: String,
}

/// Why the payer goes nowhere, with WeChat's number where it has one.
struct Refused(&'static str, &'static str);

impl Asked {
    fn read(wechat: &Wechat, said: &[(String, String)]) -> Result<Self, Refused> {
        /// WeChat matches the link by a pattern; in another order it does not open.
        const ORDER: [&str; 5] = ["appid", "redirect_uri", "response_type", "scope", "state"];
        let value = |name: &str| {
            said.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
        };
        let appid = value("appid").ok_or(Refused("10012", "appid 不能为空"))?;
        let target = value("redirect_uri").ok_or(Refused("10011", "redirect_uri 不能为空"))?;
        let scope = value("scope").ok_or(Refused("10010", "scope 不能为空"))?;
        let state = value("state").ok_or(Refused("10013", "state 不能为空"))?;
        let places = said.iter().filter_map(|(key, _)| ORDER.iter().position(|name| name == key));
        if !places.is_sorted() || value("response_type") != Some("code") {
            return Err(Refused(
                "",
                "链接须依次带有 appid、redirect_uri、response_type=code、scope、state，否则无法访问",
            ));
        }
        if state.len() > 128 || !state.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Refused("", "state 只能是 a-zA-Z0-9，且不超过 128 字节"));
        }
        let app = wechat.app(appid).ok_or(Refused("", "appid 参数错误"))?;
        if app.kind != AppKind::ServiceAccount {
            return Err(Refused("10016", "该 appid 不是服务号，不能发起网页授权"));
        }
        let door = Door::of_scope(scope).ok_or(Refused("10005", "scope 参数错误或没有 scope 权限"))?;
        let redirect_uri = Url::parse(target)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && wechat.allows_redirect_to(url))
            .ok_or(Refused("10003", "redirect_uri 域名与后台配置不一致"))?;
        Ok(Self { app, door, redirect_uri, state: state.to_owned() })
    }

    async fn grant(mut self, wechat: &Wechat, headers: &HeaderMap) -> Response {
        if let Some(windows) = wechat.windows.get() {
            self.redirect_uri = windows.inside(self.redirect_uri, &browser::host_in(headers));
        }
        match wechat.issue_code(self.door, &self.app, Payer::in_browser(headers)).await {
            Ok(code) => {
                self.redirect_uri
                    .query_pairs_mut()
                    .append_pair("code", &code)
                    .append_pair("state", &self.state);
                let mut response = Redirect::to(self.redirect_uri.as_str()).into_response();
                *response.status_mut() = StatusCode::FOUND;
                response
            }
            Err(error) => {
                error!(%error, "issuing a login code failed");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(number, why) = self;
        let number = if number.is_empty() { String::new() } else { format!("<p>错误码：{number}</p>") };
        // Only words of our own are in it, nothing that was sent.
        let page = format!(
            "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>无法授权 · 模拟器</title>\
             <link rel=\"stylesheet\" href=\"/assets/simulator.css\"></head><body class=\"hand\">\
             <main class=\"phone\"><div class=\"screen result\"><div class=\"seal failed\"></div>\
             <h1>无法授权</h1><p>{why}</p>{number}<p class=\"tag\">模拟器 · simulator</p></div></main></body></html>"
        );
        let mut response = Html(page).into_response();
        pages::restrict(response.headers_mut());
        response
    }
}

type Said = Query<HashMap<String, String>>;

/// What everyone who only previews a page is to every app.
const SNAPSHOT_OPENID: &str = "oSnapshot_many_share_this_id";

async fn exchange_web_code(State(wechat): Here, Query(said): Said) -> Response {
    let exchanged = exchange(&wechat, &said, "code", &[Door::WebBase, Door::WebUserinfo]).await;
    answer(exchanged.map(|Exchanged { app, door, payer, is_snapshot }| {
        let mut token = json!({
            "access_token": random_text(110),
            "expires_in": 7200,
            "refresh_token": random_text(110),
            "openid": payer.openid(&app.appid),
            "scope": door.scope(),
        });
        if door == Door::WebUserinfo {
            token["unionid"] = payer.unionid().into();
        }
        if is_snapshot {
            token["openid"] = SNAPSHOT_OPENID.into();
            token["is_snapshotuser"] = 1.into();
        }
        token
    }))
}

async fn exchange_mini_program_code(State(wechat): Here, Query(said): Said) -> Response {
    let exchanged = exchange(&wechat, &said, "js_code", &[Door::MiniProgram]).await;
    answer(exchanged.map(|Exchanged { app, payer, .. }| {
        json!({
            "openid": payer.openid(&app.appid),
            "session_key": base64(&rand::random::<[u8; 16]>()),
            "unionid": payer.unionid(),
        })
    }))
}

/// 获取稳定版接口调用凭据.
async fn give_token(State(wechat): Here, body: Bytes) -> Response {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(default)]
        grant_type: String,
        #[serde(default)]
        appid: String,
        #[serde(default)]
        secret: String,
        #[serde(default)]
        force_refresh: bool,
    }
    let given = async {
        let asked: Asked = serde_json::from_slice(&body).map_err(|_| Error(47001, "data format error"))?;
        if asked.grant_type != "client_credential" {
            return Err(Error(40002, "invalid grant_type"));
        }
        let app = known_app(&wechat, &asked.appid, &asked.secret)?;
        match wechat.stable_token(&app, asked.force_refresh).await {
            Ok((token, seconds)) => Ok(json!({"access_token": token, "expires_in": seconds})),
            Err(error) => {
                error!(%error, "giving an access token failed");
                Err(Error(-1, "system error"))
            }
        }
    };
    answer(given.await)
}

/// 发货信息录入接口.
async fn upload_shipping(State(wechat): Here, Query(said): Said, body: Bytes) -> Response {
    let taken = async {
        let token = said.get("access_token").filter(|token| !token.is_empty());
        let token = token.ok_or(Error(41001, "access_token missing"))?;
        if body.len() > LARGEST_BODY {
            return Err(Error(47001, "data format error"));
        }
        match wechat.upload_shipping(token, &body).await {
            Ok(()) => Ok(json!({"errcode": 0, "errmsg": "ok"})),
            Err(shipping::Refused::Said(code, why)) => Err(Error(code, why)),
            Err(shipping::Refused::Store(error)) => {
                error!(%error, "taking shipping failed");
                Err(Error(-1, "system error"))
            }
        }
    };
    answer(taken.await)
}

fn known_app(wechat: &Wechat, appid: &str, secret: &str) -> Result<App, Error> {
    let app = wechat.app(appid).ok_or(Error(40013, "invalid appid"))?;
    if app.secret == secret { Ok(app) } else { Err(Error(40125, "invalid appsecret")) }
}

/// A code that was good.
struct Exchanged {
    app: App,
    door: Door,
    payer: &'static Payer,
    is_snapshot: bool,
}

/// `errcode` and `errmsg`.
struct Error(i32, &'static str);

async fn exchange(
    wechat: &Wechat,
    said: &HashMap<String, String>,
    code_name: &str,
    doors: &[Door],
) -> Result<Exchanged, Error> {
    let value = |name: &str| said.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let appid = value("appid").ok_or(Error(41002, "appid missing"))?;
    let secret = value("secret").ok_or(Error(41004, "appsecret missing"))?;
    let code = value(code_name).ok_or(Error(41008, "missing code"))?;
    if value("grant_type") != Some("authorization_code") {
        return Err(Error(40002, "invalid grant_type"));
    }
    let app = known_app(wechat, appid, secret)?;
    let target = if doors.contains(&Door::MiniProgram) { Target::Login } else { Target::Authorization };
    let fault = wechat.app_fault(&app, target);
    if fault == Some(FaultKind::SystemBusy) {
        return Err(Error(-1, "system error"));
    }
    let is_snapshot = fault == Some(FaultKind::SnapshotUser);
    match wechat.redeem_code(code, &app, doors).await {
        Ok((door, payer)) => Ok(Exchanged { app, door, payer, is_snapshot }),
        Err(BadCode::Unknown) => Err(Error(40029, "invalid code")),
        Err(BadCode::Used) => Err(Error(40163, "code been used")),
        Err(BadCode::Store(error)) => {
            error!(%error, "redeeming a login code failed");
            Err(Error(-1, "system error"))
        }
    }
}

impl Wechat {
    /// What goes wrong with a call of an app that is who it says it is.
    pub(crate) fn app_fault(&self, app: &App, target: Target) -> Option<FaultKind> {
        let owner = self.merchants.all().find(|keys| keys.merchant().apps.contains(app))?;
        let occasion = Occasion {
            target,
            mchid: owner.mchid().to_owned(),
            numbers: Vec::new(),
            path: app.appid.clone(),
            was_put_off: false,
        };
        self.faults.take(&self.chance, &occasion).map(|fault| fault.kind)
    }
}

fn answer(outcome: Result<Value, Error>) -> Response {
    let body = outcome.unwrap_or_else(|Error(errcode, errmsg)| {
        let [a, b, c] = rand::random::<[u32; 3]>();
        json!({"errcode": errcode, "errmsg": format!("{errmsg}, rid: {a:08x}-{b:08x}-{c:08x}")})
    });
    // In life these answers say text/plain, and a client that insists on JSON has to know it.
    let kind = HeaderValue::from_static("text/plain");
    ([(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
