//! What scripts hand out, and what becomes of it.

use deadpool_redis::redis::{self, FromRedisValue};
use serde::Deserialize;
use vigil_core::clock::Timestamp;
use vigil_core::queue::{Claim, DeadLetter, QueueError};
use vigil_core::task::Task;
use vigil_core::tenant::TenantId;

use crate::keys::tenant_word;

/// One claimed entry as the script answers it.
pub(crate) struct Entry {
    id: String,
    token: String,
    deliveries: u32,
    tenant: String,
    json: Vec<u8>,
}

impl FromRedisValue for Entry {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        let (id, token, deliveries, tenant, json) = FromRedisValue::from_redis_value(value)?;
        Ok(Self { id, token, deliveries, tenant, json })
    }
}

impl Entry {
    /// The claim, or why nobody can ever carry it out.
    pub(crate) fn into_claim(self) -> Result<Claim, (Held, String)> {
        let held = Held { id: self.id, token: self.token };
        let task = match serde_json::from_slice::<Task>(&self.json) {
            Ok(task) => task,
            Err(error) => return Err((held, format!("not a task: {error}"))),
        };
        if tenant_word(&task.tenant) != self.tenant {
            let whose = TenantId::new(&self.tenant).unwrap_or_default();
            return Err((held, format!("a task of tenant '{}' in the list of '{whose}'", task.tenant)));
        }
        Ok(Claim { task, token: format!("{}:{}", held.id, held.token), deliveries: self.deliveries })
    }
}

/// An entry under the lease of one delivery.
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Held {
    pub(crate) fn of(claim: &Claim) -> Result<Self, QueueError> {
        let (id, token) = claim.token.split_once(':').ok_or(QueueError::LeaseLost)?;
        Ok(Self { id: id.to_owned(), token: token.to_owned() })
    }
}

/// A dead letter as the scripts keep it.
#[derive(Deserialize)]
pub(crate) struct Letter {
    at: f64,
    reason: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    tenant: String,
}

impl Letter {
    pub(crate) fn parse(json: &[u8]) -> Result<DeadLetter, QueueError> {
        let corrupt = |error: serde_json::Error| QueueError::Corrupt(error.into());
        let letter: Self = serde_json::from_str(&String::from_utf8_lossy(json)).map_err(corrupt)?;
        Ok(DeadLetter {
            id: letter.id,
            number: letter.n.parse().unwrap_or(0),
            tenant: TenantId::new(&letter.tenant).unwrap_or_default(),
            task: serde_json::from_str(&letter.task).ok(),
            payload: letter.task,
            reason: letter.reason,
            at: Timestamp::from_micros((letter.at * 1000.0) as i64),
        })
    }
}
