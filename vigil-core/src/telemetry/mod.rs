//! [`Telemetry`]: what Prometheus sees. The only folder that names the `prometheus` crate.

use std::fmt;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge, IntGaugeVec, Opts, TextEncoder};

use crate::action::{ActionStatus, ActionType, Verification};
use crate::policy::Verdict;

mod tally;
#[cfg(test)]
mod tests;

use tally::{OTHER, Tally};

const REQUEST_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const REMEDIATION_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
const VERIFICATION_BUCKETS: &[f64] = &[1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0];
const LOOP_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Vigil's counters, gauges and histograms. They are registered nowhere: two `Vigil`s in one process do not mix, and the
/// process's global registry is left alone.
///
/// Labels that a caller chooses (targets, metric and policy names, endpoints) have at most 1000 values each; what
/// comes later is counted under `other`.
pub struct Telemetry {
    requests: Tally<(&'static str, u16)>,
    request_latency: HistogramVec,
    ingested: Tally<()>,
    stale_samples: IntCounter,
    evaluations: Tally<&'static str>,
    violations: Tally<()>,
    decisions: Tally<&'static str>,
    actions: Tally<(ActionType, ActionStatus)>,
    worker_tasks: Tally<()>,
    queue_operations: Tally<()>,
    queue_length: IntGauge,
    dead_letters: IntGauge,
    backend_up: IntGaugeVec,
    worker_active: IntGauge,
    brake_stopped: IntGauge,
    remediation: Histogram,
    remediator_answers: Tally<()>,
    verification: HistogramVec,
    loop_latency: Histogram,
    build_info: IntGauge,
}

impl Telemetry {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Self {
        let build = Opts::new("vigil_build_info", "Always 1; the label says which version runs.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let build_info = IntGauge::with_opts(build).expect(VALID);
        build_info.set(1);
        let telemetry = Self {
            requests: Tally::new(
                "vigil_requests_total",
                "HTTP requests answered.",
                &["endpoint", "method", "status"],
                |(method, status)| vec![(*method).to_owned(), status.to_string()],
            ),
            request_latency: HistogramVec::new(
                histogram("vigil_request_latency_seconds", "Time from a request to its answer.", REQUEST_BUCKETS),
                &["endpoint"],
            )
            .expect(VALID),
            ingested: Tally::new("vigil_ingest_total", "Samples committed.", &["metric_name"], |()| vec![]),
            stale_samples: IntCounter::new(
                "vigil_stale_samples_total",
                "Samples stored but not judged, being older than the newest of their series.",
            )
            .expect(VALID),
            evaluations: Tally::new(
                "vigil_policy_evaluation_total",
                "Evaluations of policies: violated, ok, unknown (no fresh data), error (the condition panicked).",
                &["policy_name", "result"],
                |result| vec![(*result).to_owned()],
            ),
            violations: Tally::new("vigil_policy_violations_total", "Violations found.", &["policy_name"], |()| vec![]),
            decisions: Tally::new(
                "vigil_decisions_total",
                "What was decided about violations, and why.",
                &["decision", "reason"],
                |reason| vec![(*reason).to_owned()],
            ),
            actions: Tally::new(
                "vigil_actions_total",
                "Actions that reached a status.",
                &["target", "action", "status"],
                |(action, status)| vec![action.to_string(), status.to_string()],
            ),
            worker_tasks: Tally::new(
                "vigil_worker_tasks_total",
                "Tasks that workers dealt with.",
                &["status"],
                |()| vec![],
            ),
            queue_operations: Tally::new(
                "vigil_queue_operations_total",
                "Operations on the queue.",
                &["operation"],
                |()| vec![],
            ),
            queue_length: IntGauge::new("vigil_queue_length", "Tasks waiting in the queue, due retries included.")
                .expect(VALID),
            dead_letters: IntGauge::new(
                "vigil_queue_dead_letters",
                "Tasks kept aside because nobody can carry them out.",
            )
            .expect(VALID),
            backend_up: IntGaugeVec::new(
                Opts::new("vigil_backend_up", "Whether the store and the queue answered when last asked: 1 or 0."),
                &["backend"],
            )
            .expect(VALID),
            worker_active: IntGauge::new("vigil_worker_active", "Whether a worker runs: 1 or 0.").expect(VALID),
            brake_stopped: IntGauge::new(
                "vigil_brake_stopped",
                "How many tenants' brakes are on, as this process last saw.",
            )
            .expect(VALID),
            remediation: Histogram::with_opts(histogram(
                "vigil_remediation_duration_seconds",
                "Time from a call of the remediator to its answer, or to giving up on it.",
                REMEDIATION_BUCKETS,
            ))
            .expect(VALID),
            remediator_answers: Tally::new(
                "vigil_remediator_answers_total",
                "Calls of the remediator by what came of them: succeeded, rejected, failed, in_progress, not_taken, stale, unknown.",
                &["answer"],
                |()| vec![],
            ),
            verification: HistogramVec::new(
                histogram(
                    "vigil_verification_latency_seconds",
                    "Time from the end of an action to the verdict of fresh samples on it.",
                    VERIFICATION_BUCKETS,
                ),
                &["verification"],
            )
            .expect(VALID),
            loop_latency: Histogram::with_opts(histogram(
                "vigil_loop_latency_seconds",
                "Time from receiving the violating sample to calling the remediator.",
                LOOP_BUCKETS,
            ))
            .expect(VALID),
            build_info,
        };
        telemetry.begin_at_zero();
        telemetry
    }

