//! Sessions under defaults of the server, the database or the role that Vigil could not work under.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;
use vigil_core::action::Change;
use vigil_core::clock::Timestamp;
use vigil_core::policy::Reason;
use vigil_core::store::{Actor, Admission, BrakeChange, BrakeScope, BrakeState, Guard, Scope, Store, StoreError};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, intent, metric, target};
use vigil_store_postgres::PostgresStore;

use crate::database::{Database, execute};

/// Waits until so many sessions wait for an advisory lock or a table.
async fn until_waiting(plain: &mut PgConnection, sessions: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE wait_event_type = 'Lock' AND datname = current_database() AND application_name = 'vigil'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *plain).await.unwrap() < sessions {
        assert!(Instant::now() < deadline, "{sessions} sessions wait");
        tokio::time::sleep(Duration::from_millis(5)).await; // the server sends no signal when a session waits
    }
}

/// A start and an admission that wait for a brake which is being set must see it once it is committed.
pub(crate) async fn a_start_waits_for_the_brake_and_is_refused(
    store: &PostgresStore,
    plain: &mut PgConnection,
    watching: &mut PgConnection,
) {
    let (tenant, actor) = (TenantId::default(), Actor::new("test"));
    let Admission::Admitted(action) = store.admit(intent("web-1"), &[]).await.unwrap() else { panic!("no guard") };
    let key = action.key();
    // The caller that sets the brake then has its lock, and waits to write it.
    execute(plain, "BEGIN; LOCK TABLE brakes IN SHARE MODE").await;
    let stop = BrakeChange { state: BrakeState::Stopped, scope: BrakeScope::Tenant, reason: None, until: None };
    let setting = store.set_brake(&tenant, stop, &actor);
    let starting = async {
        until_waiting(watching, 1).await;
        let start = Change::Start { lease: Duration::from_secs(30), deadline: Duration::from_secs(60), policy: None };
        tokio::join!(
            store.transition(&key, action.version, start, None, &actor),
            store.admit(intent("web-2"), &[Guard::Brake]),
            async {
                until_waiting(watching, 3).await;
                execute(plain, "COMMIT").await;
            }
        )
    };
    let (set, (started, admitted, ())) = tokio::join!(setting, starting);
    set.unwrap();
    assert!(matches!(started, Err(StoreError::Braked { until: None })), "{started:?}");
    assert_eq!(admitted.unwrap(), Admission::Blocked(Reason::Braked { until: None }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_works_under_hostile_defaults_of_the_database() {
    let hostile = [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "TimeZone = 'Asia/Kathmandu'",
        "standard_conforming_strings = off",
        "transform_null_equals = on",
        "plan_cache_mode = force_custom_plan",
        "DateStyle = 'SQL, DMY'",
        "bytea_output = 'escape'",
    ];
    let Some(database) = Database::create_with_defaults(&hostile).await else { return };
    let store = database.open().await;
    let at = store.now().await.unwrap();
    store.record_metrics(batch([metric("cpu", 95.0).on("web-1").late(at, at)])).await.unwrap();
    let scope = Scope { tenant: TenantId::default(), target: Some(target("web-1")) };
    let seen = store.snapshot(&scope, Timestamp::MIN).await.unwrap();
    let minute = Duration::from_secs(60);
    assert!(
        seen.len() == 1 && seen[0].at.since(at) < minute && at.since(seen[0].at) < minute,
        "whatever the time zone"
    );
    let Admission::Admitted(action) = store.admit(intent("web-1"), &[Guard::Brake]).await.unwrap() else { panic!() };
    let start = Change::Start { lease: Duration::from_secs(30), deadline: Duration::from_secs(60), policy: None };
    let running = store.transition(&action.key(), action.version, start, None, &Actor::new("test")).await.unwrap();
    assert_eq!(store.action(&action.key()).await.unwrap(), Some(running));
    store.prune(at, at).await.unwrap();
    assert!(!store.sequence_audit(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waited_for_a_brake_is_refused_whatever_the_default_isolation() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let default = format!("default_transaction_isolation = '{isolation}'");
        let Some(database) = Database::create_with_defaults(&[&default]).await else { return };
        let store = database.open().await;
        let (mut plain, mut watching) = (database.plain().await, database.plain().await);
        a_start_waits_for_the_brake_and_is_refused(&store, &mut plain, &mut watching).await;
    }
}
