//! [`run`]: a program from its start to its end, with bounds.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout, timeout_at};

/// How much of an output people are shown: its end, in bytes.
pub const KEPT: usize = 2000;

/// The environment of everything that is started: this, and what its configuration adds. This program's own is not handed on,
/// for its secrets.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long output is waited for once the program has ended: what it left running may hold the pipe open for ever.
const REST: Duration = Duration::from_millis(200);

/// What a program left when it ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// The end of what it wrote.
    pub stdout: Vec<u8>,
    /// The end of what it complained of.
    pub stderr: Vec<u8>,
}

/// Why a program came to no end of its own.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It did not begin.
    #[error("it cannot be started")]
    NotStarted(#[source] std::io::Error),
    /// It did not end in time, and was killed with all it started: nobody knows what it had done.
    #[error("it took too long and was killed")]
    Killed,
}

/// A command of whose environment only `PATH` and what is given is known.
///
/// # Panics
/// If `argv` is empty.
pub fn bare(argv: &[String], env: &BTreeMap<String, String>, working_folder: Option<&Path>) -> Command {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).env_clear().env("PATH", PATH).envs(env).stdin(Stdio::null());
    if let Some(folder) = working_folder {
        command.current_dir(folder);
    }
    command
}

/// Runs a command until it ends, at most until `until`, and keeps the last `kept` bytes of either output.
///
/// # Errors
/// [`Broken`].
///
/// # Cancel safety
/// What is dropped is killed, with all it started.
pub async fn run(command: Command, kept: usize, until: Instant) -> Result<Ended, Broken> {
    run_noting(command, kept, until, |_| ()).await
}

/// The same; `note` is told its process id as soon as it runs.
pub(super) async fn run_noting(
    mut command: Command,
    kept: usize,
    until: Instant,
    note: impl FnOnce(u32),
) -> Result<Ended, Broken> {
    // A group of its own, so that all of it can be ended, and this program's Ctrl-C is not its own.
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Broken::NotStarted)?;
    if let Some(pid) = child.id() {
        note(pid);
    }
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut reading =
            std::pin::pin!(async { tokio::join!(keep_end(out, &mut stdout, kept), keep_end(err, &mut stderr, kept)) });
        let mut is_read = false;
        let ended = timeout_at(until, async {
            loop {
                tokio::select! {
                    status = child.wait() => break status,
                    _ = &mut reading, if !is_read => is_read = true,
                }
            }
        })
        .await;
        if ended.is_ok() && !is_read {
            let _ = timeout(REST, reading).await;
        }
        ended
    };
    let status = ended.map_err(|_| Broken::Killed)?.map_err(Broken::NotStarted)?;
    // What it left running on purpose may stay.
    std::mem::forget(group);
    Ok(Ended { status, stdout, stderr })
}

/// The end of an output as text, cut.
pub fn tail(output: &[u8]) -> String {
    let cut = output.len().saturating_sub(KEPT);
    let text = String::from_utf8_lossy(&output[cut..]).trim().to_owned();
    if cut > 0 { format!("...{text}") } else { text }
}

/// Kills all of a process's group when it is dropped, as when it took too long.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Reads to the end and keeps the last of it, so that a program that talks much is not held up.
async fn keep_end(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>, most: usize) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(most);
        kept.drain(..surplus);
    }
}
