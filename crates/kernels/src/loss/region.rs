//! What losses of regions share: the way from a probability's gradient to a logit's.

use super::IGNORE;
use crate::chunks::rows_per_task;
use crate::threads::parallel_chunks_mut;

/// Most bytes that a loss of regions allocates for `pixels` of `classes`, on `threads` threads.
pub fn region_bytes(pixels: usize, classes: usize, threads: usize) -> u64 {
    // Probabilities, their gradients, and one sorted list for each class at work.
    let (pixels, classes) = (pixels as u64, classes as u64);
    pixels * classes * 8 + pixels * 8 * classes.min(threads as u64)
}

/// Pixels of each class.
pub(super) fn counts(classes: usize, labels: &[u16]) -> Vec<u64> {
    let mut counts = vec![0; classes];
    for &label in labels.iter().filter(|label| **label != IGNORE) {
        counts[usize::from(label)] += 1;
    }
    counts
}

/// Adds `scale` times the logits' gradient to `dlogits`, where `of(pixel, class)` is the loss's derivative by a
/// probability. Ignored pixels have none.
pub(super) fn add_gradient(
    probabilities: &[f32],
    labels: &[u16],
    classes: usize,
    dlogits: &mut [f32],
    scale: f64,
    of: impl Fn(usize, usize) -> f64 + Sync + Send,
) {
    let rows = rows_per_task(classes);
    parallel_chunks_mut(dlogits, rows * classes, |task, part| {
        let mut slopes = vec![0.0; classes];
        for (at, dlogits) in part.chunks_exact_mut(classes).enumerate() {
            let pixel = task * rows + at;
            if labels[pixel] == IGNORE {
                continue;
            }
            let probabilities = &probabilities[pixel * classes..][..classes];
            let mut mean = 0.0;
            for (class, (slope, p)) in slopes.iter_mut().zip(probabilities).enumerate() {
                *slope = of(pixel, class);
                mean += *slope * f64::from(*p);
            }
            for ((dlogit, slope), p) in dlogits.iter_mut().zip(&slopes).zip(probabilities) {
                *dlogit += (scale * f64::from(*p) * (slope - mean)) as f32;
            }
        }
    });
}
