//! A scene cut into the layout that training reads: `NNNN_sat.png` and, with labels, `NNNN_mask.png`.

use std::path::{Path, PathBuf};

use hectare_data::{BLOCK_SIDES, Image, LEAST_BLOCKS, Mask, UNLABELLED, write_mask_rgb, write_png};
use hectare_kernels::rng::{Key, shuffle};
use hectare_net::ClassMap;

use crate::fill::Fill;
use crate::vector::{Geometry, Vectors, text_of};
use crate::{Affine, MapError, Patch, SampleKind, Scale, Scene, Transform, Window};

/// How a scene is cut.
#[derive(Clone, Debug, PartialEq)]
pub struct TileSettings {
    /// Side of a tile in pixels.
    pub side: usize,
    /// Samples that become black and white, for each band; nothing for 8-bit samples as they are.
    pub scale: Option<Vec<Scale>>,
    /// Share of the blocks of ground that go to `val` instead of `train`; nothing for one folder. Blocks are of 4 x 4 tiles, of 2 x 2
    /// or of one where there are fewer than 16 larger ones.
    pub holdout: Option<f64>,
    /// What the choice of blocks depends on.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TileCounts {
    /// Tiles written, those of `val` included.
    pub tiles: usize,
    /// Tiles in `val`.
    pub held_out: usize,
    /// Tiles left out for pixels without data or label.
    pub left_out: usize,
}

/// Where the classes of a scene's pixels come from.
pub enum Labels {
    /// A raster of class ids (one band) or colours (three); its grid may be another one.
    Raster {
        /// The raster.
        scene: Box<Scene>,
        /// From the scene's pixels to the raster's; nothing where the grids are the same.
        path: Option<Box<Regrid>>,
    },
    /// Polygons with the class of each; later ones lie above.
    Polygons {
        /// The polygons on the scene's grid.
        polygons: Vec<PolygonLabel>,
        /// The coordinate system that they were brought from, where it is another than the scene's, and the scene's.
        brought: Option<[String; 2]>,
    },
}

/// A polygon on the scene's grid, with its class.
pub struct PolygonLabel {
    fill: Fill,
    class: u8,
}

/// The way from a scene's pixels to those of another raster.
pub struct Regrid {
    from: Affine,
    transform: Transform,
    to: Affine,
}

impl Labels {
    /// Opens labels for `scene`: a raster (TIFF, PNG), or polygons whose `field` holds a class's name or id.
    ///
    /// # Errors
    /// Files that cannot be read, coordinates that cannot be brought to the scene's, a field or class that is not there.
    pub fn open(path: &Path, scene: &Scene, classes: &ClassMap, field: &str) -> Result<Labels, MapError> {
        let info = scene.info();
        let name = path.display();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        let lacks = |what: &str| MapError::Mismatch(format!("{name} and {}: {what}", info.path.display()));
        if !matches!(ending.as_str(), "gpkg" | "geojson" | "json") {
            let mut labels = Scene::open(path)?;
            if !matches!(labels.bands().len(), 1 | 3) || labels.info().kind != SampleKind::U8 {
                return Err(MapError::Mismatch(format!(
                    "{name} has {} bands of {}; labels are one band of class ids or three of colours, in uint8",
                    labels.info().bands,
                    labels.info().kind.name()
                )));
            }
            let bands = labels.bands().to_vec();
            labels.select(&bands)?;
            let same_size = (labels.info().width, labels.info().height) == (info.width, info.height);
            let (one, two) = (info.geo.affine(), labels.info().geo.affine());
            let (from_crs, to_crs) = (info.geo.crs(), labels.info().geo.crs());
            let path = match (one, two) {
                (None, None) if same_size => None,
                (Some(a), Some(b)) if same_size && a == b && from_crs == to_crs => None,
                (Some(from), Some(to)) => {
                    let (Some(a), Some(b)) = (from_crs, to_crs) else {
                        return Err(lacks("another grid, and no coordinate system to go by"));
                    };
                    let transform = a.transform_to(&b).map_err(|reason| lacks(&reason))?;
                    Some(Box::new(Regrid { from, transform, to }))
                }
                _ => return Err(lacks("another size, and no georeference to go by")),
            };
            return Ok(Labels::Raster { scene: Box::new(labels), path });
        }
        let layer = Vectors::read(path)?;
        if !layer.field_names().iter().any(|own| own == field) {
            return Err(MapError::Mismatch(format!(
                "{name} has no field {field}; it has {}",
                layer.field_names().join(", ")
            )));
        }
        let affine = info.geo.affine().ok_or_else(|| lacks("the scene has no georeference"))?;
        let crs = info.geo.crs().ok_or_else(|| lacks("the scene has no coordinate system"))?;
        let theirs = layer.crs.clone().filter(|own| !own.same_as(&crs));
        let brought = theirs.map(|own| [own.name, crs.name.clone()]);
        let layer = layer.transformed(&crs, path)?;
        let mut polygons = Vec::new();
        for feature in &layer.features {
            let Geometry::Polygons(rings) = &feature.geometry else { continue };
            let Some(label) = feature.fields.get(field).and_then(text_of) else { continue };
            let class = class_of(classes, &label).ok_or_else(|| {
                MapError::Mismatch(format!(
                    "{name}: {label:?} is none of the classes {}",
                    classes.names().join(", ")
                ))
            })?;
            polygons.push(PolygonLabel { fill: Fill::new(rings, &affine)?, class });
        }
        Ok(Labels::Polygons { polygons, brought })
    }

