//! What can go wrong between a run folder and a page.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a report, or a part of it, could not be made.
#[derive(Debug)]
pub enum ReportError {
    /// The operating system refused.
    Io {
        /// What was tried, as `cannot read`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// A file of a run, or a run, is not what it should be.
    Run {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Runs that cannot stand side by side.
    Mismatch(String),
    /// A picture could not be read or encoded.
    Picture(String),
}

impl ReportError {
    pub(crate) fn io(doing: &'static str, path: &Path, cause: io::Error) -> ReportError {
        ReportError::Io { doing, path: path.to_path_buf(), cause }
    }

    pub(crate) fn run(path: &Path, problem: impl fmt::Display) -> ReportError {
        ReportError::Run { path: path.to_path_buf(), problem: problem.to_string() }
    }

    pub(crate) fn picture(error: impl fmt::Display) -> ReportError {
        ReportError::Picture(error.to_string())
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::Io { doing, path, cause } => write!(f, "{doing} {}: {cause}", path.display()),
            ReportError::Run { path, problem } => write!(f, "{}: {problem}", path.display()),
            ReportError::Mismatch(problem) | ReportError::Picture(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for ReportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReportError::Io { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
