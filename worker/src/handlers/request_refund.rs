//! Asks WeChat Pay to give money back: the same bytes with the same number at every try, until it has
//! taken the refund or certainly never will (WeChat Pay documentation, 退款申请 and 退款结果回调通知).
//!
//! What was sent and not answered is asked about before anything is sent again.

use std::{ops::ControlFlow, time::Duration};

use entity::{
    Timestamp, Txn,
    order_event::Source,
    refund::{self, Status},
};
use jobs::{Failure, Finished, RequestRefund, Run, backoff, crash_point};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use wechatpay::{ApiError, Error, Refund};

use crate::{
    Context,
    answers::{self, CALL_IS_OVER},
    transition::refund::{self as gate, Fact},
};

/// Longer than both tries of a question take.
const QUESTION_LIMIT: Duration = Duration::from_secs(12);

/// Longer than a request takes, which is tried twice only if the first came nowhere.
const REQUEST_LIMIT: Duration = Duration::from_secs(7);

/// WeChat Pay takes one refund of a payment in a minute; the rest is for calls that are slow.
const BETWEEN_PARTS: Duration = Duration::from_secs(65);

/// How soon it is tried again when only a person can help: with money in the account, or another key.
const NEEDS_A_PERSON: Duration = Duration::from_secs(10 * 60);

/// A balance fills with the day's sales; what is short for a day is a matter for a person.
const SHORT_FOR_LONG: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(context: &Context, run: &Run, job: &RequestRefund) -> Result<Finished, Failure> {
    let refund = context.refund(&job.refund).await?;
    if !matches!(refund.status, Status::Requested | Status::Unknown) {
        return context.db.write(async |txn| run.done(txn).await).await;
    }
    crash_point!("request_refund.loaded");

    let merchant = context.merchant(&refund.merchant)?;
    let now = context.db.now().await?;
    let earlier = match refund.request_signed_at {
        None => {
            merchant.budget.turn(run.lane).await?;
            Earlier::None
        }
        Some(at) => {
            merchant.budget.turn(run.lane).await?;
            run.has_time_for(QUESTION_LIMIT)?;
            let answer = merchant.client.query_refund(&refund.out_refund_no).await;
            crash_point!("request_refund.questioned");
            match answer {
                Ok(said) => return told(context, run, &refund, &said, Source::Query).await,
                Err(Error::Definite(said)) if said.is_resource_not_found() => {}
                Err(error) => return lost(context, run, &refund, &error).await,
            }
            merchant.budget.another(run.lane).await;
            if now.since(at) < CALL_IS_OVER { Earlier::MayArrive(at) } else { Earlier::IsOver }
        }
    };

    let signed = match begin(context, run, &refund).await? {
        ControlFlow::Continue(signed) => signed,
        ControlFlow::Break(finished) => return Ok(finished),
    };
    crash_point!("request_refund.begun");
    run.has_time_for(REQUEST_LIMIT)?;
    let answer = merchant.client.refund(&refund.out_refund_no, &refund.request_body).await;
    crash_point!("request_refund.asked");

    match answer {
        Ok(said) => told(context, run, &refund, &said, Source::Call).await,
        Err(Error::Definite(said)) if matches!(said.status, 400 | 403 | 404) => {
            if said.is_balance_short() {
                return short(context, run, &refund, earlier.after(&said, signed)).await;
            }
            if earlier.lets_count(&said) {
                let fact = Fact::Refused { code: said.code, message: said.message };
                return refused(context, run, &refund, &fact).await;
            }
            in_doubt(context, run, &refund, earlier.after(&said, signed)).await
        }
        Err(Error::Unsendable { cause }) if earlier == Earlier::None => {
            let fact = Fact::Refused { code: "UNSENDABLE".to_owned(), message: cause };
            refused(context, run, &refund, &fact).await
        }
        Err(error) => lost(context, run, &refund, &error).await,
    }
}

/// What may come of the calls before this one, none of which was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Earlier {
    /// There are none.
    None,
    /// WeChat Pay knows nothing of them yet, and the last one was signed then.
    MayArrive(Timestamp),
    /// WeChat Pay knows nothing of them, and refuses their signatures by now.
    IsOver,
}

impl Earlier {
    /// Is this refusal the end? A refusal of nobody knows whom is believed when it is repeated after
    /// WeChat Pay itself has said that there is nothing.
    fn lets_count(self, said: &ApiError) -> bool {
        match self {
            Self::None => said.verified && !said.earlier_unanswered,
            Self::MayArrive(_) => false,
            Self::IsOver => true,
        }
    }

    /// When the last call was signed that counts as unanswered, now that the one signed then was
    /// answered so.
    fn after(self, said: &ApiError, signed: Timestamp) -> Option<Timestamp> {
        match self {
            _ if !said.verified => Some(signed),
            Self::None | Self::IsOver => None,
            Self::MayArrive(at) => Some(at),
        }
    }
}

