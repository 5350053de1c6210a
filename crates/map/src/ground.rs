//! Scenes with labels as the ground that networks are trained on.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hectare_data::{DataError, Ground, GroundScene, Mask, Raster, UNLABELLED, same_resolution};
use hectare_net::{ClassMap, Normalisation, SceneBands};

use crate::recipe::spread_samples;
use crate::scene::CACHE_BYTES;
use crate::{Labels, MapError, Patch, SampleKind, Scale, Scene, Window};

/// How samples become levels.
#[derive(Clone, Debug, PartialEq)]
pub enum Levels {
    /// The samples that become 0 and 255, for all bands or for each.
    Fixed(Vec<Scale>),
    /// Percentiles, in per cent: of all scenes together that a network learns from, of each that it is applied to.
    Percentiles(f64, f64),
}

/// What to open.
#[derive(Clone, Debug)]
pub struct GroundSettings<'a> {
    /// The scenes.
    pub scenes: &'a [PathBuf],
    /// A raster of classes or polygons, for all scenes.
    pub labels: &'a Path,
    /// The field of the polygons that holds their class.
    pub class_field: &'a str,
    /// The classes.
    pub classes: &'a ClassMap,
    /// Bands in the network's order, counted from 0; of `None` as `known` says, else all.
    pub bands: Option<&'a [usize]>,
    /// How samples become levels; of `None` as `known` says, else 8-bit samples are levels.
    pub levels: Option<&'a Levels>,
    /// What a trained model says of bands and levels.
    pub known: Option<&'a SceneBands>,
}

/// Scenes that are open, with their labels.
pub struct SceneGround {
    scenes: Vec<GroundScene>,
    open: Vec<Mutex<Open>>,
    classes: ClassMap,
    bands: SceneBands,
    scale: Option<Vec<Scale>>,
    statistics: Normalisation,
    resolution_m: Option<f64>,
    notes: Vec<String>,
}

struct Open {
    scene: Scene,
    labels: Labels,
    patch: Patch,
}

/// A number that JSON gives back to the last bit.
fn short(value: f64) -> f64 {
    format!("{}", value as f32).parse().unwrap_or(value)
}

impl SceneGround {
    /// Opens scenes and labels.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit each other, bands that are not there, samples of more than 8 bits without a
    /// scale, scenes of different resolution.
    pub fn open(settings: &GroundSettings<'_>) -> Result<SceneGround, MapError> {
        let fail = |text: String| Err(MapError::Mismatch(text));
        let cache = CACHE_BYTES / settings.scenes.len().max(1);
        let open = |path: &PathBuf| Scene::open_with_cache(path, cache);
        let mut scenes = settings.scenes.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = scenes.first() else { return fail("there is no scene to train on".into()) };
        let bands = match (settings.bands, settings.known) {
            (Some(bands), _) => bands.to_vec(),
            (None, Some(known)) => known.bands.clone(),
            (None, None) => first.info().colour_bands(),
        };
        for scene in &mut scenes {
            scene.select(&bands)?;
        }
        let resolution_m = one_resolution(&scenes)?;
        let known = settings.known.filter(|known| known.bands == bands && !known.scale.is_empty());
        let mut samples: Vec<Vec<f32>> = vec![Vec::new(); bands.len()];
        for scene in &mut scenes {
            let own = spread_samples(scene)?;
            samples.iter_mut().zip(own).for_each(|(all, own)| all.extend(own));
        }
        if samples.iter().any(Vec::is_empty) {
            return fail(format!("{} holds no data", names(settings.scenes)));
        }
        let scale = match (settings.levels, known) {
            (Some(Levels::Fixed(scales)), _) => Some(Scale::for_bands(scales, bands.len())?),
            (Some(Levels::Percentiles(low, high)), _) => {
                let all = samples.iter_mut().map(|samples| Scale::between(samples, *low, *high));
                Some(all.map(|scale| Scale { low: short(scale.low), high: short(scale.high) }).collect())
            }
            (None, Some(known)) => {
                Some(known.scale.iter().map(|[low, high]| Scale { low: *low, high: *high }).collect())
            }
            (None, None) => None,
        };
        if let (None, Some(scene)) = (&scale, scenes.iter().find(|scene| scene.info().kind != SampleKind::U8))
        {
            return fail(format!(
                "{} holds {} samples; say which become levels 0 and 255 with --levels LOW:HIGH (as 0:3000) or --levels \
                 p2:98 for percentiles of the scene",
                scene.info().path.display(),
                scene.info().kind.name()
            ));
        }
        let statistics = statistics(&samples, scale.as_deref());
        let mut notes = Vec::new();
        let mut described: Vec<GroundScene> = Vec::new();
        let mut all = Vec::new();
        for scene in scenes {
            let labels = Labels::open(settings.labels, &scene, settings.classes, settings.class_field)?;
            let info = scene.info();
            let stem = info.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let taken = |name: &str| described.iter().any(|other| other.name == name);
            let number = (2..).map(|n| format!("{stem}_{n}")).find(|name| !taken(name));
            let name = if taken(&stem) { number.unwrap_or_default() } else { stem };
            notes.extend(labels.note().map(|note| format!("{name}: {note}")));
            described.push(GroundScene { name, width: info.width, height: info.height });
            all.push(Mutex::new(Open { scene, labels, patch: Patch::default() }));
        }
        let levels = scale.iter().flatten().map(|scale| [scale.low, scale.high]).collect();
        Ok(SceneGround {
            scenes: described,
            open: all,
            classes: settings.classes.clone(),
            bands: SceneBands { bands, scale: levels },
            scale,
            statistics,
            resolution_m,
            notes,
        })
    }
}

