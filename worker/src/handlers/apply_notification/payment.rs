//! WeChat Pay says that somebody paid.

use entity::{
    Fen, Txn,
    case::Kind,
    notification::{self, Verdict},
    order_event::Source,
    payment,
};
use jobs::Failure;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use serde_json::json;
use wechatpay::Transaction;

use super::{Outcome, foreign, unknown};
use crate::{
    Merchant,
    cases::Noticed,
    facts::{self, Word},
    policies,
    transition::{self, Moved},
};

pub(super) async fn take_in(
    txn: &Txn,
    merchant: &Merchant,
    notification: &notification::Model,
    said: &Transaction,
) -> Result<Outcome, Failure> {
    let Some(out_trade_no) = &said.out_trade_no else { return Ok(Outcome::ignored("without_a_number")) };
    let Some(payment) = find(txn, merchant, notification, out_trade_no).await? else {
        if merchant.identity.is_foreign(out_trade_no) {
            return Ok(foreign(txn).await);
        }
        let noticed = Noticed {
            kind: Kind::UnknownNumber,
            merchant: &notification.merchant,
            reference: out_trade_no.clone(),
            order: None,
            payment: None,
            refund: None,
            amount: said.amount.as_ref().and_then(|amount| amount.total).map(Fen),
            detail: json!({ "transaction_id": said.transaction_id, "notification": notification.id }),
        };
        return Ok(unknown(txn, notification, noticed).await?);
    };

    let mut pair = transition::load(txn, &payment).await?;
    let (verdict, reason) = match facts::read(said, &pair.payment) {
        Ok(Word::Paid(paid)) => {
            match policies::receive(txn, merchant, &mut pair, &paid, Source::Notification).await? {
                Moved::To(_) => (Verdict::Applied, None),
                Moved::Unchanged | Moved::Refused(_) => (Verdict::Applied, Some("known_already".to_owned())),
            }
        }
        Ok(Word::Unpaid | Word::Closed) => (Verdict::Ignored, Some("not_paid".to_owned())),
        Err(mismatch) => {
            tracing::error!(payment.id = %payment.id, %mismatch, "a notification contradicts what we know");
            transition::report_mismatch(txn, &mut pair, mismatch, Source::Notification).await?;
            (Verdict::Ignored, Some(mismatch.to_string()))
        }
    };
    Ok(Outcome { verdict, reason, order: Some(pair.order.id) })
}

/// Finds the payment that the notification says it is about, among those of the merchant that it
/// was sent to. Its mchid is compared later, with everything else.
pub(super) async fn find(
    txn: &Txn,
    merchant: &Merchant,
    notification: &notification::Model,
    out_trade_no: &str,
) -> Result<Option<payment::Model>, DbErr> {
    payment::Entity::find()
        .filter(payment::Column::Mchid.eq(&merchant.client.merchant().mchid))
        .filter(payment::Column::OutTradeNo.eq(out_trade_no))
        .filter(payment::Column::Merchant.eq(&notification.merchant))
        .one(txn)
        .await
}
