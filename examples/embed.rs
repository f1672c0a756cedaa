//! A Rust service embeds the loop: `cargo run --example embed`. One sample violates a policy; Vigil restarts the cache,
//! and the next sample proves that it worked.

use std::{sync::Arc, time::Duration};

use vigil_core::action::{IdempotencyKey, Verification};
use vigil_core::clock::{Clock, SystemClock};
use vigil_core::events::Event;
use vigil_core::metric::{Metric, MetricName, Tags};
use vigil_core::policy::{ConditionRegistry, PolicySpec};
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use vigil_core::{Settings, Vigil, store::MetricBatch, tenant::TenantId};

const POLICY: &str = "
- name: cache-too-big
  target: cache
  condition: { type: metric_exceeds, metric: entries, threshold: 1000 }
  action: restart
  auto_remediate: true
";

/// Your service's own hands.
#[derive(Debug)]
struct RestartTheCache;

#[async_trait::async_trait]
impl Remediator for RestartTheCache {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        println!("{} {} (key {}, attempt {})", request.action, request.target, request.key, request.attempt);
        Ok(Outcome::Succeeded { details: Some("cache emptied".into()) })
    }
    async fn probe(&self, _: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        Ok(Probe::Unknown) // this process forgets: what it does not know is never done twice
    }
    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policies = PolicySpec::parse_file(POLICY, "embed.rs", &ConditionRegistry::default())?;
    let settings = Settings { settle: Duration::from_millis(100), ..Settings::default() };
    let vigil = Vigil::builder().policies(policies).settings(settings).remediator(Arc::new(RestartTheCache)).build()?;
    let mut events = vigil.events().subscribe();
    let measure = async |entries: f64| {
        let (tenant, tags, now) = (TenantId::default(), Tags::new([("service", "cache")])?, SystemClock.now());
        let metric =
            Metric::new(tenant.clone(), MetricName::new("entries")?, entries, tags, None, now, vigil.target_tags())?;
        vigil.ingest(MetricBatch { tenant, metrics: vec![metric], idempotency: None }).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let healed = async {
        measure(5000.0).await.expect("the sample is taken");
        while let Ok(event) = events.recv().await {
            let Event::Action(action) = event else { continue };
            println!("action {}: {}, {}", action.id, action.status, action.phase().as_str());
            match action.verification {
                Some(Verification::Awaiting) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    measure(3.0).await.expect("the sample is taken");
                }
                Some(proof) => return println!("{proof}: {}", action.details.clone().unwrap_or_default()),
                None => {}
            }
        }
    };
    Ok(vigil.run(healed).await?)
}
