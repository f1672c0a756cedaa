//! [`Manifest`]: an object as a file declares it.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::declaration::{Origin, Problem};

/// One object that is declared.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) origin: Origin,
    pub(super) api_version: String,
    pub(super) kind: String,
    /// As it is written; whether it means anything depends on the kind.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// All of it.
    pub(super) body: Value,
}

/// Everything that is declared in a file or below a folder, and what is wrong there. Hidden folders are left out, and links that lead
/// out of it.
pub(super) fn read(root: &Path) -> io::Result<(Vec<Manifest>, Vec<Problem>)> {
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    let within = root.canonicalize()?;
    let paths = if root.is_file() { vec![root.to_owned()] } else { files(root)? };
    for path in paths {
        let file = path.strip_prefix(root).ok().filter(|file| !file.as_os_str().is_empty());
        let file = PathBuf::from(file.map_or_else(|| path.file_name().unwrap_or_default(), Path::as_os_str));
        match path.canonicalize() {
            Ok(real) if real.starts_with(&within) => {}
            Ok(_) => continue,
            Err(error) => {
                problems.push(Problem { file, line: None, message: format!("it cannot be read: {error}") });
                continue;
            }
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => read_file(&file, &text, &mut manifests, &mut problems),
            Err(error) => problems.push(Problem { file, line: None, message: format!("it cannot be read: {error}") }),
        }
    }
    Ok((manifests, problems))
}

/// All files that may declare something, in the order of their paths.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let is_manifest = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if entry.file_type()?.is_dir() {
            found.extend(files(&path)?);
        } else if is_manifest {
            found.push(path);
        }
    }
    Ok(found)
}

fn read_file(file: &Path, text: &str, manifests: &mut Vec<Manifest>, problems: &mut Vec<Problem>) {
    let problem = |line, message| Problem { file: file.to_owned(), line, message };
    if file.extension().is_some_and(|end| end == "json") {
        match serde_json::from_str(text) {
            Ok(body) => take(Origin { file: file.to_owned(), line: Some(1) }, body, manifests, problems),
            Err(error) => problems.push(problem(Some(error.line() as u64), error.to_string())),
        }
        return;
    }
    for (line, document) in documents(text) {
        let origin = Origin { file: file.to_owned(), line: Some(line) };
        match parse(&document) {
            Ok(body) => take(origin, body, manifests, problems),
            // Without the lines around it: they may be those of a Secret.
            Err(error) => {
                let at = error.location().map_or(line, |location| location.line());
                problems.push(problem(Some(at), error.without_snippet().to_string()));
            }
        }
    }
}

/// As Kubernetes reads it: `0644` is octal.
fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { legacy_octal_numbers: true })
}

/// The documents of a file, each behind as many empty lines as keep its lines where they are, with the line its text begins at. `---` at
/// the beginning of a line begins a document wherever it stands; so a broken one cannot take others with it.
fn documents(text: &str) -> Vec<(u64, String)> {
    let mut documents = vec![String::new()];
    for (index, line) in text.lines().enumerate() {
        let rest = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if rest.is_some() {
            documents.push("\n".repeat(index));
        }
        let document = documents.last_mut().expect("it begins with one");
        match rest {
            Some(rest) => document.extend(["   ", rest]),
            None => document.push_str(line),
        }
        document.push('\n');
    }
    let begins = |document: &str| {
        let has_text = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with(['#', '%']);
        document.lines().position(has_text).map(|index| index as u64 + 1)
    };
    documents.into_iter().filter_map(|document| Some((begins(&document)?, document))).collect()
}

/// Takes a document for the object, or the list of objects, that it is.
fn take(origin: Origin, mut body: Value, manifests: &mut Vec<Manifest>, problems: &mut Vec<Problem>) {
    if body.is_null() {
        return;
    }
    if body["kind"] == "List"
        && let Value::Array(items) = body["items"].take()
    {
        for item in items {
            take(origin.clone(), item, manifests, problems);
        }
        return;
    }
    match manifest(origin.clone(), body) {
        Ok(manifest) => manifests.push(manifest),
        Err(message) => problems.push(Problem { file: origin.file, line: origin.line, message }),
    }
}

