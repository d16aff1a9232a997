//! How a mini-program's goods reach the payer (WeChat documentation, 小程序发货信息管理服务), and the access
//! token that telling it takes (获取稳定版接口调用凭据).
//!
//! Where the service is on, WeChat holds the money of a payment back until it was told. It takes shipping
//! for a payment once, and one change of it; keep the bytes of a call, and send the same ones again while
//! its outcome is not known.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::Openid;
use crate::api_host::{ApiHost, Failure, Said};
use crate::client::{ConfigError, encoded};
use crate::openid::App;

#[cfg(test)]
mod tests;

/// What WeChat is told about one payment: a single parcel, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipping {
    /// WeChat Pay's number of the payment.
    pub transaction_id: String,
    /// Who paid, as the mini-program knows them.
    pub openid: Openid,
    /// On which way it goes.
    pub way: Way,
    /// What is sent, as WeChat shows it to the payer: at most 120 characters.
    pub item_desc: String,
    /// RFC 3339 with milliseconds, later than that of what was uploaded before.
    pub upload_time: String,
}

/// How goods reach the payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a carrier.
    Express {
        /// WeChat's code of the carrier, such as `SF`.
        company: String,
        /// At most 128 characters.
        tracking_no: String,
        /// The receiver's telephone, masked but for its last four digits; 顺丰 needs it.
        receiver_contact: Option<String>,
    },
    /// Within the city, by the merchant or a rider.
    SameCity,
    /// Nothing that is carried.
    Virtual,
    /// The payer fetches it.
    PickUp,
}

impl Shipping {
    /// The body for [`ShippingClient::upload`]: compact JSON in a fixed order.
    pub fn to_body(&self) -> String {
        let (logistics_type, express) = match &self.way {
            Way::Express { company, tracking_no, receiver_contact } => {
                (1, Some((company.as_str(), tracking_no.as_str(), receiver_contact.as_deref())))
            }
            Way::SameCity => (2, None),
            Way::Virtual => (3, None),
            Way::PickUp => (4, None),
        };
        let parcel = WireParcel {
            tracking_no: express.map(|(_, number, _)| number),
            express_company: express.map(|(company, ..)| company),
            item_desc: &self.item_desc,
            contact: express
                .and_then(|(.., contact)| contact)
                .map(|receiver_contact| WireContact { receiver_contact }),
        };
        let wire = WireShipping {
            order_key: WireOrderKey { order_number_type: 2, transaction_id: &self.transaction_id },
            logistics_type,
            delivery_mode: 1,
            shipping_list: [parcel],
            upload_time: &self.upload_time,
            payer: WirePayer { openid: &self.openid.0 },
        };
        serde_json::to_string(&wire).expect("text and whole numbers always become JSON")
    }
}

#[derive(Serialize)]
struct WireShipping<'a> {
    order_key: WireOrderKey<'a>,
    logistics_type: u8,
    delivery_mode: u8,
    shipping_list: [WireParcel<'a>; 1],
    upload_time: &'a str,
    payer: WirePayer<'a>,
}

#[derive(Serialize)]
struct WireOrderKey<'a> {
    order_number_type: u8,
    transaction_id: &'a str,
}

#[derive(Serialize)]
struct WireParcel<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    express_company: Option<&'a str>,
    item_desc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<WireContact<'a>>,
}

#[derive(Serialize)]
struct WireContact<'a> {
    receiver_contact: &'a str,
}

#[derive(Serialize)]
struct WirePayer<'a> {
    openid: &'a str,
}

/// Tells WeChat of shipping. Clones share its connections and its tokens.
///
/// An access token is kept until WeChat refuses it: WeChat gives the same one to everybody who asks while
/// it is good, so nothing has to be known of its end. However many calls want one, one asks for it.
#[derive(Clone)]
pub struct ShippingClient {
    host: ApiHost,
    tokens: Arc<Mutex<HashMap<String, Arc<Kept>>>>,
}

/// The token of one app.
type Kept = tokio::sync::Mutex<Option<SecretString>>;

#[derive(Deserialize)]
struct StableToken {
    access_token: SecretString,
}

/// WeChat says even when all is well that it is.
#[derive(Deserialize)]
struct Taken {
    #[expect(dead_code, reason = "an answer without it is no answer")]
    errcode: i64,
}

impl ShippingClient {
    /// Prepares a client for `base_url`, scheme and host, `https://api.weixin.qq.com` in earnest;
    /// connects to nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`] for a base URL that is more than scheme and host, and when the HTTP
    /// client cannot start.
    pub fn new(base_url: &str) -> Result<Self, ConfigError> {
        Ok(Self { host: ApiHost::new(base_url)?, tokens: Arc::default() })
    }

