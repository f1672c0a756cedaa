//! [`Config`]: the configuration file of the daemon.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;
use vigil_program::{FileError, parse_yaml, read_yaml};
use vigil_remediator::Seconds;

use crate::pointer::Ignore;
use crate::policies::PoliciesConfig;
use crate::window::Window;

/// What the daemon runs with: the file, read and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server is. `http://127.0.0.1:8000`.
    pub server: String,
    /// The file that holds the API key, sent as `X-API-Key`.
    pub api_key_file: Option<PathBuf>,
    /// How often everything is compared. 30 s.
    pub interval: Duration,
    /// Where it listens. 127.0.0.1:8083.
    pub listen: SocketAddr,
    /// The folder of what must survive a restart. `./vigil-gitopsd-state`.
    pub state: PathBuf,
    /// What is compared.
    pub sources: Vec<SourceConfig>,
}

/// One place of declarations, and what is done about drift from them.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What is done about drift. Warn.
    pub mode: Mode,
    /// Where the declarations are.
    pub place: Place,
    /// What they declare.
    pub kind: KindConfig,
    /// What may differ.
    pub ignore: Vec<Ignore>,
    /// When it is compared, and not healed.
    pub suspend: Vec<Window>,
    /// The least time between two heals of one item. 300.
    pub cooldown_seconds: u64,
}

/// What is done about drift: the words that Flux uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is compared.
    Off,
    /// It is told.
    #[default]
    Warn,
    /// It is told and healed.
    Enforce,
}

/// Where declarations are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file or folder, watched for changes.
    Path(PathBuf),
    /// On a branch.
    Git(GitConfig),
}

/// A branch of a Git repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitConfig {
    /// Where the repository is: https, ssh, `file://` or a path.
    pub url: String,
    /// Which branch. `main`.
    #[serde(default = "main_branch")]
    pub branch: String,
    /// The file or folder in it. All of it.
    #[serde(default)]
    pub path: PathBuf,
    /// How often it is fetched. Every interval.
    pub poll_seconds: Option<Seconds>,
}

/// What is declared, by its kind.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KindConfig {
    /// Kubernetes manifests.
    #[cfg(feature = "kubernetes")]
    Kubernetes(crate::kubernetes::KubernetesConfig),
    /// Docker Compose files.
    #[cfg(feature = "compose")]
    Compose(crate::compose::ComposeConfig),
    /// Lists of systemd units and processes.
    #[cfg(feature = "units")]
    Units(crate::units::UnitsConfig),
    /// Vigil policies.
    Policies(PoliciesConfig),
    /// Something else, compared by a source of the embedder's own.
    Own(&'static str),
}

/// The file as written: every key optional, an unknown one is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "local_server")]
    server: String,
    api_key_file: Option<PathBuf>,
    #[serde(default = "thirty_seconds")]
    interval_seconds: Seconds,
    #[serde(default = "loopback")]
    listen: SocketAddr,
    #[serde(default = "state_folder")]
    state: PathBuf,
    #[serde(default)]
    sources: Vec<Spanned<Written>>,
}

/// A source as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    mode: Mode,
    path: Option<PathBuf>,
    git: Option<GitConfig>,
    #[cfg(feature = "kubernetes")]
    kubernetes: Option<crate::kubernetes::KubernetesConfig>,
    #[cfg(feature = "compose")]
    compose: Option<crate::compose::ComposeConfig>,
    #[cfg(feature = "units")]
    units: Option<crate::units::UnitsConfig>,
    policies: Option<PoliciesConfig>,
    #[serde(default)]
    ignore: Vec<Ignore>,
    #[serde(default)]
    suspend: Vec<Window>,
    #[serde(default = "five_minutes")]
    cooldown_seconds: u64,
}

fn main_branch() -> String {
    "main".to_owned()
}

fn local_server() -> String {
    "http://127.0.0.1:8000".to_owned()
}

fn thirty_seconds() -> Seconds {
    Seconds(Duration::from_secs(30))
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8083))
}

fn state_folder() -> PathBuf {
    PathBuf::from("./vigil-gitopsd-state")
}

fn five_minutes() -> u64 {
    300
}

