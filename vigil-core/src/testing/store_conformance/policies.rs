//! Policies: written all or none, one generation for all.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::StoreBench;
use super::bench::{DEADLINE, LEASE, SECOND, actor, by_policy, name, names, put, remove, start_under};
use crate::action::{ActionType, Change, Severity};
use crate::policy::{ConditionSpec, PolicyName};
use crate::store::{ActionIntent, Actor, Expect, Followed, PolicySource, PolicyWrite, StoreError, StoredPolicy};
use crate::tenant::TenantId;
use crate::testing::{policy, policy_name, tenant};

async fn stored(t: &StoreBench, tenant: &TenantId) -> Vec<StoredPolicy> {
    let mut policies = t.store().policies().await.unwrap().policies;
    policies.retain(|stored| stored.tenant == *tenant);
    policies.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    policies
}

async fn stored_names(t: &StoreBench) -> Vec<PolicyName> {
    stored(t, &TenantId::default()).await.into_iter().map(|stored| stored.spec.name).collect()
}

pub async fn a_policy_is_kept_with_every_field(t: &mut StoreBench) {
    let custom = ConditionSpec::Custom {
        kind: "disk_trend".to_owned(),
        fields: [("window".to_owned(), 5.5.into()), ("path".to_owned(), "/naïve ☃".into())].into_iter().collect(),
    };
    let below = ConditionSpec::Below { metric: name("mem ☃"), threshold: 0.1 + 0.2 };
    let mut full = policy("naïve ☃ 'quoted'")
        .on("web-{a,b}*")
        .auto()
        .severity(Severity::Critical)
        .action(ActionType::ScaleUp)
        .condition(ConditionSpec::All(vec![below, custom]))
        .cooldown(Duration::from_secs(61))
        .param("nested", serde_json::json!({"list": [1, null, "x"]}))
        .hold(Duration::from_millis(1500))
        .keep_firing(Duration::from_secs(90))
        .build();
    full.description = "why: naïve ☃".to_owned();
    let at = t.pass(SECOND);
    let write = PolicyWrite::Put {
        spec: Arc::new(full.clone()),
        source: PolicySource::File { path: "/etc/vigil/naïve.yaml".to_owned() },
        enabled_override: Some(false),
        expect: Expect::Absent,
    };
    let revision = t.write(vec![write]).await.unwrap();
    let wanted = StoredPolicy {
        tenant: TenantId::default(),
        spec: full,
        source: PolicySource::File { path: "/etc/vigil/naïve.yaml".to_owned() },
        enabled_override: Some(false),
        revision,
        updated_at: at,
    };
    assert_eq!(stored(t, &TenantId::default()).await, [wanted]);
}

pub async fn every_write_raises_the_generation_which_is_the_revision_of_what_it_wrote(t: &mut StoreBench) {
    let empty = t.store().policies().await.unwrap();
    assert_eq!(empty.policies, []);
    let first =
        t.write(vec![put(policy("a").build(), Expect::Any), put(policy("b").build(), Expect::Any)]).await.unwrap();
    assert!(first > empty.generation);
    let second = t.put(policy("b").exceeds("cpu", 95.0).build()).await;
    assert!(second > first);
    let revisions = async || stored(t, &TenantId::default()).await.iter().map(|p| p.revision).collect::<Vec<_>>();
    assert_eq!(revisions().await, [first, second]);
    let third = t.write(vec![remove("b", Expect::Any)]).await.unwrap();
    assert!(third > second, "a removal is a change");
    assert_eq!(revisions().await, [first]);
    assert_eq!(t.store().generation(Followed::Policies).await.unwrap(), third);
    assert_eq!(t.store().policies().await.unwrap().generation, third);
}

pub async fn a_revision_is_never_used_twice(t: &mut StoreBench) {
    let first = t.put(policy("a").build()).await;
    t.write(vec![remove("a", Expect::Any)]).await.unwrap();
    let second = t.put(policy("a").build()).await;
    assert_ne!(first, second);
}

