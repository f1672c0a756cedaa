//! [`Cluster`]: several server processes over a PostgreSQL and a Redis of their own, which can be broken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use vigil_core::action::{ActionId, ActionKey};
use vigil_core::queue::Queue;
use vigil_core::tenant::TenantId;
use vigil_queue_redis::{RedisOptions, RedisQueue};
use vigil_tests::fake_remediator::FakeRemediator;
use vigil_tests::fault_proxy::FaultProxy;
pub(crate) use vigil_tests::private::{Private, can_be_started};

use crate::healing::SHORT;
use crate::process::{PATIENCE, Server, command, request};

/// One process of the cluster.
pub(crate) struct Member {
    pub(crate) name: String,
    roles: &'static str,
    environment: Vec<(String, String)>,
    database: String,
    redis: String,
    server: Option<Server>,
    /// Between this member and its servers.
    pub(crate) to_postgres: Option<FaultProxy>,
    pub(crate) to_redis: Option<FaultProxy>,
}

impl Member {
    pub(crate) fn address(&self) -> Option<String> {
        self.server.as_ref().map(|server| server.address.clone())
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
    }

    /// Starts it, again and again while its servers are away.
    pub(crate) async fn start(&mut self, folder: &Path, remediator: &str) {
        let deadline = Instant::now() + PATIENCE * 3;
        while self.server.is_none() {
            let mut command: Command = command(folder);
            command
                .args(["--port", "0", "--config", "short.yaml", "--role", self.roles, "--remediator-url", remediator])
                .env("DATABASE_URL", &self.database)
                .env("REDIS_URL", &self.redis)
                .envs(self.environment.iter().map(|(name, value)| (name, value)));
            match Server::try_run(command).await {
                Ok(server) => self.server = Some(server),
                Err(said) => {
                    assert!(Instant::now() < deadline, "{} never started: {said}", self.name);
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) folder: TempDir,
    pub(crate) postgres: Private,
    pub(crate) redis: Private,
    pub(crate) remediator: FakeRemediator,
    pub(crate) members: Vec<Member>,
}

impl Cluster {
    /// Servers and workers, all started.
    pub(crate) async fn start(servers: usize, workers: usize, through_proxies: bool, skew: &[(usize, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A network that swallows is found out within the spans of a test.
        let pool = if through_proxies { "pool: {statement_timeout_seconds: 1}\n" } else { "" };
        std::fs::write(folder.path().join("short.yaml"), format!("{SHORT}{pool}")).unwrap();
        let (postgres, redis) = (Private::start("postgres"), Private::start("redis"));
        let remediator = FakeRemediator::start().await;
        let mut members = Vec::new();
        for number in 0..servers + workers {
            let is_server = number < servers;
            let (mut database, mut queue) = (postgres.run("url"), redis.run("url"));
            let (mut to_postgres, mut to_redis) = (None, None);
            if through_proxies {
                to_postgres = Some(in_front_of(&mut database).await);
                to_redis = Some(in_front_of(&mut queue).await);
            }
            let mut environment =
                vec![("REMEDIATOR_SECRET".to_owned(), "a secret of the tests, long enough".to_owned())];
            let skewed = skew.iter().find(|(who, _)| *who == number).map(|(_, by)| faketime(by)).unwrap_or_default();
            members.push(Member {
                name: if is_server { format!("server-{number}") } else { format!("worker-{}", number - servers) },
                roles: if is_server { "api,runner" } else { "worker" },
                environment: {
                    environment.extend(skewed);
                    environment
                },
                database,
                redis: queue,
                server: None,
                to_postgres,
                to_redis,
            });
        }
        let mut cluster = Self { folder, postgres, redis, remediator, members };
        for number in 0..cluster.members.len() {
            cluster.revive(number).await;
        }
        cluster
    }

    pub(crate) async fn revive(&mut self, number: usize) {
        let (folder, remediator) = (self.folder.path(), self.remediator.url());
        self.members[number].start(folder, &remediator).await;
    }

    /// The addresses of the servers that are up.
    pub(crate) fn servers(&self) -> Vec<String> {
        self.members.iter().filter(|member| member.roles.contains("api")).filter_map(Member::address).collect()
    }

    /// A connection to the database that knows nothing of Vigil; waits until it is up.
    pub(crate) async fn database(&self) -> PgConnection {
        let options: PgConnectOptions = self.postgres.run("url").parse().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match options.connect().await {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < deadline, "the database is away: {error}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many actions are not at rest.
    pub(crate) async fn unsettled(&self) -> i64 {
        let open = "SELECT count(*) FROM actions WHERE managed AND (status IN ('pending', 'running') OR occupies)";
        sqlx::query_scalar(open).fetch_one(&mut self.database().await).await.unwrap()
    }

    /// Waits until every due action has a task again; answers how long that took.
    pub(crate) async fn until_the_backlog_is_whole(&self) -> Duration {
        let began = Instant::now();
        let queue = RedisQueue::new(&RedisOptions::of_url(&self.redis.run("url")).unwrap()).unwrap();
        let mut database = self.database().await;
        loop {
            let due = "SELECT id FROM actions WHERE managed AND status = 'pending' AND not_before <= now() LIMIT 5000";
            let due: Vec<i64> = sqlx::query_scalar(due).fetch_all(&mut database).await.unwrap();
            let keys: Vec<ActionKey> =
                due.iter().map(|id| ActionKey { tenant: TenantId::default(), id: ActionId(*id) }).collect();
            if queue.missing(&keys).await.is_ok_and(|missing| missing.is_empty()) {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "the backlog never became whole again");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Sends what goes to the server of a URL through a proxy.
async fn in_front_of(url: &mut String) -> FaultProxy {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (login, rest) = rest.split_once('@').map_or(("", rest), |(login, rest)| (login, rest));
    let (place, path) = rest.split_once('/').unwrap();
    let proxy = FaultProxy::start(place).await;
    let at = if login.is_empty() { String::new() } else { format!("{login}@") };
    *url = format!("{scheme}://{at}{}/{path}", proxy.address());
    proxy
}

/// Lets a process read a wrong clock; intervals stay right.
fn faketime(by: &str) -> Vec<(String, String)> {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(Path::new(library).exists(), "libfaketime is not installed");
    [("LD_PRELOAD", library), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// What the clients were answered 201 for.
#[derive(Default)]
pub(crate) struct Acknowledged {
    pub(crate) metrics: BTreeSet<i64>,
    pub(crate) actions: BTreeSet<i64>,
}

/// The invariants, from the database and from the remediator's own log.
pub(crate) async fn check(cluster: &Cluster, acknowledged: &Arc<Mutex<Acknowledged>>) {
    the_sandbox_writes_nothing(cluster).await;
    let mut database = cluster.database().await;
    let mut ids = async |statement: &str| -> BTreeSet<i64> {
        let rows = sqlx::query(AssertSqlSafe(statement.to_owned())).fetch_all(&mut database).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let metrics = ids("SELECT id FROM metrics").await;
    let actions = ids("SELECT id FROM actions").await;
    let (known_metrics, known_actions) = {
        let known = acknowledged.lock().unwrap();
        (known.metrics.clone(), known.actions.clone())
    };
    assert!(
        known_metrics.is_subset(&metrics),
        "V7: samples acknowledged and lost: {:?}",
        known_metrics.difference(&metrics)
    );
    assert!(
        known_actions.is_subset(&actions),
        "V7: actions acknowledged and lost: {:?}",
        known_actions.difference(&actions)
    );
    let open = ids("SELECT id FROM actions WHERE status IN ('pending', 'running') OR occupies").await;
    assert!(open.is_empty(), "V1: not at rest: {open:?}");
    let ended_twice =
        ids("SELECT action FROM audit WHERE kind LIKE 'action.%' AND detail->>'from' IN ('pending', 'running') \
         AND detail->>'to' IN ('completed', 'failed', 'cancelled') GROUP BY action HAVING count(*) > 1")
        .await;
    assert!(ended_twice.is_empty(), "V4: ended more than once: {ended_twice:?}");

    let effects = cluster.remediator.effects();
    let twice: BTreeMap<_, _> = effects.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "V2: effects are unique per key: {twice:?}");
    let done: BTreeSet<i64> = effects.keys().map(|key| key.split('-').nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(done.len(), effects.len(), "V2: one key for all attempts of an action");
    let completed = ids("SELECT id FROM actions WHERE managed AND status = 'completed'").await;
    assert!(completed.is_subset(&done), "completed without an effect: {:?}", completed.difference(&done));
    let overlaps: BTreeMap<_, _> =
        cluster.remediator.most_in_flight().into_iter().filter(|(_, most)| *most > 1).collect();
    assert!(overlaps.is_empty(), "V3: two in flight on one target: {overlaps:?}");
    let gaps = ids(
        "SELECT seq FROM audit WHERE seq > 1 AND NOT EXISTS (SELECT 1 FROM audit AS b WHERE b.seq = audit.seq - 1)",
    )
    .await;
    assert!(gaps.is_empty(), "the audit has gaps before {gaps:?}");
    let by_status: Vec<(String, i64)> = sqlx::query_as("SELECT status, count(*) FROM actions GROUP BY 1 ORDER BY 1")
        .fetch_all(&mut database)
        .await
        .unwrap();
    println!(
        "replicas: acknowledged {} samples and {} actions; stored {} and {}, of these {by_status:?}; {} effects, each once",
        known_metrics.len(),
        known_actions.len(),
        metrics.len(),
        actions.len(),
        effects.len()
    );
}

async fn the_sandbox_writes_nothing(cluster: &Cluster) {
    let mut database = cluster.database().await;
    let written =
        "SELECT (SELECT count(*) FROM actions), (SELECT count(*) FROM episodes), (SELECT count(*) FROM metrics)";
    let before: (i64, i64, i64) = sqlx::query_as(written).fetch_one(&mut database).await.unwrap();
    for address in cluster.servers() {
        let tried = json!({"metrics": {"cpu": 99}, "target": "web-1"});
        let answer = request(&address, "POST", "/api/v1/policies/evaluate", &[], Some(&tried)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let after: (i64, i64, i64) = sqlx::query_as(written).fetch_one(&mut database).await.unwrap();
    assert_eq!(after, before, "V5: the sandbox writes nothing");
}
