//! Which commits wait for the disk: all, but what a policy admits, of which nothing is done before a start that does.

use std::time::Duration;

use sqlx::Row;
use vigil_core::action::Change;
use vigil_core::store::{ActionIntent, Actor, Admission, Idempotency, Store};
use vigil_core::testing::{intent, policy_name};
use vigil_store_postgres::PostgresStore;

use crate::database::{Database, execute};

/// Writes down under which setting the actions were changed.
const WATCH: &str = "
    CREATE TABLE seen (id BIGINT GENERATED ALWAYS AS IDENTITY, what TEXT, setting TEXT);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen (what, setting) VALUES (NEW.status, current_setting('synchronous_commit'));
        RETURN NEW;
    END $$;
    CREATE TRIGGER watch AFTER INSERT OR UPDATE ON actions FOR EACH ROW EXECUTE FUNCTION see()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_policy_admits_may_reach_the_disk_later_and_not_later_than_its_start() {
    let Some(database) = Database::create().await else { return };
    let store = PostgresStore::open(database.options()).await.unwrap();
    let mut plain = database.plain().await;
    execute(&mut plain, WATCH).await;
    let by_policy = ActionIntent { policy: Some((policy_name("p"), 1)), ..intent("web-1") };
    let key = Idempotency { key: "k".to_owned(), fingerprint: "f".to_owned() };
    let keyed = ActionIntent { idempotency: Some(key), ..by_policy.clone() };
    let mut admitted = Vec::new();
    for intent in [by_policy, keyed, intent("web-2")] {
        let Admission::Admitted(action) = store.admit(intent, &[]).await.unwrap() else { panic!("no guard") };
        admitted.push(action);
    }
    let action = &admitted[0];
    let start = Change::Start { lease: Duration::from_secs(30), deadline: Duration::from_secs(60), policy: None };
    store.transition(&action.key(), action.version, start, None, &Actor::new("test")).await.unwrap();
    let seen = sqlx::query("SELECT what, setting FROM seen ORDER BY id").fetch_all(&mut plain).await.unwrap();
    let seen: Vec<(String, String)> = seen.iter().map(|row| (row.get(0), row.get(1))).collect();
    let told: Vec<(&str, &str)> = seen.iter().map(|(what, setting)| (what.as_str(), setting.as_str())).collect();
    assert_eq!(told, [("pending", "off"), ("pending", "on"), ("pending", "on"), ("running", "on")]);
}