    /// What was done to bring labels to the scene's grid, in words; nothing where they fit.
    pub fn note(&self) -> Option<String> {
        match self {
            Labels::Raster { path: Some(_), .. } => {
                Some("the labels lie on another grid; each pixel takes the label at its centre".into())
            }
            Labels::Polygons { brought: Some([from, to]), .. } => {
                Some(format!("the polygons are brought from {from} to {to}"))
            }
            _ => None,
        }
    }

    /// Class ids of a window of the scene, [`UNLABELLED`] where there is none.
    pub(crate) fn read(&mut self, window: Window, classes: &ClassMap) -> Result<Vec<u8>, MapError> {
        let mut ids = vec![UNLABELLED; window.width * window.height];
        match self {
            Labels::Polygons { polygons, .. } => {
                for (y, row) in ids.chunks_exact_mut(window.width).enumerate() {
                    for polygon in polygons.iter() {
                        polygon.fill.row(window.y + y, window.x + window.width, |columns| {
                            let from = columns.start.max(window.x);
                            if from < columns.end {
                                row[from - window.x..columns.end - window.x].fill(polygon.class);
                            }
                        });
                    }
                }
            }
            Labels::Raster { scene, path: None } => {
                let mut patch = Patch::default();
                scene.read(window, &mut patch)?;
                for (at, id) in ids.iter_mut().enumerate().filter(|(at, _)| patch.valid[*at]) {
                    *id = label(scene, classes, &patch, at)?;
                }
            }
            Labels::Raster { scene, path: Some(path) } => {
                let (width, height) = (scene.info().width as f64, scene.info().height as f64);
                let mut places = vec![None; ids.len()];
                let mut seen: Option<[usize; 4]> = None;
                for (at, place) in places.iter_mut().enumerate() {
                    let (x, y) = (window.x + at % window.width, window.y + at / window.width);
                    let ground = path.from.apply(x as f64 + 0.5, y as f64 + 0.5);
                    let ground = path.transform.apply(ground).map_err(MapError::Mismatch)?;
                    let found = path.to.inverse(ground[0], ground[1]);
                    let inside = found.filter(|[x, y]| (0.0..width).contains(x) && (0.0..height).contains(y));
                    if let Some([x, y]) = inside {
                        let (x, y) = (x as usize, y as usize);
                        *place = Some([x, y]);
                        let [l, t, r, b] = seen.unwrap_or([x, y, x, y]);
                        seen = Some([l.min(x), t.min(y), r.max(x), b.max(y)]);
                    }
                }
                let Some([left, top, right, bottom]) = seen else { return Ok(ids) };
                let part = Window { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
                let mut patch = Patch::default();
                scene.read(part, &mut patch)?;
                for (id, place) in ids.iter_mut().zip(places) {
                    let Some([x, y]) = place else { continue };
                    let at = (y - top) * part.width + x - left;
                    if patch.valid[at] {
                        *id = label(scene, classes, &patch, at)?;
                    }
                }
            }
        }
        Ok(ids)
    }
}

fn class_of(classes: &ClassMap, label: &str) -> Option<u8> {
    let by_name = classes.classes.iter().find(|class| class.name.eq_ignore_ascii_case(label));
    let by_id = || classes.classes.iter().find(|class| class.id.to_string() == label);
    by_name.or_else(by_id).map(|class| class.id)
}

/// The class of pixel `at` of a window of a raster of labels.
fn label(scene: &Scene, classes: &ClassMap, patch: &Patch, at: usize) -> Result<u8, MapError> {
    let name = scene.info().path.display();
    let bands = scene.bands().len();
    // One band of ids or three of colours, as `Labels::open` checked.
    let mut values = [0; 3];
    let values = &mut values[..bands];
    values.iter_mut().enumerate().for_each(|(band, v)| *v = patch.samples.get(at * bands + band) as u8);
    match &*values {
        [id] if usize::from(*id) < classes.len() => Ok(*id),
        [UNLABELLED] => Ok(UNLABELLED),
        [id] => Err(MapError::Mismatch(format!(
            "{name} holds the id {id} and the class map ends at {}",
            classes.len().saturating_sub(1)
        ))),
        values => {
            let colour = [values[0], values[1], values[2]];
            let own = classes.classes.iter().find(|class| class.colour == colour).map(|class| class.id);
            let alias = || classes.aliases.iter().find(|alias| alias.0 == colour).map(|alias| alias.1);
            own.or_else(alias).ok_or_else(|| {
                MapError::Mismatch(format!(
                    "{name} holds the colour {colour:?}, which is none of the class map's"
                ))
            })
        }
    }
}

/// Cuts a scene, whose three bands are selected, into tiles from left to right and top to bottom, and writes those that hold
/// data everywhere and, with labels, a class everywhere. Without data, or without a label where the class map has an ignored
/// class, pixels take that class as long as half of the tile is labelled. The last tile of a row or column ends with the
/// scene and shares ground with the one before; both lie in the same block. A mask is in the class map's colours.
///
/// # Errors
/// A scene that is smaller than a tile, or than two of which one is held out, or not of three bands, samples of more than 8 bits
/// without a scale, files that cannot be read or written.
pub fn cut_tiles(
    scene: &mut Scene,
    mut labels: Option<&mut Labels>,
    classes: &ClassMap,
    settings: &TileSettings,
    out: &Path,
    progress: &dyn Fn(usize, usize),
) -> Result<TileCounts, MapError> {
    let info = scene.info().clone();
    let name = info.path.display();
    let side = settings.side;
    if info.width < side || info.height < side {
        return Err(MapError::Mismatch(format!(
            "{name} has {} x {} pixels and a tile {side} x {side}; take smaller ones (--side)",
            info.width, info.height
        )));
    }
    if scene.bands().len() != 3 {
        return Err(MapError::Mismatch(format!(
            "{name} has {} bands and tiles have three; name them with --bands, as --bands 4,3,2",
            scene.bands().len()
        )));
    }
    if info.kind != SampleKind::U8 && settings.scale.is_none() {
        return Err(MapError::Mismatch(format!(
            "{name} holds {} samples; say which become black and white with --scale LOW:HIGH or --scale p2:98",
            info.kind.name()
        )));
    }
    if settings.holdout.is_some() && info.width / side * (info.height / side) < 2 {
        return Err(MapError::Mismatch(format!(
            "{name} has {} x {} pixels, one tile of {side} x {side} without shared ground, and one alone cannot be held \
             out of training; take smaller ones (--side)",
            info.width, info.height
        )));
    }
    let starts = |length: usize| -> Vec<usize> {
        let mut starts: Vec<usize> = (0..length / side).map(|i| i * side).collect();
        if !length.is_multiple_of(side) {
            starts.push(length - side);
        }
        starts
    };
    let (across, down) = (starts(info.width), starts(info.height));
    // A last tile that was moved back belongs to the block of the one before it.
    let tiles = block_side(info.width, info.height, side);
    let block = |i: usize, length: usize| i.min((length / side).saturating_sub(1)) / tiles;
    let unknown = classes.classes.iter().find(|class| class.ignored).map(|class| class.id);
    let folder = |held_out: bool| -> PathBuf {
        match settings.holdout {
            None => out.to_path_buf(),
            Some(_) => out.join(if held_out { "val" } else { "train" }),
        }
    };
    for held_out in [false, true] {
        let folder = folder(held_out);
        std::fs::create_dir_all(&folder).map_err(|error| MapError::io(&folder, &error))?;
    }
    let io = |error: hectare_data::DataError| MapError::Mismatch(error.to_string());
    let held_blocks = held_blocks(info.width, info.height, tiles, settings);
    let mut counts = TileCounts::default();
    let mut patch = Patch::default();
    for (row, &y) in down.iter().enumerate() {
        for (column, &x) in across.iter().enumerate() {
            let index = row * across.len() + column;
            let window = Window { x, y, width: side, height: side };
            scene.read(window, &mut patch)?;
            let mut ids = match labels.as_deref_mut() {
                Some(labels) => Some(labels.read(window, classes)?),
                None => None,
            };
            if let Some(ids) = &mut ids {
                ids.iter_mut()
                    .zip(&patch.valid)
                    .filter(|(_, valid)| !**valid)
                    .for_each(|(id, _)| *id = UNLABELLED);
            }
            let whole = match &ids {
                Some(ids) => {
                    let known = ids.iter().filter(|id| **id != UNLABELLED).count();
                    known == ids.len() || (unknown.is_some() && known * 2 >= ids.len())
                }
                None => patch.valid.iter().all(|valid| *valid),
            };
            progress(index + 1, across.len() * down.len());
            if !whole {
                counts.left_out += 1;
                continue;
            }
            let place = block(row, info.height) * blocks(info.width, side, tiles) + block(column, info.width);
            let held_out = held_blocks.contains(&place);
            let folder = folder(held_out);
            let image = Image::from_fn(side, side, |x, y| {
                let at = y * side + x;
                [0, 1, 2].map(|band| match (&settings.scale, patch.valid[at]) {
                    (_, false) => 0,
                    (None, true) => patch.samples.get(at * 3 + band) as u8,
                    (Some(scale), true) => scale[band].level(patch.samples.get(at * 3 + band)).round() as u8,
                })
            });
            write_png(&image, &folder.join(format!("{index:04}_sat.png"))).map_err(io)?;
            if let Some(mut ids) = ids {
                if let Some(unknown) = unknown {
                    ids.iter_mut().filter(|id| **id == UNLABELLED).for_each(|id| *id = unknown);
                }
                let mask = Mask { width: side, height: side, ids };
                write_mask_rgb(&mask, classes, &folder.join(format!("{index:04}_mask.png"))).map_err(io)?;
            }
            counts.tiles += 1;
            counts.held_out += usize::from(held_out);
        }
    }
    Ok(counts)
}

/// Blocks of `tiles` tiles along a side of a scene.
fn blocks(length: usize, side: usize, tiles: usize) -> usize {
    (length / side).div_ceil(tiles)
}

/// Tiles on each side of a block that is held out as a whole, as with scenes that are trained on.
fn block_side(width: usize, height: usize, side: usize) -> usize {
    let enough = |tiles: &usize| blocks(width, side, *tiles) * blocks(height, side, *tiles) >= LEAST_BLOCKS;
    BLOCK_SIDES.into_iter().find(enough).unwrap_or(1)
}

/// The blocks of ground that are held out: as near to the share as whole blocks allow, and at least one on each side.
fn held_blocks(width: usize, height: usize, tiles: usize, settings: &TileSettings) -> Vec<usize> {
    let Some(share) = settings.holdout else { return Vec::new() };
    let n = blocks(width, settings.side, tiles) * blocks(height, settings.side, tiles);
    let count = ((share * n as f64).round() as usize).clamp(1, n.saturating_sub(1).max(1));
    shuffle(&Key { seed: settings.seed, stream: 0, step: 0 }, n).into_iter().take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kind, noise};
    use hectare_data::{read_image, read_mask};

