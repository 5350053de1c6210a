//! Pictures that are the same pixel by pixel: within a set, and in two sets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::fault::{Fault, FaultKind};

/// What a picture is labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// A class, by name.
    Class(String),
    /// A mask, by the digest of its size and ids.
    Mask(u128),
    /// Nothing, or a mask that does not decode.
    None,
}

impl Label {
    /// Whether both are labels, and not the same one.
    fn contradicts(&self, other: &Label) -> bool {
        self != other && *self != Label::None && *other != Label::None
    }
}

/// A picture that decodes.
pub(super) struct Item<'a> {
    pub path: &'a Path,
    pub digest: u128,
    pub label: Label,
}

/// A picture's name within its set.
pub(super) fn short(root: &Path, path: &Path) -> String {
    let folder = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// Same pictures of a set: (with different labels, with the same label), in the order of the items.
pub(super) fn within(root: &Path, items: &[Item]) -> (Vec<Fault>, Vec<Fault>) {
    let mut groups: HashMap<u128, Vec<&Item>> = HashMap::new();
    items.iter().for_each(|item| groups.entry(item.digest).or_default().push(item));
    let (mut contradictions, mut duplicates) = (Vec::new(), Vec::new());
    for item in items {
        let group = &groups[&item.digest];
        if std::ptr::eq(group[0], item) {
            continue;
        }
        let torn = group.iter().any(|a| group.iter().any(|b| a.label.contradicts(&b.label)));
        // One whose label differs says more than the first.
        let twin = group.iter().find(|other| other.label.contradicts(&item.label)).unwrap_or(&group[0]);
        let names = format!("{} and {} are the same picture", short(root, twin.path), short(root, item.path));
        if torn {
            let text = format!("{names}{}", difference(&twin.label, &item.label));
            contradictions.push(Fault::pair(FaultKind::Contradiction, item.path, twin.path, text));
        } else {
            duplicates.push(Fault::pair(FaultKind::Duplicate, item.path, twin.path, names));
        }
    }
    (contradictions, duplicates)
}

/// Pictures of `items` that are among `others` too.
pub(super) fn across(items: &[Item], others: &[Item]) -> Vec<Fault> {
    let mut known: HashMap<u128, &Item> = HashMap::new();
    for other in others {
        known.entry(other.digest).or_insert(other);
    }
    let fault = |item: &Item| {
        let twin = known.get(&item.digest)?;
        let difference = match item.label.contradicts(&twin.label) {
            true => difference(&item.label, &twin.label),
            false => String::new(),
        };
        let text = format!("{} is also {}{difference}", item.path.display(), twin.path.display());
        Some(Fault::pair(FaultKind::InBothSets, item.path, twin.path, text))
    };
    items.iter().filter_map(fault).collect()
}

fn difference(first: &Label, second: &Label) -> String {
    match (first, second) {
        (Label::Class(a), Label::Class(b)) => format!(", of the classes {a} and {b}"),
        (Label::Mask(a), Label::Mask(b)) if a != b => ", with different masks".into(),
        _ => ", and others of it have another label".into(),
    }
}

/// Names of `files` that differ in case only, within one folder: one of them is lost where case does not count.
pub(super) fn case_collisions<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Vec<Fault> {
    let mut known: HashMap<(Option<&Path>, String), &PathBuf> = HashMap::new();
    let mut notes = Vec::new();
    for file in files {
        let name = crate::files::file_name(file).to_lowercase();
        let first = *known.entry((file.parent(), name)).or_insert(file);
        if first != file {
            let text = format!(
                "{} and {} are one name where case does not count",
                first.display(),
                crate::files::file_name(file)
            );
            notes.push(Fault::pair(FaultKind::CaseCollision, file, first, text));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, digest: u128, class: &str) -> Item<'static> {
        let path: &'static Path = Path::new(Box::leak(path.to_string().into_boxed_str()));
        Item { path, digest, label: Label::Class(class.into()) }
    }

    #[test]
    fn every_picture_of_a_torn_group_is_named() {
        let items =
            [item("a", 1, "x"), item("b", 1, "x"), item("c", 2, "x"), item("d", 1, "y"), item("e", 2, "x")];
        let (torn, same) = within(Path::new(""), &items);
        let pairs = |faults: &[Fault]| -> Vec<(PathBuf, PathBuf)> {
            faults.iter().map(|f| (f.path.clone(), f.other.clone().unwrap())).collect()
        };
        assert_eq!(pairs(&torn), [("b".into(), "d".into()), ("d".into(), "a".into())]);
        assert_eq!(pairs(&same), [("e".into(), "c".into())]);
        assert_eq!(torn[1].message, "a and d are the same picture, of the classes x and y");
    }

    #[test]
    fn pictures_of_two_sets() {
        let faults = across(&[item("a", 1, "x"), item("b", 2, "x")], &[item("v", 2, "y"), item("w", 3, "x")]);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].message, "b is also v, of the classes x and y");
    }

    #[test]
    fn case_counts_within_a_folder() {
        let files = ["f/a.png", "f/A.PNG", "g/a.png"].map(PathBuf::from);
        let notes = case_collisions(files.iter());
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].message, "f/a.png and A.PNG are one name where case does not count");
    }
}