/// Writes down that a call is about to be signed, unless it is another's turn or nothing to be sent.
async fn begin(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
) -> Result<ControlFlow<Finished, Timestamp>, Failure> {
    context
        .db
        .write(async |txn| {
            // Whoever sends another part of this payment waits here.
            let of = gate::load(txn, refund).await?;
            if !matches!(of.refund.status, Status::Requested | Status::Unknown) {
                return run.done(txn).await.map(ControlFlow::Break);
            }
            let now = txn.now().await?;
            let before = refund::Entity::find()
                .filter(refund::Column::OrderId.eq(of.refund.order_id.clone()))
                .filter(refund::Column::PaymentId.eq(of.refund.payment_id.clone()))
                .filter(refund::Column::Id.ne(of.refund.id.clone()))
                .filter(refund::Column::RequestSignedAt.is_not_null())
                .order_by_desc(refund::Column::RequestSignedAt)
                .one(txn)
                .await?;
            let turn = before.and_then(|part| part.request_signed_at).map(|at| at + BETWEEN_PARTS);
            if let Some(turn) = turn.filter(|turn| *turn > now) {
                return run.again_at(txn, turn).await.map(ControlFlow::Break);
            }
            signed_at(txn, refund, Some(now)).await?;
            run.holds(txn).await?;
            Ok(ControlFlow::Continue(now))
        })
        .await
}

async fn told(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
    said: &Refund,
    learnt_from: Source,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut of = gate::load(txn, refund).await?;
            let told = answers::refund::told(txn, &mut of, said.into(), learnt_from).await?;
            crash_point!("request_refund.applied");
            match told {
                Ok(_) => run.done(txn).await,
                // There is such a refund and it is not ours as we know it: a person has to look.
                Err(mismatch) => {
                    let again = txn.now().await? + NEEDS_A_PERSON;
                    run.failed(txn, &mismatch.to_string(), again).await
                }
            }
        })
        .await
}

/// WeChat Pay said no, and nothing of ours is on its way there.
async fn refused(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
    fact: &Fact,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut of = gate::load(txn, refund).await?;
            gate::apply(txn, &mut of, fact, Source::Call).await?;
            run.done(txn).await
        })
        .await
}

/// The merchant's account is short of money: nothing was done, and the same bytes go out again.
async fn short(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
    unanswered: Option<Timestamp>,
) -> Result<Finished, Failure> {
    tracing::warn!(refund.id = %refund.id, "the merchant's account is short of money for a refund");
    context
        .db
        .write(async |txn| {
            let of = gate::load(txn, refund).await?;
            let now = txn.now().await?;
            signed_at(txn, refund, unanswered).await?;
            if now.since(refund.created_at) >= SHORT_FOR_LONG {
                gate::report_failure(txn, &of, "balance_short").await?;
            }
            run.failed(txn, "balance_short", now + NEEDS_A_PERSON).await
        })
        .await
}

/// WeChat Pay said no, but an earlier call of ours may still be acted on.
async fn in_doubt(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
    unanswered: Option<Timestamp>,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut of = gate::load(txn, refund).await?;
            gate::apply(txn, &mut of, &Fact::OutcomeLost, Source::Call).await?;
            signed_at(txn, refund, unanswered).await?;
            let again = unanswered.unwrap_or(txn.now().await?) + CALL_IS_OVER;
            run.failed(txn, "refused_in_doubt", again).await
        })
        .await
}

/// No answer that counts: the refund may or may not be taken by now. WeChat Pay is asked about it,
/// and only if it knows nothing the same bytes go out again.
async fn lost(
    context: &Context,
    run: &Run,
    refund: &refund::Model,
    error: &Error,
) -> Result<Finished, Failure> {
    let soon = backoff::jittered(backoff::wait(run.failures + 1), (context.chance)());
    let wait = if error.is_transient() { soon } else { NEEDS_A_PERSON };
    context
        .db
        .write(async |txn| {
            let mut of = gate::load(txn, refund).await?;
            gate::apply(txn, &mut of, &Fact::OutcomeLost, Source::Call).await?;
            crash_point!("request_refund.lost");
            let again = txn.now().await? + wait;
            run.failed(txn, error.reason(), again).await
        })
        .await
}

/// From then WeChat Pay may take up to five minutes to act on what was signed.
async fn signed_at(txn: &Txn, refund: &refund::Model, at: Option<Timestamp>) -> Result<(), DbErr> {
    let row =
        refund::ActiveModel { id: Set(refund.id.clone()), request_signed_at: Set(at), ..Default::default() };
    row.update(txn).await.map(drop)
}

#[cfg(test)]
mod tests;
