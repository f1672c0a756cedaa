//! [`Flight`]: what is being worked on in this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vigil_core::action::IdempotencyKey;
use vigil_core::clock::Timestamp;

/// The keys being worked on with the newest attempt seen of each, and what they occupy.
#[derive(Debug, Default)]
pub(crate) struct Flight(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    attempts: HashMap<IdempotencyKey, u32>,
    occupied: HashMap<String, Holder>,
    acting: usize,
}

/// Whose a name is.
#[derive(Debug)]
struct Holder {
    key: IdempotencyKey,
    /// Until when, if nobody works on it any more and nobody knows what became of it.
    until: Option<Timestamp>,
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
                Entry::Turn(Turn { flight: self, key: key.clone(), acts: false, held: None, left: false })
            }
        }
    }

    /// Keeps names for a key that nobody works on and whose end nobody saw.
    pub(crate) fn hold(&self, names: Vec<String>, key: &IdempotencyKey, until: Timestamp) {
        let held = names.into_iter().map(|name| (name, Holder { key: key.clone(), until: Some(until) }));
        self.state().occupied.extend(held);
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
    acts: bool,
    held: Option<Timestamp>,
    left: bool,
}

impl Turn<'_> {
    /// Takes all of `names` unless one is another key's, or `limit` act already.
    pub(crate) fn occupy(&mut self, names: Vec<String>, limit: usize, now: Timestamp) -> Result<(), String> {
        let mut state = self.flight.state();
        let is_taken = |name: &&String| {
            let holder = state.occupied.get(*name).filter(|holder| holder.key != self.key);
            holder.is_some_and(|holder| holder.until.is_none_or(|until| now < until))
        };
        if let Some(name) = names.iter().find(is_taken) {
            return Err(format!("{name} is being worked on"));
        }
        if state.acting >= limit {
            return Err(format!("{limit} are being worked on already"));
        }
        state.acting += 1;
        self.acts = true;
        let holders = names.into_iter().map(|name| (name, Holder { key: self.key.clone(), until: None }));
        state.occupied.extend(holders);
        Ok(())
    }

    /// From now on something may be done: unless its end becomes known, what it occupies stays its key's until then.
    pub(crate) fn hold(&mut self, until: Timestamp) {
        self.held = Some(until);
    }

    /// Its end is known: what its key occupies is free.
    pub(crate) fn let_go(&mut self) {
        self.held = None;
        self.flight.state().occupied.retain(|_, holder| holder.key != self.key);
    }

    /// The newest attempt seen of its key.
    pub(crate) fn attempt(&self) -> u32 {
        self.flight.state().attempts[&self.key]
    }

    /// Gives the turn back, unless a newer attempt than this one was seen.
    pub(crate) fn leave(&mut self, attempt: u32) -> bool {
        let mut state = self.flight.state();
        if state.attempts.get(&self.key).is_some_and(|newest| *newest > attempt) {
            return false;
        }
        state.attempts.remove(&self.key);
        if self.acts {
            state.acting -= 1;
            match self.held {
                Some(until) => {
                    let own = state.occupied.values_mut().filter(|holder| holder.key == self.key);
                    own.for_each(|holder| holder.until = Some(until));
                }
                None => state.occupied.retain(|_, holder| holder.key != self.key || holder.until.is_some()),
            }
        }
        self.left = true;
        true
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.leave(u32::MAX);
        }
    }
}
