//! What can go wrong between a scene and its map.

use std::fmt;
use std::path::{Path, PathBuf};

/// A fault of a scene, a map or a layer of points or polygons.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapError {
    /// The operating system refused to read or write.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A file that contradicts its format: truncated, damaged, or of absurd dimensions.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A kind of file that is read by others but not here.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is not supported, with the remedy.
        what: String,
    },
    /// A scene without a pixel that holds data.
    Empty {
        /// The file.
        path: PathBuf,
        /// What cannot be done without.
        reason: String,
    },
    /// Inputs or settings that do not fit each other.
    Mismatch(String),
}

impl MapError {
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> MapError {
        MapError::Io { path: path.into(), reason: error.to_string() }
    }

    pub(crate) fn damaged(path: &Path, reason: impl fmt::Display) -> MapError {
        MapError::Damaged { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn unsupported(path: &Path, what: impl fmt::Display) -> MapError {
        MapError::Unsupported { path: path.into(), what: what.to_string() }
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Io { path, reason } => write!(f, "{}: {reason}", path.display()),
            MapError::Damaged { path, reason } => write!(f, "{}: {reason}", path.display()),
            MapError::Empty { path, reason } => write!(f, "{} holds no data: {reason}", path.display()),
            MapError::Unsupported { path, what } => write!(f, "{}: {what}", path.display()),
            MapError::Mismatch(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for MapError {}
