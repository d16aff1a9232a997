//! The payer's path inside WeChat: the authorisation and the way back, the openid and what it is worth,
//! the login of a mini-program. A name that begins with a number tells of that criterion of the
//! requirements for JSAPI payments.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::{code_exchange, oauth_state, order_payer, payment};
use everpaid::{
    config::{App, AppKind},
    roles::Roles,
};
use http::Method;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Target};
use tracing_subscriber::EnvFilter;

use crate::{
    system::{API_KEY, Answered, MINI_PROGRAM, OTHER_API_KEY, Placed, SERVICE_ACCOUNT, TestSystem, order},
    wire::Rule,
};

const OPENID: &str = "/v1/wechat/oauth/openid";
const LOGIN: &str = "/v1/wechat/mini-program/login";

/// A browser inside WeChat: it keeps its cookies, goes where it is sent only when the test says so, and
/// is held by one of the simulator's payers.
struct Browser {
    http: reqwest::Client,
    cookies: Mutex<Vec<String>>,
    payer: &'static str,
}

impl Browser {
    fn of(payer: &'static str) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { http: http.build().unwrap(), cookies: Mutex::default(), payer }
    }

    async fn visit(&self, url: &str) -> Answered {
        let path = url.parse::<reqwest::Url>().unwrap().path().to_owned();
        let mut cookies = vec![format!("simulated_payer={}", self.payer)];
        // All of ours are for this path.
        if path.starts_with("/wechat/") {
            cookies.extend(self.cookies.lock().unwrap().iter().cloned());
        }
        let answered = Answered::of(self.http.get(url).header("cookie", cookies.join("; "))).await;
        for set in answered.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            assert!(set.contains("Path=/wechat;"), "{set}");
            self.cookies.lock().unwrap().push(set.split(';').next().unwrap().to_owned());
        }
        answered
    }

    /// Begins an authorisation: where WeChat's page is.
    async fn leaves(&self, system: &TestSystem, order: &Placed) -> String {
        sent_to(&self.visit(&authorize_url(system, order, None)).await, 303)
    }

    /// Goes through WeChat's page: where our own jump page is.
    async fn returns(&self, authorize: &str) -> String {
        sent_to(&self.visit(authorize).await, 302)
    }

    /// All the way: the code and the state that a page finds in its address.
    async fn authorizes(&self, system: &TestSystem, order: &Placed) -> Value {
        let jump = self.returns(&self.leaves(system, order).await).await;
        let page = sent_to(&self.visit(&jump).await, 303);
        json!({ "code": query(&page, "code").unwrap(), "state": query(&page, "state").unwrap() })
    }
}

fn authorize_url(system: &TestSystem, order: &Placed, return_to: Option<&str>) -> String {
    let mut url: reqwest::Url = system.url("/v1/wechat/oauth/authorize").parse().unwrap();
    url.query_pairs_mut().append_pair("client_secret", &order.client_secret);
    if let Some(return_to) = return_to {
        url.query_pairs_mut().append_pair("return_to", return_to);
    }
    url.into()
}

/// Where a browser is sent by an answer that it must neither keep nor tell of.
fn sent_to(answered: &Answered, status: u16) -> String {
    assert_eq!(answered.status, status, "{answered:?}");
    if status == 303 {
        assert_eq!(answered.headers["cache-control"], "no-store");
        assert_eq!(answered.headers["referrer-policy"], "no-referrer");
    }
    answered.headers["location"].to_str().unwrap().to_owned()
}

fn query(url: &str, name: &str) -> Option<String> {
    let url = url.parse::<reqwest::Url>().unwrap();
    url.query_pairs().find_map(|(its_name, value)| (its_name == name).then(|| value.into_owned()))
}

impl TestSystem {
    async fn exchange(&self, order: &Placed, code: &Value) -> Answered {
        self.post(OPENID, &order.client_secret, code).await
    }

    /// What `wx.login` gives.
    async fn login_code(&self, payer: &str) -> String {
        let url = format!("{}/_sim/phone/login", self.simulator.url());
        let asked = json!({ "appid": MINI_PROGRAM, "payer": payer });
        let answered = Answered::of(self.http.post(url).json(&asked)).await;
        answered.body["code"].as_str().unwrap().to_owned()
    }

    /// How many authorisations, exchanges and payers are written down.
    async fn written(&self) -> [u64; 3] {
        let db = self.db();
        let db = db.reader();
        [
            oauth_state::Entity::find().count(db).await.unwrap(),
            code_exchange::Entity::find().count(db).await.unwrap(),
            order_payer::Entity::find().count(db).await.unwrap(),
        ]
    }

    async fn pay_as(&self, order: &Placed, app_id: &str, openid: &str) -> Answered {
        let path = format!("/v1/orders/{}/payments", order.id);
        let asked = json!({
            "method": "mini_program", "app_id": app_id, "openid": openid, "expected_total": 3990,
        });
        self.post(&path, &order.client_secret, &asked).await
    }
}

