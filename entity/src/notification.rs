//! A notification of WeChat Pay, byte for byte as it was received.

use std::fmt;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{NotificationId, OrderId, Timestamp};

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notification")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: NotificationId,
    pub merchant: String,
    /// WeChat Pay's own id of it, unique per merchant.
    pub wechat_id: String,
    /// The five `Wechatpay-*` headers, as JSON text.
    pub headers: String,
    /// The raw bytes that were signed; the payment inside is encrypted.
    pub body: Vec<u8>,
    pub received_at: Timestamp,
    pub verdict: Verdict,
    /// Why, when it was ignored or cannot be decrypted.
    pub reason: Option<String>,
    pub settled_at: Option<Timestamp>,
    /// The order it turned out to be about.
    pub order_id: Option<OrderId>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl fmt::Debug for Model {
    /// Without headers and body: what is inside belongs to a payer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("id", &self.id)
            .field("wechat_id", &self.wechat_id)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

/// The notification was …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// taken in, and nobody has looked inside yet.
    Received,
    /// found true and acted on.
    Applied,
    /// understood, and about nothing of ours; or it contradicts what we know. The reason says which.
    Ignored,
    /// not opened by any APIv3 key we have. Kept, and tried again.
    Undecryptable,
}
