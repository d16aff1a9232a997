//! What a call is about, so that a fault can be aimed at it and luck be drawn for it.

use http::request::Parts;
use sea_orm::DbErr;
use serde::Deserialize;

use super::Call;
use crate::{
    faults::{Occasion, Target},
    store::{self, By},
    wechat::Wechat,
};

impl Wechat {
    /// The occasion that a call is for anything to go wrong; absent: nothing can.
    pub(super) async fn occasion(
        &self,
        call: &Call,
        parts: &Parts,
        body: &[u8],
        mchid: &str,
    ) -> Result<Option<Occasion>, DbErr> {
        if self.faults.is_empty() && self.probe_share == 0.0 {
            return Ok(None);
        }
        let numbers = match call {
            Call::Create(_) | Call::Refund => said_in(body),
            Call::FindOrder(number) | Call::Close(number) | Call::FindRefund(number) => {
                vec![number.clone()]
            }
            // WeChat Pay made this number up: no run repeats it.
            Call::FindTransaction(id) => {
                let order = store::find_order(self.store.db(), By::Transaction(id)).await?;
                order.into_iter().map(|order| order.out_trade_no).collect()
            }
            Call::TradeBill | Call::Download | Call::Certificates => Vec::new(),
        };
        let path = match call {
            // Which day's bill it is.
            Call::TradeBill => parts.uri.path_and_query().map_or("", |target| target.as_str()),
            _ => parts.uri.path(),
        };
        Ok(Some(Occasion {
            target: call.target(),
            mchid: mchid.to_owned(),
            numbers,
            path: path.to_owned(),
            was_put_off: false,
        }))
    }
}

impl Call {
    fn target(&self) -> Target {
        match self {
            Self::Create(_) => Target::Create,
            Self::FindOrder(_) | Self::FindTransaction(_) => Target::Query,
            Self::Close(_) => Target::Close,
            Self::Refund => Target::Refund,
            Self::FindRefund(_) => Target::RefundQuery,
            Self::TradeBill => Target::Bill,
            Self::Download => Target::Download,
            Self::Certificates => Target::Certificates,
        }
    }
}

/// The numbers in a body that nobody has checked yet.
fn said_in(body: &[u8]) -> Vec<String> {
    #[derive(Default, Deserialize)]
    struct Said {
        out_refund_no: Option<String>,
        out_trade_no: Option<String>,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    said.out_refund_no.into_iter().chain(said.out_trade_no).collect()
}
