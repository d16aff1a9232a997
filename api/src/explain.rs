//! Why an order is where it is: what is known of it, from whom and since when, and what happens next.
//!
//! [`Dossier::read`] collects what is written down, [`Dossier::explain`] puts it into sentences.
//! The timeline and `everpaid explain` say the same.

mod words;

use entity::{
    OrderId, Timestamp, case, job, notification,
    order::{self, Status},
    order_event, payment, refund, shipping, told_event, webhook_delivery,
};
use jobs::Kind;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use serde::Serialize;
use utoipa::ToSchema;

/// A sentence for people, in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sentence {
    pub zh: String,
    pub en: String,
}

/// A sentence about a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dated {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[serde(flatten)]
    pub says: Sentence,
}

/// Why an order is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explanation {
    /// How it stands and why; the first sentence is about the order, the others about what is not over.
    pub why: Vec<Sentence>,
    /// What is known, from whom, and since when.
    pub known: Vec<Dated>,
    /// What happens next, and when; in the past, when it is overdue.
    pub next: Vec<Dated>,
}

/// Everything that is written down about one order.
#[derive(Debug)]
pub struct Dossier {
    pub order: order::Model,
    pub payments: Vec<payment::Model>,
    pub refunds: Vec<refund::Model>,
    pub shippings: Vec<shipping::Model>,
    pub events: Vec<order_event::Model>,
    pub notifications: Vec<notification::Model>,
    pub cases: Vec<case::Model>,
    /// Of what the shop is told about the order.
    pub deliveries: Vec<webhook_delivery::Model>,
    pub jobs: Vec<job::Model>,
}

impl Dossier {
    /// Reads what there is about an order. Not of one moment while a worker is at it.
    pub async fn read(connection: &impl ConnectionTrait, order: order::Model) -> Result<Self, DbErr> {
        let id = || order.id.clone();
        let events = order_event::Entity::find()
            .filter(order_event::Column::OrderId.eq(id()))
            .order_by_asc(order_event::Column::Seq)
            .all(connection)
            .await?;
        let payments = payment::Entity::find()
            .filter(payment::Column::OrderId.eq(id()))
            .order_by_asc(payment::Column::Id)
            .all(connection)
            .await?;
        let refunds = refund::Entity::find()
            .filter(refund::Column::OrderId.eq(id()))
            .order_by_asc(refund::Column::Id)
            .all(connection)
            .await?;
        let shippings = shipping::of_order(connection, &order.id).await?;
        let notifications = notification::Entity::find()
            .filter(notification::Column::OrderId.eq(id()))
            .order_by_asc(notification::Column::ReceivedAt)
            .all(connection)
            .await?;
        let cases = case::Entity::find().filter(case::Column::OrderId.eq(id())).all(connection).await?;
        let told =
            told_event::Entity::find().filter(told_event::Column::OrderId.eq(id())).all(connection).await?;
        let deliveries = webhook_delivery::Entity::find()
            .filter(webhook_delivery::Column::EventId.is_in(told.into_iter().map(|told| told.id)))
            .all(connection)
            .await?;
        let subjects: Vec<&str> = std::iter::once(order.id.as_str())
            .chain(payments.iter().map(|payment| payment.id.as_str()))
            .chain(refunds.iter().map(|refund| refund.id.as_str()))
            .chain(shippings.iter().map(|shipping| shipping.id.as_str()))
            .chain(notifications.iter().map(|notification| notification.id.as_str()))
            .chain(deliveries.iter().map(|delivery| delivery.id.as_str()))
            .collect();
        let jobs = job::Entity::find()
            .filter(job::Column::Kind.is_in(Kind::ALL.map(Kind::name)))
            .filter(job::Column::Subject.is_in(subjects))
            .order_by_asc(job::Column::DueAt)
            .all(connection)
            .await?;
        Ok(Self { order, payments, refunds, shippings, events, notifications, cases, deliveries, jobs })
    }

    /// Finds an order by its own id, the shop's number, or the number of one of its payments or refunds
    /// at WeChat Pay. Several merchants may use one number.
    pub async fn find(connection: &impl ConnectionTrait, number: &str) -> Result<Vec<order::Model>, DbErr> {
        if let Ok(id) = number.parse::<OrderId>() {
            return order::Entity::find_by_id(id).all(connection).await;
        }
        let payments = payment::Entity::find()
            .filter(
                Condition::any()
                    .add(payment::Column::OutTradeNo.eq(number))
                    .add(payment::Column::TransactionId.eq(number)),
            )
            .all(connection)
            .await?;
        let refunds =
            refund::Entity::find().filter(refund::Column::OutRefundNo.eq(number)).all(connection).await?;
        let ids = payments.into_iter().map(|payment| payment.order_id);
        let ids = ids.chain(refunds.into_iter().map(|refund| refund.order_id));
        order::Entity::find()
            .filter(
                Condition::any()
                    .add(order::Column::Id.is_in(ids))
                    .add(order::Column::MerchantOrderNo.eq(number)),
            )
            .all(connection)
            .await
    }

    /// In sentences.
    pub fn explain(&self, now: Timestamp) -> Explanation {
        let mut why = vec![words::of_order(&self.order, self.newest_payment(), now)];
        if let Some(payment) = self.newest_payment()
            && !self.order.status.is_paid()
        {
            why.extend(words::of_payment(payment));
        }
        why.extend(self.refunds.iter().map(words::of_refund));
        why.extend(self.shippings.iter().map(words::of_shipping));
        why.extend(self.cases.iter().filter(|case| case.resolved_at.is_none()).map(words::of_case));
        why.extend(words::of_deliveries(&self.deliveries));
        let known = self.events.iter().map(|event| Dated { at: event.at, says: words::of_event(event) });
        let next = self.jobs.iter().filter(|job| !self.is_moot(job));
        let next = next.map(|job| Dated { at: job.due_at, says: words::of_job(job, now) });
        let mut next: Vec<_> = next.collect();
        if self.order.status == Status::Pending && next.is_empty() {
            next.push(Dated { at: self.order.expires_at, says: words::of_forgotten() });
        }
        Explanation { why, known: known.collect(), next }
    }

    /// Will the job only find that there is nothing left to find out?
    fn is_moot(&self, job: &job::Model) -> bool {
        let is_at_rest = |payment: &payment::Model| payment.status.is_at_rest();
        self.payments.iter().any(|payment| payment.id.as_str() == job.subject && is_at_rest(payment))
    }

    /// The one that can be paid, or was; otherwise the newest.
    fn newest_payment(&self) -> Option<&payment::Model> {
        let succeeded =
            |payment: &&payment::Model| payment.status == payment::Status::Succeeded && !payment.surplus;
        let payable = |payment: &&payment::Model| payment.status.is_payable();
        let payments = &self.payments;
        payments.iter().find(succeeded).or_else(|| payments.iter().find(payable)).or(payments.last())
    }
}

#[cfg(test)]
mod tests;
