//! Creates the transaction at WeChat Pay and stores what calls the payer up.

use std::time::Duration;

use entity::{
    Timestamp, Txn, order,
    order_event::Source,
    payment::{self, Method, Status},
};
use jobs::{ClosePayment, ConfirmPayment, Failure, Finished, RequestPrepay, Run, backoff, crash_point};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr};
use wechatpay::{Created, Error, Patience, Product};

use crate::{
    Context,
    context::Merchant,
    transition::{self, Fact, Prepay},
};

/// How long a `prepay_id` and a `code_url` live (WeChat Pay documentation, JSAPI下单, Native下单).
const PREPAY_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// Longer than both tries of a create take.
const CALL_LIMIT: Duration = Duration::from_secs(8);

pub(crate) async fn run(context: &Context, run: &Run, job: &RequestPrepay) -> Result<Finished, Failure> {
    let payment = context.payment(&job.payment).await?;
    let order = context.order(&payment.order_id).await?;
    let now = context.db.now().await?;
    let has_died = payment.prepay_expires_at.is_some_and(|end| end <= now);
    match payment.status {
        Status::Created | Status::Unknown => {}
        // The same bytes fetch a fresh prepay for the same payment.
        Status::AwaitingPayment if has_died => {}
        // Its run before this one may have died with a create on its way.
        Status::Closing if run.number > 1 => return too_late(context, run, &payment).await,
        _ => return context.db.write(async |txn| run.done(txn).await).await,
    }
    // A run before this one may have sent it and taken the answer with it, by dying or because it
    // could not write it down.
    let may_exist = payment.status != Status::Created || payment.create_signed_at.is_some() || run.number > 1;
    if order.status != order::Status::Pending || now >= order.expires_at {
        return give_in(context, run, &payment, may_exist).await;
    }
    crash_point!("request_prepay.loaded");

    let merchant = context.merchant(&payment.merchant)?;
    // What failed before waits in the background, and after an outage there are thousands of it.
    merchant.budget.turn(run.lane).await?;
    run.has_time_for(CALL_LIMIT)?;
    let product = match payment.method {
        Method::MiniProgram => Product::Jsapi,
        Method::Native => Product::Native,
    };
    let answer = merchant
        .client
        .create(product, &payment.out_trade_no, &payment.request_body, Patience::default())
        .await;
    crash_point!("request_prepay.asked");

    match answer {
        Ok(created) => {
            // WeChat Pay's two hours began when it was asked.
            let prepay = prepay(merchant, &payment, created, now + PREPAY_LIFE).await?;
            issued(context, run, &payment, prepay).await
        }
        Err(Error::Definite(said)) if matches!(said.status, 400 | 403) => {
            if may_exist || said.earlier_unanswered || said.says_paid_used_or_closed() {
                return ask_what_it_is(context, run, &payment).await;
            }
            refused(context, run, &payment, Fact::CreateRefused { code: said.code, message: said.message })
                .await
        }
        Err(Error::Unsendable { cause }) if !may_exist => {
            let fact = Fact::CreateRefused { code: "UNSENDABLE".to_owned(), message: cause };
            refused(context, run, &payment, fact).await
        }
        Err(error) => lost(context, run, &payment, &error).await,
    }
}

/// WeChat Pay opened the payment.
async fn issued(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
    prepay: Prepay,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            transition::apply(txn, &mut pair, &Fact::PrepayIssued(prepay), Source::Call).await?;
            if pair.payment.status == Status::Closing {
                // Nobody hears of this prepay, but it exists: what was asked before says otherwise. Now it
                // can be closed, and a payer may be waiting for the next payment.
                signed_now(txn, &pair.payment).await?;
                jobs::enqueue(txn, &ClosePayment::of(&payment.id)).await?;
            }
            crash_point!("request_prepay.applied");
            run.done(txn).await
        })
        .await
}

