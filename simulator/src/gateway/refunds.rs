//! Asking for a refund and looking it up.

use http::StatusCode;
use serde_json::Value;

use super::{Reply, broken};
use crate::{
    refunds::{Asked, NoRefund},
    rules::refund::{Outcome, Source, Unrefundable},
    wechat::Wechat,
    wire::{
        answer::Refusal,
        fields::{self, OUT_REFUND_NO},
        refund,
    },
};

impl Wechat {
    pub(super) async fn create_refund(
        &self,
        mchid: &str,
        body: &[u8],
        outcome: Outcome,
    ) -> Result<Reply, Refusal> {
        let body = Value::Object(fields::read_object(body)?);
        check(&body)?;
        let terms =
            serde_json::from_value(body.clone()).map_err(|error| broken(&anyhow::Error::from(error)))?;
        let asked = Asked { mchid: mchid.to_owned(), source: Source::Api, body, terms, outcome };
        let (refund, paid) = self.refund(asked).await?;
        Ok(Reply::json(StatusCode::OK, &refund::describe(&refund, &paid)))
    }

    pub(super) async fn query_refund(&self, mchid: &str, number: &str) -> Result<Reply, Refusal> {
        fields::check_text(&OUT_REFUND_NO, number)?;
        let (refund, paid) = self.find_refund(mchid, number).await?.ok_or_else(not_found)?;
        Ok(Reply::json(StatusCode::OK, &refund::describe(&refund, &paid)))
    }
}

pub(super) fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS", "退款单不存在", 268_512_771)
}

/// What a table of fields cannot say: which order, and that the parts make up the whole.
pub(super) fn check(body: &Value) -> Result<(), Refusal> {
    let object = body.as_object().ok_or_else(|| Refusal::param("请求体不是合法的JSON对象"))?;
    fields::check(object, &[fields::REFUND])?;
    let numbers = ["transaction_id", "out_trade_no"].map(|name| object.contains_key(name));
    match numbers {
        [false, false] => {
            return Err(Refusal::field("/transaction_id", None, "与out_trade_no二选一，不能都为空"));
        }
        [true, true] => {
            let issue = "与out_trade_no二选一，不能同时传入";
            return Err(Refusal::field("/transaction_id", object.get("transaction_id"), issue));
        }
        _ => {}
    }
    if let Some(from) = body["amount"]["from"].as_array() {
        let sum: i128 = from.iter().filter_map(|part| part["amount"].as_i64()).map(i128::from).sum();
        if body["amount"]["refund"].as_i64().map(i128::from) != Some(sum) {
            let issue = "出资金额之和与退款金额不一致";
            return Err(Refusal::field("/amount/from", Some(&body["amount"]["from"]), issue));
        }
    }
    Ok(())
}

impl From<NoRefund> for Refusal {
    fn from(why: NoRefund) -> Self {
        let (status, code, number) = match &why {
            NoRefund::Store(error) => return broken(&anyhow::anyhow!("{error}")),
            NoRefund::Differs => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", 268_498_688),
            NoRefund::Refused(rule) => match rule {
                Unrefundable::NotPaid => (StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS", 268_512_771),
                Unrefundable::TotalDiffers
                | Unrefundable::TooLate
                | Unrefundable::TooMuch
                | Unrefundable::TooMany => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", 268_435_461),
                Unrefundable::TooSoon => (StatusCode::TOO_MANY_REQUESTS, "FREQUENCY_LIMITED", 268_447_840),
                Unrefundable::BalanceShort => (StatusCode::FORBIDDEN, "NOT_ENOUGH", 268_435_461),
            },
        };
        Self::new(status, code, why.to_string(), number)
    }
}
