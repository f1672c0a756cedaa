//! [`Service`]: what a Compose project is to run, as the files declare it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use vigil_remediator::process::{Broken, Ended, bare, run, tail};

use super::{ComposeConfig, LOOK};
use crate::declaration::{Origin, Problem};
use crate::source::SourceError;

/// The most that is read of what the command prints, in bytes.
const OUTPUT: usize = 4 * 1024 * 1024;

/// A service as it is declared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) origin: Origin,
    /// `None` if it is built here: then whatever lives is what was built.
    pub(super) image: Option<String>,
    pub(super) replicas: u64,
    pub(super) is_suspended: bool,
}

/// What the Compose command makes of the files, in their folder; or what is wrong with them.
pub(super) async fn read(
    config: &ComposeConfig,
    folder: &Path,
    files: &[String],
) -> Result<Result<Vec<Service>, Problem>, SourceError> {
    let mut texts = Vec::new();
    for file in files {
        let problem = |line, message| Problem { file: file.into(), line, message };
        let text = match tokio::fs::read_to_string(folder.join(file)).await {
            Ok(text) => text,
            Err(error) => return Ok(Err(problem(None, format!("it cannot be read: {error}")))),
        };
        // First by the parser here, which knows the line where the command may not.
        if let Err(error) = serde_saphyr::from_str::<Value>(&text) {
            let line = error.location().map(|location| location.line());
            return Ok(Err(problem(line, error.without_snippet().to_string())));
        }
        texts.push(text);
    }
    let command = bare(&config.argv(files, &["config"]), &config.environment(), Some(folder));
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| SourceError::away("the Compose command", source);
    let Ended { status, stdout, stderr } = match run(command, OUTPUT, tokio::time::Instant::now() + LOOK).await {
        Ok(ended) => ended,
        Err(Broken::NotStarted(error)) => return Err(wrong(format!("{}: {error}", config.command[0]).into())),
        Err(broken @ Broken::Killed) => return Err(wrong(broken.into())),
    };
    let first = || files.first().map(Into::into).unwrap_or_default();
    if !status.success() {
        let said = tail(&stderr);
        let file = files.iter().find(|file| said.contains(file.as_str())).map_or_else(first, Into::into);
        return Ok(Err(Problem { file, line: line_in(&said), message: format!("the Compose command says: {said}") }));
    }
    let printed: Value = match serde_saphyr::from_str(&String::from_utf8_lossy(&stdout)) {
        Ok(printed) => printed,
        Err(error) => {
            let message = format!("what the Compose command made of it is no YAML: {}", error.without_snippet());
            return Ok(Err(Problem { file: first(), line: None, message }));
        }
    };
    let services = printed["services"].as_object().cloned().unwrap_or_default();
    let profiles = config.env.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    let is_enabled = |(_, service): &(String, Value)| is_enabled(service, profiles);
    let service = |(name, service): (String, Value)| Service {
        origin: origin(&name, files, &texts),
        image: service["image"].as_str().map(str::to_owned),
        replicas: replicas(&service),
        is_suspended: labels(&service).get(super::RECONCILE).is_some_and(|value| value == "disabled"),
        name,
    };
    Ok(Ok(services.into_iter().filter(is_enabled).map(service).collect()))
}

/// `up` starts no service that has profiles, unless one of them is asked for.
fn is_enabled(service: &Value, profiles: &str) -> bool {
    let Some(own) = service["profiles"].as_array().filter(|own| !own.is_empty()) else { return true };
    profiles.split(',').map(str::trim).any(|asked| asked == "*" || own.iter().any(|profile| profile == asked))
}

fn replicas(service: &Value) -> u64 {
    // The older command prints numbers that it was given as text as text.
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number(&service["scale"]).or_else(|| number(&service["deploy"]["replicas"])).unwrap_or(1)
}

/// A map, or a list of `name=value`.
fn labels(service: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match &service["labels"] {
        Value::Object(labels) => labels.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Value::Array(labels) => labels
            .iter()
            .filter_map(|label| label.as_str()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Where a service begins, in the last file that has it: those before it are what it is laid over.
fn origin(name: &str, files: &[String], texts: &[String]) -> Origin {
    for (file, text) in files.iter().zip(texts).rev() {
        let mut is_within = false;
        for (index, line) in text.lines().enumerate() {
            let (is_indented, key) = (line.starts_with([' ', '\t']), line.trim().split(':').next().unwrap_or_default());
            match key.trim_matches(['"', '\'']) {
                "" => {}
                _ if line.trim_start().starts_with('#') => {}
                key if !is_indented => is_within = key == "services",
                key if is_within && key == name => return Origin { file: file.into(), line: Some(index as u64 + 1) },
                _ => {}
            }
        }
    }
    Origin { file: files.first().map(Into::into).unwrap_or_default(), line: None }
}

/// The first number behind the word `line`.
fn line_in(text: &str) -> Option<u64> {
    text.match_indices("line ").find_map(|(at, word)| {
        let digits: String = text[at + word.len()..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_found_where_it_is_declared_last() {
        let base =
            "services:\n  # web: not here\n  web:\n    image: a\n  \"db\": {image: b}\nvolumes:\n  data:\n".to_owned();
        let over = "x-web:\n  web: 1\nservices:\n  web:\n    image: c\n".to_owned();
        let (files, texts) = (["a.yml".to_owned(), "b.yml".to_owned()], [base, over]);
        let at = |name: &str| origin(name, &files, &texts).to_string();
        assert_eq!((at("web"), at("db"), at("data")), ("b.yml:4".into(), "a.yml:5".into(), "a.yml".into()));
    }

    #[test]
    fn how_many_are_declared_is_read_in_every_spelling() {
        for (service, count) in [
            (json!({}), 1),
            (json!({"scale": 3}), 3),
            (json!({"deploy": {"replicas": 2}}), 2),
            (json!({"scale": 0, "deploy": {"replicas": 2}}), 0),
            (json!({"deploy": {"replicas": "4"}}), 4),
        ] {
            assert_eq!(replicas(&service), count, "{service}");
        }
    }

    #[test]
    fn a_service_with_profiles_is_declared_once_one_is_asked_for() {
        let debug = json!({"profiles": ["debug"]});
        assert!(is_enabled(&json!({}), ""));
        assert!(!is_enabled(&debug, "") && !is_enabled(&debug, "other"));
        assert!(is_enabled(&debug, "other, debug") && is_enabled(&debug, "*"));
    }

    #[test]
    fn the_line_of_an_error_is_found() {
        assert_eq!(line_in("yaml: line 3: mapping values are not allowed"), Some(3));
        assert_eq!(line_in("in the line before\n  in \"./c.yml\", line 12, column 9"), Some(12));
        assert_eq!(line_in("services.web.image must be a string"), None);
    }
}