/// A page that says these words to a person, and sends nobody anywhere.
fn is_page(answered: &Answered, status: u16, zh: &str, en: &str) {
    assert_eq!(answered.status, status, "{answered:?}");
    assert!(!answered.headers.contains_key("location"), "{answered:?}");
    assert_eq!(answered.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(answered.headers["cache-control"], "no-store");
    assert_eq!(answered.headers["referrer-policy"], "no-referrer");
    let html = answered.body.as_str().unwrap();
    assert!(html.contains(zh) && html.contains(en) && !html.contains("{{"), "{html}");
}

fn leads_back(answered: &Answered, system: &TestSystem, order: &Placed) -> bool {
    let checkout = format!("href=\"{}\"", system.url(&format!("/pay/{}", order.client_secret)));
    answered.body.as_str().unwrap().contains(&checkout)
}

fn is_problem(answered: &Answered, status: u16, code: &str) {
    assert_eq!((answered.status, answered.code()), (status, code), "{answered:?}");
    assert_eq!(answered.headers["content-type"], "application/problem+json");
}

fn openid_in(answered: &Answered, app_id: &str) -> String {
    assert_eq!((answered.status, &answered.body["app_id"]), (200, &json!(app_id)), "{answered:?}");
    assert_eq!(answered.headers["cache-control"], "no-store");
    answered.body["openid"].as_str().unwrap().to_owned()
}

/// R2.1, R2.2, R2.3: the exact address, which names the target by reference and tells nobody of it.
#[tokio::test]
async fn r2_1_r2_2_r2_3_the_payer_is_sent_to_wechat_with_a_state_that_is_a_reference() {
    let mut system = TestSystem::one().await;
    let order = system.place_order("T-1").await;
    let answered = Browser::of("xiaoming").visit(&authorize_url(&system, &order, None)).await;
    let location = sent_to(&answered, 303);
    let state = query(&location, "state").unwrap();
    assert!(state.len() == 32 && state.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{state}");
    let port = system.url("").rsplit(':').next().unwrap().to_owned();
    assert_eq!(
        location,
        format!(
            "{}/connect/oauth2/authorize?appid={SERVICE_ACCOUNT}\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A{port}%2Fwechat%2Fauth-jump\
             &response_type=code&scope=snsapi_base&state={state}#wechat_redirect",
            system.simulator.url()
        )
    );
    let cookie = answered.headers["set-cookie"].to_str().unwrap();
    let (name, rest) = cookie.split_once('=').unwrap();
    let (said, attributes) = rest.split_once("; ").unwrap();
    assert_eq!(name, format!("everpaid-{state}"));
    assert!(said.len() == 32 && said != state, "{cookie}");
    assert_eq!(attributes, "Path=/wechat; Max-Age=86400; HttpOnly; SameSite=Lax");

    let row = oauth_state::Entity::find_by_id(&state).one(system.db().reader()).await.unwrap().unwrap();
    assert_eq!((&row.order_id, row.app_id.as_str()), (&order.id, SERVICE_ACCOUNT));
    assert_eq!(row.target, system.url("/pay/{client_secret}"), "the secret is stored nowhere");
    assert!(!row.browser_hash.contains(said));

    // In earnest: WeChat's own host, and a cookie for https only.
    system
        .reconfigure(|config| {
            config.public_url = Some("https://pay.example.com".to_owned());
            config.wechat.open_url = Some("https://open.weixin.qq.com".to_owned());
        })
        .await;
    let answered = Browser::of("xiaoming").visit(&authorize_url(&system, &order, None)).await;
    let state = query(&sent_to(&answered, 303), "state").unwrap();
    assert_eq!(
        sent_to(&answered, 303),
        format!(
            "https://open.weixin.qq.com/connect/oauth2/authorize?appid={SERVICE_ACCOUNT}\
             &redirect_uri=https%3A%2F%2Fpay.example.com%2Fwechat%2Fauth-jump\
             &response_type=code&scope=snsapi_base&state={state}#wechat_redirect"
        )
    );
    assert!(answered.headers["set-cookie"].to_str().unwrap().ends_with("; SameSite=Lax; Secure"));
    system.end().await;
}

#[tokio::test]
async fn r2_4_r2_5_the_way_back_leads_to_the_target_with_code_and_state() {
    for mut system in TestSystem::each().await {
        system.configure(|merchant| merchant.origins = vec!["https://shop.example.com".to_owned()]).await;
        let order = system.place_order("T-1").await;
        let own = system.url(&format!("/pay/{}", order.client_secret));
        let shops = "https://shop.example.com/pay?no=%E4%B8%80&cs=";
        for (return_to, target) in [
            (None, own.clone()),
            (Some(own.clone()), own.clone()),
            (Some(format!("{own}?code=old&state=older")), own.clone()),
            (
                Some(format!("{shops}{}#/done", order.client_secret)),
                format!("{shops}{}", order.client_secret),
            ),
            (Some("https://shop.example.com".to_owned()), "https://shop.example.com/".to_owned()),
            (Some("HTTPS://SHOP.example.com:443/a/../b".to_owned()), "https://shop.example.com/b".to_owned()),
        ] {
            let browser = Browser::of("xiaoming");
            let url = authorize_url(&system, &order, return_to.as_deref());
            let jump = browser.returns(&sent_to(&browser.visit(&url).await, 303)).await;
            assert!(jump.starts_with(&system.url("/wechat/auth-jump?")), "{jump}");
            let (code, state) = (query(&jump, "code").unwrap(), query(&jump, "state").unwrap());
            let answer = format!("code={code}&state={state}");
            let joint = if target.contains('?') { '&' } else { '?' };
            let page = sent_to(&browser.visit(&jump).await, 303);
            let fragment = if return_to.is_some_and(|url| url.contains('#')) { "#/done" } else { "" };
            assert_eq!(page, format!("{target}{joint}{answer}{fragment}"));
            let row = oauth_state::Entity::find_by_id(&state).one(system.db().reader()).await.unwrap();
            assert!(!row.unwrap().target.contains(&order.client_secret));
        }
        system.end().await;
    }
}

#[tokio::test]
async fn a_foreign_place_to_return_to_is_refused_and_nothing_is_written() {
    let mut system = TestSystem::one().await;
    system.configure(|merchant| merchant.origins = vec!["https://shop.example.com".to_owned()]).await;
    let order = system.place_order("T-1").await;
    let browser = Browser::of("xiaoming");
    let host = system.url("").replace("http://", "");
    let long = format!("https://shop.example.com/{}", "x".repeat(1024));
    for return_to in [
        "https://evil.example.com/",
        "http://shop.example.com/",
        "https://shop.example.com:8443/",
        "https://shop.example.com.evil.example.com/",
        "https://shop.example.com@evil.example.com/",
        "https://me:x@shop.example.com/",
        "https://evil.example.com\\@shop.example.com/",
        "https:\\\\evil.example.com/",
        "//shop.example.com/",
        "/pay/x",
        "javascript:alert(1)",
        "data:text/html,x",
        "blob:https://shop.example.com/x",
        "null",
        "",
        &format!("http://{host}@evil.example.com/"),
        &format!("https://{host}/"),
        &format!("http://{host}/wechat/auth-jump"),
        &format!("http://{host}/v1/wechat/oauth/authorize?client_secret={}", order.client_secret),
        &long,
    ] {
        let url = authorize_url(&system, &order, Some(return_to));
        let answered = browser.visit(&url).await;
        assert_eq!(answered.status, 400, "{return_to}");
        is_page(&answered, 400, "无法返回商家页面", "The way back is not allowed");
        assert!(!answered.headers.contains_key("set-cookie"));
    }
    // The list is one merchant's and not another's.
    let others = system.post("/v1/orders", OTHER_API_KEY, &self::order("O-1")).await.placed();
    let url = authorize_url(&system, &others, Some("https://shop.example.com/"));
    is_page(&browser.visit(&url).await, 400, "无法返回商家页面", "not allowed");
    let nobodys = Placed { client_secret: "cs_nobody".to_owned(), ..order };
    for url in [authorize_url(&system, &nobodys, None), system.url("/v1/wechat/oauth/authorize")] {
        is_page(&browser.visit(&url).await, 404, "链接无效", "This link does not work");
    }
    assert_eq!(system.written().await, [0, 0, 0]);
    system.end().await;
}

#[tokio::test]
async fn a_state_that_is_forged_or_too_long_or_missing_leads_nowhere() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let browser = Browser::of("xiaoming");
        let jump = browser.returns(&browser.leaves(&system, &order).await).await;
        let (code, state) = (query(&jump, "code").unwrap(), query(&jump, "state").unwrap());
        let forged: String = state.chars().rev().collect();
        let upper = state.to_ascii_uppercase();
        for answer in [
            String::new(),
            format!("code={code}"),
            format!("state={state}"),
            format!("code=&state={state}"),
            format!("code={code}&state={forged}"),
            format!("code={code}&state={upper}"),
            format!("code={code}&state={state}a"),
            format!("code={code}&state={}", state.repeat(5)),
            format!("code={code}&state={state}&state={forged}"),
            format!("code={code}&code={code}&state={state}"),
            format!("code={}&state={state}", "c".repeat(257)),
            format!("code={code}&state=https%3A%2F%2Fevil.example.com"),
            format!("code={code}&state=%27%20OR%201%3D1--"),
            format!("code=%00&state={state}"),
        ] {
            let answered = browser.visit(&system.url(&format!("/wechat/auth-jump?{answer}"))).await;
            is_page(&answered, 400, "授权链接无效", "This sign-in is not valid");
            assert!(!leads_back(&answered, &system, &order));
        }
        // What was tried has not spoilt the right one.
        let page = sent_to(&browser.visit(&jump).await, 303);
        let back = json!({ "code": query(&page, "code"), "state": query(&page, "state") });
        for (name, value) in [
            ("state", forged),
            ("state", state.repeat(5)),
            ("state", "\u{0}".repeat(32)),
            ("code", "\u{0}".to_owned()),
            ("code", "c".repeat(9999)),
            ("code", String::new()),
        ] {
            let mut wrong = back.clone();
            wrong[name] = json!(value);
            is_problem(&system.exchange(&order, &wrong).await, 400, "authorization_expired");
        }
        is_problem(&system.post(OPENID, API_KEY, &back).await, 403, "client_secret_required");
        is_problem(&system.post(OPENID, "cs_nobody", &back).await, 401, "unauthorized");
        is_problem(&system.exchange(&order, &json!({ "code": code })).await, 400, "invalid_request");
        openid_in(&system.exchange(&order, &back).await, SERVICE_ACCOUNT);
        system.end().await;
    }
}

