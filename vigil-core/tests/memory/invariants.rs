//! Whatever happens in whatever order, the Store's invariants hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use vigil_core::action::{Action, ActionId, ActionStatus, Change, Verification};
use vigil_core::episode::{EpisodeChange, Resolution};
use vigil_core::policy::Reason;
use vigil_core::store::{
    ActionFilter, ActionIntent, Actor, AuditFilter, Due, EpisodeFilter, Guard, MemoryStore, Scope, Store, StoreError,
};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{ManualClock, episode_intent, intent, policy_name, target};

const SECOND: Duration = Duration::from_secs(1);
const TARGETS: [&str; 2] = ["web-1", "web-2"];
const ALL: usize = 10_000;

/// One thing that happens. Numbers pick among the actions or episodes there are.
#[derive(Debug, Clone)]
enum Step {
    Admit { on: usize, status: ActionStatus, by_policy: bool, guarded: bool, episode: bool },
    Change { action: usize, stale: bool, change: Change, resolve: bool },
    Extend { action: usize },
    Open { on: usize },
    ChangeEpisode { episode: usize, stale: bool, change: EpisodeChange },
    Due { kind: Due },
    Sequence { limit: usize },
    Pass { seconds: u64 },
    Prune,
}

fn changes() -> impl Strategy<Value = Change> {
    let (lease, deadline) = (SECOND * 3, SECOND * 8);
    let (delay, settle, verify) = (SECOND, SECOND, SECOND * 3);
    let error = || "e".to_owned();
    prop_oneof![
        4 => Just(Change::Start { lease, deadline, policy: None }),
        2 => Just(Change::TakeOver { lease }),
        1 => Just(Change::SendAgain { lease, deadline, error: error(), policy: None }),
        1 => Just(Change::Defer { delay, error: error() }),
        1 => Just(Change::Retry { delay, error: error() }),
        2 => Just(Change::Complete { details: None, settle, verify }),
        1 => Just(Change::Fail { error: error() }),
        1 => Just(Change::HandOver),
        1 => Just(Change::GiveUp { error: error() }),
        2 => Just(Change::Indeterminate { error: error(), settle, verify }),
        2 => Just(Change::Cancel { reason: error() }),
        1 => Just(Change::Release { report: error() }),
        1 => prop::sample::select(&Verification::ALL[..])
            .prop_map(|verification| Change::Verify { verification, details: "d".to_owned() }),
        1 => prop::sample::select(&ActionStatus::ALL[..]).prop_map(|status| Change::Record { status, details: None }),
    ]
}

