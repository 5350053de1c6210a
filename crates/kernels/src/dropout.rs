//! Dropout (Srivastava et al., 2014), drawn from the counter-based generator.

use crate::Isa;
use crate::chunks::{for_each_row, rows_per_task};
use crate::dispatch::dispatch;
use crate::rng::{Key, Sequence};
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Which numbers are dropped. The same key drops the same ones, so the gradient is the same call on `dy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutKey {
    /// The user's seed.
    pub seed: u64,
    /// The training step.
    pub step: u64,
    /// Which node of the network.
    pub node: u64,
    /// The probability of being dropped. At 0 (or less) nothing is touched; at 1 all becomes 0.
    pub p: f32,
}

/// Keeps dropout's streams apart from those of other users of a seed ("dropout" in ASCII).
const PURPOSE: u64 = 0x64_726f_706f_7574 << 8;

impl DropoutKey {
    fn sequence(&self) -> Sequence {
        Key { seed: self.seed, stream: PURPOSE ^ self.node, step: self.step }.sequence()
    }

    /// Random words below this are dropped.
    fn threshold(&self) -> u64 {
        (f64::from(self.p.clamp(0.0, 1.0)) * 4_294_967_296.0).round() as u64
    }

    /// The factor for what is kept, 1 / (1 - p).
    fn gain(&self) -> f32 {
        if self.p < 1.0 { (1.0 / (1.0 - f64::from(self.p))) as f32 } else { 0.0 }
    }
}

/// Drops single numbers of `x` (N x H x W x C), in place; the others are multiplied by 1 / (1 - p). The
/// draw of a number is that of its place in N x C x H x W order.
///
/// # Panics
/// When the length does not fit.
pub fn dropout(isa: Isa, key: &DropoutKey, n: usize, h: usize, w: usize, c: usize, x: &mut [f32]) {
    assert_eq!(x.len(), n * h * w * c);
    if key.p <= 0.0 || x.is_empty() {
        return;
    }
    let (sequence, threshold, gain) = (key.sequence(), key.threshold(), key.gain());
    // A drawn number costs far more than a read one.
    let rows = rows_per_task(16 * c).next_multiple_of(4);
    parallel_chunks_mut(x, rows * c, |task, x| {
        if (h * w).is_multiple_of(4) {
            // Four neighbouring pixels share the generator's blocks.
            for (i, x) in x.chunks_exact_mut(4 * c).enumerate() {
                let pixel = task * rows + 4 * i;
                let (n, pixel) = (pixel / (h * w), pixel % (h * w));
                let first = (n * c * h * w + pixel) as u64 / 4;
                drop_four(isa, &sequence, first, (h * w) as u64 / 4, threshold, gain, x);
            }
            return;
        }
        for (i, x) in x.chunks_exact_mut(c).enumerate() {
            let pixel = task * rows + i;
            let (n, pixel) = (pixel / (h * w), pixel % (h * w));
            let first = (n * c * h * w + pixel) as u64;
            drop_row(isa, &sequence, first, (h * w) as u64, threshold, gain, x);
        }
    });
}

dispatch! {
    fn drop_row<'a>(sequence: &'a Sequence, first: u64, step: u64, threshold: u64, gain: f32, x: &'a mut [f32])
        = drop_row_body
}

#[inline(always)]
fn drop_row_body<S: Simd>(
    _: S,
    sequence: &Sequence,
    first: u64,
    step: u64,
    threshold: u64,
    gain: f32,
    x: &mut [f32],
) {
    let sequence = *sequence;
    for (i, x) in x.iter_mut().enumerate() {
        let word = sequence.u32(first + i as u64 * step);
        *x *= if u64::from(word) < threshold { 0.0 } else { gain };
    }
}

dispatch! {
    fn drop_four<'a>(sequence: &'a Sequence, first: u64, step: u64, threshold: u64, gain: f32, x: &'a mut [f32])
        = drop_four_body
}

/// Four pixels, whose draws for channel `i` are the words of block `first + i * step`.
#[inline(always)]
fn drop_four_body<S: Simd>(
    _: S,
    sequence: &Sequence,
    first: u64,
    step: u64,
    threshold: u64,
    gain: f32,
    x: &mut [f32],
) {
    const BLOCKS: usize = 32;
    let sequence = *sequence;
    let c = x.len() / 4;
    for c0 in (0..c).step_by(BLOCKS) {
        let mut factors = [[0.0; BLOCKS]; 4];
        for i in 0..BLOCKS {
            let block = sequence.block(first + (c0 + i) as u64 * step);
            for j in 0..4 {
                factors[j][i] = if u64::from(block[j]) < threshold { 0.0 } else { gain };
            }
        }
        for (x, factors) in x.chunks_exact_mut(c).zip(&factors) {
            for (x, factor) in x[c0..].iter_mut().zip(factors) {
                *x *= factor;
            }
        }
    }
}

/// Drops whole channels of `x` (N x H x W x C), in place; the others are multiplied by 1 / (1 - p). The
/// draw of a channel is that of its place in N x C order.
///
/// # Panics
/// When the length does not fit.
pub fn dropout2d(isa: Isa, key: &DropoutKey, n: usize, h: usize, w: usize, c: usize, x: &mut [f32]) {
    assert_eq!(x.len(), n * h * w * c);
    if key.p <= 0.0 || x.is_empty() {
        return;
    }
    let mut factors = vec![1.0; n * c];
    dropout(isa, key, n, 1, 1, c, &mut factors);
    for_each_row(x, w * c, |row, x| {
        let n = row / h;
        multiply_rows(isa, &factors[n * c..(n + 1) * c], x);
    });
}

dispatch! { fn multiply_rows<'a>(factors: &'a [f32], x: &'a mut [f32]) = multiply_rows_body }

#[inline(always)]
fn multiply_rows_body<S: Simd>(_: S, factors: &[f32], x: &mut [f32]) {
    for x in x.chunks_exact_mut(factors.len()) {
        for (x, factor) in x.iter_mut().zip(factors) {
            *x *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{normal, on_threads};

    const KEY: DropoutKey = DropoutKey { seed: 5, step: 9, node: 3, p: 0.3 };

    fn draw(key: &DropoutKey, index: usize) -> f32 {
        let key = Key { seed: key.seed, stream: PURPOSE ^ key.node, step: key.step };
        if f64::from(key.u32(index as u64)) / 4_294_967_296.0 < f64::from(KEY.p) { 0.0 } else { 1.0 / 0.7 }
    }

    #[test]
    fn draws_are_those_of_nchw_order() {
        // With 4 pixels or a multiple, and without.
        for (n, h, w) in [(2, 3, 5), (3, 2, 2), (2, 3, 4)] {
            for isa in Isa::available() {
                for c in [1, 3, 15, 16, 17, 37] {
                    let x = normal(1, n * h * w * c);
                    let run = |f: fn(Isa, &DropoutKey, usize, usize, usize, usize, &mut [f32])| {
                        on_threads(|| {
                            let mut y = x.clone();
                            f(isa, &KEY, n, h, w, c, &mut y);
                            y
                        })
                    };
                    let (single, whole) = (run(dropout), run(dropout2d));
                    for at in 0..x.len() {
                        let (pixel, c_at) = (at / c, at % c);
                        let (n_at, pixel) = (pixel / (h * w), pixel % (h * w));
                        let channel = n_at * c + c_at;
                        let near = |y: f32, factor: f32| (y - x[at] * factor).abs() <= 1e-6 * x[at].abs();
                        assert!(near(single[at], draw(&KEY, channel * h * w + pixel)));
                        assert!(near(whole[at], draw(&KEY, channel)));
                    }
                }
            }
        }
    }

    #[test]
    fn share_and_independence() {
        let isa = Isa::best();
        let kept = |key: &DropoutKey| {
            let mut x = vec![1.0; 40_000];
            dropout(isa, key, 4, 10, 10, 100, &mut x);
            x.iter().map(|x| *x != 0.0).collect::<Vec<_>>()
        };
        let first = kept(&KEY);
        let share = first.iter().filter(|kept| **kept).count() as f64 / 40_000.0;
        assert!((share - 0.7).abs() < 0.01);
        for other in
            [DropoutKey { seed: 6, ..KEY }, DropoutKey { step: 10, ..KEY }, DropoutKey { node: 4, ..KEY }]
        {
            let same = first.iter().zip(kept(&other)).filter(|(a, b)| *a == b).count() as f64 / 40_000.0;
            assert!((same - 0.58).abs() < 0.01, "0.7^2 + 0.3^2 of independent draws agree, {same} here");
        }
    }

    #[test]
    fn probability_of_none_and_all() {
        for isa in Isa::available() {
            let x = normal(1, 60);
            let mut y = x.clone();
            dropout(isa, &DropoutKey { p: 0.0, ..KEY }, 1, 4, 5, 3, &mut y);
            dropout2d(isa, &DropoutKey { p: 0.0, ..KEY }, 1, 4, 5, 3, &mut y);
            assert_eq!(x, y);
            dropout(isa, &DropoutKey { p: 1.0, ..KEY }, 1, 4, 5, 3, &mut y);
            assert!(y.iter().all(|y| *y == 0.0));
            dropout(isa, &KEY, 0, 4, 5, 3, &mut []);
            dropout2d(isa, &KEY, 1, 4, 5, 0, &mut []);
        }
    }
}
