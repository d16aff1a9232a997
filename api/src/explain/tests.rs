use entity::{Clock, Db, ManualClock, OrderId, PaymentId, payment::Method};
use sea_orm::{ActiveValue::Set, IntoActiveModel};

use super::*;

const NOON: Timestamp = Timestamp(1_763_784_000_000);
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

fn order(status: Status) -> order::Model {
    order::Model {
        id: OrderId::generate(),
        merchant: "teahouse".to_owned(),
        merchant_order_no: "T-1".to_owned(),
        amount: entity::Fen(3990),
        currency: "CNY".to_owned(),
        description: "一壶龙井".to_owned(),
        attach: None,
        return_url: None,
        metadata: None,
        status,
        expires_in: 7200,
        expires_at: NOON + 2 * HOUR,
        created_at: NOON,
        close_asked_at: None,
        paid_at: status.is_paid().then_some(NOON),
        closed_at: (status == Status::Closed).then_some(NOON),
        refunded: entity::Fen(0),
        event_seq: 0,
        told_seq: 0,
    }
}

fn payment(order: &order::Model, status: payment::Status) -> payment::Model {
    let id = PaymentId::generate();
    let opened = payment::Opened {
        out_trade_no: "PAYMENT0001".to_owned(),
        id,
        order_id: order.id.clone(),
        merchant: order.merchant.clone(),
        mchid: "1900000001".to_owned(),
        method: Method::MiniProgram,
        app_id: "wx0000000000000002".to_owned(),
        openid: Some("oOfAPayer".to_owned()),
        amount: order.amount,
        request_body: String::new(),
        is_queued: false,
        at: NOON,
    };
    payment::Model { status, ..opened.into() }
}

fn dossier(order: order::Model, payments: Vec<payment::Model>) -> Dossier {
    Dossier {
        order,
        payments,
        refunds: Vec::new(),
        shippings: Vec::new(),
        events: Vec::new(),
        notifications: Vec::new(),
        cases: Vec::new(),
        deliveries: Vec::new(),
        jobs: Vec::new(),
    }
}

fn job(kind: Kind, subject: &str) -> job::Model {
    job::Model {
        id: 7,
        kind: kind.name().to_owned(),
        subject: subject.to_owned(),
        lane: kind.lane(),
        due_at: NOON + HOUR,
        lease: None,
        wanted_at: None,
        runs: 1,
        unfinished: 0,
        failures: 0,
        last_error: Some("database: secret words".to_owned()),
        dead_at: None,
        created_at: NOON,
    }
}

fn english(sentences: &[Sentence]) -> String {
    sentences.iter().map(|sentence| sentence.en.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_outcome_that_is_not_known_is_said_to_be_so() {
    let order = order(Status::Pending);
    let payment = payment(&order, payment::Status::Unknown);
    let mut dossier = dossier(order, vec![payment]);
    dossier.jobs = vec![job(Kind::ConfirmPayment, "pay_1")];
    let explanation = dossier.explain(NOON);
    assert_eq!(
        english(&explanation.why),
        "Waiting for ¥39.90. No answer that counts came to the create call of payment PAYMENT0001: its \
         outcome is unknown and is settled by asking, never by trying under another number."
    );
    assert_eq!(explanation.next[0].at, NOON + HOUR);
    assert_eq!(explanation.next[0].says.en, "ask WeChat Pay about the payment");
    assert_eq!(explanation.next[0].says.zh, "向微信支付查单");
}

#[test]
fn what_failed_is_overdue_or_given_up_is_said_to_be_so_and_in_our_own_words() {
    let order = order(Status::Pending);
    let mut dossier = dossier(order, Vec::new());
    let failed = job::Model { failures: 3, ..job(Kind::CloseOrder, "ord_1") };
    let dead = job::Model { dead_at: Some(NOON), ..job(Kind::DeliverWebhook, "dlv_1") };
    let due = job::Model { due_at: NOON, ..job(Kind::PushStatus, "ord_1") };
    dossier.jobs = vec![failed, dead, due];
    let says: Vec<_> = dossier.explain(NOON + HOUR).next.into_iter().map(|next| next.says.en).collect();
    assert_eq!(
        says,
        [
            "close the order if it is not paid by then; it failed 3 times and is tried again",
            "tell the shop; given up, `everpaid jobs revive 7` tries again",
            "write down what the shop is to be told; due, and waiting for a worker",
        ]
    );
}

#[test]
fn an_order_that_nobody_sees_to_says_who_will() {
    let next = dossier(order(Status::Pending), Vec::new()).explain(NOON).next;
    assert!(next[0].says.en.contains("sweep_overdue"), "{next:?}");
    assert_eq!(dossier(order(Status::Paid), Vec::new()).explain(NOON).next, []);
}

/// Whatever happened, nobody reads who paid or what a library said.
#[test]
fn nothing_of_the_payer_is_told() {
    use sea_orm::Iterable;
    for status in Status::iter() {
        for of_payment in payment::Status::iter() {
            let order = order(status);
            let payment = payment(&order, of_payment);
            let mut dossier = dossier(order, vec![payment]);
            dossier.jobs = Kind::ALL.map(|kind| job(kind, "x")).to_vec();
            let text = serde_json::to_string(&dossier.explain(NOON)).unwrap();
            assert!(!text.contains("oOfAPayer") && !text.contains("secret"), "{text}");
        }
    }
}

#[tokio::test]
async fn an_order_is_found_by_any_of_its_numbers() {
    let db = testkit::sqlite().await;
    let clock = Clock::Manual(ManualClock::at(NOON));
    let db = Db::open(&entity::DbOptions::new(&db.url), clock).await.unwrap();
    let order = order(Status::Pending);
    let payment = payment(&order, payment::Status::Created);
    let written = db.write(async |txn| {
        order::Entity::insert(order.clone().into_active_model()).exec_without_returning(txn).await?;
        let mut row = payment.clone().into_active_model();
        row.request_body = Set("{}".to_owned());
        payment::Entity::insert(row).exec_without_returning(txn).await
    });
    written.await.unwrap();
    for number in [order.id.as_str(), "T-1", "PAYMENT0001"] {
        let found = Dossier::find(db.reader(), number).await.unwrap();
        assert_eq!(found.len(), 1, "{number}");
        assert_eq!(found[0].id, order.id);
    }
    assert!(Dossier::find(db.reader(), "nothing").await.unwrap().is_empty());
}
