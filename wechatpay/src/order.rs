//! The request that makes an order at WeChat, as the bytes that are signed and sent.
//!
//! Keep the bytes: the only request that WeChat takes twice for one number is the identical one
//! (WeChat Pay documentation, JSAPI/小程序下单 and Native下单).

use jiff::Timestamp;
use jiff::tz::offset;
use serde::{Serialize, Serializer};

use crate::Openid;

#[cfg(test)]
mod tests;

/// An order paid inside WeChat: a page in its browser, or a mini-program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsapiOrder {
    /// What every order says.
    pub order: Order,
    /// The payer, as the order's app knows them.
    pub openid: Openid,
}

/// An order paid by scanning a QR code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeOrder {
    /// What every order says.
    pub order: Order,
}

/// What every order says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// App id bound to the merchant.
    pub app_id: String,
    /// The merchant that signs.
    pub mchid: String,
    /// What is bought, shown in the payer's bill: 1 to 127 characters.
    pub description: String,
    /// The merchant's number; see [`out_trade_no_is_acceptable`].
    pub out_trade_no: String,
    /// The last moment to pay, sent in whole seconds. Fixed by the first request; WeChat raises
    /// it to a minute from now, and seven days is the safe upper bound.
    pub time_expire: Option<Timestamp>,
    /// Returned with the payment: at most 128 characters.
    pub attach: Option<String>,
    /// Where the notification goes: https, no query, at most 255 characters.
    pub notify_url: String,
    /// Coupon tag: at most 32 characters.
    pub goods_tag: Option<String>,
    /// Price in whole fen, at least 1. The currency is always CNY.
    pub amount_fen: i64,
    /// The payer's address, if known.
    pub payer_client_ip: Option<String>,
}

impl JsapiOrder {
    /// The body for [`Product::Jsapi`](crate::Product::Jsapi): compact JSON in a fixed order.
    pub fn to_body(&self) -> String {
        body(&self.order, Some(&self.openid))
    }
}

impl NativeOrder {
    /// The body for [`Product::Native`](crate::Product::Native): compact JSON in a fixed order.
    pub fn to_body(&self) -> String {
        body(&self.order, None)
    }
}

fn body(order: &Order, openid: Option<&Openid>) -> String {
    let wire = WireOrder {
        appid: &order.app_id,
        mchid: &order.mchid,
        description: &order.description,
        out_trade_no: &order.out_trade_no,
        time_expire: order.time_expire,
        attach: order.attach.as_deref(),
        notify_url: &order.notify_url,
        goods_tag: order.goods_tag.as_deref(),
        amount: WireAmount { total: order.amount_fen, currency: "CNY" },
        payer: openid.map(|openid| WirePayer { openid }),
        scene_info: order.payer_client_ip.as_deref().map(|payer_client_ip| WireScene { payer_client_ip }),
    };
    serde_json::to_string(&wire).expect("text and whole numbers always become JSON")
}

/// WeChat refuses unknown fields and chokes on `null`: what is absent is left out.
#[derive(Serialize)]
struct WireOrder<'a> {
    appid: &'a str,
    mchid: &'a str,
    description: &'a str,
    out_trade_no: &'a str,
    #[serde(serialize_with = "beijing_time", skip_serializing_if = "Option::is_none")]
    time_expire: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attach: Option<&'a str>,
    notify_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    goods_tag: Option<&'a str>,
    amount: WireAmount,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<WirePayer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene_info: Option<WireScene<'a>>,
}

#[derive(Serialize)]
struct WireAmount {
    total: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct WirePayer<'a> {
    openid: &'a Openid,
}

#[derive(Serialize)]
struct WireScene<'a> {
    payer_client_ip: &'a str,
}

fn beijing_time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = time.map(|time| offset(8).to_datetime(time).strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string());
    text.serialize(serializer)
}

/// Whether WeChat takes the text: it accepts UTF-8 of one to three bytes a character, so no
/// emoji (WeChat Pay documentation, 基本规则).
///
/// # Errors
/// [`TextRefusal`] with the first character that it does not take.
pub fn text_is_acceptable(text: &str) -> Result<(), TextRefusal> {
    match text.chars().enumerate().find(|(_, c)| c.len_utf8() > 3) {
        None => Ok(()),
        Some((position, character)) => Err(TextRefusal { position, character }),
    }
}

/// A character that WeChat does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {position} is {character:?}, which takes four bytes of UTF-8")]
pub struct TextRefusal {
    /// Counted in characters, the first is 0.
    pub position: usize,
    /// The character.
    pub character: char,
}

/// Whether WeChat takes the number: 6 to 32 of `[0-9A-Za-z_-|*]`
/// (WeChat Pay documentation, JSAPI/小程序下单). Keep to letters, digits, `_` and `-`: `|` and `*`
/// have to be percent-encoded in queries, which not every proxy leaves alone.
///
/// # Errors
/// [`OutTradeNoRefusal`] with what is wrong.
pub fn out_trade_no_is_acceptable(number: &str) -> Result<(), OutTradeNoRefusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | '*');
    if let Some((position, character)) = number.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        return Err(OutTradeNoRefusal::Character { position, character });
    }
    match number.len() {
        6..=32 => Ok(()),
        length => Err(OutTradeNoRefusal::Length { length }),
    }
}

/// Why WeChat does not take a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutTradeNoRefusal {
    /// Not 6 to 32 characters.
    #[error("an out_trade_no has 6 to 32 characters, this one has {length}")]
    Length {
        /// How many it has.
        length: usize,
    },
    /// A character outside `[0-9A-Za-z_-|*]`.
    #[error("character {position} of the out_trade_no is {character:?}, not one of 0-9 A-Z a-z _ - | *")]
    Character {
        /// Counted in characters, the first is 0.
        position: usize,
        /// The character.
        character: char,
    },
}
