//! How goods reach their payer (小程序发货信息管理), and the access tokens that telling it takes.
//!
//! One parcel at a time (统一发货); nothing here holds money back.

use sea_orm::DbErr;
use serde::{Deserialize, Serialize};

use crate::{
    clock::parse_rfc3339,
    credentials::{App, random_text},
    faults::{FaultKind, Target},
    rules::State,
    store::{self, By},
    wechat::Wechat,
};

const TOKEN_LIFE_MS: i64 = 2 * 60 * 60_000;
/// A token that has no longer than this left is not given out again; until it ends it is good beside the new one.
const TOKEN_RENEWED_MS: i64 = 5 * 60_000;
/// How long a token that has ended is told from one that never was.
const TOKEN_KEPT_MS: i64 = 24 * 60 * 60_000;
/// Once, and one change of it.
const UPLOADS_MAX: i64 = 2;
const ITEM_DESC_MAX: usize = 120;
const TRACKING_NO_MAX: usize = 128;

/// An `errcode` and its words.
#[derive(Debug)]
pub(crate) enum Refused {
    Said(i32, &'static str),
    Store(DbErr),
}

impl From<DbErr> for Refused {
    fn from(error: DbErr) -> Self {
        Self::Store(error)
    }
}

/// What was told of a payment last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shipped {
    pub transaction_id: String,
    /// 1 express, 2 same city, 3 virtual, 4 pick-up.
    pub logistics_type: u8,
    pub item_desc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_no: Option<String>,
    /// 1, or 2 after the one change.
    pub uploads: i64,
}

/// A body, as far as the rules look at it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Told {
    order_key: OrderKey,
    logistics_type: u8,
    delivery_mode: u8,
    #[serde(default)]
    shipping_list: Vec<Parcel>,
    upload_time: String,
    payer: Payer,
}

#[derive(Clone, Debug, Deserialize)]
struct OrderKey {
    order_number_type: u8,
    transaction_id: Option<String>,
    mchid: Option<String>,
    out_trade_no: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Parcel {
    tracking_no: Option<String>,
    express_company: Option<String>,
    #[serde(default)]
    item_desc: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Payer {
    openid: String,
}

impl Told {
    /// What is wrong with it whatever it is about; else the time it was told at.
    fn check(&self) -> Result<i64, Refused> {
        let wrong = |why| Err(Refused::Said(10_060_014, why));
        let uploaded_at = parse_rfc3339(&self.upload_time)
            .ok_or(Refused::Said(268_485_216, "上传时间非法，请按照 RFC 3339 格式填写"))?;
        if !(1..=4).contains(&self.logistics_type) {
            return Err(Refused::Said(10_060_005, "物流类型有误"));
        }
        if self.delivery_mode != 1 {
            return wrong("模拟器只支持统一发货 (delivery_mode 1)");
        }
        let [parcel] = self.shipping_list.as_slice() else {
            return wrong("统一发货只能有一个包裹");
        };
        if parcel.item_desc.is_empty() {
            return Err(Refused::Said(10_060_008, "商品描述不能为空"));
        }
        if parcel.item_desc.chars().count() > ITEM_DESC_MAX {
            return Err(Refused::Said(10_060_009, "商品描述太长"));
        }
        let is_named = |text: &Option<String>| {
            text.as_ref().is_some_and(|text| (1..=TRACKING_NO_MAX).contains(&text.len()))
        };
        if self.logistics_type == 1 && !(is_named(&parcel.tracking_no) && is_named(&parcel.express_company)) {
            return wrong("快递须有运单号和物流公司编码");
        }
        Ok(uploaded_at)
    }

    fn order(&self) -> Option<By<'_>> {
        let OrderKey { order_number_type, transaction_id, mchid, out_trade_no } = &self.order_key;
        match (order_number_type, transaction_id, mchid, out_trade_no) {
            (1, _, Some(mchid), Some(number)) => Some(By::Number(mchid, number)),
            (2, Some(id), ..) => Some(By::Transaction(id)),
            _ => None,
        }
    }
}

impl Wechat {
    /// A token that is good for a while, and for how many seconds: the same one to everybody, unless a new
    /// one is wanted by force, which ends all others.
    pub(crate) async fn stable_token(&self, app: &App, by_force: bool) -> Result<(String, i64), DbErr> {
        let now = self.now();
        let txn = self.store.begin().await?;
        store::forget_tokens(&txn, &app.appid, if by_force { i64::MAX } else { now - TOKEN_KEPT_MS }).await?;
        let known = store::newest_token(&txn, &app.appid).await?;
        let (token, ends_at) = match known.filter(|(_, ends_at)| ends_at - now > TOKEN_RENEWED_MS) {
            Some(known) => known,
            None => {
                let new = (random_text(136), now + TOKEN_LIFE_MS);
                store::insert_token(&txn, &app.appid, &new.0, new.1).await?;
                new
            }
        };
        txn.commit().await?;
        Ok((token, (ends_at - now) / 1000))
    }

