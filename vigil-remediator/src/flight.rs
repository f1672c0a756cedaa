//! [`Flight`]: what is being worked on in this process.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vigil_core::action::IdempotencyKey;

/// The keys being worked on with the newest attempt seen of each, and what they occupy.
#[derive(Debug, Default)]
pub(crate) struct Flight(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    attempts: HashMap<IdempotencyKey, u32>,
    occupied: HashSet<String>,
    acting: usize,
}

/// What a request finds when it comes in.
pub(crate) enum Entry<'a> {
    /// Nobody works on its key: it is its turn.
    Turn(Turn<'a>),
    /// Another request with its key is worked on.
    InProgress,
    /// A newer attempt is worked on.
    Stale,
}

impl Flight {
    pub(crate) fn enter(&self, key: &IdempotencyKey, attempt: u32) -> Entry<'_> {
        let mut state = self.state();
        match state.attempts.get_mut(key) {
            Some(newest) if attempt < *newest => Entry::Stale,
            Some(newest) => {
                *newest = attempt;
                Entry::InProgress
            }
            None => {
                state.attempts.insert(key.clone(), attempt);
                Entry::Turn(Turn { flight: self, key: key.clone(), occupies: Vec::new() })
            }
        }
    }

    pub(crate) fn contains(&self, key: &IdempotencyKey) -> bool {
        self.state().attempts.contains_key(key)
    }

    /// How many act.
    pub(crate) fn acting(&self) -> usize {
        self.state().acting
    }

    /// The keys being worked on.
    pub(crate) fn keys(&self) -> Vec<IdempotencyKey> {
        self.state().attempts.keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }
}

/// The right to work on a key, and on what it occupies, until it is dropped.
pub(crate) struct Turn<'a> {
    flight: &'a Flight,
    key: IdempotencyKey,
    occupies: Vec<String>,
}

impl Turn<'_> {
    /// Takes all of `names` unless one is taken, or `limit` act already.
    pub(crate) fn occupy(&mut self, names: Vec<String>, limit: usize) -> Result<(), String> {
        let mut state = self.flight.state();
        if let Some(name) = names.iter().find(|name| state.occupied.contains(*name)) {
            return Err(format!("{name} is being worked on"));
        }
        if state.acting >= limit {
            return Err(format!("{limit} are being worked on already"));
        }
        state.acting += 1;
        state.occupied.extend(names.iter().cloned());
        self.occupies = names;
        Ok(())
    }

    /// The newest attempt seen of its key.
    pub(crate) fn attempt(&self) -> u32 {
        self.flight.state().attempts[&self.key]
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.flight.state();
        state.attempts.remove(&self.key);
        if !self.occupies.is_empty() {
            state.acting -= 1;
            for name in &self.occupies {
                state.occupied.remove(name);
            }
        }
    }
}
