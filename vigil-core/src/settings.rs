//! [`Settings`]: every number of the control loop, with its documented default.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::policy::Limits;
use crate::retry::RetryPolicy;
use crate::target::TargetTags;
use crate::tenant::TenantId;

/// Every number of the control loop. Change what you must with struct update syntax:
/// `Settings { staleness: Duration::from_secs(60), ..Settings::default() }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The tags that may name a sample's target, the first present one wins.
    pub target_tags: TargetTags,
    /// How old a sample may be and still count as data.
    pub staleness: Duration,
    /// How many actions an episode may have before a person must look.
    pub actions_per_episode: u32,
    /// How many actions tenants may have in a minute.
    pub actions_per_minute: ActionLimits,
    /// How long an admitted action may wait to be started; also how old the evidence of an Unknown condition may be.
    pub expires_after: Duration,
    /// After how long without a known verdict an episode ends.
    pub unknown_after: Duration,
    /// How soon a blocked violation is looked at again when no passing of time is known to free it.
    pub recheck: Duration,
    /// How many actions this process carries out at a time; 0 for none.
    pub workers: usize,
    /// How long a worker holds an action without a heartbeat.
    pub lease: Duration,
    /// How often it gives one.
    pub heartbeat: Duration,
    /// How much of the lease must be left before anything is sent.
    pub lease_margin: Duration,
    /// How long one call of the remediator may take.
    pub remediation_timeout: Duration,
    /// How long an attempt may take in all, polling included.
    pub deadline: Duration,
    /// The waits between attempts, and how many there may be.
    pub retry: RetryPolicy,
    /// How many workers may be lost on one action.
    pub max_crashes: u32,
    /// How long an action's effect takes to show in metrics.
    pub settle: Duration,
    /// How long after that a proof is waited for.
    pub verify: Duration,
    /// How often actions awaiting verification are looked at.
    pub verify_interval: Duration,
    /// How often what fell between the steps is picked up.
    pub reconcile_interval: Duration,
    /// The sweep over all targets.
    pub runner: RunnerSettings,
    /// How long samples are kept.
    pub metric_retention: Duration,
    /// How long final actions, ended episodes and the audit are kept.
    pub history_retention: Duration,
    /// How many lanes evaluate samples side by side; one target's samples always take the same.
    pub lanes: usize,
    /// How many samples may wait in a lane; beyond that targets are judged from their stored snapshot.
    pub lane_capacity: usize,
    /// How long work in flight may take after shutdown was asked for.
    pub grace: Duration,
}

/// How many actions tenants may have within a minute, whenever that begins: those that their policies want and those that are
/// asked for, together and over all replicas. What clients record of what was done elsewhere does not count. `None` is no
/// limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionLimits {
    /// Of every tenant that has none of its own.
    pub default: Option<NonZeroU32>,
    /// Of single tenants, in the place of the default one.
    pub tenants: HashMap<TenantId, Option<NonZeroU32>>,
}

impl ActionLimits {
    /// That of a tenant.
    pub fn of(&self, tenant: &TenantId) -> Option<NonZeroU32> {
        self.tenants.get(tenant).copied().unwrap_or(self.default)
    }
}

/// The sweep that judges every target whether or not a sample came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Whether it runs.
    pub enabled: bool,
    /// From one sweep to the next.
    pub interval: Duration,
    /// How many targets it reads at a time.
    pub batch_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        const fn seconds(n: u64) -> Duration {
            Duration::from_secs(n)
        }
        const DAY: u64 = 86_400;
        Self {
            target_tags: TargetTags::default(),
            staleness: seconds(300),
            actions_per_episode: 3,
            actions_per_minute: ActionLimits::default(),
            expires_after: seconds(600),
            unknown_after: seconds(3600),
            recheck: seconds(5),
            workers: 8,
            lease: seconds(30),
            heartbeat: seconds(10),
            lease_margin: seconds(5),
            remediation_timeout: seconds(30),
            deadline: seconds(300),
            retry: RetryPolicy::default(),
            max_crashes: 3,
            settle: seconds(15),
            verify: seconds(60),
            verify_interval: seconds(1),
            reconcile_interval: seconds(5),
            runner: RunnerSettings { enabled: true, interval: seconds(30), batch_size: 100 },
            metric_retention: seconds(7 * DAY),
            history_retention: seconds(90 * DAY),
            lanes: 4,
            lane_capacity: 1024,
            grace: seconds(30),
        }
    }
}

