//! The measurements: a real request, and the real RSS of the process. What cannot be read is not sent.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use vigil_core::Vigil;
use vigil_core::metric::{Metric, MetricName, Tags};
use vigil_core::store::MetricBatch;
use vigil_core::tenant::TenantId;

use super::shop::Shop;

/// Measures the service and tells Vigil.
pub(crate) struct Probe<'a> {
    vigil: &'a Vigil,
    shop: Shop,
    failures: Mutex<u32>,
}

impl<'a> Probe<'a> {
    const INTERVAL: Duration = Duration::from_millis(200);

    pub(crate) fn new(vigil: &'a Vigil, shop: Shop) -> Self {
        Self { vigil, shop, failures: Mutex::new(0) }
    }

    /// Measures until dropped.
    pub(crate) async fn measure(&self) -> Infallible {
        let mut ticks = interval(Self::INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut samples = Vec::new();
            let answer = self.shop.work().await;
            samples.extend(answer.map(|took| ("answer_ms", took.as_secs_f64() * 1e3)));
            samples.push(("health_check_failures", f64::from(self.failed(answer.is_none()))));
            samples.extend(rss_mb(self.shop.pid().await).map(|rss| ("rss_mb", rss)));
            if let Err(error) = self.send(&samples).await {
                eprintln!("the samples were not taken: {error}");
            }
        }
    }

    /// How many requests in a row have failed.
    fn failed(&self, failed: bool) -> u32 {
        let mut failures = self.failures.lock().expect("nothing panics under it");
        *failures = if failed { *failures + 1 } else { 0 };
        *failures
    }

    async fn send(&self, samples: &[(&str, f64)]) -> Result<(), super::Fatal> {
        let (tenant, now) = (TenantId::default(), self.vigil.clock().now());
        let tags = Tags::new([("service", "shop")])?;
        let mut metrics = Vec::new();
        for (name, value) in samples {
            let (name, tags) = (MetricName::new(name)?, tags.clone());
            metrics.push(Metric::new(tenant.clone(), name, *value, tags, None, now, self.vigil.target_tags())?);
        }
        self.vigil.ingest(MetricBatch { tenant, metrics, idempotency: None }).await?;
        Ok(())
    }
}

/// The resident memory of a process in megabytes, as /proc tells it (proc_pid_status(5)).
fn rss_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kilobytes| kilobytes / 1024.0)
}
