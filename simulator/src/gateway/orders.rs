//! Creating, finding and closing an order.

use std::collections::HashMap;

use anyhow::anyhow;
use axum::extract::Query;
use http::{StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{Reply, broken};
use crate::{
    clock::{parse_rfc3339, rfc3339},
    credentials::random_text,
    rules::{self, Again, AlreadyPaid, CODE_LIFE_MS, Endpoint, NotAgain, Order, Terms},
    signing::Keys,
    store::{self, By},
    wechat::Wechat,
    wire::{answer::Refusal, transaction},
};

impl Wechat {
    pub(super) async fn create(
        &self,
        keys: &Keys,
        endpoint: Endpoint,
        body: Value,
    ) -> Result<Order, Refusal> {
        let terms: Terms =
            serde_json::from_value(body.clone()).map_err(|error| broken(&anyhow::Error::from(error)))?;
        if !keys.merchant().apps.iter().any(|app| app.appid == terms.appid) {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "APPID_MCHID_NOT_MATCH",
                "appid和mch_id不匹配，请检查后再试",
                268_445_527,
            ));
        }
        let now = self.now();
        let time_expire = terms.time_expire.as_deref().and_then(parse_rfc3339);
        let new = Order {
            out_trade_no: terms.out_trade_no.clone(),
            endpoint,
            body,
            created_at: now,
            payable_until: rules::payable_until(now, time_expire),
            code: new_code(endpoint, now),
            code_expires_at: now + CODE_LIFE_MS,
            state: rules::State::NotPay,
            terms,
        };
        // Most numbers are new: one statement, without a transaction around it.
        if store::insert_order(self.store.db(), &new).await? {
            return Ok(new);
        }
        let txn = self.store.begin().await?;
        let known = store::find_order(&txn, By::Number(&new.terms.mchid, &new.out_trade_no)).await?;
        let mut order = known.ok_or_else(|| broken(&anyhow!("an order has vanished")))?.at(now);
        if order.ask_again(endpoint, &new.body, now)? == Again::Fresh {
            order.code = new.code;
            order.code_expires_at = new.code_expires_at;
            store::update_order(&txn, &order).await?;
        }
        txn.commit().await?;
        Ok(order)
    }

    pub(super) async fn find(&self, parts: &Parts, mchid: &str, by: By<'_>) -> Result<Reply, Refusal> {
        let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
            .map(|Query(query)| query)
            .unwrap_or_default();
        match query.get("mchid") {
            None => return Err(Refusal::param("缺少必填参数mchid").in_query("mchid")),
            Some(asked) if asked != mchid => {
                let message = "http header中的mchid与url query中的mchid不匹配";
                return Err(Refusal::param(message).in_query("mchid"));
            }
            Some(_) => {}
        }
        let order = store::find_order(self.store.db(), by)
            .await?
            // Somebody else's number is no number.
            .filter(|order| order.terms.mchid == mchid)
            .ok_or_else(Refusal::order_not_exist)?
            .at(self.now());
        Ok(Reply::json(StatusCode::OK, &transaction::describe(&order)))
    }

    pub(super) async fn close(&self, mchid: &str, number: &str) -> Result<(), Refusal> {
        let now = self.now();
        let txn = self.store.begin().await?;
        let mut order = store::find_order(&txn, By::Number(mchid, number))
            .await?
            .ok_or_else(Refusal::order_not_exist)?
            .at(now);
        order.state = order.close(now)?;
        store::update_order(&txn, &order).await?;
        txn.commit().await?;
        Ok(())
    }
}

fn new_code(endpoint: Endpoint, now: i64) -> String {
    match endpoint {
        Endpoint::Native => random_text(9),
        Endpoint::Jsapi => {
            let moment: String = rfc3339(now).chars().take(19).filter(char::is_ascii_digit).collect();
            format!("wx{moment}{}", hex::encode(rand::random::<[u8; 10]>()))
        }
    }
}

/// The one field a create answers with.
pub(crate) fn code_json(order: &Order) -> Value {
    match order.endpoint {
        Endpoint::Jsapi => json!({"prepay_id": order.code}),
        Endpoint::Native => json!({"code_url": format!("{CODE_URL}{}", order.code)}),
    }
}

const CODE_URL: &str = "weixin://wxpay/bizpayurl?pr=";

impl From<AlreadyPaid> for Refusal {
    fn from(AlreadyPaid: AlreadyPaid) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(status, "ORDER_PAID", "订单已支付，不能关闭", 268_449_538)
    }
}

impl From<NotAgain> for Refusal {
    fn from(why: NotAgain) -> Self {
        let (status, code, message, number) = match why {
            NotAgain::Paid => (403, "OUT_TRADE_NO_USED", "订单已支付", 268_498_689),
            NotAgain::Differs => {
                let message = "请求重入时，参数与首次请求时不一致";
                (403, "OUT_TRADE_NO_USED", message, 268_498_688)
            }
            NotAgain::Closed => (400, "ORDER_CLOSED", "该订单已关闭，请更换商户订单号", 268_447_914),
            // Not documented; the advice is to close it and take a new number.
            NotAgain::Expired => (400, "INVALID_REQUEST", "订单已过支付截止时间", 268_447_914),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, code, message, number)
    }
}
