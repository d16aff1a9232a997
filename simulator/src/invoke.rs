//! 调起支付: what WeChat's own app checks before it shows the payment sheet.
//!
//! The answers are those of `WeixinJSBridge` and of `wx.requestPayment`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    credentials::AppKind,
    payer::ControlError,
    payers::Payer,
    rules::{CODE_LIFE_MS, Endpoint, Order, Unpayable},
    store::By,
    wechat::Wechat,
};

/// How far the merchant's clock may be ahead of ours.
const CLOCK_SLACK_MS: i64 = 5 * 60_000;

/// Which cashier is called up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cashier {
    /// `WeixinJSBridge.invoke('getBrandWCPayRequest', …)` in a page.
    Jsapi,
    /// `wx.requestPayment` in a mini-program.
    MiniProgram,
}

/// What the caller hears at once, instead of the sheet.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    /// `err_msg`, or `errMsg`.
    pub message: String,
    /// What the payer is shown, when anything is.
    pub shown: Option<String>,
}

pub(crate) enum Invoked {
    Sheet(Box<Order>),
    Failed(Failed),
}

impl Cashier {
    fn fields(self) -> &'static [&'static str] {
        const ALL: [&str; 6] = ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"];
        match self {
            Self::Jsapi => &ALL,
            // A mini-program knows its own appid.
            Self::MiniProgram => &ALL[1..],
        }
    }

    fn app_kind(self) -> AppKind {
        match self {
            Self::Jsapi => AppKind::ServiceAccount,
            Self::MiniProgram => AppKind::MiniProgram,
        }
    }

    fn failed(self, shown: impl Into<String>) -> Failed {
        let shown = shown.into();
        let message = match self {
            Self::Jsapi => "get_brand_wcpay_request:fail".to_owned(),
            Self::MiniProgram => format!("requestPayment:fail {shown}"),
        };
        Failed { message, shown: Some(shown) }
    }

    fn missing(self, names: &[&str], said: &Map<String, Value>) -> Failed {
        match self {
            Self::Jsapi => self.failed(format!("调用支付JSAPI缺少参数：{}", names.join("、"))),
            Self::MiniProgram => {
                let wrong = names.iter().map(|name| {
                    format!("parameter.{name} should be String instead of {};", type_of(said.get(*name)))
                });
                let message = format!("requestPayment:fail parameter error: {}", wrong.collect::<String>());
                Failed { message, shown: None }
            }
        }
    }
}

impl Wechat {
    /// Checks the call-up parameters as the app does; `appid` is the mini-program's own.
    pub(crate) async fn invoke(
        &self,
        cashier: Cashier,
        appid: Option<&str>,
        said: &Map<String, Value>,
        payer: &Payer,
    ) -> Result<Invoked, ControlError> {
        let text = |name: &str| said.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let missing: Vec<_> = cashier.fields().iter().copied().filter(|name| text(name).is_none()).collect();
        if !missing.is_empty() {
            return Ok(Invoked::Failed(cashier.missing(&missing, said)));
        }
        let said_text = |name| text(name).unwrap_or_default();
        let appid = match cashier {
            Cashier::Jsapi => said_text("appId"),
            Cashier::MiniProgram => appid.unwrap_or_default(),
        };
        let Some(app) = self.app(appid) else {
            return Ok(Invoked::Failed(match cashier {
                Cashier::Jsapi => Failed {
                    message: "get_brand_wcpay_request:fail_invalid appid".to_owned(),
                    shown: Some("invalid appid".to_owned()),
                },
                Cashier::MiniProgram => cashier.failed("invalid appid"),
            }));
        };
        let fail = |shown: &str| Ok(Invoked::Failed(cashier.failed(shown)));
        // The app's word for a package, a prepay_id or an appId that leads to no order.
        let no_order = "调用支付JSAPI缺少参数：total_fee";
        let Some(prepay_id) = said_text("package").strip_prefix("prepay_id=") else {
            return fail(no_order);
        };
        let by = By::Code(prepay_id);
        let order = match self.order(by).await {
            Ok(order) if order.endpoint == Endpoint::Jsapi && order.terms.appid == app.appid => order,
            Ok(_) | Err(ControlError::NotFound(_)) => return fail(no_order),
            Err(error) => return Err(error),
        };
        if app.kind != cashier.app_kind() {
            return fail("支付场景非法");
        }
        let message = format!(
            "{appid}\n{}\n{}\n{}\n",
            said_text("timeStamp"),
            said_text("nonceStr"),
            said_text("package")
        );
        let signature = said_text("paySign").to_owned();
        let is_signed = match self.merchants.find(&order.terms.mchid) {
            Some(keys) if said_text("signType") == "RSA" && said_text("nonceStr").chars().count() <= 32 => {
                let now = self.clock.signing_ms();
                keys.off_thread(move |keys| keys.merchant_signed(message.as_bytes(), &signature, now))
                    .await
                    .unwrap_or(false)
            }
            Some(_) | None => false,
        };
        if !is_signed {
            return fail("支付验证签名失败");
        }
        if !self.is_recent(said_text("timeStamp")) {
            return fail("timeStamp 已过期，或不是秒级时间戳");
        }
        let opened = self.open(by, payer).await?;
        match opened.barred {
            None => Ok(Invoked::Sheet(Box::new(opened.order))),
            Some(Unpayable::CodeExpired) => fail(no_order),
            Some(why) => fail(why.shown()),
        }
    }

    /// Seconds, no older than the `prepay_id` can be.
    fn is_recent(&self, time_stamp: &str) -> bool {
        let is_seconds = time_stamp.len() == 10 && time_stamp.bytes().all(|byte| byte.is_ascii_digit());
        time_stamp.parse::<i64>().is_ok_and(|seconds| {
            let age = self.clock.signing_ms() - seconds * 1000;
            is_seconds && (-CLOCK_SLACK_MS..=CODE_LIFE_MS).contains(&age)
        })
    }
}

/// What JavaScript would call it.
fn type_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "Undefined",
        Some(Value::Null) => "Null",
        Some(Value::Bool(_)) => "Boolean",
        Some(Value::Number(_)) => "Number",
        Some(Value::String(_)) => "String",
        Some(Value::Array(_)) => "Array",
        Some(Value::Object(_)) => "Object",
    }
}
