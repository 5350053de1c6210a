//! What the tests of the kernels share.

use std::sync::OnceLock;

use crate::rng::{Key, fill_normal};
use crate::threads::Pool;

/// Lengths around the edges of vectors, and of tasks.
pub(crate) const LENGTHS: [usize; 14] = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 101, 16 * 1024 + 1, 50_021];

/// `len` standard normal numbers.
pub(crate) fn normal(seed: u64, len: usize) -> Vec<f32> {
    let mut x = vec![0.0; len];
    fill_normal(&Key { seed, stream: 0, step: 0 }, 1.0, &mut x);
    x
}

pub(crate) fn to_f64(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// Runs `f` on 1, 2, 3 and 8 threads and returns its result, whose bits must be the same.
#[track_caller]
pub(crate) fn on_threads(f: impl Fn() -> Vec<f32> + Sync) -> Vec<f32> {
    static POOLS: OnceLock<Vec<Pool>> = OnceLock::new();
    let pools = POOLS.get_or_init(|| [1, 2, 3, 8].map(Pool::new).into());
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let first = pools[0].install(&f);
    for pool in &pools[1..] {
        assert!(bits(&first) == bits(&pool.install(&f)), "the bits depend on the number of threads");
    }
    first
}

/// `|got - want| <= tolerance * (1 + |want|)`, or both NaN.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got = f64::from(got);
        let close = (got - want).abs() <= tolerance * (1.0 + want.abs());
        assert!(close || (got.is_nan() && want.is_nan()), "[{i}]: {got}, not {want}");
    }
}

/// The gradient of `f` at `x` by central differences.
pub(crate) fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-4;
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let middle = x[i];
            x[i] = middle + step;
            let right = f(&x);
            x[i] = middle - step;
            let left = f(&x);
            x[i] = middle;
            (right - left) / (2.0 * step)
        })
        .collect()
}

pub(crate) fn dot(a: &[f64], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum()
}
