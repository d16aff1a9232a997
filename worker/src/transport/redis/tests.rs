//! Whatever becomes of Redis, the jobs are done: it is a window on the rows.

use std::collections::HashMap;

use entity::{Db, PaymentId, job};
use jobs::ConfirmPayment;
use sea_orm::{EntityTrait, PaginatorTrait};
use testkit::RedisServer;
use tokio::task::JoinSet;

use super::*;
use crate::{execution::Dispatch, pump, registry, transport::Memory, webhooks::Sender, worker::keep_working};

/// Nothing may take longer, whatever was broken.
const PATIENCE: Duration = Duration::from_secs(120);

const DONE: Dispatch =
    |_, context, run| async move { context.db.write(async |txn| run.done(txn).await).await }.boxed();

/// The background lanes of two workers, as in two processes, on one database and one Redis.
struct Processes {
    db: Db,
    redis: RedisServer,
    in_each: Vec<Arc<Redis>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _database: testkit::TestDatabase,
}

/// What a lane has beside Redis.
enum Beside {
    Nothing,
    Memory,
}

impl Processes {
    async fn start(beside: Beside) -> Self {
        // Postgres, where this run has one: that is what many processes work on.
        let database = testkit::databases().await.pop().unwrap();
        let redis = RedisServer::start();
        let at = RedisAt { client: Client::open(redis.url()).unwrap(), prefix: "everpaid".to_owned() };
        let db = database.open(Clock::System).await;
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let mut in_each = Vec::new();
        for _ in 0..2 {
            let context = crate::Context::new(db.clone(), HashMap::new(), Sender::new().unwrap());
            let engine = Arc::new(Engine::new(context, Lane::Background, DONE));
            let in_redis = Redis::new(&at, Lane::Background, registry::WINDOW, Clock::System).unwrap();
            let in_redis = Arc::new(in_redis);
            tasks.spawn(in_redis.clone().keep_measuring(stop.clone()));
            in_each.push(in_redis.clone());
            let mut queues: Vec<Arc<dyn Transport>> = vec![in_redis];
            if matches!(beside, Beside::Memory) {
                queues.push(Arc::new(Memory::new(registry::WINDOW)));
            }
            for queue in &queues {
                tasks.spawn(keep_working(engine.clone(), queue.clone(), stop.clone()));
            }
            tasks.spawn(pump::run(engine, queues.into(), stop.clone()));
        }
        Self { stop, tasks, redis, in_each, db, _database: database }
    }

    async fn ask_for(&self, count: usize) {
        let jobs: Vec<_> = (0..count).map(|_| ConfirmPayment { payment: PaymentId::generate() }).collect();
        for jobs in jobs.chunks(500) {
            self.db.write(async |txn| jobs::enqueue_all(txn, jobs).await).await.unwrap();
        }
    }

    /// Waits until every job is done, and says how long that took and how long Redis' queue ever was.
    async fn all_are_done(&self) -> (Duration, usize) {
        let begun = Instant::now();
        let mut longest = 0;
        while job::Entity::find().count(self.db.reader()).await.unwrap() > 0 {
            assert!(begun.elapsed() < PATIENCE, "jobs are left");
            tokio::time::sleep(Duration::from_millis(5)).await;
            if self.redis.is_awake() {
                longest = longest.max(self.queue());
            }
        }
        (begun.elapsed(), longest)
    }

    /// How much waits in Redis.
    fn queue(&self) -> usize {
        let scheduled: usize = self.redis.say(&["ZCARD", "everpaid:background:scheduled"]).parse().unwrap();
        let active: usize = self.redis.say(&["LLEN", "everpaid:background:active"]).parse().unwrap();
        scheduled + active
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_alone_carries_all_jobs() {
    let processes = Processes::start(Beside::Nothing).await;
    processes.ask_for(1000).await;
    let (lasted, longest) = processes.all_are_done().await;
    println!("1,000 jobs by two workers over Redis in {lasted:?}; at most {longest} waited there");
    // What apalis-redis remembers of each is swept away.
    let begun = Instant::now();
    while processes.redis.say(&["HLEN", "everpaid:background:data"]) != "0" {
        assert!(begun.elapsed() < PATIENCE, "it is not swept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_flush_a_redis_that_is_emptied_loses_nothing() {
    let processes = Processes::start(Beside::Nothing).await;
    let mut worst = Duration::ZERO;
    for _ in 0..testkit::size(3, 20) {
        processes.ask_for(200).await;
        processes.redis.say(&["FLUSHALL"]);
        worst = worst.max(processes.all_are_done().await.0);
    }
    println!("R-FLUSH: lost 0; the slowest 200 jobs took {worst:?}");
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_pause_work_goes_on_without_redis() {
    let mut processes = Processes::start(Beside::Memory).await;
    processes.ask_for(200).await;
    processes.all_are_done().await;

    processes.redis.freeze();
    processes.ask_for(200).await;
    let (frozen, _) = processes.all_are_done().await;
    processes.redis.thaw();

    processes.redis.kill();
    processes.ask_for(200).await;
    let (dead, _) = processes.all_are_done().await;
    processes.redis.start_again();

    // It takes nothing more in, and throws nothing away.
    processes.redis.say(&["CONFIG", "SET", "maxmemory", "1"]);
    processes.ask_for(200).await;
    let (full, _) = processes.all_are_done().await;
    processes.redis.say(&["CONFIG", "SET", "maxmemory", "0"]);
    processes.ask_for(200).await;
    let (again, _) = processes.all_are_done().await;
    println!(
        "R-PAUSE: lost 0; 200 jobs took {frozen:?} frozen, {dead:?} dead, {full:?} full, {again:?} again"
    );
    processes.stop().await;
}

/// It still answers questions, so that whoever only asks would offer it every job in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_full_is_not_there_until_it_takes_writes_again() {
    let processes = Processes::start(Beside::Memory).await;
    let are = async |there: bool| {
        let begun = Instant::now();
        while processes.in_each.iter().any(|queue| queue.is_there() != there) {
            assert!(begun.elapsed() < PATIENCE, "there: {there}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    are(true).await;
    processes.redis.say(&["CONFIG", "SET", "maxmemory", "1"]);
    are(false).await;
    for _ in 0..20 {
        assert!(processes.in_each[0].measure().await.is_err());
        assert!(!processes.in_each[0].is_there());
    }
    processes.redis.say(&["CONFIG", "SET", "maxmemory", "0"]);
    are(true).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_backlog_the_queue_in_redis_stays_short() {
    let processes = Processes::start(Beside::Memory).await;
    let count = testkit::size(4000, 100_000);
    processes.ask_for(count).await;
    let (lasted, longest) = processes.all_are_done().await;
    println!("R-BACKLOG: {count} due jobs drained in {lasted:?}; at most {longest} waited in Redis");
    assert!(longest < TOO_MANY, "{longest}");
    processes.stop().await;
}

/// Above some eight thousand due tasks apalis-redis' own Lua fails, for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_too_long_for_apalis_is_emptied() {
    let processes = Processes::start(Beside::Nothing).await;
    let fill = "for id = 1, 9000 do redis.call('zadd', 'everpaid:background:scheduled', 0, 'x' .. id) end";
    processes.redis.say(&["EVAL", fill, "0"]);
    processes.ask_for(200).await;
    let (lasted, _) = processes.all_are_done().await;
    println!("200 jobs behind 9,000 of somebody else's: {lasted:?}");
    processes.stop().await;
}
