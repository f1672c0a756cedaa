//! [`Brake`]: what stops all automatic action at once, until a person, or the time, releases it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Actor;
use crate::action::word;
use crate::clock::Timestamp;
use crate::invalid::InvalidValue;
use crate::tenant::TenantId;

/// Whether a brake is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum BrakeState {
    /// Nothing is admitted, and no attempt of an action starts. What runs is finished.
    Stopped,
    /// All goes on.
    Released,
}

impl BrakeState {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stopped, Self::Released];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Released => "released",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `state`, naming both.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| InvalidValue::new("state", "must be one of stopped, released"))
    }
}

/// Whom a brake stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum BrakeScope {
    /// Its own tenant.
    #[default]
    Tenant,
    /// Every tenant. Only the default tenant's brake can.
    All,
}

impl BrakeScope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tenant, Self::All];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::All => "all",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `scope`, naming both.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == word);
        known.ok_or_else(|| InvalidValue::new("scope", "must be one of tenant, all"))
    }
}

word!(BrakeState, BrakeScope);

/// A tenant's brake as it was last set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Brake {
    /// Whose.
    pub tenant: TenantId,
    /// As it was set; see [`is_on`](Brake::is_on) for what counts.
    pub state: BrakeState,
    /// Whom it stops.
    pub scope: BrakeScope,
    /// Why, in words.
    pub reason: Option<String>,
    /// When it releases by itself.
    pub until: Option<Timestamp>,
    /// Since when it is what it is.
    pub since: Timestamp,
    /// Who set it.
    pub actor: Actor,
}

/// What a brake shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct BrakeChange {
    /// On or off.
    pub state: BrakeState,
    /// Whom it stops.
    pub scope: BrakeScope,
    /// Why, in words.
    pub reason: Option<String>,
    /// When it releases by itself; `None`: when somebody does.
    pub until: Option<Timestamp>,
}

impl BrakeChange {
    /// The brake that a tenant has after this change. Every Store writes what this answers.
    pub fn apply(self, tenant: &TenantId, actor: &Actor, now: Timestamp) -> Brake {
        let scope = if *tenant == TenantId::default() { self.scope } else { BrakeScope::Tenant };
        Brake {
            tenant: tenant.clone(),
            state: self.state,
            scope,
            reason: self.reason,
            until: self.until.filter(|_| self.state == BrakeState::Stopped),
            since: now,
            actor: actor.clone(),
        }
    }
}

impl Brake {
    /// Whether it stops anybody at `now`.
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.state == BrakeState::Stopped && self.until.is_none_or(|until| now < until)
    }

    /// Whether it is one that counts for `tenant`.
    pub fn counts_for(&self, tenant: &TenantId) -> bool {
        self.tenant == *tenant || (self.scope == BrakeScope::All && self.tenant == TenantId::default())
    }
}

/// That a brake is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Braked {
    /// When it releases by itself; `None`: when somebody does.
    pub until: Option<Timestamp>,
}

impl Braked {
    /// Of what a Store found in one number: the latest end of all brakes that are on, [`Timestamp::MAX`] for one without an
    /// end; nothing if none is on.
    pub fn until(latest: Option<Timestamp>) -> Option<Self> {
        latest.map(|until| Self { until: Some(until).filter(|until| *until < Timestamp::MAX) })
    }
}

/// The brakes that count for one tenant, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Brakes {
    /// The Store's clock.
    pub now: Timestamp,
    /// Its own, if it was ever set.
    pub own: Option<Brake>,
    /// The default tenant's, if that has [`BrakeScope::All`]; of the default tenant the same as its own.
    pub all: Option<Brake>,
}

impl Brakes {
    /// Those that count for `tenant`, of any.
    pub fn of(tenant: &TenantId, brakes: impl IntoIterator<Item = Brake>, now: Timestamp) -> Self {
        let mut found = Self { now, own: None, all: None };
        for brake in brakes.into_iter().filter(|brake| brake.counts_for(tenant)) {
            if brake.scope == BrakeScope::All {
                found.all = Some(brake.clone());
            }
            if brake.tenant == *tenant {
                found.own = Some(brake);
            }
        }
        found
    }

    /// The one that is on, the longest if there are two.
    pub fn stopping(&self) -> Option<&Brake> {
        let on = [&self.own, &self.all].into_iter().flatten().filter(|brake| brake.is_on(self.now));
        on.max_by_key(|brake| brake.until.unwrap_or(Timestamp::MAX))
    }

    /// Whether any is on.
    pub fn braked(&self) -> Option<Braked> {
        self.stopping().map(|brake| Braked { until: brake.until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brake(tenant: &str, scope: BrakeScope, until: Option<i64>) -> Brake {
        let change =
            BrakeChange { state: BrakeState::Stopped, scope, reason: None, until: until.map(Timestamp::from_micros) };
        change.apply(&TenantId::new(tenant).unwrap(), &Actor::new("test"), Timestamp::from_micros(0))
    }

    #[test]
    fn the_longest_brake_that_is_on_counts() {
        let tenant = TenantId::new("a").unwrap();
        let at = |now, brakes: Vec<Brake>| Brakes::of(&tenant, brakes, Timestamp::from_micros(now)).braked();
        let until = |until: i64| Some(Braked { until: Some(Timestamp::from_micros(until)) });
        let (own, all) = (brake("a", BrakeScope::Tenant, Some(10)), brake("default", BrakeScope::All, Some(20)));
        assert_eq!(at(9, vec![own.clone(), all.clone()]), until(20));
        assert_eq!(at(9, vec![own.clone()]), until(10));
        assert_eq!(at(10, vec![own.clone()]), None);
        let endless = brake("a", BrakeScope::Tenant, None);
        assert_eq!(at(9, vec![endless, all]), Some(Braked { until: None }));
        assert_eq!(at(9, vec![brake("default", BrakeScope::Tenant, None), brake("b", BrakeScope::Tenant, None)]), None);
    }

    #[test]
    fn only_the_default_tenant_can_stop_all() {
        assert_eq!(brake("a", BrakeScope::All, None).scope, BrakeScope::Tenant);
        assert_eq!(brake("default", BrakeScope::All, None).scope, BrakeScope::All);
    }
}
