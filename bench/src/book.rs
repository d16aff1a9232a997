//! The database behind the server: orders put into it before a run, and the accounts after it.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use entity::{
    CNY, Clock, Db, DbOptions, Fen, OrderId, PaymentId, Timestamp, job, money_entry, notification, order,
    order_event,
    payment::{self, Method},
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QuerySelect, Statement,
};
use simulator::MerchantCredentials;

use crate::server::MERCHANT;

/// What every order costs.
pub const TOTAL: Fen = Fen(100);

/// Which database a figure is about.
#[derive(Clone, Debug)]
pub struct Database {
    pub name: &'static str,
    pub url: String,
}

impl Database {
    /// A file in this directory.
    pub fn sqlite(directory: &Path) -> Self {
        Self { name: "SQLite", url: format!("sqlite://{}", directory.join("everpaid.sqlite").display()) }
    }

    /// A new database on the server at this URL, which names none.
    pub async fn postgres(server: &str) -> anyhow::Result<Self> {
        let name = format!("bench_{}", std::process::id());
        let admin = sea_orm::Database::connect(format!("{server}/postgres")).await?;
        admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name}")).await?;
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        admin.close().await?;
        Ok(Self { name: "Postgres", url: format!("{server}/{name}") })
    }
}

/// Our own look into the database that the server works on.
pub struct Book {
    db: Db,
}

/// An order that waits to be paid, as far as WeChat Pay will speak of it.
pub struct Open {
    pub order: OrderId,
    pub out_trade_no: String,
}

impl Book {
    pub async fn open(database: &Database) -> anyhow::Result<Self> {
        let options = DbOptions { writers: 1, readers: 1, ..DbOptions::new(&database.url) };
        Ok(Self { db: Db::open(&options, Clock::System).await? })
    }

    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.db.close().await?)
    }

    pub async fn version(&self) -> anyhow::Result<String> {
        let sql = match self.db.backend() {
            DbBackend::Sqlite => "SELECT sqlite_version() AS version",
            _ => "SELECT split_part(current_setting('server_version'), ' ', 1) AS version",
        };
        let row = self.db.reader().query_one_raw(Statement::from_string(self.db.backend(), sql)).await?;
        Ok(row.context("the database has no version")?.try_get("", "version")?)
    }

    /// Writes orders down as they are when a payer has the code before them: a payment that WeChat
    /// Pay has opened, and the job that will ask about it in half an hour.
    pub async fn place(&self, count: usize, wechat: &MerchantCredentials) -> anyhow::Result<Vec<Open>> {
        /// So many that no statement has more values than SQLite takes.
        const AT_ONCE: usize = 500;
        let app_id = &wechat.apps.first().context("the merchant has no app")?.appid;
        let now = Clock::System.now();
        let mut open = Vec::with_capacity(count);
        for start in (0..count).step_by(AT_ONCE) {
            let orders: Vec<_> = (start..count.min(start + AT_ONCE)).map(|_| new_order(now)).collect();
            let payments: Vec<_> =
                orders.iter().map(|order| new_payment(order, &wechat.mchid, app_id)).collect();
            open.extend(payments.iter().map(|payment| Open {
                order: payment.order_id.clone(),
                out_trade_no: payment.out_trade_no.clone(),
            }));
            let looks: Vec<_> = payments.iter().map(next_look).collect();
            self.db
                .write(async |txn| {
                    let orders = orders.into_iter().map(order::Model::into_active_model);
                    order::Entity::insert_many(orders).exec_without_returning(txn).await?;
                    let payments = payments.into_iter().map(payment::Model::into_active_model);
                    payment::Entity::insert_many(payments).exec_without_returning(txn).await?;
                    job::Entity::insert_many(looks).exec_without_returning(txn).await
                })
                .await?;
        }
        // What autovacuum would have done by the time there are so many orders.
        self.db.reader().execute_unprepared("ANALYZE").await?;
        Ok(open)
    }

    /// Fails unless each of these orders was paid exactly once, and nothing else happened.
    pub async fn each_paid_once(&self, orders: &[Open]) -> anyhow::Result<()> {
        let db = self.db.reader();
        for some in orders.chunks(500) {
            let ids = || some.iter().map(|open| open.order.clone());
            let expected = some.len() as u64;
            let paid = order::Entity::find()
                .filter(order::Column::Id.is_in(ids()))
                .filter(order::Column::Status.eq(order::Status::Paid))
                .filter(order::Column::EventSeq.eq(1));
            ensure!(paid.count(db).await? == expected, "not every order is paid by one event");
            let succeeded = payment::Entity::find()
                .filter(payment::Column::OrderId.is_in(ids()))
                .filter(payment::Column::Status.eq(payment::Status::Succeeded))
                .filter(payment::Column::Surplus.eq(false));
            ensure!(succeeded.count(db).await? == expected, "not every payment succeeded");
            let events = order_event::Entity::find().filter(order_event::Column::OrderId.is_in(ids()));
            ensure!(events.count(db).await? == expected, "not every order has one event");
            let booked: Vec<Fen> = money_entry::Entity::find()
                .select_only()
                .column(money_entry::Column::Amount)
                .filter(money_entry::Column::OrderId.is_in(ids()))
                .into_tuple()
                .all(db)
                .await?;
            ensure!(booked == vec![TOTAL; some.len()], "the money book does not have every order once");
            let applied = notification::Entity::find()
                .filter(notification::Column::OrderId.is_in(ids()))
                .filter(notification::Column::Verdict.eq(notification::Verdict::Applied));
            ensure!(applied.count(db).await? == expected, "not every notification is applied");
        }
        let left = job::Entity::find()
            .filter(job::Column::Kind.eq(jobs::Kind::ApplyNotification.name()))
            .count(db)
            .await?;
        ensure!(left == 0, "{left} notifications are still to be applied");
        Ok(())
    }
}

