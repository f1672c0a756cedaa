//! Tasks through a queue in Redis, by Vigil, by apalis-redis and by hand, on one private server in one run: sixteen producers put
//! tasks in one by one, sixteen workers take them out, claim and acknowledgement included.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::{BoxDynError, Data, TaskSink, WorkerBuilder, WorkerBuilderExt};
use apalis_redis::{Config, RedisStorage};
use deadpool_redis::redis::{self, AsyncConnectionConfig};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use vigil_core::action::ActionId;
use vigil_core::queue::Queue;
use vigil_core::task::Task;
use vigil_core::testing::{ManualClock, intent, task};
use vigil_queue_redis::{RedisOptions, RedisQueue};

const WORKERS: usize = 16;
const TASKS: usize = 16_000;

#[tokio::main]
async fn main() {
    let server = Server::start();
    println!("tasks/s, {WORKERS} producers and {WORKERS} workers, {} bytes a task", json(1).len());
    let mut runs: [Vec<f64>; 3] = Default::default();
    for round in 0..5 {
        for (place, rate) in
            [vigil(&server.url, round).await, apalis(&server.url, round).await, by_hand(&server.url).await]
                .into_iter()
                .enumerate()
        {
            runs[place].push(rate);
        }
    }
    let median = |rates: &Vec<f64>| {
        let mut rates = rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let [vigil, apalis, hand] = [0, 1, 2].map(|place| median(&runs[place]));
    println!("  vigil-queue-redis  {vigil:>8.0}   lease, retry, dead letters");
    println!("  apalis-redis 1.0   {apalis:>8.0}   vigil does {:.1} times as many", vigil / apalis);
    println!(
        "  LPUSH and BRPOP    {hand:>8.0}   no lease: what a worker took and lost is gone; vigil does {:.0} %",
        vigil / hand * 100.0
    );
}

fn task_of(number: i64) -> Task {
    task(&intent("web-1").into_action(ActionId(number), ManualClock::START), number.unsigned_abs())
}

fn json(number: i64) -> String {
    serde_json::to_string(&task_of(number)).expect("a task is JSON")
}

/// Runs producers, and answers tasks per second from the first put in to the last taken out.
async fn rate<F>(done: &AtomicU64, put: impl Fn(i64) -> F + Clone + Send + Sync + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    let (began, mut producers) = (Instant::now(), JoinSet::new());
    for producer in 0..WORKERS {
        let put = put.clone();
        producers.spawn(async move {
            for number in 0..TASKS / WORKERS {
                put((producer * TASKS + number) as i64 + 1).await;
            }
        });
    }
    producers.join_all().await;
    while done.load(Ordering::Relaxed) < TASKS as u64 {
        assert!(began.elapsed() < Duration::from_secs(120), "{done:?} of {TASKS} were done");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    TASKS as f64 / began.elapsed().as_secs_f64()
}

async fn vigil(url: &str, round: usize) -> f64 {
    let mut options = RedisOptions::of_url(url).expect("the URL is right");
    options.name = format!("vigil{round}");
    let queue = Arc::new(RedisQueue::new(&options).expect("the options are right"));
    let done = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (queue, done) = (queue.clone(), done.clone());
        workers.spawn(async move {
            loop {
                for claim in
                    queue.claim(Duration::from_secs(30), Duration::from_secs(5), 1).await.expect("Redis is there")
                {
                    queue.ack(&claim).await.expect("the lease is held");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    rate(&done, move |number| {
        let queue = queue.clone();
        async move { queue.enqueue(task_of(number), Duration::ZERO).await.expect("Redis is there") }
    })
    .await
}

/// The same payload, as a type of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Payload(Task);

async fn work(_: Payload, done: Data<Arc<AtomicU64>>) -> Result<(), BoxDynError> {
    done.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn apalis(url: &str, round: usize) -> f64 {
    let connection = apalis_redis::connect(url).await.expect("Redis is there");
    let config = Config::default().queue(format!("apalis{round}"));
    let storage: RedisStorage<Payload> = RedisStorage::new(connection).with_config(config);
    let done = Arc::new(AtomicU64::new(0));
    let worker = WorkerBuilder::new(format!("worker{round}"))
        .backend(storage.clone())
        .data(done.clone())
        .concurrency(WORKERS)
        .build(work);
    let running = tokio::spawn(async move { worker.run().await });
    let rate = rate(&done, move |number| {
        let mut storage = storage.clone();
        async move { storage.push(Payload(task_of(number))).await.expect("Redis is there") }
    })
    .await;
    running.abort();
    rate
}

async fn by_hand(url: &str) -> f64 {
    let client = redis::Client::open(url).expect("the URL is right");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let done = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let mut connection =
            client.get_multiplexed_async_connection_with_config(&config).await.expect("Redis is there");
        let done = done.clone();
        workers.spawn(async move {
            loop {
                let taken: Option<(String, String)> =
                    redis::cmd("BRPOP").arg("hand").arg(1).query_async(&mut connection).await.expect("Redis is there");
                if let Some((_, json)) = taken {
                    serde_json::from_str::<Task>(&json).expect("it is a task");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
    rate(&done, move |number| {
        let mut connection = connection.clone();
        async move {
            redis::cmd("LPUSH")
                .arg("hand")
                .arg(json(number))
                .query_async::<i64>(&mut connection)
                .await
                .expect("Redis is there");
        }
    })
    .await
}

/// A private Redis.
struct Server {
    folder: tempfile::TempDir,
    url: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("vigil-p-").tempdir_in("/tmp").expect("there is room");
        run("start", folder.path());
        let url = run("url", folder.path());
        Self { folder, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run("remove", self.folder.path());
    }
}

fn run(verb: &str, folder: &std::path::Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/servers/redis");
    let done = Command::new(script).arg(verb).arg(folder).env("VIGIL_REDIS_FSYNC", "everysec").output();
    let done = done.expect("the script is there");
    assert!(done.status.success(), "{verb}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}
