//! What is healed: [`Target`], the patterns that match it, and the tags it is found by. All globs live here.

use std::fmt;
use std::sync::Arc;

use globset::{Glob, GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::invalid::{InvalidValue, name_of};
use crate::metric::Tags;

/// The name of the thing that is measured and healed: a service, host, pod or container. 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(Arc<str>);

impl Target {
    /// Checks and takes a target's name; white space around it is dropped.
    ///
    /// # Errors
    /// [`InvalidValue`] if it is empty, longer than 255 characters, or has a control character.
    pub fn new(name: &str) -> Result<Self, InvalidValue> {
        name_of("target", name).map(Self)
    }

    /// The name under which violations by samples without a target are recorded. Nothing can act on it.
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    /// Whether this is [`Target::unknown`].
    pub fn is_unknown(&self) -> bool {
        self.as_str() == "unknown"
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidValue;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.0.as_ref().to_owned()
    }
}

/// The tags that may name a sample's target, the first present one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTags(Vec<String>);

impl TargetTags {
    /// Takes the tags in order of preference.
    pub fn new(tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(tags.into_iter().map(Into::into).collect())
    }

    /// The tags, the first present one wins.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|tag| &**tag)
    }

    /// Finds the target in a sample's tags and takes that tag out of them: what remains names the series.
    ///
    /// A tag whose value cannot be a target (empty, too long, `unknown`) counts as absent.
    pub fn split(&self, tags: &Tags) -> (Option<Target>, Tags) {
        for key in &self.0 {
            let target = tags.get(key).and_then(|value| Target::new(value).ok()).filter(|t| !t.is_unknown());
            if let Some(target) = target {
                return (Some(target), tags.without(key));
            }
        }
        (None, tags.clone())
    }
}

/// The specific before the general, so that two hosts never share a snapshot.
impl Default for TargetTags {
    fn default() -> Self {
        Self::new(["target", "pod", "container", "instance", "host", "hostname", "service"])
    }
}

/// Which targets a policy watches: `all` or `*`, one exact name, or a glob (`*`, `?`, `[...]`, `{a,b}`; `*` crosses
/// `/` and `.`).
#[derive(Debug, Clone)]
pub struct TargetPattern {
    text: Arc<str>,
    kind: PatternKind,
}

#[derive(Debug, Clone)]
enum PatternKind {
    All,
    Exact(Target),
    Glob(Box<GlobMatcher>),
}

impl TargetPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`InvalidValue`] on `target` if it is empty, too long, or does not compile as a glob.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        let text = name_of("target", text)?;
        let kind = match &*text {
            "all" | "*" => PatternKind::All,
            glob if glob.contains(['*', '?', '[', ']', '{', '}', '\\']) => {
                let compiled = compile(glob)
                    .map_err(|e| InvalidValue::new("target", format!("is not a pattern: {}", e.kind())))?;
                PatternKind::Glob(Box::new(compiled.compile_matcher()))
            }
            exact => PatternKind::Exact(Target::new(exact)?),
        };
        Ok(Self { text, kind })
    }

    /// Whether `target` is one of those the pattern stands for.
    pub fn matches(&self, target: &Target) -> bool {
        match &self.kind {
            PatternKind::All => true,
            PatternKind::Exact(exact) => exact == target,
            PatternKind::Glob(glob) => glob.is_match(target.as_str()),
        }
    }

    /// The one target it names, if it is neither `all` nor a glob.
    pub fn exact(&self) -> Option<&Target> {
        match &self.kind {
            PatternKind::Exact(exact) => Some(exact),
            _ => None,
        }
    }

    /// Whether it matches everything.
    pub fn is_all(&self) -> bool {
        matches!(self.kind, PatternKind::All)
    }

    /// The compiled glob, for building a set of them.
    pub(crate) fn glob(&self) -> Option<&Glob> {
        match &self.kind {
            PatternKind::Glob(glob) => Some(glob.glob()),
            _ => None,
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn compile(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(false).build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, target: &str) -> bool {
        TargetPattern::new(pattern).unwrap().matches(&Target::new(target).unwrap())
    }

    #[test]
    fn the_documented_patterns_match_what_is_documented() {
        assert!(matches("web-service", "web-service") && !matches("web-service", "api-service"));
        assert!(
            matches("web-*", "web-frontend") && matches("web-*", "web-backend") && !matches("web-*", "api-gateway")
        );
        assert!(matches("all", "anything") && matches("*", "anything"));
        assert!(matches("web-?", "web-1") && matches("web-[12]", "web-2") && matches("{web,api}-1", "api-1"));
        assert!(matches("prod*", "prod/eu.web"), "a star crosses / and .");
    }

    #[test]
    fn a_pattern_that_does_not_compile_names_the_field() {
        let error = TargetPattern::new("web-[").unwrap_err();
        assert_eq!(error.field, "target");
    }

    #[test]
    fn the_specific_tag_wins_and_leaves_the_series() {
        let tags = Tags::new([("host", "h1"), ("pod", "p1"), ("region", "eu")]).unwrap();
        let (target, rest) = TargetTags::default().split(&tags);
        assert_eq!(target, Some(Target::new("p1").unwrap()));
        assert_eq!(rest, Tags::new([("host", "h1"), ("region", "eu")]).unwrap());
    }

    #[test]
    fn a_tag_that_cannot_be_a_target_counts_as_absent() {
        for useless in ["", " ", "unknown", &"x".repeat(256)] {
            let tags = Tags::new([("target", useless), ("host", "h1")]).unwrap();
            let (target, _) = TargetTags::default().split(&tags);
            assert_eq!(target.unwrap().as_str(), "h1", "{useless:?}");
        }
    }

    #[test]
    fn names_have_1_to_255_characters() {
        assert!(Target::new(&"ä".repeat(255)).is_ok());
        for name in ["", " \t", "a\nb", "a\0", &"x".repeat(256)] {
            assert_eq!(Target::new(name).unwrap_err().field, "target", "{name:?}");
        }
        assert_eq!(Target::new(" web-1 ").unwrap().as_str(), "web-1");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_pattern_panic(text in ".{0,300}|[-a-c*?{},!\\[\\]\\\\/.^]{0,40}", name in ".{1,20}") {
            if let (Ok(pattern), Ok(target)) = (TargetPattern::new(&text), Target::new(&name)) {
                pattern.matches(&target);
                prop_assert_eq!(pattern.as_str(), text.trim());
            }
        }

        #[test]
        fn a_name_without_glob_characters_matches_itself_alone(name in "[a-z0-9._/ -]{1,20}", other in "[a-z0-9._/ -]{1,20}") {
            prop_assume!(!name.trim().is_empty() && !other.trim().is_empty() && name.trim() != "all");
            prop_assert!(matches(&name, &name));
            prop_assert_eq!(matches(&name, &other), name.trim() == other.trim());
        }
    }
}
