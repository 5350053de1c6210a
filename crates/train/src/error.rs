//! What can go wrong while training, evaluating, predicting and scoring.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::ConfigError;

/// An error of another crate, carried with its own message.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A step whose numbers are not finite any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// The step, counted from 1.
    pub step: u64,
    /// The rate at that step.
    pub rate: f64,
    /// What is not finite, as `loss`.
    pub quantity: &'static str,
    /// The first node whose value or weights are not, or the last whose gradient is not.
    pub node: Option<String>,
    /// Some of the step's pictures.
    pub pictures: Vec<String>,
    /// How many more there are.
    pub more: usize,
    /// The step of the checkpoint that stays, and its weights.
    pub saved: Option<(u64, PathBuf)>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Divergence { step, rate, quantity, .. } = self;
        write!(f, "step {step} (rate {rate:.3e}): the {quantity} is no longer a finite number")?;
        if let Some(node) = &self.node {
            write!(f, ", first at node {node}")?;
        }
        if !self.pictures.is_empty() {
            write!(f, "; its pictures: {}", self.pictures.join(", "))?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        f.write_str("; try a lower --lr, a longer --warmup-epochs or --clip-norm 1")?;
        match &self.saved {
            Some((step, weights)) => {
                write!(
                    f,
                    " (the checkpoint after step {step} stays: `--init {}` starts from it)",
                    weights.display()
                )
            }
            None => Ok(()),
        }
    }
}

/// Errors of this crate. [`TrainError::began`] tells whether work had begun.
#[derive(Debug)]
pub enum TrainError {
    /// A setting is unknown or has a value that cannot be.
    Config(ConfigError),
    /// A file or folder could not be read or written.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as in "cannot write".
        doing: &'static str,
        /// The operating system's answer.
        cause: io::Error,
    },
    /// Pictures, masks or class maps.
    Data(Cause),
    /// Networks, shapes or weight files.
    Net(Cause),
    /// The run folder already holds a checkpoint.
    HoldsCheckpoint(PathBuf),
    /// Another process trains into the run folder.
    Busy(PathBuf),
    /// The folder is no run folder, or its files do not belong together.
    Run {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The memory needed does not fit in RAM.
    Memory {
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
        /// What to change.
        remedy: String,
    },
    /// The disk has no room for what must be written.
    Space {
        /// The folder.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The input does not fit the task (class counts, sizes, names).
    Input(String),
    /// The loss, a gradient or a weight became infinite or NaN.
    NotFinite(Box<Divergence>),
    /// Whoever watches asked for an end.
    Stopped,
    /// An error after work had begun.
    Late(Box<TrainError>),
}

impl TrainError {
    /// Whether the failure came after work had begun (and is not the user's input).
    pub fn began(&self) -> bool {
        matches!(self, TrainError::Late(_) | TrainError::NotFinite(_))
    }

    /// Marks the error as one that came after work had begun.
    pub fn late(self) -> TrainError {
        if self.began() { self } else { TrainError::Late(Box::new(self)) }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, cause: io::Error) -> TrainError {
        TrainError::Io { path: path.to_path_buf(), doing, cause }
    }

    /// A picture, a mask or a set that cannot be read.
    pub fn data(cause: impl Into<Cause>) -> TrainError {
        TrainError::Data(cause.into())
    }

    pub(crate) fn net(cause: impl Into<Cause>) -> TrainError {
        TrainError::Net(cause.into())
    }
}

/// Bytes in GiB, or in MiB where that says more.
pub(crate) fn gib(bytes: u64) -> String {
    match bytes as f64 / (1u64 << 20) as f64 {
        mib if mib < 100.0 => format!("{mib:.1} MiB"),
        mib => format!("{:.2} GiB", mib / 1024.0),
    }
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrainError::Config(error) => error.fmt(f),
            TrainError::Io { path, doing, cause } => write!(f, "{doing} {}: {cause}", path.display()),
            TrainError::Data(cause) | TrainError::Net(cause) => cause.fmt(f),
            TrainError::HoldsCheckpoint(path) => write!(
                f,
                "{} already holds a checkpoint; go on with `--resume {}` or give another --out",
                path.display(),
                path.display()
            ),
            TrainError::Busy(path) => write!(
                f,
                "{}: another process is training into this folder; wait for its end, or stop it",
                path.display()
            ),
            TrainError::Run { path, problem } => write!(f, "{}: {problem}", path.display()),
            TrainError::Memory { needed, available, remedy } => write!(
                f,
                "training would need {} of memory and {} are available; {remedy}",
                gib(*needed),
                gib(*available)
            ),
            TrainError::Space { path, needed, free } => write!(
                f,
                "{} needs {} of disk space and {} are free; what was written before stays whole",
                path.display(),
                gib(*needed),
                gib(*free)
            ),
            TrainError::Input(problem) => f.write_str(problem),
            TrainError::NotFinite(divergence) => divergence.fmt(f),
            TrainError::Stopped => f.write_str("stopped"),
            TrainError::Late(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TrainError {}

impl From<ConfigError> for TrainError {
    fn from(error: ConfigError) -> Self {
        TrainError::Config(error)
    }
}