/// WeChat Pay said no, and nothing of ours is on its way there.
async fn refused(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
    fact: Fact,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            transition::apply(txn, &mut pair, &fact, Source::Call).await?;
            crash_point!("request_prepay.refused");
            run.done(txn).await
        })
        .await
}

/// No answer that counts: the payment may or may not exist by now. The same bytes go out again,
/// and WeChat Pay is asked besides.
async fn lost(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
    error: &Error,
) -> Result<Finished, Failure> {
    let wait = backoff::jittered(backoff::wait(run.failures + 1), (context.chance)());
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            transition::apply(txn, &mut pair, &Fact::OutcomeLost, Source::Call).await?;
            signed_now(txn, &pair.payment).await?;
            crash_point!("request_prepay.lost");
            let again = txn.now().await? + wait;
            run.failed(txn, error.reason(), again).await
        })
        .await
}

/// WeChat Pay's answer is about something that was there before: only a question tells what.
async fn ask_what_it_is(context: &Context, run: &Run, payment: &payment::Model) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            transition::apply(txn, &mut pair, &Fact::OutcomeLost, Source::Call).await?;
            signed_now(txn, &pair.payment).await?;
            let soon = ConfirmPayment::earliest(&pair.payment, txn.now().await?);
            jobs::enqueue_urgently(txn, &ConfirmPayment::of(&payment.id), soon).await?;
            crash_point!("request_prepay.doubted");
            run.done(txn).await
        })
        .await
}

/// Nobody may pay it any more. What was never sent is over; what may exist is asked about.
async fn give_in(
    context: &Context,
    run: &Run,
    payment: &payment::Model,
    may_exist: bool,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut pair = transition::load(txn, payment).await?;
            if may_exist {
                transition::apply(txn, &mut pair, &Fact::OutcomeLost, Source::Rule).await?;
                signed_now(txn, &pair.payment).await?;
            } else {
                transition::apply(txn, &mut pair, &Fact::NeverExisted, Source::Rule).await?;
            }
            run.done(txn).await
        })
        .await
}

/// It is being closed, and "no such payment" must not count yet.
async fn too_late(context: &Context, run: &Run, payment: &payment::Model) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let pair = transition::load(txn, payment).await?;
            signed_now(txn, &pair.payment).await?;
            run.done(txn).await
        })
        .await
}

/// From now WeChat Pay may take up to five minutes to act on what was signed.
async fn signed_now(txn: &Txn, payment: &payment::Model) -> Result<(), DbErr> {
    let row = payment::ActiveModel {
        id: Set(payment.id.clone()),
        create_signed_at: Set(Some(txn.now().await?)),
        not_found_at: Set(None),
        ..Default::default()
    };
    row.update(txn).await.map(drop)
}

async fn prepay(
    merchant: &Merchant,
    payment: &payment::Model,
    created: Created,
    expires_at: Timestamp,
) -> Result<Prepay, Failure> {
    match created {
        Created::CodeUrl(code_url) => {
            Ok(Prepay { prepay_id: None, code_url: Some(code_url), call_up: None, expires_at })
        }
        Created::PrepayId(prepay_id) => {
            let (signer, environment) = (merchant.client.merchant().clone(), merchant.environment.clone());
            let (app_id, id) = (payment.app_id.clone(), prepay_id.clone());
            // A signature is a quarter of a millisecond of work.
            let call_up = tokio::task::spawn_blocking(move || signer.call_up(&app_id, &id, &environment))
                .await
                .map_err(|error| Failure::Retry(format!("signing the call-up: {error}")))?
                .map_err(|error| Failure::Retry(format!("signing the call-up: {error}")))?;
            let call_up = serde_json::to_string(&call_up)
                .map_err(|error| Failure::Retry(format!("writing the call-up: {error}")))?;
            Ok(Prepay { prepay_id: Some(prepay_id), code_url: None, call_up: Some(call_up), expires_at })
        }
    }
}

#[cfg(test)]
mod tests;
