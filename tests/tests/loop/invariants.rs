//! The named invariants, checked when all is at rest.

use std::collections::{BTreeMap, BTreeSet};

use vigil_core::Vigil;
use vigil_core::action::Change;
use vigil_core::clock::Timestamp;
use vigil_core::metric::{MetricName, Snapshot};
use vigil_core::store::{Actor, AuditFilter, Scope, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::target;

use crate::world::{World, now};

/// All of them. `acknowledged` are the times of the samples on `web-1` that were answered `Ok`.
pub(crate) async fn hold(world: &World, acknowledged: &[Timestamp]) {
    v1_every_admitted_action_is_final(world).await;
    v2_attempts_share_one_key_and_effects_are_unique_per_key(world).await;
    v3_no_two_actions_were_in_flight_on_one_target(world);
    v4_no_completion_of_a_stale_attempt_is_taken(world).await;
    v5_the_sandbox_writes_nothing(world).await;
    v7_nothing_acknowledged_is_lost(world, acknowledged).await;
}

pub(crate) async fn v1_every_admitted_action_is_final(world: &World) {
    for action in world.actions().await {
        assert!(action.status.is_final() && !action.occupies, "V1: {action:#?}");
    }
}

pub(crate) async fn v2_attempts_share_one_key_and_effects_are_unique_per_key(world: &World) {
    let keys: BTreeMap<_, _> =
        world.actions().await.iter().map(|action| (action.id, action.idempotency_key())).collect();
    for request in world.remediator.requests() {
        assert_eq!(Some(&request.key), keys.get(&request.action_id), "V2: one key for all attempts");
    }
    let effects = world.remediator.effects();
    let unique: BTreeSet<_> = effects.iter().map(|request| &request.key).collect();
    assert_eq!(unique.len(), effects.len(), "V2: one effect per key");
}

pub(crate) fn v3_no_two_actions_were_in_flight_on_one_target(world: &World) {
    assert_eq!(world.remediator.overlaps(), [], "V3");
}

pub(crate) async fn v4_no_completion_of_a_stale_attempt_is_taken(world: &World) {
    for action in world.actions().await {
        for version in [action.version - 1, action.version] {
            let late = Change::Fail { error: "late".to_owned() };
            let taken = world.store().transition(&action.key(), version, late, None, &Actor::new("late")).await;
            assert!(taken.is_err(), "V4: {action:#?}");
        }
    }
}

pub(crate) async fn v5_the_sandbox_writes_nothing(world: &World) {
    let before = written(&*world.store()).await;
    let vigil: Vigil = world.process().build().unwrap();
    vigil.catalog().refresh().await.unwrap();
    let metrics = Snapshot::of([("cpu", 99.0)], now()).unwrap();
    let trials = vigil.try_policies(&TenantId::default(), &metrics, Some(&target("web-1"))).await.unwrap();
    assert!(!trials.is_empty(), "V5: something was tried");
    assert_eq!(written(&*world.store()).await, before, "V5");
}

async fn written(store: &dyn Store) -> usize {
    while !store.sequence_audit(1000).await.unwrap().is_empty() {}
    let filter = AuditFilter { limit: 10_000, ..AuditFilter::default() };
    store.audit(&TenantId::default(), &filter).await.unwrap().len()
}

pub(crate) async fn v7_nothing_acknowledged_is_lost(world: &World, acknowledged: &[Timestamp]) {
    let scope = Scope { tenant: TenantId::default(), target: Some(target("web-1")) };
    let cpu = [MetricName::new("cpu").unwrap()];
    let stored = world.store().samples(&scope, &cpu, Timestamp::MIN, usize::MAX).await.unwrap();
    let stored: BTreeSet<_> = stored.iter().map(|sample| sample.at).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|at| !stored.contains(at)).collect();
    assert!(lost.is_empty(), "V7: {lost:?}");
}
