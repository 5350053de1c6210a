//! What a run tells those who watch it.

use crate::record::EpochRecord;

/// Something that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A line for people, also written to `log.txt`.
    Message(&'a str),
    /// Pictures of a set are being checked.
    Checking {
        /// `training` or `validation`.
        set: &'a str,
        /// Pictures checked.
        done: usize,
        /// Pictures in the set.
        total: usize,
    },
    /// An epoch begins.
    EpochStart {
        /// Its number from 1.
        epoch: usize,
        /// Epochs of the run.
        epochs: usize,
        /// Steps in an epoch.
        steps: usize,
    },
    /// A step is done.
    Step {
        /// Number of the epoch from 1.
        epoch: usize,
        /// Steps done in this epoch.
        done: usize,
        /// Steps in an epoch.
        steps: usize,
        /// Loss of the step.
        loss: f64,
        /// Rate of the step.
        lr: f64,
        /// Pictures per second so far in this epoch.
        images_per_s: f64,
    },
    /// Pictures of the validation set are being predicted.
    Validating {
        /// Pictures done.
        done: usize,
        /// Pictures in the set.
        total: usize,
    },
    /// An epoch is done, its checkpoint included.
    EpochEnd(&'a EpochRecord),
}

/// Watches a run: progress bars, logs, a wish to stop.
pub trait Observer: Sync {
    /// Called on the thread of the loop (checks: on any thread).
    fn event(&self, event: &Event<'_>);

    /// Asked after each step and while validating; `true` ends the run there, with a checkpoint to resume from.
    fn should_stop(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event<'_>) {}
}
