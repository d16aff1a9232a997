//! Money on its way back to a payer: one request to WeChat Pay, with one number for all its tries.

pub mod lifecycle;

use std::{fmt, time::Duration};

use sea_orm::{QuerySelect, entity::prelude::*, sea_query::OnConflict};
use serde::{Deserialize, Serialize};

use crate::{
    Fen, OrderId, PaymentId, RefundId, Timestamp, Txn, order,
    order_event::{self, Entry, Source},
    payment,
};
pub use lifecycle::{Event, Status};

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refund")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RefundId,
    pub order_id: OrderId,
    /// The payment it gives back, or a part of.
    pub payment_id: PaymentId,
    pub merchant: String,
    pub mchid: String,
    /// The merchant's number of this refund at WeChat Pay, unique per mchid and the same on every try.
    pub out_refund_no: String,
    pub asked_by: AskedBy,
    /// The shop's own number, unique per merchant, when the shop asked.
    pub merchant_refund_no: Option<String>,
    pub amount: Fen,
    /// Shown to the payer.
    pub reason: Option<String>,
    pub status: Status,
    /// The exact bytes of the call.
    pub request_body: String,
    /// When a call of ours was last signed. It may be acted on for five minutes.
    pub request_signed_at: Option<Timestamp>,
    /// WeChat Pay's number, unique per mchid.
    pub refund_id: Option<String>,
    /// When the money went back, by WeChat Pay's account.
    pub succeeded_at: Option<Timestamp>,
    /// Why WeChat Pay refused it.
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    /// When WeChat Pay was last asked about it.
    pub asked_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What is known of a refund when it is asked for.
#[derive(Clone)]
pub struct Asked {
    pub id: RefundId,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub merchant: String,
    pub mchid: String,
    pub out_refund_no: String,
    pub asked_by: AskedBy,
    pub merchant_refund_no: Option<String>,
    pub amount: Fen,
    pub reason: Option<String>,
    pub request_body: String,
    pub at: Timestamp,
}

impl From<Asked> for Model {
    /// A refund at its birth: written down, and nothing sent.
    fn from(asked: Asked) -> Self {
        Self {
            id: asked.id,
            order_id: asked.order_id,
            payment_id: asked.payment_id,
            merchant: asked.merchant,
            mchid: asked.mchid,
            out_refund_no: asked.out_refund_no,
            asked_by: asked.asked_by,
            merchant_refund_no: asked.merchant_refund_no,
            amount: asked.amount,
            reason: asked.reason,
            status: Status::Requested,
            request_body: asked.request_body,
            request_signed_at: None,
            refund_id: None,
            succeeded_at: None,
            failure_code: None,
            failure_message: None,
            asked_at: None,
            created_at: asked.at,
        }
    }
}

impl fmt::Debug for Model {
    /// Shows what identifies the refund and where it stands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refund")
            .field("id", &self.id)
            .field("payment_id", &self.payment_id)
            .field("out_refund_no", &self.out_refund_no)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Into how many refunds one payment can be divided (WeChat Pay documentation, 退款申请).
pub const PARTS_MAX: usize = 50;

/// How long after it was paid a payment can be given back (WeChat Pay documentation, 退款申请).
pub const WINDOW: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why a refund is not asked for.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    #[error("only {} fen of the payment are left to give back", .left.0)]
    ExceedsPayment { left: Fen },
    #[error("the payment has {PARTS_MAX} refunds; no more are taken")]
    TooManyParts,
    #[error("the payment is older than 365 days")]
    TooLate,
    #[error("the number was used for another refund")]
    NumberUsed,
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// What of a payment is neither back nor on its way back, and in how many parts the rest is.
pub async fn left_of(
    connection: &impl ConnectionTrait,
    payment: &payment::Model,
) -> Result<(Fen, usize), DbErr> {
    let refunds = Entity::find()
        .filter(Column::OrderId.eq(payment.order_id.clone()))
        .filter(Column::PaymentId.eq(payment.id.clone()))
        .all(connection)
        .await?;
    let parts: Vec<_> = refunds.iter().filter(|refund| refund.status.holds_money()).collect();
    let given: i64 = parts.iter().map(|refund| refund.amount.0).sum();
    Ok((Fen(payment.amount.0 - given), parts.len()))
}

/// Writes down that a part of a payment is to be given back, with its event; who does so asks for
/// the job as well.
///
/// `order` is that of the payment, and locked: of many who ask at once each sees what the others took.
pub async fn ask(
    txn: &Txn,
    order: &mut order::Model,
    payment: &payment::Model,
    asked: Asked,
) -> Result<Model, NotAsked> {
    let now = asked.at;
    let (left, parts) = left_of(txn, payment).await?;
    if asked.amount > left {
        return Err(NotAsked::ExceedsPayment { left });
    }
    if parts >= PARTS_MAX {
        return Err(NotAsked::TooManyParts);
    }
    if payment.succeeded_at.is_none_or(|at| at + WINDOW < now) {
        return Err(NotAsked::TooLate);
    }
    let refund = Model::from(asked);
    let taken = OnConflict::columns([Column::Merchant, Column::MerchantRefundNo]).do_nothing().to_owned();
    let row = ActiveModel::from(refund.clone());
    if Entity::insert(row).on_conflict(taken).exec_without_returning(txn).await? == 0 {
        return Err(NotAsked::NumberUsed);
    }
    let source = match refund.asked_by {
        AskedBy::Shop => Source::Api,
        AskedBy::Policy => Source::Rule,
        AskedBy::Person => Source::Person,
    };
    let entry = Entry {
        refund: Some((&refund.id, refund.status)),
        detail: Some(serde_json::json!({ "amount": refund.amount })),
        ..Entry::of_order(order_event::Kind::RefundRequested, now, source)
    };
    order_event::append(txn, order, entry, |_| {}).await?;
    Ok(refund)
}

/// How many refunds there are of every status that is not at rest.
pub async fn count_not_at_rest(connection: &impl ConnectionTrait) -> Result<Vec<(Status, i64)>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Status)
        .column_as(Column::Id.count(), "count")
        .filter(Column::Status.is_in(Status::NOT_AT_REST))
        .group_by(Column::Status)
        .into_tuple()
        .all(connection)
        .await
}

/// Who asked for it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    /// The shop, by our API.
    Shop,
    /// The merchant's policy about money that came late or twice.
    Policy,
    /// A person, with a command.
    Person,
}
