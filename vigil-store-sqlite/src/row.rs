//! Rows to values and back. Everything stored was checked at the border: what cannot be read is damage, and said so.

use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Row};
use vigil_core::action::{Action, ActionId, ActionStatus, ActionType, Severity, Verification};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeId, EpisodeState, Resolution};
use vigil_core::key::{ApiKey, KeyDigest, KeyId, KeyName, Role};
use vigil_core::metric::{MetricName, Sample};
use vigil_core::policy::PolicyName;
use vigil_core::store::{Actor, AuditEntry, StoredPolicy};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;

/// A row with the name of what it is, for errors.
pub(crate) struct Reader<'r> {
    row: &'r SqliteRow,
    what: &'static str,
}

impl<'r> Reader<'r> {
    pub(crate) fn new(row: &'r SqliteRow, what: &'static str) -> Self {
        Self { row, what }
    }

    pub(crate) fn int(&self, column: &'static str) -> Result<i64, Error> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<&'r str, Error> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn maybe_int(&self, column: &'static str) -> Result<Option<i64>, Error> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn maybe_text(&self, column: &'static str) -> Result<Option<&'r str>, Error> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, Error> {
        self.int(column).map(Timestamp::from_micros)
    }

    pub(crate) fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, Error> {
        Ok(self.maybe_int(column)?.map(Timestamp::from_micros))
    }

