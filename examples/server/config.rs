//! [`Config`]: what the server runs with: flags beat environment beat file beat defaults.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use vigil_core::remediator::Route;
use vigil_core::target::{TargetPattern, TargetTags};
use vigil_core::tenant::TenantId;
use vigil_core::{ActionLimits, Settings};
use vigil_http::{
    Credential, HttpConfig, HttpRemediatorOptions, Limits, Origins, Pepper, Rate, Secret, TenantLimits, Tls,
};
use vigil_queue_redis::RedisOptions;
use vigil_store_postgres::PostgresOptions;
use vigil_store_sqlite::SqliteOptions;

use crate::file::{File, RouteEntry};
use crate::flags::{Flags, Role};
use vigil_program::{LogFormat, LogLevel};

const DEFAULT_FILE: &str = "configs/collector.yaml";
const DEFAULT_POLICIES: &str = "configs/policies.yaml";
const DEFAULT_DATABASE: &str = "sqlite:///./vigil.db";
const DEFAULT_REMEDIATOR: &str = "http://127.0.0.1:8081/remediate";

/// What the server runs with.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    pub(crate) address: SocketAddr,
    pub(crate) database: Database,
    /// `None`: a queue in this process.
    pub(crate) redis: Option<RedisOptions>,
    pub(crate) roles: Roles,
    pub(crate) remediator_url: String,
    /// Which others take what, before that one: their URLs.
    pub(crate) remediator_routes: Vec<(Route, String)>,
    pub(crate) remediator: HttpRemediatorOptions,
    pub(crate) policies: Vec<PathBuf>,
    pub(crate) settings: Settings,
    pub(crate) http: HttpConfig,
    /// Whether a load on this server may be asked for.
    pub(crate) simulator: bool,
    /// The first API key.
    pub(crate) bootstrap_key: Option<Credential>,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
}

/// Where data is kept.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(SqliteOptions),
    Postgres(Box<PostgresOptions>),
}

/// What this process does. Whatever it is, it verifies and reconciles: replicas share that work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Serves the API; without it only health and metrics.
    pub(crate) api: bool,
    /// Carries actions out.
    pub(crate) worker: bool,
    /// Judges targets whether or not a sample comes.
    pub(crate) runner: bool,
}

impl Roles {
    fn of(roles: &[Role]) -> Self {
        let has = |role| roles.contains(&role);
        Self { api: has(Role::Api), worker: has(Role::Worker), runner: has(Role::Runner) }
    }
}

impl Config {
    /// Reads the file and puts everything together.
    ///
    /// # Errors
    /// One sentence that names what is wrong and how to mend it.
    pub(crate) fn load(flags: Flags) -> Result<Self, String> {
        let path = named_or_default(flags.config.clone(), DEFAULT_FILE);
        let file = path.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let (database, redis) = (database(&flags, &file)?, redis(&flags, &file)?);
        let roles = Roles::of(flags.roles.as_deref().or(file.roles.as_deref()).unwrap_or(&Role::ALL));
        let alone = matches!(database, Database::Sqlite(_)) || redis.is_none();
        if alone && !(roles.api && roles.worker && roles.runner) {
            return Err("roles are split among processes only over a shared database and queue: set DATABASE_URL to \
                 postgres://... and REDIS_URL, or leave --role out"
                .to_owned());
        }
        let log_level = match &file.log_level {
            Some(word) => Some(word.parse().map_err(|problem| format!("log_level {problem}"))?),
            None => None,
        };
        let log_format = match &file.log_format {
            Some(word) => Some(word.parse().map_err(|problem| format!("log_format {problem}"))?),
            None => None,
        };
        let pepper = pepper(&flags, &file)?;
        let bootstrap_key = secret(&flags.bootstrap_key, flags.bootstrap_key_file.as_ref(), "the key file")?;
        let bootstrap_key = bootstrap_key.map(|key| Credential::parse(&key)).transpose();
        let bootstrap_key = bootstrap_key.map_err(|error| format!("VIGIL_BOOTSTRAP_KEY: {error}"))?;
        if bootstrap_key.is_some() && pepper.is_none() {
            return Err("VIGIL_BOOTSTRAP_KEY needs VIGIL_KEY_PEPPER beside it".to_owned());
        }
        Ok(Self {
            address: address(&flags, &file, pepper.is_some())?,
            bootstrap_key,
            database,
            redis,
            remediator: remediator(&flags, &file)?,
            remediator_routes: remediator_routes(&file)?,
            policies: policies(&flags, &file),
            settings: settings(&file, roles)?,
            roles,
            http: http(&flags, &file, pepper)?,
            simulator: file.simulator.enabled.unwrap_or(false),
            log_level: flags.log_level.or(log_level).unwrap_or_default(),
            log_format: flags.log_format.or(log_format).unwrap_or_default(),
            remediator_url: flags
                .remediator_url
                .or(file.remediator.url)
                .unwrap_or_else(|| DEFAULT_REMEDIATOR.to_owned()),
            file: path,
        })
    }
}

