use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process have as many files and connections open as it may by its hard limit, and answers how many that are; `None`
/// is no limit. The soft limit that shells and systemd hand out (1024) is there for programs that use `select`.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // To raise it to the hard limit is always allowed; if it is refused all the same, it stays as it was.
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}