    /// Writes what is counted under words of closed sets from the start: Prometheus cannot tell that a series that comes
    /// with its first count has grown.
    fn begin_at_zero(&self) {
        for answer in ["succeeded", "rejected", "failed", "in_progress", "not_taken", "stale", "unknown"] {
            self.remediator_answers.add(answer, (), 0);
        }
        for status in ["completed", "duplicate", "retried", "dead"] {
            self.worker_tasks.add(status, (), 0);
        }
        for operation in ["enqueue", "dequeue"] {
            self.queue_operations.add(operation, (), 0);
        }
        for verification in [Verification::Verified, Verification::Ineffective, Verification::Inconclusive] {
            self.verification.with_label_values(&[verification.as_str()]);
        }
    }

    /// A request was answered. `endpoint` is the route's template, never the raw path; a method that HTTP does not
    /// define is counted as `other`.
    pub fn request(&self, method: &str, endpoint: &str, status: u16, took: Duration) {
        let own = self.requests.add(endpoint, (method_of(method), status), 1);
        let endpoint = if own { endpoint } else { OTHER };
        self.request_latency.with_label_values(&[endpoint]).observe(took.as_secs_f64());
    }

    /// `count` samples of one metric were committed.
    pub fn ingested(&self, metric_name: &str, count: u64) {
        self.ingested.add(metric_name, (), count);
    }

    /// `count` samples were older than the newest of their series: stored, not judged.
    pub fn stale_samples(&self, count: u64) {
        self.stale_samples.inc_by(count);
    }

    /// A policy was evaluated. `panicked`: its condition did, whatever the verdict.
    pub fn evaluated(&self, policy: &str, verdict: Verdict, panicked: bool) {
        let result = match verdict {
            _ if panicked => "error",
            Verdict::Met => "violated",
            Verdict::Unmet => "ok",
            Verdict::Unknown => "unknown",
        };
        self.evaluations.add(policy, result, 1);
    }

    /// A violation of a policy was found.
    pub fn violated(&self, policy: &str) {
        self.violations.add(policy, (), 1);
    }

    /// It was decided what to do about a violation; both words come from closed sets.
    pub fn decided(&self, decision: &'static str, reason: &'static str) {
        self.decisions.add(decision, reason, 1);
    }

    /// An action reached a status.
    pub fn action(&self, target: &str, action: ActionType, status: ActionStatus) {
        self.actions.add(target, (action, status), 1);
    }

    /// A worker dealt with a task; `status` comes from a closed set.
    pub fn worker_task(&self, status: &'static str) {
        self.worker_tasks.add(status, (), 1);
    }

