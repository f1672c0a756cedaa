//! [`Routes`]: which executor takes what.

use std::collections::BTreeMap;
use std::sync::Arc;

use vigil_core::action::ActionType;
use vigil_core::remediator::Route;
use vigil_core::target::Target;

use crate::executor::Executor;

/// What is done with the requests that a route takes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which requests it is about.
    pub route: Route,
    /// The name of the executor.
    pub executor: String,
    /// What the target is called there, `{target}` standing for what it is called here; by default just that.
    pub object: Option<String>,
    /// Whether it is only looked at and said what would be done.
    pub dry_run: bool,
}

/// The executors by name, and the rules in order: the first whose route takes a request wins.
#[derive(Debug, Default)]
pub struct Routes {
    executors: BTreeMap<String, Arc<dyn Executor>>,
    rules: Vec<Rule>,
}

/// Why a rule cannot be added.
#[derive(Debug, thiserror::Error)]
#[error("route {number} names the executor '{executor}', and there is {}", known(.executors))]
pub struct UnknownExecutor {
    /// Which rule, from 1.
    pub number: usize,
    /// The name.
    pub executor: String,
    /// The names there are.
    pub executors: Vec<String>,
}

fn known(executors: &[String]) -> String {
    if executors.is_empty() { "none".to_owned() } else { format!("only {}", executors.join(", ")) }
}

impl Routes {
    /// None: everything is rejected.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an executor, or puts it in the place of one with the same name.
    #[must_use]
    pub fn with_executor(mut self, name: impl Into<String>, executor: Arc<dyn Executor>) -> Self {
        self.executors.insert(name.into(), executor);
        self
    }

    /// Adds a rule after those there are.
    ///
    /// # Errors
    /// [`UnknownExecutor`] if it names one that was not added.
    pub fn with_rule(mut self, rule: Rule) -> Result<Self, UnknownExecutor> {
        if !self.executors.contains_key(&rule.executor) {
            return Err(UnknownExecutor {
                number: self.rules.len() + 1,
                executor: rule.executor,
                executors: self.executors.keys().cloned().collect(),
            });
        }
        self.rules.push(rule);
        Ok(self)
    }

    /// What handles an action on a target.
    pub fn find(&self, target: &Target, action: ActionType) -> Option<Handling<'_>> {
        let number = self.rules.iter().position(|rule| rule.route.takes(target, action))?;
        let rule = &self.rules[number];
        let object = match &rule.object {
            Some(object) => object.replace("{target}", target.as_str()),
            None => target.to_string(),
        };
        Some(Handling { number: number + 1, rule, executor: &self.executors[&rule.executor], object })
    }

    /// The rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The executors by name.
    pub fn executors(&self) -> impl Iterator<Item = (&str, &Arc<dyn Executor>)> {
        self.executors.iter().map(|(name, executor)| (name.as_str(), executor))
    }

    pub(crate) fn executor(&self, name: &str) -> Option<&Arc<dyn Executor>> {
        self.executors.get(name)
    }

    pub(crate) fn rejection(&self, target: &Target, action: ActionType) -> String {
        let routes: Vec<_> = self.rules.iter().map(|rule| rule.route.to_string()).collect();
        let routes =
            if routes.is_empty() { "there is none".to_owned() } else { format!("they take {}", routes.join("; ")) };
        format!("no route takes {action} on {target}: {routes}")
    }
}

/// What handles a request.
#[derive(Debug)]
pub struct Handling<'a> {
    /// The number of the rule, from 1.
    pub number: usize,
    /// The rule.
    pub rule: &'a Rule,
    /// Its executor.
    pub executor: &'a Arc<dyn Executor>,
    /// What the target is called there.
    pub object: String,
}

impl Handling<'_> {
    /// Why it is rejected; `None` if it is not: the word means something there, and the target does not choose more than the
    /// route meant. A pattern without a slash, such as `shop-*`, matches `shop-x/node/n1` too, which is another kind of thing.
    pub fn refuses(&self, target: &Target, action: ActionType) -> Option<String> {
        let is_given = self.rule.object.as_ref().is_some_and(|object| !object.contains("{target}"));
        let has_slash = self.rule.route.targets().is_some_and(|pattern| pattern.as_str().contains('/'));
        if target.as_str().contains('/') && !is_given && !has_slash {
            return Some(format!(
                "'{target}' holds a slash, and the target of route {} does not: say what it is",
                self.number
            ));
        }
        let words = self.executor.words(&self.object);
        if words.contains(&action) {
            return None;
        }
        let kind = self.executor.kind();
        let words: Vec<_> = words.into_iter().map(ActionType::as_str).collect();
        let have = if words.is_empty() { "no word has".to_owned() } else { format!("what has: {}", words.join(", ")) };
        Some(format!("{action} has no meaning on the {kind} '{}'; {have}", self.object))
    }
}
