//! A refund as WeChat Pay tells of it: in an answer, in a notification, and in the XML of v2.

use serde_json::{Value, json};

use crate::{
    clock::{beijing_time, rfc3339},
    rules::{
        Order, Paid,
        refund::{Refund, State},
    },
};

/// Where the money went: the simulated payer pays from the wallet (零钱).
const ACCOUNT: &str = "支付用户零钱";

/// The answer to asking for a refund and to looking it up.
pub(crate) fn describe(refund: &Refund, paid: &Paid) -> Value {
    let terms = &refund.terms;
    let (amount, total) = (terms.amount.refund, terms.amount.total);
    let mut said = json!({
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "transaction_id": paid.transaction_id,
        "out_trade_no": refund.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": ACCOUNT,
        "create_time": rfc3339(refund.created_at),
        "status": refund.state.name(),
        "funds_account": terms.funds_account.as_deref().unwrap_or("AVAILABLE"),
        "amount": {
            "total": total,
            "refund": amount,
            "from": terms.amount.from,
            "payer_total": paid.payer_total,
            "payer_refund": amount,
            "settlement_refund": amount,
            "settlement_total": total,
            "discount_refund": 0,
            "currency": "CNY",
        },
        "promotion_detail": [],
    });
    if let State::Success { at } = refund.state {
        said["success_time"] = json!(rfc3339(at));
    }
    said
}

/// What a notification says of a settled refund: the state has another name than in an answer.
pub(crate) fn notice(refund: &Refund, paid: &Paid) -> Value {
    let amount = &refund.terms.amount;
    let mut said = json!({
        "mchid": refund.mchid,
        "out_trade_no": refund.out_trade_no,
        "transaction_id": paid.transaction_id,
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.refund_id,
        "refund_status": refund.state.name(),
        "user_received_account": ACCOUNT,
        "amount": {
            "total": amount.total,
            "refund": amount.refund,
            "payer_total": paid.payer_total,
            "payer_refund": amount.refund,
        },
    });
    if let State::Success { at } = refund.state {
        said["success_time"] = json!(rfc3339(at));
    }
    said
}

/// What the XML notification says: the plain part, and under `req_info` what is encrypted.
pub(crate) fn notice_v2(refund: &Refund, order: &Order, paid: &Paid) -> Value {
    let amount = &refund.terms.amount;
    let status = match refund.state {
        State::Success { .. } => "SUCCESS",
        State::Closed { .. } => "REFUNDCLOSE",
        State::Processing | State::Abnormal { .. } => "CHANGE",
    };
    let mut said = json!({
        "appid": order.terms.appid,
        "mch_id": refund.mchid,
        "req_info": {
            "transaction_id": paid.transaction_id,
            "out_trade_no": refund.out_trade_no,
            "refund_id": refund.refund_id,
            "out_refund_no": refund.out_refund_no,
            "total_fee": amount.total.to_string(),
            "settlement_total_fee": amount.total.to_string(),
            "refund_fee": amount.refund.to_string(),
            "settlement_refund_fee": amount.refund.to_string(),
            "refund_status": status,
            // Spelt so in v2.
            "refund_recv_accout": ACCOUNT,
            "refund_account": "REFUND_SOURCE_RECHARGE_FUNDS",
            "refund_request_source": if refund.source.is_console() { "VENDOR_PLATFORM" } else { "API" },
        },
    });
    if let State::Success { at } = refund.state {
        said["req_info"]["success_time"] = json!(beijing_time(at));
    }
    said
}
