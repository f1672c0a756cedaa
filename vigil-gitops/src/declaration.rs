//! [`Comparison`]: what is declared, and how it differs from what lives.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything a source declares, compared once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// What is declared, and what should not be there any more.
    pub items: Vec<Item>,
    /// What is wrong with the files; everything else was compared all the same.
    pub problems: Vec<Problem>,
}

/// One thing that is declared, and how it differs from what lives.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What it is: `Deployment`, `service`, `unit`, `process`, `policy`.
    pub kind: String,
    /// Where it lives; empty if its kind has no such place.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
    /// Where it is declared.
    pub origin: Origin,
    /// What the comparison said.
    pub state: ItemState,
}

/// Which item of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemKey {
    /// What it is.
    pub kind: String,
    /// Where it lives; empty if its kind has no such place.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
}

/// Where something is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The file, below the source's root.
    pub file: PathBuf,
    /// The line its declaration begins at, from 1.
    pub line: Option<u64>,
}

/// What a comparison says of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemState {
    /// It is as it is declared.
    Same,
    /// It is not.
    Drifted(Drift),
    /// The live thing asks to be left alone, in these words.
    Suspended(String),
    /// It could not be compared, for this reason: nothing is said of it.
    Unknown(String),
}

/// How something differs from its declaration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// One line for people.
    pub summary: String,
    /// The RFC 6902 operations that turn what lives into what is declared.
    pub patch: Value,
}

/// What is wrong with a declared file; the rest of the source is compared all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which, below the source's root.
    pub file: PathBuf,
    /// Where in it, from 1.
    pub line: Option<u64>,
    /// What.
    pub message: String,
}

impl Item {
    /// Which one it is.
    pub fn key(&self) -> ItemKey {
        ItemKey { kind: self.kind.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl ItemKey {
    /// A key; an empty namespace is none.
    pub fn new(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// `<kind>/[<namespace>/]<name>`.
impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

impl ItemState {
    /// One word for it: `same`, `drifted`, `suspended`, `unknown`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Drifted(_) => "drifted",
            Self::Suspended(_) => "suspended",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, message } = self;
        write!(f, "{}: {message}", Origin { file: file.clone(), line: *line })
    }
}
