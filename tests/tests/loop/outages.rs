//! A queue that hangs, and a Store that is away for a moment: what it costs the rest of the loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vigil_core::action::{ActionKey, ActionStatus};
use vigil_core::clock::Clock;
use vigil_core::queue::{Claim, DeadLetter, Depth, MemoryQueue, Queue, QueueError, QueueStats};
use vigil_core::store::{Actor, AuditFilter, MemoryStore, Store};
use vigil_core::task::Task;
use vigil_core::tenant::TenantId;
use vigil_core::testing::{Effect, Fault, FaultyQueue, FaultyStore, ManualClock, Reply, eventually, metric, policy};
use vigil_core::{Settings, Vigil};

use crate::closed_loop::action;
use crate::invariants;
use crate::world::{Backend, World, cpu, hot, short};

/// A process with a queue that hangs at every call of a method; ends without waiting for what hangs.
fn over_a_queue_that_hangs(world: &World, method: &'static str) -> Vigil {
    let queue = Arc::new(FaultyQueue::new(world.queue()));
    for nth in 1..=200 {
        queue.faults().plan(method, nth, Fault::Hang, Effect::Missing);
    }
    let patience = Duration::from_secs(20);
    let settings =
        Settings { grace: Duration::from_millis(50), remediation_timeout: patience, deadline: patience, ..short() };
    world.process_over(world.store(), queue).policies([hot()]).settings(settings).build().unwrap()
}

async fn a_queue_that_takes_nothing_keeps_nothing_from_being_admitted(backend: Backend) {
    let world = World::new(backend).await;
    let vigil = over_a_queue_that_hangs(&world, "enqueue");
    vigil.load_policies().await.unwrap();
    let story = async {
        for number in 0..20 {
            vigil.ingest(cpu(&format!("web-{number}"), 95.0)).await.unwrap();
        }
        eventually("all are admitted", async || (world.actions().await.len() == 20).then_some(())).await;
    };
    vigil.run(story).await.unwrap();
}

/// The lanes are full before anybody is there who takes tasks to the queue.
async fn a_queue_that_takes_nothing_holds_up_no_start(backend: Backend) {
    let world = World::new(backend).await;
    let vigil = over_a_queue_that_hangs(&world, "enqueue");
    vigil.load_policies().await.unwrap();
    for number in 0..20 {
        vigil.ingest(cpu(&format!("web-{number}"), 95.0)).await.unwrap();
    }
    let story = eventually("all are admitted", async || (world.actions().await.len() == 20).then_some(()));
    vigil.run(story).await.unwrap();
}

async fn a_queue_that_extends_no_lease_costs_no_action_its_own(backend: Backend) {
    let world = World::new(backend).await;
    let vigil = over_a_queue_that_hangs(&world, "extend");
    // Twice as long as the lease.
    world.remediator.reply_after(short().lease * 2, Reply::success());
    vigil.load_policies().await.unwrap();
    let story = async {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        let ended = eventually("the action's end", async || {
            world.actions().await.into_iter().find(|action| action.status.is_final())
        });
        let ended = ended.await;
        assert_eq!((ended.status, ended.attempt, ended.crashes), (ActionStatus::Completed, 1, 0));
        assert_eq!(world.remediator.probed(), []);
    };
    vigil.run(story).await.unwrap();
}

async fn a_queue_that_rescues_nothing_does_not_hold_up_the_audit(backend: Backend) {
    let world = World::new(backend).await;
    let vigil = over_a_queue_that_hangs(&world, "rescue");
    vigil.load_policies().await.unwrap();
    let story = async {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        eventually("numbered entries", async || {
            let filter = AuditFilter { limit: 10, ..AuditFilter::default() };
            let seen = world.store().audit(&TenantId::default(), &filter).await.unwrap();
            seen.iter().any(|entry| entry.kind == "action.admitted").then_some(())
        })
        .await;
    };
    vigil.run(story).await.unwrap();
}