    #[test]
    fn tiles_and_masks_are_the_scenes_pixels() {
        let dir = tempfile::tempdir().unwrap();
        let (path, labels_path, out) =
            (dir.path().join("scene.tif"), dir.path().join("labels.tif"), dir.path().join("out"));
        let kind = |bands| Kind::new(100, 70, bands, SampleKind::U8).on_ground(32632, 10.0, [5e5, 5.2e6]);
        kind(3).write(&path, |x, y, band| f64::from(noise(x, y, band)));
        let class = |x: usize, y: usize| noise(x / 8, y / 8, 5) % 6;
        let classes = ClassMap::course();
        let settings = TileSettings { side: 32, scale: None, holdout: None, seed: 0 };
        // On the same grid, and on one of 5 m pixels in the same place.
        for finer in [false, true] {
            if finer {
                let kind = Kind::new(200, 140, 1, SampleKind::U8).on_ground(32632, 5.0, [5e5, 5.2e6]);
                kind.write(&labels_path, |x, y, _| f64::from(class(x / 2, y / 2)));
            } else {
                kind(1).write(&labels_path, |x, y, _| f64::from(class(x, y)));
            }
            let mut scene = Scene::open(&path).unwrap();
            let mut labels = Labels::open(&labels_path, &scene, &classes, "lc").unwrap();
            assert_eq!(labels.note().is_some(), finer);
            let said =
                cut_tiles(&mut scene, Some(&mut labels), &classes, &settings, &out, &|_, _| {}).unwrap();
            assert_eq!(said, TileCounts { tiles: 4 * 3, held_out: 0, left_out: 0 });
            for (row, y0) in [0, 32, 38].into_iter().enumerate() {
                for (column, x0) in [0, 32, 64, 68].into_iter().enumerate() {
                    let index = row * 4 + column;
                    let image = read_image(&out.join(format!("{index:04}_sat.png"))).unwrap();
                    let mask = read_mask(&out.join(format!("{index:04}_mask.png")), &classes).unwrap();
                    for at in 0..32 * 32 {
                        let (x, y) = (x0 + at % 32, y0 + at / 32);
                        assert_eq!(image.pixels[at * 3 + 1], noise(x, y, 1));
                        assert_eq!(mask.ids[at], class(x, y), "{finer} {x} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn polygons_nodata_and_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fields, out) =
            (dir.path().join("scene.tif"), dir.path().join("fields.geojson"), dir.path().join("out"));
        let mut kind = Kind::new(320, 320, 3, SampleKind::U16).on_ground(32632, 10.0, [0.0, 3200.0]);
        kind.nodata = Some("0");
        kind.write(&path, |x, y, _| if x < 20 && y < 20 { 0.0 } else { 1000.0 });
        let crs = r#""crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}"#;
        let text = format!(
            r#"{{"type": "FeatureCollection", {crs}, "features": [{{"type": "Feature", "properties": {{"lc": "water"}},
            "geometry": {{"type": "Polygon", "coordinates": [[[0, 0], [3200, 0], [3200, 3200], [0, 3200], [0, 0]]]}}}}]}}"#
        );
        std::fs::write(&fields, text).unwrap();
        let classes = ClassMap::course();
        let mut scene = Scene::open(&path).unwrap();
        let mut labels = Labels::open(&fields, &scene, &classes, "lc").unwrap();
        let scale = Some(vec![Scale { low: 0.0, high: 2000.0 }; 3]);
        let settings = TileSettings { side: 20, scale, holdout: Some(0.4), seed: 3 };
        let said = cut_tiles(&mut scene, Some(&mut labels), &classes, &settings, &out, &|_, _| {}).unwrap();
        assert_eq!((said.tiles, said.left_out), (255, 1));
        // Whole blocks of 4 x 4 tiles.
        assert!(said.held_out > 0 && said.held_out < 255);
        for index in 1..256 {
            let name = format!("{index:04}_mask.png");
            let (held, trained) =
                (out.join("val").join(&name).exists(), out.join("train").join(&name).exists());
            assert!(held != trained);
            let corner = index / 16 / 4 * 4 * 16 + index % 16 / 4 * 4;
            let corner = if corner == 0 { 17 } else { corner };
            assert_eq!(out.join("val").join(format!("{corner:04}_mask.png")).exists(), held);
        }
        let folder = if out.join("val/0001_sat.png").exists() { "val" } else { "train" };
        let image = read_image(&out.join(folder).join("0001_sat.png")).unwrap();
        assert!(image.pixels.iter().all(|level| *level == 128));
        let mask = read_mask(&out.join(folder).join("0001_mask.png"), &classes).unwrap();
        assert!(mask.ids.iter().all(|id| *id == 4));
        assert!(Labels::open(&fields, &scene, &classes, "crop").is_err());
    }

