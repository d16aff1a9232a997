//! The simulator's own book.

use std::sync::Arc;

use axum::{Json, Router, extract::State as Extract, routing::get};
use serde::Serialize;
use serde_json::Value;

use super::{Answer, Here};
use crate::{
    clock::rfc3339,
    payer::ControlError,
    rules::{Order, State},
    wechat::Wechat,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new().route("/ledger", get(show_ledger))
}

async fn show_ledger(Extract(wechat): Here) -> Answer<Ledger> {
    Ok(Json(wechat.ledger().await?))
}

/// The money WeChat Pay took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ledger {
    pub payments: Vec<LedgerPayment>,
    pub refunds: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

impl Wechat {
    pub(crate) async fn ledger(&self) -> Result<Ledger, ControlError> {
        let paid = self.store.paid_orders().await?;
        Ok(Ledger { payments: paid.into_iter().filter_map(LedgerPayment::of).collect(), refunds: Vec::new() })
    }
}

impl LedgerPayment {
    fn of(order: Order) -> Option<Self> {
        let State::Success(paid) = order.state.clone() else { return None };
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
