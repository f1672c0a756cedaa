//! Every hot statement uses an index: SQLite says so itself (<https://sqlite.org/eqp.html>).

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};
use vigil_core::action::{ActionId, ActionStatus};
use vigil_core::episode::EpisodeId;
use vigil_core::store::{ActionFilter, AuditFilter, Due};
use vigil_core::target::Target;

use crate::{actions, audit, brakes, episodes, metrics, migrate, scopes};

async fn plan(connection: &mut SqliteConnection, statement: &str) -> String {
    let explained = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
    let rows = explained.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn every_hot_statement_uses_an_index() {
    let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
    migrate::migrate(&mut connection, std::path::Path::new(":memory:")).await.unwrap();
    let filter = |status, target: Option<&str>| ActionFilter {
        status,
        target: target.map(|name| Target::new(name).unwrap()),
        ..ActionFilter::default()
    };
    let pending = Some(ActionStatus::Pending);
    let of = |action, episode| AuditFilter { action, episode, ..AuditFilter::default() };
    let statements = [
        metrics::SNAPSHOT,
        metrics::SAMPLES,
        scopes::DUE,
        actions::LAST,
        actions::BUSY,
        brakes::BRAKED,
        actions::list_statement(&filter(None, None)),
        actions::list_statement(&filter(pending, None)),
        actions::list_statement(&filter(None, Some("web-1"))),
        actions::list_statement(&filter(pending, Some("web-1"))),
        actions::due_statement(Due::Delivery),
        actions::due_statement(Due::Verification),
        actions::due_statement(Due::Occupation),
        episodes::OPEN_ONE,
        episodes::OPEN_OF,
        audit::UNSEQUENCED,
        audit::NEWS,
        audit::list_statement(&of(None, None)),
        audit::list_statement(&of(Some(ActionId(1)), None)),
        audit::list_statement(&of(None, Some(EpisodeId(1)))),
    ];
    for statement in statements {
        let plan = plan(&mut connection, statement).await;
        println!("{plan}\n    {statement}");
        let scans = ["metrics", "actions", "episodes", "audit", "series_latest", "scopes", "brakes"]
            .map(|table| format!("SCAN {table}"));
        assert!(!scans.iter().any(|scan| plan.split("; ").any(|step| step == scan)), "{plan}: {statement}");
        let sorts = plan.contains("TEMP B-TREE FOR ORDER BY") && statement != metrics::SAMPLES;
        assert!(!sorts, "a page must not sort all: {plan}: {statement}");
    }
}
