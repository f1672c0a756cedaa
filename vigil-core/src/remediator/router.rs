//! [`RemediatorRouter`]: several remediators behind one, chosen by target and action.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use crate::action::{ActionType, IdempotencyKey};
use crate::target::{Target, TargetPattern};

/// Hands each request to the remediator of the first route that takes it, or to the fallback.
///
/// Without a fallback, what no route takes is [`Outcome::Rejected`] with the routes there are.
///
/// # Probes
/// A key does not say which route took it, and routes may have changed since, so every remediator is asked, in order:
/// - the first that knows the key ([`Probe::Done`], [`Probe::InProgress`]) answers for all;
/// - [`Probe::NotDone`] only if all say so;
/// - otherwise, if one could not be asked, that error, so that it is asked again;
/// - otherwise [`Probe::Unknown`]. One remediator that can never tell therefore makes the router unable to say
///   "not done": such a key is verified by metrics and never sent twice.
#[derive(Debug, Default)]
pub struct RemediatorRouter {
    routes: Vec<(Route, Arc<dyn Remediator>)>,
    fallback: Option<Arc<dyn Remediator>>,
}

/// Which requests a remediator of a [`RemediatorRouter`] takes.
#[derive(Debug, Clone, Default)]
pub struct Route {
    targets: Option<TargetPattern>,
    actions: Vec<ActionType>,
}

impl Route {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Only those whose target matches.
    #[must_use]
    pub fn with_targets(mut self, pattern: TargetPattern) -> Self {
        self.targets = Some(pattern);
        self
    }

    /// Only those with one of these actions; none means all.
    #[must_use]
    pub fn with_actions(mut self, actions: impl IntoIterator<Item = ActionType>) -> Self {
        self.actions = actions.into_iter().collect();
        self
    }

    /// Which targets; `None` for all.
    pub fn targets(&self) -> Option<&TargetPattern> {
        self.targets.as_ref()
    }

    /// Whether an action on a target is one of those.
    pub fn takes(&self, target: &Target, action: ActionType) -> bool {
        self.targets.as_ref().is_none_or(|pattern| pattern.matches(target))
            && (self.actions.is_empty() || self.actions.contains(&action))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.actions.iter().map(|action| action.as_str()).collect();
        let words = if words.is_empty() { "any action".to_owned() } else { words.join(", ") };
        write!(f, "{words} on {}", self.targets.as_ref().map_or("all", TargetPattern::as_str))
    }
}

impl RemediatorRouter {
    /// One without routes: it rejects everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route after those there are; the first that takes a request wins.
    #[must_use]
    pub fn with_route(mut self, route: Route, remediator: Arc<dyn Remediator>) -> Self {
        self.routes.push((route, remediator));
        self
    }

    /// Takes what no route takes.
    #[must_use]
    pub fn with_fallback(mut self, remediator: Arc<dyn Remediator>) -> Self {
        self.fallback = Some(remediator);
        self
    }

    /// Each remediator once, in order.
    fn remediators(&self) -> Vec<&Arc<dyn Remediator>> {
        let mut distinct: Vec<&Arc<dyn Remediator>> = Vec::new();
        for remediator in self.routes.iter().map(|(_, remediator)| remediator).chain(&self.fallback) {
            if !distinct.iter().any(|known| Arc::ptr_eq(known, remediator)) {
                distinct.push(remediator);
            }
        }
        distinct
    }

    fn rejection(&self, request: &RemediationRequest) -> String {
        let routes: Vec<_> = self.routes.iter().map(|(route, _)| route.to_string()).collect();
        let routes =
            if routes.is_empty() { "there is none".to_owned() } else { format!("they take {}", routes.join("; ")) };
        format!("no route takes {} on {}: {routes}", request.action, request.target)
    }
}

