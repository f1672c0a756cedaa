//! A condition of your own: `cargo run --example custom_condition`. `ratio_exceeds` is met when one metric is more than so
//! many times another. It is registered under its type, used from YAML, judged by the pure API, and then inside Vigil.
//! Ends with an error if anything is judged wrongly.

use std::error::Error;
use std::sync::Arc;

use serde_json::{Map, Value};
use vigil_core::Vigil;
use vigil_core::clock::{Clock, SystemClock};
use vigil_core::metric::{MetricName, Snapshot};
use vigil_core::policy::{Condition, ConditionRegistry, Policy, PolicySpec, Verdict};
use vigil_core::remediator::DryRun;
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

const POLICIES: &str = "
policies:
  - name: too-many-errors
    target: web-*
    action: restart
    auto_remediate: true
    condition:
      type: all
      conditions:
        - { type: ratio_exceeds, numerator: errors, denominator: requests, ratio: 0.05 }
        - { type: metric_exceeds, metric: requests, threshold: 100 }
";

/// Met when `numerator` is more than `ratio` times `denominator`.
#[derive(Debug)]
struct RatioExceeds {
    /// The numerator, then the denominator.
    metrics: [MetricName; 2],
    ratio: f64,
}

impl RatioExceeds {
    /// Reads the fields beside `type`; an error tells the policy's author what to write.
    fn of(fields: &Map<String, Value>) -> Result<Self, String> {
        let known = ["numerator", "denominator", "ratio"];
        if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
            return Err(format!("{field} is not a field of ratio_exceeds; those are {}", known.join(", ")));
        }
        let metric = |field: &str| {
            let name = fields.get(field).and_then(Value::as_str).ok_or(format!("{field} must be a metric's name"))?;
            MetricName::new(name).map_err(|error| format!("{field} {}", error.problem))
        };
        let ratio = fields.get("ratio").and_then(Value::as_f64).ok_or("ratio must be a number")?;
        Ok(Self { metrics: [metric("numerator")?, metric("denominator")?], ratio })
    }

    /// The sum over the fresh series of a metric; `None` if there is none.
    fn total(metrics: &Snapshot, name: &MetricName) -> Option<f64> {
        metrics.samples(name).map(|sample| sample.value).reduce(|a, b| a + b)
    }
}

impl Condition for RatioExceeds {
    fn evaluate(&self, metrics: &Snapshot) -> Verdict {
        let [numerator, denominator] = &self.metrics;
        match (Self::total(metrics, numerator), Self::total(metrics, denominator)) {
            (Some(part), Some(whole)) if part > self.ratio * whole => Verdict::Met,
            (Some(_), Some(_)) => Verdict::Unmet,
            // No data is no violation and no recovery.
            _ => Verdict::Unknown,
        }
    }

    fn reads(&self) -> &[MetricName] {
        &self.metrics
    }
}

fn ratio_exceeds(fields: &Map<String, Value>) -> Result<Arc<dyn Condition>, String> {
    Ok(Arc::new(RatioExceeds::of(fields)?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = ConditionRegistry::default();
    registry.register("ratio_exceeds", ratio_exceeds);
    let specs = PolicySpec::parse_file(POLICIES, "custom_condition.rs", &registry)?;

    println!("The pure API: a policy is a function of a snapshot.");
    let policy = Policy::compile(TenantId::default(), &specs[0], 1, &registry)?;
    let now = SystemClock.now();
    for (values, expected) in [
        (vec![("errors", 9.0), ("requests", 120.0)], Verdict::Met),
        (vec![("errors", 1.0), ("requests", 120.0)], Verdict::Unmet),
        (vec![("errors", 9.0), ("requests", 20.0)], Verdict::Unmet),
        (vec![("requests", 120.0)], Verdict::Unknown),
    ] {
        let verdict = policy.evaluate(&Snapshot::of(values.iter().copied(), now)?);
        println!("  {values:?} is {}", verdict.as_str());
        expect(verdict == expected, "the verdict")?;
    }

    println!("A mistake is refused where it stands, as with built-in conditions.");
    let mistake = POLICIES.replace("ratio: 0.05", "ratio: high");
    let refused = PolicySpec::parse_file(&mistake, "custom_condition.rs", &registry).err().ok_or("it was taken")?;
    println!("  {refused}");
    expect(refused.to_string().contains("ratio must be a number"), "the reason")?;

    println!("Inside Vigil: the sandbox says what the loop would do.");
    let vigil = Vigil::builder().condition("ratio_exceeds", ratio_exceeds).policies(specs);
    let vigil = vigil.remediator(Arc::new(DryRun::default())).build()?;
    let tried = async {
        let metrics = Snapshot::of([("errors", 9.0), ("requests", 120.0)], now)?;
        let trials = vigil.try_policies(&TenantId::default(), &metrics, Some(&Target::new("web-1")?)).await?;
        let trial = trials.first().ok_or("no policy was tried")?;
        let decision = trial.decision.as_ref().ok_or("nothing was decided")?;
        println!("  {} on {} is {}: {}", trial.policy.name, trial.target, trial.verdict.as_str(), decision.as_str());
        expect(trial.verdict == Verdict::Met && decision.as_str() == "act", "the decision")
    };
    let mut outcome = Ok(());
    vigil.run(async { outcome = tried.await }).await?;
    outcome
}

fn expect(right: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if right { Ok(()) } else { Err(format!("{what} is wrong").into()) }
}
