//! Idempotency keys: what was answered to a request, for a day.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use vigil_core::store::{IDEMPOTENCY_KEPT, Idempotency, StoreError};
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::row::{self, Reader, to_json};
use crate::time::At;

/// What became of a key.
pub(crate) enum Taken<T> {
    /// It is this request's now.
    Fresh,
    /// The same request was answered before, like this.
    Replayed(T),
    /// It was used for another request.
    Reused,
}

/// Takes a key for an answer. Whoever takes the same one at the same time waits for this transaction to end.
pub(crate) async fn take<T: Serialize + DeserializeOwned + 'static>(
    connection: &mut PgConnection,
    kind: &'static str,
    tenant: &TenantId,
    idempotency: &Idempotency,
    answer: &T,
    now: Option<At>,
) -> Result<Taken<T>, Error> {
    let taken = sqlx::query(TAKE)
        .bind(tenant.as_str())
        .bind(kind)
        .bind(idempotency.key.as_str())
        .bind(idempotency.fingerprint.as_str())
        .bind(to_json(answer)?)
        .bind(now)
        .bind(row::micros(IDEMPOTENCY_KEPT))
        .execute(&mut *connection)
        .await?;
    if taken.rows_affected() == 1 {
        return Ok(Taken::Fresh);
    }
    let known = sqlx::query("SELECT fingerprint, answer FROM idempotency WHERE tenant = $1 AND kind = $2 AND key = $3")
        .bind(tenant.as_str())
        .bind(kind)
        .bind(idempotency.key.as_str())
        .fetch_optional(connection)
        .await?;
    // Pruned in between: the client will ask again.
    let known = known.ok_or_else(|| StoreError::Unavailable("the key was just forgotten".into()))?;
    let known = Reader::new(&known, "idempotency key");
    if known.text("fingerprint")? != idempotency.fingerprint {
        return Ok(Taken::Reused);
    }
    Ok(Taken::Replayed(known.json("answer")?))
}

pub(crate) const TAKE: &str = "INSERT INTO idempotency (tenant, kind, key, fingerprint, answer, at) \
     VALUES ($1, $2, $3, $4, $5::json, coalesce($6, clock_timestamp())) ON CONFLICT (tenant, kind, key) DO UPDATE \
     SET fingerprint = excluded.fingerprint, answer = excluded.answer, at = excluded.at \
     WHERE idempotency.at <= excluded.at - $7 * interval '1 microsecond'";

/// Leaves a key unused that was taken in the same transaction: the request was refused.
pub(crate) async fn give_back(
    connection: &mut PgConnection,
    kind: &'static str,
    tenant: &TenantId,
    idempotency: &Idempotency,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM idempotency WHERE tenant = $1 AND kind = $2 AND key = $3")
        .bind(tenant.as_str())
        .bind(kind)
        .bind(idempotency.key.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
