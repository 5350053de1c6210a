//! `data check`: what is in a folder and what is wrong with it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use hectare_net::ClassMap;
use rayon::prelude::*;
use serde::Serialize;

use crate::verify::Progress;
use crate::{ClassificationSet, DataError, Image, SegmentationSet, read_image, read_mask};

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A file that cannot be read or decoded.
    Undecodable,
    /// A mask of another size than its picture.
    SizeMismatch,
    /// A colour or id that the class map does not hold.
    UnlistedColour,
    /// A picture without a mask or a mask without a picture.
    Orphan,
    /// A picture without a class.
    Unlabelled,
    /// Pixel-identical pictures of different classes (a note, not a fault).
    Contradiction,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Of what kind.
    pub kind: FaultKind,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, naming file and values.
    pub message: String,
}

/// How much there is of a class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassShare {
    /// The class.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// Pictures (classification) or pixels (segmentation) of it.
    pub count: u64,
    /// Fraction of all, 0 to 1.
    pub share: f64,
}

/// How many pictures are of a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SizeCount {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pictures of this size.
    pub count: usize,
}

/// The result of a check. `Display` prints a table for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// `classify` or `segment`.
    pub task: &'static str,
    /// The folder or list.
    pub root: PathBuf,
    /// Samples: pictures, or pairs of a picture and a mask.
    pub samples: usize,
    /// Sizes of the pictures that decode, most frequent first.
    pub sizes: Vec<SizeCount>,
    /// Classes in order.
    pub classes: Vec<ClassShare>,
    /// What is wrong, in order of the samples.
    pub faults: Vec<Fault>,
    /// What is odd but does not stop training.
    pub notes: Vec<Fault>,
}

impl CheckReport {
    /// What is wrong; empty when all is well.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

/// Most faults that `Display` lists one by one.
const LISTED: usize = 20;

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = match self.task {
            "segment" => ("pairs of a picture and a mask", "pixels"),
            _ => ("pictures", "pictures"),
        };
        writeln!(f, "{}: {} {what}", self.root.display(), self.samples)?;
        for size in self.sizes.iter().take(LISTED) {
            writeln!(f, "  {:>6} of {} x {} pixels", size.count, size.width, size.height)?;
        }
        if self.sizes.len() > LISTED {
            writeln!(f, "         and {} other sizes", self.sizes.len() - LISTED)?;
        }
        let name = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max(5);
        let count = self.classes.iter().map(|c| c.count.to_string().len()).max().unwrap_or(0).max(unit.len());
        writeln!(f, "\n{:>4}  {:<name$}  {unit:>count$}     share", "id", "class")?;
        for class in &self.classes {
            let padding = name - class.name.chars().count();
            write!(f, "{:>4}  {}{:padding$}  {:>count$}", class.id, class.name, "", class.count)?;
            writeln!(f, "  {:>7.3}%", class.share * 100.0)?;
        }
        list(f, "fault", &self.faults)?;
        list(f, "note", &self.notes)
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, faults: &[Fault]) -> fmt::Result {
    match faults.len() {
        0 if what == "fault" => writeln!(f, "\nno faults")?,
        0 => {}
        1 => writeln!(f, "\n1 {what}:")?,
        n => writeln!(f, "\n{n} {what}s:")?,
    }
    for fault in faults.iter().take(LISTED) {
        writeln!(f, "  {}", fault.message)?;
    }
    if faults.len() > LISTED {
        writeln!(f, "  and {} more", faults.len() - LISTED)?;
    }
    Ok(())
}

fn fault(kind: FaultKind, path: &Path, message: impl fmt::Display) -> Fault {
    Fault { kind, path: path.into(), message: message.to_string() }
}

fn fault_of(path: &Path, error: &DataError) -> Fault {
    let kind = match error {
        DataError::UnlistedColour { .. } | DataError::UnlistedId { .. } => FaultKind::UnlistedColour,
        DataError::SizeMismatch { .. } => FaultKind::SizeMismatch,
        _ => FaultKind::Undecodable,
    };
    fault(kind, path, error)
}

fn size_counts(sizes: impl Iterator<Item = [usize; 2]>) -> Vec<SizeCount> {
    let mut counts: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    sizes.for_each(|s| *counts.entry(s).or_default() += 1);
    let mut sizes: Vec<SizeCount> =
        counts.into_iter().map(|([width, height], count)| SizeCount { width, height, count }).collect();
    sizes.sort_by_key(|s| std::cmp::Reverse(s.count));
    sizes
}

