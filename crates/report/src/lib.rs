//! What people look at: event files for TensorBoard, strips and animations of masks, charts, and one offline
//! page that shows every item of a report.
//!
//! The crate reads run folders and writes files; it trains nothing and runs no network.

mod animation;
mod confusion;
mod error;
mod font;
mod picture;
pub mod sheet;
mod strip;
pub mod tensorboard;

pub use animation::apng;
pub use confusion::{Confusion, Pair};
pub use error::ReportError;
pub use picture::{encode_png, error_map, fit, mask_colours, overlay};
pub use strip::{Strip, strips};
