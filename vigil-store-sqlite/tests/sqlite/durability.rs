//! What was answered `Ok` is there after SIGKILL: this test runs itself as a child process and kills it.
#![allow(clippy::disallowed_methods)] // the child is told by its environment

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Row};
use vigil_core::store::Store;
use vigil_core::testing::{batch, metric};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

const FILE: &str = "VIGIL_TEST_DURABILITY_FILE";
/// How many ids the parent reads before it kills.
const ROUNDS: [usize; 3] = [1, 40, 400];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_kill() {
    if let Ok(path) = std::env::var(FILE) {
        return write_for_ever(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vigil.db");
    let mut acknowledged = BTreeSet::new();
    for ids in ROUNDS {
        acknowledged.extend(write_and_kill(&path, ids));
    }
    SqliteStore::open(SqliteOptions::file(&path)).await.unwrap().close().await;
    let mut plain = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let rows: Vec<SqliteRow> = sqlx::query("SELECT id FROM metrics").fetch_all(&mut plain).await.unwrap();
    let stored: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty() && acknowledged.len() >= ROUNDS.iter().sum(), "lost: {lost:?}");
}

/// Eight callers at a time; every id is printed after it was acknowledged.
async fn write_for_ever(path: &Path) {
    let store = SqliteStore::open(SqliteOptions::file(path)).await.unwrap();
    loop {
        let callers = (0..8).map(|n| store.record_metrics(batch([metric("cpu", f64::from(n)).on("web-1")])));
        let mut out = std::io::stdout().lock();
        for recorded in futures_util::future::join_all(callers).await {
            // The parent may be gone.
            if writeln!(out, "id {}", recorded.unwrap().ids[0].0).is_err() {
                return;
            }
        }
    }
}

fn write_and_kill(path: &Path, ids: usize) -> Vec<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::what_was_acknowledged_is_there_after_a_kill", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let read = |line: String| line.split("id ").nth(1).and_then(|id| id.parse().ok());
    let mut lines = lines.filter_map(read);
    let mut acknowledged: Vec<i64> = lines.by_ref().take(ids).collect();
    child.kill().unwrap();
    acknowledged.extend(lines);
    child.wait().unwrap();
    acknowledged
}
