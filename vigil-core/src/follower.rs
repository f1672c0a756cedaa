//! The follower: takes over what other replicas wrote, policies and keys, as soon as the Store tells of it, and the Store's clock.

use std::sync::Arc;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, chain};
use crate::store::{Followed, StoreError};

/// Follows until the token is cancelled. It looks every [`reconcile_interval`](crate::Settings::reconcile_interval) even when
/// it is told nothing.
pub(crate) async fn follow(context: Arc<Context>, of: Followed, token: CancellationToken) {
    loop {
        let followed = tokio::select! {
            biased;
            () = token.cancelled() => return,
            followed = follow_once(&context, of) => followed,
        };
        if let Err(error) = followed {
            tracing::error!(what = ?of, error = chain(&error), "what replicas share could not be refreshed; trying again");
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(context.settings.reconcile_interval) => {}
            }
        }
    }
}

async fn follow_once(context: &Context, of: Followed) -> Result<(), StoreError> {
    context.store_clock.follow(&*context.store).await?;
    let seen = match of {
        Followed::Policies => context.catalog.set().generation(),
        Followed::Keys => context.keys.generation(),
    };
    if let Ok(told) = timeout(context.settings.reconcile_interval, context.store.watch(of, seen)).await {
        told?;
    }
    match of {
        Followed::Policies => context.catalog.refresh().await,
        Followed::Keys => context.keys.refresh().await,
    }
}
