//! A real process is healed twice: `cargo run --release --example self_heal`.
//!
//! It starts a small HTTP service as a child process, measures it for real (its answer time, its RSS from /proc), makes it
//! hang, then makes it leak, and shows how Vigil notices, restarts it and verifies it, with the times between the steps.
//! It exits with 0 only if both faults were healed and verified. Linux only, because of /proc.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, timeout};
use vigil_core::action::{ActionStatus, Verification};
use vigil_core::events::Event;
use vigil_core::policy::{ConditionRegistry, PolicySpec};
use vigil_core::{RunnerSettings, Settings, Vigil};

mod probe;
mod service;
mod victim;

use probe::Probe;
use service::Service;

const POLICIES: &str = "
- name: hung
  description: It accepts, but does not answer.
  severity: critical
  target: shop
  condition: { type: metric_exceeds, metric: health_check_failures, threshold: 2 }
  action: restart
  auto_remediate: true
  params: { cooldown_seconds: 2 }
- name: leaking
  description: It eats memory.
  severity: warning
  target: shop
  condition: { type: metric_exceeds, metric: rss_mb, threshold: 150 }
  action: restart
  auto_remediate: true
  params: { cooldown_seconds: 2 }
";

/// How long the healing of one fault may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Breaks a real process in two ways and lets Vigil heal it.
#[derive(Debug, Parser)]
#[command(name = "self_heal")]
struct Flags {
    /// Be the service that is broken and healed.
    #[arg(long, hide = true, value_name = "PORT")]
    victim: Option<u16>,
}

type Fatal = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Flags::parse().victim {
        Some(port) => victim::serve(port).await,
        None => heal().await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("self_heal: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn heal() -> Result<(), Fatal> {
    let service = Arc::new(Service::start().await?);
    let vigil = Vigil::builder()
        .policies(PolicySpec::parse_file(POLICIES, "self_heal", &ConditionRegistry::default())?)
        .settings(impatient())
        .remediator(service.clone())
        .build()?;
    let mut story = Story { events: vigil.events().subscribe(), began: Instant::now(), rows: Vec::new() };
    let probe = Probe::new(&vigil, &service);
    let mut outcome = Ok(());
    let scenario = async {
        let play = async {
            story.tell(
                "RUNS",
                &format!("process {}; a request and its memory are measured every 200 ms", service.pid().await),
            );
            story.heal(&service, "hang", "hung", "it accepts connections and never answers").await?;
            story.heal(&service, "leak", "leaking", "it takes 20 MB more every second").await
        };
        tokio::select! {
            played = play => outcome = played,
            never = probe.measure() => match never {},
            _ = tokio::signal::ctrl_c() => outcome = Err("interrupted".into()),
        }
    };
    vigil.run(scenario).await?;
    outcome?;
    story.table();
    Ok(())
}

/// The documented defaults are for production; nobody wants to watch a terminal for that long.
fn impatient() -> Settings {
    Settings {
        staleness: Duration::from_secs(3),
        settle: Duration::from_secs(1),
        verify: Duration::from_secs(10),
        verify_interval: Duration::from_millis(100),
        recheck: Duration::from_millis(500),
        reconcile_interval: Duration::from_millis(500),
        runner: RunnerSettings { enabled: true, interval: Duration::from_secs(1), batch_size: 100 },
        ..Settings::default()
    }
}

/// What happened, told as it happens and summed up at the end.
struct Story {
    events: Receiver<Event>,
    began: Instant,
    rows: Vec<(String, [Duration; 4])>,
}

impl Story {
    /// Breaks the service and follows the healing to its proof.
    async fn heal(&mut self, service: &Service, fault: &str, policy: &str, what: &str) -> Result<(), Fatal> {
        service.break_it(fault).await?;
        let broken = Instant::now();
        self.tell("BROKEN", &format!("{fault}: {what}"));
        let healed = timeout(PATIENCE, self.follow(policy, broken)).await;
        let steps = healed.map_err(|_| {
            format!("the fault '{fault}' was not healed and verified within {} s", PATIENCE.as_secs())
        })??;
        self.rows.push((fault.to_owned(), steps));
        Ok(())
    }

    async fn follow(&mut self, policy: &str, broken: Instant) -> Result<[Duration; 4], Fatal> {
        let mut steps = [Duration::ZERO; 4];
        loop {
            match self.events.recv().await? {
                Event::Decided { policy: by, decision: "act", .. } if by.as_str() == policy => {
                    steps[0] = broken.elapsed();
                    self.tell("NOTICED", &format!("policy '{policy}' is violated: restart"));
                }
                Event::Action(action) if action.policy.as_ref().is_some_and(|by| by.as_str() == policy) => {
                    match (action.status, action.verification) {
                        (ActionStatus::Running, _) => {
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

    fn tell(&self, step: &str, words: &str) {
        let color = match step {
            "BROKEN" | "FAILED" => "31",
            "NOTICED" | "CALLED" => "33",
            _ => "32",
        };
        let at = self.began.elapsed().as_secs_f64();
        if std::io::stdout().is_terminal() {
            println!("{at:7.2} s  \x1b[{color}m{step:<9}\x1b[0m  {words}");
        } else {
            println!("{at:7.2} s  {step:<9}  {words}");
        }
        // A reader at the other end of a pipe shall see it now; if there is none any more, nobody misses it.
        let _ = std::io::stdout().flush();
    }

    fn table(&self) {
        println!("\nseconds since the fault");
        println!("{:<8}{:>10}{:>10}{:>12}{:>11}", "fault", "noticed", "called", "restarted", "verified");
        for (fault, steps) in &self.rows {
            let [noticed, called, restarted, verified] = steps.map(|step| step.as_secs_f64());
            println!("{fault:<8}{noticed:>10.2}{called:>10.2}{restarted:>12.2}{verified:>11.2}");
        }
    }
}
