//! What `GET /api/v1/settings` shows of the program's own configuration. Whatever may hold a secret is left out.

use serde_json::{Map, Value, json};

use crate::config::{Config, Database};

pub(crate) fn shown(config: &Config) -> Map<String, Value> {
    let database = match &config.database {
        Database::Sqlite(_) => "sqlite",
        Database::Postgres(_) => "postgres",
    };
    let roles: Vec<&str> =
        [("api", config.roles.api), ("worker", config.roles.worker), ("runner", config.roles.runner)]
            .into_iter()
            .filter_map(|(role, has)| has.then_some(role))
            .collect();
    let shown = json!({
        "file": config.file.as_ref().map(|path| path.display().to_string()),
        "address": config.address.to_string(),
        "database": database,
        "queue": if config.redis.is_some() { "redis" } else { "process" },
        "roles": roles,
        "policies": config.policies.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "remediator": {
            "url": without_secrets(&config.remediator_url),
            "signed": config.remediator.secret.is_some(),
            "probe": config.remediator.probe,
            "timeout_seconds": config.remediator.timeout.as_secs_f64(),
            "connect_timeout_seconds": config.remediator.connect_timeout.as_secs_f64(),
        },
        "log_level": config.log_level.to_string(),
        "log_format": format!("{:?}", config.log_format).to_lowercase(),
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

/// A URL without what may be a password or a token: user and query.
fn without_secrets(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let host = authority.rsplit('@').next().unwrap_or_default();
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn neither_user_nor_query_of_a_url_is_shown() {
        for (url, shown) in [
            ("http://127.0.0.1:8081/remediate", "http://127.0.0.1:8081/remediate"),
            ("https://bot:s3cret@ops.example.com/a?token=t#x", "https://ops.example.com/a"),
            ("https://bot:s3@cret@ops.example.com", "https://ops.example.com"),
            ("dry-run", "dry-run"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
