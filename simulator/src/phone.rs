//! The payer's phone: a person opens an order, and pays it with a password or leaves.

use crate::{
    payer::{ControlError, Leave, Pay, Sender},
    payers::Payer,
    rules::{Endpoint, Order, Unpayable},
    store::{self, By},
    wechat::Wechat,
};

/// Six digits are always right, except these.
const WRONG_PASSWORD: &str = "000000";
/// How many unpaid orders the phone lists.
const LONGEST_LIST: u64 = 50;

/// An order as the phone found it.
pub(crate) struct Opened {
    pub order: Order,
    /// Why the person cannot pay it now.
    pub barred: Option<Unpayable>,
}

impl Wechat {
    /// Scans a code or takes over a `prepay_id`. The first to scan a Native order is the only one
    /// who can pay it (基础支付常见问题, Native).
    pub(crate) async fn open(&self, by: By<'_>, payer: &Payer) -> Result<Opened, ControlError> {
        let now = self.now();
        let txn = self.store.begin().await?;
        let order = self.order_in(&txn, by).await?;
        let scanned_by = store::scanned_by(&txn, &order).await?;
        let is_anothers = match order.endpoint {
            Endpoint::Native => scanned_by.is_some_and(|first| first != payer.id),
            Endpoint::Jsapi => false,
        };
        let barred = match order.payable(openid_of(&order, payer).as_deref(), now) {
            Err(why) => Some(why),
            Ok(()) if is_anothers => Some(Unpayable::ScannedByOther),
            Ok(()) => None,
        };
        if barred.is_none() {
            store::keep_scan(&txn, &order, payer.id, now).await?;
            txn.commit().await?;
        }
        Ok(Opened { order, barred })
    }

    /// A person types the password; nobody in particular needs none.
    pub(crate) async fn pay_on_phone(
        &self,
        by: By<'_>,
        payer: Option<&Payer>,
        password: Option<&str>,
    ) -> Result<(), ControlError> {
        let mut openid = None;
        if let Some(payer) = payer {
            let opened = self.open(by, payer).await?;
            if let Some(why) = opened.barred {
                return Err(ControlError::Refused(why.to_string()));
            }
            openid = openid_of(&opened.order, payer);
        }
        if let Some(password) = password {
            if password.len() != 6 || !password.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(ControlError::Invalid("a password has six digits".into()));
            }
            if password == WRONG_PASSWORD {
                self.leave(by, Leave::WrongPassword).await?;
                return Err(ControlError::WrongPassword);
            }
        }
        self.pay(by, &Pay { openid, total: None }, Sender::Dispatcher).await?;
        Ok(())
    }

    /// What this person opened and can still pay.
    pub(crate) async fn unpaid_on_phone(&self, payer: &Payer) -> Result<Vec<Order>, ControlError> {
        let now = self.now();
        let mut orders = self.store.unpaid_scans(payer.id, LONGEST_LIST).await?;
        orders.retain(|order| order.payable(None, now).is_ok());
        Ok(orders)
    }
}

/// Who pays this order when this person does. An openid that the merchant made up belongs to
/// whoever holds the phone.
fn openid_of(order: &Order, payer: &Payer) -> Option<String> {
    let appid = &order.terms.appid;
    match &order.terms.payer {
        Some(ordering) if Payer::of_openid(&ordering.openid, appid).is_none() => None,
        Some(_) | None => Some(payer.openid(appid)),
    }
}
