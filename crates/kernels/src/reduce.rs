//! Sums over rows.

use crate::Isa;
use crate::chunks::collect;
use crate::dispatch::dispatch;
use crate::simd::Simd;

/// Rows in a task: enough to pay for it, and at most some 256 tasks, whose partial sums are added in
/// order at the end.
pub(crate) fn rows_in_task(rows: usize, c: usize) -> usize {
    crate::chunks::rows_per_task(c).max(rows.div_ceil(256)).max(1)
}

/// Column sums of `x` (P x C rows, C = `c`) into `out` (C numbers), or added to it. The gradient of a
/// bias. Sums run over at most 64 rows in `f32`, beyond that in `f64`.
///
/// # Panics
/// When a length does not fit `c`.
pub fn sum_rows(isa: Isa, x: &[f32], c: usize, out: &mut [f32], accumulate: bool) {
    assert_eq!(out.len(), c);
    if c == 0 {
        return;
    }
    assert_eq!(x.len() % c, 0);
    let rows = x.len() / c;
    let partial = collect(rows, rows_in_task(rows, c), |range| {
        let mut sums = vec![0.0; c];
        sum_rows_part(isa, &x[range.start * c..range.end * c], c, &mut sums);
        sums
    });
    for (i, out) in out.iter_mut().enumerate() {
        let sum = partial.iter().map(|sums| sums[i]).sum::<f64>() as f32;
        *out = if accumulate { *out + sum } else { sum };
    }
}

dispatch! { fn sum_rows_part<'a>(x: &'a [f32], c: usize, sums: &'a mut [f64]) = sum_rows_body }

#[inline(always)]
fn sum_rows_body<S: Simd>(_: S, x: &[f32], c: usize, sums: &mut [f64]) {
    // Several short rows are taken together so that the inner loop is long enough for vectors.
    let width = 64_usize.div_ceil(c) * c;
    let mut lanes = vec![0.0_f32; width];
    for block in x.chunks(64 * width) {
        let rows = block.chunks_exact(width);
        for (lane, x) in lanes.iter_mut().zip(rows.remainder()) {
            *lane = *x;
        }
        for row in rows {
            for (lane, x) in lanes.iter_mut().zip(row) {
                *lane += x;
            }
        }
        for row in lanes.chunks_exact(c) {
            for (sum, lane) in sums.iter_mut().zip(row) {
                *sum += f64::from(*lane);
            }
        }
        lanes.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, normal, on_threads};

    #[test]
    fn sums_equal_naive_ones() {
        for isa in Isa::available() {
            for (rows, c) in
                [(0, 3), (1, 1), (1, 7), (63, 7), (641, 7), (4_999, 17), (70_001, 1), (301, 64), (77, 131)]
            {
                let x = normal(1, rows * c);
                let mut want = vec![0.0_f64; c];
                for row in x.chunks(c) {
                    for (sum, x) in want.iter_mut().zip(row) {
                        *sum += f64::from(*x);
                    }
                }
                let out = on_threads(|| {
                    let mut out = vec![f32::NAN; c];
                    sum_rows(isa, &x, c, &mut out, false);
                    out
                });
                assert_close(&out, &want, 3e-5);
                let mut twice = out.clone();
                sum_rows(isa, &x, c, &mut twice, true);
                assert!(twice.iter().zip(&out).all(|(twice, out)| *twice == 2.0 * out));
            }
            sum_rows(isa, &[], 0, &mut [], false);
        }
    }
}
