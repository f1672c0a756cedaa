//! The follower: takes over the policies that other replicas wrote, as soon as the Store tells of them, and the Store's clock.

use std::sync::Arc;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, chain};
use crate::store::StoreError;

/// Follows until the token is cancelled. It looks every [`reconcile_interval`](crate::Settings::reconcile_interval) even when
/// it is told nothing.
pub(crate) async fn follow(context: Arc<Context>, token: CancellationToken) {
    loop {
        let followed = tokio::select! {
            biased;
            () = token.cancelled() => return,
            followed = follow_once(&context) => followed,
        };
        if let Err(error) = followed {
            tracing::error!(error = chain(&error), "policies could not be refreshed; trying again");
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(context.settings.reconcile_interval) => {}
            }
        }
    }
}

async fn follow_once(context: &Context) -> Result<(), StoreError> {
    context.store_clock.follow(&*context.store).await?;
    let seen = context.catalog.set().generation();
    match timeout(context.settings.reconcile_interval, context.store.watch_policies(seen)).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => context.catalog.refresh().await,
    }
}
