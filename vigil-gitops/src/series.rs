//! [`Series`]: how a comparison becomes samples, and how a sample is taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigil_core::clock::Timestamp;
use vigil_core::metric::Tags;
use vigil_core::target::Target;

use crate::declaration::{Comparison, Drift, Item, ItemKey, ItemState};
use crate::server::Sample;
use crate::state::Kept;

/// The metric.
pub(crate) const METRIC: &str = "drift_detected";
/// How many characters of a patch are in a tag.
const PATCH: usize = 1000;
/// For how long a series that is over is said to be 0: longer than Vigil waits for the proof that an action worked.
const CLOSING: Duration = Duration::from_secs(120);

/// A series that says that something has drifted, and from what. With another patch it is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Series {
    source: String,
    item: ItemKey,
    patch: String,
    /// Where the item was declared: as long as that file cannot be read, nobody knows whether it still is.
    file: PathBuf,
}

/// What is to be said of one round.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) samples: Vec<Sample>,
    pub(crate) open: BTreeSet<Series>,
    pub(crate) closing: Vec<(Series, Timestamp)>,
    /// What cannot be said, because Vigil would not take its name, and why.
    pub(crate) unsayable: Vec<String>,
}

/// What an item is called in Vigil: `drift/<source>/<kind>/[<namespace>/]<name>`.
pub(crate) fn target_of(source: &str, item: &ItemKey) -> String {
    format!("drift/{source}/{item}")
}

impl Series {
    fn new(source: &str, item: &Item, drift: &Drift) -> Self {
        // A character that no tag may have is none of JSON's either, outside of strings.
        let patch = drift.patch.to_string();
        let patch = patch.chars().map(|c| if c.is_control() { '?' } else { c }).take(PATCH).collect();
        Self { source: source.to_owned(), item: item.key(), patch, file: item.origin.file.clone() }
    }

    fn sample(&self, value: f64, now: Timestamp) -> Sample {
        let mut tags = tags_of(&self.source, &self.item);
        tags.insert("patch".to_owned(), self.patch.clone());
        Sample { name: METRIC, value, tags, timestamp: now }
    }
}

impl Round {
    /// What the comparisons say, `None` for a source that could not be compared, after what was said before.
    pub(crate) fn new(compared: &[(&str, Option<&Comparison>)], kept: &Kept, now: Timestamp) -> Self {
        let mut round = Self::default();
        for &(source, comparison) in compared {
            for item in comparison.iter().flat_map(|comparison| &comparison.items) {
                if let Err(why) = sayable(source, &item.key()) {
                    round.unsayable.push(format!("{}: {why}", target_of(source, &item.key())));
                    continue;
                }
                match &item.state {
                    ItemState::Same => {
                        let tags = tags_of(source, &item.key());
                        round.samples.push(Sample { name: METRIC, value: 0.0, tags, timestamp: now });
                    }
                    ItemState::Drifted(drift) => {
                        let series = Series::new(source, item, drift);
                        round.samples.push(series.sample(1.0, now));
                        round.open.insert(series);
                    }
                    ItemState::Suspended(_) | ItemState::Unknown(_) => {}
                }
            }
        }
        let known: BTreeMap<&str, Option<&Comparison>> = compared.iter().copied().collect();
        for series in &kept.open {
            if round.open.contains(series) {
                continue;
            }
            if is_undecided(series, &known) {
                round.open.insert(series.clone());
            } else {
                round.closing.push((series.clone(), now + CLOSING));
            }
        }
        let still = kept.closing.iter().filter(|(series, until)| *until > now && !round.open.contains(series));
        round.closing.extend(still.cloned());
        round.samples.extend(round.closing.iter().map(|(series, _)| series.sample(0.0, now)));
        round
    }
}

/// Whether nobody can say now if what a series says still is so.
fn is_undecided(series: &Series, known: &BTreeMap<&str, Option<&Comparison>>) -> bool {
    let Some(comparison) = known.get(series.source.as_str()) else { return false };
    let Some(comparison) = comparison else { return true };
    match comparison.items.iter().find(|item| item.key() == series.item) {
        Some(item) => matches!(item.state, ItemState::Unknown(_)),
        None => comparison.problems.iter().any(|problem| problem.file == series.file),
    }
}