/// Login CSRF: who is sent a link with somebody else's code in it does not become that somebody.
#[tokio::test]
async fn an_authorisation_goes_on_only_in_the_browser_it_began_in() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let (attacker, victim) = (Browser::of("xiaohua"), Browser::of("xiaoming"));
        let jump = attacker.returns(&attacker.leaves(&system, &order).await).await;
        let back = json!({ "code": query(&jump, "code"), "state": query(&jump, "state") });
        // The victim has a cookie too: one of its own.
        victim.leaves(&system, &order).await;
        let answered = victim.visit(&jump).await;
        is_page(&answered, 403, "请在原来的页面继续", "This sign-in began elsewhere");
        assert!(!leads_back(&answered, &system, &order));
        // Past the jump page there is no way either.
        is_problem(&system.exchange(&order, &back).await, 400, "authorization_expired");
        assert_eq!(system.written().await, [2, 0, 0]);

        // A cookie of the right name does not help.
        let state = query(&jump, "state").unwrap();
        victim.cookies.lock().unwrap().push(format!("everpaid-{state}=guessed"));
        is_page(&victim.visit(&jump).await, 403, "请在原来的页面继续", "began elsewhere");
        sent_to(&attacker.visit(&jump).await, 303);
        openid_in(&system.exchange(&order, &back).await, SERVICE_ACCOUNT);
        system.end().await;
    }
}

#[tokio::test]
async fn r2_6_a_code_is_exchanged_for_the_openid_that_then_pays() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let code = Browser::of("xiaoming").authorizes(&system, &order).await;
        let openid = openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
        let answered = system.pay_as(&order, SERVICE_ACCOUNT, &openid).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        assert!(!answered.body.to_string().contains(&openid));
        let payment = system.payment_of(&order).await;
        let pay = simulator::Pay { openid: Some(openid), total: None };
        system.simulator.pay(&payment.out_trade_no, pay).await.unwrap();
        system.order_is_paid(&order).await;
        system.end().await;
    }
}

