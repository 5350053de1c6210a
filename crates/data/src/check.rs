//! `data check`: what is in a folder and what is wrong with it.
//!
//! One pass decodes every file once. What stops or spoils training is a fault; what is only worth knowing is a
//! note. With a second set (validation beside training) pictures that are in both, and classes that only one
//! has, are found too.

mod classify;
mod fault;
mod look;
mod report;
mod segment;
mod twins;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub use classify::check_classification;
pub use fault::{Fault, FaultKind};
pub use report::{CheckReport, ClassShare, ColourCount, MOST_COLOURS, SetContents, SizeCount};
pub use segment::check_segmentation;

use crate::verify::Progress;

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

/// Notes about pictures of another size than nearly all (nine tenths), where there is such a size.
fn other_sizes(sized: &[(&Path, [usize; 2])]) -> Vec<Fault> {
    let sizes = SizeCount::of(sized.iter().map(|(_, size)| *size));
    let Some(usual) = sizes.first().filter(|usual| usual.count * 10 >= sized.len() * 9) else {
        return Vec::new();
    };
    let usual = [usual.width, usual.height];
    let note = |(path, [w, h]): &(&Path, [usize; 2])| {
        let text =
            format!("{} has {w}x{h} pixels, nearly all others {}x{}", path.display(), usual[0], usual[1]);
        Fault::new(FaultKind::OtherSize, path, text)
    };
    sized.iter().filter(|(_, size)| *size != usual).map(note).collect()
}

/// Classes of which a set has nothing. One that the other set has, and that is `wanted`, is a fault: it cannot be
/// learnt.
fn absent_classes(
    set: &SetContents,
    against: Option<&SetContents>,
    unit: &str,
    wanted: impl Fn(usize) -> bool,
    faults: &mut Vec<Fault>,
    notes: &mut Vec<Fault>,
) {
    for class in &set.classes {
        let other = against.map(|other| (other, other.classes[class.id].count));
        let here = set.root.display();
        match (class.count, other) {
            (0, Some((other, n @ 1..))) => {
                let there = other.root.display();
                let text = format!("class {}: no {unit} in {here}, {n} in {there}", class.name);
                if wanted(class.id) {
                    faults.push(Fault::new(FaultKind::MissingClass, &set.root, text));
                } else {
                    notes.push(Fault::new(FaultKind::AbsentClass, &set.root, text));
                }
            }
            (0, _) => {
                let text = format!("class {}: no {unit}", class.name);
                notes.push(Fault::new(FaultKind::AbsentClass, &set.root, text));
            }
            (n, Some((other, 0))) => {
                let there = other.root.display();
                let text = format!("class {}: {n} {unit} in {here}, none in {there}", class.name);
                notes.push(Fault::new(FaultKind::AbsentClass, &other.root, text));
            }
            _ => {}
        }
    }
}
