//! What WeChat Pay's word about a refund does to it, on whichever road it came.

use entity::{Txn, order_event::Source, refund};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr};

use crate::{
    facts::{
        Mismatch,
        refund::{Said, read},
    },
    transition::refund::{self as gate, Fact, Moved, Refunding},
};

/// WeChat Pay told how the refund stands.
pub(crate) async fn told(
    txn: &Txn,
    of: &mut Refunding,
    said: Said<'_>,
    learnt_from: Source,
) -> Result<Result<Moved, Mismatch>, DbErr> {
    let mismatch = match read(said, &of.refund, &of.payment) {
        Ok(word) => match gate::apply(txn, of, &Fact::Told(word), learnt_from).await? {
            // We believed that it would never be.
            Moved::Refused(_) => Mismatch::RefundStatus,
            moved => return Ok(Ok(moved)),
        },
        Err(mismatch) => mismatch,
    };
    tracing::error!(refund.id = %of.refund.id, %mismatch, "what WeChat Pay says of a refund contradicts what we know");
    gate::report_mismatch(txn, of, mismatch, learnt_from).await?;
    Ok(Err(mismatch))
}

/// Writes down that WeChat Pay was asked about it.
pub(crate) async fn asked(txn: &Txn, of: &mut Refunding) -> Result<(), DbErr> {
    let row = refund::ActiveModel {
        id: Set(of.refund.id.clone()),
        asked_at: Set(Some(txn.now().await?)),
        ..Default::default()
    };
    of.refund = row.update(txn).await?;
    Ok(())
}
