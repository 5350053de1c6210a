//! Batch normalisation over rows of C channels (Ioffe and Szegedy, 2015), with PyTorch's definitions.

use crate::Isa;
use crate::chunks::{collect, rows_per_task};
use crate::dispatch::dispatch;
use crate::reduce::rows_in_task;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Running statistics, updated by a training pass.
#[derive(Debug)]
pub struct Running<'a> {
    /// Share of the new value: `r = (1 - momentum) r + momentum * batch`.
    pub momentum: f32,
    /// C means.
    pub mean: &'a mut [f32],
    /// C variances; the unbiased estimate of the batch is mixed in.
    pub var: &'a mut [f32],
}

/// Normalises `x` (P x C) by the batch's own mean and (biased) variance, then scales by `weight` and
/// shifts by `bias` (C each) into `y`. What the gradient needs goes to `save_mean` and `save_inv_std`.
/// Sums are taken in `f64` and in a fixed order. With P = 1 the unbiased variance is taken as 0 (PyTorch
/// refuses such a batch).
///
/// # Panics
/// When a length does not fit.
pub fn batch_norm_train(
    isa: Isa,
    x: &[f32],
    c: usize,
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    y: &mut [f32],
    save_mean: &mut [f32],
    save_inv_std: &mut [f32],
    running: Option<Running<'_>>,
) {
    let rows = check(x, y, c);
    assert!(weight.len() == c && bias.len() == c && save_mean.len() == c && save_inv_std.len() == c);
    if rows == 0 {
        return;
    }
    let sums = sums(c, rows, |range, out| moments(isa, &x[range.start * c..range.end * c], out));
    let mut var = vec![0.0; c];
    for i in 0..c {
        let mean = sums[2 * i] / rows as f64;
        let biased = sums[2 * i + 1] / rows as f64 - mean * mean;
        // Not f64::max, which would hide a NaN.
        var[i] = if biased < 0.0 { 0.0 } else { biased };
        save_mean[i] = mean as f32;
        save_inv_std[i] = (1.0 / (var[i] + f64::from(eps)).sqrt()) as f32;
    }
    if let Some(Running { momentum, mean, var: running_var }) = running {
        let unbias = rows as f64 / (rows.max(2) - 1) as f64;
        for i in 0..c {
            mean[i] += momentum * (save_mean[i] - mean[i]);
            running_var[i] += momentum * ((var[i] * unbias) as f32 - running_var[i]);
        }
    }
    let gain: Vec<f32> = (0..c).map(|i| weight[i] * save_inv_std[i]).collect();
    normalise(isa, x, c, &gain, save_mean, bias, y);
}

/// Normalises `x` (P x C) by the given statistics (C each) into `y`.
///
/// # Panics
/// When a length does not fit.
pub fn batch_norm_eval(
    isa: Isa,
    x: &[f32],
    c: usize,
    weight: &[f32],
    bias: &[f32],
    mean: &[f32],
    var: &[f32],
    eps: f32,
    y: &mut [f32],
) {
    check(x, y, c);
    assert!(weight.len() == c && bias.len() == c && mean.len() == c && var.len() == c);
    let inv_std = |var: f32| 1.0 / (f64::from(var) + f64::from(eps)).sqrt();
    let gain: Vec<f32> = (0..c).map(|i| (f64::from(weight[i]) * inv_std(var[i])) as f32).collect();
    normalise(isa, x, c, &gain, mean, bias, y);
}

