//! [`Declared`]: units and processes, as a file lists them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;
use vigil_remediator::process::argv;
use vigil_remediator::systemd::unit_name;

use crate::declaration::{Origin, Problem};

/// What should run, and what should not.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) units: Vec<(Origin, Unit)>,
    pub(super) processes: Vec<(Origin, Process)>,
}

/// A unit as it should be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unit {
    /// Its name, with its kind.
    #[serde(deserialize_with = "full_name")]
    pub(super) unit: String,
    #[serde(default = "yes")]
    pub(super) active: bool,
    /// Whether it starts with the machine; without it that may be as it is.
    pub(super) enabled: Option<bool>,
}

/// A process of which there should be some.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Process {
    /// As the kernel calls it (`comm`).
    #[serde(deserialize_with = "process_name")]
    pub(super) name: String,
    /// The fewest there should be.
    #[serde(default = "one", deserialize_with = "some")]
    pub(super) count: usize,
    /// What starts one.
    pub(super) start: Option<Start>,
    /// Its environment, beside `PATH`.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) working_folder: Option<PathBuf>,
}

/// The argv of a start.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Start(#[serde(deserialize_with = "argv")] pub(super) Vec<String>);

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    units: Vec<Spanned<Unit>>,
    #[serde(default)]
    processes: Vec<Spanned<Process>>,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn full_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() {
        return Err(de::Error::custom("a unit has a name"));
    }
    Ok(unit_name(&name))
}

fn process_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() || name.contains('/') {
        return Err(de::Error::custom("a process is named as in /proc/PID/comm: the last part of its program's path"));
    }
    Ok(name)
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        count @ 1..=1000 => Ok(count),
        _ => Err(de::Error::custom("a count is the fewest there should be, from 1 to 1000")),
    }
}

/// Reads the files; a broken one is a problem, and the others are read all the same.
pub(super) fn read(folder: &Path, files: &[PathBuf]) -> io::Result<(Declared, Vec<Problem>)> {
    let (mut declared, mut problems) = (Declared::default(), Vec::new());
    for file in files {
        let problem = |line, message| Problem { file: file.clone(), line, message };
        let text = match std::fs::read_to_string(folder.join(file)) {
            Ok(text) => text,
            Err(error) => {
                problems.push(problem(None, format!("it cannot be read: {error}")));
                continue;
            }
        };
        let read: File = match serde_saphyr::from_str(&text) {
            Ok(read) => read,
            Err(error) => {
                let line = error.location().map(|location| location.line());
                problems.push(problem(line, error.without_snippet().to_string()));
                continue;
            }
        };
        let origin = |line: u64| Origin { file: file.clone(), line: Some(line) };
        for unit in read.units {
            let line = unit.referenced.line();
            match declared.units.iter().find(|(_, known)| known.unit == unit.value.unit) {
                Some((first, _)) => problems.push(problem(Some(line), already(&unit.value.unit, first))),
                None => declared.units.push((origin(line), unit.value)),
            }
        }
        for process in read.processes {
            let line = process.referenced.line();
            match declared.processes.iter().find(|(_, known)| known.name == process.value.name) {
                Some((first, _)) => problems.push(problem(Some(line), already(&process.value.name, first))),
                None => declared.processes.push((origin(line), process.value)),
            }
        }
    }
    Ok((declared, problems))
}

fn already(name: &str, first: &Origin) -> String {
    format!("{name} is declared in {first} already")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_texts(texts: &[&str]) -> (Declared, Vec<Problem>) {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..texts.len()).map(|number| format!("{number}.yaml").into()).collect();
        for (file, text) in files.iter().zip(texts) {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        read(folder.path(), &files).unwrap()
    }

    #[test]
    fn a_broken_file_names_its_line_and_the_others_are_read() {
        let good = "processes:\n- {name: nginx}\n- name: shop\n  count: 2\n  start: [/usr/bin/shop, --port, '80']\n";
        let (declared, problems) = read_texts(&["units:\n- unit: a\n  actve: true\n", good]);
        assert!(declared.units.is_empty());
        assert_eq!(declared.processes.len(), 2);
        assert_eq!(declared.processes[1].0.to_string(), "1.yaml:3");
        assert_eq!((problems.len(), problems[0].line), (1, Some(3)), "{problems:?}");
    }

    #[test]
    fn what_makes_no_sense_is_a_problem() {
        for text in [
            "processes: [{name: a, count: 0}]",
            "processes: [{name: /usr/sbin/nginx}]",
            "processes: [{name: a, start: [nginx]}]",
            "processes: [{name: a, start: 'nginx -g x'}]",
            "units: [{unit: ''}]",
            "unit: [{unit: a}]",
        ] {
            let (declared, problems) = read_texts(&[text]);
            assert_eq!(problems.len(), 1, "{text}");
            assert!(declared.units.is_empty() && declared.processes.is_empty());
        }
    }

    #[test]
    fn what_is_declared_twice_counts_once() {
        let (declared, problems) = read_texts(&["units: [{unit: a}]", "units: [{unit: a.service, active: false}]"]);
        assert_eq!((declared.units.len(), problems.len()), (1, 1));
        assert_eq!(problems[0].message, "a.service is declared in 0.yaml:1 already");
    }
}