/// Browsers load the way back twice, and hang up on the first load.
#[tokio::test]
async fn a_way_back_that_is_loaded_twice_is_exchanged_once() {
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let order = system.place_order("T-1").await;
        let browser = Browser::of("xiaoming");
        let to_simulator = |url: String| url.replace(&wire.url, &system.simulator.url());
        let jump = browser.returns(&to_simulator(browser.leaves(&system, &order).await)).await;
        let first = sent_to(&browser.visit(&jump).await, 303);
        assert_eq!(sent_to(&browser.visit(&jump).await, 303), first);
        let back = json!({ "code": query(&first, "code"), "state": query(&first, "state") });

        // The first one hangs up while WeChat is asked; those after it wait a little, and ask nothing.
        wire.now(Rule::Hold("say GET /sns/oauth2/access_token"));
        let hung_up = {
            let (asking, seen) = (system.exchange(&order, &back), wire.has_seen(1, "say GET /sns/oauth2"));
            tokio::select! { answered = asking => Some(answered), () = seen => None }
        };
        assert!(hung_up.is_none(), "{hung_up:?}");
        let again = async || {
            tokio::join!(
                system.exchange(&order, &back),
                system.exchange(&order, &back),
                system.exchange(&order, &back),
            )
        };
        let (one, two, three) = again().await;
        for waited in [one, two, three] {
            is_problem(&waited, 503, "wechat_unavailable");
        }
        wire.now(Rule::PassAll);
        let (one, two, three) = again().await;
        let openid = openid_in(&one, SERVICE_ACCOUNT);
        assert_eq!(openid_in(&two, SERVICE_ACCOUNT), openid);
        assert_eq!(openid_in(&three, SERVICE_ACCOUNT), openid);
        // Much later, still: the code is long spent at WeChat.
        system.advance(Duration::from_secs(9 * 60)).await;
        assert_eq!(openid_in(&system.exchange(&order, &back).await, SERVICE_ACCOUNT), openid);
        let asked = wire.passed();
        let asked = asked.iter().filter(|passed| passed.line.starts_with("ask GET /sns/")).count();
        assert_eq!(asked, 1, "{:#?}", wire.passed());
        assert_eq!(system.written().await, [1, 1, 1]);
        system.end().await;
    }
}

#[tokio::test]
async fn two_processes_on_one_database_know_the_same_payer() {
    for mut system in TestSystem::each().await {
        if system.database.name == "sqlite" {
            system.end().await;
            continue;
        }
        let wire = system.wired().await;
        let apart = system.start_apart(Roles::API).await;
        let there = |path: &str| format!("http://{}{path}", apart.api_addr.unwrap());
        let order = system.place_order("T-1").await;
        let browser = Browser::of("xiaoming");
        let authorize = browser.leaves(&system, &order).await.replace(&wire.url, &system.simulator.url());
        // Begun here, back there.
        let jump = browser.returns(&authorize).await.replace(&system.url(""), &there(""));
        let page = sent_to(&browser.visit(&jump).await, 303);
        let back = json!({ "code": query(&page, "code"), "state": query(&page, "state") });
        let exchange_there = || {
            let asked = system.http.post(there(OPENID)).bearer_auth(&order.client_secret).json(&back);
            Answered::of(asked)
        };
        let (here, over_there) = tokio::join!(system.exchange(&order, &back), exchange_there());
        let openid = openid_in(&here, SERVICE_ACCOUNT);
        assert_eq!(openid_in(&over_there, SERVICE_ACCOUNT), openid);
        let asked = wire.passed();
        assert_eq!(asked.iter().filter(|passed| passed.line.starts_with("ask GET /sns/")).count(), 1);
        let path = format!("/v1/orders/{}/payments", order.id);
        let asked = json!({ "method": "mini_program", "app_id": SERVICE_ACCOUNT, "openid": openid });
        let paying = system.http.post(there(&path)).bearer_auth(&order.client_secret).json(&asked);
        assert!(matches!(Answered::of(paying).await.status, 200 | 202));
        apart.stop().await.unwrap();
        system.end().await;
    }
}

#[tokio::test]
async fn r2_8_a_code_that_is_used_or_too_old_asks_for_another_authorisation() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let browser = Browser::of("xiaoming");
        // Somebody else used it.
        let used = browser.authorizes(&system, &order).await;
        let app = &system.simulator.merchant().apps[0];
        let url = format!(
            "{}/sns/oauth2/access_token?appid={}&secret={}&code={}&grant_type=authorization_code",
            system.simulator.url(),
            app.appid,
            app.secret,
            used["code"].as_str().unwrap()
        );
        assert!(Answered::of(system.http.get(url)).await.body["openid"].is_string());
        // WeChat's five minutes are over, ours are not.
        let old = browser.authorizes(&system, &order).await;
        system.advance(Duration::from_secs(5 * 60)).await;
        for _ in 0..2 {
            for code in [&used, &old] {
                let answered = system.exchange(&order, code).await;
                is_problem(&answered, 400, "authorization_expired");
                assert_eq!(answered.body["retryable"], false);
            }
        }
        assert_eq!(system.written().await, [2, 2, 0]);

        // Ours are over: on the way back, and after it.
        let jump = browser.returns(&browser.leaves(&system, &order).await).await;
        let returned = browser.authorizes(&system, &order).await;
        system.advance(Duration::from_secs(10 * 60)).await;
        let answered = browser.visit(&jump).await;
        is_page(&answered, 400, "授权已过期", "The sign-in has expired");
        assert!(leads_back(&answered, &system, &order));
        // A state alone is worth nothing, however old.
        let answered = Browser::of("xiaohua").visit(&jump).await;
        is_page(&answered, 403, "请在原来的页面继续", "This sign-in began elsewhere");
        assert!(!leads_back(&answered, &system, &order));
        is_problem(&system.exchange(&order, &returned).await, 400, "authorization_expired");
        assert_eq!(system.written().await, [4, 2, 0]);

        // The next authorisation is as good as the first would have been.
        let code = browser.authorizes(&system, &order).await;
        openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
        system.end().await;
    }
}

