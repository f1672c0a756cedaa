//! For tests, here and in programs that bring their own [`Store`](crate::store::Store), [`Queue`](crate::queue::Queue) or
//! [`Remediator`](crate::remediator::Remediator). Behind the feature `testing`.
//!
//! - [`store_conformance!`](crate::store_conformance!) and [`queue_conformance!`](crate::queue_conformance!) hold a backend
//!   to every sentence of its contract; see the modules [`store_conformance`] and [`queue_conformance`].
//! - [`ManualClock`] and [`SeededRandom`] make time and chance repeatable.
//! - [`FaultyStore`] and [`FaultyQueue`] fail, hang or crash at the call of your choice, before or after its effect.
//! - [`ScriptedRemediator`] answers as told, remembers as a compliant remediator must, and keeps the books.
//! - [`metric`], [`policy`], [`intent`] and [`task`] make values in one line.
//! - [`eventually`] waits for a value, never for a time.
//!
//! Everything here may panic: that is how a test fails.

mod build;
mod clock;
mod eventually;
mod faults;
mod faulty_queue;
mod faulty_store;
pub mod queue_conformance;
mod random;
mod scripted_remediator;
pub mod store_conformance;

pub use build::{
    MetricBuilder, PolicyBuilder, batch, episode_intent, intent, metric, policy, policy_name, target, task, tenant,
};
pub use clock::ManualClock;
pub use eventually::{PATIENCE, eventually, eventually_within};
pub use faults::{Effect, Fault, Faults};
pub use faulty_queue::FaultyQueue;
pub use faulty_store::FaultyStore;
pub use random::SeededRandom;
pub use scripted_remediator::{Reply, ScriptedRemediator};
