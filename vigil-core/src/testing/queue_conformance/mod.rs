//! The suite that every [`Queue`] passes: a named test for each sentence of the contract.
//!
//! Implement [`QueueFixture`] for your backend in a test, and hand it to
//! [`queue_conformance!`](crate::queue_conformance):
//!
//! ```
//! use std::sync::Arc;
//!
//! use vigil_core::queue::{MemoryQueue, Queue};
//! use vigil_core::testing::queue_conformance::QueueFixture;
//!
//! struct Fixture(Arc<MemoryQueue>);
//!
//! #[async_trait::async_trait]
//! impl QueueFixture for Fixture {
//!     async fn open() -> Option<Self> {
//!         Some(Self(Arc::new(MemoryQueue::new())))
//!     }
//!
//!     fn queue(&self) -> Arc<dyn Queue> {
//!         self.0.clone()
//!     }
//! }
//!
//! vigil_core::queue_conformance!(Fixture);
//! # fn main() {}
//! ```
//!
//! The crate under test needs `vigil-core` with the feature `testing`, `async-trait`, and `tokio` with the features `macros` and
//! `rt-multi-thread` among its dev-dependencies. Every test opens a fixture of its own; they run side by side.
//!
//! Time is real, because most queues keep their own: delays and leases in the suite last a few hundred milliseconds.

use std::sync::Arc;

use async_trait::async_trait;

use crate::queue::Queue;

mod bench;

#[doc(hidden)]
pub mod books;
#[doc(hidden)]
pub mod claiming;
#[doc(hidden)]
pub mod leases;
#[doc(hidden)]
pub mod letters;
#[doc(hidden)]
pub mod races;

#[doc(hidden)]
pub use bench::QueueBench;

/// A backend under test: one empty Queue of its own.
#[async_trait]
pub trait QueueFixture: Send + Sync + 'static {
    /// A fresh, empty Queue. `None` if the backend is not there; then the test passes, and the fixture should have said so,
    /// or have panicked where the backend is required.
    async fn open() -> Option<Self>
    where
        Self: Sized;

    /// The Queue.
    fn queue(&self) -> Arc<dyn Queue>;
}

/// Expands to one `#[tokio::test]` for each sentence of the [`Queue`](crate::queue::Queue) contract, over a
/// [`QueueFixture`](crate::testing::queue_conformance::QueueFixture). See
/// [`testing::queue_conformance`](crate::testing::queue_conformance) for how to run it.
#[macro_export]
macro_rules! queue_conformance {
    (@tests $fixture:ty; $($group:ident { $($name:ident,)+ })+) => {$(
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    use $crate::testing::queue_conformance::{QueueBench, $group};
                    if let Some(bench) = QueueBench::open::<$fixture>().await {
                        $group::$name(&bench).await;
                    }
                }
            )+
        }
    )+};
    ($fixture:ty) => {
        $crate::queue_conformance! { @tests $fixture;
            claiming {
                the_first_task_in_is_the_first_out,
                a_task_comes_out_as_it_went_in,
                a_claim_takes_no_more_than_it_may,
                a_claim_takes_what_is_there_and_does_not_wait_for_more,
                a_claim_on_an_empty_queue_ends_after_its_wait,
                a_waiting_claim_is_woken_by_a_new_task,
                a_delayed_task_comes_after_its_delay_and_wakes_a_waiting_claim,
                a_delayed_task_holds_nobody_up,
                a_claim_that_waits_for_a_delayed_task_is_woken_by_an_earlier_one,
                delayed_tasks_come_in_the_order_they_become_due,
                a_waiting_claim_that_is_dropped_takes_nothing_with_it,
                tasks_of_all_tenants_are_claimed,
                a_tenants_one_task_is_claimed_within_a_few_claims_whatever_another_has_waiting,
                a_tenants_one_retry_is_claimed_within_a_few_claims_whatever_another_has_to_try_again,
                what_comes_again_and_again_does_not_keep_what_waits_from_its_turn,
            }
            leases {
                a_claimed_task_is_claimed_by_nobody_else,
                an_acknowledged_task_is_forgotten,
                every_answer_to_a_claim_that_was_answered_is_lease_lost,
                a_task_whose_lease_ran_out_is_rescued_and_delivered_again,
                a_lease_is_not_rescued_before_it_ran_out,
                a_rescue_wakes_a_waiting_claim,
                a_rescue_takes_no_more_than_it_may,
                a_claim_that_was_rescued_is_void_and_changes_nothing,
                an_extended_lease_is_not_rescued,
                an_extension_runs_from_now_also_when_that_is_sooner,
                a_retried_task_comes_again_after_its_delay,
                a_dead_letter_never_comes_again,
                two_tasks_may_deliver_one_action,
            }
            books {
                an_action_is_not_missing_while_a_task_waits_is_delayed_or_leased,
                an_action_is_not_missing_after_its_task_was_rescued_or_retried,
                the_action_of_another_tenant_is_another_action,
                an_empty_queue_has_nothing_in_its_books,
                the_books_tell_where_every_task_is,
                a_delayed_task_counts_as_ready_once_it_is_due,
                a_rescued_task_counts_as_ready,
                a_tenants_depth_is_of_what_is_its_own,
            }
            letters {
                a_dead_letter_is_kept_with_its_task_and_reason,
                dead_letters_are_paged_oldest_first_without_gap_or_repetition,
                a_revived_letter_is_claimed_as_a_new_task_and_dead_no_more,
                a_revived_letter_wakes_a_waiting_claim,
                a_discarded_letter_is_gone,
                a_purge_takes_what_is_old_enough,
                a_letter_of_another_tenant_or_of_nobody_is_not_touched,
                of_many_revivers_of_one_letter_one_succeeds,
            }
            races {
                many_claimers_claim_every_task_once,
                many_waiting_claimers_are_woken_for_every_task_while_others_enqueue,
                many_rescuers_rescue_every_task_once,
                of_an_answer_and_a_rescue_one_wins,
            }
        }
    };
}

#[cfg(test)]
mod tests {
    /// A behaviour that the macro does not name would never run.
    #[test]
    fn the_macro_names_every_behaviour() {
        let macro_text = include_str!("mod.rs");
        let groups = [
            include_str!("books.rs"),
            include_str!("claiming.rs"),
            include_str!("leases.rs"),
            include_str!("letters.rs"),
            include_str!("races.rs"),
        ];
        for line in groups.iter().flat_map(|text| text.lines()) {
            let Some(rest) = line.strip_prefix("pub async fn ") else { continue };
            let (name, _) = rest.split_once('(').unwrap();
            assert!(macro_text.contains(&format!(" {name},\n")), "{name} is not in the macro");
        }
    }
}