fn new_order(now: Timestamp) -> order::Model {
    let id = OrderId::generate();
    order::Model {
        merchant: MERCHANT.to_owned(),
        merchant_order_no: id.tail().to_owned(),
        amount: TOTAL,
        currency: CNY.to_owned(),
        description: "a cup of tea".to_owned(),
        attach: None,
        return_url: None,
        metadata: None,
        status: order::Status::Pending,
        expires_in: 7200,
        expires_at: now + Duration::from_secs(7200),
        created_at: now,
        close_asked_at: None,
        paid_at: None,
        closed_at: None,
        refunded: Fen(0),
        event_seq: 0,
        told_seq: 0,
        id,
    }
}

fn new_payment(order: &order::Model, mchid: &str, app_id: &str) -> payment::Model {
    let id = PaymentId::generate();
    let out_trade_no = id.out_trade_no("");
    payment::Model {
        status: payment::Status::AwaitingPayment,
        create_signed_at: Some(order.created_at),
        code_url: Some(format!("weixin://wxpay/bizpayurl?pr={}", &out_trade_no[16..])),
        prepay_expires_at: Some(order.expires_at),
        ..payment::Model::from(payment::Opened {
            order_id: order.id.clone(),
            merchant: order.merchant.clone(),
            mchid: mchid.to_owned(),
            method: Method::Native,
            app_id: app_id.to_owned(),
            openid: None,
            amount: order.amount,
            // As long as a real one.
            request_body: format!("{:<400}", format!("{{\"out_trade_no\":\"{out_trade_no}\"}}")),
            is_queued: false,
            out_trade_no,
            at: order.created_at,
            id,
        })
    }
}

fn next_look(payment: &payment::Model) -> job::ActiveModel {
    job::ActiveModel {
        id: NotSet,
        kind: Set(jobs::Kind::ConfirmPayment.name().to_owned()),
        subject: Set(payment.id.as_str().to_owned()),
        lane: Set(job::Lane::Background),
        due_at: Set(payment.created_at + Duration::from_secs(1800)),
        lease: Set(None),
        wanted_at: Set(None),
        runs: Set(3),
        unfinished: Set(0),
        failures: Set(0),
        last_error: Set(None),
        dead_at: Set(None),
        created_at: Set(payment.created_at),
    }
}
