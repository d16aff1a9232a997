//! Creates that nobody would know of, when the payment is being closed meanwhile. Found by the model
//! in `tests/model`: WeChat Pay's "no such payment" would have counted although one was on its way.

use std::collections::HashMap;

use entity::{Clock, Db, ManualClock, payment};
use jobs::LEASE;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use testkit::TestDatabase;

use super::*;
use crate::transition::tests::{given, now};

struct Bench {
    context: Context,
    clock: ManualClock,
    pair: transition::Pair,
    _database: TestDatabase,
}

impl Bench {
    /// A payment that is being closed, and its create was asked for.
    async fn each() -> Vec<Self> {
        let mut all = Vec::new();
        for database in testkit::databases().await {
            let clock = ManualClock::at(Timestamp(1_000_000));
            let db = database.open(Clock::Manual(clock.clone())).await;
            let pair = given(&db, order::Status::Closing, Status::Closing).await;
            let job = RequestPrepay { payment: pair.payment.id.clone() };
            db.write(async |txn| jobs::enqueue(txn, &job).await).await.unwrap();
            all.push(Self {
                context: Context::new(db, HashMap::new(), crate::webhooks::Sender::new().unwrap()),
                clock,
                pair,
                _database: database,
            });
        }
        all
    }

    fn db(&self) -> &Db {
        &self.context.db
    }

    async fn claim(&self) -> Run {
        let id = jobs::due(self.db(), entity::job::Lane::Interactive, 1).await.unwrap()[0].id;
        self.db().write(async |txn| jobs::claim(txn, id).await).await.unwrap().unwrap()
    }

    async fn run(&self, claimed: &Run) -> payment::Model {
        let job = RequestPrepay { payment: self.pair.payment.id.clone() };
        let Ok(_finished) = run(&self.context, claimed, &job).await else { panic!("the run is done") };
        now(self.db(), &self.pair).await.payment
    }
}

#[tokio::test]
async fn a_run_that_died_may_have_sent_the_create_of_what_is_closing_now() {
    for bench in Bench::each().await {
        drop(bench.claim().await);
        bench.clock.advance(LEASE);
        let payment = bench.run(&bench.claim().await).await;
        assert_eq!(payment.status, Status::Closing);
        assert_eq!(payment.create_signed_at, Some(bench.clock.now()));
    }
}

#[tokio::test]
async fn what_was_closing_before_the_first_run_was_never_sent() {
    for bench in Bench::each().await {
        let payment = bench.run(&bench.claim().await).await;
        assert_eq!((payment.status, payment.create_signed_at), (Status::Closing, None));
    }
}

#[tokio::test]
async fn a_prepay_that_comes_when_it_is_closing_unsays_that_there_is_none() {
    for bench in Bench::each().await {
        let claimed = bench.claim().await;
        let asked_before =
            payment::ActiveModel { not_found_at: Set(Some(Timestamp(900_000))), ..Default::default() };
        let this = payment::Column::Id.eq(bench.pair.payment.id.clone());
        let update = payment::Entity::update_many().set(asked_before).filter(this);
        bench.db().write(async |txn| update.exec(txn).await).await.unwrap();
        let prepay = Prepay {
            prepay_id: None,
            code_url: Some("weixin://wxpay/bizpayurl?pr=1".to_owned()),
            call_up: None,
            expires_at: Timestamp(9_000_000),
        };
        let Ok(_finished) = issued(&bench.context, &claimed, &bench.pair.payment, prepay).await else {
            panic!("the prepay is taken in")
        };
        let payment = now(bench.db(), &bench.pair).await.payment;
        assert_eq!((payment.status, payment.code_url), (Status::Closing, None));
        assert_eq!((payment.create_signed_at, payment.not_found_at), (Some(bench.clock.now()), None));
    }
}
