//! What people look at: event files for TensorBoard, strips and animations of masks, charts, and one offline
//! page that shows every item of a report.
//!
//! [`Run::read`] reads a run folder, [`report()`] makes a [`Document`](document::Document) of some runs, [`page()`] writes it as one HTML
//! file and [`write_markdown`] as Markdown with pictures. The crate reads run folders and writes files; it trains nothing and
//! runs no network.

mod animation;
pub mod chart;
mod confusion;
mod content;
pub mod document;
mod embedding;
mod error;
mod font;
mod html;
mod markdown;
mod page;
mod picture;
mod run;
pub mod sheet;
mod strip;
mod study;
pub mod tensorboard;

use std::path::Path;

pub use animation::apng;
pub use confusion::{Confusion, Pair};
pub use content::report;
pub use embedding::{Embedding, Group};
pub use error::ReportError;
pub use markdown::{markdown, write_markdown};
pub use page::page;
pub use picture::{encode_png, error_map, fit, mask_colours, overlay};
pub use run::{Run, check_classes};
pub use strip::{Strip, strips};
pub use study::{DataFacts, SetFacts, Study, TileScore, fingerprint};

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    hectare_train::files::write(path, bytes).map_err(|error| ReportError::Picture(error.to_string()))
}
