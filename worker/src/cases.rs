//! What a person should know about money: opened with the fact, resolved by a policy or a person.
//!
//! The same thing met again is the same case, whether it is open still or not.

use entity::{
    CaseId, Fen, OrderId, PaymentId, RefundId, Txn,
    case::{self, Kind, Resolution, ResolvedBy},
    order, payment,
    refund::{AskedBy, NotAsked},
};
use sea_orm::{
    ActiveEnum, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::OnConflict,
};
use serde_json::Value;

use crate::refunding::{Identity, ask_for_the_rest};

/// Something a person should know.
#[derive(Clone, Debug)]
pub(crate) struct Noticed<'a> {
    pub kind: Kind,
    pub merchant: &'a str,
    /// What makes it the same case when it is met again.
    pub reference: String,
    pub order: Option<&'a OrderId>,
    pub payment: Option<&'a PaymentId>,
    pub refund: Option<&'a RefundId>,
    pub amount: Option<Fen>,
    pub detail: Value,
}

/// Opens the case; false if it was opened before.
pub(crate) async fn open(txn: &Txn, noticed: Noticed<'_>) -> Result<bool, DbErr> {
    let Noticed { kind, merchant, reference, order, payment, refund, amount, detail } = noticed;
    let row = case::ActiveModel {
        id: Set(CaseId::generate()),
        kind: Set(kind),
        merchant: Set(merchant.to_owned()),
        reference: Set(reference.clone()),
        order_id: Set(order.cloned()),
        payment_id: Set(payment.cloned()),
        refund_id: Set(refund.cloned()),
        amount: Set(amount),
        detail: Set((!detail.is_null()).then(|| detail.to_string())),
        opened_at: Set(txn.now().await?),
        resolved_at: Set(None),
        resolved_by: Set(None),
        resolution: Set(None),
        reason: Set(None),
    };
    let known = [case::Column::Merchant, case::Column::Kind, case::Column::Reference];
    let known = OnConflict::columns(known).do_nothing().to_owned();
    if case::Entity::insert(row).on_conflict(known).exec_without_returning(txn).await? == 0 {
        return Ok(false);
    }
    tracing::warn!(case.kind = kind.to_value(), case.reference = reference, "a case was opened");
    txn.count_after_commit(move || {
        metrics::counter!("everpaid_cases_opened_total", "kind" => kind.to_value()).increment(1);
    })
    .await;
    Ok(true)
}

/// How a case is resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<'a> {
    pub resolution: Resolution,
    pub by: ResolvedBy,
    /// In whose words.
    pub reason: &'a str,
    /// The refund that answers it.
    pub refund: Option<&'a RefundId>,
}

/// Resolves an open case; false if somebody did so before.
pub(crate) async fn settle(txn: &Txn, case: &case::Model, verdict: Verdict<'_>) -> Result<bool, DbErr> {
    let row = case::ActiveModel {
        resolved_at: Set(Some(txn.now().await?)),
        resolved_by: Set(Some(verdict.by)),
        resolution: Set(Some(verdict.resolution)),
        reason: Set(Some(verdict.reason.to_owned())),
        refund_id: Set(verdict.refund.or(case.refund_id.as_ref()).cloned()),
        ..Default::default()
    };
    let written = case::Entity::update_many()
        .set(row)
        .filter(case::Column::Id.eq(case.id.clone()))
        .filter(case::Column::ResolvedAt.is_null())
        .exec(txn)
        .await?;
    Ok(written.rows_affected == 1)
}

/// The open case of that kind with that reference.
pub(crate) async fn find_open(
    txn: &Txn,
    merchant: &str,
    kind: Kind,
    reference: &str,
) -> Result<Option<case::Model>, DbErr> {
    case::Entity::find()
        .filter(case::Column::Merchant.eq(merchant))
        .filter(case::Column::Kind.eq(kind))
        .filter(case::Column::Reference.eq(reference))
        .filter(case::Column::ResolvedAt.is_null())
        .one(txn)
        .await
}

/// The open cases about that refund itself.
pub(crate) async fn open_of_refund(txn: &Txn, refund: &RefundId) -> Result<Vec<case::Model>, DbErr> {
    case::Entity::find()
        .filter(case::Column::Kind.eq(Kind::RefundFailed))
        .filter(case::Column::RefundId.eq(refund.clone()))
        .filter(case::Column::ResolvedAt.is_null())
        .all(txn)
        .await
}

/// Why a case stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotResolved {
    #[error("there is no such case")]
    NotFound,
    #[error("the case is resolved already")]
    ResolvedAlready,
    #[error("a case of this kind is not about a payment of ours that can be given back")]
    NotRefundable,
    #[error(transparent)]
    NotAsked(#[from] NotAsked),
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Resolves a case as a person says. `Refunded` asks for all that is left of its payment to go back.
pub async fn resolve(
    txn: &Txn,
    identity: &Identity,
    id: &CaseId,
    resolution: Resolution,
    reason: &str,
) -> Result<(), NotResolved> {
    let find = || case::Entity::find_by_id(id.clone());
    let case = find().one(txn).await?.ok_or(NotResolved::NotFound)?;
    if case.resolved_at.is_some() {
        return Err(NotResolved::ResolvedAlready);
    }
    let refund = match resolution {
        Resolution::Accepted | Resolution::Dismissed => None,
        Resolution::Refunded => Some(give_back(txn, identity, &case).await?),
    };
    let verdict = Verdict { resolution, by: ResolvedBy::Person, reason, refund: refund.as_ref() };
    match settle(txn, &case, verdict).await? {
        true => Ok(()),
        // Somebody was faster; the refund is rolled back with the rest.
        false => Err(NotResolved::ResolvedAlready),
    }
}

async fn give_back(txn: &Txn, identity: &Identity, case: &case::Model) -> Result<RefundId, NotResolved> {
    match case.kind {
        Kind::LatePayment | Kind::Surplus | Kind::RefundFailed => {}
        Kind::Mismatch | Kind::UnknownNumber | Kind::BillDiscrepancy => {
            return Err(NotResolved::NotRefundable);
        }
    }
    let (Some(order), Some(payment)) = (&case.order_id, &case.payment_id) else {
        return Err(NotResolved::NotRefundable);
    };
    let order = order::Entity::find_by_id(order.clone()).lock_exclusive().one(txn).await?;
    let payment = payment::Entity::find_by_id(payment.clone()).one(txn).await?;
    let (Some(mut order), Some(payment)) = (order, payment) else { return Err(NotResolved::NotRefundable) };
    let refund = ask_for_the_rest(txn, identity, &mut order, &payment, AskedBy::Person, None).await?;
    Ok(refund.id)
}
