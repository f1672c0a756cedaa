//! [`read_yaml`]: a program's configuration file.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {message}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// What is wrong: line and key, and nothing else of what is written there, which may be secret.
        message: String,
    },
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a YAML file.
///
/// # Errors
/// [`FileError`].
pub fn read_yaml<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse_yaml(&text, path)
}

/// Reads a text; `path` is for errors. One of comments alone is an empty one.
///
/// # Errors
/// [`FileError::Parse`].
pub fn parse_yaml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, FileError> {
    let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
    let parsed = serde_saphyr::from_str(if is_empty { "{}" } else { text });
    parsed.map_err(|error| FileError::Parse { path: path.to_owned(), message: error.without_snippet().to_string() })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        port: Option<u16>,
    }

    fn parse(text: &str) -> Result<File, FileError> {
        parse_yaml(text, Path::new("a.yaml"))
    }

    #[test]
    fn a_file_of_comments_alone_is_an_empty_one() {
        for text in ["", "\n", "# port: 1\n\n  # nothing\n"] {
            assert_eq!(parse(text).unwrap().port, None, "{text:?}");
        }
        assert_eq!(parse("port: 7 # seven").unwrap().port, Some(7));
    }

    #[test]
    fn a_mistake_is_told_with_file_line_and_key_and_without_what_stands_beside_it() {
        let said = parse("port: 1\npassword: hunter2\n").unwrap_err().to_string();
        assert!(said.starts_with("a.yaml: ") && said.contains("line 2") && said.contains("password"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn a_missing_file_is_told_from_one_that_cannot_be_read() {
        let folder = std::env::temp_dir();
        let missing = read_yaml::<File>(&folder.join("a-file-that-nobody-made.yaml")).unwrap_err();
        let folder = read_yaml::<File>(&folder).unwrap_err();
        assert_eq!((missing.is_missing(), folder.is_missing()), (true, false));
    }
}
