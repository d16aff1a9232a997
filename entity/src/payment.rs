//! One try to pay an order at WeChat Pay.

pub mod lifecycle;

use std::fmt;

use sea_orm::{DbBackend, FromQueryResult, Statement, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::{Db, Fen, OrderId, PaymentId, Timestamp};
pub use lifecycle::{Event, Status};

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PaymentId,
    pub order_id: OrderId,
    pub merchant: String,
    pub mchid: String,
    /// The merchant's number of this payment at WeChat Pay, unique per mchid.
    pub out_trade_no: String,
    pub method: Method,
    pub app_id: String,
    /// Who pays. Never leaves the server: not in an answer, a log, an error or a metric.
    pub openid: Option<String>,
    pub amount: Fen,
    pub status: Status,
    /// The exact bytes of the create call: WeChat Pay takes a repetition only if nothing differs.
    pub request_body: String,
    /// When a create of ours was last signed. An answer to it may arrive for five minutes.
    pub create_signed_at: Option<Timestamp>,
    pub prepay_id: Option<String>,
    pub code_url: Option<String>,
    /// When `prepay_id` or `code_url` dies.
    pub prepay_expires_at: Option<Timestamp>,
    /// The signed call-up parameters, as JSON text.
    pub call_up: Option<String>,
    /// WeChat Pay's number, unique per mchid.
    pub transaction_id: Option<String>,
    /// What the payer paid after coupons.
    pub payer_total: Option<Fen>,
    pub bank_type: Option<String>,
    /// When WeChat Pay took the money, by its own account.
    pub succeeded_at: Option<Timestamp>,
    /// The order was paid already when this one succeeded.
    pub surplus: bool,
    /// Why WeChat Pay refused it.
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    /// When WeChat Pay was last asked about it.
    pub asked_at: Option<Timestamp>,
    /// When WeChat Pay first said, without contradiction since, that it knows no such payment.
    pub not_found_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What is known of a payment when it is opened.
#[derive(Clone)]
pub struct Opened {
    pub id: PaymentId,
    pub order_id: OrderId,
    pub merchant: String,
    pub mchid: String,
    pub out_trade_no: String,
    pub method: Method,
    pub app_id: String,
    pub openid: Option<String>,
    pub amount: Fen,
    pub request_body: String,
    /// Whether it waits for its predecessor.
    pub is_queued: bool,
    pub at: Timestamp,
}

impl From<Opened> for Model {
    /// A payment at its birth: written down, and nothing sent.
    fn from(opened: Opened) -> Self {
        Self {
            id: opened.id,
            order_id: opened.order_id,
            merchant: opened.merchant,
            mchid: opened.mchid,
            out_trade_no: opened.out_trade_no,
            method: opened.method,
            app_id: opened.app_id,
            openid: opened.openid,
            amount: opened.amount,
            status: if opened.is_queued { Status::Queued } else { Status::Created },
            request_body: opened.request_body,
            create_signed_at: None,
            prepay_id: None,
            code_url: None,
            prepay_expires_at: None,
            call_up: None,
            transaction_id: None,
            payer_total: None,
            bank_type: None,
            succeeded_at: None,
            surplus: false,
            failure_code: None,
            failure_message: None,
            asked_at: None,
            not_found_at: None,
            created_at: opened.at,
        }
    }
}

impl fmt::Debug for Model {
    /// Shows what identifies the payment and where it stands, nothing about the payer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payment")
            .field("id", &self.id)
            .field("order_id", &self.order_id)
            .field("out_trade_no", &self.out_trade_no)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// The payment that paid the order, if one did; what was paid a second time is surplus.
pub async fn that_paid(connection: &impl ConnectionTrait, order: &OrderId) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::OrderId.eq(order.clone()))
        .filter(Column::Status.eq(Status::Succeeded))
        .filter(Column::Surplus.eq(false))
        .one(connection)
        .await
}

/// How many of the oldest payments [`oldest_overdue`] looks at.
const LOOKED_AT: usize = 1000;

/// When the time of the most overdue payment was up, or of the next one will be: the earliest expiry of
/// an order that has a payment which is not at rest.
///
/// It is read every few seconds, while a million payments may be open: so only the thousand oldest are
/// looked at. A payment behind a thousand older ones is not seen before some of those are over.
pub async fn oldest_overdue(db: &Db) -> Result<Option<Timestamp>, DbErr> {
    #[derive(FromQueryResult)]
    struct Earliest {
        expires_at: Option<Timestamp>,
    }
    let backend: DbBackend = db.backend();
    let sql = format!(
        r#"SELECT MIN(expires_at) AS expires_at FROM "order" WHERE id IN (
             SELECT order_id FROM payment
             WHERE status IN ('queued', 'created', 'awaiting_payment', 'unknown', 'closing')
             ORDER BY created_at LIMIT {LOOKED_AT})"#
    );
    let earliest = Earliest::find_by_statement(Statement::from_string(backend, sql));
    Ok(earliest.one(db.reader()).await?.and_then(|earliest| earliest.expires_at))
}

/// How the payer pays.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// In the WeChat browser or a mini-program, with call-up parameters (JSAPI).
    #[serde(alias = "jsapi")]
    MiniProgram,
    /// By scanning a QR code (Native).
    Native,
}
