//! [`Continuity`]: whether stored samples show a condition met without a break, for `for`.

use std::time::Duration;

use super::engine::judge;
use super::{Policy, Verdict};
use crate::clock::Timestamp;
use crate::metric::{Sample, Snapshot};

/// Replays stored samples, oldest first, to find since when a condition has been met without a break.
///
/// An Unknown breaks nothing, and neither does an Unmet that a silent series could contradict: no data is no evidence of
/// recovery. Samples of one time are one observation.
#[derive(Debug)]
pub struct Continuity<'p> {
    policy: &'p Policy,
    since: Timestamp,
    staleness: Duration,
    metrics: Snapshot,
    met_since: Option<Timestamp>,
}

impl<'p> Continuity<'p> {
    /// A check of a condition that was met at `since`.
    pub fn new(policy: &'p Policy, since: Timestamp, staleness: Duration) -> Self {
        Self { policy, since, staleness, metrics: Snapshot::empty(Timestamp::MIN), met_since: Some(since) }
    }

    /// Replays the next samples. All samples of one time must be in the same call.
    pub fn observe(&mut self, samples: &[Sample]) {
        for together in samples.chunk_by(|a, b| a.at == b.at) {
            let at = together[0].at;
            for sample in together {
                self.metrics.put(sample.clone());
            }
            match self.verdict(at) {
                Verdict::Unmet if at > self.since => self.met_since = None,
                Verdict::Met => self.met_since = self.met_since.or(Some(at)),
                Verdict::Unmet | Verdict::Unknown => {}
            }
        }
    }

    /// The time of the first Met after the last Unmet, or the start if there was no Unmet. `None` if the condition was
    /// unmet at the end.
    pub fn met_since(&self) -> Option<Timestamp> {
        self.met_since
    }

    fn verdict(&mut self, at: Timestamp) -> Verdict {
        self.metrics.show_since(at - self.staleness);
        let fresh = judge(self.policy, &self.metrics).unwrap_or(Verdict::Unknown);
        if fresh != Verdict::Unmet {
            return fresh;
        }
        // With the last known values of silent series beside the fresh ones.
        self.metrics.show_since(Timestamp::MIN);
        match judge(self.policy, &self.metrics) {
            Ok(Verdict::Unmet) => Verdict::Unmet,
            Ok(Verdict::Met | Verdict::Unknown) | Err(_) => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metric::Tags;
    use crate::policy::fixtures::{STALENESS, above, at, policy, sample};

    fn met_since(policy: &Policy, samples: &[Sample]) -> Option<Timestamp> {
        let mut whole = Continuity::new(policy, at(100), STALENESS);
        whole.observe(samples);
        let mut parts = Continuity::new(policy, at(100), STALENESS);
        samples.chunk_by(|a, b| a.at == b.at).for_each(|part| parts.observe(part));
        assert_eq!(whole.met_since(), parts.met_since(), "pages make no difference");
        whole.met_since()
    }

    /// Met at 100; then what `samples` say of cpu.
    fn second(samples: &[(u64, f64)]) -> Option<u64> {
        let samples: Vec<_> = samples.iter().map(|&(second, value)| sample("cpu", value, at(second))).collect();
        met_since(&policy(&json!({})), &samples).map(|since| since.since(at(0)).as_secs())
    }

    #[test]
    fn a_violation_is_continuous_since_its_first_met_after_the_last_unmet() {
        assert_eq!(second(&[(100, 90.0), (160, 95.0)]), Some(100));
        let dip = [(100, 90.0), (130, 10.0), (160, 95.0), (190, 96.0)];
        assert_eq!(second(&dip), Some(160), "an Unmet in between restarts it");
        assert_eq!(second(&[(100, 90.0), (160, 10.0)]), None, "not met at the end");
        assert_eq!(second(&[]), Some(100), "no data is no recovery");
    }

    #[test]
    fn what_was_before_does_not_break_a_violation() {
        assert_eq!(second(&[(40, 10.0), (100, 90.0), (160, 95.0)]), Some(100));
        assert_eq!(second(&[(100, 10.0), (101, 95.0)]), Some(100), "at its very start it was judged met");
    }

    #[test]
    fn a_gap_without_data_does_not_break_a_violation() {
        assert_eq!(second(&[(100, 90.0), (1000, 95.0)]), Some(100), "Unknown in between");
        let conditions = [above("cpu", 80.0), above("mem", 80.0)];
        let both = policy(&json!({"condition": {"type": "all", "conditions": conditions}}));
        let samples = [
            sample("cpu", 90.0, at(100)),
            sample("mem", 90.0, at(100)),
            sample("cpu", 91.0, at(500)),
            sample("mem", 91.0, at(501)),
        ];
        assert_eq!(met_since(&both, &samples), Some(at(100)), "at 500 mem was stale");
    }

    #[test]
    fn a_late_sample_breaks_a_violation_where_it_belongs() {
        // It came last but was taken at 130; the Store answers in order of time.
        assert_eq!(second(&[(100, 90.0), (130, 10.0), (131, 90.0), (160, 95.0)]), Some(131));
    }

    #[test]
    fn samples_of_one_time_are_one_observation() {
        let conditions = [above("cpu", 80.0), above("mem", 80.0)];
        let either = policy(&json!({"condition": {"type": "any", "conditions": conditions}}));
        let samples = [
            sample("cpu", 90.0, at(100)),
            sample("mem", 10.0, at(100)),
            sample("cpu", 10.0, at(130)),
            sample("mem", 90.0, at(130)),
        ];
        assert_eq!(met_since(&either, &samples), Some(at(100)), "there was no moment without a violation");
    }

    #[test]
    fn a_healthy_series_does_not_end_the_violation_of_a_silent_one() {
        let tagged = |zone, value, second| {
            let tags = Tags::new([("zone", zone)]).unwrap();
            Sample { tags, ..sample("cpu", value, at(second)) }
        };
        let mut samples = vec![tagged("a", 90.0, 100), tagged("b", 10.0, 100), tagged("b", 10.0, 401)];
        assert_eq!(met_since(&policy(&json!({})), &samples), Some(at(100)), "at 401 only b was fresh");
        samples.extend([tagged("a", 10.0, 402), tagged("b", 90.0, 410)]);
        assert_eq!(met_since(&policy(&json!({})), &samples), Some(at(410)), "at 402 both were");
    }
}
