//! PgBouncer in transaction mode: each transaction may run on another connection.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::time::timeout;
use vigil_core::store::{Actor, Admission, Expect, Followed, Guard, PolicySource, PolicyWrite, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, intent, metric, policy, target};
use vigil_store_postgres::{PostgresOptions, PostgresStore};

use crate::database::{Server, execute, skip};

struct Pooler {
    folder: TempDir,
}

impl Pooler {
    fn start(server: &Server) -> Option<Self> {
        if !std::path::Path::new("/usr/sbin/pgbouncer").exists() {
            skip("PgBouncer is not installed");
            return None;
        }
        let pooler = Self { folder: tempfile::Builder::new().prefix("vigil-pgb-").tempdir_in("/tmp").unwrap() };
        pooler.run(&["start", pooler.path(), server.folder().to_str().unwrap()]);
        Some(pooler)
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/servers/pgbouncer");
        let done = Command::new(script).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/bin").output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.run(&["remove", self.path()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_replicas_work_through_a_pooler_in_transaction_mode() {
    let Some(server) = Server::start() else { return };
    let Some(pooler) = Pooler::start(&server) else { return };
    let url = pooler.run(&["url", pooler.path()]);
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(PostgresStore::open(PostgresOptions::of_url(&url).unwrap()).await.unwrap()));
    }
    let mut working = tokio::task::JoinSet::new();
    for (number, store) in stores.iter().cycle().take(12).cloned().enumerate() {
        working.spawn(async move {
            let mut admitted = 0;
            for round in 0..10 {
                store.record_metrics(batch([metric("cpu", 1.0).on(&format!("web-{number}"))])).await.unwrap();
                let on = format!("web-{round}");
                let guard = Guard::Free { target: target(&on) };
                admitted +=
                    usize::from(matches!(store.admit(intent(&on), &[guard]).await.unwrap(), Admission::Admitted(_)));
                store.claim_scopes(Duration::from_secs(30), 5).await.unwrap();
            }
            admitted
        });
    }
    assert_eq!(working.join_all().await.iter().sum::<usize>(), 10, "one on each target");
    let seen = stores[1].generation(Followed::Policies).await.unwrap();
    let write = PolicyWrite::Put {
        spec: Arc::new(policy("p").build()),
        source: PolicySource::Api,
        enabled_override: None,
        expect: Expect::Any,
    };
    let written = stores[0].write_policies(&TenantId::default(), vec![write], &Actor::new("test")).await.unwrap();
    let told = timeout(Duration::from_secs(10), stores[1].watch(Followed::Policies, seen)).await;
    assert_eq!(told.expect("noticed by asking").unwrap(), written);
    let mut plain = server.url().parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    execute(&mut plain, "SELECT 1").await;
    let samples: i64 = sqlx::query_scalar("SELECT count(*) FROM metrics").fetch_one(&mut plain).await.unwrap();
    assert_eq!(samples, 120);
}