/// The longest cooldown that Vigil takes.
const LONGEST_COOLDOWN: u64 = 30 * 86_400;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A source cannot be set up.
    #[error("the source '{name}' cannot be set up")]
    Source {
        /// Which.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::File`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::checked(read_yaml(path)?, path)
    }

    /// Reads a text; `path` is for errors.
    ///
    /// # Errors
    /// [`ConfigError::File`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::checked(parse_yaml(text, path)?, path)
    }

    fn checked(file: File, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::from(FileError::Parse { path: path.to_owned(), message });
        let (mut sources, mut names) = (Vec::new(), BTreeSet::new());
        for (index, written) in file.sources.into_iter().enumerate() {
            let line = written.referenced.line();
            let place = |key: &str, what: &str| wrong(format!("line {line}: sources[{index}].{key} {what}"));
            let source = written.value.checked().map_err(|(key, what)| place(key, &what))?;
            if !names.insert(source.name.clone()) {
                return Err(place("name", &format!("'{}' is the name of another source", source.name)));
            }
            sources.push(source);
        }
        Ok(Self {
            server: file.server,
            api_key_file: file.api_key_file,
            interval: file.interval_seconds.0,
            listen: file.listen,
            state: file.state,
            sources,
        })
    }
}

impl Written {
    /// What a type alone cannot check; otherwise the key that is wrong, and how.
    fn checked(self) -> Result<SourceConfig, (&'static str, String)> {
        let is_name = |name: &str| {
            name.len() <= 40
                && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if !is_name(&self.name) {
            return Err((
                "name",
                "must be 1 to 40 lower-case letters, digits and hyphens, not a hyphen first".to_owned(),
            ));
        }
        let place = match (self.path, self.git) {
            (Some(path), None) => Place::Path(path),
            (None, Some(git)) => Place::Git(git.checked()?),
            _ => return Err(("path", "or git must say where the declarations are, one of them".to_owned())),
        };
        let mut kinds = Vec::new();
        #[cfg(feature = "kubernetes")]
        kinds.extend(self.kubernetes.map(KindConfig::Kubernetes));
        #[cfg(feature = "compose")]
        kinds.extend(self.compose.map(KindConfig::Compose));
        #[cfg(feature = "units")]
        kinds.extend(self.units.map(KindConfig::Units));
        kinds.extend(self.policies.map(KindConfig::Policies));
        let kind = kinds.pop().filter(|_| kinds.is_empty()).ok_or_else(|| {
            let what = "(or compose, units, policies) must say what is declared, one of them, such as `policies: {}`";
            ("kubernetes", what.to_owned())
        })?;
        if self.cooldown_seconds > LONGEST_COOLDOWN {
            return Err(("cooldown_seconds", format!("must be from 0 to {LONGEST_COOLDOWN}")));
        }
        let Self { name, mode, ignore, suspend, cooldown_seconds, .. } = self;
        Ok(SourceConfig { name, mode, place, kind, ignore, suspend, cooldown_seconds })
    }
}

impl GitConfig {
    fn checked(self) -> Result<Self, (&'static str, String)> {
        // What begins with a hyphen would be an option of git.
        if self.url.is_empty() || self.url.starts_with('-') || self.url.chars().any(char::is_control) {
            return Err(("git.url", "must be the address of a repository".to_owned()));
        }
        let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        let is_branch = !self.branch.is_empty()
            && !self.branch.starts_with(['-', '/', '.'])
            && !self.branch.ends_with(['/', '.'])
            && !self.branch.contains("..")
            && !self.branch.contains("@{")
            && !self.branch.contains(forbidden);
        if !is_branch {
            return Err(("git.branch", format!("'{}' is not the name of a branch", self.branch)));
        }
        if !self.path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(("git.path", "must lead to something in the repository: relative, without ..".to_owned()));
        }
        Ok(self)
    }
}

impl KindConfig {
    /// The word for it: the key in the file, and the label `manifest_type`.
    pub fn word(&self) -> &'static str {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes(_) => "kubernetes",
            #[cfg(feature = "compose")]
            Self::Compose(_) => "compose",
            #[cfg(feature = "units")]
            Self::Units(_) => "units",
            Self::Policies(_) => "policies",
            Self::Own(word) => word,
        }
    }
}

impl Mode {
    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}
