//! [`Limits`]: how much one tenant may have and do, so that it leaves something to the others.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;
use vigil_core::Vigil;
use vigil_core::clock::Timestamp;
use vigil_core::metric::Metric;
use vigil_core::store::Scope;
use vigil_core::tenant::TenantId;

use super::rate::too_many;
use crate::problem::{ApiError, Kind};

/// What one tenant may have and do; `None` is no limit. Rates are of each replica by itself. How many actions it may have is a
/// limit of the loop: [`vigil_core::ActionLimits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantLimits {
    /// Samples a second on average; ten times as many at once, after a pause.
    pub samples_per_second: Option<NonZeroU32>,
    /// Series that have a newest sample. Counted once a second: what comes in one second may exceed it.
    pub series: Option<usize>,
    /// Policies. Replicas that add at one moment may exceed it by one each.
    pub policies: Option<usize>,
}

/// The limits of all tenants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Of every tenant that has none of its own.
    pub default: TenantLimits,
    /// Of single tenants, in the place of the default ones.
    pub tenants: HashMap<TenantId, TenantLimits>,
}

impl Limits {
    /// Those of a tenant.
    pub fn of(&self, tenant: &TenantId) -> TenantLimits {
        self.tenants.get(tenant).copied().unwrap_or(self.default)
    }
}

/// Counts what tenants do. There is one count for each tenant that has keys, so that their number is bounded.
#[derive(Debug)]
pub(crate) struct TenantGates {
    limits: Limits,
    gates: Mutex<HashMap<TenantId, Arc<Gate>>>,
}

#[derive(Debug)]
struct Gate {
    samples: Option<DefaultDirectRateLimiter>,
    /// When it may next ask for an action, as the Store last said.
    acts_at: Mutex<Timestamp>,
    series: tokio::sync::Mutex<Series>,
}

/// What is known of a tenant's series.
#[derive(Debug, Default)]
struct Series {
    /// Hashes of some that are there.
    known: HashSet<u64>,
    /// How many there are, as counted then, and with those that were let in since.
    counted: Option<(Instant, usize)>,
}

impl TenantGates {
    /// How many seconds' samples may come at once.
    const BURST: u32 = 10;
    /// How old the count of series may be.
    const COUNTED_EVERY: Duration = Duration::from_secs(1);

    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, gates: Mutex::default() }
    }

    /// Counts samples, all of them or none.
    pub(crate) fn samples(&self, tenant: &TenantId, count: usize) -> Result<(), ApiError> {
        let gate = self.gate(tenant);
        let Some(samples) = &gate.samples else { return Ok(()) };
        let Some(count) = u32::try_from(count).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        match samples.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                Err(too_many(&until, "The tenant sends more samples than it may; wait as Retry-After says."))
            }
            Err(most) => {
                let detail =
                    format!("The tenant may send at most {} samples at once; send fewer in one request.", most.0);
                Err(ApiError::new(Kind::TooLarge, detail))
            }
        }
    }

    /// How many series a tenant may have, if that is limited.
    pub(crate) fn most_series(&self, tenant: &TenantId) -> Option<usize> {
        self.limits.of(tenant).series
    }

    /// Whether a tenant that may have `most` series may send these samples: those of series that are there, always, and of new
    /// ones as many as fit.
    pub(crate) async fn series(
        &self,
        tenant: &TenantId,
        most: usize,
        metrics: &[Metric],
        vigil: &Vigil,
    ) -> Result<(), ApiError> {
        let gate = self.gate(tenant);
        let mut series = gate.series.lock().await;
        let mut new: HashMap<u64, &Metric> = metrics
            .iter()
            .map(|metric| (number_of(metric), metric))
            .filter(|(hash, _)| !series.known.contains(hash))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let counted = match series.counted {
            Some((at, counted)) if at.elapsed() < Self::COUNTED_EVERY => counted,
            _ => vigil.store().count_series(tenant, most).await?,
        };
        if counted + new.len() > most {
            let scopes: HashSet<Scope> = new.values().map(|metric| scope_of(metric)).collect();
            for scope in scopes {
                let there = vigil.store().snapshot(&scope, Timestamp::MIN).await?;
                let there: HashSet<_> = there.iter().map(|sample| (&sample.metric, &sample.tags)).collect();
                new.retain(|hash, metric| {
                    let known = scope_of(metric) == scope && there.contains(&(&metric.name, &metric.series));
                    if known {
                        series.known.insert(*hash);
                    }
                    !known
                });
            }
            if !new.is_empty() && counted + new.len() > most {
                let detail =
                    format!("The tenant has {counted} of the {most} series it may have: send fewer new ones, or none.");
                return Err(ApiError::new(Kind::Conflict, detail));
            }
        }
        if series.known.len() + new.len() > most {
            series.known.clear(); // some of them are gone by now
        }
        series.known.extend(new.keys());
        let at = series.counted.map(|(at, _)| at).filter(|at| at.elapsed() < Self::COUNTED_EVERY);
        series.counted = Some((at.unwrap_or_else(Instant::now), counted + new.len()));
        Ok(())
    }

    /// Whether a tenant may ask for an action: before the time that the Store has said, it is not asked again. So a storm is kept
    /// from it.
    pub(crate) fn action(&self, tenant: &TenantId, now: Timestamp) -> Result<(), ApiError> {
        let at = *self.gate(tenant).acts_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now < at { Err(too_many_actions(at, now)) } else { Ok(()) }
    }

    /// Until when a tenant may have no further action, as the Store says.
    pub(crate) fn no_action(&self, tenant: &TenantId, until: Timestamp, now: Timestamp) -> ApiError {
        let gate = self.gate(tenant);
        let mut at = gate.acts_at.lock().unwrap_or_else(PoisonError::into_inner);
        *at = until.max(*at);
        too_many_actions(*at, now)
    }

    /// Whether a tenant may have one more policy.
    pub(crate) fn policy(&self, tenant: &TenantId, vigil: &Vigil) -> Result<(), ApiError> {
        let Some(most) = self.limits.of(tenant).policies else { return Ok(()) };
        if vigil.catalog().set().all_stored(tenant).len() < most {
            return Ok(());
        }
        Err(ApiError::new(
            Kind::Conflict,
            format!("The tenant has the {most} policies that it may have; remove one first."),
        ))
    }

    fn gate(&self, tenant: &TenantId) -> Arc<Gate> {
        // A panic while it was locked leaves the map whole: it is only ever added to.
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let limits = self.limits.of(tenant);
            let samples = limits.samples_per_second.map(|rate| {
                let burst = rate.saturating_mul(NonZeroU32::new(Self::BURST).unwrap_or(NonZeroU32::MIN));
                RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))
            });
            Arc::new(Gate { samples, acts_at: Mutex::new(Timestamp::MIN), series: tokio::sync::Mutex::default() })
        };
        gates.entry(tenant.clone()).or_insert_with(made).clone()
    }
}

fn too_many_actions(until: Timestamp, now: Timestamp) -> ApiError {
    let detail = "The tenant has had its actions of this minute; wait as Retry-After says.";
    ApiError::new(Kind::TooMany, detail).waiting(until.since(now).as_secs() + 1)
}

fn scope_of(metric: &Metric) -> Scope {
    Scope { tenant: metric.tenant.clone(), target: metric.target.clone() }
}

/// Stands for a series. Two that share a number count as one.
fn number_of(metric: &Metric) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((&metric.target, &metric.name, &metric.series))
}