    #[test]
    fn a_small_scene_is_held_out_in_smaller_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scene.tif");
        let classes = ClassMap::course();
        let kind = |width, height| Kind::new(width, height, 3, SampleKind::U8);
        let cut = |holdout: f64, out: &str| {
            let settings = TileSettings { side: 20, scale: None, holdout: Some(holdout), seed: 1 };
            let mut scene = Scene::open(&path).unwrap();
            cut_tiles(&mut scene, None, &classes, &settings, &dir.path().join(out), &|_, _| {})
        };
        assert_eq!([block_side(320, 320, 20), block_side(300, 160, 20), block_side(90, 90, 20)], [4, 2, 1]);
        for (i, (width, height, share)) in
            [(90, 90, 0.9), (90, 90, 0.2), (45, 25, 0.9)].into_iter().enumerate()
        {
            kind(width, height).write(&path, |x, y, band| f64::from(noise(x, y, band)));
            let said = cut(share, &format!("out{i}")).unwrap();
            assert!(said.held_out > 0 && said.held_out < said.tiles, "{width} x {height}: {said:?}");
        }
        // Tiles that share ground are no two blocks.
        kind(30, 30).write(&path, |x, y, band| f64::from(noise(x, y, band)));
        let error = cut(0.5, "none").unwrap_err().to_string();
        assert!(error.contains("--side") && !dir.path().join("none").exists(), "{error}");
    }
}
