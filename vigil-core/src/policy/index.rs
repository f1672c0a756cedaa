//! The index of policies by target: exact names by hash, `all` always, globs in one pass of a [`GlobSet`].

use std::collections::HashMap;
use std::sync::Arc;

use globset::{GlobSet, GlobSetBuilder};

use super::Policy;
use crate::target::Target;

#[derive(Debug, Default)]
pub(super) struct TargetIndex {
    policies: Vec<Arc<Policy>>,
    exact: HashMap<Target, Vec<usize>>,
    all: Vec<usize>,
    globs: GlobSet,
    /// The policy behind each glob of the set.
    of_glob: Vec<usize>,
}

impl TargetIndex {
    pub(super) fn new(policies: Vec<Arc<Policy>>) -> Self {
        let mut index = Self { policies, ..Self::default() };
        let mut globs = GlobSetBuilder::new();
        for (at, policy) in index.policies.iter().enumerate() {
            if let Some(exact) = policy.target.exact() {
                index.exact.entry(exact.clone()).or_default().push(at);
            } else if let Some(glob) = policy.target.glob() {
                globs.add(glob.clone());
                index.of_glob.push(at);
            } else {
                index.all.push(at);
            }
        }
        index.globs = globs.build().expect("every glob of the set has compiled on its own before");
        index
    }

    pub(super) fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// The policies that match a target, by name.
    pub(super) fn matching(&self, target: &Target) -> Vec<Arc<Policy>> {
        let mut found = self.all.clone();
        found.extend(self.exact.get(target).into_iter().flatten());
        found.extend(self.globs.matches(target.as_str()).into_iter().map(|glob| self.of_glob[glob]));
        found.sort_unstable();
        found.into_iter().map(|at| self.policies[at].clone()).collect()
    }
}