/// Going back in a browser leads through WeChat's page again, with the same state.
#[tokio::test]
async fn the_newest_code_of_a_state_counts() {
    let system = TestSystem::one().await;
    let order = system.place_order("T-1").await;
    let browser = Browser::of("xiaoming");
    let authorize = browser.leaves(&system, &order).await;
    let mut codes = Vec::new();
    for _ in 0..2 {
        let page = sent_to(&browser.visit(&browser.returns(&authorize).await).await, 303);
        codes.push(json!({ "code": query(&page, "code"), "state": query(&page, "state") }));
    }
    is_problem(&system.exchange(&order, &codes[0]).await, 400, "authorization_expired");
    openid_in(&system.exchange(&order, &codes[1]).await, SERVICE_ACCOUNT);
    system.end().await;
}

/// WeChat gives everybody who only previews a page the same openid; a payment in its name would be
/// nobody's.
#[tokio::test]
async fn who_only_previews_the_page_is_refused() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let code = Browser::of("xiaoming").authorizes(&system, &order).await;
        system.wechat(Fault::new(FaultKind::SnapshotUser).times(1));
        for _ in 0..2 {
            is_problem(&system.exchange(&order, &code).await, 403, "snapshot_user");
        }
        let shared = "oSnapshot_many_share_this_id";
        is_problem(&system.pay_as(&order, SERVICE_ACCOUNT, shared).await, 403, "openid_not_verified");
        assert_eq!(system.written().await, [1, 1, 0]);
        system.end().await;
    }
}

/// While WeChat does not say anything that counts, the same code may be brought again.
#[tokio::test]
async fn while_wechat_does_not_answer_nothing_is_decided() {
    for mut system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let browser = Browser::of("xiaoming");
        let unavailable = |answered: &Answered| {
            is_problem(answered, 503, "wechat_unavailable");
            assert_eq!(answered.body["retryable"], true);
        };
        // Busy: the code stays good.
        let code = browser.authorizes(&system, &order).await;
        system.wechat(Fault::new(FaultKind::SystemBusy).times(2));
        unavailable(&system.exchange(&order, &code).await);
        unavailable(&system.exchange(&order, &code).await);
        openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
        // Busy for ever: somebody who keeps asking is not let through to WeChat for ever.
        let code = browser.authorizes(&system, &order).await;
        system.wechat(Fault::new(FaultKind::SystemBusy).on(Target::Authorization));
        for _ in 0..5 {
            unavailable(&system.exchange(&order, &code).await);
        }
        is_problem(&system.exchange(&order, &code).await, 400, "authorization_expired");
        system.wechat_is_well();
        is_problem(&system.exchange(&order, &code).await, 400, "authorization_expired");

        // The answer is lost: the code is spent, as WeChat says when it is asked again.
        let code = browser.authorizes(&system, &order).await;
        let login = json!({ "code": system.login_code("xiaoming").await });
        let wire = system.wired().await;
        wire.now(Rule::Lose("say GET /sns/"));
        unavailable(&system.exchange(&order, &code).await);
        unavailable(&system.post(LOGIN, &order.client_secret, &login).await);
        wire.now(Rule::PassAll);
        is_problem(&system.exchange(&order, &code).await, 400, "authorization_expired");
        is_problem(&system.post(LOGIN, &order.client_secret, &login).await, 400, "authorization_expired");
        system.end().await;
    }
}

/// Whoever was asking when their process died is gone; the next one asks again after a while.
#[tokio::test]
async fn an_exchange_that_was_never_ended_is_taken_over() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let asked = json!({ "code": system.login_code("xiaoming").await });
        system.wechat(Fault::new(FaultKind::SystemBusy).times(1));
        is_problem(&system.post(LOGIN, &order.client_secret, &asked).await, 503, "wechat_unavailable");
        // As a process leaves it that dies while it asks.
        let now = system.clock.now();
        let died = async |txn: &entity::Txn| {
            use sea_orm::ConnectionTrait;
            txn.execute_unprepared(&format!("UPDATE code_exchange SET claimed_at = {}", now.0)).await
        };
        system.db().write(died).await.unwrap();
        is_problem(&system.post(LOGIN, &order.client_secret, &asked).await, 503, "wechat_unavailable");
        system.advance(Duration::from_secs(10)).await;
        openid_in(&system.post(LOGIN, &order.client_secret, &asked).await, MINI_PROGRAM);
        system.end().await;
    }
}

/// What was exchanged is worth something for one order and one app.
#[tokio::test]
async fn an_openid_of_another_app_or_another_order_pays_nothing() {
    for system in TestSystem::each().await {
        let (order, other) = (system.place_order("T-1").await, system.place_order("T-2").await);
        let browser = Browser::of("xiaoming");
        let code = browser.authorizes(&system, &order).await;
        is_problem(&system.exchange(&other, &code).await, 400, "authorization_expired");
        let in_page = openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
        is_problem(&system.exchange(&other, &code).await, 400, "authorization_expired");

        let login = json!({ "code": system.login_code("xiaoming").await });
        let answered = system.post(LOGIN, &order.client_secret, &login).await;
        let in_app = openid_in(&answered, MINI_PROGRAM);
        is_problem(&system.post(LOGIN, &other.client_secret, &login).await, 400, "authorization_expired");
        assert_ne!(in_page, in_app);

        for (order, app, openid) in [
            (&order, MINI_PROGRAM, &in_page),
            (&order, SERVICE_ACCOUNT, &in_app),
            (&other, SERVICE_ACCOUNT, &in_page),
            (&other, MINI_PROGRAM, &in_app),
            (&order, SERVICE_ACCOUNT, &"oSomebodyElse".to_owned()),
        ] {
            is_problem(&system.pay_as(order, app, openid).await, 403, "openid_not_verified");
        }
        assert_eq!(system.rows().await[1], 0, "no payment was written");
        assert_eq!(system.pay_as(&order, SERVICE_ACCOUNT, &in_page).await.status, 200);

        // The same person for the other order takes an authorisation of its own.
        let code = browser.authorizes(&system, &other).await;
        assert_eq!(openid_in(&system.exchange(&other, &code).await, SERVICE_ACCOUNT), in_page);
        assert_eq!(system.pay_as(&other, SERVICE_ACCOUNT, &in_page).await.status, 200);
        system.end().await;
    }
}