fn names(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

/// The side of a pixel, if all scenes tell it and agree within a tenth.
fn one_resolution(scenes: &[Scene]) -> Result<Option<f64>, MapError> {
    let mut known: Option<(f64, &Scene)> = None;
    for scene in scenes {
        let Some(pixel_m) = scene.info().pixel_m() else { continue };
        match known {
            None => known = Some((pixel_m, scene)),
            Some((first_m, first)) if !same_resolution(pixel_m, first_m) => {
                return Err(MapError::Mismatch(format!(
                    "a pixel of {} is {first_m:.3} m wide and one of {} {pixel_m:.3} m; a network learns one \
                     resolution: bring one scene to the other's first (gdalwarp -tr)",
                    first.info().path.display(),
                    scene.info().path.display()
                )));
            }
            Some(_) => {}
        }
    }
    Ok(known.map(|(pixel_m, _)| short(pixel_m)))
}

/// Mean and standard deviation of each band's levels, as shares of 255.
fn statistics(samples: &[Vec<f32>], scale: Option<&[Scale]>) -> Normalisation {
    let mut found = Normalisation { mean: Vec::new(), std: Vec::new() };
    for (band, samples) in samples.iter().enumerate() {
        let level =
            |sample: &f32| f64::from(scale.map_or(*sample, |scale| scale[band].level(*sample))) / 255.0;
        let mean = samples.iter().map(level).sum::<f64>() / samples.len() as f64;
        let spread = samples.iter().map(|sample| (level(sample) - mean).powi(2)).sum::<f64>();
        let std = (spread / samples.len() as f64).sqrt();
        found.mean.push(mean as f32);
        // A band of one value tells nothing; a deviation of one level keeps it finite.
        found.std.push(std.max(1.0 / 255.0) as f32);
    }
    found
}

impl Ground for SceneGround {
    fn scenes(&self) -> &[GroundScene] {
        &self.scenes
    }

    fn bands(&self) -> &SceneBands {
        &self.bands
    }

    fn statistics(&self) -> &Normalisation {
        &self.statistics
    }

    fn resolution_m(&self) -> Option<f64> {
        self.resolution_m
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn read(&self, scene: usize, [x, y, width, height]: [usize; 4]) -> Result<(Raster, Mask), DataError> {
        let fail = |error: MapError| DataError::Scene { reason: error.to_string() };
        // A panic of another thread leaves nothing behind that the next read does not overwrite.
        let mut open = self.open[scene].lock().unwrap_or_else(PoisonError::into_inner);
        let Open { scene, labels, patch } = &mut *open;
        let window = Window { x, y, width, height };
        scene.read(window, patch).map_err(fail)?;
        let mut ids = labels.read(window, &self.classes).map_err(fail)?;
        let bands = self.bands.bands.len();
        let levels = match &self.scale {
            None => patch.samples.iter().collect(),
            Some(scale) => {
                let level = |(at, value): (usize, f32)| scale[at % bands].level(value);
                patch.samples.iter().enumerate().map(level).collect()
            }
        };
        ids.iter_mut().zip(&patch.valid).filter(|(_, valid)| !**valid).for_each(|(id, _)| *id = UNLABELLED);
        let raster = Raster { width, height, bands, levels, valid: patch.valid.clone() };
        Ok((raster, Mask { width, height, ids }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kind, noise};

    #[test]
    fn windows_of_four_bands_with_polygons_of_another_system() {
        let dir = tempfile::tempdir().unwrap();
        let (path, labels) = (dir.path().join("scene.tif"), dir.path().join("fields.geojson"));
        let mut kind = Kind::new(60, 50, 4, SampleKind::U16).on_ground(32632, 10.0, [500_000.0, 5_000_000.0]);
        kind.nodata = Some("0");
        let value = |x: usize, y: usize, band: usize| match x {
            0..5 => 0.0,
            _ => 100.0 * (band + 1) as f64 + f64::from(noise(x, y, band)),
        };
        kind.write(&path, value);
        // Longitude 9 is the central meridian of the zone, easting 500,000: the eastern half beyond x 30 is class 4.
        let text = r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"lc": "water"},
            "geometry": {"type": "Polygon", "coordinates":
            [[[9.0038, 45.0], [9.1, 45.0], [9.1, 45.3], [9.0038, 45.3], [9.0038, 45.0]]]}}]}"#;
        std::fs::write(&labels, text).unwrap();
        let classes = ClassMap::course();
        let scenes = [path.clone()];
        let fixed = Levels::Fixed(vec![Scale { low: 0.0, high: 1000.0 }]);
        let settings = GroundSettings {
            scenes: &scenes,
            labels: &labels,
            class_field: "lc",
            classes: &classes,
            bands: Some(&[3, 0, 1, 2]),
            levels: Some(&fixed),
            known: None,
        };
        let ground = SceneGround::open(&settings).unwrap();
        assert!((ground.resolution_m().unwrap() - 10.0).abs() < 1e-6);
        assert!(ground.notes()[0].contains("32632"), "{:?}", ground.notes());
        assert_eq!(ground.bands(), &SceneBands { bands: vec![3, 0, 1, 2], scale: vec![[0.0, 1000.0]; 4] });
        let (raster, mask) = ground.read(0, [2, 10, 50, 20]).unwrap();
        assert_eq!((raster.size(), raster.bands), ([50, 20], 4));
        for (at, pixel) in raster.levels.chunks_exact(4).enumerate() {
            let (x, y) = (2 + at % 50, 10 + at / 50);
            assert_eq!(raster.valid[at], x >= 5);
            let expected = [3, 0, 1, 2].map(|band| (value(x, y, band) / 1000.0 * 255.0) as f32);
            assert!(pixel.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{pixel:?} {expected:?}");
            // 0.0038 degrees are 299 to 300 m here.
            assert_eq!(mask.ids[at], if x >= 30 { 4 } else { UNLABELLED }, "{x} {y}");
        }
        let mean = ground.statistics().mean.clone();
        assert!(
            (f64::from(mean[0]) - 0.527).abs() < 0.01 && (f64::from(mean[1]) - 0.227).abs() < 0.01,
            "{mean:?}"
        );
        // Percentiles are short numbers, and what a model says stands in for flags.
        let percentiles = Levels::Percentiles(0.0, 100.0);
        let all = SceneGround::open(&GroundSettings {
            bands: None,
            levels: Some(&percentiles),
            ..settings.clone()
        });
        assert_eq!(all.unwrap().bands().scale[1], [200.0, 455.0]);
        let known = ground.bands().clone();
        let same = GroundSettings { bands: None, levels: None, known: Some(&known), ..settings.clone() };
        assert_eq!(SceneGround::open(&same).unwrap().bands(), &known);
        let error = SceneGround::open(&GroundSettings { levels: None, ..settings.clone() }).err().unwrap();
        assert!(error.to_string().contains("--levels"), "{error}");
        let error =
            SceneGround::open(&GroundSettings { bands: Some(&[4]), ..settings.clone() }).err().unwrap();
        assert!(error.to_string().contains("no band 5"), "{error}");
    }
}
