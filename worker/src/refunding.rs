//! Asking for money to go back without the shop: because a policy or a person says so.

use entity::{
    RefundId, Txn, order, payment,
    refund::{self, AskedBy, NotAsked},
};
use jobs::RequestRefund;
use wechatpay::{RefundOrder, refund::Paid};

/// How WeChat Pay and we know what is a merchant's own.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What our numbers begin with, if others use the mchid too; or nothing.
    pub out_trade_no_prefix: String,
    /// Where WeChat Pay tells of payments and refunds.
    pub notify_url: String,
}

impl Identity {
    /// Is it the number of somebody else who uses the same mchid?
    pub(crate) fn is_foreign(&self, out_trade_no: &str) -> bool {
        !out_trade_no.starts_with(&self.out_trade_no_prefix)
    }
}

/// Asks for all that is left of a payment to go back. The order is locked.
pub(crate) async fn ask_for_the_rest(
    txn: &Txn,
    identity: &Identity,
    order: &mut order::Model,
    payment: &payment::Model,
    asked_by: AskedBy,
    reason: Option<&str>,
) -> Result<refund::Model, NotAsked> {
    let (left, _) = refund::left_of(txn, payment).await?;
    // A part of nothing would be refused by the schema only.
    let (amount, Some(transaction_id)) = (left, payment.transaction_id.clone().filter(|_| left.0 > 0)) else {
        return Err(NotAsked::ExceedsPayment { left });
    };
    let id = RefundId::generate();
    let out_refund_no = id.out_refund_no(&identity.out_trade_no_prefix);
    let body = RefundOrder {
        of: Paid::TransactionId(transaction_id),
        out_refund_no: out_refund_no.clone(),
        reason: reason.map(str::to_owned),
        notify_url: Some(identity.notify_url.clone()),
        refund_fen: amount.0,
        total_fen: payment.amount.0,
    };
    let asked = refund::Asked {
        order_id: order.id.clone(),
        payment_id: payment.id.clone(),
        merchant: payment.merchant.clone(),
        mchid: payment.mchid.clone(),
        out_refund_no,
        asked_by,
        merchant_refund_no: None,
        amount,
        reason: reason.map(str::to_owned),
        request_body: body.to_body(),
        at: txn.now().await?,
        id,
    };
    let refund = refund::ask(txn, order, payment, asked).await?;
    jobs::enqueue(txn, &RequestRefund::of(&refund.id)).await?;
    Ok(refund)
}
