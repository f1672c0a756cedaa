//! The suite that every [`Store`] passes: a named test for each sentence of the contract.
//!
//! Implement [`StoreFixture`] for your backend in a test, and hand it to
//! [`store_conformance!`](crate::store_conformance):
//!
//! ```
//! use std::sync::Arc;
//!
//! use vigil_core::store::{MemoryStore, Store};
//! use vigil_core::testing::ManualClock;
//! use vigil_core::testing::store_conformance::StoreFixture;
//!
//! struct Fixture(Arc<MemoryStore>);
//!
//! #[async_trait::async_trait]
//! impl StoreFixture for Fixture {
//!     async fn open(clock: Arc<ManualClock>) -> Option<Self> {
//!         Some(Self(Arc::new(MemoryStore::with_clock(clock))))
//!     }
//!
//!     fn store(&self) -> Arc<dyn Store> {
//!         self.0.clone()
//!     }
//!
//!     async fn reopen(&mut self) -> bool {
//!         false // memory forgets
//!     }
//! }
//!
//! vigil_core::store_conformance!(Fixture);
//! # fn main() {}
//! ```
//!
//! The crate under test needs `vigil-core` with the feature `testing`, `async-trait`, and `tokio` with the features `macros` and
//! `rt-multi-thread` among its dev-dependencies. Every test opens a fixture of its own; they run side by side.
//!
//! The suite moves only the [`ManualClock`] that it hands to [`StoreFixture::open`]; tokio's
//! time is never paused, so that pools and time-outs of real backends work as ever.

use std::sync::Arc;

use async_trait::async_trait;

use crate::store::Store;
use crate::testing::ManualClock;

mod bench;

#[doc(hidden)]
pub mod admission;
#[doc(hidden)]
pub mod audit;
#[doc(hidden)]
pub mod brake;
#[doc(hidden)]
pub mod due;
#[doc(hidden)]
pub mod episodes;
#[doc(hidden)]
pub mod guards;
#[doc(hidden)]
pub mod keys;
#[doc(hidden)]
pub mod leases;
#[doc(hidden)]
pub mod listing;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod policies;
#[doc(hidden)]
pub mod races;
#[doc(hidden)]
pub mod rate;
#[doc(hidden)]
pub mod reading;
#[doc(hidden)]
pub mod reopening;
#[doc(hidden)]
pub mod retention;
#[doc(hidden)]
pub mod scopes;
#[doc(hidden)]
pub mod transitions;

#[doc(hidden)]
pub use bench::StoreBench;

/// A backend under test: one empty Store of its own.
#[async_trait]
pub trait StoreFixture: Send + Sync + 'static {
    /// A fresh, empty Store that judges time by `clock`. `None` if the backend is not there; then the test passes, and the
    /// fixture should have said so, or have panicked where the backend is required.
    async fn open(clock: Arc<ManualClock>) -> Option<Self>
    where
        Self: Sized;

    /// The Store.
    fn store(&self) -> Arc<dyn Store>;

    /// Ends the Store, as abruptly as the fixture can, and opens it anew on the same data and clock. `false` if the backend
    /// forgets everything by design: then there is nothing to check. The suite holds no handle to the old Store.
    async fn reopen(&mut self) -> bool;
}

