//! Every hot statement uses an index, or one partition: PostgreSQL says so itself, of the plan it uses for every parameter
//! (<https://www.postgresql.org/docs/current/sql-explain.html>). `VIGIL_EXPLAIN_ROWS` makes it do so over so many samples, and
//! a tenth as many actions, and print what `docs/storage.md` shows.
#![allow(clippy::disallowed_methods)] // the tests are told by the environment where the server is

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use vigil_core::action::{ActionId, ActionStatus};
use vigil_core::clock::Timestamp;
use vigil_core::episode::EpisodeId;
use vigil_core::metric::{MetricName, Tags};
use vigil_core::policy::PolicyName;
use vigil_core::store::{ActionFilter, Aggregate, AuditFilter, Due, RangeQuery, SeriesFilter};
use vigil_core::target::Target;

use crate::{
    PostgresOptions, PostgresStore, actions, admission, audit, episodes, idempotency, keys, metrics, scopes, series,
};

/// A statement under the name of what it is for, with something to bind to each of its parameters.
struct Hot {
    name: &'static str,
    statement: String,
    values: &'static str,
}

fn hot() -> Vec<Hot> {
    let filter = |status, target: Option<&str>| ActionFilter {
        status,
        target: target.map(|name| Target::new(name).unwrap()),
        ..ActionFilter::default()
    };
    let pending = Some(ActionStatus::Pending);
    let of = |action, episode| AuditFilter { action, episode, ..AuditFilter::default() };
    fn hot(name: &'static str, statement: impl Into<String>, values: &'static str) -> Hot {
        Hot { name, statement: statement.into(), values }
    }
    let (p, web) = (PolicyName::new("p-7").ok(), Target::new("web-7").ok());
    let series = |filter: SeriesFilter| series::list_statement(&filter);
    let audited = |filter: AuditFilter| audit::list_statement(&filter);
    vec![
        hot("snapshot of a target", metrics::SNAPSHOT, "'default', 'web-7', now() - interval '5 minutes'"),
        hot(
            "samples of a target (`for`)",
            metrics::SAMPLES,
            "'default', 'web-7', ARRAY['cpu'], now() - interval '10 minutes', 10000",
        ),
        hot("series of a tenant", metrics::COUNT_SERIES, "'default', 1000"),
        hot("scopes due to be judged", scopes::CLAIM, "NULL, 30000000, 100"),
        hot("how things stand", actions::STANDING, "'default', 'p-7', 'web-7', NULL, NULL"),
        hot("how things stand with a limited tenant", actions::STANDING, "'default', 'p-7', 'web-7', NULL, 60"),
        hot(
            "facts for the guards",
            admission::FACTS,
            "'default', 'p-7', 'web-7', NULL, 'p-7', 'web-7', 7, NULL, true, 1",
        ),
        hot(
            "facts for a limited tenant",
            admission::FACTS,
            "'default', 'p-7', 'web-7', NULL, 'p-7', 'web-7', 7, 60, false, NULL",
        ),
        hot("one action", actions::FIND, "7, 'default', NULL"),
        hot(
            "actions, newest first",
            actions::list_statement(&filter(None, None)),
            "'default', 'infinity', 9000000000, 50",
        ),
        hot(
            "actions of a status",
            actions::list_statement(&filter(pending, None)),
            "'default', 'infinity', 9000000000, 50, 'pending'",
        ),
        hot(
            "actions on a target",
            actions::list_statement(&filter(None, Some("web-7"))),
            "'default', 'infinity', 9000000000, 50, 'web-7'",
        ),
        hot("due for delivery", actions::due_statement(Due::Delivery), "0, NULL, 500"),
        hot("due for verification", actions::due_statement(Due::Verification), "0, NULL, 100, 2000000"),
        hot("occupied past the deadline", actions::due_statement(Due::Occupation), "0, NULL, 500"),
        hot("the open episode", episodes::OPEN_ONE, "'default', 'p-7', 'web-7'"),
        hot("open episodes of a target", episodes::OPEN_OF, "'default', 'web-7'"),
        hot("audit without sequence", audit::SEQUENCE, "2000000000, 500"),
        hot("audit of all tenants", audit::NEWS, "7, 500"),
        hot("audit of a tenant", audit::list_statement(&of(None, None)), "'default', 7, 50"),
        hot("audit of an action", audit::list_statement(&of(Some(ActionId(1)), None)), "'default', 7, 50, 7"),
        hot("audit of an episode", audit::list_statement(&of(None, Some(EpisodeId(1)))), "'default', 7, 50, 7"),
        hot(
            "audit of a policy",
            audited(AuditFilter { policy: p, ..AuditFilter::default() }),
            "'default', 7, 50, 'p-7'",
        ),
        hot(
            "audit of a target",
            audited(AuditFilter { target: web.clone(), ..AuditFilter::default() }),
            "'default', 7, 50, 'web-7'",
        ),
        hot(
            "audit of a rare kind",
            audited(AuditFilter { kind: Some("brake.stopped".to_owned()), ..AuditFilter::default() }),
            "'default', 7, 50, 'brake.stopped'",
        ),
        hot(
            "audit since a time",
            audited(AuditFilter { since: Some(Timestamp::MIN), ..AuditFilter::default() }),
            "'default', 7, 50, now() - interval '1 hour', now() - interval '61 minutes'",
        ),
        hot("series", series(SeriesFilter::default()), "'default', 100"),
        hot(
            "series of a target",
            series(SeriesFilter { target: web.clone(), ..SeriesFilter::default() }),
            "'default', 100, 'web-7'",
        ),
        hot(
            "series by prefix",
            series(SeriesFilter { prefix: Some("metric-1".to_owned()), ..SeriesFilter::default() }),
            "'default', 100, 'metric-1', 'metric-2'",
        ),
        hot(
            "range of a target",
            series::points_statement(&range(web)),
            "'default', 'cpu', now() - interval '1 hour', now(), 60000000, '{}', 'web-7', 11001",
        ),
        hot(
            "range of all targets",
            series::points_statement(&range(None)),
            "'default', 'cpu', now() - interval '1 hour', now(), 60000000, '{}', '', 11001",
        ),
        hot(
            "samples recorded",
            metrics::RECORD,
            "false, ARRAY[7000000000], ARRAY['default'], ARRAY['web-7'], ARRAY['cpu'], ARRAY[1], ARRAY['{}'], ARRAY['{}'], \
             ARRAY[now()], ARRAY[now()], ARRAY[0], ARRAY['\\x00'::bytea], NULL",
        ),
        hot(
            "an action admitted, and its episode moved on",
            admission::INSERT,
            "'default', now(), 'action.admitted', 'controller', 900000000, 7, 'p-7', 'web-7', NULL, '{}', 900000000, 'web-7', \
             'restart', 'pending', NULL, now(), 'warning', '{}', 'p-7', 1, 7, '{}', true, 1, 1, NULL, NULL, now(), now(), now(), \
             'firing', 2, 1, now(), 1",
        ),
        hot(
            "an action admitted with the episode that it opens",
            admission::INSERT_OPENING,
            "'default', now(), 'action.admitted', 'controller', 900000001, 900000001, 'p-7', 'web-8', NULL, '{}', 900000001, 'web-8', \
             'restart', 'pending', NULL, now(), 'warning', '{}', 'p-7', 1, 900000001, '{}', true, 1, 1, NULL, NULL, now(), now(), \
             now(), 'p-new', 'web-8', 'firing', 'warning', '{}', 2, now(), now(), now(), '[]', 1, now(), 'episode.opened', \
             'controller', NULL, '{}'",
        ),
        hot(
            "an action changed",
            actions::UPDATE,
            "'default', now(), 'action.completed', 'worker', 7, NULL, 'p-7', 'web-7', NULL, '{}', 'completed', NULL, 2, 1, 0, 0, \
             NULL, false, now(), now(), now(), now(), NULL, NULL, NULL, NULL, NULL, 7, 1, NULL",
        ),
        hot(
            "an attempt begun",
            actions::BEGIN,
            "'default', now(), 'action.started', 'worker', 7, NULL, 'p-7', 'web-7', NULL, '{}', 'running', NULL, 2, 1, 0, 0, \
             NULL, false, now(), now(), now(), now(), NULL, NULL, NULL, NULL, NULL, 7, 1, NULL, 1, 'p-7', 1",
        ),
        hot("a lease extended", actions::EXTEND_LEASE, "7, 'default', 1, NULL, 30000000"),
        hot("who occupies a target", actions::OCCUPANT, "7, 'default'"),
        hot(
            "an episode opened",
            episodes::OPEN,
            "'default', now(), 'episode.opened', 'controller', NULL, NULL, 'p-new', 'web-7', NULL, '{}', 'firing', 'warning', \
             '{}', 1, now(), NULL, now(), '[]', 0",
        ),
        hot(
            "an episode changed",
            episodes::UPDATE,
            "'firing', '{}', 2, now(), now(), now(), NULL, NULL, NULL, '[]', 1, NULL, NULL, 7, 'default', 1",
        ),
        hot(
            "an episode changed, which is news",
            episodes::UPDATE_AUDITED,
            "'default', now(), 'episode.firing', 'controller', NULL, 7, 'p-7', 'web-7', NULL, '{}', \
             'firing', '{}', 2, now(), now(), now(), NULL, NULL, NULL, '[]', 1, NULL, NULL, 7, 'default', 1",
        ),
        hot("an idempotency key", idempotency::TAKE, "'default', 'actions', 'k', 'f', '{}', NULL, 86400000000"),
        hot("a generation", keys::GENERATION, "'key_generation'"),
    ]
}

