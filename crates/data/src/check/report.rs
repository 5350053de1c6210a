//! What a check found, as a table for people and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::fault::{Fault, FaultKind};

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

impl ClassShare {
    /// The shares of `counts`, by class.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>, counts: &[u64]) -> Vec<ClassShare> {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let share = |(id, (name, &count)): (usize, (&str, &u64))| ClassShare {
            id,
            name: name.into(),
            count,
            share: count as f64 / total,
        };
        names.zip(counts).enumerate().map(share).collect()
    }
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

impl SizeCount {
    /// Each size with its pictures, most frequent first.
    pub(super) fn of(sizes: impl Iterator<Item = [usize; 2]>) -> Vec<SizeCount> {
        let mut counts: BTreeMap<[usize; 2], usize> = BTreeMap::new();
        sizes.for_each(|size| *counts.entry(size).or_default() += 1);
        let mut sizes: Vec<SizeCount> =
            counts.into_iter().map(|([width, height], count)| SizeCount { width, height, count }).collect();
        sizes.sort_by_key(|size| std::cmp::Reverse(size.count));
        sizes
    }
}

/// A colour in masks that is no class's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColourCount {
    /// R, G, B.
    pub colour: [u8; 3],
    /// Pixels of it.
    pub pixels: u64,
    /// Masks that hold it.
    pub masks: usize,
    /// The class that it is read as; `None` for an unlisted colour.
    pub read_as: Option<String>,
    /// The class whose own colour is nearest.
    pub nearest: String,
}

/// What a set holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetContents {
    /// The folder or list.
    pub root: PathBuf,
    /// Samples: pictures, or pairs of a picture and a mask.
    pub samples: usize,
    /// Sizes of the pictures that decode, most frequent first.
    pub sizes: Vec<SizeCount>,
    /// Classes in order.
    pub classes: Vec<ClassShare>,
    /// Segmentation: colours that are no class's own, most frequent first; of unlisted ones the
    /// [`MOST_COLOURS`] most frequent.
    pub colours: Vec<ColourCount>,
}

/// Most unlisted colours that are kept of a set: a mask saved as JPEG has thousands.
pub const MOST_COLOURS: usize = 64;

/// The result of a check. `Display` prints a table for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// `classify` or `segment`.
    pub task: &'static str,
    /// What the set holds.
    #[serde(flatten)]
    pub set: SetContents,
    /// What the set that it was compared with holds.
    pub against: Option<SetContents>,
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

    /// The files to leave out so that no fault of a file remains, sorted, each once.
    pub fn to_leave_out(&self) -> Vec<&Path> {
        let files: BTreeSet<&Path> = self.faults.iter().flat_map(Fault::files_to_leave_out).collect();
        files.into_iter().collect()
    }
}

/// Most things of one kind that `Display` lists one by one.
const LISTED: usize = 20;

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        contents(f, &self.set, self.task)?;
        if let Some(against) = &self.against {
            writeln!(f)?;
            contents(f, against, self.task)?;
        }
        list(f, "fault", &self.faults)?;
        list(f, "note", &self.notes)
    }
}

fn contents(f: &mut fmt::Formatter<'_>, set: &SetContents, task: &str) -> fmt::Result {
    let (what, unit) = match task {
        "segment" => ("pairs of a picture and a mask", "pixels"),
        _ => ("pictures", "pictures"),
    };
    writeln!(f, "{}: {} {what}", set.root.display(), set.samples)?;
    for size in set.sizes.iter().take(LISTED) {
        writeln!(f, "  {:>6} of {} x {} pixels", size.count, size.width, size.height)?;
    }
    if set.sizes.len() > LISTED {
        writeln!(f, "         and {} other sizes", set.sizes.len() - LISTED)?;
    }
    let name = set.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max(5);
    let count = set.classes.iter().map(|c| c.count.to_string().len()).max().unwrap_or(0).max(unit.len());
    writeln!(f, "\n{:>4}  {:<name$}  {unit:>count$}     share", "id", "class")?;
    for class in &set.classes {
        let padding = name - class.name.chars().count();
        write!(f, "{:>4}  {}{:padding$}  {:>count$}", class.id, class.name, "", class.count)?;
        writeln!(f, "  {:>7.3}%", class.share * 100.0)?;
    }
    if set.colours.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{:<13}{:>10}{:>7}  read as", "colour", "pixels", "masks")?;
    for colour in set.colours.iter().take(LISTED) {
        let [r, g, b] = colour.colour;
        write!(f, "{:<13}{:>10}{:>7}  ", format!("{r},{g},{b}"), colour.pixels, colour.masks)?;
        match &colour.read_as {
            Some(class) => writeln!(f, "{class}")?,
            None => writeln!(f, "nothing (nearest: {})", colour.nearest)?,
        }
    }
    if set.colours.len() > LISTED {
        writeln!(f, "and more colours (--json lists {MOST_COLOURS})")?;
    }
    Ok(())
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, faults: &[Fault]) -> fmt::Result {
    match faults.len() {
        0 if what == "fault" => writeln!(f, "\nno faults")?,
        0 => {}
        1 => writeln!(f, "\n1 {what}:")?,
        n => writeln!(f, "\n{n} {what}s:")?,
    }
    let mut kinds: BTreeMap<FaultKind, Vec<&Fault>> = BTreeMap::new();
    faults.iter().for_each(|fault| kinds.entry(fault.kind).or_default().push(fault));
    for (kind, faults) in kinds {
        writeln!(f, "  {} ({})", kind.heading(), faults.len())?;
        for fault in faults.iter().take(LISTED) {
            writeln!(f, "    {}", fault.message)?;
        }
        if faults.len() > LISTED {
            writeln!(f, "    and {} more (--json lists all)", faults.len() - LISTED)?;
        }
    }
    Ok(())
}
