//! The check of a set of one class per picture.

use std::path::Path;

use super::fault::{Fault, FaultKind};
use super::look::Look;
use super::report::{CheckReport, ClassShare, SetContents, SizeCount};
use super::twins::{self, Item, Label};
use super::{absent_classes, for_each, other_sizes};
use crate::verify::Progress;
use crate::{ClassificationSet, DataError};

/// Looks at every picture of a classification set, and at those of the set `against`, where given.
///
/// # Errors
/// Only when a set cannot be opened at all; faults of files are part of the report.
pub fn check_classification(
    path: &Path,
    against: Option<&Path>,
    progress: Progress,
) -> Result<CheckReport, DataError> {
    let set = ClassificationSet::open(path)?;
    let other = against.map(ClassificationSet::open).transpose()?;
    let sides: Vec<&ClassificationSet> = std::iter::once(&set).chain(&other).collect();
    let names = all_names(&sides);
    let samples: Vec<_> = sides.iter().flat_map(|side| &side.samples).collect();
    let looks = for_each(samples.len(), progress, |i| Look::at(&samples[i].path));

    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    let (mut contents, mut items) = (Vec::new(), Vec::new());
    let mut looks = looks.into_iter();
    for side in sides {
        let mut sized = Vec::new();
        let mut own: Vec<Item> = Vec::new();
        let mut counts = vec![0; names.len()];
        for (sample, look) in side.samples.iter().zip(looks.by_ref()) {
            let class = sample.label.map(|label| &side.class_names[usize::from(label)]);
            match class {
                None => {
                    let error = DataError::Unlabelled { path: sample.path.clone() };
                    faults.push(Fault::new(FaultKind::Unlabelled, &sample.path, error));
                }
                Some(class) => {
                    names
                        .iter()
                        .zip(&mut counts)
                        .filter(|(name, _)| *name == class)
                        .for_each(|(_, n)| *n += 1);
                }
            }
            match look {
                Err(error) => faults.push(Fault::of(&sample.path, &error)),
                Ok(look) => {
                    notes.extend(look.oddities(&sample.path));
                    sized.push((sample.path.as_path(), look.size));
                    let label = class.map_or(Label::None, |class| Label::Class(class.clone()));
                    own.push(Item { path: &sample.path, digest: look.digest, label });
                }
            }
        }
        let (contradictions, duplicates) = twins::within(&side.root, &own);
        faults.extend(contradictions);
        notes.extend(duplicates);
        notes.extend(other_sizes(&sized));
        notes.extend(twins::case_collisions(side.samples.iter().map(|sample| &sample.path)));
        contents.push(SetContents {
            root: side.root.clone(),
            samples: side.samples.len(),
            sizes: SizeCount::of(sized.iter().map(|(_, size)| *size)),
            classes: ClassShare::of(names.iter().map(String::as_str), &counts),
            colours: Vec::new(),
        });
        items.push(own);
    }
    if let [own, others] = &items[..] {
        faults.extend(twins::across(own, others));
    }
    let mut contents = contents.into_iter();
    let (set, against) = (contents.next().expect("the set itself"), contents.next());
    absent_classes(&set, against.as_ref(), "pictures", |_| true, &mut faults, &mut notes);
    Ok(CheckReport { task: "classify", set, against, faults, notes })
}

/// The classes of all sets: numbers up to the highest where all are numbers, else the names in order.
fn all_names(sets: &[&ClassificationSet]) -> Vec<String> {
    let mut names: Vec<String> = sets.iter().flat_map(|set| set.class_names.iter().cloned()).collect();
    if names.iter().all(|name| name.parse::<u16>().is_ok()) {
        names.sort_by_key(|name| name.parse::<u16>().unwrap_or(0));
    } else {
        names.sort();
    }
    names.dedup();
    names
}
