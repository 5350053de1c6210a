//! Data sets of one class per pixel: pairs of a picture and a mask.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use crate::classification::is_header;
use crate::files::{entries, file_name, is_picture, stem};
use crate::{DataError, Exclusion, csv, output_stem};

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

/// Two pictures, or two masks, of one stem.
pub(crate) struct Clash {
    pub stem: String,
    pub first: PathBuf,
    pub second: PathBuf,
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
        SegmentationSet::open_without(path, &Exclusion::default())
    }

    /// As [`open`](Self::open), without the files of a list: a pair goes when either of its files is on it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_without(path: &Path, exclusion: &Exclusion) -> Result<SegmentationSet, DataError> {
        let (set, clashes) = SegmentationSet::survey(path, exclusion)?;
        match clashes.into_iter().next() {
            Some(Clash { stem, first, second }) => Err(DataError::DuplicateStem { stem, first, second }),
            None => Ok(set),
        }
    }

    /// The set, of files of one stem only the first, and the others.
    pub(crate) fn survey(
        path: &Path,
        exclusion: &Exclusion,
    ) -> Result<(SegmentationSet, Vec<Clash>), DataError> {
        if !path.exists() {
            return Err(DataError::NotFound { path: path.into() });
        }
        let (set, clashes) = if !path.is_dir() {
            read_list(path, exclusion)?
        } else {
            let kept =
                |files: Vec<PathBuf>| files.into_iter().filter(|f| !exclusion.holds(f)).collect::<Vec<_>>();
            let (files, folders) = entries(path)?;
            let find = |name: &str| folders.iter().find(|f| file_name(f).eq_ignore_ascii_case(name));
            match (find("images"), find("masks")) {
                (Some(images), Some(masks)) => pair(path, kept(entries(images)?.0), kept(entries(masks)?.0)),
                _ => {
                    let (masks, images) = kept(files).into_iter().partition(|f| stem(f).ends_with("_mask"));
                    pair(path, images, masks)
                }
            }
        };
        if set.samples.is_empty() {
            let expected = "pairs like 0010_sat.jpg + 0010_mask.png, or folders images/ and masks/".into();
            return Err(DataError::Empty { path: path.into(), expected });
        }
        Ok((set, clashes))
    }
}

fn mask_stem(path: &Path) -> String {
    let stem = stem(path);
    match stem.strip_suffix("_mask") {
        Some(short) => short.into(),
        None => stem,
    }
}

/// Files by stem; of one stem the first, the others go to `clashes`.
fn by_stem(
    files: Vec<PathBuf>,
    stem: fn(&Path) -> String,
    clashes: &mut Vec<Clash>,
) -> BTreeMap<String, PathBuf> {
    let mut map: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files.into_iter().filter(|f| is_picture(f)) {
        match map.entry(stem(&file)) {
            Entry::Vacant(place) => drop(place.insert(file)),
            Entry::Occupied(place) => {
                clashes.push(Clash { stem: place.key().clone(), first: place.get().clone(), second: file });
            }
        }
    }
    map
}

fn pair(root: &Path, images: Vec<PathBuf>, masks: Vec<PathBuf>) -> (SegmentationSet, Vec<Clash>) {
    let mut clashes = Vec::new();
    let images = by_stem(images, output_stem, &mut clashes);
    let mut masks = by_stem(masks, mask_stem, &mut clashes);
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
    (SegmentationSet { root: root.into(), samples, orphans }, clashes)
}

fn read_list(path: &Path, exclusion: &Exclusion) -> Result<(SegmentationSet, Vec<Clash>), DataError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut seen: BTreeMap<String, SegSample> = BTreeMap::new();
    let mut clashes = Vec::new();
    for (i, (line, fields)) in csv::read(path)?.into_iter().enumerate() {
        if i == 0 && is_header(&fields) {
            continue;
        }
        let [image, mask] = &fields[..] else {
            let reason = format!("expected image,mask, found {} fields", fields.len());
            return Err(DataError::line(path, line, reason));
        };
        let (image, mask) = (folder.join(image), folder.join(mask));
        if exclusion.holds(&image) || exclusion.holds(&mask) {
            continue;
        }
        if let Some(missing) = [&image, &mask].into_iter().find(|f| !f.is_file()) {
            return Err(DataError::line(path, line, format!("{} is not there", missing.display())));
        }
        let stem = output_stem(&image);
        match seen.entry(stem) {
            Entry::Vacant(place) => {
                let stem = place.key().clone();
                place.insert(SegSample { stem, image, mask });
            }
            Entry::Occupied(place) => {
                let first = place.get().image.clone();
                clashes.push(Clash { stem: place.key().clone(), first, second: image });
            }
        }
    }
    let samples = seen.into_values().collect();
    Ok((SegmentationSet { root: path.into(), samples, orphans: Vec::new() }, clashes))
}
