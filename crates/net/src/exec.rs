//! The CPU executor.
//!
//! For every input size a network is compiled into a program: a list of forward steps, for training a
//! list of backward steps, and one arena in which every value and gradient has its place for as long as it
//! is needed. Predictor and trainer run such programs.

mod arena;
mod error;
mod fusion;
mod predictor;
mod profile;
mod program;
mod run;
mod step;
#[cfg(test)]
mod tests;
mod trainer;

pub use error::ExecError;
pub(crate) use error::check_length;
pub(crate) use fusion::Options;
pub use predictor::{Output, Predictor};
pub(crate) use program::{Program, Purpose};
pub(crate) use step::ForwardStep;
pub use trainer::Trainer;

/// What random numbers of a training step are drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// The user's seed.
    pub seed: u64,
    /// Number of the step.
    pub step: u64,
}
