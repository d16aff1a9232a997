//! What becomes of money that nobody expected: what the merchant decided beforehand.

use entity::{
    Txn,
    case::{Kind, Resolution, ResolvedBy},
    order,
    order_event::Source,
    refund::{AskedBy, NotAsked},
};
use sea_orm::DbErr;
use serde::Deserialize;

use crate::{
    Merchant,
    cases::{self, Verdict},
    facts::Paid,
    refunding,
    transition::{self, Fact, Moved, Pair},
};

/// What a merchant decided beforehand, as it stands in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// About money for an order that was closed.
    pub late: Policy,
    /// About money for an order that was paid already.
    pub surplus: Policy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The money stays.
    Accept,
    /// It goes back to the payer.
    Refund,
    /// A person decides.
    Hold,
}

impl Default for Policies {
    fn default() -> Self {
        Self { late: Policy::Accept, surplus: Policy::Refund }
    }
}

/// Takes money in, and decides about it if it was not expected.
pub(crate) async fn receive(
    txn: &Txn,
    merchant: &Merchant,
    pair: &mut Pair,
    paid: &Paid,
    learnt_from: Source,
) -> Result<Moved, DbErr> {
    let was = pair.order.status;
    let moved = transition::apply(txn, pair, &Fact::PaymentSucceeded(paid.clone()), learnt_from).await?;
    if matches!(moved, Moved::To(_)) && (was == order::Status::Closed || was.is_paid()) {
        decide(txn, merchant, pair, &paid.transaction_id).await?;
    }
    Ok(moved)
}

/// Until it is decided the case that the gate opened is a person's.
async fn decide(txn: &Txn, merchant: &Merchant, pair: &mut Pair, transaction_id: &str) -> Result<(), DbErr> {
    let Policies { late, surplus } = merchant.policies;
    // The last one is what the payer reads.
    let (kind, policy, name, reason) = match pair.payment.surplus {
        true => (Kind::Surplus, surplus, "policies.surplus", "重复支付，退还多付的款项"),
        false => (Kind::LatePayment, late, "policies.late", "订单已关闭，退还款项"),
    };
    let Some(case) = cases::find_open(txn, &pair.order.merchant, kind, transaction_id).await? else {
        return Ok(());
    };
    let by_policy = |resolution, refund| Verdict { resolution, by: ResolvedBy::Policy, reason: name, refund };
    match policy {
        Policy::Hold => {}
        Policy::Accept => drop(cases::settle(txn, &case, by_policy(Resolution::Accepted, None)).await?),
        Policy::Refund => {
            let Pair { order, payment } = pair;
            let asked = refunding::ask_for_the_rest(
                txn,
                &merchant.identity,
                order,
                payment,
                AskedBy::Policy,
                Some(reason),
            );
            match asked.await {
                Ok(refund) => {
                    let verdict = by_policy(Resolution::Refunded, Some(&refund.id));
                    cases::settle(txn, &case, verdict).await?;
                }
                Err(NotAsked::Database(error)) => return Err(error),
                Err(why) => tracing::error!(case.id = %case.id, %why, "the policy cannot be followed"),
            }
        }
    }
    Ok(())
}
