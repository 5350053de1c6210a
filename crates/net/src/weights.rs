//! Weight files: safetensors with the model's card in the metadata.

mod bare;
mod error;
mod file;
mod load;
mod model;
mod tensor;

pub use error::WeightError;
pub use file::{WeightFile, read, write};
pub use load::{LoadReport, LoadRow, LoadStatus, holds, load_into};
pub use model::{LoadedModel, Overrides, read_model, read_model_with};
pub use tensor::Tensor;

/// The metadata key under which a model's card stands.
pub const METADATA_KEY: &str = "hectare";
