//! What is put into the table of jobs by hand: jobs that nobody can do, and a backlog.

use std::collections::HashSet;

use entity::{Db, Fen, OrderId, PaymentId, Timestamp, job, order, payment};
use sea_orm::{
    ActiveValue::NotSet, ColumnTrait, Condition, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    Set,
};
use tokio::time::{Duration, Instant, sleep};

use crate::oracle::{Findings, Witnesses};

/// A word that is no kind of job yet.
const KIND_TO_COME: &str = "transmogrify";

/// So many rows in a statement.
const PAGE: usize = 500;
const LOOK_EVERY: Duration = Duration::from_millis(100);

fn due(kind: &str, subject: String, at: Timestamp) -> job::ActiveModel {
    job::ActiveModel {
        id: NotSet,
        kind: Set(kind.to_owned()),
        subject: Set(subject),
        lane: Set(job::Lane::Background),
        due_at: Set(at),
        lease: Set(None),
        wanted_at: Set(None),
        runs: Set(0),
        unfinished: Set(0),
        failures: Set(0),
        last_error: Set(None),
        dead_at: Set(None),
        created_at: Set(at),
    }
}

/// Jobs about what is not there, about no id at all, and of a kind to come. Says their subjects.
pub async fn poison(db: &Db, count: u32) -> anyhow::Result<Vec<String>> {
    let now = db.now().await?;
    let jobs = (0..count).map(|nth| {
        let gone = PaymentId::generate();
        match nth % 3 {
            0 => ("confirm_payment", gone.to_string()),
            1 => ("request_prepay", format!("no id, but {gone}")),
            _ => (KIND_TO_COME, gone.to_string()),
        }
    });
    let jobs: Vec<_> = jobs.collect();
    let rows = jobs.iter().map(|(kind, subject)| due(kind, subject.clone(), now));
    job::Entity::insert_many(rows).exec_without_returning(db.migrator()).await?;
    Ok(jobs.into_iter().map(|(_, subject)| subject).collect())
}

/// Is there no job that will still do something? A look at a payment that is over will not, whenever its
/// rung comes; what was given up, and what is of a kind to come, is somebody else's.
pub async fn is_all_else_done(db: &Db) -> anyhow::Result<bool> {
    let left = job::Entity::find()
        .filter(job::Column::DeadAt.is_null())
        .filter(job::Column::Kind.is_not_in(["sweep_overdue", "confirm_payment", KIND_TO_COME]));
    Ok(left.count(db.reader()).await? == 0)
}

/// Each of them was given up, unless a newer everpaid may know it.
pub fn judge_poison(witnesses: &Witnesses, poison: &HashSet<String>, found: &mut Findings) {
    let mut there = 0;
    for job in witnesses.jobs.iter().filter(|job| poison.contains(&job.subject)) {
        there += 1;
        if job.dead_at.is_some() == (job.kind == KIND_TO_COME) {
            found.stuck.push(format!("the poisonous job {job:?}"));
        }
    }
    if there != poison.len() {
        found.lost.push(format!("{} poisonous jobs were planted, {there} are there", poison.len()));
    }
}

/// So many looks at payments that are over, all due at once. Says how long they took; then nothing of them
/// is left.
pub async fn backlog(db: &Db, count: u32) -> anyhow::Result<Duration> {
    let now = db.now().await?;
    let order = order::Model {
        id: OrderId::generate(),
        merchant: "teahouse".to_owned(),
        merchant_order_no: "BACKLOG".to_owned(),
        amount: Fen(1),
        currency: "CNY".to_owned(),
        description: "陈茶".to_owned(),
        attach: None,
        return_url: None,
        metadata: None,
        status: order::Status::Closed,
        expires_in: 7200,
        expires_at: now,
        created_at: now,
        close_asked_at: None,
        paid_at: None,
        closed_at: Some(now),
        refunded: Fen(0),
        event_seq: 0,
        told_seq: 0,
    };
    order::Entity::insert(order.clone().into_active_model()).exec_without_returning(db.migrator()).await?;
    let payments: Vec<_> = (0..count)
        .map(|_| {
            let id = PaymentId::generate();
            let payment = payment::Model::from(payment::Opened {
                out_trade_no: id.as_str().trim_start_matches("pay_").to_owned(),
                id,
                order_id: order.id.clone(),
                merchant: order.merchant.clone(),
                mchid: "backlog".to_owned(),
                method: payment::Method::Native,
                app_id: "backlog".to_owned(),
                openid: None,
                amount: Fen(1),
                request_body: String::new(),
                is_queued: false,
                at: now,
            });
            payment::Model { status: payment::Status::Closed, ..payment }
        })
        .collect();
    // Due when all of them are there.
    let due_at = now + Duration::from_secs(u64::from(count) / 2000 + 2);
    for page in payments.chunks(PAGE) {
        let jobs = page.iter().map(|payment| due("confirm_payment", payment.id.to_string(), due_at));
        let rows = page.iter().map(|payment| payment.clone().into_active_model());
        payment::Entity::insert_many(rows).exec_without_returning(db.migrator()).await?;
        job::Entity::insert_many(jobs).exec_without_returning(db.migrator()).await?;
    }
    while db.now().await? < due_at {
        sleep(LOOK_EVERY).await;
    }
    let began = Instant::now();
    let left = || {
        job::Entity::find()
            .filter(job::Column::Kind.eq("confirm_payment"))
            .filter(job::Column::CreatedAt.eq(due_at))
            .filter(Condition::any().add(job::Column::DueAt.eq(due_at)).add(job::Column::Lease.is_not_null()))
            .count(db.reader())
    };
    while left().await? > 0 {
        sleep(LOOK_EVERY).await;
    }
    let drained_in = began.elapsed();
    payment::Entity::delete_many()
        .filter(payment::Column::OrderId.eq(order.id.clone()))
        .exec(db.migrator())
        .await?;
    order::Entity::delete_by_id(order.id).exec(db.migrator()).await?;
    Ok(drained_in)
}