#[async_trait]
impl Remediator for RemediatorRouter {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        let route = self
            .routes
            .iter()
            .find(|(route, _)| route.takes(&request.target, request.action))
            .map(|(_, remediator)| remediator);
        match route.or(self.fallback.as_ref()) {
            Some(remediator) => remediator.remediate(request).await,
            None => Ok(Outcome::Rejected { reason: self.rejection(request) }),
        }
    }

    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        // With no remediator at all nothing can have been done.
        let mut answer = Ok(Probe::NotDone);
        for remediator in self.remediators() {
            match remediator.probe(key).await {
                Ok(known @ (Probe::Done(_) | Probe::InProgress)) => return Ok(known),
                Ok(Probe::NotDone) => {}
                Ok(Probe::Unknown) => answer = answer.map(|_| Probe::Unknown),
                Err(error) => answer = answer.and(Err(error)),
            }
        }
        answer
    }

    /// Succeeds if all of them can be reached; otherwise the error of the first that cannot.
    async fn ping(&self) -> Result<(), RemediatorError> {
        for remediator in self.remediators() {
            remediator.ping().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::tests::request;
    use super::*;

    /// Says its name, and answers every probe the same; `None`: it cannot be asked.
    #[derive(Debug)]
    struct Named(&'static str, Option<Probe>, Mutex<u32>);

    impl Named {
        fn new(name: &'static str, probe: Option<Probe>) -> Arc<Self> {
            Arc::new(Self(name, probe, Mutex::new(0)))
        }
    }

    #[async_trait]
    impl Remediator for Named {
        async fn remediate(&self, _: &RemediationRequest) -> Result<Outcome, RemediatorError> {
            Ok(Outcome::Succeeded { details: Some(self.0.to_owned()) })
        }
        async fn probe(&self, _: &IdempotencyKey) -> Result<Probe, RemediatorError> {
            *self.2.lock().unwrap() += 1;
            self.1.clone().ok_or_else(|| RemediatorError::Unavailable(self.0.into()))
        }
        async fn ping(&self) -> Result<(), RemediatorError> {
            self.1.as_ref().map(|_| ()).ok_or_else(|| RemediatorError::Unavailable(self.0.into()))
        }
    }

    fn router() -> RemediatorRouter {
        let web = Route::any().with_targets(TargetPattern::new("web-*").unwrap());
        let scale = Route::any().with_actions([ActionType::ScaleUp, ActionType::ScaleDown]);
        RemediatorRouter::new()
            .with_route(web.clone().with_actions([ActionType::Snapshot]), Named::new("first", None))
            .with_route(web, Named::new("web", None))
            .with_route(scale, Named::new("scale", None))
    }

    async fn sent_to(router: &RemediatorRouter, action: &str, target: &str) -> Outcome {
        router.remediate(&request("k", 1, target, action)).await.unwrap()
    }

    fn by(name: &str) -> Outcome {
        Outcome::Succeeded { details: Some(name.to_owned()) }
    }

    #[tokio::test]
    async fn the_first_route_that_takes_a_request_wins() {
        let router = router();
        assert_eq!(sent_to(&router, "snapshot", "web-1").await, by("first"));
        assert_eq!(sent_to(&router, "restart", "web-1").await, by("web"));
        assert_eq!(sent_to(&router, "scale-up", "web-1").await, by("web"));
        assert_eq!(sent_to(&router, "scale-up", "db-1").await, by("scale"));
    }

    #[tokio::test]
    async fn what_no_route_takes_goes_to_the_fallback() {
        let router = router().with_fallback(Named::new("rest", None));
        assert_eq!(sent_to(&router, "restart", "db-1").await, by("rest"));
    }

    #[tokio::test]
    async fn without_a_fallback_it_is_rejected_with_the_routes_there_are() {
        let rejected = |reason: &str| Outcome::Rejected { reason: reason.to_owned() };
        assert_eq!(
            sent_to(&router(), "restart", "db-1").await,
            rejected(
                "no route takes restart on db-1: they take snapshot on web-*; any action on web-*; scale-up, scale-down on all"
            )
        );
        let none = RemediatorRouter::new();
        assert_eq!(sent_to(&none, "restart", "db-1").await, rejected("no route takes restart on db-1: there is none"));
    }

    async fn probed(answers: &[Option<Probe>]) -> Result<Probe, String> {
        let router = answers.iter().fold(RemediatorRouter::new(), |router, answer| {
            router.with_route(Route::any(), Named::new("one of them", answer.clone()))
        });
        router.probe(&IdempotencyKey("k".to_owned())).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_one_that_knows_a_key_answers_for_all() {
        let done = Probe::Done(by("web"));
        for others in [Some(Probe::NotDone), Some(Probe::Unknown), None] {
            assert_eq!(probed(&[others.clone(), Some(done.clone())]).await.unwrap(), done);
            assert_eq!(probed(&[others, Some(Probe::InProgress)]).await.unwrap(), Probe::InProgress);
        }
    }

    #[tokio::test]
    async fn not_done_needs_all_of_them() {
        let (no, unknown) = (Some(Probe::NotDone), Some(Probe::Unknown));
        assert_eq!(probed(&[no.clone(), no.clone()]).await.unwrap(), Probe::NotDone);
        assert_eq!(probed(&[no.clone(), unknown.clone()]).await.unwrap(), Probe::Unknown);
        assert_eq!(probed(&[unknown.clone(), no.clone()]).await.unwrap(), Probe::Unknown);
        for unasked in [[None, unknown.clone()], [unknown, None], [None, no.clone()], [no, None]] {
            assert!(probed(&unasked).await.is_err(), "it may be asked again");
        }
        assert_eq!(probed(&[]).await.unwrap(), Probe::NotDone);
    }

    #[tokio::test]
    async fn a_remediator_of_several_routes_is_asked_once() {
        let named = Named::new("web", Some(Probe::Unknown));
        let router = RemediatorRouter::new()
            .with_route(Route::any(), named.clone())
            .with_route(Route::any(), named.clone())
            .with_fallback(named.clone());
        router.probe(&IdempotencyKey("k".to_owned())).await.unwrap();
        assert_eq!(*named.2.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn it_is_reachable_if_all_are() {
        let up = || Named::new("up", Some(Probe::NotDone));
        let router = RemediatorRouter::new().with_route(Route::any(), up()).with_fallback(up());
        assert!(router.ping().await.is_ok());
        assert!(router.with_fallback(Named::new("down", None)).ping().await.is_err());
    }
}
