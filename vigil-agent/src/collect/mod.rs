//! [`Collectors`]: everything that is measured, in one round.

use std::time::Duration;

use crate::complaints::Complaints;
use crate::config::Config;
use crate::sample::Reading;

mod check;
mod host;
mod process;
mod scrape;

pub use check::CheckConfig;
pub use host::HostConfig;
pub use process::ProcessConfig;
pub use scrape::ScrapeConfig;

use check::Checks;
use host::Host;
use process::Processes;
use scrape::Scrapes;

/// All collectors.
pub(crate) struct Collectors {
    host: Host,
    processes: Processes,
    checks: Checks,
    scrapes: Scrapes,
    complaints: Complaints,
}

/// Why a collector cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{what} {wrong}")]
pub struct CollectorError {
    pub(crate) what: String,
    pub(crate) wrong: String,
}

impl Collectors {
    pub(crate) fn new(config: &Config) -> Result<Self, CollectorError> {
        let mut complaints = Complaints::default();
        Ok(Self {
            host: Host::new(config.host.clone(), &mut complaints),
            processes: Processes::new(config.processes.clone(), &mut complaints),
            checks: Checks::new(config.checks.clone())?,
            scrapes: Scrapes::new(config.scrape.clone())?,
            complaints,
        })
    }

    /// Measures everything. What compares two moments is there from the second round on.
    pub(crate) async fn collect(&mut self, limit: Duration) -> Vec<Reading> {
        let mut readings = self.host.collect(&mut self.complaints);
        readings.extend(self.processes.collect());
        let (checks, scrapes) = tokio::join!(self.checks.collect(limit), self.scrapes.collect(limit));
        readings.extend(checks);
        for (url, scraped) in scrapes {
            match scraped {
                Ok(found) => {
                    self.complaints.settle(&url);
                    readings.extend(found);
                }
                Err(why) => self.complaints.about(&url, why),
            }
        }
        readings.retain(|reading| reading.value.is_finite());
        readings
    }
}
