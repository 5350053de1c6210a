//! Embeddings in the plane: what `tsne` and `embed` share.

pub mod args;
mod canvas;
mod colours;
pub mod labels;
mod page;
mod plot;
mod raster;
mod record;
pub mod run;
mod svg;
mod text;
pub mod thumbnails;
