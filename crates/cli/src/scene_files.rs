//! Files of scenes: by their name, in a folder, or in a list.

use std::path::{Path, PathBuf};
use std::{fs, io};

use hectare_data::{DataError, list_images};

use crate::failure::Failure;

/// Whether a path is one of a TIFF file.
pub fn is_scene(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tif") || e.eq_ignore_ascii_case("tiff"))
}

/// Whether a path is one of a list of scenes.
pub fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt"))
}

/// The scenes of a folder, sorted.
///
/// # Errors
/// When it cannot be read.
pub fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut scenes: Vec<PathBuf> = entries.filter(|path| is_scene(path)).collect();
    scenes.sort();
    Ok(scenes)
}

/// Refuses a folder that holds pictures beside its `scene`: which of them are meant is not for the program to guess.
///
/// # Errors
/// Names a scene and a picture, with the remedy (exit code 2).
pub fn check_alone(scene: &Path, folder: &Path, remedy: &str) -> Result<(), Failure> {
    let picture = match list_images(&[folder.to_path_buf()]) {
        Ok(pictures) => pictures.into_iter().next(),
        Err(DataError::DuplicateStem { first, .. }) => Some(first),
        Err(_) => None,
    };
    let Some(picture) = picture else { return Ok(()) };
    Err(Failure::input(format_args!(
        "{} holds both scenes and pictures: {} and {}",
        folder.display(),
        scene.display(),
        picture.display()
    ))
    .help(remedy))
}

/// The scenes of a list, one path a line, relative to it; lines that begin with # are not meant.
///
/// # Errors
/// When it cannot be read.
pub fn in_list(list: &Path) -> io::Result<Vec<PathBuf>> {
    let text = fs::read_to_string(list)?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| folder.join(line)).collect())
}
