//! The simulator's own book.

use std::sync::Arc;

use axum::{Json, Router, extract::State as Extract, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Answer, Here};
use crate::{
    clock::rfc3339,
    payer::ControlError,
    rules::{
        Order,
        refund::{Refund, Source},
    },
    store::Account,
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new().route("/ledger", get(show_ledger)).route("/ledger/check", get(check_ledger))
}

async fn show_ledger(Extract(wechat): Here) -> Answer<Ledger> {
    Ok(Json(wechat.ledger().await?))
}

async fn check_ledger(Extract(wechat): Here) -> Answer<Value> {
    let violations = wechat.check_ledger().await?;
    Ok(Json(json!({"is_right": violations.is_empty(), "violations": violations})))
}

/// The money WeChat Pay took and gave back, in fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub payments: Vec<LedgerPayment>,
    pub refunds: Vec<LedgerRefund>,
    /// Of every merchant that has seen money.
    pub accounts: Vec<LedgerAccount>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPayment {
    pub mchid: String,
    pub out_trade_no: String,
    pub transaction_id: String,
    pub trade_state: String,
    pub total: i64,
    pub payer_total: i64,
    pub paid_at: String,
    pub paid_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRefund {
    pub mchid: String,
    pub out_refund_no: String,
    pub refund_id: String,
    pub out_trade_no: String,
    pub source: Source,
    pub status: String,
    pub refund: i64,
    pub created_at: String,
    pub created_at_ms: i64,
    pub settled_at: Option<String>,
    pub settled_at_ms: Option<i64>,
}

/// `balance` is `paid` − `refunded` + `console`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAccount {
    pub mchid: String,
    pub paid: i64,
    /// What refunds took; those that were closed gave it back.
    pub refunded: i64,
    /// What was put in by hand, less what was taken out.
    pub console: i64,
    pub balance: i64,
}

impl Wechat {
    pub(crate) async fn ledger(&self) -> Result<Ledger, ControlError> {
        self.settle_due_refunds().await?;
        let paid = self.store.paid_orders().await?;
        let refunds = self.store.all_refunds().await?;
        let accounts = self.store.accounts().await?;
        Ok(Ledger {
            payments: paid.into_iter().filter_map(LedgerPayment::of).collect(),
            refunds: refunds.into_iter().map(LedgerRefund::of).collect(),
            accounts: accounts.into_iter().map(LedgerAccount::of).collect(),
        })
    }

    pub(crate) async fn check_ledger(&self) -> Result<Vec<String>, ControlError> {
        self.settle_due_refunds().await?;
        Ok(self.store.violations().await?)
    }
}

impl LedgerPayment {
    fn of(order: Order) -> Option<Self> {
        let paid = order.state.paid()?.clone();
        Some(Self {
            trade_state: order.state.name().to_owned(),
            mchid: order.terms.mchid,
            out_trade_no: order.out_trade_no,
            total: order.terms.amount.total,
            transaction_id: paid.transaction_id,
            payer_total: paid.payer_total,
            paid_at: rfc3339(paid.paid_at),
            paid_at_ms: paid.paid_at,
        })
    }
}

impl LedgerRefund {
    fn of(refund: Refund) -> Self {
        let settled_at = refund.state.settled_at();
        Self {
            status: refund.state.name().to_owned(),
            mchid: refund.mchid,
            out_refund_no: refund.out_refund_no,
            refund_id: refund.refund_id,
            out_trade_no: refund.out_trade_no,
            source: refund.source,
            refund: refund.terms.amount.refund,
            created_at: rfc3339(refund.created_at),
            created_at_ms: refund.created_at,
            settled_at: settled_at.map(rfc3339),
            settled_at_ms: settled_at,
        }
    }
}

impl LedgerAccount {
    fn of(account: Account) -> Self {
        let Account { mchid, paid, refunded, console, balance } = account;
        Self { mchid, paid, refunded, console, balance }
    }
}
