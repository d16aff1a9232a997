use std::time::Duration;

use serde_json::Value;
use simulator::{App, Fault, FaultKind, Options, Target};

use crate::client::{Answer, Client, options, start, start_with};

const BACK: &str = "http%3A%2F%2Fshop.example%2Fback%3Fa%3D1";

fn authorize_target(appid: &str, scope: &str, state: &str) -> String {
    format!(
        "/connect/oauth2/authorize?appid={appid}&redirect_uri={BACK}&response_type=code&scope={scope}&state={state}"
    )
}

async fn visit(client: &Client, method: &str, target: &str, cookie: &str) -> Answer {
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let request = http.build().unwrap().request(method.parse().unwrap(), format!("{}{target}", client.url));
    client.send(request.header("cookie", cookie)).await.unwrap()
}

/// The address the payer is sent to.
fn sent_to(answer: &Answer) -> reqwest::Url {
    assert_eq!(answer.status, 302);
    answer.headers["location"].to_str().unwrap().parse().unwrap()
}

fn code_in(url: &reqwest::Url) -> String {
    let (_, code) = url.query_pairs().find(|(name, _)| name == "code").unwrap();
    code.into_owned()
}

async fn web_code(client: &Client, payer: &str) -> String {
    let target = authorize_target(&client.merchant.apps[0].appid, "snsapi_base", "S1");
    code_in(&sent_to(&visit(client, "GET", &target, &format!("simulated_payer={payer}")).await))
}

async fn mini_program_code(client: &Client, payer: &str) -> String {
    let body = serde_json::json!({"appid": client.merchant.apps[1].appid, "payer": payer}).to_string();
    let answer = client.control("POST", "/phone/login", &body).await;
    answer.json()["code"].as_str().unwrap().to_owned()
}

async fn exchange(client: &Client, app: &App, code: &str) -> Value {
    let App { appid, secret, .. } = app;
    ask(
        client,
        &format!(
            "/sns/oauth2/access_token?appid={appid}&secret={secret}&code={code}&grant_type=authorization_code"
        ),
    )
    .await
}

async fn open_session(client: &Client, app: &App, code: &str) -> Value {
    let App { appid, secret, .. } = app;
    ask(
        client,
        &format!(
            "/sns/jscode2session?appid={appid}&secret={secret}&js_code={code}&grant_type=authorization_code"
        ),
    )
    .await
}