    /// Something was done to the queue; `operation` comes from a closed set.
    pub fn queue_operation(&self, operation: &'static str) {
        self.queue_operations.add(operation, (), 1);
    }

    /// How many tasks wait, due retries included.
    pub fn queue_length(&self, tasks: u64) {
        self.queue_length.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }

    /// How many tasks are kept aside.
    pub fn dead_letters(&self, tasks: u64) {
        self.dead_letters.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }

    /// Whether a backend answered; `backend` comes from a closed set.
    pub fn backend_up(&self, backend: &'static str, up: bool) {
        self.backend_up.with_label_values(&[backend]).set(up.into());
    }

    /// Whether a worker runs.
    pub fn worker_active(&self, active: bool) {
        self.worker_active.set(active.into());
    }

    /// How many brakes are on.
    pub fn brakes_stopped(&self, brakes: usize) {
        self.brake_stopped.set(i64::try_from(brakes).unwrap_or(i64::MAX));
    }

    /// The remediator answered, or was given up, after this long.
    pub fn remediation(&self, took: Duration) {
        self.remediation.observe(took.as_secs_f64());
    }

    /// What came of a call of the remediator; `answer` comes from a closed set.
    pub fn remediator_answered(&self, answer: &'static str) {
        self.remediator_answers.add(answer, (), 1);
    }

    /// The verdict on an action came this long after its end.
    pub fn verified(&self, verification: Verification, took: Duration) {
        self.verification.with_label_values(&[verification.as_str()]).observe(took.as_secs_f64());
    }

    /// From receiving the violating sample to calling the remediator it took this long.
    pub fn loop_latency(&self, took: Duration) {
        self.loop_latency.observe(took.as_secs_f64());
    }

    /// Everything in Prometheus's text format 0.0.4, every name with its `HELP` and `TYPE`, also those that have
    /// counted nothing yet.
    ///
    /// Takes milliseconds per ten thousand series: call it where blocking is allowed.
    #[must_use]
    pub fn encode(&self) -> String {
        let collectors: [&dyn Collector; 20] = [
            &self.build_info,
            &self.requests,
            &self.request_latency,
            &self.ingested,
            &self.stale_samples,
            &self.evaluations,
            &self.violations,
            &self.decisions,
            &self.actions,
            &self.worker_tasks,
            &self.worker_active,
            &self.brake_stopped,
            &self.queue_operations,
            &self.queue_length,
            &self.dead_letters,
            &self.backend_up,
            &self.remediation,
            &self.remediator_answers,
            &self.verification,
            &self.loop_latency,
        ];
        let mut text: String = collectors.iter().flat_map(|collector| collector.collect()).map(|f| write(&f)).collect();
        text.push_str(&self.action_count());
        text
    }

    /// The documented second name of `vigil_actions_total`. As a counter or gauge it would have to be named otherwise,
    /// so it is untyped, a type that the crate's encoder panics on: it writes a counter, and the type is corrected.
    fn action_count(&self) -> String {
        const TYPE: &str = "# TYPE vigil_action_count";
        let mut family = self.actions.family();
        family.set_name("vigil_action_count".to_owned());
        family.set_help("The same as vigil_actions_total, under its first name.".to_owned());
        write(&family).replacen(&format!("{TYPE} counter"), &format!("{TYPE} untyped"), 1)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive() // its thousands of numbers are for `encode`
    }
}

const VALID: &str = "names, labels, help and buckets are constants and valid";

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets.to_vec())
}

/// The family as text; the crate's encoder refuses one that has counted nothing, of which the header is written.
fn write(family: &MetricFamily) -> String {
    if family.get_metric().is_empty() {
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        return format!("# HELP {0} {1}\n# TYPE {0} {kind}\n", family.name(), family.help());
    }
    TextEncoder::new().encode_to_string(std::slice::from_ref(family)).expect(VALID)
}

/// The method if HTTP defines it: a client may send any word.
fn method_of(word: &str) -> &'static str {
    const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    METHODS.into_iter().find(|method| *method == word).unwrap_or(OTHER)
}
