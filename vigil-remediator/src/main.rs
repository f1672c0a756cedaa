//! The remediator service: `vigil-remediator --help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use vigil_core::action::ActionType;
use vigil_core::clock::SystemClock;
use vigil_core::target::Target;
use vigil_program::{LogFormat, LogLevel, Signals, chain, start_logging};
use vigil_remediator::Routes;
use vigil_remediator::service::{Config, ConfigError, Secrets, Service};

/// Carries out what Vigil decides: restarts, scales, drains, takes snapshots. Each action once.
#[derive(Debug, Parser)]
#[command(name = "vigil-remediator", version)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration file. A missing default one is an empty one: everything is rejected.
    #[arg(long, global = true, env = "VIGIL_REMEDIATOR_CONFIG", value_name = "FILE", default_value = DEFAULT)]
    config: PathBuf,
    /// Where to listen, instead of where the file says.
    #[arg(long, env = "REMEDIATOR_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The secret that requests are signed with, as on the server. Without one it listens on loopback only.
    #[arg(long, env = "REMEDIATOR_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// The same from a file.
    #[arg(long, env = "REMEDIATOR_SECRET_FILE", value_name = "FILE", conflicts_with = "secret")]
    secret_file: Option<PathBuf>,
    /// The secret before it, good as long as it is given: first here both, then the new one on the servers, then here only it.
    #[arg(long, env = "REMEDIATOR_SECRET_PREVIOUS", hide_env_values = true, value_name = "SECRET")]
    previous_secret: Option<String>,
    /// How much is logged: trace, debug, info, warning, error.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
    /// What a line looks like: json or text.
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    log_format: LogFormat,
}

const DEFAULT: &str = "configs/remediator.yaml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks the configuration, and prints what would handle a target. Nothing is done.
    Check {
        /// The target; without it the routes are printed.
        #[arg(value_parser = Target::new)]
        target: Option<Target>,
        /// Only this action.
        #[arg(long)]
        action: Option<String>,
    },
}

type Fatal = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let ended = match config(&flags) {
        Ok(config) => match &flags.command {
            Some(Command::Check { target, action }) => check(&config, target.as_ref(), action.as_deref()).await,
            None => run(&flags, config).await,
        },
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vigil-remediator: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn config(flags: &Flags) -> Result<Config, Fatal> {
    let mut config = match Config::read(&flags.config) {
        Err(ConfigError::File(error)) if error.is_missing() && flags.config.as_os_str() == DEFAULT => {
            Config::parse("", &flags.config)?
        }
        read => read?,
    };
    config.listen = flags.listen.unwrap_or(config.listen);
    Ok(config)
}

fn secrets(flags: &Flags) -> Result<Option<Secrets>, Fatal> {
    let current = match (&flags.secret, &flags.secret_file) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(path);
            Some(
                read.map_err(|error| format!("REMEDIATOR_SECRET_FILE: {}: {error}", path.display()))?
                    .trim_end()
                    .to_owned(),
            )
        }
        (None, None) => None,
    };
    match current {
        Some(current) => {
            let secrets = Secrets::new(&current, flags.previous_secret.as_deref());
            Ok(Some(secrets.map_err(|wrong| format!("REMEDIATOR_SECRET: {wrong}"))?))
        }
        None if flags.previous_secret.is_some() => {
            Err("REMEDIATOR_SECRET_PREVIOUS is set, and REMEDIATOR_SECRET is not".into())
        }
        None => Ok(None),
    }
}

async fn run(flags: &Flags, config: Config) -> Result<(), Fatal> {
    start_logging("vigil_remediator", flags.log_level, flags.log_format);
    let signals = Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let secrets = secrets(flags)?;
    let is_signed = secrets.is_some();
    let service = Service::open(&config, secrets, Arc::new(SystemClock)).await?;
    let listener = service.listen(&config).await?;
    let address = listener.local_addr()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), %address, config = %flags.config.display(), ledger = %config.ledger.display(),
        executors = config.executors.len(), routes = config.routes.len(), "serving"
    );
    if config.routes.is_empty() {
        tracing::warn!("there are no routes: everything is rejected");
    }
    if !is_signed {
        tracing::info!("no secret is configured: bound to loopback only");
    }
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let serving = async {
        service.serve(listener, stop.cancelled()).await;
        stopped.cancel();
    };
    tokio::join!(serving, signals.stop(&stop, &stopped));
    tracing::info!("stopped");
    Ok(())
}

async fn check(config: &Config, target: Option<&Target>, action: Option<&str>) -> Result<(), Fatal> {
    let (routes, _) = config.routes(Arc::new(SystemClock)).await?;
    let Some(target) = target else {
        println!("{} executors, {} routes: the configuration is good", config.executors.len(), config.routes.len());
        for (number, rule) in routes.rules().iter().enumerate() {
            let object = rule.object.as_ref().map_or_else(String::new, |object| format!(" as {object}"));
            let dry_run = if rule.dry_run { ", dry run" } else { "" };
            println!("{:>3}  {}: {}{object}{dry_run}", number + 1, rule.route, rule.executor);
        }
        return Ok(());
    };
    let actions = match action {
        Some(word) => vec![ActionType::parse(word)?],
        None => ActionType::ALL.to_vec(),
    };
    println!("{:<11} {:>5}  {:<16} {:<28} what happens", "action", "route", "executor", "object");
    for action in actions {
        println!("{}", line(&routes, target, action));
    }
    Ok(())
}

/// What would handle one action.
fn line(routes: &Routes, target: &Target, action: ActionType) -> String {
    let Some(handling) = routes.find(target, action) else {
        return format!("{:<11} {:>5}  {:<16} {:<28} rejected: no route takes it", action.as_str(), "-", "-", "-");
    };
    let happens = match handling.refuses(target, action) {
        Some(reason) => format!("rejected: {reason}"),
        None if handling.rule.dry_run => "dry run".to_owned(),
        None => "carried out".to_owned(),
    };
    let (number, executor, object) = (handling.number, &handling.rule.executor, &handling.object);
    format!("{:<11} {number:>5}  {executor:<16} {object:<28} {happens}", action.as_str())
}
