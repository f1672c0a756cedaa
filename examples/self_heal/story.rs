//! What happened, told as it happens and summed up at the end.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, timeout};
use vigil_core::action::{ActionStatus, Verification};
use vigil_core::events::Event;

use super::Fatal;
use super::shop::Shop;

/// How long the healing of one fault may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The times of everything, from the first act to the last.
pub(crate) struct Story {
    began: Instant,
    rows: Vec<(String, [Duration; 4])>,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), rows: Vec::new() }
    }

    /// Breaks the service and follows the healing to its proof.
    pub(crate) async fn heal(
        &mut self,
        events: &mut Receiver<Event>,
        shop: Shop,
        fault: &str,
        policy: &str,
        what: &str,
    ) -> Result<(), Fatal> {
        shop.break_it(fault).await?;
        let broken = Instant::now();
        self.tell("BROKEN", &format!("{fault}: {what}"));
        let healed = timeout(PATIENCE, self.follow(events, policy, broken)).await;
        let steps = healed.map_err(|_| {
            format!("the fault '{fault}' was not healed and verified within {} s", PATIENCE.as_secs())
        })??;
        self.rows.push((fault.to_owned(), steps));
        Ok(())
    }

    async fn follow(
        &self,
        events: &mut Receiver<Event>,
        policy: &str,
        broken: Instant,
    ) -> Result<[Duration; 4], Fatal> {
        let mut steps = [Duration::ZERO; 4];
        loop {
            match events.recv().await? {
                Event::Decided { policy: by, decision: "act", .. } if by.as_str() == policy => {
                    steps[0] = broken.elapsed();
                    self.tell("NOTICED", &format!("policy '{policy}' is violated: restart"));
                }
                Event::Action(action) if action.policy.as_ref().is_some_and(|by| by.as_str() == policy) => {
                    match (action.status, action.verification) {
                        (ActionStatus::Running, _) if action.indeterminate_at.is_some() => {
                            self.tell("UNKNOWN", "nobody knows what became of it: it is asked after, not sent again");
                        }
                        (ActionStatus::Running, _) if steps[1].is_zero() => {
                            steps[1] = broken.elapsed();
                            self.tell(
                                "CALLED",
                                &format!("attempt {} under key {}", action.attempt, action.idempotency_key()),
                            );
                        }
                        (ActionStatus::Completed, Some(Verification::Awaiting)) => {
                            steps[2] = broken.elapsed();
                            self.tell("RESTARTED", action.details.as_deref().unwrap_or("the remediator says so"));
                        }
                        (ActionStatus::Completed, Some(Verification::Verified)) => {
                            steps[3] = broken.elapsed();
                            self.tell("VERIFIED", "fresh samples say that it is well again");
                            return Ok(steps);
                        }
                        (ActionStatus::Failed | ActionStatus::Cancelled, _) => {
                            self.tell("FAILED", action.error.as_deref().unwrap_or("no reason given"));
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn tell(&self, step: &str, words: &str) {
        tell(self.began, step, words);
    }

    /// Since when the story is told.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn table(&self) {
        println!("\nseconds since the fault");
        println!("{:<8}{:>10}{:>10}{:>12}{:>11}", "fault", "noticed", "called", "restarted", "verified");
        for (fault, steps) in &self.rows {
            let [noticed, called, restarted, verified] = steps.map(|step| step.as_secs_f64());
            println!("{fault:<8}{noticed:>10.2}{called:>10.2}{restarted:>12.2}{verified:>11.2}");
        }
    }
}

/// One line.
pub(crate) fn tell(began: Instant, step: &str, words: &str) {
    let color = match step {
        "BROKEN" | "FAILED" | "KILLED" => "31",
        "NOTICED" | "CALLED" | "UNKNOWN" => "33",
        _ => "32",
    };
    let at = began.elapsed().as_secs_f64();
    if std::io::stdout().is_terminal() {
        println!("{at:7.2} s  \x1b[{color}m{step:<9}\x1b[0m  {words}");
    } else {
        println!("{at:7.2} s  {step:<9}  {words}");
    }
    // A reader at the other end of a pipe shall see it now; if there is none any more, nobody misses it.
    let _ = std::io::stdout().flush();
}
