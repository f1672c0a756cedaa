//! The index of policies by target: exact names by hash, `all` always, globs in one pass of a [`GlobSet`], or of a few.

use std::collections::HashMap;
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::Policy;
use crate::target::Target;

#[derive(Debug, Default)]
pub(super) struct TargetIndex {
    policies: Vec<Arc<Policy>>,
    exact: HashMap<Target, Vec<usize>>,
    all: Vec<usize>,
    globs: Vec<Globs>,
}

/// Globs that are matched in one pass, with the policy behind each of them.
#[derive(Debug)]
struct Globs {
    set: GlobSet,
    policies: Vec<usize>,
}

impl TargetIndex {
    pub(super) fn new(policies: Vec<Arc<Policy>>) -> Self {
        let mut index = Self { policies, ..Self::default() };
        let mut globs = Vec::new();
        for (at, policy) in index.policies.iter().enumerate() {
            if let Some(exact) = policy.target.exact() {
                index.exact.entry(exact.clone()).or_default().push(at);
            } else if let Some(glob) = policy.target.glob() {
                globs.push((at, glob));
            } else {
                index.all.push(at);
            }
        }
        Globs::compile(&globs, &mut index.globs);
        index
    }

    pub(super) fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// The policies that match a target, by name.
    pub(super) fn matching(&self, target: &Target) -> Vec<Arc<Policy>> {
        let mut found = self.all.clone();
        found.extend(self.exact.get(target).into_iter().flatten());
        for globs in &self.globs {
            if target.as_str().rsplit('/').next() == Some("..") {
                // A GlobSet takes this for a path without a file name, and some globs would miss it.
                found.extend(globs.policies.iter().filter(|&&at| self.policies[at].target.matches(target)));
            } else {
                found.extend(globs.set.matches(target.as_str()).into_iter().map(|glob| globs.policies[glob]));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|at| self.policies[at].clone()).collect()
    }
}

impl Globs {
    /// Compiles the globs into as few sets as possible: what one set may take up is bounded.
    fn compile(globs: &[(usize, &Glob)], sets: &mut Vec<Self>) {
        if globs.is_empty() {
            return;
        }
        let mut builder = GlobSetBuilder::new();
        for (_, glob) in globs {
            builder.add((*glob).clone());
        }
        match builder.build() {
            Ok(set) => sets.push(Self { set, policies: globs.iter().map(|(policy, _)| *policy).collect() }),
            Err(error) => {
                let (front, back) = globs.split_at(globs.len() / 2);
                assert!(!front.is_empty(), "every glob has compiled on its own before: {error}");
                Self::compile(front, sets);
                Self::compile(back, sets);
            }
        }
    }
}

#[cfg(test)]
mod tests;