fn shares<'a>(names: impl Iterator<Item = &'a str>, counts: &[u64]) -> Vec<ClassShare> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let share = |(id, (name, &count)): (usize, (&str, &u64))| ClassShare {
        id,
        name: name.into(),
        count,
        share: count as f64 / total,
    };
    names.zip(counts).enumerate().map(share).collect()
}

/// Looks at every picture of a classification set: sizes, classes, files that do not decode, pictures without
/// a class, and (as notes) identical pictures of different classes.
///
/// # Errors
/// Only when the set cannot be opened at all; faults of files are part of the report.
pub fn check_classification(path: &Path, progress: Progress) -> Result<CheckReport, DataError> {
    let set = ClassificationSet::open(path)?;
    let looked = for_each(set.samples.len(), progress, |i| {
        let image = read_image(&set.samples[i].path);
        image.map(|image| (image.size(), digest(&image)))
    });
    let mut faults = Vec::new();
    let mut notes = Vec::new();
    let mut sizes = Vec::new();
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for (i, (sample, looked)) in set.samples.iter().zip(looked).enumerate() {
        if sample.label.is_none() {
            let error = DataError::Unlabelled { path: sample.path.clone() };
            faults.push(fault(FaultKind::Unlabelled, &sample.path, error));
        }
        match looked {
            Err(error) => faults.push(fault_of(&sample.path, &error)),
            Ok((size, digest)) => {
                sizes.push(size);
                let first = &set.samples[*seen.entry(digest).or_insert(i)];
                if first.label != sample.label {
                    let message =
                        format!("{} and {} are the same picture in two classes", first.name, sample.name);
                    notes.push(fault(FaultKind::Contradiction, &sample.path, message));
                }
            }
        }
    }
    Ok(CheckReport {
        task: "classify",
        root: path.into(),
        samples: set.samples.len(),
        sizes: size_counts(sizes.into_iter()),
        classes: shares(set.class_names.iter().map(String::as_str), &set.counts()),
        faults,
        notes,
    })
}

/// Looks at every picture and mask of a segmentation set: sizes, shares of the classes, files that do not
/// decode, masks of another size, unlisted colours, orphans.
///
/// # Errors
/// Only when the set cannot be opened at all; faults of files are part of the report.
pub fn check_segmentation(
    path: &Path,
    classes: &ClassMap,
    progress: Progress,
) -> Result<CheckReport, DataError> {
    let set = SegmentationSet::open(path)?;
    let n = classes.classes.len();
    let looked = for_each(set.samples.len(), progress, |i| {
        let sample = &set.samples[i];
        let image = read_image(&sample.image).map(|image| image.size());
        let mask = read_mask(&sample.mask, classes).map(|mask| (mask.size(), mask.counts(n)));
        (image, mask)
    });
    let mut faults = Vec::new();
    let mut sizes = Vec::new();
    let mut counts = vec![0u64; n];
    for (sample, (image, mask)) in set.samples.iter().zip(looked) {
        match &image {
            Err(error) => faults.push(fault_of(&sample.image, error)),
            Ok(size) => sizes.push(*size),
        }
        match &mask {
            Err(error) => faults.push(fault_of(&sample.mask, error)),
            Ok((_, pixels)) => counts.iter_mut().zip(pixels).for_each(|(sum, n)| *sum += n),
        }
        if let (Ok(image_size), Ok((mask_size, _))) = (image, mask)
            && image_size != mask_size
        {
            let (image, mask) = (sample.image.clone(), sample.mask.clone());
            faults.push(fault_of(
                &sample.mask,
                &DataError::SizeMismatch { image, image_size, mask, mask_size },
            ));
        }
    }
    for orphan in &set.orphans {
        let is_mask = crate::files::stem(orphan).ends_with("_mask")
            || orphan.parent().and_then(Path::file_name).is_some_and(|f| f.eq_ignore_ascii_case("masks"));
        let partner = if is_mask { "picture" } else { "mask" };
        faults.push(fault(FaultKind::Orphan, orphan, format!("{} has no {partner}", orphan.display())));
    }
    Ok(CheckReport {
        task: "segment",
        root: path.into(),
        samples: set.samples.len(),
        sizes: size_counts(sizes.into_iter()),
        classes: shares(classes.classes.iter().map(|c| c.name.as_str()), &counts),
        faults,
        notes: Vec::new(),
    })
}

/// Runs `look` for `0..n` on all threads, telling the progress.
fn for_each<T: Send>(n: usize, progress: Progress, look: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let done = AtomicUsize::new(0);
    let one = |i| {
        let result = look(i);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, n);
        result
    };
    (0..n).into_par_iter().map(one).collect()
}

fn digest(image: &Image) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.size().hash(&mut hasher);
    image.pixels.hash(&mut hasher);
    hasher.finish()
}
