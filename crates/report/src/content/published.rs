//! Figures of the report that both problems come from, shown where a run is on the same data.

use hectare_net::ClassMap;

use crate::run::Run;

/// Accuracy on Problem 1.
pub const ACCURACY: f64 = 0.776;

/// Intersection over union of the six classes on Problem 2, and its mean.
pub const SEGMENTATION: [(&str, [f64; 6], f64); 2] = [
    ("FCN32s", [0.73081, 0.86538, 0.37212, 0.78911, 0.61908, 0.69110], 0.677934),
    ("FCN8s", [0.75480, 0.87803, 0.38091, 0.80110, 0.73942, 0.69511], 0.708230),
];

/// Whether a run was measured on all 2,500 pictures of 50 classes.
pub fn is_problem_1(run: &Run) -> bool {
    counted(run) == 2_500 && run.classes.len() == 50
}

/// Whether a run was measured on all 257 tiles of 512 x 512 pixels, with the course's classes.
pub fn is_problem_2(run: &Run) -> bool {
    counted(run) == 257 * 512 * 512 && run.classes.names() == ClassMap::course().names()
}

fn counted(run: &Run) -> u64 {
    run.confusion.as_ref().map_or(0, |confusion| confusion.counts.total())
}
