//! Networks as data: the graph, its parameters, the models, a CPU executor and weight files.
//!
//! A [`Network`] is a list of named nodes. From that one description come the printed summary
//! ([`summary`]), parameter and FLOP counts, the memory plan ([`estimate_memory`]), prediction
//! ([`Predictor`]) and training ([`Trainer`]). Node names are PyTorch's module paths, so parameter
//! names are the keys of a state_dict.
//!
//! ```
//! use hectare_net::{ModelKind, ModelSpec, Shape, build};
//!
//! let mut spec = ModelSpec::new(ModelKind::Fcn8s);
//! spec.width = 0.125;
//! let network = build(&spec)?;
//! assert_eq!(network.output_shape(Shape::new(3, 97, 61))?, Shape::new(7, 97, 61));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod card;
mod class_map;
mod exec;
mod graph;
mod initialise;
mod memory;
pub mod models;
mod offset;
pub mod onnx;
pub mod ops;
mod params;
mod print;
mod shape;
mod spec;
mod summary;
mod table;
mod temporary;
pub mod weights;

pub use card::{LONGEST_SIDE, ModelCard, Normalisation, SceneBands};
pub use class_map::{Class, ClassMap};
pub use exec::{ExecError, Output, Predictor, StepKey, Trainer};
pub use graph::{NetError, Network, NetworkBuilder, Node};
pub use initialise::initialise;
pub use memory::{MemoryEstimate, Mode, estimate_memory};
pub use models::build;
pub use offset::offset_scores;
pub use params::{BufferEntry, BufferKind, ParamEntry, ParamLayout, Params, Role};
pub use shape::{Shape, ShapeError};
pub use spec::{Geometry, Head, ModelKind, ModelSpec, UnknownName};
pub use summary::{NodeSummary, Summary, summary};
pub use temporary::temporary_in;
