//! What every handler is given.

use std::{collections::HashMap, fmt, sync::Arc};

use entity::{Db, OrderId, PaymentId, RefundId, ShippingId, order, payment, refund, shipping};
use jobs::Failure;
use sea_orm::EntityTrait;
use wechatpay::{ApiV3Key, Client, Environment, ShippingClient, openid};

use crate::{
    Budget, Identity, Policies,
    webhooks::{Endpoint, Sender, Turns},
};

/// The database, the merchants, time and chance.
#[derive(Clone)]
pub struct Context {
    pub db: Db,
    pub merchants: Arc<HashMap<String, Merchant>>,
    /// What tells the shops.
    pub sender: Sender,
    pub(crate) turns: Arc<Turns>,
    /// A number from 0 to 1, different every time; spreads retries.
    pub chance: fn() -> f64,
}

/// A merchant as the worker knows it: with the keys that sign and open.
#[derive(Clone)]
pub struct Merchant {
    pub client: Client,
    /// The current APIv3 key first, then the one before it while it is being replaced.
    pub apiv3_keys: Vec<ApiV3Key>,
    pub environment: Environment,
    /// Tells WeChat of shipping, in the name of one of `mini_programs`.
    pub shipping: ShippingClient,
    /// Those whose secrets are known.
    pub mini_programs: Vec<openid::App>,
    /// For what nobody waits for.
    pub budget: Budget,
    /// Where its shop wants to be told.
    pub webhooks: Vec<Endpoint>,
    pub identity: Identity,
    pub policies: Policies,
}

impl Context {
    pub fn new(db: Db, merchants: HashMap<String, Merchant>, sender: Sender) -> Self {
        Self {
            db: db.for_jobs(),
            merchants: Arc::new(merchants),
            sender,
            turns: Arc::default(),
            chance: rand::random,
        }
    }

    pub(crate) fn merchant(&self, name: &str) -> Result<&Merchant, Failure> {
        // Not `GiveUp`: another process may know it, or this one after its next start.
        self.merchants.get(name).ok_or_else(|| Failure::Retry(format!("merchant {name} is not configured")))
    }

    pub(crate) async fn payment(&self, id: &PaymentId) -> Result<payment::Model, Failure> {
        let payment = payment::Entity::find_by_id(id.clone()).one(self.db.reader()).await?;
        payment.ok_or_else(|| Failure::GiveUp(format!("there is no payment {id}")))
    }

    pub(crate) async fn refund(&self, id: &RefundId) -> Result<refund::Model, Failure> {
        let refund = refund::Entity::find_by_id(id.clone()).one(self.db.reader()).await?;
        refund.ok_or_else(|| Failure::GiveUp(format!("there is no refund {id}")))
    }

    pub(crate) async fn shipping(&self, id: &ShippingId) -> Result<shipping::Model, Failure> {
        let shipping = shipping::Entity::find_by_id(id.clone()).one(self.db.reader()).await?;
        shipping.ok_or_else(|| Failure::GiveUp(format!("there is no shipping {id}")))
    }

    pub(crate) async fn order(&self, id: &OrderId) -> Result<order::Model, Failure> {
        let order = order::Entity::find_by_id(id.clone()).one(self.db.reader()).await?;
        order.ok_or_else(|| Failure::GiveUp(format!("there is no order {id}")))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("merchants", &self.merchants.keys()).finish_non_exhaustive()
    }
}
