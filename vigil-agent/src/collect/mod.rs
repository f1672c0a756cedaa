//! [`Collectors`]: everything that is measured, in one round.

use std::sync::Arc;
use std::time::Duration;

use vigil_core::clock::Clock;

use crate::complaints::Complaints;
use crate::config::Config;
use crate::sample::Reading;

mod check;
mod client;
mod host;
#[cfg(test)]
mod made_up;
mod proc;
mod process;
mod scrape;

pub use check::CheckConfig;
pub use host::HostConfig;
pub use process::ProcessConfig;
pub use scrape::ScrapeConfig;

use check::Checks;
use client::Clients;
use host::Host;
use proc::Proc;
use process::Processes;
use scrape::Scrapes;

/// All collectors.
pub(crate) struct Collectors {
    host: Host,
    processes: Processes,
    checks: Checks,
    scrapes: Scrapes,
    complaints: Complaints,
    clock: Arc<dyn Clock>,
}

/// Why a collector cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{what} {wrong}")]
pub struct CollectorError {
    pub(crate) what: String,
    pub(crate) wrong: String,
}

impl Collectors {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, CollectorError> {
        let mut clients = Clients::default();
        Ok(Self {
            host: Host::new(config.host.clone(), Proc::new()),
            processes: Processes::new(config.processes.clone(), Proc::new()),
            checks: Checks::new(&config.checks, &mut clients)?,
            scrapes: Scrapes::new(config.scrape.clone(), &mut clients)?,
            complaints: Complaints::default(),
            clock,
        })
    }

    /// Measures everything; each reading carries the time at which it was read. What compares two moments is there from the
    /// second round on.
    pub(crate) async fn collect(&mut self, limit: Duration) -> Vec<Reading> {
        let mut readings = vec![Reading::new("up", 1.0, self.clock.now())];
        readings.extend(self.host.collect(self.clock.now(), &mut self.complaints));
        readings.extend(self.processes.collect(self.clock.now(), &mut self.complaints));
        let clock = &*self.clock;
        let (checks, scrapes) = tokio::join!(self.checks.collect(limit, clock), self.scrapes.collect(limit, clock));
        readings.extend(checks);
        for (url, scraped) in scrapes {
            readings.extend(self.complaints.without(&url, scraped).unwrap_or_default());
        }
        readings.retain(|reading| reading.value.is_finite());
        readings
    }
}

fn five() -> f64 {
    5.0
}

/// Checks how long something may take.
fn timeout(seconds: f64) -> Result<Duration, String> {
    match seconds > 0.0 && seconds <= 3600.0 {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("has a timeout_seconds that is not above 0 and at most 3600".to_owned()),
    }
}