/// A file that was named must be there; the default one need not.
fn named_or_default(named: Option<PathBuf>, default: &str) -> Option<PathBuf> {
    named.or_else(|| Path::new(default).is_file().then(|| PathBuf::from(default)))
}

fn policies(flags: &Flags, file: &File) -> Vec<PathBuf> {
    if !flags.policies.is_empty() {
        return flags.policies.clone();
    }
    file.policies.clone().unwrap_or_else(|| named_or_default(None, DEFAULT_POLICIES).into_iter().collect())
}

fn address(flags: &Flags, file: &File, keys: bool) -> Result<SocketAddr, String> {
    let host = flags.host.as_ref().or(file.host.as_ref()).map_or("127.0.0.1", String::as_str);
    let ip: IpAddr = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().map_err(|_| format!("host: '{host}' is not an IP address"))?,
    };
    let anonymous = flags.allow_anonymous || file.allow_anonymous.unwrap_or(false);
    if !ip.is_loopback() && !anonymous && !keys {
        return Err(format!(
            "host {ip} can be reached from elsewhere, and no API keys are configured: set VIGIL_KEY_PEPPER and VIGIL_BOOTSTRAP_KEY, or add --allow-anonymous if that is what you want"
        ));
    }
    Ok(SocketAddr::new(ip, flags.port.or(file.port).unwrap_or(8000)))
}

fn database(flags: &Flags, file: &File) -> Result<Database, String> {
    let url = flags.database_url.as_ref().or(file.database_url.as_ref()).map_or(DEFAULT_DATABASE, String::as_str);
    if url.starts_with("postgres") {
        let mut options = PostgresOptions::of_url(url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        options.connections = file.pool.connections.unwrap_or(options.connections);
        options.statement_timeout = file.statement_timeout().unwrap_or(options.statement_timeout);
        options.allow_unsafe_durability = file.pool.allow_unsafe_durability.unwrap_or(false);
        return Ok(Database::Postgres(Box::new(options)));
    }
    if !url.starts_with("sqlite") {
        return Err("DATABASE_URL: use sqlite:///./vigil.db, or postgres://user:password@host:5432/database".to_owned());
    }
    let mut options = SqliteOptions::of_url(url).map_err(|error| format!("DATABASE_URL: {error}"))?;
    options.readers = file.pool.readers.unwrap_or(options.readers);
    Ok(Database::Sqlite(options))
}

fn redis(flags: &Flags, file: &File) -> Result<Option<RedisOptions>, String> {
    let url = flags.redis_url.as_ref().or(file.redis_url.as_ref()).filter(|url| !url.is_empty());
    let options = url.map(|url| RedisOptions::of_url(url).map_err(|error| format!("REDIS_URL: {error}")));
    let mut options = options.transpose()?;
    if let (Some(options), Some(timeout)) = (&mut options, file.redis_timeout()) {
        options.command_timeout = timeout;
    }
    Ok(options)
}

/// A secret given as it is, or else the content of its file.
fn secret(given: &Option<String>, file: Option<&PathBuf>, what: &str) -> Result<Option<String>, String> {
    match (given, file) {
        (Some(secret), _) => Ok(Some(secret.clone())),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            Ok(Some(text.map_err(|error| format!("{what} {}: {error}", path.display()))?.trim().to_owned()))
        }
        (None, None) => Ok(None),
    }
}

fn pepper(flags: &Flags, file: &File) -> Result<Option<Pepper>, String> {
    let path = flags.key_pepper_file.as_ref().or(file.keys.pepper_file.as_ref());
    let text = secret(&flags.key_pepper, path, "the pepper file")?;
    text.map(Pepper::new).transpose().map_err(|error| format!("VIGIL_KEY_PEPPER: {error}"))
}

fn remediator(flags: &Flags, file: &File) -> Result<HttpRemediatorOptions, String> {
    let secret_file = flags.remediator_secret_file.as_ref().or(file.remediator.secret_file.as_ref());
    let secret = secret(&flags.remediator_secret, secret_file, "the secret file")?;
    let defaults = HttpRemediatorOptions::default();
    Ok(HttpRemediatorOptions {
        secret: secret.map(Secret::new),
        probe: file.remediator.probe.unwrap_or(defaults.probe),
        timeout: file.settings().remediation_timeout,
        connect_timeout: file.connect_timeout().unwrap_or(defaults.connect_timeout),
    })
}

fn remediator_routes(file: &File) -> Result<Vec<(Route, String)>, String> {
    let route = |(number, entry): (usize, &RouteEntry)| {
        let mut route = Route::any().with_actions(entry.actions.iter().copied());
        if let Some(target) = &entry.target {
            let pattern = TargetPattern::new(target);
            route = route.with_targets(
                pattern.map_err(|error| format!("remediator.routes[{number}].target {}", error.problem))?,
            );
        }
        Ok((route, entry.url.clone()))
    };
    file.remediator.routes.iter().enumerate().map(route).collect()
}

