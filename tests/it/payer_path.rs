//! The payer's path inside WeChat: the authorisation and the way back, the openid and what it is worth,
//! the login of a mini-program. A name that begins with a number tells of that criterion of the
//! requirements for JSAPI payments.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::system::{Answered, MINI_PROGRAM, Placed, SERVICE_ACCOUNT, TestSystem};

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
        let path = format!("/v1/wechat/oauth/authorize?client_secret={}", order.client_secret);
        sent_to(&self.visit(&system.url(&path)).await, 303)
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
    let url: reqwest::Url = url.parse().unwrap();
    let found = url.query_pairs().find(|(its_name, _)| its_name == name).map(|(_, value)| value.into_owned());
    found
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

    async fn pay_as(&self, order: &Placed, app_id: &str, openid: &str) -> Answered {
        let path = format!("/v1/orders/{}/payments", order.id);
        let asked = json!({
            "method": "mini_program", "app_id": app_id, "openid": openid, "expected_total": 3990,
        });
        self.post(&path, &order.client_secret, &asked).await
    }
}

fn openid_in(answered: &Answered, app_id: &str) -> String {
    assert_eq!((answered.status, &answered.body["app_id"]), (200, &json!(app_id)), "{answered:?}");
    assert_eq!(answered.headers["cache-control"], "no-store");
    answered.body["openid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn r2_6_a_code_is_exchanged_for_the_openid_that_then_pays() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let code = Browser::of("xiaoming").authorizes(&system, &order).await;
        let openid = openid_in(&system.exchange(&order, &code).await, SERVICE_ACCOUNT);
        let answered = system.pay_as(&order, SERVICE_ACCOUNT, &openid).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        let payment = system.payment_of(&order).await;
        let pay = simulator::Pay { openid: Some(openid), total: None };
        system.simulator.pay(&payment.out_trade_no, pay).await.unwrap();
        system.order_is_paid(&order).await;
        system.end().await;
    }
}

#[tokio::test]
async fn a_mini_program_logs_its_payer_in_who_then_pays() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let asked = json!({ "code": system.login_code("xiaohong").await });
        let answered = system.post(LOGIN, &order.client_secret, &asked).await;
        assert!(!answered.body.to_string().contains("session"), "{answered:?}");
        let openid = openid_in(&answered, MINI_PROGRAM);
        let answered = system.pay_as(&order, MINI_PROGRAM, &openid).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        system.end().await;
    }
}
