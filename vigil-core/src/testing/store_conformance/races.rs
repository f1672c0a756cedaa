//! Races: any number of callers at once end as if they had come one after the other.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::collections::HashSet;

use super::StoreBench;
use super::bench::{
    ALL, LEASE, SECOND, SETTLE, actor, by_policy, complete, cooldown, evidence, for_episode, free, name, put, remove,
    scope, start, start_under, take_over,
};
use super::brake::{released, stopped};
use crate::action::{ActionId, ActionStatus};
use crate::clock::Timestamp;
use crate::policy::Reason;
use crate::store::{
    ActionFilter, ActionIntent, Admission, BrakeScope, Due, Expect, Followed, Guard, Idempotency, MetricBatch,
    StoreError,
};
use crate::tenant::TenantId;
use crate::testing::{batch, episode_intent, intent, metric, policy};

/// How many call at once.
const CALLERS: usize = 12;

async fn all_actions(t: &StoreBench) -> Vec<crate::action::Action> {
    let filter = ActionFilter { limit: ALL, ..ActionFilter::default() };
    t.store().actions(&TenantId::default(), &filter).await.unwrap()
}

pub async fn of_many_admitters_for_one_target_one_is_admitted(t: &mut StoreBench) {
    for round in 0..5 {
        let on = format!("web-{round}");
        let answers = t
            .race(CALLERS, |store, _| {
                let (intent, guards) = (intent(&on), [free(&on)]);
                async move { store.admit(intent, &guards).await.unwrap() }
            })
            .await;
        let admitted: Vec<_> = answers.iter().filter(|answer| matches!(answer, Admission::Admitted(_))).collect();
        let [Admission::Admitted(admitted)] = admitted[..] else { panic!("{} were admitted", admitted.len()) };
        let busy = Admission::Blocked(Reason::Busy { action: admitted.id });
        assert_eq!(answers.iter().filter(|answer| **answer == busy).count(), CALLERS - 1);
    }
    assert_eq!(all_actions(t).await.len(), 5);
}

pub async fn of_many_that_open_an_episode_with_an_action_one_does(t: &mut StoreBench) {
    for round in 0..5 {
        let on = format!("web-{round}");
        let answers = t
            .race(CALLERS, |store, _| {
                let intent = ActionIntent { opens: Some(episode_intent("p", &on)), ..by_policy("p", &on) };
                let guards = [free(&on)];
                async move { store.admit(intent, &guards).await.unwrap() }
            })
            .await;
        let admitted = answers.iter().filter(|answer| matches!(answer, Admission::Admitted(_))).count();
        let changed = answers.iter().filter(|answer| **answer == Admission::Blocked(Reason::EpisodeChanged)).count();
        assert_eq!((admitted, changed), (1, CALLERS - 1));
    }
    assert_eq!(all_actions(t).await.len(), 5);
}

pub async fn of_many_admitters_for_one_policy_and_target_one_is_admitted_by_each_guard_alone(t: &mut StoreBench) {
    let guards = |on: &str| {
        let period = SECOND * 60;
        [free(on), cooldown("p", on, period), evidence("p", on, Timestamp::MIN), Guard::Attempts { max: 1 }]
    };
    for place in 0..guards("x").len() {
        let on = format!("web-{place}");
        let episode = t.open_episode("p", &on).await;
        let answers = t
            .race(CALLERS, |store, _| {
                // Without its episode: the version alone would let one through.
                let intent = if place == 3 { for_episode(&episode) } else { by_policy("p", &on) };
                let guard = guards(&on)[place].clone();
                async move { store.admit(intent, &[guard]).await.unwrap() }
            })
            .await;
        let admitted = answers.iter().filter(|answer| matches!(answer, Admission::Admitted(_))).count();
        assert_eq!(admitted, 1, "guard {place}");
    }
}

pub async fn of_many_admitters_for_one_episode_one_moves_it_on(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    let answers = t
        .race(CALLERS, |store, _| {
            let (intent, guards) = (for_episode(&episode), [Guard::Attempts { max: 100 }, free("web-1")]);
            async move { store.admit(intent, &guards).await.unwrap() }
        })
        .await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Admission::Admitted(_))).count(), 1);
    assert_eq!(t.read_episode(&episode).await.actions, 1);
}

