//! Scenes with labels, opened for training.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hectare_data::{DataError, Ground};
use hectare_map::{GroundSettings, SceneGround};
use hectare_train::GroundRequest;

use crate::commands::predict::scene_args::scale;
use crate::scene_files;

/// Opens what the settings of a training run name.
///
/// # Errors
/// Scenes or labels that cannot be used.
pub fn open_ground(request: &GroundRequest<'_>) -> Result<Arc<dyn Ground>, DataError> {
    let fail = |reason: String| DataError::Scene { reason };
    let read = |text: &str| scale(text).map_err(|problem| fail(format!("--levels {text}: {problem}")));
    let levels = request.levels.map(read).transpose()?;
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
        let found = scene_files::in_folder(path).map_err(unreadable)?;
        if found.is_empty() {
            return Err(DataError::Empty { path: path.into(), expected: "scenes (.tif)".into() });
        }
        return Ok(found);
    }
    if scene_files::is_list(path) {
        return scene_files::in_list(path).map_err(unreadable);
    }
    Ok(vec![path.to_path_buf()])
}
