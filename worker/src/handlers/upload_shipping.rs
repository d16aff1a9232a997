//! Tells WeChat how a paid order reaches its payer: the same bytes at every try, until WeChat has taken them
//! or certainly never will (WeChat documentation, 小程序发货信息管理服务).

use std::{ops::ControlFlow, time::Duration};

use entity::{
    Txn,
    order_event::Source,
    shipping::{self, Status},
};
use jobs::{Failure, Finished, Run, UploadShipping, backoff, crash_point};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr};
use wechatpay::ShippingError;

use crate::{
    Context,
    transition::shipping::{self as gate, Fact},
};

/// Longer than a token and the call take.
const CALL_LIMIT: Duration = Duration::from_secs(12);

/// How soon it is tried again when only a person can help: with another secret, or this machine's address
/// on the app's list.
const NEEDS_A_PERSON: Duration = Duration::from_secs(10 * 60);

/// WeChat's shipping may hear of a payment some seconds after WeChat Pay took it; for longer than this it
/// is not waited for.
const PAYMENT_IS_KNOWN: Duration = Duration::from_secs(60 * 60);

pub(crate) async fn run(context: &Context, run: &Run, job: &UploadShipping) -> Result<Finished, Failure> {
    let shipping = context.shipping(&job.shipping).await?;
    if shipping.status.is_at_rest() {
        return context.db.write(async |txn| run.done(txn).await).await;
    }
    crash_point!("upload_shipping.loaded");

    let merchant = context.merchant(&shipping.merchant)?;
    // Not `GiveUp`: its secret may be configured again.
    let app = merchant.mini_programs.iter().find(|app| app.app_id == shipping.app_id);
    let app = app.ok_or_else(|| Failure::Retry("the mini-program has no secret here".to_owned()))?;
    merchant.budget.turn(run.lane).await?;
    let was_unanswered = match begin(context, run, &shipping).await? {
        ControlFlow::Continue(was_unanswered) => was_unanswered,
        ControlFlow::Break(finished) => return Ok(finished),
    };
    crash_point!("upload_shipping.begun");
    run.has_time_for(CALL_LIMIT)?;
    let answer = merchant.shipping.upload(app, &shipping.request_body).await;
    crash_point!("upload_shipping.asked");

    let error = match answer {
        Ok(()) => return settled(context, run, &shipping, &Fact::Uploaded).await,
        Err(error) => error,
    };
    // What these bytes did before, when nobody heard it.
    if was_unanswered && error.is_known_already() {
        return settled(context, run, &shipping, &Fact::Uploaded).await;
    }
    let age = context.db.now().await?.since(shipping.created_at);
    match &error {
        ShippingError::Refused(said) if !error.is_payment_unknown() || age >= PAYMENT_IS_KNOWN => {
            let fact = Fact::Refused { code: said.code.to_string(), message: said.message.clone() };
            settled(context, run, &shipping, &fact).await
        }
        ShippingError::Busy(_) | ShippingError::Unknown { .. } => {
            later(context, run, &shipping, &error, true).await
        }
        ShippingError::Refused(_)
        | ShippingError::NotSent { .. }
        | ShippingError::NoToken(_)
        | ShippingError::TokenRefused(_) => later(context, run, &shipping, &error, was_unanswered).await,
    }
}

/// Writes down that a call goes out, and says whether one before it was not answered; unless there is
/// nothing to tell any more.
async fn begin(
    context: &Context,
    run: &Run,
    shipping: &shipping::Model,
) -> Result<ControlFlow<Finished, bool>, Failure> {
    context
        .db
        .write(async |txn| {
            let of = gate::load(txn, shipping).await?;
            if of.shipping.status != Status::Requested {
                return run.done(txn).await.map(ControlFlow::Break);
            }
            set_unanswered(txn, shipping, true).await?;
            run.holds(txn).await?;
            Ok(ControlFlow::Continue(of.shipping.unanswered))
        })
        .await
}

/// WeChat took it, or never will.
async fn settled(
    context: &Context,
    run: &Run,
    shipping: &shipping::Model,
    fact: &Fact,
) -> Result<Finished, Failure> {
    context
        .db
        .write(async |txn| {
            let mut of = gate::load(txn, shipping).await?;
            if let gate::Moved::Refused(refused) = gate::apply(txn, &mut of, fact, Source::Call).await? {
                tracing::warn!(shipping.id = %shipping.id, %refused, "WeChat's answer does not fit");
            }
            crash_point!("upload_shipping.applied");
            run.done(txn).await
        })
        .await
}

/// Nothing that counts was said: the same bytes go out again.
async fn later(
    context: &Context,
    run: &Run,
    shipping: &shipping::Model,
    error: &ShippingError,
    is_unanswered: bool,
) -> Result<Finished, Failure> {
    let soon = backoff::jittered(backoff::wait(run.failures + 1), (context.chance)());
    let wait = match error {
        ShippingError::NoToken(said) if said.is_configuration() => {
            tracing::error!(
                shipping.id = %shipping.id,
                errcode = said.code,
                "WeChat does not know the mini-program, its secret or our address"
            );
            NEEDS_A_PERSON
        }
        _ => soon,
    };
    context
        .db
        .write(async |txn| {
            let of = gate::load(txn, shipping).await?;
            if of.shipping.status == Status::Requested {
                set_unanswered(txn, shipping, is_unanswered).await?;
            }
            crash_point!("upload_shipping.lost");
            let again = txn.now().await? + wait;
            run.failed(txn, error.reason(), again).await
        })
        .await
}

async fn set_unanswered(txn: &Txn, shipping: &shipping::Model, is_unanswered: bool) -> Result<(), DbErr> {
    let row = shipping::ActiveModel {
        id: Set(shipping.id.clone()),
        unanswered: Set(is_unanswered),
        ..Default::default()
    };
    row.update(txn).await.map(drop)
}