pub async fn of_many_starters_on_one_target_one_occupies_it(t: &mut StoreBench) {
    for round in 0..5 {
        let on = format!("web-{round}");
        let mut pending = Vec::new();
        for _ in 0..CALLERS {
            pending.push(t.admit(intent(&on)).await);
        }
        let answers = t
            .race(CALLERS, |store, number| {
                let action = pending[number].clone();
                async move { store.transition(&action.key(), action.version, start(), None, &actor()).await }
            })
            .await;
        let started: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(started.len(), 1);
        let occupied =
            |answer: &Result<_, _>| matches!(answer, Err(StoreError::Occupied { by }) if *by == started[0].id);
        assert_eq!(answers.iter().filter(|answer| occupied(answer)).count(), CALLERS - 1);
        let running = all_actions(t).await;
        let running = running.iter().filter(|a| a.target == started[0].target && a.status == ActionStatus::Running);
        assert_eq!(running.count(), 1);
    }
}

pub async fn of_many_changes_of_one_version_one_happens(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    let answers = t
        .race(CALLERS, |store, _| {
            let action = running.clone();
            async move { store.transition(&action.key(), action.version, complete(), None, &actor()).await }
        })
        .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(StoreError::Conflict(_)))).count(), CALLERS - 1);
    assert_eq!(t.read(&running).await.version, running.version + 1);
    assert_eq!(t.audited().await.iter().filter(|kind| *kind == "action.completed").count(), 1);
}

pub async fn a_heartbeat_and_a_takeover_do_not_both_succeed(t: &mut StoreBench) {
    for round in 0..10 {
        let running = t.running(&format!("web-{round}")).await;
        t.pass(LEASE);
        let answers = t
            .race(CALLERS, |store, number| {
                let action = running.clone();
                async move {
                    if number % 2 == 0 {
                        store.extend_lease(&action.key(), action.version, LEASE).await.is_ok()
                    } else {
                        let (key, actor) = (action.key(), actor());
                        store.transition(&key, action.version, take_over(), None, &actor).await.is_ok()
                    }
                }
            })
            .await;
        assert_eq!(answers.iter().filter(|won| **won).count(), 1);
        assert_eq!(t.read(&running).await.crashes, 1);
    }
}

pub async fn a_heartbeat_beside_the_outcome_does_not_void_it(t: &mut StoreBench) {
    for round in 0..60 {
        let running = t.running(&format!("web-{round}")).await;
        let outcomes = t
            .race(CALLERS, |store, number| {
                let action = running.clone();
                async move {
                    if number == CALLERS / 2 {
                        let (key, actor) = (action.key(), actor());
                        return store.transition(&key, action.version, complete(), None, &actor).await.map(drop);
                    }
                    // Each moves the lease; those that come too late are told so.
                    let by = LEASE + SECOND * u32::try_from(number).unwrap();
                    match store.extend_lease(&action.key(), action.version, by).await {
                        Err(StoreError::Conflict(_)) => Ok(()),
                        other => other,
                    }
                }
            })
            .await;
        assert!(outcomes.iter().all(Result::is_ok), "round {round}: {outcomes:?}");
        assert_eq!(t.read(&running).await.status, ActionStatus::Completed);
    }
}

pub async fn of_many_openers_of_one_episode_all_get_the_same(t: &mut StoreBench) {
    for round in 0..5 {
        let on = format!("web-{round}");
        let opened = t
            .race(CALLERS, |store, _| {
                let intent = episode_intent("p", &on);
                async move { store.open_episode(intent).await.unwrap().id }
            })
            .await;
        assert_eq!(opened.iter().collect::<HashSet<_>>().len(), 1);
    }
    assert_eq!(t.audited().await, ["episode.opened"; 5]);
}

pub async fn of_many_writers_of_one_policy_one_succeeds(t: &mut StoreBench) {
    let known = t.put(policy("p").build()).await;
    let answers = t
        .race(CALLERS, |store, number| {
            let spec = policy("p").exceeds("cpu", number as f64).build();
            let (expect, tenant) = (Expect::Revision(known), TenantId::default());
            async move { store.write_policies(&tenant, vec![put(spec, expect)], &actor()).await }
        })
        .await;
    let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(StoreError::Conflict(_)))).count(), CALLERS - 1);
    assert_eq!(t.store().generation(Followed::Policies).await.unwrap(), *won[0]);
}

pub async fn writers_of_different_policies_all_get_a_generation_of_their_own(t: &mut StoreBench) {
    let generations = t
        .race(CALLERS, |store, number| {
            let write = put(policy(&format!("p-{number}")).build(), Expect::Absent);
            async move { store.write_policies(&TenantId::default(), vec![write], &actor()).await.unwrap() }
        })
        .await;
    assert_eq!(generations.iter().collect::<HashSet<_>>().len(), CALLERS);
    let table = t.store().policies().await.unwrap();
    assert_eq!(table.policies.len(), CALLERS);
    assert_eq!(Some(&table.generation), generations.iter().max());
}