pub async fn a_put_replaces_the_whole_policy(t: &mut StoreBench) {
    t.put(policy("a").auto().param("x", 1).build()).await;
    let at = t.pass(SECOND);
    let revision = t.put(policy("a").on("web-1").build()).await;
    let all = stored(t, &TenantId::default()).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].spec, policy("a").on("web-1").build());
    assert_eq!((all[0].revision, all[0].updated_at), (revision, at));
}

pub async fn a_policy_that_must_be_absent_is_a_duplicate_when_it_is_there(t: &mut StoreBench) {
    let absent = || put(policy("a").build(), Expect::Absent);
    t.write(vec![absent()]).await.unwrap();
    let refused = t.write(vec![absent()]).await;
    assert!(matches!(refused, Err(StoreError::Duplicate(_))), "{refused:?}");
}

pub async fn a_policy_of_another_revision_than_expected_conflicts(t: &mut StoreBench) {
    let first = t.put(policy("a").build()).await;
    let second = t.write(vec![put(policy("a").auto().build(), Expect::Revision(first))]).await.unwrap();
    for late in [put(policy("a").build(), Expect::Revision(first)), remove("a", Expect::Revision(first))] {
        let refused = t.write(vec![late]).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert!(stored(t, &TenantId::default()).await[0].spec.auto_remediate);
    t.write(vec![remove("a", Expect::Revision(second))]).await.unwrap();
    assert_eq!(stored_names(t).await, []);
}

pub async fn a_policy_to_remove_that_is_not_there_is_not_found(t: &mut StoreBench) {
    for expect in [Expect::Any, Expect::Revision(1)] {
        let refused = t.write(vec![remove("a", expect)]).await;
        assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    }
}

pub async fn a_policy_of_an_expected_revision_that_is_gone_is_not_found(t: &mut StoreBench) {
    let known = t.put(policy("a").build()).await;
    t.write(vec![remove("a", Expect::Any)]).await.unwrap();
    let refused = t.write(vec![put(policy("a").build(), Expect::Revision(known))]).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    assert_eq!(stored_names(t).await, []);
}

pub async fn of_several_writes_all_happen_or_none(t: &mut StoreBench) {
    t.write(["a", "b"].map(|name| put(policy(name).build(), Expect::Absent)).into()).await.unwrap();
    let generation = t.store().generation(Followed::Policies).await.unwrap();
    let refused_last = [
        put(policy("b").build(), Expect::Absent),
        put(policy("b").build(), Expect::Revision(generation + 7)),
        remove("missing", Expect::Any),
    ];
    for last in refused_last {
        let writes = vec![put(policy("c").build(), Expect::Absent), remove("a", Expect::Any), last];
        t.write(writes).await.unwrap_err();
        assert_eq!(stored_names(t).await, names(&["a", "b"]));
        assert_eq!(t.store().generation(Followed::Policies).await.unwrap(), generation);
    }
    assert_eq!(t.audited().await, ["policy.put"; 2], "what did not happen is not audited");
}

pub async fn writes_of_one_call_apply_in_their_order(t: &mut StoreBench) {
    t.put(policy("a").build()).await;
    let again = put(policy("a").auto().build(), Expect::Absent);
    t.write(vec![remove("a", Expect::Any), again]).await.unwrap();
    assert!(stored(t, &TenantId::default()).await[0].spec.auto_remediate);
}

pub async fn every_write_of_a_policy_is_audited(t: &mut StoreBench) {
    let at = t.pass(SECOND);
    let person = Actor::new("alice");
    let writes = vec![put(policy("a").build(), Expect::Any), put(policy("b").build(), Expect::Any)];
    t.store().write_policies(&TenantId::default(), writes, &person).await.unwrap();
    t.write(vec![remove("a", Expect::Any)]).await.unwrap();
    let audit = t.audit().await;
    let told: Vec<_> = audit.iter().map(|e| (e.kind.as_str(), e.policy.clone().unwrap(), e.actor.clone())).collect();
    let wanted = [("policy.put", "a", person.clone()), ("policy.put", "b", person), ("policy.removed", "a", actor())];
    assert_eq!(told, wanted.map(|(kind, name, actor)| (kind, policy_name(name), actor)));
    assert!(audit.iter().all(|entry| entry.at == at && entry.tenant == TenantId::default()));
}

pub async fn two_tenants_may_have_policies_of_one_name(t: &mut StoreBench) {
    let other = tenant("other");
    t.put(policy("a").build()).await;
    let theirs = vec![put(policy("a").auto().build(), Expect::Absent)];
    t.store().write_policies(&other, theirs, &actor()).await.unwrap();
    assert!(!stored(t, &TenantId::default()).await[0].spec.auto_remediate);
    assert!(stored(t, &other).await[0].spec.auto_remediate);
    t.store().write_policies(&other, vec![remove("a", Expect::Any)], &actor()).await.unwrap();
    assert_eq!(stored_names(t).await, names(&["a"]));
    assert_eq!(stored(t, &other).await, []);
}

pub async fn a_watcher_is_told_of_the_next_change(t: &mut StoreBench) {
    let seen = t.store().generation(Followed::Policies).await.unwrap();
    let store = t.store();
    let mut watching = JoinSet::new();
    watching.spawn(async move { store.watch(Followed::Policies, seen).await.unwrap() });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(watching.try_join_next().is_none(), "nothing has changed yet");
    let written = t.put(policy("p").build()).await;
    let told = tokio::time::timeout(Duration::from_secs(20), watching.join_next()).await;
    assert_eq!(told.expect("the watcher is told").unwrap().unwrap(), written);
}

pub async fn a_watcher_that_is_behind_is_told_at_once(t: &mut StoreBench) {
    let seen = t.store().generation(Followed::Policies).await.unwrap();
    let written = t.put(policy("p").build()).await;
    assert_eq!(t.store().watch(Followed::Policies, seen).await.unwrap(), written);
    assert_eq!(t.store().watch(Followed::Policies, written + 1).await.unwrap(), written);
}

pub async fn an_attempt_begins_only_while_the_policy_that_wants_it_is_in_force(t: &mut StoreBench) {
    let spec = || policy("p").exceeds("cpu", 90.0).build();
    let old = t.put(spec()).await;
    let refused = async |t: &StoreBench, on: &str, revision: i64| {
        let pending = t.admit(by_policy("p", on)).await;
        let refused = t.try_change(&pending, start_under("p", revision)).await;
        assert!(matches!(&refused, Err(StoreError::PolicyChanged(name)) if name.as_str() == "p"), "{refused:?}");
        assert_eq!(t.read(&pending).await, pending, "nothing is written");
    };
    let started = t.change(&t.admit(by_policy("p", "a")).await, start_under("p", old)).await;
    let new = t.put(spec()).await;
    refused(t, "b", old).await;
    let again = Change::SendAgain {
        lease: LEASE,
        deadline: DEADLINE,
        error: "not done".to_owned(),
        policy: Some((policy_name("p"), old)),
    };
    assert!(matches!(t.try_change(&started, again).await, Err(StoreError::PolicyChanged(_))));
    t.change(&t.admit(by_policy("p", "c")).await, start_under("p", new)).await;
    let theirs = t.admit(ActionIntent { tenant: tenant("other"), ..by_policy("p", "c") }).await;
    let refusal = t.try_change(&theirs, start_under("p", new)).await;
    assert!(matches!(refusal, Err(StoreError::PolicyChanged(_))), "it is another tenant's: {refusal:?}");
    let disabled = t.put(policy("p").exceeds("cpu", 90.0).disabled().build()).await;
    refused(t, "d", disabled).await;
    let enabled = PolicyWrite::Put {
        spec: Arc::new(spec()),
        source: PolicySource::File { path: "p.yaml".to_owned() },
        enabled_override: Some(false),
        expect: Expect::Any,
    };
    let overridden = t.write(vec![enabled]).await.unwrap();
    refused(t, "e", overridden).await;
    t.write(vec![remove("p", Expect::Any)]).await.unwrap();
    refused(t, "f", overridden).await;
}
