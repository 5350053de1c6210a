//! Training: settings and recipes, the loop, metrics, checkpoints and the run folder; and a trained network
//! measured, applied and scored.
//!
//! A run begins with a [`TrainConfig`], resolved from a preset and from layers of settings laid over it, and
//! is carried out by [`train`] or, from its last checkpoint, [`resume`]. An [`Observer`] is told how it goes.
//! Everything random is a function of the seed and of counters (epoch, step, sample), so that a run gives
//! the same weights at any number of threads, and after any number of resumes.
//!
//! [`Model`] applies a network to pictures, [`evaluate_segmentation`] and [`evaluate_classification`]
//! measure one on a labelled set, and [`score()`]
//! compares two folders of masks as the course's grader does. Scenes are trained on through an [`OpenGround`], which another
//! crate provides. The crate knows nothing of argument parsing.

mod ahead;
mod average;
mod balance;
mod border;
mod checkpoint;
mod clock;
mod config;
mod detail;
mod error;
mod evaluate;
mod events;
mod features;
pub mod files;
mod holdout;
mod memory;
mod metrics;
pub mod npy;
mod objective;
mod optimiser;
mod picks;
mod predict;
mod record;
mod run;
mod run_folder;
mod scene_sets;
mod schedule;
mod score;
mod sets;
mod setup;
mod snapshot;
mod transfer;
mod tune;
mod views;

pub use border::{region_sizes, squared_distance_to_border};
pub use checkpoint::{Best, PartialEpoch, StateHeader, sha256};
pub use clock::duration;
pub use config::{
    ClassWeights, ConfigError, Epochs, Every, InputSize, Layer, LossTerms, LrFactor, OptimiserKind, Preset,
    RegionKind, RegionTerm, ScheduleKind, Size, Task, TrainConfig, fits,
};
pub use detail::{BANDS, Detail, REGIONS};
pub use error::{Cause, Divergence, TrainError};
pub use evaluate::{Evaluation, EvaluationSettings, evaluate_classification, evaluate_segmentation};
pub use events::{Event, Observer, Silent};
pub use features::FeatureModel;
pub use holdout::keep_held_out;
pub use memory::{Needs, available_bytes, needs};
pub use metrics::{ConfusionMatrix, IouReport, Protocol, scored};
pub use optimiser::{Group, Optimiser, groups, in_trunk, lr_factor};
pub use picks::{Pick, Picks};
pub use predict::{Forward, Model, Prepared, Recipe, Segmentation};
pub use record::{ClassFigure, Columns, EpochRecord, MetricsLog, Validation, read as read_records};
pub use run::{RunSummary, is_of_bf16, resume, resume_with, train, train_with};
pub use run_folder::RunFolder;
pub use scene_sets::{GroundRequest, OpenGround};
pub use schedule::Schedule;
pub use score::{ClassScore, Score, class_scores, score};
pub use tune::{ScoredPixels, Tuning, score_pixels};
pub use views::Views;