async fn an_outcome_that_cannot_be_recorded_at_once_is_recorded_a_moment_later(backend: Backend) {
    for effect in [Effect::Missing, Effect::Done] {
        let world = World::new(backend).await;
        let store = Arc::new(FaultyStore::new(world.store()));
        // The first is the start, the second the outcome.
        store.faults().plan("transition", 2, Fault::Fail, effect);
        let vigil = world.process_over(store.clone(), world.queue()).policies([hot()]).build().unwrap();
        vigil.load_policies().await.unwrap();
        let story = async {
            vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
            store.faults().struck(1).await;
            let ended = eventually("the action's end", async || {
                world.actions().await.into_iter().find(|action| action.status.is_final())
            });
            let ended = ended.await;
            assert_eq!((ended.status, ended.attempt, ended.crashes), (ActionStatus::Completed, 1, 0));
        };
        vigil.run(story).await.unwrap();
        assert_eq!(world.remediator.probed(), [], "what is known is not asked for again");
        invariants::v2_attempts_share_one_key_and_effects_are_unique_per_key(&world).await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_one_refresh_holds_up_no_other() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let vigil = Vigil::builder().store(store.clone()).build().unwrap();
    vigil.load_policies().await.unwrap();
    store.faults().plan("generation", 1, Fault::Hang, Effect::Missing);
    let second = async {
        store.faults().struck(1).await;
        tokio::time::timeout(Duration::from_secs(10), vigil.catalog().refresh()).await
    };
    tokio::select! {
        _ = vigil.catalog().refresh() => unreachable!("it hangs"),
        refreshed = second => refreshed.expect("it waits for nobody").unwrap(),
    }
}

/// A machine whose clock is five minutes off, and the Store's, which is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_clock_is_wrong_judges_samples_by_the_stores() {
    for wrong_by in [301, -301] {
        let right = Arc::new(ManualClock::new());
        let store = Arc::new(MemoryStore::with_clock(right.clone()));
        let wrong = Arc::new(ManualClock::at(vigil_core::clock::Timestamp::from_micros(
            right.now().as_micros() + wrong_by * 1_000_000,
        )));
        // Without the runner: what the lanes find stale nobody judges.
        let mut settings = short();
        settings.runner.enabled = false;
        let vigil = Vigil::builder()
            .store(store.clone())
            .clock(wrong)
            .policies([policy("hot").exceeds("cpu", 80.0).auto().build()])
            .settings(settings)
            .build()
            .unwrap();
        vigil.load_policies().await.unwrap();
        assert_eq!(vigil.clock().now(), right.now());
        let story = async {
            let received = vigil.clock().now();
            let sample = metric("cpu", 95.0).on("web-1").late(right.now(), received);
            vigil.ingest(vigil_core::testing::batch([sample])).await.unwrap();
            eventually("the action", async || {
                let filter = vigil_core::store::ActionFilter { limit: 1, ..Default::default() };
                (!store.actions(&TenantId::default(), &filter).await.unwrap().is_empty()).then_some(())
            })
            .await;
        };
        vigil.run(story).await.unwrap();
    }
}

