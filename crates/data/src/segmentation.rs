//! Data sets of one class per pixel: pairs of a picture and a mask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::classification::is_header;
use crate::files::{entries, file_name, is_picture, stem};
use crate::{DataError, csv, output_stem};

/// A picture and its mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegSample {
    /// The name both share, such as `0010`.
    pub stem: String,
    /// The picture.
    pub image: PathBuf,
    /// The mask.
    pub mask: PathBuf,
}

/// A segmentation data set, sorted by stem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentationSet {
    /// The folder or list that was opened.
    pub root: PathBuf,
    /// The pairs.
    pub samples: Vec<SegSample>,
    /// Pictures without a mask and masks without a picture.
    pub orphans: Vec<PathBuf>,
}

impl SegmentationSet {
    /// Opens a data set in one of its layouts:
    ///
    /// * a folder of `NNNN_sat.*` and `NNNN_mask.png` (the `_sat` may be missing);
    /// * a folder with `images/` and `masks/`, paired by stem (`_sat` and `_mask` may be there);
    /// * a CSV list of `image,mask` (a header is optional; files relative to the list).
    ///
    /// # Errors
    /// A path that is not there, no pair at all, two pictures or two masks of one stem.
    pub fn open(path: &Path) -> Result<SegmentationSet, DataError> {
        if !path.exists() {
            return Err(DataError::NotFound { path: path.into() });
        }
        let set = if !path.is_dir() {
            read_list(path)?
        } else {
            let (files, folders) = entries(path)?;
            let find = |name: &str| folders.iter().find(|f| file_name(f).eq_ignore_ascii_case(name));
            match (find("images"), find("masks")) {
                (Some(images), Some(masks)) => pair(path, entries(images)?.0, entries(masks)?.0)?,
                _ => {
                    let (masks, images) = files.into_iter().partition(|f| stem(f).ends_with("_mask"));
                    pair(path, images, masks)?
                }
            }
        };
        if set.samples.is_empty() {
            let expected = "pairs like 0010_sat.jpg + 0010_mask.png, or folders images/ and masks/".into();
            return Err(DataError::Empty { path: path.into(), expected });
        }
        Ok(set)
    }
}

fn mask_stem(path: &Path) -> String {
    let stem = stem(path);
    match stem.strip_suffix("_mask") {
        Some(short) => short.into(),
        None => stem,
    }
}

/// Files by stem; two of one stem are an error.
fn by_stem(files: Vec<PathBuf>, stem: fn(&Path) -> String) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let mut map = BTreeMap::new();
    for file in files.into_iter().filter(|f| is_picture(f)) {
        let stem = stem(&file);
        if let Some(first) = map.insert(stem.clone(), file.clone()) {
            return Err(DataError::DuplicateStem { stem, first, second: file });
        }
    }
    Ok(map)
}

fn pair(root: &Path, images: Vec<PathBuf>, masks: Vec<PathBuf>) -> Result<SegmentationSet, DataError> {
    let images = by_stem(images, output_stem)?;
    let mut masks = by_stem(masks, mask_stem)?;
    let mut samples = Vec::with_capacity(images.len());
    let mut orphans = Vec::new();
    for (stem, image) in images {
        match masks.remove(&stem) {
            Some(mask) => samples.push(SegSample { stem, image, mask }),
            None => orphans.push(image),
        }
    }
    orphans.extend(masks.into_values());
    orphans.sort();
    Ok(SegmentationSet { root: root.into(), samples, orphans })
}

fn read_list(path: &Path) -> Result<SegmentationSet, DataError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut seen: BTreeMap<String, SegSample> = BTreeMap::new();
    for (i, (line, fields)) in csv::read(path)?.into_iter().enumerate() {
        if i == 0 && is_header(&fields) {
            continue;
        }
        let [image, mask] = &fields[..] else {
            let reason = format!("expected image,mask, found {} fields", fields.len());
            return Err(DataError::line(path, line, reason));
        };
        let (image, mask) = (folder.join(image), folder.join(mask));
        if let Some(missing) = [&image, &mask].into_iter().find(|f| !f.is_file()) {
            return Err(DataError::line(path, line, format!("{} is not there", missing.display())));
        }
        let stem = output_stem(&image);
        let sample = SegSample { stem: stem.clone(), image: image.clone(), mask };
        if let Some(first) = seen.insert(stem.clone(), sample) {
            return Err(DataError::DuplicateStem { stem, first: first.image, second: image });
        }
    }
    let samples = seen.into_values().collect();
    Ok(SegmentationSet { root: path.into(), samples, orphans: Vec::new() })
}
