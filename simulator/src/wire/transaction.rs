//! An order as WeChat Pay tells of it, in a query and in a notification.

use serde_json::{Value, json};

use crate::{
    clock::rfc3339,
    rules::{Order, Paid},
};

/// A paid order has everything; any other only what the reference calls always present.
pub(crate) fn describe(order: &Order) -> Value {
    let mut said = json!({
        "appid": order.terms.appid,
        "mchid": order.terms.mchid,
        "out_trade_no": order.out_trade_no,
        "trade_state": order.state.name(),
        "trade_state_desc": order.state.description(),
    });
    if let Some(paid) = order.state.paid() {
        add_payment(&mut said, order, paid);
    }
    if let Some(attach) = &order.terms.attach {
        said["attach"] = json!(attach);
    }
    said
}

fn add_payment(said: &mut Value, order: &Order, paid: &Paid) {
    said["transaction_id"] = json!(paid.transaction_id);
    said["trade_type"] = json!(order.endpoint.trade_type());
    said["bank_type"] = json!("OTHERS");
    said["success_time"] = json!(rfc3339(paid.paid_at));
    said["payer"] = json!({"openid": paid.openid});
    said["amount"] = json!({
        "total": order.terms.amount.total,
        "payer_total": paid.payer_total,
        "currency": "CNY",
        "payer_currency": "CNY",
    });
    let device_id = order.terms.scene_info.as_ref().and_then(|scene| scene.device_id.as_ref());
    if let Some(device_id) = device_id {
        said["scene_info"] = json!({"device_id": device_id});
    }
}