/// A queue whose answer to a claim is on its way until the process is told to end.
#[derive(Debug)]
struct Late {
    inner: Arc<MemoryQueue>,
    told: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl Queue for Late {
    async fn enqueue(&self, task: Task, delay: Duration) -> Result<(), QueueError> {
        self.inner.enqueue(task, delay).await
    }
    async fn claim(&self, lease: Duration, wait: Duration, max: usize) -> Result<Vec<Claim>, QueueError> {
        let claims = self.inner.claim(lease, wait, max).await;
        let mut told = self.told.subscribe();
        let _ = told.wait_for(|told| *told).await.is_ok();
        tokio::time::sleep(Duration::from_millis(20)).await; // the loops are told a moment after the test is
        claims
    }
    async fn extend(&self, claim: &Claim, lease: Duration) -> Result<(), QueueError> {
        self.inner.extend(claim, lease).await
    }
    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        self.inner.ack(claim).await
    }
    async fn retry(&self, claim: &Claim, delay: Duration) -> Result<(), QueueError> {
        self.inner.retry(claim, delay).await
    }
    async fn dead_letter(&self, claim: &Claim, reason: &str) -> Result<(), QueueError> {
        self.inner.dead_letter(claim, reason).await
    }
    async fn rescue(&self, limit: usize) -> Result<usize, QueueError> {
        self.inner.rescue(limit).await
    }
    async fn missing(&self, actions: &[ActionKey]) -> Result<Vec<ActionKey>, QueueError> {
        self.inner.missing(actions).await
    }
    async fn dead(&self, tenant: &TenantId, after: u64, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.inner.dead(tenant, after, limit).await
    }
    async fn revive(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        self.inner.revive(tenant, letter).await
    }
    async fn discard(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        self.inner.discard(tenant, letter).await
    }
    async fn purge(&self, tenant: &TenantId, older_than: Duration) -> Result<usize, QueueError> {
        self.inner.purge(tenant, older_than).await
    }
    async fn stats(&self) -> Result<QueueStats, QueueError> {
        self.inner.stats().await
    }
    async fn depth(&self, tenant: &TenantId) -> Result<Depth, QueueError> {
        self.inner.depth(tenant).await
    }
    async fn ping(&self) -> Result<(), QueueError> {
        self.inner.ping().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_claimed_at_the_moment_of_shutdown_is_handed_back() {
    let world = World::new(Backend::Memory).await;
    let (inner, told) = (Arc::new(MemoryQueue::new()), watch::Sender::new(false));
    let queue = Arc::new(Late { inner: inner.clone(), told: told.clone() });
    let settings = Settings { workers: 1, lease: Duration::from_secs(60), ..short() };
    let vigil = world.process_over(world.store(), queue).policies([hot()]).settings(settings).build().unwrap();
    vigil.load_policies().await.unwrap();
    let story = async {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        eventually("the claim", async || (inner.stats().await.unwrap().leased == 1).then_some(())).await;
        told.send_replace(true);
    };
    vigil.run(story).await.unwrap();
    let left = inner.stats().await.unwrap();
    assert_eq!((left.ready, left.leased), (1, 0), "nobody has to wait for its lease");
}

macro_rules! over_every_store {
    ($($name:ident)+) => {
        mod memory { $(over_every_store!(@case $name, Memory);)+ }
        mod sqlite { $(over_every_store!(@case $name, Sqlite);)+ }
        mod postgres { $(over_every_store!(@case $name, Postgres);)+ }
    };
    (@case $name:ident, $backend:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if super::Backend::$backend.is_there() {
                super::$name(super::Backend::$backend).await;
            }
        }
    };
}

async fn an_action_whose_start_stalls_does_not_begin_once_the_removal_of_its_policy_was_answered(backend: Backend) {
    let world = World::new(backend).await;
    let store = Arc::new(FaultyStore::new(world.store()));
    store.faults().plan("transition", 1, Fault::Stall, Effect::Missing);
    let vigil = world.process_over(store.clone(), world.queue()).policies([hot()]).build().unwrap();
    vigil.load_policies().await.unwrap();
    let story = async {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        store.faults().struck(1).await;
        vigil.catalog().remove(&TenantId::default(), &hot().name, &Actor::new("test")).await.unwrap();
        store.faults().resume();
        let ended = action(&world, "the end", |action| action.status.is_final()).await;
        assert_eq!((ended.status, ended.attempt), (ActionStatus::Cancelled, 0));
        assert!(ended.error.unwrap_or_default().contains("gone or disabled"));
        assert_eq!(world.remediator.requests(), []);
    };
    vigil.run(story).await.unwrap();
}

over_every_store! {
    an_action_whose_start_stalls_does_not_begin_once_the_removal_of_its_policy_was_answered
    a_queue_that_takes_nothing_keeps_nothing_from_being_admitted
    a_queue_that_takes_nothing_holds_up_no_start
    a_queue_that_extends_no_lease_costs_no_action_its_own
    a_queue_that_rescues_nothing_does_not_hold_up_the_audit
    an_outcome_that_cannot_be_recorded_at_once_is_recorded_a_moment_later
}
