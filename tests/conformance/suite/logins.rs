//! Who the payer is (网页授权, 小程序登录).

use conformance::{Answer, Request, World, send};
use serde_json::{Value, json};

/// Where the payer is sent back to: `http://shop.example/back?a=1`.
const BACK: &str = "http%3A%2F%2Fshop.example%2Fback%3Fa%3D1";

/// A service account is the merchant's first app, a mini-program the second.
fn app(world: &World, at: usize) -> (String, String) {
    let app = &world.hand.merchant["apps"][at];
    let text = |name: &str| app[name].as_str().unwrap().to_owned();
    (text("appid"), text("secret"))
}

async fn get(world: &World, target: &str) -> Answer {
    send(&world.hand.address, &Request::new("GET", target, "")).await.unwrap()
}

fn authorize(world: &World, rest: &str) -> String {
    let (appid, _) = app(world, 0);
    format!("/connect/oauth2/authorize?appid={appid}&redirect_uri={BACK}{rest}")
}

/// The code with which a page's payer comes back.
async fn web_code(world: &World) -> String {
    let answer = get(world, &authorize(world, "&response_type=code&scope=snsapi_base&state=aB3")).await;
    assert_eq!(answer.status, 302);
    let location = answer.header("Location").unwrap();
    let (way_back, rest) = location.split_once("&code=").unwrap();
    assert_eq!(way_back, "http://shop.example/back?a=1");
    let (code, state) = rest.split_once('&').unwrap();
    assert_eq!(state, "state=aB3");
    code.to_owned()
}

/// The code that `wx.login` gives.
async fn login_code(world: &World) -> String {
    let (appid, _) = app(world, 1);
    let said = world.control("POST", "/phone/login", json!({"appid": appid})).await.json();
    said["code"].as_str().unwrap().to_owned()
}