/// Gradients of [`batch_norm_train`]: `dx` is overwritten; `dw` and `db` (C each) are overwritten or,
/// with `accumulate`, added to. `dx` depends on `dy` through the batch's statistics too.
///
/// # Panics
/// When a length does not fit.
pub fn batch_norm_grad(
    isa: Isa,
    x: &[f32],
    dy: &[f32],
    c: usize,
    weight: &[f32],
    save_mean: &[f32],
    save_inv_std: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
    db: &mut [f32],
    accumulate: bool,
) {
    let rows = check(x, dx, c);
    assert!(dy.len() == x.len() && weight.len() == c && dw.len() == c && db.len() == c);
    assert!(save_mean.len() == c && save_inv_std.len() == c);
    if !accumulate {
        dw.fill(0.0);
        db.fill(0.0);
    }
    if rows == 0 {
        return;
    }
    let sums = sums(c, rows, |range, out| {
        let range = range.start * c..range.end * c;
        grad_sums(isa, &x[range.clone()], &dy[range], save_mean, out);
    });
    // dx = gain * (dy - mean(dy) - xhat * mean(dy * xhat)), as dx = gain * dy + slope * (x - mean) + shift.
    let mut gain = vec![0.0; c];
    let mut slope = vec![0.0; c];
    let mut shift = vec![0.0; c];
    for i in 0..c {
        let inv_std = f64::from(save_inv_std[i]);
        let (sum_dy, sum_dy_xhat) = (sums[2 * i], sums[2 * i + 1] * inv_std);
        let g = f64::from(weight[i]) * inv_std;
        gain[i] = g as f32;
        slope[i] = (-g * inv_std * sum_dy_xhat / rows as f64) as f32;
        shift[i] = (-g * sum_dy / rows as f64) as f32;
        dw[i] += sum_dy_xhat as f32;
        db[i] += sum_dy as f32;
    }
    let chunk = rows_per_task(c) * c;
    parallel_chunks_mut(dx, chunk, |i, dx| {
        let range = i * chunk..i * chunk + dx.len();
        input_grad(isa, &x[range.clone()], &dy[range], &gain, &slope, &shift, save_mean, dx);
    });
}

fn check(x: &[f32], y: &[f32], c: usize) -> usize {
    assert_eq!(x.len(), y.len());
    if c == 0 {
        return 0;
    }
    assert_eq!(x.len() % c, 0);
    x.len() / c
}

/// Pairs of sums for each channel: `f` adds those of a range of rows to its output (2C numbers).
fn sums(c: usize, rows: usize, f: impl Fn(std::ops::Range<usize>, &mut [f64]) + Sync + Send) -> Vec<f64> {
    let partial = collect(rows, rows_in_task(rows, c), |range| {
        let mut sums = vec![0.0; 2 * c];
        f(range, &mut sums);
        sums
    });
    let mut total = vec![0.0; 2 * c];
    for sums in partial {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    // From (C sums, C sums) to C pairs.
    (0..2 * c).map(|i| total[i / 2 + (i % 2) * c]).collect()
}

dispatch! { fn moments<'a>(x: &'a [f32], sums: &'a mut [f64]) = moments_body }

/// Sums of `x` and of its square; the squares are exact in `f64`.
#[inline(always)]
fn moments_body<S: Simd>(_: S, x: &[f32], sums: &mut [f64]) {
    let c = sums.len() / 2;
    let (sum, square) = sums.split_at_mut(c);
    for row in x.chunks_exact(c) {
        for ((sum, square), x) in sum.iter_mut().zip(square.iter_mut()).zip(row) {
            let x = f64::from(*x);
            *sum += x;
            *square += x * x;
        }
    }
}

dispatch! {
    fn grad_sums<'a>(x: &'a [f32], dy: &'a [f32], mean: &'a [f32], sums: &'a mut [f64]) = grad_sums_body
}

/// Sums of `dy` and of `dy * (x - mean)`.
#[inline(always)]
fn grad_sums_body<S: Simd>(_: S, x: &[f32], dy: &[f32], mean: &[f32], sums: &mut [f64]) {
    let c = sums.len() / 2;
    let (sum, product) = sums.split_at_mut(c);
    let (sum, product, mean) = (&mut sum[..c], &mut product[..c], &mean[..c]);
    for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact(c)) {
        for i in 0..c {
            sum[i] += f64::from(dy[i]);
            product[i] += f64::from(dy[i] * (x[i] - mean[i]));
        }
    }
}

/// `y = gain * (x - mean) + bias`
fn normalise(isa: Isa, x: &[f32], c: usize, gain: &[f32], mean: &[f32], bias: &[f32], y: &mut [f32]) {
    let chunk = rows_per_task(c) * c;
    parallel_chunks_mut(y, chunk, |i, y| {
        normalise_part(isa, &x[i * chunk..i * chunk + y.len()], gain, mean, bias, y);
    });
}

dispatch! {
    fn normalise_part<'a>(x: &'a [f32], gain: &'a [f32], mean: &'a [f32], bias: &'a [f32], y: &'a mut [f32])
        = normalise_body
}