/// Expands to one `#[tokio::test]` for each sentence of the [`Store`](crate::store::Store) contract, over a
/// [`StoreFixture`](crate::testing::store_conformance::StoreFixture). See
/// [`testing::store_conformance`](crate::testing::store_conformance) for how to run it.
#[macro_export]
macro_rules! store_conformance {
    (@tests $fixture:ty; $($group:ident { $($name:ident,)+ })+) => {$(
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    use $crate::testing::store_conformance::{StoreBench, $group};
                    if let Some(mut bench) = StoreBench::open::<$fixture>().await {
                        $group::$name(&mut bench).await;
                    }
                }
            )+
        }
    )+};
    ($fixture:ty) => {
        $crate::store_conformance! { @tests $fixture;
            metrics {
                a_clock_that_was_ahead_and_stepped_back_freezes_no_series,
                every_sample_gets_an_id_of_its_own,
                an_empty_batch_is_recorded,
                a_sample_is_kept_to_the_last_digit,
                a_snapshot_shows_the_newest_sample_of_each_series,
                a_late_sample_is_stored_but_does_not_replace_a_newer_one,
                of_two_samples_of_one_time_the_later_recorded_is_the_newest,
                one_batch_may_have_many_samples_of_one_series_in_any_order,
                a_snapshot_shows_nothing_older_than_it_is_asked_for,
                a_snapshot_never_mixes_targets,
                samples_come_oldest_first_of_the_named_metrics_only,
                a_late_sample_among_many_is_found_by_its_own_time,
                a_repeated_batch_is_answered_with_the_first_ids_and_not_written_again,
                a_key_used_for_another_batch_is_refused_and_nothing_is_written,
                a_key_is_forgotten_after_a_day,
                keys_of_two_tenants_are_two_keys,
                samples_of_one_tenant_are_not_seen_by_another,
                the_series_of_a_tenant_are_counted_as_far_as_asked,
                the_stores_clock_is_the_one_it_was_given,
            }
            scopes {
                a_clock_that_was_ahead_and_stepped_back_leaves_no_scope_unjudged,
                what_has_samples_is_due_at_once,
                a_scope_is_due_again_after_the_interval_and_not_before,
                a_late_caller_does_not_move_the_beat_unless_it_missed_one,
                the_longest_due_come_first_and_no_more_than_asked_for,
                an_open_episode_alone_keeps_a_scope,
                a_scope_whose_samples_are_gone_is_not_handed_out_until_it_has_new_ones,
                many_callers_share_the_scopes_and_nobody_gets_one_twice,
                the_open_episodes_of_a_scope_are_those_on_its_target,
            }
            guards {
                the_stored_revision_is_admitted_and_any_other_is_not,
                a_policy_that_is_removed_or_was_never_there_has_changed,
                a_policy_that_is_not_in_force_has_changed,
                the_policy_of_another_tenant_does_not_count,
                a_target_with_a_pending_action_is_busy,
                a_target_is_busy_until_nothing_is_or_may_be_in_flight_on_it,
                a_target_is_free_once_its_action_has_ended,
                records_of_clients_make_no_target_busy,
                the_same_target_of_another_tenant_is_not_busy,
                the_cooldown_runs_from_the_newest_action_to_the_very_moment,
                the_cooldown_is_that_of_one_policy_on_one_target,
                the_cooldown_survives_a_policy_that_is_deleted_and_created_again,
                an_action_that_awaits_its_verification_stands_against_the_next,
                evidence_from_before_the_last_actions_end_is_stale,
                evidence_from_before_another_policys_action_has_settled_is_stale,
                evidence_from_between_a_cancellation_and_the_release_is_stale,
                an_action_that_never_began_makes_no_evidence_of_another_policy_stale,
                a_first_action_needs_no_newer_evidence,
                an_episode_has_only_so_many_actions,
                an_episode_that_moved_or_ended_has_changed,
                an_episode_that_somebody_else_changed_is_not_moved_on_whatever_the_guards_say,
                all_guards_together_admit_when_all_hold,
                of_several_guards_the_first_that_does_not_hold_gives_the_reason,
            }
            rate {
                a_tenant_has_so_many_actions_in_a_minute_whenever_that_begins,
                every_action_counts_whoever_wanted_it_and_whatever_became_of_it,
                neither_records_of_clients_nor_other_tenants_use_up_a_minute,
                a_refusal_for_the_rate_is_written_on_the_episode_it_opens,
                a_standing_shows_when_the_tenant_may_have_its_next_action,
                of_many_admitters_on_many_targets_no_more_than_may_be_are_admitted,
            }
            admission {
                an_admitted_action_is_kept_with_every_field,
                every_first_status_is_kept_and_only_pending_is_managed,
                every_action_gets_an_id_of_its_own,
                an_admission_moves_its_episode_on_and_audits_in_one_step,
                an_episode_is_opened_with_the_action_that_it_begins_with_in_one_step,
                an_episode_that_was_to_begin_with_a_refused_action_stays_with_the_refusal,
                an_admission_ends_what_was_refused_before,
                a_refusal_writes_nothing_but_itself_on_the_episode,
                a_repeated_refusal_is_counted_but_audited_only_when_its_reason_changes,
                a_refusal_is_not_written_on_an_episode_that_somebody_else_changed,
                a_refusal_without_an_episode_leaves_no_trace,
                a_repeated_request_is_answered_with_the_action_as_it_was_admitted,
                a_key_used_for_another_action_is_refused,
                an_admission_key_is_forgotten_after_a_day,
                a_refused_request_may_be_sent_again_under_its_key,
                the_same_key_of_another_tenant_is_another_key,
                an_episode_of_another_tenant_is_not_moved_on,
            }
            transitions {
                every_change_of_every_state_does_what_the_state_machine_says,
                a_record_of_a_client_moves_along_the_edges_of_all_25_pairs_and_no_others,
                a_record_of_a_client_moves_on_from_running_without_occupying,
                an_action_that_is_not_there_is_not_found,
                a_change_of_another_version_conflicts_and_changes_nothing,
                a_stale_version_of_a_final_action_conflicts,
                a_refused_change_is_not_audited,
                every_change_is_audited_with_what_it_did,
                a_second_action_cannot_start_on_an_occupied_target,
                a_target_stays_occupied_while_it_is_not_known_that_nothing_is_in_flight,
                an_action_that_is_handed_back_frees_its_target,
                the_next_attempt_keeps_the_occupation_it_has,
                the_same_target_of_another_tenant_is_not_occupied,
                a_change_can_end_the_actions_episode_in_the_same_step,
                a_change_that_should_end_an_episode_that_has_ended_still_happens,
                a_refused_change_ends_no_episode,
            }
            brake {
                nobody_ever_set_a_brake_and_nothing_is_stopped,
                a_brake_is_kept_with_every_field,
                nothing_is_admitted_under_its_guard_while_a_brake_is_on,
                an_action_without_the_guard_is_admitted_and_waits,
                no_attempt_begins_while_a_brake_is_on_and_what_runs_is_finished,
                a_brake_releases_by_itself_when_its_time_has_come,
                a_released_brake_stops_nothing,
                the_brake_of_one_tenant_stops_no_other,
                the_default_tenants_brake_for_all_stops_every_tenant,
                only_the_default_tenants_brake_stops_others,
                a_standing_shows_the_brake_that_lasts_longest,
                every_setting_of_a_brake_is_audited_and_no_refused_start_is,
            }
            leases {
                an_extension_runs_from_now_and_is_no_news,
                a_lease_that_has_run_out_is_not_extended,
                the_lease_of_another_version_is_not_extended,
                an_action_without_a_lease_has_none_to_extend,
                the_lease_of_another_tenants_action_is_not_extended,
                a_running_action_is_taken_over_only_after_its_lease_ran_out,
                an_extended_lease_keeps_others_away,
                an_action_that_was_handed_over_is_taken_at_once_and_counts_no_crash,
                what_a_worker_reports_after_it_was_replaced_is_refused,
            }
            due {
                a_pending_action_is_to_be_delivered_once_its_time_has_come,
                an_expired_pending_action_is_still_to_be_delivered_so_that_somebody_ends_it,
                a_running_action_is_to_be_delivered_when_its_lease_ran_out,
                an_action_that_was_handed_over_is_to_be_delivered_at_once,
                nobody_is_handed_an_indeterminate_or_final_action_to_deliver,
                records_of_clients_are_never_due,
                a_completed_action_is_to_be_verified_once_it_has_settled,
                what_is_handed_out_for_verification_is_hidden_for_a_while,
                only_what_is_handed_out_is_hidden,
                an_indeterminate_action_with_a_condition_is_to_be_verified_once_it_has_settled,
                an_indeterminate_action_that_nothing_verifies_is_due_at_its_deadline,
                an_action_that_nothing_verifies_is_not_to_be_verified,
                a_final_action_that_occupies_its_target_is_due_beyond_its_deadline,
                an_unreported_attempt_occupies_its_target_until_its_deadline_whatever_metrics_prove,
                due_work_is_paged_by_id_over_all_tenants,
            }
            episodes {
                an_opened_episode_is_kept_with_every_field,
                at_most_one_episode_is_open_for_a_policy_on_a_target,
                a_new_episode_opens_after_the_last_one_has_ended,
                every_change_of_an_episode_does_what_the_state_machine_says,
                an_episode_that_has_ended_never_changes,
                a_change_of_another_version_of_an_episode_conflicts,
                an_episode_that_is_not_there_is_not_found,
                only_news_about_an_episode_is_audited,
                a_standing_shows_the_open_episode_and_the_clock,
                a_standing_shows_the_newest_action_of_the_policy_on_the_target,
                a_standing_shows_an_action_that_makes_the_target_busy,
            }
            listing {
                actions_are_listed_newest_first,
                actions_are_paged_without_gap_or_repetition,
                actions_are_filtered_by_status_and_target,
                a_status_is_listed_as_it_is_now,
                actions_of_one_tenant_are_not_listed_for_another,
                episodes_are_listed_and_paged_newest_first,
                episodes_are_filtered_by_state_policy_and_target,
                episodes_of_one_tenant_are_not_listed_for_another,
            }
            policies {
                an_attempt_begins_only_while_the_policy_that_wants_it_is_in_force,
                a_policy_is_kept_with_every_field,
                every_write_raises_the_generation_which_is_the_revision_of_what_it_wrote,
                a_revision_is_never_used_twice,
                a_put_replaces_the_whole_policy,
                a_policy_that_must_be_absent_is_a_duplicate_when_it_is_there,
                a_policy_of_another_revision_than_expected_conflicts,
                a_policy_to_remove_that_is_not_there_is_not_found,
                a_policy_of_an_expected_revision_that_is_gone_is_not_found,
                of_several_writes_all_happen_or_none,
                writes_of_one_call_apply_in_their_order,
                every_write_of_a_policy_is_audited,
                two_tenants_may_have_policies_of_one_name,
                a_watcher_is_told_of_the_next_change,
                a_watcher_that_is_behind_is_told_at_once,
            }
            keys {
                a_key_is_kept_with_every_field,
                a_rotated_key_has_another_digest_and_nothing_else_new,
                a_revoked_key_stays_and_cannot_be_changed_or_made_again,
                a_key_of_another_tenant_is_not_found,
                every_write_of_a_key_raises_the_generation_of_keys_alone,
                every_write_of_a_key_is_audited_for_its_tenant_without_the_digest,
                a_watcher_of_keys_is_told_of_a_revocation,
                of_many_makers_of_one_key_one_succeeds,
                keys_are_there_again_and_their_generation_goes_on,
            }
            audit {
                nobody_sees_an_entry_before_it_has_its_sequence,
                sequences_have_no_gap_and_follow_the_order_of_what_happened,
                an_entry_gets_its_sequence_once,
                the_audit_is_paged_in_order_of_its_sequence,
                news_are_the_entries_of_all_tenants_in_order_of_their_sequence,
                the_audit_is_filtered_by_action_and_by_episode,
                a_tenant_sees_its_own_entries_only,
            }
            reading {
                series_are_listed_by_name_and_target_with_their_newest_sample,
                series_are_filtered_by_name_prefix_and_target,
                series_are_paged_without_gap_or_repetition,
                series_of_one_tenant_are_not_listed_for_another,
                each_step_of_a_range_comes_to_what_was_asked_of_its_samples,
                a_range_begins_with_its_first_moment_and_ends_before_its_last,
                the_last_of_a_step_is_of_one_time_the_one_recorded_last,
                a_range_shows_a_late_sample_at_its_own_time,
                a_range_has_a_line_for_each_series_and_is_filtered_by_target_and_tags,
                a_range_of_too_many_points_says_of_how_many_series,
                an_episode_is_found_by_its_id_and_tenant,
                the_audit_is_filtered_by_policy_target_kind_and_time,
                a_note_is_an_entry_of_the_audit,
            }
            retention {
                samples_received_before_the_given_time_go,
                a_late_sample_is_kept_by_the_time_of_its_receipt,
                final_actions_from_before_the_given_time_go,
                an_action_that_something_is_still_to_be_done_about_stays,
                an_action_of_a_policy_stays_for_as_long_as_a_cooldown_may_last,
                ended_episodes_from_before_the_given_time_go,
                old_entries_of_the_audit_go_and_their_sequences_do_not_come_back,
                an_entry_that_nobody_could_see_yet_stays,
                pruning_nothing_removes_nothing,
            }
            races {
                of_many_admitters_for_one_target_one_is_admitted,
                of_many_that_open_an_episode_with_an_action_one_does,
                of_many_admitters_for_one_policy_and_target_one_is_admitted_by_each_guard_alone,
                of_many_admitters_for_one_episode_one_moves_it_on,
                of_many_starters_on_one_target_one_occupies_it,
                of_many_changes_of_one_version_one_happens,
                a_heartbeat_and_a_takeover_do_not_both_succeed,
                a_heartbeat_beside_the_outcome_does_not_void_it,
                of_many_openers_of_one_episode_all_get_the_same,
                of_many_writers_of_one_policy_one_succeeds,
                writers_of_different_policies_all_get_a_generation_of_their_own,
                many_recorders_lose_no_sample_and_the_newest_wins,
                of_many_batches_with_one_key_one_is_written,
                of_many_requests_with_one_key_one_is_admitted,
                no_attempt_begins_after_a_brake_was_answered,
                nothing_is_admitted_under_the_guard_after_a_brake_was_answered,
                no_attempt_begins_after_the_removal_of_its_policy_was_answered,
                many_verifiers_are_handed_each_action_once,
                many_sequencers_leave_no_gap_and_no_double,
                entries_written_while_others_are_sequenced_are_all_sequenced,
                a_call_that_is_dropped_has_its_whole_effect_or_none_and_leaves_nothing_behind,
            }
            reopening {
                recorded_samples_are_there_again,
                actions_are_there_again_in_every_state,
                what_is_due_is_due_again,
                targets_stay_occupied_and_busy,
                episodes_are_there_again_with_their_refusals,
                policies_are_there_again_and_the_generation_goes_on,
                the_audit_is_there_again_and_its_sequence_goes_on,
                a_request_is_still_known_by_its_key,
                a_brake_is_there_again,
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
            include_str!("admission.rs"),
            include_str!("audit.rs"),
            include_str!("brake.rs"),
            include_str!("due.rs"),
            include_str!("episodes.rs"),
            include_str!("guards.rs"),
            include_str!("keys.rs"),
            include_str!("leases.rs"),
            include_str!("listing.rs"),
            include_str!("metrics.rs"),
            include_str!("policies.rs"),
            include_str!("races.rs"),
            include_str!("rate.rs"),
            include_str!("reading.rs"),
            include_str!("reopening.rs"),
            include_str!("retention.rs"),
            include_str!("scopes.rs"),
            include_str!("transitions.rs"),
        ];
        for line in groups.iter().flat_map(|text| text.lines()) {
            let Some(rest) = line.strip_prefix("pub async fn ") else { continue };
            let (name, _) = rest.split_once('(').unwrap();
            assert!(macro_text.contains(&format!(" {name},\n")), "{name} is not in the macro");
        }
    }
}