/// What a code is worth; an error comes with HTTP 200 too.
async fn exchange(world: &World, code: &str) -> Value {
    let (appid, secret) = app(world, 0);
    let target = format!(
        "/sns/oauth2/access_token?appid={appid}&secret={secret}&code={code}&grant_type=authorization_code"
    );
    let answer = get(world, &target).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

async fn session(world: &World, code: &str) -> Value {
    let (appid, secret) = app(world, 1);
    let target = format!(
        "/sns/jscode2session?appid={appid}&secret={secret}&js_code={code}&grant_type=authorization_code"
    );
    let answer = get(world, &target).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

pub mod by_hand {
    use super::*;

    pub async fn a_silent_authorisation_leads_back_with_code_and_state() {
        let world = World::start().await;
        assert_ne!(web_code(&world).await, web_code(&world).await);
    }

    pub async fn an_authorisation_keeps_the_order_of_its_parameters() {
        let world = World::start().await;
        for rest in [
            "&scope=snsapi_base&response_type=code&state=aB3",
            "&response_type=code&scope=&state=aB3",
            "&response_type=code&scope=snsapi_base",
        ] {
            let answer = get(&world, &authorize(&world, rest)).await;
            assert_eq!((answer.status, answer.header("Location")), (200, None), "{rest}");
        }
    }

    pub async fn a_web_code_is_worth_an_openid_once() {
        let world = World::start().await;
        let code = web_code(&world).await;
        let said = exchange(&world, &code).await;
        for field in ["access_token", "refresh_token", "openid"] {
            assert!(said[field].is_string(), "{field}");
        }
        assert_eq!((&said["expires_in"], &said["scope"]), (&json!(7200), &json!("snsapi_base")));
        assert_eq!(exchange(&world, &code).await["errcode"], 40163);
    }

    pub async fn a_login_code_is_worth_a_session_once() {
        let world = World::start().await;
        let code = login_code(&world).await;
        let said = session(&world, &code).await;
        assert!(said["openid"].is_string() && said["session_key"].is_string());
        assert_eq!(session(&world, &code).await["errcode"], 40163);
    }

    pub async fn a_code_lives_five_minutes() {
        let world = World::start().await;
        let (web, login) = (web_code(&world).await, login_code(&world).await);
        world.advance(301).await;
        assert_eq!(exchange(&world, &web).await["errcode"], 40029);
        assert_eq!(session(&world, &login).await["errcode"], 40029);
    }

    pub async fn an_errcode_comes_with_http_200() {
        let world = World::start().await;
        let (appid, secret) = app(&world, 0);
        for (query, errcode) in [
            (String::new(), 41002),
            (format!("appid={appid}"), 41004),
            (format!("appid={appid}&secret={secret}"), 41008),
            (format!("appid=wx0&secret={secret}&code=x&js_code=x"), 40013),
            (format!("appid={appid}&secret=wrong&code=x&js_code=x"), 40125),
            (format!("appid={appid}&secret={secret}&code=x&js_code=x"), 40029),
        ] {
            for path in ["/sns/oauth2/access_token", "/sns/jscode2session"] {
                let answer = get(&world, &format!("{path}?{query}&grant_type=authorization_code")).await;
                assert_eq!(
                    (answer.status, &answer.json()["errcode"]),
                    (200, &json!(errcode)),
                    "{path}?{query}"
                );
            }
        }
    }

    pub async fn a_payer_has_another_openid_at_every_app() {
        let world = World::start().await;
        let at_page = exchange(&world, &web_code(&world).await).await["openid"].clone();
        let again = exchange(&world, &web_code(&world).await).await["openid"].clone();
        let at_mini_program = session(&world, &login_code(&world).await).await["openid"].clone();
        assert_eq!(at_page, again);
        assert_ne!(at_page, at_mini_program);
    }
}

pub mod by_crate {
    use secrecy::SecretString;
    use wechatpay::OpenidClient;
    use wechatpay::openid::{App, OpenidError, Said, Scope, authorize_url};

    use super::*;

    fn ours(world: &World) -> OpenidClient {
        OpenidClient::new(&format!("http://{}", world.hand.address)).unwrap()
    }

    fn our_app(world: &World, at: usize) -> App {
        let (app_id, secret) = app(world, at);
        App { app_id, secret: SecretString::from(secret) }
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, OpenidError>) -> Said {
        match result {
            Err(OpenidError::Definite(said)) => said,
            other => panic!("{other:?} is not a definite no"),
        }
    }

    pub async fn a_silent_authorisation_leads_back_with_code_and_state() {
        let world = World::start().await;
        let open = format!("http://{}", world.hand.address);
        let (appid, _) = app(&world, 0);
        let url = authorize_url(&open, &appid, "http://shop.example/back?a=1", Scope::Base, "aB3");
        let target = url.strip_prefix(&open).unwrap().strip_suffix("#wechat_redirect").unwrap();
        let answer = get(&world, target).await;
        assert_eq!(answer.status, 302);
        assert!(answer.header("Location").unwrap().starts_with("http://shop.example/back?a=1&code="));
    }

    pub async fn a_web_code_is_worth_an_openid_once() {
        let world = World::start().await;
        let (ours, app, code) = (ours(&world), our_app(&world, 0), web_code(&world).await);
        let found = ours.web_authorization(&app, &code).await.unwrap();
        assert_eq!(found.scope.as_deref(), Some("snsapi_base"));
        let said = refused(ours.web_authorization(&app, &code).await);
        assert!(said.is_code_spent() && said.code == 40163);
    }

    pub async fn a_login_code_is_worth_a_session_once() {
        let world = World::start().await;
        let (ours, app, code) = (ours(&world), our_app(&world, 1), login_code(&world).await);
        ours.mini_program_session(&app, &code).await.unwrap();
        assert!(refused(ours.mini_program_session(&app, &code).await).is_code_spent());
    }

    pub async fn a_code_lives_five_minutes() {
        let world = World::start().await;
        let code = web_code(&world).await;
        world.advance(301).await;
        let said = refused(ours(&world).web_authorization(&our_app(&world, 0), &code).await);
        assert!(said.is_code_spent() && said.code == 40029);
    }

    pub async fn an_errcode_comes_with_http_200() {
        let world = World::start().await;
        let app = App { secret: SecretString::from("wrong"), ..our_app(&world, 0) };
        let said = refused(ours(&world).web_authorization(&app, "x").await);
        assert!(said.is_configuration() && said.code == 40125);
    }

    pub async fn a_payer_has_another_openid_at_every_app() {
        let world = World::start().await;
        let ours = ours(&world);
        let at_page = ours.web_authorization(&our_app(&world, 0), &web_code(&world).await).await.unwrap();
        let code = login_code(&world).await;
        let at_mini_program = ours.mini_program_session(&our_app(&world, 1), &code).await.unwrap();
        assert_ne!(at_page.openid, at_mini_program.openid);
    }
}