fn range(target: Option<Target>) -> RangeQuery {
    RangeQuery {
        metric: MetricName::new("cpu").unwrap(),
        target,
        tags: Tags::default(),
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        step: Duration::from_secs(60),
        aggregate: Aggregate::Avg,
        max_points: 11_000,
    }
}

async fn execute(plain: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(plain).await.unwrap();
}

/// The generic plan of a statement, as it is run with these values; undone afterwards.
async fn explain(plain: &mut PgConnection, hot: &Hot) -> String {
    execute(plain, &format!("DEALLOCATE ALL; PREPARE hot AS {}", hot.statement)).await;
    let values = if hot.values.is_empty() { String::new() } else { format!("({})", hot.values) };
    let explain = format!("BEGIN; EXPLAIN (ANALYZE, COSTS OFF, BUFFERS) EXECUTE hot{values}; ROLLBACK");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(plain).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_hot_statement_uses_an_index_or_one_partition() {
    let Ok(server) = std::env::var("VIGIL_TEST_POSTGRES_URL") else {
        let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
        assert!(!required.split(',').any(|backend| backend == "postgres"), "PostgreSQL is required");
        return println!("skipped: VIGIL_TEST_POSTGRES_URL is not set");
    };
    let samples: u64 = std::env::var("VIGIL_EXPLAIN_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(60_000);
    let schema = format!("plans{}", std::process::id());
    let mut plain = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    execute(&mut plain, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")).await;
    let mut options = PostgresOptions::of_url(&format!("{server}?options[search_path]={schema}")).unwrap();
    options.statement_timeout = Duration::from_secs(600);
    PostgresStore::open(options).await.unwrap().close().await;
    execute(&mut plain, &format!("SET search_path = {schema}; SET statement_timeout = 0")).await;
    fill(&mut plain, samples).await;
    execute(&mut plain, "SET plan_cache_mode = force_generic_plan").await;
    println!("over {samples} samples of a day and {} actions\n", samples / 10);
    let today = "SELECT 'metrics_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM_DD')";
    let today: String = sqlx::query_scalar(today).fetch_one(&mut plain).await.unwrap();
    // As small as a table can be: a few rows in one page, or the partition of a day to come.
    let small = |line: &str| {
        let table = line.split("Seq Scan on ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        ["counters", "brakes"].contains(&table) || (table.starts_with("metrics_") && table > today.as_str())
    };
    for hot in hot() {
        let plan = explain(&mut plain, &hot).await;
        println!("### {}\n\n```text\n{plan}\n```\n", hot.name);
        let scans: Vec<&str> = plan
            .lines()
            .filter(|line| line.contains("Seq Scan on") && !line.contains("never executed") && !small(line))
            .collect();
        assert!(scans.is_empty(), "{}: {scans:?}", hot.name);
    }
    execute(&mut plain, &format!("DROP SCHEMA {schema} CASCADE")).await;
}

/// A day of samples of 1,000 targets, and 90 days of actions, a few of them open; a seventh of all is another tenant's.
async fn fill(plain: &mut PgConnection, samples: u64) {
    let actions = samples / 10;
    execute(
        plain,
        &format!(
            "INSERT INTO metrics (tenant, name, value, tags, target, series, created_at, at) \
             SELECT CASE n % 7 WHEN 3 THEN 'other' ELSE 'default' END, 'cpu', n % 100, '{{\"zone\": \"eu-1\"}}', 'web-' || n % 1000, '{{\"zone\": \"eu-1\"}}', t, t FROM \
               (SELECT n, greatest(now() - n * interval '86400 seconds' / {samples}, date_trunc('day', now()) - interval '23 hours') AS t \
                FROM generate_series(1, {samples}) AS n) AS r; \
             INSERT INTO series_latest (tenant, target, name, digest, series, value, at) \
             SELECT CASE n % 7 WHEN 3 THEN 'other' ELSE 'default' END, 'web-' || n % 1000, CASE WHEN n < 1000 THEN 'cpu' ELSE 'metric-' || n / 1000 END, decode(md5(n::text), 'hex'), '{{}}', 1, now() \
               FROM generate_series(1, 20000) AS n; \
             INSERT INTO episodes (tenant, policy, target, state, severity, condition, version, pending_since, known_at, evidence, actions, resolved_at) \
             SELECT CASE n % 7 WHEN 3 THEN 'other' ELSE 'default' END, 'p-' || n % 20, 'web-' || n % 1000, CASE WHEN n % 100 = 0 THEN 'firing' ELSE 'resolved' END, 'warning', '{{}}', 1, \
               now(), now(), '[]', 1, CASE WHEN n % 100 = 0 THEN NULL ELSE now() END FROM generate_series(1, {actions} / 10) AS n ON CONFLICT DO NOTHING; \
             INSERT INTO actions (tenant, target, action, status, policy, started_at, running_at, completed_at, verification, verify_after, occupies, deadline, managed) \
             SELECT CASE n % 7 WHEN 3 THEN 'other' ELSE 'default' END, 'web-' || n % 1000, 'restart', CASE WHEN n % 1000 = 1 THEN 'pending' ELSE 'completed' END, 'p-' || n % 20, \
               now() - n * interval '90 days' / {actions}, CASE WHEN n % 1000 = 1 THEN NULL ELSE now() END, \
               CASE WHEN n % 1000 = 1 THEN NULL ELSE now() END, \
               CASE WHEN n % 1000 = 2 THEN 'awaiting' ELSE 'verified' END, now(), n < 900 AND n % 3 = 0, now(), true \
               FROM generate_series(1, {actions}) AS n; \
             INSERT INTO audit (seq, tenant, at, kind, actor, action, episode, detail) \
             SELECT CASE WHEN n > {actions} - 200 THEN NULL ELSE n END, CASE n % 7 WHEN 3 THEN 'other' ELSE 'default' END, now(), 'action.started', 'worker', n, n / 10, '{{}}' \
               FROM generate_series(1, {actions}) AS n; \
             INSERT INTO scopes (tenant, target, due_at) \
             SELECT 'default', 'idle-' || n, now() + interval '1 hour' FROM generate_series(1, 50000) AS n; \
             INSERT INTO policies (tenant, name, spec, source, enabled, revision, updated_at) \
             SELECT tenant, 'p-' || n, '{{}}', '{{}}', true, n, now() \
               FROM generate_series(1, 1000) AS n, (VALUES ('default'), ('other')) AS tenants (tenant); \
             INSERT INTO idempotency (tenant, kind, key, fingerprint, answer, at) \
             SELECT 'default', 'actions', 'key-' || n, 'f', '{{}}', now() FROM generate_series(1, {actions} / 10) AS n; \
             ANALYZE metrics, series_latest, scopes, episodes, actions, audit, policies, idempotency, counters, brakes"
        ),
    )
    .await;
}
