//! [`Answers`]: what was answered to requests with an idempotency key, for as long as keys are kept.

use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::store::{IDEMPOTENCY_KEPT, Idempotency, StoreError};
use crate::tenant::TenantId;

#[derive(Debug)]
pub(super) struct Answers<T> {
    kept: HashMap<(TenantId, String), Answer<T>>,
    by_age: VecDeque<(Timestamp, (TenantId, String))>,
}

#[derive(Debug)]
struct Answer<T> {
    fingerprint: String,
    answer: T,
}

/// What an earlier request with the same key says.
#[derive(Debug)]
pub(super) enum Earlier<T> {
    /// There was none, or the request has no key.
    None,
    /// It was the same request; this was its answer.
    Same(T),
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self { kept: HashMap::new(), by_age: VecDeque::new() }
    }
}

impl<T: Clone> Answers<T> {
    /// Looks for an earlier request.
    pub(super) fn earlier(
        &mut self,
        tenant: &TenantId,
        idempotency: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<Earlier<T>, StoreError> {
        while let Some((_, key)) = self.by_age.pop_front_if(|(at, _)| now.since(*at) >= IDEMPOTENCY_KEPT) {
            self.kept.remove(&key);
        }
        let Some(idempotency) = idempotency else { return Ok(Earlier::None) };
        match self.kept.get(&(tenant.clone(), idempotency.key.clone())) {
            None => Ok(Earlier::None),
            Some(known) if known.fingerprint == idempotency.fingerprint => Ok(Earlier::Same(known.answer.clone())),
            Some(_) => Err(StoreError::KeyReused),
        }
    }

    /// Keeps the answer to a request that has a key.
    pub(super) fn keep(
        &mut self,
        tenant: &TenantId,
        idempotency: Option<Idempotency>,
        answer: impl FnOnce() -> T,
        now: Timestamp,
    ) {
        if let Some(Idempotency { key, fingerprint }) = idempotency {
            let key = (tenant.clone(), key);
            self.by_age.push_back((now, key.clone()));
            self.kept.insert(key, Answer { fingerprint, answer: answer() });
        }
    }
}