    /// Takes the shipping of a payment, once and for one change.
    pub(crate) async fn upload_shipping(&self, token: &str, body: &[u8]) -> Result<(), Refused> {
        let now = self.now();
        let txn = self.store.begin().await?;
        let (appid, ends_at) = store::find_token(&txn, token)
            .await?
            .ok_or(Refused::Said(40001, "invalid credential, access_token is invalid or not latest"))?;
        if now >= ends_at {
            return Err(Refused::Said(42001, "access_token expired"));
        }
        let fault = self.app(&appid).and_then(|app| self.app_fault(&app, Target::Shipping));
        match fault {
            None => {}
            Some(FaultKind::NotFound) => return Err(Refused::Said(10_060_001, "支付单不存在")),
            Some(_) => return Err(Refused::Said(-1, "system error")),
        }
        let told: Told =
            serde_json::from_slice(body).map_err(|_| Refused::Said(47001, "data format error"))?;
        let uploaded_at = told.check()?;
        let unknown = || Refused::Said(10_060_001, "支付单不存在");
        let order = store::find_order(&txn, told.order().ok_or_else(unknown)?).await?;
        let order = order.filter(|order| order.terms.appid == appid).ok_or_else(unknown)?;
        let (State::Success(paid) | State::Refund(paid)) = &order.state else { return Err(unknown()) };
        if paid.openid != told.payer.openid {
            return Err(Refused::Said(10_060_031, "该笔支付单不属于 openid 所指定的用户"));
        }
        let body = String::from_utf8_lossy(body);
        let known = store::find_shipping(&txn, &paid.transaction_id).await?;
        if let Some(known) = &known {
            if known.body == body {
                return Err(Refused::Said(10_060_023, "发货信息未更新"));
            }
            if known.uploads >= UPLOADS_MAX {
                return Err(Refused::Said(10_060_003, "支付单已使用重新发货机会"));
            }
            if uploaded_at <= known.uploaded_at {
                return Err(Refused::Said(268_485_216, "上传时间须晚于上一次"));
            }
        }
        let uploads = known.map_or(0, |known| known.uploads) + 1;
        let told = store::ToldShipping { body: body.into_owned(), uploaded_at, uploads };
        store::keep_shipping(&txn, &paid.transaction_id, &told).await?;
        txn.commit().await?;
        Ok(())
    }

    /// What is known of a payment's shipping.
    pub(crate) async fn shipped(&self, transaction_id: &str) -> Result<Option<Shipped>, DbErr> {
        let known = store::find_shipping(self.store.db(), transaction_id).await?;
        let read =
            known.and_then(|known| Some((serde_json::from_str::<Told>(&known.body).ok()?, known.uploads)));
        Ok(read.and_then(|(told, uploads)| {
            let parcel = told.shipping_list.into_iter().next()?;
            Some(Shipped {
                transaction_id: transaction_id.to_owned(),
                logistics_type: told.logistics_type,
                item_desc: parcel.item_desc,
                tracking_no: parcel.tracking_no,
                uploads,
            })
        }))
    }
}
