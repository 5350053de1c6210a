//! Folders, names and files written whole.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use hectare_net::temporary_in;

use crate::DataError;

/// Whether a name ends as pictures do.
pub(crate) fn is_picture(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    ["png", "jpg", "jpeg"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// File name without its ending.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// File name with its ending.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Entries of a folder, sorted by name, hidden ones left out: (files, folders).
pub(crate) fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    let mut files = Vec::new();
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, &e))? {
        let path = entry.map_err(|e| DataError::io(folder, &e))?.path();
        if file_name(&path).starts_with('.') {
            continue;
        }
        if path.is_dir() { folders.push(path) } else { files.push(path) }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

/// The name of what is made from an input: its stem, without `_sat`.
///
/// `0010_sat.jpg` gives `0010` (and so the mask `0010_mask.png`), `tile.png` gives `tile`.
pub fn output_stem(path: &Path) -> String {
    let stem = stem(path);
    match stem.strip_suffix("_sat") {
        Some(short) if !short.is_empty() => short.into(),
        _ => stem,
    }
}

/// Refuses two inputs whose outputs would have one name.
///
/// # Errors
/// [`DataError::DuplicateStem`].
pub fn check_output_stems(paths: &[PathBuf]) -> Result<(), DataError> {
    let mut seen: HashMap<String, &PathBuf> = HashMap::new();
    for path in paths {
        let stem = output_stem(path);
        if let Some(first) = seen.insert(stem.clone(), path) {
            return Err(DataError::DuplicateStem { stem, first: first.clone(), second: path.clone() });
        }
    }
    Ok(())
}

/// The pictures that a command's inputs mean: files as they are; folders their pictures, without those whose
/// stem ends in `_mask`. Sorted by file name.
///
/// # Errors
/// An input that is not there, a folder without pictures, two inputs of one output name.
pub fn list_images(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    let mut images = Vec::new();
    for input in inputs {
        if input.is_dir() {
            let (files, _) = entries(input)?;
            let before = images.len();
            images.extend(files.into_iter().filter(|f| is_picture(f) && !stem(f).ends_with("_mask")));
            if images.len() == before {
                let expected = "pictures (.png, .jpg, .jpeg) other than *_mask.png".into();
                return Err(DataError::Empty { path: input.clone(), expected });
            }
        } else if input.exists() {
            images.push(input.clone());
        } else {
            return Err(DataError::NotFound { path: input.clone() });
        }
    }
    images.sort_by_cached_key(|p| (file_name(p), p.clone()));
    check_output_stems(&images)?;
    Ok(images)
}

/// Writes a file whole or not at all: a temporary file in the same folder, synchronised, renamed.
///
/// # Errors
/// When the folder is not there or cannot be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let fail = |e: std::io::Error| DataError::Io { path: path.into(), reason: e.to_string() };
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut file = temporary_in(folder, ".tmp").map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}
