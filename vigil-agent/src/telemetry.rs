//! [`Telemetry`]: what the agent does, for Prometheus. The only file that knows the `prometheus` crate.

use prometheus::{Encoder, IntCounter, IntGauge, Opts, Registry, TextEncoder};

/// The metrics, in a registry of their own.
#[derive(Debug)]
pub(crate) struct Telemetry {
    registry: Registry,
    collected: IntCounter,
    sent: IntCounter,
    dropped: IntCounter,
    refused: IntCounter,
    failures: IntCounter,
    waiting: IntGauge,
    bytes: IntGauge,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let counter = |name: &str, help: &str| IntCounter::new(name, help).expect(VALID);
        let gauge = |name: &str, help: &str| IntGauge::new(name, help).expect(VALID);
        let telemetry = Self {
            registry: Registry::new(),
            collected: counter("vigil_agent_samples_collected_total", "Samples that were measured"),
            sent: counter("vigil_agent_samples_sent_total", "Samples that the server took"),
            dropped: counter(
                "vigil_agent_samples_dropped_total",
                "Samples that were lost: the buffer was full or broken",
            ),
            refused: counter("vigil_agent_samples_refused_total", "Samples that the server refused for good"),
            failures: counter("vigil_agent_send_failures_total", "Requests that have to be sent again"),
            waiting: gauge("vigil_agent_samples_waiting", "Samples in the buffer"),
            bytes: gauge("vigil_agent_buffer_bytes", "How large the buffer is"),
        };
        let build =
            Opts::new("vigil_build_info", "The version that runs").const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(build).expect(VALID);
        build.set(1);
        let all: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(telemetry.collected.clone()),
            Box::new(telemetry.sent.clone()),
            Box::new(telemetry.dropped.clone()),
            Box::new(telemetry.refused.clone()),
            Box::new(telemetry.failures.clone()),
            Box::new(telemetry.waiting.clone()),
            Box::new(telemetry.bytes.clone()),
            Box::new(build),
        ];
        for collector in all {
            telemetry.registry.register(collector).expect("each name is registered once");
        }
        telemetry
    }

    pub(crate) fn collected(&self, samples: u64) {
        self.collected.inc_by(samples);
    }

    pub(crate) fn sent(&self, samples: u64) {
        self.sent.inc_by(samples);
    }

    pub(crate) fn dropped(&self, samples: u64) {
        self.dropped.inc_by(samples);
    }

    pub(crate) fn refused(&self, samples: u64) {
        self.refused.inc_by(samples);
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    pub(crate) fn encode(&self, waiting: u64, bytes: u64) -> String {
        self.waiting.set(waiting.try_into().unwrap_or(i64::MAX));
        self.bytes.set(bytes.try_into().unwrap_or(i64::MAX));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("memory can be written");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

const VALID: &str = "the name and the labels are valid";
