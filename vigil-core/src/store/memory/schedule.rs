//! [`Schedule`]: when each scope is next to be judged.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::{Scope, latest_due};

#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeSet<(Timestamp, Scope)>,
    known: HashSet<Scope>,
}

impl Schedule {
    /// A scope there is something to judge in; due at once if it is new.
    pub(super) fn add(&mut self, scope: &Scope, now: Timestamp) {
        if !self.known.contains(scope) {
            self.known.insert(scope.clone());
            self.due.insert((now, scope.clone()));
        }
    }

    /// Takes the scopes that are due, and forgets those in which nothing is left to judge.
    pub(super) fn claim(
        &mut self,
        every: Duration,
        limit: usize,
        now: Timestamp,
        alive: impl Fn(&Scope) -> bool,
    ) -> Vec<Scope> {
        while let Some((due, scope)) = self.due.pop_last() {
            let is_late = due > latest_due(now, every);
            self.due.insert((if is_late { now } else { due }, scope));
            if !is_late {
                break;
            }
        }
        let mut claimed = Vec::new();
        while claimed.len() < limit
            && let Some((due, scope)) = self.due.pop_first()
        {
            if due > now {
                self.due.insert((due, scope));
                break;
            }
            if alive(&scope) {
                claimed.push((due, scope));
            } else {
                self.known.remove(&scope);
            }
        }
        // Put back only now: with a period of zero a scope would be taken again and again.
        for (due, scope) in &claimed {
            // On the beat, however late the caller came, unless it is more than a beat late.
            let next = if *due + every > now { *due + every } else { now + every };
            self.due.insert((next, scope.clone()));
        }
        claimed.into_iter().map(|(_, scope)| scope).collect()
    }
}
