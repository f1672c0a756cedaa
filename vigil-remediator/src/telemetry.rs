//! [`Telemetry`]: what was done, for Prometheus. The only file that knows the `prometheus` crate.

use std::time::Duration;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, RemediatorError};

/// From a dry run to a long rollout, in seconds.
const BUCKETS: [f64; 10] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 120.0, 300.0];

/// The metrics, in a registry of their own.
#[derive(Debug)]
pub(crate) struct Telemetry {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    replays: IntCounter,
    acting: IntGauge,
    keys: IntGauge,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let opts = Opts::new("vigil_remediator_requests_total", "Requests, by what was answered");
        let requests = IntCounterVec::new(opts, &["executor", "action", "answer"]).expect(VALID);
        let opts = HistogramOpts::new("vigil_remediator_request_duration_seconds", "How long the answer took");
        let durations = HistogramVec::new(opts.buckets(BUCKETS.to_vec()), &["executor", "action"]).expect(VALID);
        let counter = |name: &str, help: &str| IntCounter::new(name, help).expect(VALID);
        let gauge = |name: &str, help: &str| IntGauge::new(name, help).expect(VALID);
        let telemetry = Self {
            registry: Registry::new(),
            requests,
            durations,
            replays: counter("vigil_remediator_replays_total", "Requests under a key whose outcome was known"),
            acting: gauge("vigil_remediator_in_flight", "Remediations being carried out"),
            keys: gauge("vigil_remediator_keys", "Keys that are remembered"),
        };
        let build =
            Opts::new("vigil_build_info", "The version that runs").const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(build).expect(VALID);
        build.set(1);
        let all: [Box<dyn prometheus::core::Collector>; 6] = [
            Box::new(telemetry.requests.clone()),
            Box::new(telemetry.durations.clone()),
            Box::new(telemetry.replays.clone()),
            Box::new(telemetry.acting.clone()),
            Box::new(telemetry.keys.clone()),
            Box::new(build),
        ];
        for collector in all {
            telemetry.registry.register(collector).expect("each name is registered once");
        }
        telemetry
    }

    pub(crate) fn answered(
        &self,
        executor: Option<&str>,
        action: ActionType,
        answer: &Result<Outcome, RemediatorError>,
        took: Duration,
    ) {
        let executor = executor.unwrap_or("none");
        let word = match answer {
            Ok(Outcome::Succeeded { .. }) => "succeeded",
            Ok(Outcome::Rejected { .. }) => "rejected",
            Ok(Outcome::Failed { .. }) => "failed",
            Ok(Outcome::InProgress) => "in_progress",
            Err(RemediatorError::Throttled { .. }) => "throttled",
            Err(RemediatorError::Indeterminate(_)) => "indeterminate",
            Err(RemediatorError::Stale) => "stale",
            Err(_) => "unavailable",
        };
        self.requests.with_label_values(&[executor, action.as_str(), word]).inc();
        self.durations.with_label_values(&[executor, action.as_str()]).observe(took.as_secs_f64());
    }

    pub(crate) fn replayed(&self) {
        self.replays.inc();
    }

    pub(crate) fn encode(&self, acting: usize, keys: u64) -> String {
        self.acting.set(acting.try_into().unwrap_or(i64::MAX));
        self.keys.set(keys.try_into().unwrap_or(i64::MAX));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("memory can be written");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

const VALID: &str = "the name and the labels are valid";