fn tags_of(source: &str, item: &ItemKey) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::from([
        ("target".to_owned(), target_of(source, item)),
        ("source".to_owned(), source.to_owned()),
        ("kind".to_owned(), item.kind.clone()),
        ("name".to_owned(), item.name.clone()),
    ]);
    if !item.namespace.is_empty() {
        tags.insert("namespace".to_owned(), item.namespace.clone());
    }
    tags
}

/// One name that the server does not take would cost the whole batch.
fn sayable(source: &str, item: &ItemKey) -> Result<(), String> {
    Target::new(&target_of(source, item)).map_err(|error| error.to_string())?;
    Tags::new(tags_of(source, item)).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::declaration::{Origin, Problem};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn item(name: &str, state: ItemState) -> Item {
        let origin = Origin { file: "web.yaml".into(), line: Some(1) };
        Item { kind: "Deployment".to_owned(), namespace: "shop".to_owned(), name: name.to_owned(), origin, state }
    }

    fn drifted(patch: &Value) -> ItemState {
        ItemState::Drifted(Drift { summary: String::new(), patch: patch.clone() })
    }

    fn comparison(items: Vec<Item>) -> Comparison {
        Comparison { items, problems: Vec::new() }
    }

    fn said(round: &Round) -> Vec<(f64, Option<&str>)> {
        round.samples.iter().map(|sample| (sample.value, sample.tags.get("patch").map(String::as_str))).collect()
    }

    fn next(kept: &mut Kept, compared: Option<&Comparison>, now: Timestamp) -> Round {
        let round = Round::new(&[("shop", compared)], kept, now);
        (kept.open, kept.closing) = (round.open.clone(), round.closing.clone());
        round
    }

    #[test]
    fn a_series_is_taken_back_when_the_patch_changes_and_when_it_is_healed() {
        let mut kept = Kept::default();
        let first = comparison(vec![item("web", drifted(&json!([1])))]);
        assert_eq!(said(&next(&mut kept, Some(&first), at(0))), [(1.0, Some("[1]"))]);
        let second = comparison(vec![item("web", drifted(&json!([2])))]);
        assert_eq!(said(&next(&mut kept, Some(&second), at(30))), [(1.0, Some("[2]")), (0.0, Some("[1]"))]);
        let healed = comparison(vec![item("web", ItemState::Same)]);
        let round = next(&mut kept, Some(&healed), at(60));
        assert_eq!(said(&round), [(0.0, None), (0.0, Some("[2]")), (0.0, Some("[1]"))]);
        assert_eq!(round.samples[0].tags["target"], "drift/shop/Deployment/shop/web");
        assert_eq!(said(&next(&mut kept, Some(&healed), at(300))), [(0.0, None)]);
        assert_eq!(kept, Kept::default());
    }

    #[test]
    fn of_what_is_unknown_nothing_is_said_and_nothing_is_taken_back() {
        let mut kept = Kept::default();
        next(&mut kept, Some(&comparison(vec![item("web", drifted(&json!([1])))])), at(0));
        let open = kept.open.clone();
        let unknown = comparison(vec![item("web", ItemState::Unknown("away".to_owned()))]);
        let problem = Problem { file: "web.yaml".into(), line: None, message: "broken".to_owned() };
        let unreadable = Comparison { items: Vec::new(), problems: vec![problem] };
        for compared in [None, Some(&unknown), Some(&unreadable)] {
            assert_eq!(said(&next(&mut kept, compared, at(30))), []);
            assert_eq!(kept.open, open);
        }
        assert_eq!(said(&next(&mut kept, Some(&comparison(Vec::new())), at(60))), [(0.0, Some("[1]"))], "it is gone");
    }

    #[test]
    fn a_long_patch_is_cut_and_what_no_tag_may_hold_is_replaced() {
        let patch = json!([{ "value": format!("{}{}", '\u{7f}', "x".repeat(3000)) }]);
        let round = next(&mut Kept::default(), Some(&comparison(vec![item("web", drifted(&patch))])), at(0));
        let tag = &round.samples[0].tags["patch"];
        assert_eq!(tag.chars().count(), 1000);
        assert!(tag.starts_with(r#"[{"value":"?xx"#), "{tag}");
        assert!(Tags::new(round.samples[0].tags.clone()).is_ok());
    }

    #[test]
    fn a_name_that_vigil_does_not_take_costs_only_itself() {
        let items = vec![item(&"x".repeat(300), ItemState::Same), item("web", ItemState::Same)];
        let round = next(&mut Kept::default(), Some(&comparison(items)), at(0));
        assert_eq!((round.samples.len(), round.unsayable.len()), (1, 1));
    }
}
