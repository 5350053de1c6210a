//! Maps: scenes of any size in, georeferenced land cover, areas and polygons out.
//!
//! A [`Scene`] is read by windows; a map is written tile by tile as its pixels are finished, so memory does not grow
//! with the scene. The tags that georeference a scene are carried over as they are, and what they mean ([`Affine`], [`Crs`],
//! [`PixelAreas`]) is used for areas, polygons and points.
//!
//! The crate knows nothing of training and of the command line.

mod accuracy;
mod answer;
mod area;
mod blend;
mod crs;
mod error;
mod fill;
mod flatgeobuf;
mod geo;
mod geopackage;
mod grid;
mod ground;
mod layer;
mod map_file;
mod mapper;
mod onnx;
mod patch;
mod pixel_area;
mod polygons;
mod qml;
mod recipe;
mod sample;
mod scene;
mod scene_card;
mod segmenter;
mod sieve;
mod sqlite;
#[cfg(test)]
mod testing;
pub mod tiff;
mod tiles;
mod turn;
mod vector;
mod zones;

pub use accuracy::{AreaEstimates, ClassEstimate, Estimate, estimate};
pub use answer::{Answer, Wanted};
pub use area::{AreaTable, ClassArea, measure};
pub use blend::{Blend, Finished};
pub use crs::{Crs, CrsKind, Transform};
pub use error::MapError;
pub use geo::{Affine, GeoTags};
pub use grid::{ALIGN, Axis, DEAD, Grid};
pub use ground::{GroundSettings, Levels, SceneGround};
pub use layer::{Layer, LayerKind, NODATA, TILE};
pub use map_file::{MapFile, side_path};
pub use mapper::{MapSettings, Mapped, Mapper, partial_folder};
pub use onnx::{OnnxInput, OnnxModel, OnnxSettings, Scores};
pub use patch::{Patch, Samples};
pub use pixel_area::PixelAreas;
pub use polygons::{PolygonCounts, PolygonSettings, write_polygons};
pub use recipe::{Recipe, Scale};
pub use sample::{Drawn, LABEL_FIELD, Reference, reference, sample};
pub use scene::{Scene, SceneInfo};
pub use scene_card::SceneCard;
pub use segmenter::{NetworkSegmenter, Resampled, Segmenter, Turned};
pub use sieve::{sieve, sieve_bytes};
pub use sqlite::Value;
pub(crate) use tiff::is_tiff as tiff_start;
pub use tiff::{SampleKind, Window};
pub use tiles::{Labels, TileCounts, TileSettings, cut_tiles};
pub use vector::{Feature, Geometry, Ring, Vectors, text_of};
pub use zones::{Zone, measure_zones, zones_csv};
