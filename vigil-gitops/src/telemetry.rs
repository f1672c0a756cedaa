//! [`Telemetry`]: what the daemon sees and does, for Prometheus. The only file that knows the `prometheus` crate.

use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use vigil_core::clock::Timestamp;

use crate::declaration::{Comparison, ItemState};

/// The documented range, in seconds.
const BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const STATES: [&str; 4] = ["same", "drifted", "suspended", "unknown"];

/// The metrics, in a registry of their own. Labels are bounded: sources by the configuration, the others by closed sets.
#[derive(Debug)]
pub(crate) struct Telemetry {
    registry: Registry,
    latency: HistogramVec,
    items: IntGaugeVec,
    problems: IntGaugeVec,
    heals: IntCounterVec,
    failures: IntCounterVec,
    last_success: GaugeVec,
    sent: IntCounter,
    unsent: IntCounter,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let opts = HistogramOpts::new(
            "vigil_drift_detection_latency_seconds",
            "From when a source was due or a file changed until its difference from what lives was known",
        );
        let latency = HistogramVec::new(opts.buckets(BUCKETS.to_vec()), &["manifest_type", "status"]);
        let gauges = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counters = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let counter = |name: &str, help: &str| IntCounter::new(name, help).expect(VALID);
        let last = Opts::new("vigil_gitops_last_success_timestamp_seconds", "When a source was last compared");
        let telemetry = Self {
            registry: Registry::new(),
            latency: latency.expect(VALID),
            items: gauges("vigil_gitops_items", "Declared items, by how they live", &["source", "state"]).expect(VALID),
            problems: gauges("vigil_gitops_problems", "Declarations that cannot be used", &["source"]).expect(VALID),
            heals: counters("vigil_gitops_heals_total", "Heals, by what came of them", &["source", "result"])
                .expect(VALID),
            failures: counters("vigil_gitops_failures_total", "Comparisons that failed", &["source"]).expect(VALID),
            last_success: GaugeVec::new(last, &["source"]).expect(VALID),
            sent: counter("vigil_gitops_samples_sent_total", "Samples that the server took"),
            unsent: counter("vigil_gitops_rounds_unsent_total", "Rounds whose samples the server did not take"),
        };
        let all: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(telemetry.latency.clone()),
            Box::new(telemetry.items.clone()),
            Box::new(telemetry.problems.clone()),
            Box::new(telemetry.heals.clone()),
            Box::new(telemetry.failures.clone()),
            Box::new(telemetry.last_success.clone()),
            Box::new(telemetry.sent.clone()),
            Box::new(telemetry.unsent.clone()),
        ];
        for collector in all {
            telemetry.registry.register(collector).expect("each name is registered once");
        }
        telemetry
    }

    /// A source was compared.
    pub(crate) fn compared(&self, kind: &str, source: &str, comparison: &Comparison, took: Duration, now: Timestamp) {
        let is_drifted = comparison.items.iter().any(|item| matches!(item.state, ItemState::Drifted(_)));
        let status = if is_drifted { "drifted" } else { "same" };
        self.latency.with_label_values(&[kind, status]).observe(took.as_secs_f64());
        for state in STATES {
            let count = comparison.items.iter().filter(|item| item.state.word() == state).count();
            self.items.with_label_values(&[source, state]).set(whole(count));
        }
        self.problems.with_label_values(&[source]).set(whole(comparison.problems.len()));
        self.last_success.with_label_values(&[source]).set(now.as_micros() as f64 / 1e6);
    }

    /// A source could not be compared.
    pub(crate) fn failed(&self, kind: &str, source: &str, took: Duration) {
        self.latency.with_label_values(&[kind, "failed"]).observe(took.as_secs_f64());
        self.failures.with_label_values(&[source]).inc();
    }

    /// A heal ended: `succeeded`, `failed`, `rejected` or `unknown`.
    pub(crate) fn healed(&self, source: &str, result: &str) {
        self.heals.with_label_values(&[source, result]).inc();
    }

    pub(crate) fn sent(&self, samples: usize) {
        self.sent.inc_by(samples.try_into().unwrap_or(u64::MAX));
    }

    pub(crate) fn unsent(&self) {
        self.unsent.inc();
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("memory can be written");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

fn whole(count: usize) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

const VALID: &str = "the name and the labels are valid";
