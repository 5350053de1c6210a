//! Images, masks, class maps, folders, augmentation and prefetched batches.
//!
//! Two kinds of data set are known: [`ClassificationSet`] (one class per picture) and [`SegmentationSet`]
//! (one class per pixel, in a second file). A picture is an [`Image`] (RGB, 8 bits); the classes of its
//! pixels are a [`Mask`], which is another type on purpose: nothing here can interpolate one.
//!
//! A [`Loader`] turns a source and a list of batches into normalised `f32` batches in N, H, W, C order,
//! prepared ahead of time on threads. Random choices are functions of (seed, epoch, index of the sample), so
//! that neither threads nor the order of loading change a bit.
//!
//! Scenes are known by what they give: windows of a [`Ground`], several bands with their classes. Another crate reads
//! them.
//!
//! The crate knows nothing of networks.

mod augment;
mod batch;
mod blocks;
pub mod check;
pub mod class_map_file;
mod classification;
mod csv;
mod error;
mod exclusion;
mod files;
mod ground;
mod header;
mod image_file;
mod jitter;
mod jpeg;
mod loader;
mod mask;
mod mask_file;
mod picture;
mod png_file;
mod raster;
mod resample;
mod resize;
mod segmentation;
mod source;
pub mod verify;
mod window_source;

pub use augment::{Augment, CropRule};
pub use batch::{Batch, BatchFormat, epoch_batches, normalise_into};
pub use blocks::{BLOCK_SIDES, Block, Cell, LEAST_BLOCKS, Survey};
pub use classification::{ClassSample, ClassificationSet};
pub use error::DataError;
pub use exclusion::{Exclusion, list_text};
pub use files::{check_output_stems, list_images, output_stem, write_atomic};
pub use ground::{GROUND_FILE, Ground, GroundFacts, GroundScene, same_resolution};
pub use image_file::{MAX_PIXELS, encode_png, image_size, read_image, write_png};
pub use jitter::Jitter;
pub use jpeg::{JpegColours, decode_jpeg};
pub use loader::Loader;
pub use mask::{Mask, UNLABELLED};
pub use mask_file::{read_mask, write_mask_palette, write_mask_rgb};
pub use picture::Image;
pub use raster::Raster;
pub use resample::Resampler;
pub use resize::{resize, resize_crop, resize_mask, resize_mask_crop};
pub use segmentation::{SegSample, SegmentationSet};
pub use source::{BatchSource, ClassificationSource, Sample, SampleSource, SegmentationSource, Target};
pub use window_source::{WindowRule, WindowSource};
