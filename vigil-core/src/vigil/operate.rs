//! What operators ask of a [`Vigil`]: to stop, to look, to begin anew.

use super::Vigil;
use crate::store::{Actor, BrakeChange, Brakes, StoreError};
use crate::tenant::TenantId;

impl Vigil {
    /// Sets a tenant's brake. When this has answered, no attempt of an action that it stops starts on any replica; what runs
    /// is finished.
    ///
    /// # Errors
    /// [`StoreError`]: then the brake is as it was, or, if the Store became unavailable meanwhile, as it shall be.
    pub async fn set_brake(&self, tenant: &TenantId, change: BrakeChange, actor: &Actor) -> Result<Brakes, StoreError> {
        let brakes = self.context.store.set_brake(tenant, change, actor).await?;
        if let Some(brake) = &brakes.own {
            tracing::warn!(%tenant, state = brake.state.as_str(), scope = brake.scope.as_str(), reason = brake.reason,
                until = brake.until.map(tracing::field::display), actor = actor.as_str(), "the brake was set");
        }
        // The reconciler counts again: a count that fails is not the caller's failure.
        let _ = self.context.look_at_brakes().await;
        Ok(brakes)
    }
}
