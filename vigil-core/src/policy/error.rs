//! [`PolicyError`]: what is wrong with a policy or a file of them.

use std::fmt;

use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use super::{FieldError, PolicyName};

/// What is wrong with a policy or a file of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is neither YAML nor JSON.
    Syntax {
        /// The file.
        file: String,
        /// Line and column, from 1.
        place: Option<(u64, u64)>,
        /// What the parser says.
        detail: String,
    },
    /// Fields are wrong, missing or unknown.
    Invalid {
        /// The file, if the policy came from one.
        file: Option<String>,
        /// All of them.
        errors: Vec<FieldError>,
    },
    /// A name that another file, or the API, uses already.
    Duplicate {
        /// The name.
        name: PolicyName,
        /// Where it comes from.
        file: String,
        /// Where it is already.
        other: String,
    },
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: String,
        /// Why, in the operating system's words.
        detail: String,
    },
}

impl PolicyError {
    /// One wrong field, without a file.
    pub fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.to_owned(), detail: detail.into(), place: None };
        Self::Invalid { file: None, errors: vec![error] }
    }

    pub(super) fn syntax(file: &str, error: &serde_saphyr::Error) -> Self {
        let place = error.location().map(|at| (at.line(), at.column()));
        let detail = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
        Self::Syntax { file: file.to_owned(), place, detail }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { file, place, detail } => {
                f.write_str(file)?;
                if let Some((line, column)) = place {
                    write!(f, ", line {line} column {column}")?;
                }
                write!(f, ": {detail}")
            }
            Self::Invalid { file, errors } => {
                if let Some(file) = file {
                    write!(f, "{file}: ")?;
                }
                f.write_str(&sentence(errors))
            }
            Self::Duplicate { name, file, other } => write!(f, "{file}: the policy '{name}' exists already in {other}"),
            Self::Unreadable { file, detail } => write!(f, "{file} cannot be read: {detail}"),
        }
    }
}

impl std::error::Error for PolicyError {}

/// All of them in one line.
pub(super) fn sentence(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
