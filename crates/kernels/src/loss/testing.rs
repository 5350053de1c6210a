//! What the tests of the losses share.

use super::IGNORE;
use crate::rng::Key;

/// `len` labels of `classes` classes, some of them ignored if wanted.
pub(super) fn labels(len: usize, classes: usize, ignored: bool) -> Vec<u16> {
    let key = Key { seed: 1, stream: 1, step: 1 };
    let label = |i| match key.below(i, classes as u64 + u64::from(ignored)) {
        y if y == classes as u64 => IGNORE,
        y => y as u16,
    };
    (0..len as u64).map(label).collect()
}

/// Softmax of P x `c` logits in double precision.
pub(super) fn softmax_f64(logits: &[f64], c: usize) -> Vec<f64> {
    logits
        .chunks(c)
        .flat_map(|x| {
            let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = x.iter().map(|x| (x - most).exp()).sum();
            x.iter().map(move |x| (x - most).exp() / sum).collect::<Vec<_>>()
        })
        .collect()
}

/// The gradient of `f` at `x` by central differences so small that sorted numbers keep their order.
pub(super) fn small_differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let middle = x[i];
            let mut at = |to: f64| {
                x[i] = to;
                f(&x)
            };
            let difference = (at(middle + 1e-6) - at(middle - 1e-6)) / 2e-6;
            x[i] = middle;
            difference
        })
        .collect()
}