#[inline(always)]
fn normalise_body<S: Simd>(simd: S, x: &[f32], gain: &[f32], mean: &[f32], bias: &[f32], y: &mut [f32]) {
    let c = gain.len();
    let (mean, bias) = (&mean[..c], &bias[..c]);
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        for i in 0..c {
            y[i] = simd.mul_add_scalar(gain[i], x[i] - mean[i], bias[i]);
        }
    }
}

dispatch! {
    fn input_grad<'a>(x: &'a [f32], dy: &'a [f32], gain: &'a [f32], slope: &'a [f32], shift: &'a [f32],
        mean: &'a [f32], dx: &'a mut [f32]) = input_grad_body
}

#[inline(always)]
fn input_grad_body<S: Simd>(
    simd: S,
    x: &[f32],
    dy: &[f32],
    gain: &[f32],
    slope: &[f32],
    shift: &[f32],
    mean: &[f32],
    dx: &mut [f32],
) {
    let c = gain.len();
    let (slope, shift, mean) = (&slope[..c], &shift[..c], &mean[..c]);
    for ((x, dy), dx) in x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
        for i in 0..c {
            let rest = simd.mul_add_scalar(slope[i], x[i] - mean[i], shift[i]);
            dx[i] = simd.mul_add_scalar(gain[i], dy[i], rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, differences, dot, normal, on_threads, to_f64};

    const EPS: f32 = 1e-5;

    /// y, mean, biased variance
    fn naive(x: &[f64], c: usize, weight: &[f32], bias: &[f32]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let rows = (x.len() / c) as f64;
        let column = |i: usize| x.iter().skip(i).step_by(c);
        let mean: Vec<f64> = (0..c).map(|i| column(i).sum::<f64>() / rows).collect();
        let var: Vec<f64> =
            (0..c).map(|i| column(i).map(|x| (x - mean[i]).powi(2)).sum::<f64>() / rows).collect();
        let value = |(at, x): (usize, &f64)| {
            let i = at % c;
            (x - mean[i]) / (var[i] + f64::from(EPS)).sqrt() * f64::from(weight[i]) + f64::from(bias[i])
        };
        (x.iter().enumerate().map(value).collect(), mean, var)
    }

    fn train(isa: Isa, x: &[f32], c: usize, weight: &[f32], bias: &[f32]) -> [Vec<f32>; 5] {
        let mut y = vec![0.0; x.len()];
        let [mut mean, mut inv_std] = [vec![0.0; c], vec![0.0; c]];
        let (mut running_mean, mut running_var) = (vec![0.0; c], vec![1.0; c]);
        let running = Running { momentum: 0.1, mean: &mut running_mean, var: &mut running_var };
        batch_norm_train(isa, x, c, weight, bias, EPS, &mut y, &mut mean, &mut inv_std, Some(running));
        [y, mean, inv_std, running_mean, running_var]
    }

    #[test]
    fn training_and_gradients() {
        for isa in Isa::available() {
            for (rows, c) in [(2, 1), (5, 3), (37, 17), (11, 64)] {
                let mut x = normal(1, rows * c);
                x.iter_mut().for_each(|x| *x = 3.0 * *x + 7.0);
                let (weight, bias, dy) = (normal(2, c), normal(3, c), normal(4, x.len()));
                let (y, mean, var) = naive(&to_f64(&x), c, &weight, &bias);
                let [got, save_mean, inv_std, ..] = train(isa, &x, c, &weight, &bias);
                assert_close(&got, &y, 2e-5);
                assert_close(&save_mean, &mean, 1e-6);

                let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![1.0; c], vec![1.0; c]);
                batch_norm_grad(
                    isa, &x, &dy, c, &weight, &save_mean, &inv_std, &mut dx, &mut dw, &mut db, true,
                );
                let value = |x: &[f64]| dot(&naive(x, c, &weight, &bias).0, &dy);
                assert_close(&dx, &differences(&to_f64(&x), value), 1e-4);
                let (mut want_dw, mut want_db) = (vec![1.0; c], vec![1.0; c]);
                for (at, dy) in dy.iter().enumerate() {
                    let i = at % c;
                    let xhat = (f64::from(x[at]) - mean[i]) / (var[i] + f64::from(EPS)).sqrt();
                    want_dw[i] += f64::from(*dy) * xhat;
                    want_db[i] += f64::from(*dy);
                }
                assert_close(&dw, &want_dw, 1e-5);
                assert_close(&db, &want_db, 1e-5);
            }
        }
    }

    #[test]
    fn equals_pytorch() {
        // torch.nn.BatchNorm1d(2), one step, then eval(), in double precision
        let x = [1.0, 2.0, 3.0, -1.0, 0.0, 5.0, 2.0, 2.0];
        let dy = [0.5, -1.0, 1.0, 0.25, -0.75, 2.0, 0.125, 0.5];
        let (weight, bias) = ([1.5, -0.5], [0.25, 1.0]);
        for isa in Isa::available() {
            let [y, mean, inv_std, running_mean, running_var] = train(isa, &x, 2, &weight, &bias);
            let want = [-0.420817709984, 1.0, 2.262453129953, 1.707105995514];
            assert_close(&y[..4], &want, 1e-6);
            assert_close(&running_mean, &[0.15, 0.2], 1e-6);
            assert_close(&running_var, &[1.066666666667, 1.5], 1e-6);
            let (mut dx, mut dw, mut db) = (vec![0.0; 8], vec![f32::NAN; 2], vec![f32::NAN; 2]);
            batch_norm_grad(isa, &x, &dy, 2, &weight, &mean, &inv_std, &mut dx, &mut dw, &mut db, false);
            let want = [0.704355979316, 0.33882162285, 0.067089619503, -0.162044665663];
            assert_close(&dx[..4], &want, 1e-6);
            assert_close(&dw, &[2.180157557449, 2.474870984298], 1e-6);
            assert_close(&db, &[0.875, 1.75], 1e-6);
            let mut y = vec![0.0; 8];
            batch_norm_eval(isa, &x, 2, &weight, &bias, &running_mean, &running_var, EPS, &mut y);
            assert_close(&y[..4], &[1.484507654863, 0.265155526643, 4.389231548657, 1.489896315572], 1e-6);
        }
    }

    #[test]
    fn bits_over_several_tasks() {
        for isa in Isa::available() {
            let (c, x) = (13, normal(1, 13 * 9_973));
            let (weight, bias, dy) = (normal(2, c), normal(3, c), normal(4, x.len()));
            on_threads(|| {
                let [y, mean, inv_std, _, var] = train(isa, &x, c, &weight, &bias);
                let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; c], vec![0.0; c]);
                batch_norm_grad(isa, &x, &dy, c, &weight, &mean, &inv_std, &mut dx, &mut dw, &mut db, false);
                [y, mean, inv_std, var, dx, dw, db].concat()
            });
        }
    }

    #[test]
    fn large_means_do_not_cancel() {
        let x: Vec<f32> = normal(1, 4_001).iter().map(|x| x + 2_000.0).collect();
        let (_, _, var) = naive(&to_f64(&x), 1, &[1.0], &[0.0]);
        for isa in Isa::available() {
            let [_, _, inv_std, ..] = train(isa, &x, 1, &[1.0], &[0.0]);
            assert_close(&inv_std, &[1.0 / (var[0] + f64::from(EPS)).sqrt()], 1e-6);
        }
    }

    #[test]
    fn edges() {
        for isa in Isa::available() {
            let [y, mean, _, _, var] = train(isa, &[3.0, 4.0], 2, &[1.0; 2], &[0.5; 2]);
            assert!(y == [0.5, 0.5] && mean == [3.0, 4.0] && var == [0.9, 0.9]);
            let [y, ..] = train(isa, &[], 2, &[1.0; 2], &[0.5; 2]);
            assert!(y.is_empty());
            let [y, ..] = train(isa, &[f32::NAN, 1.0, 2.0, 2.0], 2, &[1.0; 2], &[0.5; 2]);
            assert!(y[0].is_nan() && y[2].is_nan() && !y[1].is_nan());
        }
    }
}
