//! Decoding every file once before work begins, and remembering the answer.
//!
//! The first pass over a data set costs a minute at most; finding a truncated file in the third epoch costs
//! more. What was found is remembered by size and time of change in a [`Known`], so that the next run does not
//! look again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use hectare_net::ClassMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::class_map_file::to_toml;
use crate::{ClassificationSet, DataError, SegmentationSet, read_image, read_mask, write_atomic};

/// Called with (files done, files in all) as a pass goes on, from any thread.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// A progress callback that does nothing.
pub fn silent(_done: usize, _total: usize) {}

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    modified_ns: u64,
    size: [usize; 2],
    /// Pixels of each class, for masks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pixels: Vec<u64>,
}

/// Files that were found good, by absolute path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The class map that the masks were read with, as TOML.
    class_map: String,
    files: BTreeMap<PathBuf, Entry>,
}

impl Known {
    /// Reads what an earlier run found; a file that is missing or does not parse means nothing is known.
    pub fn load(path: &Path) -> Known {
        let text = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes what is known, whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), DataError> {
        let text = serde_json::to_vec(self).expect("paths and numbers are JSON");
        write_atomic(path, &text)
    }

    /// Number of files that are known to be good.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn get(&self, path: &Path, stamp: Option<(u64, u64)>) -> Option<Entry> {
        let entry = self.files.get(path)?;
        (stamp? == (entry.bytes, entry.modified_ns)).then(|| entry.clone())
    }

    /// Forgets what depends on the class map when it is another one.
    fn use_class_map(&mut self, classes: &ClassMap) {
        let text = to_toml(classes);
        if self.class_map != text {
            self.files.retain(|_, e| e.pixels.is_empty());
            self.class_map = text;
        }
    }
}

/// Size in bytes and time of change, in nanoseconds since 1970.
fn stamp(path: &Path) -> Option<(u64, u64)> {
    let data = std::fs::metadata(path).ok()?;
    let time = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((data.len(), u64::try_from(time.as_nanos()).ok()?))
}

/// What a pass over a classification set found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassificationFacts {
    /// Width and height of each picture.
    pub sizes: Vec<[usize; 2]>,
    /// Files that were decoded; the others were known.
    pub decoded: usize,
}

/// What a pass over a segmentation set found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentationFacts {
    /// Width and height of each picture.
    pub sizes: Vec<[usize; 2]>,
    /// Pixels of each class, for each mask.
    pub sample_pixels: Vec<Vec<u64>>,
    /// Pixels of each class in all masks.
    pub class_pixels: Vec<u64>,
    /// Files that were decoded; the others were known.
    pub decoded: usize,
}

/// What a pass over any list of pictures found.
///
/// # Errors
/// The first picture, in the order given, that cannot be read.
pub fn verify_images(
    paths: &[PathBuf],
    known: &mut Known,
    progress: Progress,
) -> Result<ClassificationFacts, DataError> {
    let entries = pass(paths, known, progress, |_| 0, |path, _| Ok((read_image(path)?.size(), Vec::new())));
    let (entries, decoded) = collect(paths, known, entries)?;
    Ok(ClassificationFacts { sizes: entries.iter().map(|e| e.size).collect(), decoded })
}

/// Decodes every picture of a set.
///
/// # Errors
/// The first picture that cannot be read.
pub fn verify_classification(
    set: &ClassificationSet,
    known: &mut Known,
    progress: Progress,
) -> Result<ClassificationFacts, DataError> {
    let paths: Vec<PathBuf> = set.samples.iter().map(|s| s.path.clone()).collect();
    verify_images(&paths, known, progress)
}

/// Decodes every picture and mask of a set, checks that they are of one size and counts the classes.
///
/// # Errors
/// The first pair with a file that cannot be read, a mask of another size, an unlisted colour or id.
pub fn verify_segmentation(
    set: &SegmentationSet,
    classes: &ClassMap,
    known: &mut Known,
    progress: Progress,
) -> Result<SegmentationFacts, DataError> {
    known.use_class_map(classes);
    let n = classes.classes.len();
    let paths: Vec<PathBuf> = set.samples.iter().flat_map(|s| [s.image.clone(), s.mask.clone()]).collect();
    // Even places are pictures, odd ones masks.
    let entries = pass(
        &paths,
        known,
        progress,
        |i| if i % 2 == 0 { 0 } else { n },
        |path, i| {
            if i % 2 == 0 {
                return Ok((read_image(path)?.size(), Vec::new()));
            }
            let mask = read_mask(path, classes)?;
            Ok((mask.size(), mask.counts(n)))
        },
    );
    let (entries, decoded) = collect(&paths, known, entries)?;
    let mut class_pixels = vec![0; n];
    let mut sample_pixels = Vec::with_capacity(set.samples.len());
    let mut sizes = Vec::with_capacity(set.samples.len());
    for (sample, pair) in set.samples.iter().zip(entries.as_chunks::<2>().0) {
        if pair[0].size != pair[1].size {
            return Err(DataError::SizeMismatch {
                image: sample.image.clone(),
                image_size: pair[0].size,
                mask: sample.mask.clone(),
                mask_size: pair[1].size,
            });
        }
        class_pixels.iter_mut().zip(&pair[1].pixels).for_each(|(sum, n)| *sum += n);
        sizes.push(pair[0].size);
        sample_pixels.push(pair[1].pixels.clone());
    }
    Ok(SegmentationFacts { sizes, sample_pixels, class_pixels, decoded })
}

type Found = Result<(Entry, bool), DataError>;

/// Looks at all files, of which number `i` has `counts(i)` class counts; the flag tells whether one was
/// decoded.
fn pass(
    paths: &[PathBuf],
    known: &Known,
    progress: Progress,
    counts: impl Fn(usize) -> usize + Sync,
    look: impl Fn(&Path, usize) -> Result<([usize; 2], Vec<u64>), DataError> + Sync,
) -> Vec<Found> {
    let done = AtomicUsize::new(0);
    let one = |(i, path): (usize, &PathBuf)| {
        let stamp = stamp(path);
        let found = match known.get(&absolute(path), stamp) {
            // A picture may have become a mask since, or the other way round.
            Some(entry) if entry.pixels.len() == counts(i) => Ok((entry, false)),
            _ => look(path, i).map(|(size, pixels)| {
                let (bytes, modified_ns) = stamp.unwrap_or_default();
                (Entry { bytes, modified_ns, size, pixels }, true)
            }),
        };
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, paths.len());
        found
    };
    paths.par_iter().enumerate().map(one).collect()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// Remembers what was found good, then fails with the first fault.
fn collect(
    paths: &[PathBuf],
    known: &mut Known,
    found: Vec<Found>,
) -> Result<(Vec<Entry>, usize), DataError> {
    let mut decoded = 0;
    for (path, found) in paths.iter().zip(&found) {
        if let Ok((entry, true)) = found {
            decoded += 1;
            if entry.modified_ns != 0 {
                known.files.insert(absolute(path), entry.clone());
            }
        }
    }
    let entries: Result<Vec<Entry>, DataError> =
        found.into_iter().map(|f| f.map(|(entry, _)| entry)).collect();
    Ok((entries?, decoded))
}
