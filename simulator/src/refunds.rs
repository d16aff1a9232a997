//! Money that goes back: asked for by the merchant, settled by time or by hand, and told.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde_json::{Value, json};

use crate::{
    payer::ControlError,
    rules::{
        Order, Paid, State as OrderState,
        refund::{Outcome, PROCESSING_MS, Refund, Source, State, Terms, Unrefundable},
    },
    signing::{notification_id, refund_id},
    store::{self, By, Cause, Delivered, Entry, Notification},
    wechat::Wechat,
    wire::{event::Event, refund as wire},
};

/// A refund that is asked for.
pub(crate) struct Asked {
    pub mchid: String,
    pub source: Source,
    pub body: Value,
    pub terms: Terms,
    /// How it will end.
    pub outcome: Outcome,
}

/// Why there is no refund.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRefund {
    /// The number was used with another body.
    #[error("请求参数与该商户退款单号首次请求时不一致")]
    Differs,
    #[error(transparent)]
    Refused(#[from] Unrefundable),
    #[error(transparent)]
    Store(#[from] DbErr),
}

/// A refund with the payment it belongs to.
pub(crate) type PaidRefund = (Refund, Paid);

impl Wechat {
    /// Accepts a refund, or gives the one that was accepted before with the same number and body.
    pub(crate) async fn refund(&self, asked: Asked) -> Result<PaidRefund, NoRefund> {
        self.settle_due_refunds().await?;
        let now = self.now();
        let Asked { mchid, source, body, terms, outcome } = asked;
        let txn = self.store.begin().await?;
        if let Some(known) = store::find_refund(&txn, &mchid, &terms.out_refund_no).await? {
            if known.body != body {
                return Err(NoRefund::Differs);
            }
            let (_, paid) = paid_order(&txn, &known).await?;
            return Ok((known, paid));
        }
        let by = match (&terms.out_trade_no, &terms.transaction_id) {
            (Some(number), _) => By::Number(&mchid, number),
            (None, id) => By::Transaction(id.as_deref().unwrap_or_default()),
        };
        let mut order = store::find_order(&txn, by)
            .await?
            // Somebody else's transaction is none.
            .filter(|order| order.terms.mchid == mchid)
            .ok_or(Unrefundable::NotPaid)?
            .at(now);
        let earlier = store::refunds_of(&txn, &mchid, &order.out_trade_no).await?;
        let balance = store::balance(&txn, &mchid).await?;
        order.refundable(&terms.amount, &earlier, balance, now)?;
        let paid = order.state.paid().cloned().ok_or(Unrefundable::NotPaid)?;
        let refund = Refund {
            out_refund_no: terms.out_refund_no.clone(),
            out_trade_no: order.out_trade_no.clone(),
            refund_id: refund_id(now),
            source,
            body,
            created_at: now,
            due: Some((outcome, now + PROCESSING_MS)),
            state: State::Processing,
            mchid,
            terms,
        };
        order.state = OrderState::Refund(paid.clone());
        store::update_order(&txn, &order).await?;
        store::insert_refund(&txn, &refund).await?;
        let cause = Cause::Refund { out_trade_no: &refund.out_trade_no, refund_id: &refund.refund_id };
        let amount = -refund.terms.amount.refund;
        store::insert_entry(&txn, &Entry { mchid: &refund.mchid, at: now, amount, cause }).await?;
        txn.commit().await?;
        self.notifier.wake();
        Ok((refund, paid))
    }

    /// A refund as it stands now.
    pub(crate) async fn find_refund(&self, mchid: &str, number: &str) -> Result<Option<PaidRefund>, DbErr> {
        self.settle_due_refunds().await?;
        let Some(refund) = store::find_refund(self.store.db(), mchid, number).await? else {
            return Ok(None);
        };
        let (_, paid) = paid_order(self.store.db(), &refund).await?;
        Ok(Some((refund, paid)))
    }

    /// A person in the merchant's console (商户平台) gives money back; all that is left of the
    /// order unless they say how much.
    pub(crate) async fn refund_from_console(
        &self,
        by: By<'_>,
        out_refund_no: String,
        refund: Option<i64>,
        reason: Option<&str>,
    ) -> Result<PaidRefund, ControlError> {
        let order = self.order(by).await?;
        let mchid = order.terms.mchid.clone();
        let earlier = store::refunds_of(self.store.db(), &mchid, &order.out_trade_no).await?;
        let refund = refund.unwrap_or_else(|| order.left_to_refund(&earlier));
        let mut body = json!({
            "out_trade_no": order.out_trade_no,
            "out_refund_no": out_refund_no,
            "amount": {"refund": refund, "total": order.terms.amount.total, "currency": "CNY"},
        });
        if let Some(reason) = reason {
            body["reason"] = json!(reason);
        }
        crate::gateway::check_refund(&body).map_err(ControlError::Invalid)?;
        let terms =
            serde_json::from_value(body.clone()).map_err(|error| ControlError::Invalid(error.to_string()))?;
        let asked = Asked { mchid, source: Source::Console, body, terms, outcome: Outcome::Success };
        self.refund(asked).await.map_err(|why| match why {
            NoRefund::Store(error) => error.into(),
            NoRefund::Differs | NoRefund::Refused(_) => ControlError::Refused(why.to_string()),
        })
    }

    /// Ends a refund now, one way or another.
    pub(crate) async fn settle_refund(
        &self,
        mchid: &str,
        number: &str,
        outcome: Outcome,
    ) -> Result<(), ControlError> {
        self.settle_due_refunds().await?;
        let now = self.now();
        let txn = self.store.begin().await?;
        let mut refund = store::find_refund(&txn, mchid, number)
            .await?
            .ok_or_else(|| ControlError::NotFound(format!("no refund {number}")))?;
        if refund.settle(outcome, now).is_err() {
            let state = refund.state.name();
            return Err(ControlError::Refused(format!("the refund is {state} already")));
        }
        record(&txn, &refund, now).await?;
        txn.commit().await?;
        self.notifier.wake();
        Ok(())
    }

    /// Ends the refunds whose time has come.
    pub(crate) async fn settle_due_refunds(&self) -> Result<(), DbErr> {
        let now = self.now();
        if self.store.next_refund_due().await?.is_none_or(|due_at| due_at > now) {
            return Ok(());
        }
        let txn = self.store.begin().await?;
        for mut refund in store::due_refunds(&txn, now).await? {
            if let Some((outcome, at)) = refund.due
                && refund.settle(outcome, at).is_ok()
            {
                record(&txn, &refund, at).await?;
            }
        }
        txn.commit().await?;
        self.changed();
        self.notifier.wake();
        Ok(())
    }
}

/// Writes down how a refund ended, what that did to the account, and whom to tell.
async fn record(txn: &DatabaseTransaction, refund: &Refund, at: i64) -> Result<(), DbErr> {
    store::update_refund(txn, refund).await?;
    if matches!(refund.state, State::Closed { .. }) {
        let Refund { mchid, out_trade_no, refund_id, .. } = refund;
        let cause = Cause::RefundReturned { out_trade_no, refund_id };
        let entry = Entry { mchid, at, amount: refund.terms.amount.refund, cause };
        store::insert_entry(txn, &entry).await?;
    }
    let event = match refund.state {
        State::Processing => return Ok(()),
        State::Success { .. } => Event::RefundSuccess,
        State::Closed { .. } => Event::RefundClosed,
        State::Abnormal { .. } => Event::RefundAbnormal,
    };
    let (order, paid) = paid_order(txn, refund).await?;
    let (event, notify_url, content) = match &refund.terms.notify_url {
        Some(url) => (event, url.clone(), wire::notice(refund, &paid)),
        // Without an address of its own a refund is told in the old way, to the console's.
        None => match store::setting(txn, &refund_notify_url(&refund.mchid)).await? {
            Some(url) => (Event::RefundV2, url, wire::notice_v2(refund, &order, &paid)),
            None => return Ok(()),
        },
    };
    let notification = Notification {
        id: notification_id(),
        mchid: refund.mchid.clone(),
        out_trade_no: refund.out_trade_no.clone(),
        out_refund_no: Some(refund.out_refund_no.clone()),
        event,
        notify_url,
        content: content.to_string(),
        created_at: at,
        state: Delivered::Pending,
        attempts: 0,
        was_delayed: false,
        next_at: Some(at),
    };
    store::insert_notification(txn, &notification).await
}

/// The setting with a merchant's address for refunds (商户平台的退款结果通知地址).
pub(crate) fn refund_notify_url(mchid: &str) -> String {
    format!("refund_notify_url:{mchid}")
}

/// The order a refund belongs to; it was paid, or there would be no refund.
async fn paid_order(db: &impl ConnectionTrait, refund: &Refund) -> Result<(Order, Paid), DbErr> {
    let by = By::Number(&refund.mchid, &refund.out_trade_no);
    let order = store::find_order(db, by).await?;
    order
        .and_then(|order| order.state.paid().cloned().map(|paid| (order, paid)))
        .ok_or_else(|| DbErr::RecordNotFound(format!("the payment of refund {}", refund.out_refund_no)))
}
