//! [`Repository`]: a working copy of a branch.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::config::GitConfig;
use crate::source::SourceError;

/// The newest commit of a branch, in a folder of its own, by the `git` program. Nothing of the repository is run: no hooks, no shell, no
/// symbolic links, and no transport but the usual ones.
#[derive(Debug)]
pub(crate) struct Repository {
    config: GitConfig,
    folder: PathBuf,
    fetched_at: Option<Instant>,
    commit: Option<String>,
}

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What every command begins with.
const QUIETLY: [&str; 8] = [
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.symlinks=false",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "advice.detachedHead=false",
];

impl Repository {
    /// A working copy in `folder`, which need not exist.
    pub(crate) fn new(config: GitConfig, folder: PathBuf) -> Self {
        Self { config, folder, fetched_at: None, commit: None }
    }

    /// Where the declarations are.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join(&self.config.path)
    }

    /// Which commit is there.
    pub(crate) fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Brings the working copy to the branch's newest commit, if it is time to. Files that are not of it are gone afterwards.
    pub(crate) async fn pull(&mut self) -> Result<(), SourceError> {
        let poll = self.config.poll_seconds.map_or(Duration::ZERO, |seconds| seconds.0);
        if self.fetched_at.is_some_and(|at| at.elapsed() < poll) {
            return Ok(());
        }
        let failed = |why: String| SourceError::Fetch {
            what: format!("the branch {} of {}", self.config.branch, shown(&self.config.url)),
            why,
        };
        let fetched = async {
            tokio::fs::create_dir_all(&self.folder).await.map_err(|error| error.to_string())?;
            // The folder is this program's alone: a lock is what a killed git left behind.
            for lock in ["index.lock", "shallow.lock", "HEAD.lock", "config.lock"] {
                let _ = tokio::fs::remove_file(self.folder.join(".git").join(lock)).await;
            }
            self.git(&["init", "--quiet"]).await?;
            let branch = format!("refs/heads/{}", self.config.branch);
            let fetch = ["fetch", "--quiet", "--no-tags", "--depth", "1", "--", &self.config.url, &branch];
            self.git(&fetch).await?;
            self.git(&["reset", "--quiet", "--hard", "FETCH_HEAD"]).await?;
            self.git(&["clean", "--quiet", "-ffdx"]).await?;
            self.git(&["rev-parse", "HEAD"]).await
        };
        let commit = fetched.await.map_err(failed)?.trim().to_owned();
        if self.commit.as_ref() != Some(&commit) {
            tracing::info!(branch = self.config.branch, commit, "fetched");
        }
        self.commit = Some(commit);
        self.fetched_at = Some(Instant::now());
        Ok(())
    }

    async fn git(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("git");
        command.args(QUIETLY).arg("-C").arg(&self.folder).args(arguments);
        // A repository around the folder must not be taken for it.
        command.env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(Path::new("/")));
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", "file:http:https:ssh:git");
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes").env("LC_ALL", "C");
        for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(inherited);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        let word = arguments.first().copied().unwrap_or_default();
        let output = match timeout(LIMIT, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err("the program git is not installed".to_owned());
            }
            Ok(Err(error)) => return Err(format!("git {word} cannot be run: {error}")),
            Err(_) => return Err(format!("git {word} took more than {} s", LIMIT.as_secs())),
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().replace(&self.config.url, &shown(&self.config.url));
        Err(format!("git {word}: {}", said.lines().collect::<Vec<_>>().join(" ")))
    }
}

/// Where a URL leads, without what may be secret in it.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("https://me:secret@git.example.com/shop.git?token=x"), "https://git.example.com/shop.git");
        assert_eq!(shown("file:///srv/shop.git"), "file:///srv/shop.git");
        assert_eq!(shown("/srv/shop.git"), "/srv/shop.git");
    }
}
