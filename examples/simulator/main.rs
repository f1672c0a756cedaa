//! A load on a server, from the command line: `cargo run --release --example simulator -- --help`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;
use vigil_http::simulator::{Figures, Load, Mode, Simulator, Status};
use vigil_program::{Signals, chain};

/// Sends samples as agents do, and says what became of them.
#[derive(Debug, Parser)]
#[command(name = "simulator", version)]
struct Flags {
    /// Where the server is.
    #[arg(long, env = "VIGIL_URL", value_name = "URL", default_value = "http://127.0.0.1:8000")]
    server: String,
    /// The API key, where the server asks for one.
    #[arg(long, env = "VIGIL_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// How events come: steady, burst, ramp, chaos.
    #[arg(long, value_name = "MODE", default_value = "steady")]
    mode: Mode,
    /// Events per minute.
    #[arg(long, value_name = "EVENTS", default_value_t = 600.0)]
    rate: f64,
    /// For how many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    duration: f64,
    /// The share of samples that the server must refuse, 0.0 to 1.0.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    failure_rate: f64,
    /// The share of requests that are given up half-way.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    timeout_rate: f64,
    /// The share of requests that are no JSON.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    malformed_rate: f64,
    /// The same seed sends the same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many hosts the samples are of.
    #[arg(long, value_name = "HOSTS", default_value_t = 5)]
    targets: usize,
}

type Fatal = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Fatal> {
    let duration = Duration::try_from_secs_f64(flags.duration).map_err(|_| "--duration must be a number of seconds")?;
    let load = Load {
        failure_rate: flags.failure_rate,
        timeout_rate: flags.timeout_rate,
        malformed_rate: flags.malformed_rate,
        duration: Some(duration),
        targets: (1..=flags.targets).map(|number| format!("sim-host-{number}")).collect(),
        ..Load::new(flags.mode, flags.rate, flags.seed)
    };
    load.check().map_err(|wrong| format!("--{wrong}"))?;
    let simulator = Simulator::new(&flags.server)?;
    simulator.start(load, flags.api_key.as_deref())?;
    let signals = Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let (stop, done) = (CancellationToken::new(), CancellationToken::new());
    let watching = async {
        let status = watch(&simulator, duration, &stop).await;
        done.cancel();
        stop.cancel();
        status
    };
    let ((), status, ()) = tokio::join!(simulator.run(done.cancelled()), watching, signals.stop(&stop, &done));
    report(&status);
    let Figures { succeeded, generated, .. } = status.figures;
    if generated > 0 && succeeded == 0 {
        return Err(format!("{} took none of {generated} samples: is a server there?", flags.server).into());
    }
    Ok(())
}

/// Shows how far it is until it ends, or is asked to.
async fn watch(simulator: &Simulator, duration: Duration, stop: &CancellationToken) -> Status {
    let bar = ProgressBar::new(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let style =
        ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}").expect("the template is fixed and good");
    bar.set_style(style);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                simulator.stop();
            }
            _ = ticks.tick() => {}
        }
        // Not yet taken up.
        let Some(status) = simulator.status() else { continue };
        let Figures { generated, succeeded, latencies, .. } = status.figures;
        bar.set_position(u64::try_from(status.uptime.as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{generated} sent, {succeeded} taken, p99 {:.1} ms", ms(latencies.p99)));
        if !status.running {
            bar.finish_and_clear();
            return status;
        }
        if stop.is_cancelled() {
            ticks.tick().await;
        }
    }
}

fn report(status: &Status) {
    let Figures { generated, succeeded, failed, rate_limited, timeout, malformed, latencies } = status.figures;
    let seconds = status.uptime.as_secs_f64();
    println!(
        "{} at {} events per minute, seed {}, {seconds:.1} s",
        status.load.mode, status.load.rate, status.load.seed
    );
    println!("  events_generated    {generated:>9}   {:.1} per second", generated as f64 / seconds.max(0.001));
    println!("  events_succeeded    {succeeded:>9}");
    println!("  events_failed       {failed:>9}");
    println!("  events_rate_limited {rate_limited:>9}");
    println!("  events_timeout      {timeout:>9}");
    println!("  events_malformed    {malformed:>9}");
    let [p50, p95, p99, max] = [latencies.p50, latencies.p95, latencies.p99, latencies.max].map(ms);
    println!("  latency             p50 {p50:.1} ms   p95 {p95:.1} ms   p99 {p99:.1} ms   max {max:.1} ms");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