/// R3.1, R3.5: both names are taken, and one is written down.
#[tokio::test]
async fn r3_1_r3_5_a_payment_inside_wechat_is_taken_and_recorded_as_mini_program() {
    for system in TestSystem::each().await {
        for (number, method) in [("T-1", "mini_program"), ("T-2", "jsapi")] {
            let order = system.place_order(number).await;
            let code = Browser::of("xiaoming").authorizes(&system, &order).await;
            let openid = openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
            let path = format!("/v1/orders/{}/payments", order.id);
            let asked = json!({ "method": method, "app_id": SERVICE_ACCOUNT, "openid": openid });
            let answered = system.post(&path, &order.client_secret, &asked).await;
            assert_eq!((answered.status, &answered.body["payment"]["method"]), (200, &json!("mini_program")));
            assert_eq!(system.payment_of(&order).await.method, payment::Method::MiniProgram);
        }
        system.end().await;
    }
}

/// R3.2, R3.3: what WeChat Pay's JSAPI handed out is signed and given to the payer.
#[tokio::test]
async fn r3_2_r3_3_the_payer_is_given_the_call_up_of_a_prepay_made_at_wechat_pay() {
    for mut system in TestSystem::each().await {
        let wire = system.wired().await;
        let order = system.place_order("T-1").await;
        let asked = json!({ "code": system.login_code("xiaoming").await, "app_id": MINI_PROGRAM });
        let openid = openid_in(&system.post(LOGIN, &order.client_secret, &asked).await, MINI_PROGRAM);
        let answered = system.pay_as(&order, MINI_PROGRAM, &openid).await;
        let call_up = answered.body["payment"]["call_up"].as_object().unwrap();
        let mut names: Vec<_> = call_up.keys().collect();
        names.sort();
        assert_eq!(names, ["appId", "nonceStr", "package", "paySign", "signType", "timeStamp"]);
        assert!(call_up.values().all(|value| value.as_str().is_some_and(|text| !text.is_empty())));
        let payment = system.payment_of(&order).await;
        let prepay = format!("prepay_id={}", payment.prepay_id.unwrap());
        assert_eq!((&call_up["appId"], &call_up["package"]), (&json!(MINI_PROGRAM), &json!(prepay)));
        wire.has_seen(1, "ask POST /v3/pay/transactions/jsapi").await;
        // The cashier that WeChat opens with them checks their signature.
        let invoked = json!({
            "cashier": "mini_program", "appid": MINI_PROGRAM, "payer": "xiaoming", "parameters": call_up,
        });
        let url = format!("{}/_sim/phone/invoke", system.simulator.url());
        let sheet = Answered::of(system.http.post(url).json(&invoked)).await;
        assert_eq!(sheet.body["order"]["out_trade_no"], json!(payment.out_trade_no), "{sheet:?}");
        system.end().await;
    }
}

#[tokio::test]
async fn r3_4_a_payment_inside_wechat_without_an_openid_is_refused() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let path = format!("/v1/orders/{}/payments", order.id);
        for asked in [
            json!({ "method": "mini_program", "app_id": SERVICE_ACCOUNT }),
            json!({ "method": "jsapi", "app_id": MINI_PROGRAM, "openid": "" }),
            json!({ "method": "mini_program", "app_id": SERVICE_ACCOUNT, "openid": null }),
        ] {
            is_problem(&system.post(&path, &order.client_secret, &asked).await, 400, "openid_required");
        }
        assert_eq!(system.rows().await[1], 0);
        system.end().await;
    }
}

#[tokio::test]
async fn a_mini_program_logs_its_payer_in_who_then_pays() {
    for mut system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let asked = json!({ "code": system.login_code("xiaohong").await });
        let answered = system.post(LOGIN, &order.client_secret, &asked).await;
        assert!(!answered.body.to_string().contains("session"), "{answered:?}");
        let openid = openid_in(&answered, MINI_PROGRAM);
        // Brought twice, as after a lost answer.
        let again = system.post(LOGIN, &order.client_secret, &asked).await;
        assert_eq!(openid_in(&again, MINI_PROGRAM), openid);
        assert_eq!(system.pay_as(&order, MINI_PROGRAM, &openid).await.status, 200);

        for (asked, status, code) in [
            (json!({ "code": "nonsense" }), 400, "authorization_expired"),
            (json!({ "code": "" }), 400, "authorization_expired"),
            (json!({ "code": "x", "app_id": SERVICE_ACCOUNT }), 400, "app_unknown"),
            (json!({ "code": "x", "app_id": "wx9" }), 400, "app_unknown"),
            (json!({ "code": "x", "openid": "o" }), 400, "invalid_request"),
            (json!({}), 400, "invalid_request"),
        ] {
            is_problem(&system.post(LOGIN, &order.client_secret, &asked).await, status, code);
        }
        is_problem(&system.post(LOGIN, API_KEY, &asked).await, 403, "client_secret_required");
        // With two mini-programs the page must say which one it is in.
        let second = App { secret: Some("s".to_owned().into()), ..AppKind::MiniProgram.into() };
        system.configure(|merchant| drop(merchant.apps.insert("wx9".to_owned(), second))).await;
        let code = system.login_code("xiaoming").await;
        is_problem(
            &system.post(LOGIN, &order.client_secret, &json!({ "code": code })).await,
            400,
            "app_unknown",
        );
        let named = json!({ "code": code, "app_id": MINI_PROGRAM });
        openid_in(&system.post(LOGIN, &order.client_secret, &named).await, MINI_PROGRAM);
        system.end().await;
    }
}