pub async fn many_recorders_lose_no_sample_and_the_newest_wins(t: &mut StoreBench) {
    let start = t.now();
    let end = t.pass(SECOND * 100);
    let ids = t
        .race(CALLERS, |store, number| {
            let late = |n: u32| metric("cpu", f64::from(n)).on("web-1").late(start + SECOND * n, end);
            // Each has the same series in another order; together they have every second once.
            let mut mine: Vec<_> = (0..5).map(|n| late((n * CALLERS + number) as u32)).collect();
            if number % 2 == 0 {
                mine.reverse();
            }
            mine.push(metric("mem", number as f64).on("web-1").tag("n", &number.to_string()));
            async move { store.record_metrics(batch(mine)).await.unwrap().ids }
        })
        .await;
    assert_eq!(ids.iter().flatten().collect::<HashSet<_>>().len(), CALLERS * 6);
    let stored = t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap();
    let values: Vec<f64> = stored.iter().map(|sample| sample.value).collect();
    assert_eq!(values, (0..CALLERS * 5).map(|n| n as f64).collect::<Vec<_>>());
    let newest = t.snapshot(&scope("web-1")).await;
    assert_eq!(newest.len(), CALLERS + 1);
    assert_eq!(newest[0].value, (CALLERS * 5 - 1) as f64);
}

pub async fn of_many_batches_with_one_key_one_is_written(t: &mut StoreBench) {
    let answers = t
        .race(CALLERS, |store, _| {
            let idempotency = Some(Idempotency { key: "k".to_owned(), fingerprint: "f".to_owned() });
            let batch = MetricBatch { idempotency, ..batch([metric("cpu", 1.0).on("web-1")]) };
            async move { store.record_metrics(batch).await.unwrap() }
        })
        .await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(answers.iter().map(|answer| &answer.ids).collect::<HashSet<_>>().len(), 1);
    assert_eq!(t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap().len(), 1);
}

pub async fn of_many_requests_with_one_key_one_is_admitted(t: &mut StoreBench) {
    let answers = t
        .race(CALLERS, |store, _| {
            let idempotency = Some(Idempotency { key: "k".to_owned(), fingerprint: "f".to_owned() });
            let intent = ActionIntent { idempotency, ..intent("web-1") };
            async move { store.admit(intent, &[]).await.unwrap() }
        })
        .await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Admission::Admitted(_))).count(), 1);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Admission::Replayed(_))).count(), CALLERS - 1);
    assert_eq!(all_actions(t).await.len(), 1);
}

type Racing = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sets the brake while others race, and checks that there are no more of what `count` counts than when it was answered.
async fn braked_amid(t: &StoreBench, racer: impl Fn(usize) -> Racing, count: impl AsyncFn() -> usize) {
    let mut racers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        racers.spawn(racer(caller));
    }
    // Some of them are through before it, and some are not.
    tokio::task::yield_now().await;
    let stop = stopped(BrakeScope::Tenant, None);
    t.store().set_brake(&TenantId::default(), stop, &actor()).await.unwrap();
    let answered = count().await;
    racers.join_all().await;
    assert_eq!(count().await, answered);
    t.store().set_brake(&TenantId::default(), released(), &actor()).await.unwrap();
}