    /// Tells WeChat, in at most two calls of five seconds each. `body` is [`Shipping::to_body`].
    ///
    /// # Errors
    /// [`ShippingError`], by what to do about it.
    pub async fn upload(&self, app: &App, body: &str) -> Result<(), ShippingError> {
        let kept = self.kept(&app.app_id);
        let token = self.token(app, &kept).await?;
        let token_text = token.expose_secret();
        let target = format!("/wxa/sec/order/upload_shipping_info?access_token={}", encoded(token_text));
        match self.host.post::<Taken>(&target, body.to_owned()).await {
            Ok(_) => Ok(()),
            Err(Failure::NotDelivered { cause }) => Err(ShippingError::NotSent { cause }),
            Err(Failure::Unknown { cause }) => Err(ShippingError::Unknown { cause }),
            Err(Failure::Said(said)) if matches!(said.code, 40001 | 40014 | 41001 | 42001) => {
                let mut kept = kept.lock().await;
                // Unless somebody has a newer one by now.
                if kept.as_ref().is_some_and(|kept| kept.expose_secret() == token_text) {
                    *kept = None;
                }
                Err(ShippingError::TokenRefused(said))
            }
            Err(Failure::Said(said)) if is_busy(&said) => Err(ShippingError::Busy(said)),
            Err(Failure::Said(said)) => Err(ShippingError::Refused(said)),
        }
    }

    fn kept(&self, app_id: &str) -> Arc<Kept> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.entry(app_id.to_owned()).or_default().clone()
    }

    /// The app's token; whoever wants it while it is being asked for waits.
    async fn token(&self, app: &App, kept: &Kept) -> Result<SecretString, ShippingError> {
        let mut kept = kept.lock().await;
        if let Some(token) = &*kept {
            return Ok(token.clone());
        }
        let asked = serde_json::json!({
            "grant_type": "client_credential",
            "appid": app.app_id,
            "secret": app.secret.expose_secret(),
        });
        let answer = self.host.post::<StableToken>("/cgi-bin/stable_token", asked.to_string()).await;
        let token = answer.map_err(|failure| match failure {
            Failure::NotDelivered { cause } | Failure::Unknown { cause } => ShippingError::NotSent { cause },
            Failure::Said(said) => ShippingError::NoToken(said),
        })?;
        Ok(kept.insert(token.access_token).clone())
    }
}

impl fmt::Debug for ShippingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShippingClient").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Busy (-1), or the calls of this day or minute are used up.
fn is_busy(said: &Said) -> bool {
    matches!(said.code, -1 | 45009 | 45011)
}

/// Shipping that WeChat may not know of.
///
/// | variant | what happened | what to do |
/// |---|---|---|
/// | `NotSent` | nothing was told | the same bytes again |
/// | `NoToken` | WeChat gave no token, so nothing was told | by the code: wait, or see to the configuration |
/// | `TokenRefused` | the token had ended, so nothing was told | the same bytes again, at once |
/// | `Busy` | WeChat is busy, or asked too often | the same bytes again, later |
/// | `Unknown` | WeChat may know of it | the same bytes again |
/// | `Refused` | WeChat said no | decide by the code |
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShippingError {
    /// Nothing was told: no connection, or no answer to the question for a token.
    #[error("not sent: {cause}")]
    NotSent {
        /// Why.
        cause: String,
    },
    /// WeChat gave no access token.
    #[error("no access token: {0}")]
    NoToken(Said),
    /// WeChat does not take the access token; the next call asks for another.
    #[error("the access token was refused: {0}")]
    TokenRefused(Said),
    /// WeChat did not look at it.
    #[error("WeChat is busy: {0}")]
    Busy(Said),
    /// WeChat may know of it without our hearing so.
    #[error("it may be known: {cause}")]
    Unknown {
        /// Why.
        cause: String,
    },
    /// WeChat's no.
    #[error("WeChat refused it: {0}")]
    Refused(Said),
}

impl ShippingError {
    /// A word for logs and rows, without anybody's words.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "not_sent",
            Self::NoToken(_) => "no_token",
            Self::TokenRefused(_) => "token_refused",
            Self::Busy(_) => "busy",
            Self::Unknown { .. } => "unknown",
            Self::Refused(_) => "refused",
        }
    }

    /// WeChat's shipping knows nothing of the payment. It may a little later (10060001).
    pub fn is_payment_unknown(&self) -> bool {
        matches!(self, Self::Refused(said) if said.code == 10_060_001)
    }

    /// WeChat has shipping for the payment already: as complete (10060002), as changed once (10060003), or
    /// this very one (10060023). Of bytes that were sent before and not answered, this is the answer.
    pub fn is_known_already(&self) -> bool {
        matches!(self, Self::Refused(said) if matches!(said.code, 10_060_002 | 10_060_003 | 10_060_023))
    }
}
