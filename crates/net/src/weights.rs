//! Weight files: safetensors with the model's card in the metadata; and the state_dicts of others, in safetensors and
//! PyTorch's own files.

mod bare;
mod error;
mod file;
mod inflate;
mod input;
mod load;
mod mapping;
mod model;
mod tensor;
mod torch;

pub use error::WeightError;
pub use file::{WeightFile, read, write};
pub use input::InputOrder;
pub use load::{LoadReport, LoadRow, LoadStatus, holds, load_into};
pub use model::{LoadedModel, Overrides, read_model, read_model_with};
pub use tensor::Tensor;

/// The metadata key under which a model's card stands.
pub const METADATA_KEY: &str = "hectare";
