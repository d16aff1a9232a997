//! The fields a request may have, as tables, and the check of a body against them.
//!
//! WeChat Pay refuses fields it does not know, nulls, and characters outside the basic plane.

use serde_json::{Map, Value, json};

use crate::{clock::parse_rfc3339, wire::answer::Refusal};

pub(crate) struct Field {
    name: &'static str,
    required: bool,
    kind: Kind,
}

enum Kind {
    /// Characters, at least and at most.
    Text(usize, usize, Shape),
    /// Characters, and at most so many bytes of UTF-8.
    Bytes(usize),
    /// A whole number, at least.
    Whole(i64),
    Bool,
    Object(&'static [Field]),
    /// At most so many bytes when written compactly.
    CompactObject(&'static [Field], usize),
    Objects(&'static [Field]),
    Word(&'static [&'static str]),
    Words(&'static [&'static str]),
}

#[derive(Clone, Copy)]
enum Shape {
    Any,
    Number,
    RefundNumber,
    Url,
    Moment,
    Currency,
}

const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, required: true, kind }
}

const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, required: false, kind }
}

pub(crate) const OUT_TRADE_NO: Field = must("out_trade_no", Kind::Text(6, 32, Shape::Number));

const MCHID: Field = must("mchid", Kind::Text(1, 32, Shape::Any));

pub(crate) const NATIVE: &[Field] = &[
    must("appid", Kind::Text(1, 32, Shape::Any)),
    MCHID,
    must("description", Kind::Text(1, 127, Shape::Any)),
    OUT_TRADE_NO,
    may("time_expire", Kind::Text(1, 64, Shape::Moment)),
    may("attach", Kind::Text(0, 128, Shape::Any)),
    must("notify_url", Kind::Text(1, 255, Shape::Url)),
    may("goods_tag", Kind::Text(0, 32, Shape::Any)),
    may("limit_pay", Kind::Words(&["no_balance", "no_credit", "no_debit", "balance_only"])),
    may("support_fapiao", Kind::Bool),
    must("amount", Kind::Object(AMOUNT)),
    may("detail", Kind::CompactObject(DETAIL, 6144)),
    may("scene_info", Kind::Object(SCENE)),
    may("settle_info", Kind::Object(&[may("profit_sharing", Kind::Bool)])),
];

/// JSAPI knows what Native knows, and who pays.
pub(crate) const JSAPI_ALSO: &[Field] =
    &[must("payer", Kind::Object(&[must("openid", Kind::Text(1, 128, Shape::Any))]))];

pub(crate) const CLOSE: &[Field] = &[MCHID];

pub(crate) const OUT_REFUND_NO: Field = must("out_refund_no", Kind::Text(1, 64, Shape::RefundNumber));

pub(crate) const REFUND: &[Field] = &[
    may("transaction_id", Kind::Text(1, 32, Shape::Any)),
    may("out_trade_no", Kind::Text(6, 32, Shape::Number)),
    OUT_REFUND_NO,
    may("reason", Kind::Bytes(80)),
    may("notify_url", Kind::Text(8, 256, Shape::Url)),
    may("funds_account", Kind::Word(&["AVAILABLE", "UNSETTLED"])),
    must(
        "amount",
        Kind::Object(&[
            must("refund", Kind::Whole(1)),
            may(
                "from",
                Kind::Objects(&[
                    must("account", Kind::Word(&["AVAILABLE", "UNAVAILABLE"])),
                    must("amount", Kind::Whole(1)),
                ]),
            ),
            must("total", Kind::Whole(1)),
            must("currency", Kind::Text(1, 16, Shape::Currency)),
        ]),
    ),
    may(
        "goods_detail",
        Kind::Objects(&[
            must("merchant_goods_id", Kind::Text(1, 32, Shape::Any)),
            may("wechatpay_goods_id", Kind::Text(0, 32, Shape::Any)),
            may("goods_name", Kind::Text(0, 256, Shape::Any)),
            must("unit_price", Kind::Whole(0)),
            must("refund_amount", Kind::Whole(0)),
            must("refund_quantity", Kind::Whole(1)),
        ]),
    ),
];

const AMOUNT: &[Field] =
    &[must("total", Kind::Whole(1)), may("currency", Kind::Text(1, 16, Shape::Currency))];

const DETAIL: &[Field] = &[
    may("cost_price", Kind::Whole(0)),
    may("invoice_id", Kind::Text(0, 32, Shape::Any)),
    may(
        "goods_detail",
        Kind::Objects(&[
            must("merchant_goods_id", Kind::Text(1, 32, Shape::Any)),
            may("wechatpay_goods_id", Kind::Text(0, 32, Shape::Any)),
            may("goods_name", Kind::Text(0, 256, Shape::Any)),
            must("quantity", Kind::Whole(1)),
            must("unit_price", Kind::Whole(0)),
        ]),
    ),
];

const SCENE: &[Field] = &[
    must("payer_client_ip", Kind::Text(1, 45, Shape::Any)),
    may("device_id", Kind::Text(0, 32, Shape::Any)),
    may(
        "store_info",
        Kind::Object(&[
            must("id", Kind::Text(1, 32, Shape::Any)),
            may("name", Kind::Text(0, 256, Shape::Any)),
            may("area_code", Kind::Text(0, 32, Shape::Any)),
            may("address", Kind::Text(0, 512, Shape::Any)),
        ]),
    ),
];

/// Reads a body as one JSON object.
pub(crate) fn read_object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Refusal::param("请求体不是合法的JSON对象")),
    }
}