/// An error comes with HTTP 200 too.
async fn ask(client: &Client, target: &str) -> Value {
    let answer = client.send(client.request("GET", target)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain");
    answer.json()
}

#[tokio::test]
async fn a_silent_authorisation_leads_back_with_a_code_and_the_state() {
    let (_simulator, client) = start().await;
    let target = authorize_target(&client.merchant.apps[0].appid, "snsapi_base", "S1tate");
    let back = sent_to(&visit(&client, "GET", &target, "").await);
    assert_eq!(back.host_str(), Some("shop.example"));
    let query = back.query().unwrap();
    assert!(query.starts_with("a=1&code=0") && query.ends_with("&state=S1tate"), "{query}");
}

#[tokio::test]
async fn a_web_code_is_worth_an_openid_once() {
    let (_simulator, client) = start().await;
    let app = &client.merchant.apps[0];
    let code = web_code(&client, "xiaoming").await;
    let token = exchange(&client, app, &code).await;
    assert_eq!(token["openid"].as_str().unwrap().len(), 28);
    assert_eq!((&token["scope"], &token["expires_in"]), (&"snsapi_base".into(), &7200.into()));
    assert!(token["access_token"].is_string() && token["refresh_token"].is_string());
    assert_eq!(token["unionid"], Value::Null);
    let again = exchange(&client, app, &code).await;
    assert_eq!(again["errcode"], 40163);
    assert!(again["errmsg"].as_str().unwrap().starts_with("code been used, rid: "));
}

#[tokio::test]
async fn an_exchange_can_go_wrong_on_request() {
    let (simulator, client) = start().await;
    let [service, mini_program] = &client.merchant.apps[..] else { panic!("two apps") };
    simulator.add_fault(Fault::new(FaultKind::SystemBusy).times(2)).unwrap();
    simulator.add_fault(Fault::new(FaultKind::SnapshotUser).times(1)).unwrap();
    let code = web_code(&client, "xiaoming").await;
    assert_eq!(exchange(&client, service, "nonsense").await["errcode"], -1);
    assert_eq!(exchange(&client, service, &code).await["errcode"], -1);
    let snapshot = exchange(&client, service, &code).await;
    assert_eq!(snapshot["is_snapshotuser"], 1);
    let code = web_code(&client, "xiaohong").await;
    let token = exchange(&client, service, &code).await;
    assert_eq!(token["is_snapshotuser"], Value::Null);
    assert_ne!(token["openid"], snapshot["openid"]);

    simulator.add_fault(Fault::new(FaultKind::SystemBusy).on(Target::Login).times(1)).unwrap();
    let code = mini_program_code(&client, "xiaoming").await;
    assert_eq!(open_session(&client, mini_program, &code).await["errcode"], -1);
    assert!(open_session(&client, mini_program, &code).await["openid"].is_string());
    for target in [Target::Login, Target::Create] {
        assert!(simulator.add_fault(Fault::new(FaultKind::SnapshotUser).on(target)).is_err());
    }
}

#[tokio::test]
async fn a_payer_agrees_before_more_than_the_openid_is_told() {
    let (_simulator, client) = start().await;
    let app = &client.merchant.apps[0];
    let target = authorize_target(&app.appid, "snsapi_userinfo", "S1");
    let page = visit(&client, "GET", &target, "").await;
    assert_eq!(page.status, 200);
    assert!(String::from_utf8(page.body).unwrap().contains("允许"));
    let code = code_in(&sent_to(&visit(&client, "POST", &target, "").await));
    let token = exchange(&client, app, &code).await;
    assert_eq!(token["scope"], "snsapi_userinfo");
    assert!(token["unionid"].is_string());
}

#[tokio::test]
async fn an_openid_is_of_one_person_at_one_app() {
    let (_simulator, client) = start().await;
    let [service, mini_program] = &client.merchant.apps[..] else { panic!("two apps") };
    let mut openids = Vec::new();
    for payer in ["xiaoming", "xiaohong", "xiaoming"] {
        let code = web_code(&client, payer).await;
        openids.push(exchange(&client, service, &code).await["openid"].clone());
    }
    let code = mini_program_code(&client, "xiaoming").await;
    let session = open_session(&client, mini_program, &code).await;
    assert_eq!(session["session_key"].as_str().unwrap().len(), 24);
    assert_eq!(openids[0], openids[2]);
    assert_ne!(openids[0], openids[1]);
    assert_ne!(openids[0], session["openid"]);
}

#[tokio::test]
async fn a_mini_program_code_is_worth_a_session_once() {
    let (_simulator, client) = start().await;
    let app = &client.merchant.apps[1];
    let code = mini_program_code(&client, "xiaohong").await;
    let session = open_session(&client, app, &code).await;
    assert!(session["openid"].is_string() && session["unionid"].is_string());
    assert_eq!(session["errcode"], Value::Null);
    assert_eq!(open_session(&client, app, &code).await["errcode"], 40163);
}

#[tokio::test]
async fn a_code_lives_five_minutes_by_the_simulators_clock() {
    let (simulator, client) = start().await;
    let app = &client.merchant.apps[0];
    let (early, late) = (web_code(&client, "xiaoming").await, web_code(&client, "xiaoming").await);
    simulator.advance_clock(Duration::from_secs(290)).await.unwrap();
    assert!(exchange(&client, app, &early).await["openid"].is_string());
    simulator.advance_clock(Duration::from_secs(10)).await.unwrap();
    assert_eq!(exchange(&client, app, &late).await["errcode"], 40029);
}

#[tokio::test]
async fn a_code_opens_no_other_door() {
    let (_simulator, client) = start().await;
    let [service, mini_program] = &client.merchant.apps[..] else { panic!("two apps") };
    let web = web_code(&client, "xiaoming").await;
    let mini = mini_program_code(&client, "xiaoming").await;
    assert_eq!(open_session(&client, mini_program, &web).await["errcode"], 40029);
    assert_eq!(exchange(&client, service, &mini).await["errcode"], 40029);
    // A wrong question has not used it up.
    assert!(exchange(&client, service, &web).await["openid"].is_string());
}

#[tokio::test]
async fn a_wrong_question_gets_wechats_errcode_with_http_200() {
    let (_simulator, client) = start().await;
    let App { appid, secret, .. } = &client.merchant.apps[0];
    let grant = "grant_type=authorization_code";
    for (query, errcode) in [
        (String::new(), 41002),
        (format!("appid={appid}&{grant}"), 41004),
        (format!("appid={appid}&secret={secret}&{grant}"), 41008),
        (format!("appid={appid}&secret={secret}&code=x&js_code=x"), 40002),
        (format!("appid=wx0&secret={secret}&code=x&js_code=x&{grant}"), 40013),
        (format!("appid={appid}&secret=wrong&code=x&js_code=x&{grant}"), 40125),
        (format!("appid={appid}&secret={secret}&code=x&js_code=x&{grant}"), 40029),
    ] {
        for path in ["/sns/oauth2/access_token", "/sns/jscode2session"] {
            let said = ask(&client, &format!("{path}?{query}")).await;
            assert_eq!(said["errcode"], errcode, "{path}?{query}");
            assert!(said["errmsg"].as_str().unwrap().contains(", rid: "));
        }
    }
}

#[tokio::test]
async fn a_wrong_authorisation_link_ends_on_wechats_error_page() {
    let (_simulator, client) =
        start_with(Options { redirect_domains: vec!["pay.shop.example".into()], ..options() }).await;
    let [service, mini_program] = &client.merchant.apps[..] else { panic!("two apps") };
    let appid = &service.appid;
    let link = |redirect: &str, rest: &str| {
        format!("/connect/oauth2/authorize?appid={appid}&redirect_uri={redirect}{rest}")
    };
    let rest = "&response_type=code&scope=snsapi_base&state=S1";
    let right = "https%3A%2F%2Fpay.shop.example%2F";
    for (target, said) in [
        ("/connect/oauth2/authorize".to_owned(), "10012"),
        (link("", rest), "10011"),
        (link(right, "&response_type=code&scope=&state=S1"), "10010"),
        (link(right, "&response_type=code&scope=snsapi_base"), "10013"),
        (link(right, "&response_type=code&scope=snsapi_login&state=S1"), "10005"),
        (link(right, "&response_type=token&scope=snsapi_base&state=S1"), "response_type"),
        (link(right, "&scope=snsapi_base&response_type=code&state=S1"), "依次"),
        (link(right, "&response_type=code&scope=snsapi_base&state=a%7Bb"), "a-zA-Z0-9"),
        (link("https%3A%2F%2Fshop.example%2F", rest), "10003"),
        (link("https%3A%2F%2Fa.pay.shop.example%2F", rest), "10003"),
        (link("javascript%3Aalert(1)", rest), "10003"),
        (authorize_target("wx0", "snsapi_base", "S1"), "appid"),
        (authorize_target(&mini_program.appid, "snsapi_base", "S1"), "10016"),
    ] {
        let page = visit(&client, "GET", &target, "").await;
        assert_eq!(page.status, 200, "{target}");
        assert!(String::from_utf8(page.body).unwrap().contains(said), "{target}");
    }
    assert_eq!(visit(&client, "GET", &link(right, rest), "").await.status, 302);
}

#[tokio::test]
async fn a_code_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { data: Some(folder.path().join("wechat.sqlite")), ..options() };
    let (simulator, client) = start_with(options()).await;
    let (used, fresh) = (web_code(&client, "xiaoming").await, web_code(&client, "xiaoming").await);
    exchange(&client, &client.merchant.apps[0], &used).await;
    simulator.stop().await;
    let (_simulator, client) = start_with(options()).await;
    let app = &client.merchant.apps[0];
    assert_eq!(exchange(&client, app, &used).await["errcode"], 40163);
    assert!(exchange(&client, app, &fresh).await["openid"].is_string());
}
