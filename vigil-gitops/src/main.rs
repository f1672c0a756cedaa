//! The drift daemon: `vigil-gitopsd --help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use vigil_core::clock::{Clock, SystemClock};
use vigil_gitops::{Config, ConfigError, Daemon, Mode, Report, ShownItem, Watched};
use vigil_program::{LogFormat, LogLevel, Signals, chain, start_logging};
use vigil_remediator::service::Secrets;

/// Compares what is declared in files and Git with what lives, tells Vigil, and heals when Vigil asks for it.
///
/// With --once and --dry-run it ends with 0 if everything is as it is declared, with 1 if something could not be compared or told, and with
/// 2 if something has drifted.
#[derive(Debug, Parser)]
#[command(name = "vigil-gitopsd", version)]
struct Flags {
    /// The configuration file. A missing default one is an empty one: nothing is compared.
    #[arg(long, env = "VIGIL_GITOPSD_CONFIG", value_name = "FILE", default_value = DEFAULT)]
    config: PathBuf,
    /// Where the server is, instead of where the file says.
    #[arg(long, env = "VIGIL_URL", value_name = "URL")]
    server: Option<String>,
    /// The file that holds the API key, instead of the one that the file says.
    #[arg(long, env = "VIGIL_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// How often everything is compared, in seconds.
    #[arg(long, env = "GITOPSD_INTERVAL", value_name = "SECONDS", value_parser = seconds)]
    interval: Option<Duration>,
    /// The folder of what must survive a restart.
    #[arg(long, env = "VIGIL_GITOPSD_STATE", value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Where it listens, instead of where the file says.
    #[arg(long, env = "VIGIL_GITOPSD_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The secret that requests to heal are signed with, as on the server. Without one it listens on loopback only.
    #[arg(long, env = "REMEDIATOR_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// The same from a file.
    #[arg(long, env = "REMEDIATOR_SECRET_FILE", value_name = "FILE", conflicts_with = "secret")]
    secret_file: Option<PathBuf>,
    /// The secret before it, good as long as it is given.
    #[arg(long, env = "REMEDIATOR_SECRET_PREVIOUS", hide_env_values = true, value_name = "SECRET")]
    previous_secret: Option<String>,
    /// Compare once, tell the server, and end.
    #[arg(long)]
    once: bool,
    /// Compare once, print the items and their patches, one JSON object a line, and end. Nothing is sent or healed.
    #[arg(long)]
    dry_run: bool,
    /// How much is logged: trace, debug, info, warning, error.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
    /// What a line looks like: json or text.
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    log_format: LogFormat,
}

const DEFAULT: &str = "configs/gitopsd.yaml";

type Fatal = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Flags::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("vigil-gitopsd: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<u8, Fatal> {
    let config = config(&flags)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if flags.dry_run {
        return dry_run(config, &clock).await;
    }
    start_logging("vigil_gitops", flags.log_level, flags.log_format);
    let secrets = secrets(&flags)?;
    let is_signed = secrets.is_some();
    let daemon = Daemon::open(&config, secrets, clock).await?;
    if flags.once {
        let report = daemon.once().await;
        tracing::info!(drifted = report.drifted, wrong = report.wrong.len(), "compared");
        return Ok(told(&report));
    }
    let signals = Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let listener = daemon.listen().await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), address = %listener.local_addr()?, server = origin(&config.server),
        interval = config.interval.as_secs_f64(), config = %flags.config.display(), state = %config.state.display(),
        sources = config.sources.len(), "comparing"
    );
    if !is_signed {
        tracing::info!("no secret is configured: bound to loopback only");
    }
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let running = async {
        daemon.run(listener, stop.clone()).await;
        stopped.cancel();
    };
    tokio::join!(running, signals.stop(&stop, &stopped));
    tracing::info!("stopped");
    Ok(0)
}

/// Compares everything, and prints it. Working copies are made anew and removed again: the daemon's own may be in use.
async fn dry_run(mut config: Config, clock: &Arc<dyn Clock>) -> Result<u8, Fatal> {
    config.state = std::env::temp_dir().join(format!("vigil-gitopsd-dry-run-{}", std::process::id()));
    let mut report = Report::default();
    for source in Watched::all(&config, clock).await?.iter().filter(|source| source.config().mode != Mode::Off) {
        match source.compare().await {
            Ok(comparison) => {
                for item in &comparison.items {
                    println!("{}", serde_json::to_string(&ShownItem::of(source.name(), item))?);
                }
                report.add(source.name(), &comparison);
            }
            Err(error) => report.wrong.push(format!("{}: {}", source.name(), chain(&error))),
        }
    }
    let _ = std::fs::remove_dir_all(&config.state);
    Ok(told(&report))
}

/// Says what is wrong to whoever waits for the end.
fn told(report: &Report) -> u8 {
    for wrong in &report.wrong {
        eprintln!("vigil-gitopsd: {wrong}");
    }
    report.exit_code()
}

fn config(flags: &Flags) -> Result<Config, Fatal> {
    let mut config = match Config::read(&flags.config) {
        Err(ConfigError::File(error)) if error.is_missing() && flags.config.as_os_str() == DEFAULT => {
            Config::parse("", &flags.config)?
        }
        read => read?,
    };
    config.server = flags.server.clone().unwrap_or(config.server);
    config.api_key_file = flags.api_key_file.clone().or(config.api_key_file);
    config.interval = flags.interval.unwrap_or(config.interval);
    config.state = flags.state.clone().unwrap_or(config.state);
    config.listen = flags.listen.unwrap_or(config.listen);
    Ok(config)
}

fn secrets(flags: &Flags) -> Result<Option<Secrets>, Fatal> {
    let current = match (&flags.secret, &flags.secret_file) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(path);
            let read = read.map_err(|error| format!("REMEDIATOR_SECRET_FILE: {}: {error}", path.display()))?;
            Some(read.trim_end().to_owned())
        }
        (None, None) => None,
    };
    let Some(current) = current else {
        return match flags.previous_secret {
            Some(_) => Err("REMEDIATOR_SECRET_PREVIOUS is set, and REMEDIATOR_SECRET is not".into()),
            None => Ok(None),
        };
    };
    let secrets = Secrets::new(&current, flags.previous_secret.as_deref());
    Ok(Some(secrets.map_err(|wrong| format!("REMEDIATOR_SECRET: {wrong}"))?))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must be a number of seconds from 0.1 to 86400".to_owned())
}

/// Where a URL leads, without what may be secret in it.
fn origin(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, behind)| behind)
}
