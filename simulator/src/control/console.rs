//! What a person sets in the merchant's console (商户平台).

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Answer, Here, Whose, read};
use crate::{
    payer::ControlError,
    refunds::refund_notify_url,
    store::{self, Cause, Entry},
    wechat::Wechat,
    wire::fields,
};

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new().route("/console", get(show_console).post(change_console))
}

async fn show_console(State(wechat): Here, Whose(mchid): Whose) -> Answer<Console> {
    Ok(Json(wechat.console(&mchid).await?))
}

async fn change_console(State(wechat): Here, Whose(mchid): Whose, body: Bytes) -> Answer<Console> {
    let change: Change = read(&body)?;
    wechat.console(&mchid).await?;
    if let Some(url) = &change.refund_notify_url {
        wechat.set_refund_notify_url(&mchid, url.as_deref()).await?;
    }
    if let Some(balance) = change.balance {
        wechat.set_balance(&mchid, balance).await?;
    }
    Ok(Json(wechat.console(&mchid).await?))
}

/// What a merchant's console shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Console {
    pub mchid: String,
    /// What refunds can be paid from, in fen.
    pub balance: i64,
    /// Where a refund without a `notify_url` is told, in the XML of v2.
    pub refund_notify_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    balance: Option<i64>,
    /// `null` takes the address away.
    #[serde(default, deserialize_with = "present")]
    refund_notify_url: Option<Option<String>>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Wechat {
    pub(crate) async fn console(&self, mchid: &str) -> Result<Console, ControlError> {
        let keys = self.merchants.find(mchid);
        let keys = keys.ok_or_else(|| ControlError::NotFound(format!("no merchant {mchid}")))?;
        Ok(Console {
            mchid: keys.mchid().to_owned(),
            balance: store::balance(self.store.db(), mchid).await?,
            refund_notify_url: self.store.setting(&refund_notify_url(mchid)).await?,
        })
    }

    /// The merchant takes money out, or puts some in, until the account holds `balance` fen.
    pub(crate) async fn set_balance(&self, mchid: &str, balance: i64) -> Result<(), ControlError> {
        if balance < 0 {
            return Err(ControlError::Invalid("a balance is not negative".into()));
        }
        let txn = self.store.begin().await?;
        let amount = balance - store::balance(&txn, mchid).await?;
        if amount != 0 {
            let entry = Entry { mchid, at: self.now(), amount, cause: Cause::Console };
            store::insert_entry(&txn, &entry).await?;
        }
        txn.commit().await?;
        Ok(())
    }

    pub(crate) async fn set_refund_notify_url(
        &self,
        mchid: &str,
        url: Option<&str>,
    ) -> Result<(), ControlError> {
        let name = refund_notify_url(mchid);
        match url {
            Some(url) if fields::is_notify_url(url) => self.store.set(&name, url).await?,
            Some(_) => {
                return Err(ControlError::Invalid("the address is absolute and has a path, no query".into()));
            }
            None => self.store.forget(&name).await?,
        }
        Ok(())
    }
}
