//! WeChat Pay, a merchant with two ways to speak to it, and the merchant's shop.

use std::sync::LazyLock;

use serde_json::Value;
use simulator::{Credentials, Options, Simulator};
use wechatpay::{
    ApiError, ApiV3Key, Client, Config, Environment, Error, Merchant, PrivateKey, TrustedKeys, unobserved,
};

use crate::{
    hand::Hand,
    shop::Shop,
    wire::{Answer, Request, send},
};

/// Making keys takes a second; all cases share these.
static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials::generate().unwrap());

pub struct World {
    pub simulator: Simulator,
    pub hand: Hand,
    pub shop: Shop,
}

impl World {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let simulator =
            Simulator::start(Options { credentials: Some(CREDENTIALS.clone()), ..options }).await.unwrap();
        let address = simulator.addr().to_string();
        let merchant = send(&address, &Request::new("GET", "/_sim/merchant", "")).await.unwrap().json();
        let hand = Hand::new(&address, merchant);
        Self { simulator, hand, shop: Shop::open().await }
    }

    /// One of the simulator's controls, under `/_sim`.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::new(method, &format!("/_sim{path}"), &body);
        let answer = send(&self.hand.address, &request).await.unwrap();
        let said = String::from_utf8_lossy(&answer.body);
        assert!(answer.status < 300, "{method} {path}: {} {said}", answer.status);
        answer
    }

    /// Something goes wrong from now on.
    pub async fn fault(&self, fault: Value) {
        self.control("POST", "/faults", fault).await;
    }

    pub async fn pay(&self, out_trade_no: &str) {
        self.control("POST", &format!("/payments/{out_trade_no}/pay"), Value::Null).await;
    }

    /// What the simulator knows of an order and of what it told about it.
    pub async fn payment(&self, out_trade_no: &str) -> Value {
        self.control("GET", &format!("/payments/{out_trade_no}"), Value::Null).await.json()
    }

    pub async fn advance(&self, seconds: i64) {
        self.control("POST", "/clock", serde_json::json!({"advance_seconds": seconds})).await;
    }

    /// Our client, with the same merchant's things.
    pub fn ours(&self) -> Client {
        self.ours_with(|_| ())
    }

    pub fn ours_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let text = |name: &str| self.hand.merchant[name].as_str().unwrap();
        let trusted_keys = match self.hand.merchant["public_key"].as_str() {
            Some(pem) => TrustedKeys::with_public_key(text("public_key_id"), pem).unwrap(),
            None => TrustedKeys::new(),
        };
        let mut config = Config {
            base_url: format!("http://{}", self.hand.address),
            backup_url: None,
            merchant: Merchant {
                mchid: text("mchid").to_owned(),
                certificate_serial: text("certificate_serial").to_owned(),
                private_key: PrivateKey::from_pem(text("private_key")).unwrap(),
            },
            trusted_keys,
            environment: Environment::system(),
            user_agent: "conformance/1".to_owned(),
            observer: unobserved(),
        };
        change(&mut config);
        Client::new(config).unwrap()
    }

    pub fn apiv3_key(&self) -> ApiV3Key {
        ApiV3Key::new(self.hand.merchant["apiv3_key"].as_str().unwrap()).unwrap()
    }
}

/// WeChat's no, as our client tells it.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> ApiError {
    match result {
        Err(Error::Definite(said)) => said,
        other => panic!("{other:?} is not a definite no"),
    }
}

/// Status and code of a no.
pub fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    let said = refused(result);
    (said.status, said.code)
}
