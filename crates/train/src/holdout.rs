//! Which training pictures are held out of training: a choice by name alone.

use std::path::Path;

use hectare_data::SegmentationSet;
use sha2::{Digest, Sha256};

/// Whether the picture of that name is among the `share` held out. Follows from the SHA-256 of the name, so that
/// neither the order nor the other pictures of the set matter, and a larger share holds a smaller one.
pub(crate) fn is_held_out(name: &str, share: f64) -> bool {
    let digest = Sha256::digest(name.as_bytes());
    let head = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // 2^64 numbers, evenly spread.
    (head as f64) < share * 18_446_744_073_709_551_616.0
}

/// Leaves of a set the share that a run with `--holdout share` holds out of its training.
pub fn keep_held_out(set: &mut SegmentationSet, share: f64) {
    set.samples.retain(|sample| is_held_out(&sample.stem, share));
}

/// The name of a picture within its set: the path from the set's folder (or its list's) on, with `/`.
pub(crate) fn name_within(root: &Path, path: &Path) -> String {
    let folder = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
    let rest = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = rest.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_about_a_tenth_and_stays() {
        let held = |share: f64| (0..10_000).filter(|i| is_held_out(&format!("{i:04}"), share)).count();
        assert!((900..1100).contains(&held(0.1)), "{}", held(0.1));
        assert_eq!((held(0.0), held(1.0)), (0, 10_000));
        assert!((0..1000).all(|i| !is_held_out(&i.to_string(), 0.1) || is_held_out(&i.to_string(), 0.2)));
        // sha256("abc") begins with ba = 186, and 186 / 256 = 0.7266.
        assert!(is_held_out("abc", 0.75) && !is_held_out("abc", 0.72));
    }

    #[test]
    fn names_are_within_the_set() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.csv");
        std::fs::write(&list, "").unwrap();
        let picture = folder.path().join("cats").join("1.png");
        assert_eq!(name_within(folder.path(), &picture), "cats/1.png");
        assert_eq!(name_within(&list, &picture), "cats/1.png");
    }
}
