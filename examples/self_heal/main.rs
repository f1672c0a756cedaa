//! A real process is healed three times: `cargo run --release --example self_heal`.
//!
//! First act: it starts a small HTTP service as a child process, measures it for real (its answer time, its RSS from /proc),
//! makes it hang, then makes it leak, and shows how Vigil notices, restarts it and verifies it, with the times between the
//! steps. Second act: the same service is supervised by the remediator service, a process of its own that Vigil calls over
//! HTTP, and that is killed with -9 while it restarts the service: nobody knows what became of it, so Vigil asks after it,
//! and the service is restarted once all the same. It exits with 0 only if every fault was healed and verified. Linux only,
//! because of /proc.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use vigil_core::policy::{ConditionRegistry, PolicySpec};
use vigil_core::remediator::Remediator;
use vigil_core::{RunnerSettings, Settings, Vigil};

mod probe;
mod remote;
mod service;
mod shop;
mod story;
mod victim;

use probe::Probe;
use remote::Remote;
use service::Service;
use story::{Story, tell};

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

/// Breaks a real process in several ways and lets Vigil heal it.
#[derive(Debug, Parser)]
#[command(name = "self_heal")]
struct Flags {
    /// Be the service that is broken and healed.
    #[arg(long, hide = true, value_name = "PORT")]
    victim: Option<u16>,
    /// Be it only as long as this process lives.
    #[arg(long, hide = true, value_name = "PID")]
    parent: Option<u32>,
    /// Be the remediator.
    #[arg(long, hide = true, value_name = "CONFIG")]
    remediator: Option<PathBuf>,
}

type Fatal = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let ended = match (flags.victim, flags.remediator) {
        (Some(port), _) => victim::serve(port, flags.parent).await,
        (None, Some(config)) => remote::serve(&config).await,
        (None, None) => play().await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("self_heal: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play() -> Result<(), Fatal> {
    let mut story = Story::new();
    first_act(&mut story).await?;
    println!();
    second_act(&mut story).await?;
    story.table();
    Ok(())
}

async fn first_act(story: &mut Story) -> Result<(), Fatal> {
    let service = Arc::new(Service::start().await?);
    let (vigil, shop) = (vigil(service.clone())?, service.shop());
    let mut events = vigil.events().subscribe();
    let scene = async {
        let words = "a request and its memory are measured every 200 ms";
        story.tell("RUNS", &format!("process {}; {words}", shop.pid().await));
        story.heal(&mut events, shop, "hang", "hung", "it accepts connections and never answers").await?;
        story.heal(&mut events, shop, "leak", "leaking", "it takes 20 MB more every second").await
    };
    watched(&vigil, &Probe::new(&vigil, shop), scene).await
}

async fn second_act(story: &mut Story) -> Result<(), Fatal> {
    let mut remote = Remote::start().await?;
    let (vigil, shop) = (vigil(Arc::new(remote.client()?))?, remote.shop());
    let mut events = vigil.events().subscribe();
    let began = story.began();
    let scene = async {
        let words = "supervised by the remediator service, which Vigil calls over HTTP";
        story.tell("RUNS", &format!("process {}; {words}", shop.pid().await));
        let sabotage = async {
            let (old, new) = remote.kill_in_mid_restart().await?;
            let words = "the remediator, before it could answer; it is started again";
            tell(began, "KILLED", &format!("{words} (process {old} had become process {new})"));
            Ok::<_, Fatal>(new)
        };
        let what = "it accepts connections and never answers";
        let (new, ()) = tokio::try_join!(sabotage, story.heal(&mut events, shop, "hang", "hung", what))?;
        match shop.pid().await {
            pid if pid == new => Ok(()),
            pid => Err(format!("it was restarted twice: process {new}, then process {pid}").into()),
        }
    };
    watched(&vigil, &Probe::new(&vigil, shop), scene).await
}

fn vigil(remediator: Arc<dyn Remediator>) -> Result<Vigil, Fatal> {
    let policies = PolicySpec::parse_file(POLICIES, "self_heal", &ConditionRegistry::default())?;
    Ok(Vigil::builder().policies(policies).settings(impatient()).remediator(remediator).build()?)
}

/// Runs Vigil and measures, for as long as the scene lasts.
async fn watched(
    vigil: &Vigil,
    probe: &Probe<'_>,
    scene: impl Future<Output = Result<(), Fatal>> + Send,
) -> Result<(), Fatal> {
    let mut outcome = Ok(());
    let until = async {
        tokio::select! {
            played = scene => outcome = played,
            never = probe.measure() => match never {},
            _ = tokio::signal::ctrl_c() => outcome = Err("interrupted".into()),
        }
    };
    vigil.run(until).await?;
    outcome
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
