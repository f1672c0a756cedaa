//! A Rust service embeds the loop: `cargo run --example embed`. One sample is bad, Vigil acts, the next proves that it worked.

use std::{sync::Arc, time::Duration};
use vigil_core::metric::{Metric, MetricName, Tags};
use vigil_core::policy::{ConditionRegistry, PolicySpec};
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use vigil_core::{Settings, Vigil, store::MetricBatch, tenant::TenantId};
use vigil_core::{action::IdempotencyKey, action::Verification, events::Event};

const POLICY: &str = "- {name: cache-too-big, target: cache, action: custom, auto_remediate: true,
   condition: {type: metric_exceeds, metric: entries, threshold: 1000}}";

/// Your service's own hands.
#[derive(Debug)]
struct EmptyTheCache;

#[async_trait::async_trait]
impl Remediator for EmptyTheCache {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        Ok(Outcome::Succeeded { details: Some(format!("{} emptied", request.target)) })
    }
    async fn probe(&self, _: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        Ok(Probe::Unknown) // it remembers nothing: what is not known is never done twice
    }
    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policies = PolicySpec::parse_file(POLICY, "embed.rs", &ConditionRegistry::default())?;
    let settings = Settings { settle: Duration::from_millis(100), ..Settings::default() };
    let vigil = Vigil::builder().policies(policies).settings(settings).remediator(Arc::new(EmptyTheCache)).build()?;
    let mut events = vigil.events().subscribe();
    let measured = async |entries: f64| {
        let (tenant, tags, now) = (TenantId::default(), Tags::new([("service", "cache")])?, vigil.clock().now());
        let metric =
            Metric::new(tenant.clone(), MetricName::new("entries")?, entries, tags, None, now, vigil.target_tags())?;
        vigil.ingest(MetricBatch { tenant, metrics: vec![metric], idempotency: None }).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    measured(5000.0).await?;
    let healed = async {
        while let Ok(event) = events.recv().await {
            let Event::Action(action) = event else { continue };
            println!("action {} on {}: {}, {}", action.id, action.target, action.status, action.phase().as_str());
            match action.verification {
                Some(Verification::Awaiting) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    measured(3.0).await.expect("the sample is taken");
                }
                Some(proof) => return println!("{proof}: {}", action.details.as_deref().unwrap_or_default()),
                None => {}
            }
        }
    };
    Ok(vigil.run(healed).await?)
}
