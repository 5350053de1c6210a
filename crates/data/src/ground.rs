//! Ground: scenes with the classes of their pixels, read by windows; and what pictures cut from a scene say of it.

use std::fs;
use std::path::Path;

use hectare_net::{Normalisation, SceneBands};
use serde::{Deserialize, Serialize};

use crate::{DataError, Mask, Raster, write_atomic};

/// A scene of a [`Ground`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroundScene {
    /// What to call it, without folder and ending.
    pub name: String,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

/// Scenes whose pixels have classes. Windows can be read from any thread; the same window is always the same.
pub trait Ground: Send + Sync {
    /// The scenes, in a fixed order.
    fn scenes(&self) -> &[GroundScene];

    /// Which bands are read and how their samples become levels, as a model's description keeps it.
    fn bands(&self) -> &SceneBands;

    /// Mean and standard deviation of each band over the ground, as shares of 255 levels.
    fn statistics(&self) -> &Normalisation;

    /// Metres on the ground that a pixel stands for, where the coordinates tell.
    fn resolution_m(&self) -> Option<f64>;

    /// Lines for people on what was done to make scenes and labels fit.
    fn notes(&self) -> &[String];

    /// A window (left, top, width, height) of a scene, and the classes of its pixels:
    /// [`UNLABELLED`](crate::UNLABELLED) where there is no label or no data.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, a label that is none of the classes.
    fn read(&self, scene: usize, window: [usize; 4]) -> Result<(Raster, Mask), DataError>;
}

/// Whether two resolutions in metres are alike enough for one network: within a tenth.
pub fn same_resolution(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() <= 0.1
}

/// Name of the file in a folder of pictures that tells of the scene they are cut from.
pub const GROUND_FILE: &str = "ground.json";

/// What pictures that were cut from a scene say of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroundFacts {
    /// Metres on the ground that a pixel stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground_resolution: Option<f64>,
    /// Which bands of the scene are red, green and blue, and how their samples became levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<SceneBands>,
}

impl GroundFacts {
    /// Reads the facts in a folder; nothing where it has none.
    ///
    /// # Errors
    /// A file that cannot be read or does not hold what it should.
    pub fn read(folder: &Path) -> Result<Option<GroundFacts>, DataError> {
        let path = folder.join(GROUND_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|error| DataError::io(&path, &error))?;
        let facts: GroundFacts =
            serde_json::from_str(&text).map_err(|error| DataError::line(&path, error.line(), error))?;
        match facts.ground_resolution {
            Some(metres) if !(metres > 0.0 && metres.is_finite()) => {
                Err(DataError::line(&path, 0, "ground_resolution must be above 0"))
            }
            _ => Ok(Some(facts)),
        }
    }

    /// Writes the facts into a folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), DataError> {
        let text = serde_json::to_string_pretty(self).expect("the facts have string keys only");
        write_atomic(&folder.join(GROUND_FILE), format!("{text}\n").as_bytes())
    }
}

/// Ground that is painted by functions, for tests.
#[cfg(test)]
pub(crate) struct Painted {
    pub scenes: Vec<GroundScene>,
    pub bands: SceneBands,
    pub statistics: Normalisation,
    /// The class at (scene, x, y).
    pub class: fn(usize, usize, usize) -> u8,
}

#[cfg(test)]
impl Painted {
    pub fn new(sizes: &[[usize; 2]], bands: usize, class: fn(usize, usize, usize) -> u8) -> Painted {
        let scene = |(i, [width, height]): (usize, &[usize; 2])| GroundScene {
            name: format!("scene{i}"),
            width: *width,
            height: *height,
        };
        Painted {
            scenes: sizes.iter().enumerate().map(scene).collect(),
            bands: SceneBands { bands: (0..bands).collect(), scale: Vec::new() },
            statistics: Normalisation { mean: vec![0.5; bands], std: vec![0.25; bands] },
            class,
        }
    }
}

#[cfg(test)]
impl Ground for Painted {
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
        None
    }

    fn notes(&self) -> &[String] {
        &[]
    }

    /// The first band tells the column, the second the row, others their number; where there is no class there is no data.
    fn read(
        &self,
        scene: usize,
        [left, top, width, height]: [usize; 4],
    ) -> Result<(Raster, Mask), DataError> {
        let own = &self.scenes[scene];
        assert!(left + width <= own.width && top + height <= own.height, "within the scene");
        let bands = self.bands.bands.len();
        let mask = Mask::from_fn(width, height, |x, y| (self.class)(scene, left + x, top + y));
        let valid = mask.ids.iter().map(|id| *id != crate::UNLABELLED).collect();
        let mut levels = Vec::new();
        for at in 0..width * height {
            let all = [left + at % width, top + at / width];
            levels.extend((0..bands).map(|band| all.get(band).map_or(band, |n| n % 256) as f32));
        }
        Ok((Raster { width, height, bands, levels, valid }, mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_round_trip_and_damaged_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(GroundFacts::read(dir.path()), Ok(None));
        let scene = SceneBands { bands: vec![3, 2, 1], scale: vec![[0.0, 3000.0]; 3] };
        let facts = GroundFacts { ground_resolution: Some(10.5), scene: Some(scene) };
        facts.write(dir.path()).unwrap();
        assert_eq!(GroundFacts::read(dir.path()), Ok(Some(facts)));
        for wrong in ["{", "{\"ground_resolution\": -1}", "{\"metres\": 3}"] {
            fs::write(dir.path().join(GROUND_FILE), wrong).unwrap();
            let error = GroundFacts::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(GROUND_FILE), "{error}");
        }
    }
}
