//! What can be wrong with settings.

use std::fmt;

use super::Task;

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigError {
    /// The file is no TOML, or cannot be read.
    Syntax {
        /// The file.
        source: String,
        /// What is wrong.
        problem: String,
    },
    /// No such key.
    Unknown {
        /// The file or other origin.
        source: String,
        /// The key.
        key: String,
        /// The nearest key there is.
        suggestion: Option<String>,
    },
    /// A key of the other task.
    OtherTask {
        /// The file or other origin.
        source: String,
        /// The key.
        key: String,
        /// The task that has it.
        task: Task,
    },
    /// A value that cannot be.
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Why not.
        problem: String,
    },
    /// A key that must be given.
    Missing {
        /// The key.
        key: &'static str,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Syntax { source, problem } => write!(f, "{source}: {}", problem.trim_end()),
            ConfigError::Unknown { source, key, suggestion } => {
                write!(f, "{source}: unknown key `{key}`")?;
                match suggestion {
                    Some(near) => write!(f, "; did you mean `{near}`?"),
                    None => Ok(()),
                }
            }
            ConfigError::OtherTask { source, key, task } => {
                write!(f, "{source}: `{key}` is a setting of `train {task}` only")
            }
            ConfigError::Value { key, value, problem } => {
                write!(f, "--{} {value}: {problem}", key.replace('_', "-"))
            }
            ConfigError::Missing { key } => {
                write!(f, "--{key} is missing (or `{key} = ...` in the file of --config)")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
