//! A small client of WeChat Pay, written for these tests only.

use std::sync::LazyLock;

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use rsa::{
    RsaPrivateKey, RsaPublicKey,
    pkcs1v15::{Signature, SigningKey, VerifyingKey},
    pkcs8::{DecodePrivateKey, DecodePublicKey},
    signature::{SignatureEncoding, Signer, Verifier},
};
use serde_json::{Value, json};
use sha2::Sha256;
use simulator::{Credentials, MerchantCredentials, Options, Simulator, TrustMode};

/// Making keys takes a second; every test shares these.
pub static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials::generate().unwrap());

pub fn options() -> Options {
    Options { credentials: Some(CREDENTIALS.clone()), ..Options::default() }
}

pub async fn start() -> (Simulator, Client) {
    start_with(options()).await
}

pub async fn start_with(options: Options) -> (Simulator, Client) {
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    (simulator, client)
}

pub const REFUNDS: &str = "/v3/refund/domestic/refunds";

pub struct Client {
    pub url: String,
    pub merchant: MerchantCredentials,
    pub http: reqwest::Client,
    pub key: SigningKey<Sha256>,
    /// Unix seconds; absent: the machine's.
    pub date: Option<i64>,
}

/// What a request says of itself; change it to lie.
#[derive(Clone)]
pub struct Said {
    pub mchid: String,
    pub serial: String,
    pub timestamp: i64,
    pub nonce: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn outcome(&self) -> (u16, String) {
        (self.status, self.code())
    }

    pub fn is_signed(&self) -> bool {
        self.headers.contains_key("wechatpay-signature")
    }
}

impl Client {
    pub fn of(simulator: &Simulator) -> Self {
        Self::of_merchant(simulator, simulator.merchant())
    }

    pub fn of_merchant(simulator: &Simulator, merchant: MerchantCredentials) -> Self {
        let key = RsaPrivateKey::from_pkcs8_pem(&merchant.private_key).unwrap();
        Self {
            url: simulator.url(),
            merchant,
            date: None,
            http: reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap(),
            key: SigningKey::new(key),
        }
    }

    /// The machine's Unix seconds.
    #[expect(clippy::disallowed_methods, reason = "the simulator reads the machine's clock here")]
    pub fn now() -> i64 {
        jiff::Timestamp::now().as_second()
    }

    pub fn said(&self) -> Said {
        Said {
            mchid: self.merchant.mchid.clone(),
            serial: self.merchant.certificate_serial.clone(),
            timestamp: self.date.unwrap_or_else(Self::now),
            nonce: format!("{:032x}", rand::random::<u128>()),
        }
    }