fn manifest(origin: Origin, body: Value) -> Result<Manifest, String> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let needed = |pointer: &str, what: &str| text(pointer).ok_or_else(|| format!("it has no {what}"));
    let api_version = needed("/apiVersion", "apiVersion")?;
    let kind = needed("/kind", "kind")?;
    let name = needed("/metadata/name", "metadata.name")?;
    let namespace = text("/metadata/namespace").filter(|namespace| !namespace.is_empty());
    // They become parts of a path.
    if api_version.split('/').count() > 2 {
        return Err(format!("'{api_version}' is no apiVersion"));
    }
    for part in api_version.split('/').chain([&*kind, &*name]).chain(namespace.as_deref()) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if part.is_empty() || part.starts_with('.') || !part.chars().all(is_plain) {
            return Err(format!("'{part}' cannot be part of a name"));
        }
    }
    Ok(Manifest { origin, api_version, kind, namespace, name, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Vec<Manifest>, Vec<Problem>) {
        let (mut manifests, mut problems) = (Vec::new(), Vec::new());
        read_file(Path::new("a.yaml"), text, &mut manifests, &mut problems);
        (manifests, problems)
    }

    const ONE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {mode: 0644, on: yes}\n";

    #[test]
    fn every_document_has_its_line_and_a_broken_one_is_alone() {
        let text = format!("# a comment\n---\n# another\n\n{ONE}---\nkind: [\n--- # empty\n---\n{ONE}");
        let (manifests, problems) = read_text(&text);
        let lines: Vec<_> = manifests.iter().map(|manifest| manifest.origin.line.unwrap()).collect();
        assert_eq!(lines, [5, 13]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(matches!(problems[0].line, Some(10 | 11)), "{problems:?}");
        assert_eq!(manifests[0].body["data"], serde_json::json!({"mode": 420, "on": true}), "as Kubernetes reads it");
    }

    #[test]
    fn the_content_of_a_broken_document_is_not_told() {
        let (_, problems) = read_text("apiVersion: v1\nkind: Secret\nstringData:\n  password: hunter2\n   x: [\n");
        assert_eq!(problems.len(), 1);
        assert!(!problems[0].message.contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn what_lacks_a_name_or_would_become_another_path_is_a_problem() {
        for (text, why) in [
            ("kind: Pod\nmetadata: {name: a}", "it has no apiVersion"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a}", "it has no metadata.name"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: ../a}", "'../a' cannot be part of a name"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: a?b}", "'a?b' cannot be part of a name"),
            ("apiVersion: a/b/c\nkind: Pod\nmetadata: {name: a}", "'a/b/c' is no apiVersion"),
            ("just words", "it has no apiVersion"),
        ] {
            let (manifests, problems) = read_text(text);
            assert!(manifests.is_empty());
            assert_eq!(problems[0].message, why);
        }
    }

    #[test]
    fn a_list_is_what_is_in_it() {
        let list =
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {kind: Pod}\n";
        let (manifests, problems) = read_text(list);
        assert_eq!((manifests.len(), problems.len()), (1, 1));
    }

    #[test]
    fn hidden_folders_and_links_that_lead_out_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join(".git")).unwrap();
        std::fs::create_dir_all(root.join("deep")).unwrap();
        for file in ["out.yaml", "root/.git/hidden.yaml", "root/deep/in.yml", "root/notes.txt"] {
            std::fs::write(folder.path().join(file), ONE).unwrap();
        }
        std::os::unix::fs::symlink("../out.yaml", root.join("link.yaml")).unwrap();
        std::os::unix::fs::symlink("deep/in.yml", root.join("inner.yaml")).unwrap();
        let (manifests, problems) = read(&root).unwrap();
        let files: Vec<_> = manifests.iter().map(|manifest| manifest.origin.to_string()).collect();
        assert_eq!((files, problems), (vec!["deep/in.yml:1".to_owned(), "inner.yaml:1".to_owned()], vec![]));
    }
}
