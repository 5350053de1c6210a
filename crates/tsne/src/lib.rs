//! t-SNE on the CPU: N rows of numbers become N points of the plane.

mod affinity;
mod error;
mod features;
mod forces;
mod grid;
mod groups;
mod linalg;
mod memory;
mod optimise;
mod order;
mod parts;
mod pca;
mod quality;
mod rows;
mod settings;
mod start;
mod transform;
mod tsne;

pub use affinity::{affinities, row_probabilities};
pub use error::TsneError;
pub use features::{Features, Reduction};
pub use groups::{Group, MixedPair, Space};
pub use memory::memory_needed;
pub use optimise::KlPoint;
pub use pca::Pca;
pub use quality::{Against, ClassQuality, LabelQuality, Quality};
pub use rows::Rows;
pub use settings::{Metric, Repulsion, Settings, Start};
pub use tsne::{Embedding, Progress, Stage, StageTimes, Tsne, Watch};
