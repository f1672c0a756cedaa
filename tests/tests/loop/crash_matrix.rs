//! The crash matrix: at each step of the loop the process dies, before and after the step's effect. A fresh one over the
//! same Store (and an empty queue: V6) runs to rest, and the invariants hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vigil_core::Vigil;
use vigil_core::clock::Timestamp;
use vigil_core::policy::PolicySpec;
use vigil_core::store::MetricBatch;
use vigil_core::testing::{Effect, Fault, FaultyQueue, FaultyStore, Reply, eventually, policy_name};

use crate::invariants;
use crate::world::{Backend, World, cpu, hot};

/// Where the process dies.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// At the nth call of a method of the Store.
    Store(&'static str, usize),
    /// At the nth call of a method of the queue.
    Queue(&'static str, usize),
    /// While the remediator has done it and not answered yet.
    Remediate,
}

async fn die(backend: Backend, step: Step, effect: Effect) {
    if !backend.is_there() {
        return;
    }
    let mut world = World::new(backend).await;
    let mut acknowledged = live_until_death(&world, step, effect).await;
    world.restart().await;
    acknowledged.extend(live_to_rest(&world, acknowledged.is_empty()).await);
    assert_eq!(world.remediator.effects().len(), 1, "V6, AI-14: what was violated is healed, once");
    invariants::hold(&world, &acknowledged).await;
}

/// The first process: it dies at `step`. Answers the times of the samples it acknowledged.
async fn live_until_death(world: &World, step: Step, effect: Effect) -> Vec<Timestamp> {
    let store = Arc::new(FaultyStore::new(world.store()));
    let queue = Arc::new(FaultyQueue::new(world.queue()));
    match step {
        Step::Store(method, nth) => store.faults().plan(method, nth, Fault::Crash, effect),
        Step::Queue(method, nth) => queue.faults().plan(method, nth, Fault::Crash, effect),
        Step::Remediate => _ = world.remediator.reply(Reply::Hang { done: true }),
    }
    // An episode that begins with an action is opened with it; one of a policy that only watches is opened alone.
    let watched = PolicySpec { auto_remediate: false, name: policy_name("watched"), ..hot() };
    let opens = matches!(step, Step::Store("open_episode", _)).then_some(watched);
    let policies = opens.into_iter().chain([hot()]);
    let vigil = world.process_over(store.clone(), queue.clone()).policies(policies).build().unwrap();
    let mut acknowledged = Vec::new();
    let death = async {
        match step {
            Step::Store(..) => store.faults().struck(1).await,
            Step::Queue(..) => queue.faults().struck(1).await,
            Step::Remediate => _ = world.remediator.called(1).await,
        }
    };
    let life = async {
        vigil.load_policies().await.unwrap();
        tokio::join!(clients(&vigil, world, &mut acknowledged), vigil.run(std::future::pending()))
    };
    let died = async {
        tokio::select! {
            () = death => {}
            _ = life => unreachable!("nobody asks it to stop"),
        }
    };
    timeout(Duration::from_secs(20), died).await.unwrap_or_else(|_| panic!("{step:?} was never reached"));
    acknowledged
}

/// A fresh process without faults: lives until nothing is left to do. `violate`: the first one acknowledged no violation,
/// so its client sends it again.
async fn live_to_rest(world: &World, violate: bool) -> Vec<Timestamp> {
    let vigil = world.process().policies([hot()]).build().unwrap();
    let mut acknowledged = Vec::new();
    let rest = async {
        if violate {
            send(&vigil, cpu("web-1", 95.0), &mut acknowledged).await;
        }
        world.remediator.called(1).await;
        eventually("rest", async || {
            send(&vigil, cpu("web-1", 5.0), &mut acknowledged).await;
            world.is_at_rest().await.then_some(())
        })
        .await;
    };
    vigil.run(rest).await.unwrap();
    acknowledged
}

/// One violation; when it is healed, samples that say so, for ever.
async fn clients(vigil: &Vigil, world: &World, acknowledged: &mut Vec<Timestamp>) {
    send(vigil, cpu("web-1", 95.0), acknowledged).await;
    world.remediator.called(1).await;
    loop {
        send(vigil, cpu("web-1", 5.0), acknowledged).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn send(vigil: &Vigil, batch: MetricBatch, acknowledged: &mut Vec<Timestamp>) {
    let at = batch.metrics[0].at;
    if vigil.ingest(batch).await.is_ok() {
        acknowledged.push(at);
    }
}

macro_rules! crash_matrix {
    ($($name:ident: $step:expr;)+) => {
        mod memory { $(crash_matrix!(@case $name, Memory, $step);)+ }
        mod sqlite { $(crash_matrix!(@case $name, Sqlite, $step);)+ }
        mod postgres { $(crash_matrix!(@case $name, Postgres, $step);)+ }
    };
    (@case $name:ident, $backend:ident, $step:expr) => {
        mod $name {
            use super::super::{Backend, Effect, Step::*, die};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn before() {
                die(Backend::$backend, $step, Effect::Missing).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn after() {
                die(Backend::$backend, $step, Effect::Done).await;
            }
        }
    };
}

crash_matrix! {
    s01_ingest: Store("record_metrics", 1);
    s02_how_things_stand: Store("standing", 1);
    s03_snapshot_before_admission: Store("snapshot", 1);
    s04_open_episode: Store("open_episode", 1);
    s05_admit: Store("admit", 1);
    s06_enqueue: Queue("enqueue", 1);
    s07_claim: Queue("claim", 1);
    s08_read_the_action: Store("action", 1);
    s09_start: Store("transition", 1);
    s10_remediate: Remediate;
    s11_record_the_outcome: Store("transition", 2);
    s12_ack: Queue("ack", 1);
    s13_hand_out_for_verification: Store("due", 8);
    s14_verify_and_resolve: Store("transition", 3);
}
