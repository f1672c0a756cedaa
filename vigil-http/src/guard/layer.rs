//! [`Guard`]: the layer that stands before every handler that asks for a caller.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;
use tower::{Layer, Service};
use vigil_core::key::Access;
use vigil_core::store::StoreError;
use vigil_core::tenant::TenantId;

#[cfg(doc)]
use super::Caller;
use super::peer::peer_of;
use super::rate::Who;
use super::{Need, identify};
use crate::problem::{ApiError, Kind};
use crate::router::App;

/// Lets a request pass to its handler, with its [`Caller`], or answers why not.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    app: App,
    need: Need,
}

impl Guard {
    /// Before a route with this need.
    pub(crate) fn new(app: App, need: Need) -> Self {
        Self { app, need }
    }

    /// Who calls, how often, and whether they may: then the request has its [`Caller`]. `loaded` says whether the keys are known.
    fn admit(&self, access: Access, loaded: Result<(), StoreError>, request: &mut Request) -> Result<(), ApiError> {
        let identified = identify(&self.app, loaded, request.headers());
        if let Some(rate) = &self.app.gates.rate {
            let peer = peer_of(request, self.app.config.trusted_proxies);
            let key = identified.as_ref().ok().and_then(|caller| caller.key.clone()).map(|(id, _)| id);
            rate.check(key.map_or(Who::Peer(peer), Who::Key))?;
        }
        let caller = identified?;
        if !caller.role.permits(access) {
            let detail = format!("A key of the role '{}' may not do this.", caller.role);
            return Err(ApiError::new(Kind::Forbidden, detail));
        }
        if self.need.is_of_installation() && caller.tenant != TenantId::default() {
            let detail = "This is about the whole installation: only a key of the tenant 'default' may do it.";
            return Err(ApiError::new(Kind::Forbidden, detail));
        }
        request.extensions_mut().insert(caller);
        Ok(())
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// A handler behind its [`Guard`].
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Guarding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Guard { app, need } = &self.guard;
        let Some(access) = need.access(request.method()) else {
            return Guarding::Passing { answering: self.inner.call(request), in_flight: None };
        };
        let Ok(in_flight) = app.gates.in_flight.clone().try_acquire_owned() else {
            return Guarding::refused(
                ApiError::unavailable("Too many requests are in flight; try again later.").waiting(1),
            );
        };
        if !app.vigil.keys().is_loaded() {
            let (guard, mut inner) = (self.guard.clone(), self.inner.clone());
            let answering = async move {
                let _in_flight = in_flight;
                let loaded = guard.app.vigil.keys().refresh().await;
                match guard.admit(access, loaded, &mut request) {
                    Ok(()) => inner.call(request).await,
                    Err(refusal) => Ok(refusal.into_response()),
                }
            };
            return Guarding::Waiting { answering: Box::pin(answering) };
        }
        match self.guard.admit(access, Ok(()), &mut request) {
            Ok(()) => Guarding::Passing { answering: self.inner.call(request), in_flight: Some(in_flight) },
            Err(refusal) => Guarding::refused(refusal),
        }
    }
}

pin_project! {
    /// The answer of a [`Guarded`] handler. Named, because a box for each request would take longer than the guard does.
    #[project = GuardingProjection]
    pub(crate) enum Guarding<F> {
        /// As the guard answers.
        Refused { answer: Option<Response> },
        /// The keys are not known yet.
        Waiting { answering: BoxFuture<'static, Result<Response, Infallible>> },
        /// As the handler answers.
        Passing { #[pin] answering: F, in_flight: Option<OwnedSemaphorePermit> },
    }
}

impl<F> Guarding<F> {
    fn refused(refusal: ApiError) -> Self {
        Self::Refused { answer: Some(refusal.into_response()) }
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Guarding<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            GuardingProjection::Refused { answer } => {
                Poll::Ready(Ok(answer.take().expect("a future is not polled after it has ended")))
            }
            GuardingProjection::Waiting { answering } => answering.as_mut().poll(context),
            GuardingProjection::Passing { answering, in_flight } => {
                let answer = ready!(answering.poll(context));
                *in_flight = None; // what follows is only written
                Poll::Ready(answer)
            }
        }
    }
}