    /// The header over these bytes.
    pub fn authorization(&self, said: &Said, method: &str, target: &str, body: impl AsRef<[u8]>) -> String {
        let Said { mchid, serial, timestamp, nonce } = said;
        let head = format!("{method}\n{target}\n{timestamp}\n{nonce}\n");
        let message = [head.as_bytes(), body.as_ref(), b"\n"].concat();
        let signature = STANDARD.encode(self.key.sign(&message).to_bytes());
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{mchid}\",serial_no=\"{serial}\",\
             nonce_str=\"{nonce}\",timestamp=\"{timestamp}\",signature=\"{signature}\""
        )
    }

    pub fn request(&self, method: &str, target: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.http.request(method, format!("{}{target}", self.url))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// A signed call whose connection may break.
    pub async fn try_call(&self, method: &str, target: &str, body: &str) -> reqwest::Result<Answer> {
        self.send(self.signed(method, target, body)).await
    }

    /// A request over exactly these bytes.
    pub fn signed(&self, method: &str, target: &str, body: impl AsRef<[u8]>) -> reqwest::RequestBuilder {
        self.request(method, target)
            .header("authorization", self.authorization(&self.said(), method, target, &body))
            .header("content-type", "application/json")
            .body(body.as_ref().to_vec())
    }

    /// A signed call that names the key it wants the answer signed with; says which signed it.
    pub async fn ask(&self, target: &str, serial: Option<&str>) -> (Answer, Option<String>) {
        let mut request = self
            .request("GET", target)
            .header("authorization", self.authorization(&self.said(), "GET", target, ""));
        if let Some(serial) = serial {
            request = request.header("wechatpay-serial", serial);
        }
        let answer = self.send(request).await.unwrap();
        if answer.is_signed() {
            self.check_signature(&answer.headers, &answer.body).unwrap();
        }
        let serial = answer.headers.get("wechatpay-serial").map(|s| s.to_str().unwrap().to_owned());
        (answer, serial)
    }

    /// A signed call; a good answer must be signed too, a refusal must not.
    pub async fn call(&self, method: &str, target: &str, body: &str) -> Answer {
        let answer = self.try_call(method, target, body).await.unwrap();
        if answer.status < 300 {
            self.check_signature(&answer.headers, &answer.body).unwrap();
            assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
            assert!(answer.headers.contains_key("request-id"));
        } else {
            assert!(!answer.is_signed());
        }
        answer
    }

    pub async fn create(&self, endpoint: &str, order: &Value) -> Answer {
        self.call("POST", &format!("/v3/pay/transactions/{endpoint}"), &order.to_string()).await
    }

    pub async fn try_create(&self, order: &Value) -> reqwest::Result<Answer> {
        self.try_call("POST", "/v3/pay/transactions/native", &order.to_string()).await
    }

    pub async fn query(&self, number: &str) -> Answer {
        self.call("GET", &self.query_target(number), "").await
    }

    pub fn query_target(&self, number: &str) -> String {
        let mchid = &self.merchant.mchid;
        format!("/v3/pay/transactions/out-trade-no/{number}?mchid={mchid}")
    }

    pub async fn close(&self, number: &str) -> Answer {
        let body = json!({"mchid": self.merchant.mchid}).to_string();
        let target = format!("/v3/pay/transactions/out-trade-no/{number}/close");
        self.call("POST", &target, &body).await
    }

    pub async fn refund(&self, refund: &Value) -> Answer {
        self.call("POST", REFUNDS, &refund.to_string()).await
    }

    pub async fn find_refund(&self, number: &str) -> Answer {
        self.call("GET", &format!("{REFUNDS}/{number}"), "").await
    }

    pub async fn state(&self, number: &str) -> String {
        self.query(number).await.json()["trade_state"].as_str().unwrap_or_default().to_owned()
    }

    pub fn native_order(&self, number: &str, notify_url: &str) -> Value {
        json!({
            "appid": self.merchant.apps[0].appid,
            "mchid": self.merchant.mchid,
            "description": "一杯茶",
            "out_trade_no": number,
            "notify_url": notify_url,
            "amount": {"total": 100, "currency": "CNY"},
        })
    }

    pub fn jsapi_order(&self, number: &str, notify_url: &str) -> Value {
        let mut order = self.native_order(number, notify_url);
        order["payer"] = json!({"openid": "oPayer"});
        order
    }

    /// A control under `/_sim`.
    pub async fn control(&self, method: &str, target: &str, body: &str) -> Answer {
        let request = self.request(method, &format!("/_sim{target}")).body(body.to_owned());
        self.send(request).await.unwrap()
    }

    /// Who signed this, if anyone did.
    pub fn check_signature(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let text =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(format!("no {name}"));
        let serial = text("wechatpay-serial")?;
        let mut platform = self.merchant.platform_certificates.iter();
        let key = if serial == self.merchant.public_key_id && self.merchant.mode != TrustMode::Certificate {
            RsaPublicKey::from_public_key_pem(&self.merchant.public_key).unwrap()
        } else if let Some(certificate) = platform.find(|one| one.serial == serial) {
            certified_key(&certificate.certificate)
        } else {
            return Err("another serial".into());
        };
        if text("wechatpay-signature-type")? != "WECHATPAY2-SHA256-RSA2048" {
            return Err("another type".into());
        }
        let (timestamp, nonce) = (text("wechatpay-timestamp")?, text("wechatpay-nonce")?);
        let message = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
        let signature = STANDARD.decode(text("wechatpay-signature")?).map_err(|error| error.to_string())?;
        let signature = Signature::try_from(signature.as_slice()).map_err(|e| e.to_string())?;
        VerifyingKey::<Sha256>::new(key).verify(&message, &signature).map_err(|error| error.to_string())
    }

    /// Opens what was sealed with the APIv3 key.
    pub fn open(&self, sealed: &Value) -> Option<Vec<u8>> {
        let cipher = Aes256Gcm::new_from_slice(self.merchant.apiv3_key.as_bytes()).unwrap();
        let nonce: [u8; 12] = sealed["nonce"].as_str()?.as_bytes().try_into().ok()?;
        let payload = Payload {
            msg: &STANDARD.decode(sealed["ciphertext"].as_str()?).ok()?,
            aad: sealed["associated_data"].as_str()?.as_bytes(),
        };
        cipher.decrypt(&nonce.into(), payload).ok()
    }
}

pub fn certified_key(pem: &str) -> RsaPublicKey {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    RsaPublicKey::from_public_key_der(certificate.public_key().raw).unwrap()
}
