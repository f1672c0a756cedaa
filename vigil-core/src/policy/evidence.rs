//! Evidence of an open episode: the samples that violated its condition. What recovers must be seen to recover.

use std::collections::HashSet;

use super::{Evaluation, Policy, Verdict};
use crate::clock::Timestamp;
use crate::episode::Episode;
use crate::metric::{MetricName, Sample, Snapshot, Tags};

/// The verdict on an open episode with this evidence. An Unmet is recovery only if the snapshot shows a sample of every
/// series of the evidence; otherwise it is Unknown: a healthy series proves nothing about a silent one.
pub fn recovery_verdict(verdict: Verdict, evidence: &[Sample], metrics: &Snapshot) -> Verdict {
    match verdict {
        Verdict::Unmet if !metrics.shows_all(evidence) => Verdict::Unknown,
        verdict => verdict,
    }
}

impl Evaluation {
    /// The same as it counts for an open episode of the policy: see [`recovery_verdict`]. Evidence of another condition
    /// than the policy's says nothing.
    #[must_use]
    pub fn on_episode(mut self, policy: &Policy, episode: Option<&Episode>, metrics: &Snapshot) -> Self {
        if let Some(episode) = episode.filter(|episode| episode.condition == policy.condition_spec) {
            self.verdict = recovery_verdict(self.verdict, &episode.evidence, metrics);
        }
        self
    }
}

/// The evidence of an episode whose condition is met by `violating`: these samples and those of `known` whose series are
/// silent, as long as they are not older than `keep_since`.
pub fn merge_evidence(
    known: &[Sample],
    violating: &[Sample],
    metrics: &Snapshot,
    keep_since: Timestamp,
) -> Vec<Sample> {
    let shown: HashSet<_> = metrics.iter().map(series).collect();
    let silent = known.iter().filter(|sample| !shown.contains(&series(sample)) && sample.at >= keep_since);
    violating.iter().chain(silent).cloned().collect()
}

/// Whether both are samples of the same series, whatever their values.
pub fn same_series(a: &[Sample], b: &[Sample]) -> bool {
    let of = |samples| <[Sample]>::iter(samples).map(series).collect::<HashSet<_>>();
    of(a) == of(b)
}

fn series(sample: &Sample) -> (&MetricName, &Tags) {
    (&sample.metric, &sample.tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{at, sample};

    fn on(mount: &str, value: f64, second: u64) -> Sample {
        Sample { tags: Tags::new([("mount", mount)]).unwrap(), ..sample("disk", value, at(second)) }
    }

    #[test]
    fn a_healthy_series_proves_nothing_about_a_silent_one() {
        let evidence = [on("/data", 95.0, 0)];
        let healthy = Snapshot::new([on("/boot", 10.0, 100)], at(0));
        assert_eq!(recovery_verdict(Verdict::Unmet, &evidence, &healthy), Verdict::Unknown);
        let both = Snapshot::new([on("/boot", 10.0, 100), on("/data", 50.0, 101)], at(0));
        assert_eq!(recovery_verdict(Verdict::Unmet, &evidence, &both), Verdict::Unmet);
        let stale = Snapshot::new([on("/boot", 10.0, 100), on("/data", 50.0, 101)], at(102));
        assert_eq!(recovery_verdict(Verdict::Unmet, &evidence, &stale), Verdict::Unknown, "not a fresh one");
        for verdict in [Verdict::Met, Verdict::Unknown] {
            assert_eq!(recovery_verdict(verdict, &evidence, &healthy), verdict);
        }
    }

    #[test]
    fn evidence_keeps_silent_series_and_drops_those_seen_healthy() {
        let known = [on("/a", 95.0, 10), on("/b", 96.0, 10)];
        let merge = |violating: &[Sample], metrics, keep| merge_evidence(&known, violating, &metrics, at(keep));
        let new = on("/c", 97.0, 20);
        let metrics = || Snapshot::new([new.clone(), on("/b", 20.0, 20)], at(15));
        assert_eq!(merge(std::slice::from_ref(&new), metrics(), 0), [new.clone(), known[0].clone()]);
        assert_eq!(merge(std::slice::from_ref(&new), metrics(), 11), std::slice::from_ref(&new), "silent for too long");
        let again = on("/a", 99.0, 20);
        let merged = merge(std::slice::from_ref(&again), Snapshot::new([again.clone()], at(15)), 0);
        assert_eq!(merged, [again, known[1].clone()]);
        assert!(same_series(&merged, &known) && !same_series(&merged, &known[..1]));
    }
}
