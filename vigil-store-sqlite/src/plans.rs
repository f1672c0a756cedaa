//! Every hot statement uses an index: SQLite says so itself (<https://sqlite.org/eqp.html>).

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};
use vigil_core::action::{ActionId, ActionStatus};
use vigil_core::clock::Timestamp;
use vigil_core::episode::EpisodeId;
use vigil_core::metric::{MetricName, Tags};
use vigil_core::policy::PolicyName;
use vigil_core::store::{ActionFilter, Aggregate, AuditFilter, Due, RangeQuery, SeriesFilter};
use vigil_core::target::Target;

use crate::{actions, audit, brakes, episodes, metrics, migrate, scopes, series};

async fn plan(connection: &mut SqliteConnection, statement: &str) -> String {
    let explained = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
    let rows = explained.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("; ")
}

fn range(target: Option<Target>, aggregate: Aggregate) -> String {
    series::points_statement(&RangeQuery {
        metric: MetricName::new("cpu").unwrap(),
        target,
        tags: Tags::new([("zone", "eu-1")]).unwrap(),
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        step: std::time::Duration::from_secs(60),
        aggregate,
        max_points: 11_000,
    })
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
    let named = |filter: AuditFilter| audit::list_statement(&filter);
    let (p, web) = (PolicyName::new("p").ok(), Target::new("web-1").ok());
    let series = |filter: SeriesFilter| series::list_statement(&filter);
    let prefix = Some("cpu".to_owned());
    let statements: Vec<String> = [
        metrics::SNAPSHOT,
        scopes::DUE,
        actions::LAST,
        actions::BUSY,
        actions::SETTLED,
        actions::RATE,
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
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        metrics::samples_statement(),
        named(of(None, None)),
        named(of(Some(ActionId(1)), None)),
        named(of(None, Some(EpisodeId(1)))),
        named(AuditFilter { policy: p, ..AuditFilter::default() }),
        named(AuditFilter { target: web.clone(), ..AuditFilter::default() }),
        named(AuditFilter { kind: Some("brake.stopped".to_owned()), ..AuditFilter::default() }),
        named(AuditFilter { since: Some(Timestamp::MIN), ..AuditFilter::default() }),
        series(SeriesFilter::default()),
        series(SeriesFilter { target: web.clone(), ..SeriesFilter::default() }),
        series(SeriesFilter { prefix, ..SeriesFilter::default() }),
        range(None, Aggregate::Avg),
        range(None, Aggregate::Last),
        range(web.clone(), Aggregate::Avg),
        range(web, Aggregate::Last),
    ])
    .collect();
    for statement in &statements {
        let plan = plan(&mut connection, statement).await;
        println!("{plan}\n    {statement}");
        let scans = ["m", "c", "metrics", "actions", "episodes", "audit", "series_latest", "scopes", "brakes"]
            .map(|table| format!("SCAN {table}"));
        assert!(!scans.iter().any(|scan| plan.split("; ").any(|step| step == scan)), "{plan}: {statement}");
        let sorts = plan.contains("TEMP B-TREE FOR ORDER BY") && *statement != metrics::samples_statement();
        assert!(!sorts, "a page must not sort all: {plan}: {statement}");
    }
}
