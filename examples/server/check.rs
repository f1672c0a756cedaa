//! `server check`: whether everything that the server needs is there, one line each.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;
use vigil_core::clock::StoreClock;
use vigil_core::policy::{ConditionRegistry, PolicySpec};
use vigil_core::queue::Queue;
use vigil_program::chain;
use vigil_queue_redis::RedisQueue;
use vigil_store_postgres::PostgresStore;
use vigil_store_sqlite::SqliteStore;

use crate::Fatal;
use crate::ask::Place;
use crate::config::{Config, Database};

/// What was found out about one part: a sentence, or why it is not well.
type Finding = Result<String, Fatal>;

/// Prints a line for each part; fails if one is not well.
pub(crate) async fn check(config: Result<Config, String>, live: bool) -> ExitCode {
    let config = match config {
        Ok(config) => config,
        Err(error) => return verdict(&[("configuration", Err(error.into()))]),
    };
    if live {
        return verdict(&[("server", server(&config, true).await)]);
    }
    let (database, queue, remediator, server) =
        tokio::join!(database(&config.database), queue(&config), remediator(&config), server(&config, false));
    verdict(&[
        (
            "configuration",
            Ok(config.file.as_ref().map_or("the defaults".to_owned(), |file| file.display().to_string())),
        ),
        ("policies", policies(&config)),
        ("database", database),
        ("queue", queue),
        ("remediator", remediator),
        ("server", server),
    ])
}

fn verdict(findings: &[(&str, Finding)]) -> ExitCode {
    for (part, finding) in findings {
        match finding {
            Ok(sentence) => println!("ok    {part:<13}  {sentence}"),
            Err(error) => println!("FAIL  {part:<13}  {}", chain(&**error)),
        }
    }
    if findings.iter().all(|(_, finding)| finding.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn policies(config: &Config) -> Finding {
    if !config.roles.api {
        return Ok("those that the API declares".to_owned());
    }
    let (mut count, mut names) = (0, Vec::new());
    for path in &config.policies {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        count += PolicySpec::parse_file(&text, &name, &ConditionRegistry::default())?.len();
        names.push(name);
    }
    Ok(if names.is_empty() { "no file".to_owned() } else { format!("{count} in {}", names.join(", ")) })
}

async fn database(database: &Database) -> Finding {
    let (place, found, known) = match database {
        Database::Sqlite(options) => {
            let seen = SqliteStore::inspect(options).await?;
            let place = options.path.as_ref().map_or("in memory".to_owned(), |path| path.display().to_string());
            (place, seen.found, seen.known)
        }
        Database::Postgres(options) => {
            let seen = PostgresStore::inspect(options).await?;
            (seen.place, seen.found, seen.known)
        }
    };
    let behind = if found < known { format!(", brought to {known} at the next start") } else { String::new() };
    Ok(format!("{place}, schema {found}{behind}"))
}

async fn queue(config: &Config) -> Finding {
    let Some(redis) = &config.redis else { return Ok("in the server's process".to_owned()) };
    let stats = RedisQueue::new(redis)?.stats().await?;
    Ok(format!("Redis, {} waiting, {} under way, {} dead letters", stats.ready, stats.leased, stats.dead))
}

async fn remediator(config: &Config) -> Finding {
    if config.remediator_url == "dry-run" {
        return Ok("a dry run: nothing is carried out".to_owned());
    }
    let remediator = crate::remediator(config, &Arc::new(StoreClock::default()))?;
    let there = remediator.ping().await;
    there.map_err(|error| format!("nothing accepts connections at REMEDIATOR_URL, actions wait: {}", chain(&error)))?;
    Ok("it accepts connections".to_owned())
}

/// The server that runs with this configuration; none is no mistake unless it `must` run.
async fn server(config: &Config, must: bool) -> Finding {
    let place = Place::own(config);
    let url = &place.url;
    let (status, text) = match place.get("/ready", None).await {
        Ok(answer) => answer,
        Err(_) if !must => return Ok(format!("none runs at {url}")),
        Err(error) => return Err(format!("{url} does not answer: {}", chain(&*error)).into()),
    };
    let ready: Value = serde_json::from_str(&text).unwrap_or_default();
    let parts = ["store", "queue", "remediator"].map(|part| format!("{part} {}", ready[part].as_str().unwrap_or("?")));
    let sentence = format!("{url} answers {status}: {}", parts.join(", "));
    if status == 200 { Ok(sentence) } else { Err(sentence.into()) }
}
