//! The trade bill of a day: whether it is there, what is in it, and its file.

use std::io::Write;

use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use sha1::{Digest, Sha1};

use crate::{
    credentials::random_text,
    faults::FaultKind,
    rules::bill::{DOWNLOAD_LIFE_MS, Day, Kind, NoBill},
    store::{self, BillFile},
    wechat::Wechat,
    wire::bill::{self, Row},
};

/// A bill that is ready to be downloaded.
pub(crate) struct Bill {
    pub token: String,
    /// Over the plain text, compressed or not.
    pub sha1: String,
}

impl Wechat {
    /// Draws up a bill and keeps its file for five minutes.
    pub(crate) async fn bill(
        &self,
        mchid: &str,
        day: Day,
        kind: Kind,
        is_gzip: bool,
        fault: Option<FaultKind>,
    ) -> anyhow::Result<Result<Bill, NoBill>> {
        let plain = match self.draw_up(mchid, day, kind, fault).await? {
            Ok(plain) => plain,
            Err(why) => return Ok(Err(why)),
        };
        let packed = tokio::task::spawn_blocking(move || {
            let sha1 = hex::encode(Sha1::digest(&plain));
            let content = if is_gzip { compress(&plain)? } else { plain };
            anyhow::Ok((sha1, content))
        });
        let (sha1, content) = packed.await??;
        let now = self.now();
        let token = random_text(64);
        let file = BillFile {
            token: token.clone(),
            mchid: mchid.to_owned(),
            expires_at: now + DOWNLOAD_LIFE_MS,
            content,
        };
        let txn = self.store.begin().await?;
        store::keep_bill_file(&txn, file, now).await?;
        txn.commit().await?;
        Ok(Ok(Bill { token, sha1 }))
    }

    /// The one place that decides whether a bill is ready, and what is in it: a payment on the day
    /// it was paid, a refund on the day it was accepted.
    async fn draw_up(
        &self,
        mchid: &str,
        day: Day,
        kind: Kind,
        fault: Option<FaultKind>,
    ) -> anyhow::Result<Result<Vec<u8>, NoBill>> {
        if let Err(why) = day.has_bill(self.now()) {
            return Ok(Err(why));
        }
        if fault == Some(FaultKind::BillLate) {
            return Ok(Err(NoBill::Creating));
        }
        self.settle_due_refunds().await?;
        let (mut payments, mut refunds) = (Vec::new(), Vec::new());
        if kind.has_payments() {
            payments = self.store.paid_between(mchid, day.bounds()).await?;
        }
        if kind.has_refunds() {
            refunds = self.store.refunds_between(mchid, day.bounds()).await?;
        }
        let drawn = tokio::task::spawn_blocking(move || {
            let payments = payments.iter().filter_map(|order| {
                let paid = order.state.paid()?;
                Some((paid.paid_at, Row { order, paid, refund: None }))
            });
            let refunds = refunds.iter().filter_map(|(refund, order)| {
                let paid = order.state.paid()?;
                Some((refund.created_at, Row { order, paid, refund: Some(refund) }))
            });
            let mut dated: Vec<_> = payments.chain(refunds).collect();
            dated.sort_by_key(|(at, _)| *at);
            if fault == Some(FaultKind::BillShort) {
                dated.pop();
            }
            let rows: Vec<_> = dated.into_iter().map(|(_, row)| row).collect();
            if rows.is_empty() {
                return Err(NoBill::NoTrade);
            }
            Ok(bill::render(kind, &rows, day.drawn_up_at()))
        });
        drawn.await.context("drawing up a bill")
    }
}

fn compress(plain: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(plain)?;
    Ok(gzip.finish()?)
}
