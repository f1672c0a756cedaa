//! The policy files of a source.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vigil_core::policy::{FieldError, PolicyError, PolicySpec};

use crate::declaration::{Origin, Problem};
use crate::policies::OWN;
use crate::source::SourceError;

/// A policy as it should be.
#[derive(Debug)]
pub(super) struct Declared {
    /// All its fields, its owner among the parameters.
    pub(super) json: Value,
    pub(super) origin: Origin,
}

/// Reads the file, or all files in the folder: what is good by name, and what is wrong with the rest.
pub(super) fn read(root: &Path, owner: &str) -> Result<(BTreeMap<String, Declared>, Vec<Problem>), SourceError> {
    let unreadable = |source| SourceError::Read { root: root.to_owned(), source };
    let mut files = Vec::new();
    if fs::metadata(root).map_err(unreadable)?.is_dir() {
        collect(root, &mut files).map_err(unreadable)?;
    } else {
        files.push(root.to_owned());
    }
    files.sort();
    let (mut declared, mut problems) = (BTreeMap::new(), Vec::new());
    for path in files {
        let file = match path.strip_prefix(root) {
            Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
            _ => path.file_name().map_or_else(|| path.clone(), PathBuf::from),
        };
        let problem = |line, message| Problem { file: file.clone(), line, message };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(problem(None, format!("cannot be read: {error}")));
                continue;
            }
        };
        let (specs, wrong) = match PolicySpec::parse_each(&text, &file.to_string_lossy()) {
            Ok(read) => read,
            Err(PolicyError::Syntax { place, detail, .. }) => {
                problems.push(problem(place.map(|(line, _)| line), detail));
                continue;
            }
            Err(PolicyError::Invalid { errors, .. }) => (Vec::new(), errors),
            Err(error) => {
                problems.push(problem(None, error.to_string()));
                continue;
            }
        };
        problems.extend(wrong.into_iter().map(|error| {
            let line = error.place.map(|(line, _)| line);
            problem(line, FieldError { place: None, ..error }.to_string())
        }));
        for (spec, line) in specs {
            let name = spec.name.to_string();
            if name.starts_with(OWN) {
                let message = format!("'{name}': names that begin with {OWN} are for the daemon's own policies");
                problems.push(problem(line, message));
                continue;
            }
            match declared.entry(name) {
                Entry::Vacant(free) => {
                    let origin = Origin { file: file.clone(), line };
                    free.insert(Declared::new(&spec, origin, owner));
                }
                Entry::Occupied(first) => {
                    let first: &Declared = first.get();
                    problems.push(problem(line, format!("'{}' is declared already in {}", spec.name, first.origin)));
                }
            }
        }
    }
    Ok((declared, problems))
}

/// All files of a folder and those below it that may hold policies. What is hidden is Git's, or an editor's.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") {
            files.push(path);
        }
    }
    Ok(())
}