pub async fn no_attempt_begins_after_a_brake_was_answered(t: &mut StoreBench) {
    for round in 0..5 {
        let mut pending = Vec::new();
        for caller in 0..CALLERS {
            let mut own = Vec::new();
            for number in 0..4 {
                own.push(t.admit(intent(&format!("web-{round}-{caller}-{number}"))).await);
            }
            pending.push(own);
        }
        let racer = |caller: usize| -> Racing {
            let (store, own) = (t.store(), pending[caller].clone());
            Box::pin(async move {
                for action in own {
                    match store.transition(&action.key(), action.version, start(), None, &actor()).await {
                        Ok(_) | Err(StoreError::Braked { until: None }) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        };
        let running =
            async || all_actions(t).await.iter().filter(|action| action.status == ActionStatus::Running).count();
        braked_amid(t, racer, running).await;
    }
}

pub async fn nothing_is_admitted_under_the_guard_after_a_brake_was_answered(t: &mut StoreBench) {
    for round in 0..5 {
        let racer = |caller: usize| -> Racing {
            let store = t.store();
            Box::pin(async move {
                for number in 0..4 {
                    let on = format!("web-{round}-{caller}-{number}");
                    match store.admit(intent(&on), &[Guard::Brake]).await.unwrap() {
                        Admission::Admitted(_) | Admission::Blocked(Reason::Braked { until: None }) => {}
                        other => panic!("{other:?}"),
                    }
                }
            })
        };
        braked_amid(t, racer, async || all_actions(t).await.len()).await;
    }
}

pub async fn many_verifiers_are_handed_each_action_once(t: &mut StoreBench) {
    let mut wanted = HashSet::new();
    for number in 0..CALLERS {
        let running = t.change(&t.admit(by_policy("p", &format!("web-{number}"))).await, start()).await;
        wanted.insert(t.change(&running, complete()).await.id);
    }
    t.pass(SETTLE);
    let handed =
        t.race(CALLERS, |store, _| async move { store.due(Due::Verification, ActionId(0), 3).await.unwrap() }).await;
    let handed: Vec<ActionId> = handed.iter().flatten().map(|action| action.id).collect();
    assert_eq!(handed.len(), handed.iter().collect::<HashSet<_>>().len());
    assert!(handed.iter().all(|id| wanted.contains(id)));
    let rest = t.due(Due::Verification).await;
    assert_eq!(handed.len() + rest.len(), CALLERS);
}

pub async fn many_sequencers_leave_no_gap_and_no_double(t: &mut StoreBench) {
    for number in 0..20 {
        t.running(&format!("web-{number}")).await;
    }
    let pages = t
        .race(CALLERS, |store, _| async move {
            let mut mine = Vec::new();
            loop {
                let page = store.sequence_audit(3).await.unwrap();
                if page.is_empty() {
                    return mine;
                }
                mine.extend(page.into_iter().map(|entry| entry.seq.unwrap()));
            }
        })
        .await;
    let mut told: Vec<i64> = pages.into_iter().flatten().collect();
    told.sort_unstable();
    assert_eq!(told, (told[0]..told[0] + 40).collect::<Vec<_>>());
}

pub async fn entries_written_while_others_are_sequenced_are_all_sequenced(t: &mut StoreBench) {
    let told = t
        .race(CALLERS, |store, number| async move {
            let mut told = 0;
            for round in 0..5 {
                let on = format!("web-{number}-{round}");
                store.admit(intent(&on), &[free(&on)]).await.unwrap();
                told += store.sequence_audit(2).await.unwrap().len();
            }
            told
        })
        .await;
    assert!(told.iter().sum::<usize>() <= CALLERS * 5);
    let all: Vec<i64> = t.audit().await.iter().map(|entry| entry.seq.unwrap()).collect();
    assert_eq!(all, (all[0]..all[0] + (CALLERS * 5) as i64).collect::<Vec<_>>());
}

pub async fn a_call_that_is_dropped_has_its_whole_effect_or_none_and_leaves_nothing_behind(t: &mut StoreBench) {
    for polls in 0..40 {
        let on = format!("web-{polls}");
        let (store, guards) = (t.store(), [free(&on)]);
        tokio::select! {
            biased;
            _ = store.admit(intent(&on), &guards) => {}
            () = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
        }
    }
    // Whatever still holds a lock or a connection would hold these up; whatever had half its effect would show.
    for polls in 0..40 {
        let on = format!("web-{polls}");
        t.admit_under(intent(&on), &[free(&on)]).await;
    }
    let actions = all_actions(t).await;
    assert_eq!(actions.len(), 40);
    assert_eq!(t.audited().await, ["action.admitted"; 40]);
}

pub async fn no_attempt_begins_after_the_removal_of_its_policy_was_answered(t: &mut StoreBench) {
    for round in 0..5 {
        let revision = t.put(policy("p").exceeds("cpu", 90.0).build()).await;
        let mut racers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let mut own = Vec::new();
            for number in 0..4 {
                own.push(t.admit(by_policy("p", &format!("web-{round}-{caller}-{number}"))).await);
            }
            let store = t.store();
            racers.spawn(async move {
                for action in own {
                    let change = start_under("p", revision);
                    match store.transition(&action.key(), action.version, change, None, &actor()).await {
                        Ok(_) | Err(StoreError::PolicyChanged(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
        let running =
            async || all_actions(t).await.iter().filter(|action| action.status == ActionStatus::Running).count();
        // Some of them are through before it, and some are not.
        tokio::task::yield_now().await;
        t.write(vec![remove("p", Expect::Any)]).await.unwrap();
        let answered = running().await;
        racers.join_all().await;
        assert_eq!(running().await, answered);
    }
}
