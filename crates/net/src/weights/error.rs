//! What can be wrong with a weight file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::NetError;

use super::LoadReport;

/// What can be wrong with a weight file.
#[derive(Debug)]
pub enum WeightError {
    /// The file cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// It is not a whole safetensors file.
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It is not a state_dict that `torch.save` wrote.
    Torch {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A tensor holds a NaN or an infinity.
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The first such value.
        value: f32,
        /// Its place in the tensor.
        index: usize,
    },
    /// The model's card does not describe a model.
    Card {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No model has these tensors' names and shapes.
    UnknownModel {
        /// The file.
        path: PathBuf,
        /// What was looked for and not found.
        problem: String,
    },
    /// Tensors are missing, surplus or of another shape.
    Mismatch {
        /// The file.
        path: PathBuf,
        /// All of them.
        report: Box<LoadReport>,
    },
    /// The first convolution cannot be made to take hectare's pixels.
    Input {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The network of the card cannot be built.
    Net {
        /// The file.
        path: PathBuf,
        /// Why.
        error: NetError,
    },
}

impl WeightError {
    pub(super) fn io(path: &Path, error: io::Error) -> WeightError {
        WeightError::Io { path: path.to_owned(), error }
    }

    pub(super) fn format(path: &Path, problem: impl ToString) -> WeightError {
        WeightError::Format { path: path.to_owned(), problem: problem.to_string() }
    }
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WeightError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            WeightError::Format { path, problem } => {
                write!(f, "{} is not a whole safetensors file: {problem}", path.display())
            }
            WeightError::Torch { path, problem } => {
                write!(f, "{} is not a state_dict of PyTorch's: {problem}", path.display())
            }
            WeightError::NotFinite { path, tensor, value, index } => {
                write!(f, "{}: tensor {tensor} holds {value} at place {index}", path.display())
            }
            WeightError::Card { path, problem } => {
                write!(f, "{}: the model's description is wrong: {problem}", path.display())
            }
            WeightError::UnknownModel { path, problem } => {
                write!(f, "{} holds no known model: {problem}", path.display())
            }
            WeightError::Mismatch { path, report } => {
                write!(f, "{} does not fit the network: {}", path.display(), report.faults())
            }
            WeightError::Input { path, problem } => write!(f, "{}: {problem}", path.display()),
            WeightError::Net { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for WeightError {}
