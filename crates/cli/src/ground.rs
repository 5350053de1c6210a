//! Scenes with labels, opened for training.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hectare_data::{DataError, Ground};
use hectare_map::{GroundSettings, Levels, SceneGround};
use hectare_train::GroundRequest;

use crate::commands::predict::scene_args::{ScaleArg, scale};

/// Whether a path is one of a TIFF file.
pub fn is_scene(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
    ["tif", "tiff"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Opens what the settings of a training run name.
///
/// # Errors
/// Scenes or labels that cannot be used.
pub fn open_ground(request: &GroundRequest<'_>) -> Result<Arc<dyn Ground>, DataError> {
    let fail = |reason: String| DataError::Scene { reason };
    let levels = match request.levels.map(scale) {
        None => None,
        Some(Ok(ScaleArg::Fixed(scales))) => Some(Levels::Fixed(scales)),
        Some(Ok(ScaleArg::Percentiles(low, high))) => Some(Levels::Percentiles(low, high)),
        Some(Err(problem)) => {
            return Err(fail(format!("--levels {}: {problem}", request.levels.unwrap_or(""))));
        }
    };
    // The settings are checked to count from 1.
    let bands = request.bands.map(|bands| bands.iter().map(|band| band - 1).collect::<Vec<_>>());
    let settings = GroundSettings {
        scenes: &scenes(request.scenes)?,
        labels: request.labels,
        class_field: request.class_field,
        classes: request.classes,
        bands: bands.as_deref(),
        levels: levels.as_ref(),
        known: request.known,
    };
    let ground = SceneGround::open(&settings).map_err(|error| fail(error.to_string()))?;
    Ok(Arc::new(ground))
}

/// The scene itself, those in a folder, or those that a text file lists.
fn scenes(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable =
        |error: std::io::Error| DataError::Scene { reason: format!("{}: {error}", path.display()) };
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(unreadable)?;
        let mut found: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_scene(path)).collect();
        found.sort();
        if found.is_empty() {
            return Err(DataError::Empty { path: path.into(), expected: "scenes (.tif)".into() });
        }
        return Ok(found);
    }
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt")) {
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        return Ok(lines.map(|line| folder.join(line)).collect());
    }
    Ok(vec![path.to_path_buf()])
}