#[tokio::test]
async fn an_order_begins_no_more_than_a_hundred_authorisations_in_an_hour() {
    for system in TestSystem::each().await {
        let (order, other) = (system.place_order("T-1").await, system.place_order("T-2").await);
        let browser = Browser::of("xiaoming");
        for _ in 0..100 {
            browser.leaves(&system, &order).await;
        }
        let answered = browser.visit(&authorize_url(&system, &order, None)).await;
        is_page(&answered, 429, "授权次数过多", "Too many sign-ins");
        assert!(leads_back(&answered, &system, &order));
        browser.leaves(&system, &other).await;
        for number in 0..100 {
            let asked = json!({ "code": format!("nonsense{number}") });
            is_problem(&system.post(LOGIN, &order.client_secret, &asked).await, 400, "authorization_expired");
        }
        let asked = json!({ "code": system.login_code("xiaoming").await });
        let answered = system.post(LOGIN, &order.client_secret, &asked).await;
        is_problem(&answered, 429, "too_many_authorizations");
        assert_eq!(
            (&answered.body["retryable"], &answered.headers["retry-after"]),
            (&json!(true), &"3600".parse().unwrap())
        );
        assert_eq!(system.written().await, [101, 100, 0]);

        system.advance(Duration::from_secs(60 * 60)).await;
        let code = browser.authorizes(&system, &order).await;
        openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
        system.end().await;
    }
}

#[tokio::test]
async fn what_is_known_of_payers_is_forgotten() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let code = Browser::of("xiaoming").authorizes(&system, &order).await;
        openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
        system.advance(Duration::from_secs(23 * 60 * 60)).await;
        assert_eq!(system.written().await, [1, 1, 1]);
        system.advance(Duration::from_secs(60 * 60 + 5 * 60)).await;
        assert_eq!(system.written().await, [0, 0, 1]);
        // No order can be paid for longer than seven days.
        system.advance(Duration::from_secs(7 * 24 * 60 * 60)).await;
        assert_eq!(system.written().await, [0, 0, 0]);
        system.end().await;
    }
}