    fn count(&self, column: &'static str) -> Result<u32, Error> {
        u32::try_from(self.int(column)?).map_err(|error| self.damaged(column, error))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Error> {
        serde_json::from_str(self.text(column)?).map_err(|error| self.damaged(column, error))
    }

    fn maybe_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, Error> {
        let text = self.maybe_text(column)?;
        text.map(|text| serde_json::from_str(text).map_err(|error| self.damaged(column, error))).transpose()
    }

    /// Reads a word or name by its own rules.
    pub(crate) fn word<T, E>(&self, column: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, Error>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        parse(self.text(column)?).map_err(|error| self.damaged(column, error))
    }

    fn maybe_word<T, E>(&self, column: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, Error>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let text = self.maybe_text(column)?;
        text.map(|text| parse(text).map_err(|error| self.damaged(column, error))).transpose()
    }

    fn damaged(&self, column: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let id = id_of(self.row);
        Error::unreadable(format!("{}{id}, column {column},", self.what), error)
    }
}

fn id_of(row: &SqliteRow) -> String
where
    &'static str: ColumnIndex<SqliteRow>,
{
    row.try_get::<i64, _>("id").map(|id| format!(" {id}")).unwrap_or_default()
}

pub(crate) fn action(row: &SqliteRow) -> Result<Action, Error> {
    let row = Reader::new(row, "action");
    Ok(Action {
        id: ActionId(row.int("id")?),
        tenant: row.word("tenant", TenantId::new)?,
        target: row.word("target", Target::new)?,
        action: row.word("action", ActionType::parse)?,
        status: row.word("status", ActionStatus::parse)?,
        details: row.maybe_text("details")?.map(str::to_owned),
        severity: row.word("severity", Severity::parse)?,
        params: row.json("params")?,
        policy: row.maybe_word("policy", PolicyName::new)?,
        policy_revision: row.maybe_int("policy_revision")?,
        episode: row.maybe_int("episode")?.map(EpisodeId),
        condition: row.maybe_json("condition")?,
        managed: row.int("managed")? == 1,
        version: row.int("version")?,
        attempt: row.count("attempt")?,
        tries: row.count("tries")?,
        crashes: row.count("crashes")?,
        nonce: row.int("nonce")?.cast_unsigned(),
        lease_until: row.maybe_time("lease_until")?,
        occupies: row.int("occupies")? == 1,
        started_at: row.time("started_at")?,
        running_at: row.maybe_time("running_at")?,
        completed_at: row.maybe_time("completed_at")?,
        not_before: row.time("not_before")?,
        expires_at: row.time("expires_at")?,
        deadline: row.maybe_time("deadline")?,
        indeterminate_at: row.maybe_time("indeterminate_at")?,
        verification: row.maybe_word("verification", Verification::parse)?,
        verify_after: row.maybe_time("verify_after")?,
        verify_by: row.maybe_time("verify_by")?,
        error: row.maybe_text("error")?.map(str::to_owned),
        evidence_at: row.maybe_time("evidence_at")?,
    })
}

pub(crate) fn episode(row: &SqliteRow) -> Result<Episode, Error> {
    let row = Reader::new(row, "episode");
    Ok(Episode {
        id: EpisodeId(row.int("id")?),
        tenant: row.word("tenant", TenantId::new)?,
        policy: row.word("policy", PolicyName::new)?,
        target: row.word("target", Target::new)?,
        state: row.word("state", EpisodeState::parse)?,
        severity: row.word("severity", Severity::parse)?,
        condition: row.json("condition")?,
        version: row.int("version")?,
        pending_since: row.time("pending_since")?,
        firing_since: row.maybe_time("firing_since")?,
        known_at: row.time("known_at")?,
        unmet_since: row.maybe_time("unmet_since")?,
        resolved_at: row.maybe_time("resolved_at")?,
        resolution: row.maybe_word("resolution", Resolution::parse)?,
        evidence: row.json("evidence")?,
        actions: row.count("actions")?,
        last_action: row.maybe_int("last_action")?.map(ActionId),
        refusal: row.maybe_json("refusal")?,
    })
}

pub(crate) fn sample(row: &SqliteRow) -> Result<Sample, Error> {
    let value = row.try_get("value")?;
    let row = Reader::new(row, "sample");
    Ok(Sample { metric: row.word("name", MetricName::new)?, tags: row.json("series")?, value, at: row.time("at")? })
}

pub(crate) fn policy(row: &SqliteRow) -> Result<StoredPolicy, Error> {
    let row = Reader::new(row, "policy");
    Ok(StoredPolicy {
        tenant: row.word("tenant", TenantId::new)?,
        spec: row.json("spec")?,
        source: row.json("source")?,
        enabled_override: row.maybe_int("enabled_override")?.map(|flag| flag == 1),
        revision: row.int("revision")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(crate) fn key(row: &SqliteRow) -> Result<ApiKey, Error> {
    let digest: Vec<u8> = row.try_get("digest")?;
    let id: String = row.try_get("id")?;
    let digest =
        digest.try_into().map_err(|_| Error::unreadable(format!("key {id}"), "its digest has not 32 bytes"))?;
    let row = Reader::new(row, "key");
    Ok(ApiKey {
        id: row.word("id", KeyId::new)?,
        tenant: row.word("tenant", TenantId::new)?,
        name: row.word("name", KeyName::new)?,
        role: row.word("role", Role::parse)?,
        digest: KeyDigest(digest),
        created_at: row.time("created_at")?,
        expires_at: row.maybe_time("expires_at")?,
        rotated_at: row.maybe_time("rotated_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}

pub(crate) fn audit_entry(row: &SqliteRow) -> Result<AuditEntry, Error> {
    let row = Reader::new(row, "audit entry");
    Ok(AuditEntry {
        seq: row.maybe_int("seq")?,
        tenant: row.word("tenant", TenantId::new)?,
        at: row.time("at")?,
        kind: row.text("kind")?.to_owned(),
        actor: Actor::new(row.text("actor")?),
        action: row.maybe_int("action")?.map(ActionId),
        episode: row.maybe_int("episode")?.map(EpisodeId),
        policy: row.maybe_word("policy", PolicyName::new)?,
        target: row.maybe_word("target", Target::new)?,
        reason: row.maybe_text("reason")?.map(str::to_owned),
        detail: row.json("detail")?,
    })
}

/// JSON text of a value that has one.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::unreadable("value", error))
}

/// A time as it is stored.
pub(crate) fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_micros)
}