/// Checks an object against tables of fields, the first mistake wins.
pub(crate) fn check(object: &Map<String, Value>, tables: &[&[Field]]) -> Result<(), Refusal> {
    check_object("", object, tables)
}

/// Checks a value that came in the path.
pub(crate) fn check_text(field: &Field, text: &str) -> Result<(), Refusal> {
    check_value(&format!("/{}", field.name), &field.kind, &Value::from(text))
        .map_err(|refusal| refusal.in_url(field.name))
}

fn check_object(at: &str, object: &Map<String, Value>, tables: &[&[Field]]) -> Result<(), Refusal> {
    let fields = || tables.iter().copied().flatten();
    for field in fields() {
        let pointer = format!("{at}/{}", field.name);
        match object.get(field.name) {
            Some(value) => check_value(&pointer, &field.kind, value)?,
            None if field.required => {
                return Err(Refusal::field(&pointer, None, "缺少必填参数"));
            }
            None => {}
        }
    }
    match object.iter().find(|(name, _)| fields().all(|field| field.name != *name)) {
        None => Ok(()),
        Some((name, value)) => {
            let pointer = format!("{at}/{name}");
            Err(Refusal::field(&pointer, Some(value), "参数中含有非法的额外参数").numbered(EXTRA))
        }
    }
}

const EXTRA: u64 = 270_924_358;

fn check_value(at: &str, kind: &Kind, value: &Value) -> Result<(), Refusal> {
    let refuse = |issue: &str| Err(Refusal::field(at, Some(value), issue));
    if value.is_null() {
        return refuse("参数不能为null");
    }
    match kind {
        Kind::Text(least, most, shape) => {
            let Some(text) = value.as_str() else {
                return refuse("类型错误，应为字符串");
            };
            if text.chars().any(|c| u32::from(c) > 0xFFFF) {
                return refuse("含有4字节的UTF-8字符");
            }
            let length = text.chars().count();
            if length < *least {
                return refuse(&format!("字符数 {length}，小于最小值 {least}"));
            }
            if length > *most {
                return refuse(&format!("字符数 {length}，大于最大值 {most}"));
            }
            match shape.mistake(text) {
                Some(issue) => refuse(issue),
                None => Ok(()),
            }
        }
        Kind::Bytes(most) => {
            check_value(at, &Kind::Text(0, *most, Shape::Any), value)?;
            match value.as_str().map_or(0, str::len) {
                bytes if bytes > *most => refuse(&format!("字节数 {bytes}，大于最大值 {most}")),
                _ => Ok(()),
            }
        }
        Kind::Whole(least) => match value.as_i64() {
            None => refuse("类型错误，应为整数"),
            Some(number) if number < *least => refuse(&format!("值低于最小值 {least}")),
            Some(_) => Ok(()),
        },
        Kind::Bool if value.is_boolean() => Ok(()),
        Kind::Bool => refuse("类型错误，应为布尔值"),
        Kind::Object(fields) => match value.as_object() {
            Some(object) => check_object(at, object, &[fields]),
            None => refuse("类型错误，应为对象"),
        },
        Kind::CompactObject(fields, most) => match value.as_object() {
            Some(_) if value.to_string().len() > *most => refuse(&format!("字节数大于最大值 {most}")),
            Some(object) => check_object(at, object, &[fields]),
            None => refuse("类型错误，应为对象"),
        },
        Kind::Objects(fields) => {
            let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
                return refuse("类型错误，应为非空数组");
            };
            for (i, item) in items.iter().enumerate() {
                let at = format!("{at}/{i}");
                match item.as_object() {
                    Some(object) => check_object(&at, object, &[fields])?,
                    None => return Err(Refusal::field(&at, Some(item), "类型错误，应为对象")),
                }
            }
            Ok(())
        }
        Kind::Word(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Ok(()),
            _ => refuse("取值不在允许的范围内"),
        },
        Kind::Words(words) => {
            let known = |item: &Value| item.as_str().is_some_and(|word| words.contains(&word));
            match value.as_array() {
                Some(items) if items.iter().all(known) => Ok(()),
                _ => refuse("取值不在允许的范围内"),
            }
        }
    }
}

impl Shape {
    fn mistake(self, text: &str) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Number => (!is_made_of(text, "_-|*")).then_some("只能是数字、大小写字母_-|*"),
            Self::RefundNumber => (!is_made_of(text, "_-|*@")).then_some("只能是数字、大小写字母_-|*@"),
            Self::Url => (!is_notify_url(text)).then_some("通知地址不是合法的绝对URL，且不能携带参数"),
            Self::Moment => parse_rfc3339(text).is_none().then_some("时间不符合rfc3339格式"),
            Self::Currency => (text != "CNY").then_some("币种只支持CNY"),
        }
    }
}

fn is_made_of(text: &str, signs: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
}

/// Absolute, with a path and without a query. Plain http and loopback are allowed here, and only
/// here: the real one wants https and a public name.
pub(crate) fn is_notify_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some((authority, _)) = rest.and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    !authority.is_empty()
        && !text.contains(['?', '#'])
        && text.chars().all(|c| c.is_ascii_graphic())
        && text.parse::<http::Uri>().is_ok()
}

/// The `detail` of a refusal about one field.
pub(crate) fn detail(at: &str, value: Option<&Value>, issue: &str, location: &str) -> Value {
    let mut detail = json!({"field": at, "issue": issue, "location": location});
    if let Some(value) = value {
        detail["value"] = value.clone();
    }
    detail
}

#[cfg(test)]
mod tests;