fn settings(file: &File, roles: Roles) -> Result<Settings, String> {
    let mut settings = file.settings();
    if !roles.worker {
        settings.workers = 0;
    }
    settings.runner.enabled &= roles.runner;
    settings.actions_per_minute = action_limits(file)?;
    if let Some(tags) = &file.target_tags {
        settings.target_tags = TargetTags::new(tags.iter().cloned());
    }
    settings.check().map_err(|problem| by_keys(&problem))?;
    Ok(settings)
}

/// A problem of the settings, with the keys of the file in the place of the library's names.
fn by_keys(problem: &str) -> String {
    const KEYS: [(&str, &str); 15] = [
        ("remediation_timeout", "remediator.timeout_seconds"),
        ("deadline", "remediator.deadline_seconds"),
        ("metric_retention", "retention.metrics_days"),
        ("history_retention", "retention.history_days"),
        ("unknown_after", "unknown_after_seconds"),
        ("staleness", "staleness_seconds"),
        ("expires_after", "expires_after_seconds"),
        ("reconcile_interval", "reconcile_interval_seconds"),
        ("lease_margin", "worker.lease_margin_seconds"),
        ("lease", "worker.lease_seconds"),
        ("heartbeat", "worker.heartbeat_seconds"),
        ("settle", "verification.settle_seconds"),
        ("verify_interval", "verification.interval_seconds"),
        ("verify", "verification.deadline_seconds"),
        ("runner.interval", "runner.interval_seconds"),
    ];
    let key = |word: &str| {
        KEYS.iter().find(|(name, _)| *name == word).map_or_else(|| word.to_owned(), |(_, key)| (*key).to_owned())
    };
    problem.split(' ').map(key).collect::<Vec<_>>().join(" ")
}

fn http(flags: &Flags, file: &File, pepper: Option<Pepper>) -> Result<HttpConfig, String> {
    let defaults = HttpConfig::default();
    let origins = match &file.cors_origins {
        Some(origins) => Origins::new(origins.iter().map(String::as_str)).map_err(|error| error.to_string())?,
        None => defaults.origins.clone(),
    };
    Ok(HttpConfig {
        origins,
        metrics_enabled: flags.metrics_enabled.or(file.metrics_enabled).unwrap_or(defaults.metrics_enabled),
        body_limit: file.http.body_limit_bytes.unwrap_or(defaults.body_limit),
        batch_limit: file.http.batch_limit_bytes.unwrap_or(defaults.batch_limit),
        body_memory: file.http.body_memory_bytes.unwrap_or(defaults.body_memory),
        request_timeout: file.request_timeout().unwrap_or(defaults.request_timeout),
        header_timeout: file.header_timeout().unwrap_or(defaults.header_timeout),
        max_connections: file.http.max_connections.unwrap_or(defaults.max_connections),
        max_streams: file.http.max_streams.unwrap_or(defaults.max_streams),
        max_in_flight: file.http.max_in_flight.unwrap_or(defaults.max_in_flight),
        trusted_proxies: file.http.trusted_proxies.unwrap_or(defaults.trusted_proxies),
        rate: file.http.rate_limit.as_ref().map(|limit| Rate { per_second: limit.per_second, burst: limit.burst }),
        tls: file.tls.as_ref().map(tls).transpose()?,
        pepper,
        metrics_public: file.keys.metrics_public.unwrap_or(defaults.metrics_public),
        limits: limits(file)?,
        ..defaults
    })
}

fn tls(tls: &crate::file::Tls) -> Result<Tls, String> {
    Tls::load(&tls.cert_file, &tls.key_file).map_err(|error| format!("tls: {}", vigil_program::chain(&error)))
}

fn limits(file: &File) -> Result<Limits, String> {
    let of = |limits: &crate::file::TenantLimits| TenantLimits {
        samples_per_second: limits.samples_per_second,
        series: limits.series,
        policies: limits.policies,
    };
    Ok(Limits { default: of(&file.limits.default), tenants: of_tenants(file, of)? })
}

fn action_limits(file: &File) -> Result<ActionLimits, String> {
    let of = |limits: &crate::file::TenantLimits| limits.actions_per_minute;
    Ok(ActionLimits { default: of(&file.limits.default), tenants: of_tenants(file, of)? })
}

fn of_tenants<T>(file: &File, of: impl Fn(&crate::file::TenantLimits) -> T) -> Result<HashMap<TenantId, T>, String> {
    let tenant = |(tenant, limits): (&String, &crate::file::TenantLimits)| {
        let id = TenantId::new(tenant).map_err(|error| format!("limits.tenants: '{tenant}': {error}"))?;
        Ok((id, of(limits)))
    };
    file.limits.tenants.iter().map(tenant).collect()
}
