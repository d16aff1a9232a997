//! WeChat Pay says how a refund ended.

use entity::{
    Fen, Txn,
    case::Kind,
    notification::{self, Verdict},
    order_event::Source,
    refund,
};
use jobs::Failure;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use wechatpay::RefundNotification;

use super::{Outcome, foreign, payment, unknown};
use crate::{
    Merchant, answers,
    cases::Noticed,
    transition::refund::{self as gate, Moved},
};

pub(super) async fn take_in(
    txn: &Txn,
    merchant: &Merchant,
    notification: &notification::Model,
    said: &RefundNotification,
) -> Result<Outcome, Failure> {
    let refund = refund::Entity::find()
        .filter(refund::Column::Mchid.eq(&merchant.client.merchant().mchid))
        .filter(refund::Column::OutRefundNo.eq(&said.out_refund_no))
        .filter(refund::Column::Merchant.eq(&notification.merchant))
        .one(txn)
        .await?;
    let Some(refund) = refund else {
        return not_ours(txn, merchant, notification, said).await;
    };

    let mut of = gate::load(txn, &refund).await?;
    let (verdict, reason) =
        match answers::refund::told(txn, &mut of, said.into(), Source::Notification).await? {
            Ok(Moved::To(_)) => (Verdict::Applied, None),
            Ok(Moved::Unchanged | Moved::Refused(_)) => (Verdict::Applied, Some("known_already".to_owned())),
            Err(mismatch) => (Verdict::Ignored, Some(mismatch.to_string())),
        };
    Ok(Outcome { verdict, reason, order: Some(of.order.id) })
}

/// Somebody gave money back and it was not us. If it was for a payment of ours it concerns us, whatever
/// its own number looks like.
async fn not_ours(
    txn: &Txn,
    merchant: &Merchant,
    notification: &notification::Model,
    said: &RefundNotification,
) -> Result<Outcome, Failure> {
    let payment = payment::find(txn, merchant, notification, &said.out_trade_no).await?;
    if payment.is_none() && merchant.identity.is_foreign(&said.out_trade_no) {
        return Ok(foreign(txn).await);
    }
    let noticed = Noticed {
        kind: Kind::UnknownNumber,
        merchant: &notification.merchant,
        reference: said.out_refund_no.clone(),
        order: payment.as_ref().map(|payment| &payment.order_id),
        payment: payment.as_ref().map(|payment| &payment.id),
        refund: None,
        amount: said.amount.as_ref().and_then(|amount| amount.refund).map(Fen),
        detail: json!({
            "refund_id": said.refund_id,
            "refund_status": said.refund_status,
            "out_trade_no": said.out_trade_no,
            "notification": notification.id,
        }),
    };
    Ok(unknown(txn, notification, noticed).await?)
}