impl Settings {
    /// What bounds the planner for a tenant.
    pub fn limits(&self, tenant: &TenantId) -> Limits {
        Limits {
            actions_per_episode: self.actions_per_episode,
            expires_after: self.expires_after,
            actions_per_minute: self.actions_per_minute.of(tenant),
        }
    }

    /// Checks that no two of them contradict each other.
    ///
    /// # Errors
    /// One sentence that names the settings and says what they must be.
    pub fn check(&self) -> Result<(), String> {
        if self.lanes == 0 || self.lane_capacity == 0 || self.runner.batch_size == 0 {
            return Err("lanes, lane_capacity and runner.batch_size must be at least 1".to_owned());
        }
        let positive = [
            ("staleness", self.staleness),
            ("expires_after", self.expires_after),
            ("recheck", self.recheck),
            ("heartbeat", self.heartbeat),
            ("remediation_timeout", self.remediation_timeout),
            ("verify_interval", self.verify_interval),
            ("reconcile_interval", self.reconcile_interval),
            ("runner.interval", self.runner.interval),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| value.is_zero()) {
            return Err(format!("{name} must be longer than zero"));
        }
        if self.heartbeat + self.lease_margin >= self.lease {
            return Err("lease must be longer than heartbeat and lease_margin together".to_owned());
        }
        // What is shorter than its counterpart would end before that had a chance.
        let ordered = [
            (("staleness", self.staleness), ("unknown_after", self.unknown_after)),
            (("staleness", self.staleness), ("metric_retention", self.metric_retention)),
            (("settle and verify together", self.settle + self.verify), ("metric_retention", self.metric_retention)),
            (("unknown_after", self.unknown_after), ("history_retention", self.history_retention)),
            (("expires_after", self.expires_after), ("history_retention", self.history_retention)),
            (("deadline", self.deadline), ("history_retention", self.history_retention)),
        ];
        match ordered.into_iter().find(|((_, shorter), (_, longer))| shorter > longer) {
            Some(((shorter, least), (longer, given))) => Err(format!(
                "{longer} ({} s) must be at least as long as {shorter} ({} s)",
                given.as_secs_f64(),
                least.as_secs_f64()
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that panics has failed
mod tests {
    use super::*;

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check()
        };
        assert_eq!(Settings::default().check(), Ok(()));
        assert_eq!(
            with(|s| s.lease = Duration::from_secs(15)).unwrap_err(),
            "lease must be longer than heartbeat and lease_margin together"
        );
        type Case = (fn(&mut Settings), &'static str);
        let cases: [Case; 7] = [
            (
                |s| s.history_retention = Duration::ZERO,
                "history_retention (0 s) must be at least as long as unknown_after (3600 s)",
            ),
            (
                |s| s.metric_retention = Duration::from_secs(60),
                "metric_retention (60 s) must be at least as long as staleness (300 s)",
            ),
            (
                |s| s.unknown_after = Duration::from_secs(60),
                "unknown_after (60 s) must be at least as long as staleness (300 s)",
            ),
            (|s| s.verify = Duration::from_secs(8 * 86_400), "must be at least as long as settle and verify together"),
            (|s| s.recheck = Duration::ZERO, "recheck must be longer than zero"),
            (|s| s.expires_after = Duration::ZERO, "expires_after must be longer than zero"),
            (|s| s.runner.batch_size = 0, "runner.batch_size must be at least 1"),
        ];
        for (change, problem) in cases {
            let refused = with(change).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
        assert_eq!(with(|s| s.settle = Duration::ZERO), Ok(()));
    }
}
