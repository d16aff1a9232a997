//! What the payer does with the phone: pay, walk away, or fail to pay.

use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Serialize};

use crate::{
    payers::Payer,
    rules::{Order, Paid, State},
    signing::{notification_id, transaction_id},
    store::{self, By, Cause, Delivered, Entry, Notification, PayerAttempt},
    wechat::Wechat,
    wire::{event::Event, transaction},
};

/// How a payer pays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pay {
    /// Who pays; absent: whoever ordered, or the phone's first payer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openid: Option<String>,
    /// The amount the notification claims; the ledger keeps the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// Why a control did nothing.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the password is wrong, try again (密码错误，请重试)")]
    WrongPassword,
    #[error("the simulator's own store failed")]
    Store(#[from] DbErr),
    #[error("the simulator itself failed")]
    Broken(#[from] anyhow::Error),
}

/// How a payer leaves without paying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Cancelled,
    BalanceShort,
    /// The payer means to come back; the phone remembers.
    PutOff,
    /// Not final: the payer may type it again.
    WrongPassword,
}

/// Who sends the notification of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Dispatcher,
    Caller,
}

impl Wechat {
    /// Takes the money and writes down whom to tell, in one transaction.
    pub(crate) async fn pay(
        &self,
        by: By<'_>,
        pay: &Pay,
        sender: Sender,
    ) -> Result<Notification, ControlError> {
        if pay.total.is_some_and(|total| total < 1) {
            return Err(ControlError::Invalid("total must be at least 1".into()));
        }
        if let Some(openid) = &pay.openid
            && !(1..=128).contains(&openid.len())
        {
            return Err(ControlError::Invalid("openid has 1 to 128 characters".into()));
        }
        let now = self.now();
        let txn = self.store.begin().await?;
        let mut order = found(store::find_order(&txn, by).await?, by)?.at(now);
        order.payable(pay.openid.as_deref(), now).map_err(|why| ControlError::Refused(why.to_string()))?;
        let ordered_by = order.terms.payer.as_ref().map(|payer| &payer.openid);
        let paid = Paid {
            transaction_id: transaction_id(now),
            paid_at: now,
            openid: (pay.openid.as_ref().or(ordered_by).cloned())
                .unwrap_or_else(|| Payer::first().openid(&order.terms.appid)),
            payer_total: order.terms.amount.total,
        };
        order.state = State::Success(paid.clone());
        let notification = Notification {
            id: notification_id(),
            mchid: order.terms.mchid.clone(),
            out_trade_no: order.out_trade_no.clone(),
            out_refund_no: None,
            event: Event::TransactionSuccess,
            notify_url: order.terms.notify_url.clone(),
            content: told(&order, pay.total).to_string(),
            created_at: now,
            state: Delivered::Pending,
            attempts: 0,
            was_delayed: false,
            next_at: (sender == Sender::Dispatcher).then_some(now),
        };
        store::update_order(&txn, &order).await?;
        let cause =
            Cause::Payment { out_trade_no: &order.out_trade_no, transaction_id: &paid.transaction_id };
        let entry = Entry { mchid: &order.terms.mchid, at: now, amount: paid.payer_total, cause };
        store::insert_entry(&txn, &entry).await?;
        store::add_payer_attempt(&txn, &order, &attempt(now, "paid")).await?;
        store::insert_notification(&txn, &notification).await?;
        txn.commit().await?;
        self.changed();
        if sender == Sender::Dispatcher {
            self.notifier.wake();
        }
        Ok(notification)
    }

    /// The order stays unpaid and payable; only the try is remembered.
    pub(crate) async fn leave(&self, by: By<'_>, how: Leave) -> Result<Order, ControlError> {
        let now = self.now();
        let txn = self.store.begin().await?;
        let order = found(store::find_order(&txn, by).await?, by)?.at(now);
        if order.state != State::NotPay {
            let what = order.state.description();
            return Err(ControlError::Refused(format!("nothing to pay: {what}")));
        }
        let outcome = match how {
            Leave::Cancelled => "cancelled",
            Leave::BalanceShort => "failed",
            Leave::PutOff => "put_off",
            Leave::WrongPassword => "wrong_password",
        };
        store::add_payer_attempt(&txn, &order, &attempt(now, outcome)).await?;
        txn.commit().await?;
        self.changed();
        Ok(order)
    }

    pub(crate) async fn order(&self, by: By<'_>) -> Result<Order, ControlError> {
        self.order_in(self.store.db(), by).await
    }

    pub(crate) async fn order_in(
        &self,
        db: &impl ConnectionTrait,
        by: By<'_>,
    ) -> Result<Order, ControlError> {
        let order = store::find_order(db, by).await?;
        Ok(found(order, by)?.at(self.now()))
    }
}

pub(crate) fn found(order: Option<Order>, by: By<'_>) -> Result<Order, ControlError> {
    order.ok_or_else(|| {
        ControlError::NotFound(match by {
            By::Number(_, number) => format!("no order {number}"),
            By::Transaction(id) => format!("no transaction {id}"),
            By::Code(_) => "no order has this code, or a newer code replaced it".into(),
        })
    })
}

fn told(order: &Order, claimed_total: Option<i64>) -> serde_json::Value {
    let mut said = transaction::describe(order);
    if let Some(total) = claimed_total {
        said["amount"]["total"] = total.into();
        said["amount"]["payer_total"] = total.into();
    }
    said
}

fn attempt(at: i64, outcome: &str) -> PayerAttempt {
    PayerAttempt { at, outcome: outcome.to_owned() }
}
