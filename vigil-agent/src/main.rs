//! The agent: `vigil-agent --help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vigil_agent::{Agent, Config, ConfigError};
use vigil_core::clock::SystemClock;
use vigil_program::{LogFormat, LogLevel, Signals, chain, log_to_stderr, start_logging};

/// Measures this host, its processes and services, and tells Vigil.
#[derive(Debug, Parser)]
#[command(name = "vigil-agent", version)]
struct Flags {
    /// The configuration file. A missing default one is an empty one: the host is measured.
    #[arg(long, env = "VIGIL_AGENT_CONFIG", value_name = "FILE", default_value = DEFAULT)]
    config: PathBuf,
    /// Where the server is, instead of where the file says.
    #[arg(long, env = "VIGIL_URL", value_name = "URL")]
    server: Option<String>,
    /// The file that holds the API key, instead of the one that the file says.
    #[arg(long, env = "VIGIL_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// How often everything is measured, in seconds.
    #[arg(long, env = "AGENT_INTERVAL", value_name = "SECONDS")]
    interval: Option<f64>,
    /// Tags of all samples, beside those of the file: host=web-1,zone=a.
    #[arg(long = "tag", env = "VIGIL_AGENT_TAGS", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = tag)]
    tags: Vec<(String, String)>,
    /// Where samples wait for the server.
    #[arg(long, env = "VIGIL_AGENT_BUFFER", value_name = "FOLDER")]
    buffer: Option<PathBuf>,
    /// Where /health and /metrics are served.
    #[arg(long, env = "VIGIL_AGENT_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Measure once, send it with what waits, and end.
    #[arg(long)]
    once: bool,
    /// Measure once and print the samples, one JSON object a line, instead of sending them.
    #[arg(long)]
    dry_run: bool,
    /// How much is logged: trace, debug, info, warning, error.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
    /// What a line looks like: json or text.
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    log_format: LogFormat,
}

const DEFAULT: &str = "configs/agent.yaml";
/// How long `--once` waits for the server.
const ONCE: Duration = Duration::from_secs(60);

type Fatal = Box<dyn std::error::Error + Send + Sync>;

// One thread is enough to wait for the kernel and the server, and takes less memory.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vigil-agent: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Fatal> {
    let mut config = match Config::read(&flags.config) {
        Err(ConfigError::File(error)) if error.is_missing() && flags.config.as_os_str() == DEFAULT => Config::default(),
        read => read?,
    };
    config.server = flags.server.unwrap_or(config.server);
    config.api_key_file = flags.api_key_file.or(config.api_key_file);
    config.interval_seconds = flags.interval.unwrap_or(config.interval_seconds);
    config.tags.extend(flags.tags);
    config.buffer = flags.buffer.unwrap_or(config.buffer);
    config.listen = flags.listen.unwrap_or(config.listen);
    if flags.dry_run {
        // Standard output holds the samples alone.
        log_to_stderr("vigil_agent", flags.log_level, flags.log_format);
        let folder = std::env::temp_dir().join(format!("vigil-agent-dry-run-{}", std::process::id()));
        config.buffer.clone_from(&folder);
        let samples = Agent::new(&config, Arc::new(SystemClock)).map(async |mut agent| agent.once().await);
        let samples = samples?.await;
        let _ = std::fs::remove_dir_all(folder);
        for sample in samples {
            println!("{}", serde_json::to_string(&sample)?);
        }
        return Ok(());
    }
    start_logging("vigil_agent", flags.log_level, flags.log_format);
    let mut agent = Agent::new(&config, Arc::new(SystemClock))?;
    if flags.once {
        let samples = agent.once().await;
        let shipped = timeout(ONCE, agent.ship(&samples)).await;
        shipped.map_err(|_| format!("the server did not take the samples within {} s; they wait", ONCE.as_secs()))?;
        tracing::info!(samples = samples.len(), "sent");
        return Ok(());
    }
    let signals = Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), address = %listener.local_addr()?, server = origin(&config.server),
        interval = config.interval_seconds, config = %flags.config.display(), buffer = %config.buffer.display(), "measuring"
    );
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let running = async {
        agent.run(Some(listener), stop.clone()).await;
        stopped.cancel();
    };
    tokio::join!(running, signals.stop(&stop, &stopped));
    tracing::info!("stopped");
    Ok(())
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

/// Where a URL leads, without what may be secret in it.
fn origin(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, behind)| behind)
}
