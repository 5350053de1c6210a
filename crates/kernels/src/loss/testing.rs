//! What the tests of the losses share.

use super::IGNORE;
use crate::Isa;
use crate::rng::Key;
use crate::testing::{assert_close, normal, on_threads, to_f64};

/// A loss of regions: classes, logits, labels, and where the gradient goes with its scale.
pub(super) type RegionLoss = fn(Isa, usize, &[f32], &[u16], Option<(&mut [f32], f64)>) -> f64;

/// Value and gradient of a loss of regions against its slow twin (classes, logits, labels) and finite differences.
pub(super) fn check_region_loss(loss: RegionLoss, naive: fn(usize, &[f64], &[u16]) -> f64) {
    for isa in Isa::available() {
        for (pixels, classes) in [(0, 3), (1, 1), (1, 2), (31, 7), (32, 7), (33, 7), (97, 3), (5, 50)] {
            let logits: Vec<f32> = normal(5, pixels * classes).iter().map(|x| 2.0 * x).collect();
            let labels = labels(pixels, classes, true);
            let mut grad = vec![1.0; logits.len()];
            let value = loss(isa, classes, &logits, &labels, Some((&mut grad, 0.5)));
            let of = |x: &[f64]| naive(classes, x, &labels);
            assert!((value - of(&to_f64(&logits))).abs() < 1e-6, "{pixels} {classes}: {value}");
            let slopes = small_differences(&to_f64(&logits), of);
            assert_close(&grad, &slopes.iter().map(|x| 1.0 + 0.5 * x).collect::<Vec<_>>(), 1e-6);
            assert_eq!(value, loss(isa, classes, &logits, &labels, None));
        }
    }
}

/// The same bits at any number of threads, for 20,011 pixels of 7 classes.
pub(super) fn check_region_loss_bits(loss: RegionLoss, logits: &[f32]) {
    let labels = labels(20_011, 7, true);
    for isa in Isa::available() {
        on_threads(|| {
            let mut grad = vec![0.0; logits.len()];
            let bits = loss(isa, 7, logits, &labels, Some((&mut grad, 1.0))).to_bits();
            grad.extend([f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)]);
            grad
        });
    }
}

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
fn small_differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
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
