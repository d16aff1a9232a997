//! What follows from a fact, when the order or the payment was not where one would expect it.

use entity::{
    CNY, Clock, Db, Fen, ManualClock, OrderId, PaymentId, Timestamp,
    money_entry::Kind as Money,
    payment::{Method, Status},
};
use sea_orm::PaginatorTrait;

use super::*;

/// An order that is `order`, with a payment that is `payment`.
pub(crate) async fn given(db: &Db, order: order::Status, payment: Status) -> Pair {
    let now = db.now().await.unwrap();
    let order = order::Model {
        id: OrderId::generate(),
        merchant: "teahouse".to_owned(),
        merchant_order_no: OrderId::generate().to_string(),
        amount: Fen(100),
        currency: CNY.to_owned(),
        description: "茶".to_owned(),
        attach: None,
        return_url: None,
        metadata: None,
        status: order,
        expires_in: 7200,
        expires_at: now,
        created_at: now,
        close_asked_at: None,
        paid_at: order.is_paid().then_some(now),
        closed_at: (order == order::Status::Closed).then_some(now),
        refunded: Fen(0),
        event_seq: 0,
        told_seq: 0,
    };
    let id = PaymentId::generate();
    let is_paid = payment == Status::Succeeded;
    let payment = payment::Model {
        status: payment,
        transaction_id: is_paid.then(|| id.to_string()),
        succeeded_at: is_paid.then_some(now),
        ..payment::Model::from(payment::Opened {
            order_id: order.id.clone(),
            merchant: "teahouse".to_owned(),
            mchid: "1900000001".to_owned(),
            out_trade_no: id.out_trade_no(""),
            method: Method::Native,
            app_id: "wx1".to_owned(),
            openid: None,
            amount: Fen(100),
            request_body: "{}".to_owned(),
            is_queued: false,
            at: now,
            id,
        })
    };
    let rows = (order.clone().into_active_model(), payment.clone().into_active_model());
    db.write(async |txn| {
        order::Entity::insert(rows.0).exec_without_returning(txn).await?;
        payment::Entity::insert(rows.1).exec_without_returning(txn).await
    })
    .await
    .unwrap();
    Pair { order, payment }
}

fn paid(transaction_id: &str) -> Fact {
    Fact::PaymentSucceeded(Paid {
        transaction_id: transaction_id.to_owned(),
        payer_total: Some(Fen(90)),
        bank_type: None,
        succeeded_at: Timestamp(7000),
    })
}

async fn take(db: &Db, pair: &Pair, fact: &Fact) -> Result<Moved, DbErr> {
    db.write(async |txn| {
        let mut pair = load(txn, &pair.payment).await?;
        apply(txn, &mut pair, fact, Source::Query).await
    })
    .await
}

async fn books(db: &Db, pair: &Pair) -> Vec<(Money, String, Fen)> {
    let of_order = money_entry::Column::OrderId.eq(pair.order.id.clone());
    let entries = money_entry::Entity::find().filter(of_order).all(db.reader()).await.unwrap();
    entries.into_iter().map(|entry| (entry.kind, entry.reference, entry.amount)).collect()
}

pub(crate) async fn now(db: &Db, pair: &Pair) -> Pair {
    db.write(async |txn| load(txn, &pair.payment).await).await.unwrap()
}

async fn each() -> Vec<(Db, testkit::TestDatabase)> {
    let mut all = Vec::new();
    for database in testkit::databases().await {
        let clock = Clock::Manual(ManualClock::at(Timestamp(9000)));
        all.push((database.open(clock).await, database));
    }
    all
}

#[tokio::test]
async fn late_money_pays_an_order_that_was_closed_and_says_so() {
    for (db, _database) in each().await {
        for (order, payment) in
            [(order::Status::Closed, Status::Closed), (order::Status::Closing, Status::Closing)]
        {
            let pair = given(&db, order, payment).await;
            let reference = pair.order.id.to_string();
            assert_eq!(take(&db, &pair, &paid(&reference)).await.unwrap(), Moved::To(Status::Succeeded));
            let after = now(&db, &pair).await;
            assert_eq!(
                (after.order.status, after.order.paid_at),
                (order::Status::Paid, Some(Timestamp(7000)))
            );
            assert_eq!(books(&db, &pair).await, [(Money::Payment, reference, Fen(100))]);
            let events = order_event::Entity::find()
                .filter(order_event::Column::OrderId.eq(pair.order.id.clone()))
                .all(db.reader())
                .await
                .unwrap();
            assert!(events[0].detail.as_ref().unwrap().contains("\"late\":true"), "{events:?}");
        }
    }
}

#[tokio::test]
async fn money_for_an_order_that_is_paid_is_surplus() {
    for (db, _database) in each().await {
        let pair = given(&db, order::Status::Paid, Status::Closed).await;
        let reference = pair.order.id.to_string();
        take(&db, &pair, &paid(&reference)).await.unwrap();
        let after = now(&db, &pair).await;
        assert_eq!((after.order.status, after.payment.surplus), (order::Status::Paid, true));
        assert_eq!(after.order.paid_at, pair.order.paid_at, "it was paid when it was paid");
        assert_eq!(books(&db, &pair).await, [(Money::Surplus, reference, Fen(100))]);
    }
}

#[tokio::test]
async fn a_fact_twice_is_a_fact_once() {
    for (db, _database) in each().await {
        let pair = given(&db, order::Status::Pending, Status::AwaitingPayment).await;
        let reference = pair.order.id.to_string();
        assert_eq!(take(&db, &pair, &paid(&reference)).await.unwrap(), Moved::To(Status::Succeeded));
        assert_eq!(take(&db, &pair, &paid(&reference)).await.unwrap(), Moved::Unchanged);
        for overtaken in [Fact::FoundUnpaid, Fact::OutcomeLost, Fact::CloseConfirmed] {
            assert_eq!(take(&db, &pair, &overtaken).await.unwrap(), Moved::Unchanged, "{overtaken:?}");
        }
        assert!(matches!(take(&db, &pair, &Fact::NeverExisted).await.unwrap(), Moved::Refused(_)));
        let after = now(&db, &pair).await;
        assert_eq!((after.order.event_seq, after.payment.payer_total), (1, Some(Fen(90))));
        assert_eq!(books(&db, &pair).await.len(), 1);
    }
}

/// The row that was loaded is not the row that is there: nothing of the change is kept.
#[tokio::test]
async fn of_two_who_loaded_the_same_only_one_writes() {
    for (db, _database) in each().await {
        let mut pair = given(&db, order::Status::Pending, Status::AwaitingPayment).await;
        let reference = pair.order.id.to_string();
        take(&db, &pair, &paid(&reference)).await.unwrap();
        // `pair` is stale by now; without loading it again the gate must notice.
        let stale =
            db.write(async |txn| apply(txn, &mut pair, &Fact::CloseConfirmed, Source::Query).await).await;
        assert!(matches!(stale, Err(DbErr::RecordNotUpdated)), "{stale:?}");
        assert_eq!(now(&db, &pair).await.payment.status, Status::Succeeded);
        assert_eq!(order_event::Entity::find().count(db.reader()).await.unwrap(), 1);
    }
}