#[tokio::test]
async fn the_page_knows_the_app_that_pays_inside_wechat() {
    let mut system = TestSystem::one().await;
    let order = system.place_order("T-1").await;
    let app_in = async |system: &TestSystem| {
        let page = Answered::of(system.http.get(system.url(&format!("/pay/{}", order.client_secret)))).await;
        let html = page.body.as_str().unwrap();
        let (_, rest) = html.split_once("<meta name=\"everpaid-app\" content=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    assert_eq!(app_in(&system).await, SERVICE_ACCOUNT);
    system.configure(|merchant| merchant.apps.values_mut().for_each(|app| app.secret = None)).await;
    assert_eq!(app_in(&system).await, "");
    let answered = Browser::of("xiaoming").visit(&authorize_url(&system, &order, None)).await;
    is_page(&answered, 409, "暂不能在微信内授权", "WeChat sign-in is not set up");
    assert!(leads_back(&answered, &system, &order));
    let asked = json!({ "code": "x" });
    is_problem(&system.post(LOGIN, &order.client_secret, &asked).await, 400, "app_unknown");
    assert_eq!(system.written().await, [0, 0, 0]);
    system.end().await;
}

/// WeChat is shown whose host this is.
#[tokio::test]
async fn a_verification_file_is_served_as_it_was_given() {
    let mut system = TestSystem::one().await;
    let file = ("MP_verify_a1B2c3D4e5F6g7H8.txt".to_owned(), "a1B2c3D4e5F6g7H8".to_owned());
    system.reconfigure(|config| config.wechat.verify_files = [file].into()).await;
    let read = async |path: &str| Answered::of(system.http.get(system.url(path))).await;
    let served = read("/MP_verify_a1B2c3D4e5F6g7H8.txt").await;
    assert_eq!((served.status, &served.body), (200, &json!("a1B2c3D4e5F6g7H8")));
    assert_eq!(served.headers["content-type"], "text/plain; charset=utf-8");
    for path in ["/MP_verify_other.txt", "/MP_verify_a1B2c3D4e5F6g7H8.txt/", "/MP_verify_.txt"] {
        is_problem(&read(path).await, 404, "no_such_route");
    }
    system.end().await;
}

/// A page of a shop reads answers in a browser if its origin is on the list, and no other page does.
#[tokio::test]
async fn pages_of_listed_origins_may_call_and_no_others() {
    let mut system = TestSystem::one().await;
    let shop = "https://shop.example.com";
    system.configure(|merchant| merchant.origins = vec![shop.to_owned()]).await;
    let order = system.place_order("T-1").await;
    let ask = async |method: Method, path: &str, origin: &str, token: &str| {
        let request = system.http.request(method, system.url(path)).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "authorization,content-type");
        Answered::of(request.bearer_auth(token)).await
    };
    let secret = order.client_secret.as_str();
    let of_order = format!("/v1/orders/{}", order.id);
    let payments = format!("{of_order}/payments");
    for path in [of_order.as_str(), payments.as_str(), OPENID, LOGIN, "/checkout/api.js"] {
        let preflight = ask(Method::OPTIONS, path, shop, secret).await;
        assert_eq!(preflight.status, 200, "{path} {preflight:?}");
        assert_eq!(preflight.headers["access-control-allow-origin"], shop, "{path}");
        assert_eq!(preflight.headers["access-control-allow-methods"], "GET,POST");
        let headers = preflight.headers["access-control-allow-headers"].to_str().unwrap();
        assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
        let refused = ask(Method::DELETE, path, shop, secret).await;
        assert_eq!(
            (refused.status, &refused.headers["access-control-allow-origin"]),
            (405, &shop.parse().unwrap())
        );
    }
    // Problems can be read too.
    for (token, status) in [(secret, 200), ("cs_nobody", 401)] {
        let answered = ask(Method::GET, &of_order, shop, token).await;
        assert_eq!(
            (answered.status, &answered.headers["access-control-allow-origin"]),
            (status, &shop.parse().unwrap())
        );
        assert!(answered.headers["vary"].to_str().unwrap().to_ascii_lowercase().contains("origin"));
        assert!(!answered.headers.contains_key("access-control-allow-credentials"));
    }
    for origin in [
        "https://evil.example.com",
        "http://shop.example.com",
        "https://shop.example.com.evil.example.com",
        "null",
        "*",
    ] {
        for method in [Method::OPTIONS, Method::GET] {
            let answered = ask(method, &of_order, origin, secret).await;
            assert!(!answered.headers.contains_key("access-control-allow-origin"), "{origin} {answered:?}");
        }
    }
    for path in
        ["/v1/wechat/notifications/teahouse", "/wechat/auth-jump", &format!("/pay/{secret}"), "/livez"]
    {
        for method in [Method::OPTIONS, Method::GET] {
            let answered = ask(method, path, shop, secret).await;
            assert!(!answered.headers.contains_key("access-control-allow-origin"), "{path} {answered:?}");
        }
    }
    system.end().await;
}

/// The lines of a log, as they are written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything this process can be made to say of itself, while payers come and things go wrong.
#[tokio::test]
async fn no_secret_and_no_openid_reaches_a_log_an_error_or_a_metric() {
    let lines = Lines::default();
    let writer = lines.clone();
    let everything = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace,simulator=off"))
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // While there is only one, tracing asks the thread that comes to a line first whether anybody listens:
    // another test would answer for this one, and for good.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    // This test, everpaid in it and all they spawn run on this thread.
    let _guard = tracing::subscriber::set_default(everything);
    let mut system = TestSystem::one().await;
    let wire = system.wired().await;
    let order = system.place_order("T-1").await;
    let browser = Browser::of("xiaoming");
    let code = {
        let authorize = browser.leaves(&system, &order).await.replace(&wire.url, &system.simulator.url());
        let page = sent_to(&browser.visit(&browser.returns(&authorize).await).await, 303);
        json!({ "code": query(&page, "code"), "state": query(&page, "state") })
    };
    let login = json!({ "code": system.login_code("xiaoming").await });
    let mut answers = Vec::new();
    // Busy, unheard, well, and with a secret that WeChat does not know.
    system.wechat(Fault::new(FaultKind::SystemBusy).times(2));
    answers.push(system.exchange(&order, &code).await);
    answers.push(system.post(LOGIN, &order.client_secret, &login).await);
    let openid = openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
    let in_app = openid_in(&system.post(LOGIN, &order.client_secret, &login).await, MINI_PROGRAM);
    assert_eq!(system.pay_as(&order, SERVICE_ACCOUNT, &openid).await.status, 200);
    answers.push(system.pay_as(&order, MINI_PROGRAM, &openid).await);
    let lost = json!({ "code": system.login_code("xiaoming").await });
    wire.now(Rule::Lose("say GET /sns/"));
    answers.push(system.post(LOGIN, &order.client_secret, &lost).await);
    wire.now(Rule::PassAll);
    answers.push(system.post(LOGIN, &order.client_secret, &lost).await);
    let wrong = "a-secret-that-is-wrong";
    system
        .configure(|merchant| {
            let app = merchant.apps.get_mut(MINI_PROGRAM).unwrap();
            app.secret = Some(wrong.to_owned().into());
        })
        .await;
    let last = json!({ "code": system.login_code("xiaoming").await });
    answers.push(system.post(LOGIN, &order.client_secret, &last).await);
    let codes: Vec<_> = answers.iter().map(Answered::code).collect();
    assert_eq!(
        codes,
        [
            "wechat_unavailable",
            "wechat_unavailable",
            "openid_not_verified",
            "wechat_unavailable",
            "authorization_expired",
            "wechat_unavailable"
        ]
    );
    let metrics = Answered::of(system.http.get(system.metrics_url())).await;
    let metrics = metrics.body.as_str().unwrap().to_owned();
    let counted = "everpaid_openid_exchanges_total{door=\"mini_program\",outcome=\"unavailable\"}";
    assert!(metrics.contains(counted), "{metrics}");

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for said in ["WeChat does not know the app", "WeChat did not say who a payer is"] {
        assert!(log.contains(said), "nothing was heard of {said}");
    }
    let secrets = system.simulator.merchant().apps.into_iter().map(|app| app.secret);
    let codes = [&code, &login, &lost, &last].map(|code| code["code"].as_str().unwrap().to_owned());
    let state = code["state"].as_str().unwrap().to_owned();
    let cookie = browser.cookies.lock().unwrap()[0].split_once('=').unwrap().1.to_owned();
    let others = [openid, in_app, wrong.to_owned(), order.client_secret.clone(), state, cookie];
    for secret in secrets.chain(codes).chain(others) {
        for (what, text) in
            [("the log", &log), ("the metrics", &metrics), ("an answer", &format!("{answers:?}"))]
        {
            let at = text.find(&secret).map(|at| &text[at.saturating_sub(200)..at]);
            assert!(at.is_none(), "{secret} is in {what}, behind {}", at.unwrap_or_default());
        }
    }
    system.end().await;
}