fn episode_changes() -> impl Strategy<Value = EpisodeChange> {
    prop_oneof![
        Just(EpisodeChange::Hold),
        Just(EpisodeChange::Fire),
        Just(EpisodeChange::Refuse { reason: Reason::Disabled }),
        prop::sample::select(&Resolution::ALL[..]).prop_map(|resolution| EpisodeChange::Resolve { resolution }),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let statuses = prop_oneof![5 => Just(ActionStatus::Pending), 1 => prop::sample::select(&ActionStatus::ALL[..])];
    let kinds = prop::sample::select(&[Due::Delivery, Due::Verification, Due::Occupation][..]);
    prop_oneof![
        4 => (0..TARGETS.len(), statuses, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(on, status, by_policy, guarded, episode)| Step::Admit { on, status, by_policy, guarded, episode }
        ),
        12 => (any::<usize>(), prop::bool::weighted(0.1), changes(), any::<bool>())
            .prop_map(|(action, stale, change, resolve)| Step::Change { action, stale, change, resolve }),
        1 => any::<usize>().prop_map(|action| Step::Extend { action }),
        2 => (0..TARGETS.len()).prop_map(|on| Step::Open { on }),
        2 => (any::<usize>(), any::<bool>(), episode_changes())
            .prop_map(|(episode, stale, change)| Step::ChangeEpisode { episode, stale, change }),
        2 => kinds.prop_map(|kind| Step::Due { kind }),
        1 => (1..5_usize).prop_map(|limit| Step::Sequence { limit }),
        3 => (1..6_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Prune),
    ]
}

/// A Store, and what was last seen of it.
struct World {
    clock: Arc<ManualClock>,
    store: MemoryStore,
    actions: HashMap<ActionId, Action>,
    last_seq: i64,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = MemoryStore::with_clock(clock.clone());
        Self { clock, store, actions: HashMap::new(), last_seq: 0 }
    }

    async fn all_actions(&self) -> Vec<Action> {
        let filter = ActionFilter { limit: ALL, ..ActionFilter::default() };
        self.store.actions(&TenantId::default(), &filter).await.unwrap()
    }

    async fn all_episodes(&self) -> Vec<vigil_core::episode::Episode> {
        let filter = EpisodeFilter { limit: ALL, ..EpisodeFilter::default() };
        self.store.episodes(&TenantId::default(), &filter).await.unwrap()
    }

    async fn take(&mut self, step: Step) {
        let (actor, tenant) = (Actor::new("test"), TenantId::default());
        match step {
            Step::Admit { on, status, by_policy, guarded, episode } => {
                let scope = Scope::of(&tenant, &target(TARGETS[on]));
                let open = self.store.open_episodes(&scope).await.unwrap();
                let open = open.into_iter().find(|_| episode);
                let condition = by_policy.then(|| episode_intent("p", "x").condition);
                let intent = ActionIntent {
                    status,
                    policy: by_policy.then(|| (policy_name("p"), 1)),
                    condition,
                    episode: open.map(|open| (open.id, open.version)),
                    ..intent(TARGETS[on])
                };
                let guards = [
                    Guard::Free { target: target(TARGETS[on]) },
                    Guard::Cooldown { policy: policy_name("p"), target: target(TARGETS[on]), period: SECOND * 2 },
                ];
                self.store.admit(intent, if guarded { &guards } else { &[] }).await.unwrap();
            }
            Step::Change { action, stale, change, resolve } => {
                let all = self.all_actions().await;
                if all.is_empty() {
                    return;
                }
                let before = &all[action % all.len()];
                let version = before.version - i64::from(stale);
                let resolve = resolve.then_some(Resolution::Verified);
                let wanted = before.apply(&change, self.store.now().await.unwrap());
                let answer = self.store.transition(&before.key(), version, change, resolve, &actor).await;
                match (stale, wanted, answer) {
                    (true, _, Err(StoreError::Conflict(_))) | (false, Err(_), Err(StoreError::Illegal(_))) => {}
                    (false, Ok(wanted), Ok(after)) => assert_eq!(after, wanted),
                    (false, Ok(wanted), Err(StoreError::Occupied { by })) => {
                        assert!(wanted.occupies && !before.occupies && by != before.id);
                    }
                    (stale, wanted, answer) => panic!("stale: {stale}, wanted: {wanted:?}, answer: {answer:?}"),
                }
            }
            Step::Extend { action } => {
                let all = self.all_actions().await;
                if let Some(action) = all.get(action % all.len().max(1)) {
                    let leased = action.is_leased(self.store.now().await.unwrap());
                    let answer = self.store.extend_lease(&action.key(), action.version, SECOND * 3).await;
                    assert_eq!(answer.is_ok(), leased);
                }
            }
            Step::Open { on } => drop(self.store.open_episode(episode_intent("p", TARGETS[on])).await.unwrap()),
            Step::ChangeEpisode { episode, stale, change } => {
                let all = self.all_episodes().await;
                if let Some(before) = all.get(episode % all.len().max(1)) {
                    let version = before.version - i64::from(stale);
                    let answer = self.store.change_episode(&tenant, before.id, version, change, &actor).await;
                    assert_eq!(answer.is_ok(), !stale && before.is_open());
                }
            }
            Step::Due { kind } => {
                let due = self.store.due(kind, ActionId(0), ALL).await.unwrap();
                assert!(due.iter().all(|action| action.managed));
                assert!(due.is_sorted_by_key(|action| action.id));
            }
            Step::Sequence { limit } => {
                for entry in self.store.sequence_audit(limit).await.unwrap() {
                    self.last_seq += 1;
                    assert_eq!(entry.seq, Some(self.last_seq));
                }
            }
            Step::Pass { seconds } => drop(self.clock.advance(SECOND * seconds as u32)),
            Step::Prune => {
                let now = self.store.now().await.unwrap();
                self.store.prune(now, now - SECOND * 4).await.unwrap();
            }
        }
    }

    async fn check(&mut self) {
        let seen = self.all_actions().await;
        let mut occupied = HashSet::new();
        for action in &seen {
            if action.occupies {
                assert!(occupied.insert(action.target.clone()), "two actions occupy {}", action.target);
            }
            assert!(action.managed || (!action.occupies && action.verification.is_none()));
            let Some(before) = self.actions.get(&action.id) else {
                assert_eq!(action.version, 1);
                continue;
            };
            let heartbeat = Action { lease_until: action.lease_until, ..before.clone() };
            match action.version - before.version {
                0 => assert_eq!(*action, heartbeat, "a change raises the version"),
                1 => assert!(before.attempt <= action.attempt && before.crashes <= action.crashes),
                by => panic!("one step raised the version by {by}"),
            }
            if before.status.is_final() {
                assert_eq!(before.status, action.status, "a final status never changes");
                assert_eq!(before.completed_at, action.completed_at);
            } else {
                assert!(before.status == action.status || before.status.can_become(action.status));
            }
        }
        for gone in self.actions.keys().filter(|id| !seen.iter().any(|action| action.id == **id)) {
            let gone = &self.actions[gone];
            assert!(gone.status.is_final() && !gone.occupies, "{gone:?} was pruned");
        }
        self.actions = seen.into_iter().map(|action| (action.id, action)).collect();

        let episodes = self.all_episodes().await;
        let open: Vec<_> = episodes.iter().filter(|episode| episode.is_open()).collect();
        assert_eq!(open.len(), open.iter().map(|e| (&e.policy, &e.target)).collect::<HashSet<_>>().len());
        for on in TARGETS {
            let here = open.iter().filter(|episode| episode.target == target(on)).count();
            let scope = Scope::of(&TenantId::default(), &target(on));
            assert_eq!(here, self.store.open_episodes(&scope).await.unwrap().len());
        }

        for on in TARGETS {
            self.check_indexes(on).await;
        }
    }

    /// What is looked up is what a look at everything finds.
    async fn check_indexes(&self, on: &str) {
        let target = target(on);
        let standing = self.store.standing(&TenantId::default(), &policy_name("p"), &target, None).await.unwrap();
        let here = || self.actions.values().filter(|action| action.managed && action.target == target);
        let busy: HashSet<_> =
            here().filter(|action| !action.status.is_final() || action.occupies).map(|action| action.id).collect();
        assert_eq!(standing.busy.is_some(), !busy.is_empty());
        assert!(standing.busy.is_none_or(|id| busy.contains(&id)));
        let last = here().filter(|action| action.policy.is_some()).max_by_key(|action| (action.started_at, action.id));
        assert_eq!(standing.last_action.as_ref(), last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_of_changes_keeps_the_invariants(steps in prop::collection::vec(steps(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.take(step).await;
                world.check().await;
            }
            while !world.store.sequence_audit(ALL).await.unwrap().is_empty() {}
            let filter = AuditFilter { limit: ALL, ..AuditFilter::default() };
            let audit = world.store.audit(&TenantId::default(), &filter).await.unwrap();
            assert!(audit.is_sorted_by_key(|entry| entry.seq));
        });
    }
}
