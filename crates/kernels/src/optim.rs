//! Optimisers and the running average of weights: one pass over flat buffers, with PyTorch's formulas.

use crate::Isa;
use crate::chunks::{CHUNK, for_each2, for_each3};
use crate::dispatch::dispatch;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Stochastic gradient descent with momentum and L2 weight decay, as `torch.optim.SGD` without
/// dampening or Nesterov's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the old velocity that stays.
    pub momentum: f64,
    /// Multiple of the weight added to the gradient.
    pub weight_decay: f64,
}

/// One step over weights `w` with gradients `g`: `g += decay * w`, `velocity = momentum * velocity + g`,
/// `w -= lr * velocity`. The velocity begins as zeros.
///
/// # Panics
/// When the lengths differ.
pub fn sgd(isa: Isa, settings: &Sgd, w: &mut [f32], g: &[f32], velocity: &mut [f32]) {
    assert!(w.len() == g.len() && w.len() == velocity.len());
    let Sgd { lr, momentum, weight_decay } = *settings;
    for_each2(w, velocity, CHUNK, |range, w, velocity| {
        sgd_part(isa, lr as f32, momentum as f32, weight_decay as f32, w, &g[range], velocity);
    });
}

dispatch! {
    fn sgd_part<'a>(lr: f32, momentum: f32, decay: f32, w: &'a mut [f32], g: &'a [f32], velocity: &'a mut [f32])
        = sgd_body
}

#[inline(always)]
fn sgd_body<S: Simd>(
    simd: S,
    lr: f32,
    momentum: f32,
    decay: f32,
    w: &mut [f32],
    g: &[f32],
    velocity: &mut [f32],
) {
    for ((w, g), velocity) in w.iter_mut().zip(g).zip(velocity) {
        let g = simd.mul_add_scalar(decay, *w, *g);
        *velocity = simd.mul_add_scalar(momentum, *velocity, g);
        *w = simd.mul_add_scalar(-lr, *velocity, *w);
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Share of the old mean gradient that stays.
    pub beta1: f64,
    /// Share of the old mean square that stays.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// The weight is first multiplied by `1 - lr * weight_decay`.
    pub weight_decay: f64,
    /// The number of this step, from 1 (0 counts as 1).
    pub step: u64,
}

/// One step over weights `w` with gradients `g`; `m` and `v`, the running means of the gradient and of its
/// square, begin as zeros.
///
/// # Panics
/// When the lengths differ.
pub fn adamw(isa: Isa, settings: &AdamW, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    assert!(w.len() == g.len() && w.len() == m.len() && w.len() == v.len());
    let AdamW { lr, beta1, beta2, eps, weight_decay, step } = *settings;
    let power = step.clamp(1, i32::MAX as u64) as i32;
    let factors = AdamFactors {
        keep: (1.0 - lr * weight_decay) as f32,
        new1: (1.0 - beta1) as f32,
        beta2: beta2 as f32,
        new2: (1.0 - beta2) as f32,
        rate: (lr / (1.0 - beta1.powi(power))) as f32,
        root: (1.0 / (1.0 - beta2.powi(power)).sqrt()) as f32,
        eps: eps as f32,
    };
    for_each3(w, m, v, CHUNK, |range, w, m, v| adamw_part(isa, factors, w, &g[range], m, v));
}

#[derive(Clone, Copy)]
struct AdamFactors {
    keep: f32,
    new1: f32,
    beta2: f32,
    new2: f32,
    /// lr / (1 - beta1^step)
    rate: f32,
    /// 1 / sqrt(1 - beta2^step)
    root: f32,
    eps: f32,
}

dispatch! {
    fn adamw_part<'a>(f: AdamFactors, w: &'a mut [f32], g: &'a [f32], m: &'a mut [f32], v: &'a mut [f32])
        = adamw_body
}

#[inline(always)]
fn adamw_body<S: Simd>(simd: S, f: AdamFactors, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        *m = simd.mul_add_scalar(f.new1, *g - *m, *m);
        *v = simd.mul_add_scalar(f.new2 * *g, *g, f.beta2 * *v);
        let denominator = simd.mul_add_scalar(v.sqrt(), f.root, f.eps);
        *w = simd.mul_add_scalar(-f.rate, *m / denominator, *w * f.keep);
    }
}

/// Moves the running average of some weights towards them: `average += (1 - decay) * (w - average)`.
///
/// # Panics
/// When the lengths differ.
pub fn average(isa: Isa, decay: f64, w: &[f32], average: &mut [f32]) {
    assert_eq!(w.len(), average.len());
    let share = (1.0 - decay) as f32;
    parallel_chunks_mut(average, CHUNK, |i, average| {
        let start = i * CHUNK;
        average_part(isa, share, &w[start..start + average.len()], average);
    });
}

dispatch! { fn average_part<'a>(share: f32, w: &'a [f32], average: &'a mut [f32]) = average_body }

#[inline(always)]
fn average_body<S: Simd>(simd: S, share: f32, w: &[f32], average: &mut [f32]) {
    for (average, w) in average.iter_mut().zip(w) {
        *average = simd.mul_add_scalar(share, *w - *average, *average);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LENGTHS, assert_close, normal, on_threads, to_f64};

    const SGD: Sgd = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.01 };
    const ADAMW: AdamW = AdamW { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.05, step: 1 };

    fn gradient(step: usize) -> [f32; 3] {
        [0.1 * (step + 1) as f32, -0.2 + 0.3 * step as f32, 1e-3]
    }

    #[test]
    fn four_steps_equal_pytorch() {
        // torch.optim.SGD and AdamW with these settings and gradients, in double precision
        for isa in Isa::available() {
            let start = [1.0, -0.5, 0.25];
            let (mut w, mut velocity) = (start, [0.0; 3]);
            for step in 0..4 {
                sgd(isa, &SGD, &mut w, &gradient(step), &mut velocity);
            }
            assert_close(&w, &[0.805571046311, -0.5999049076705, 0.24683768815535], 1e-6);
            let (mut w, mut m, mut v) = (start, [0.0; 3], [0.0; 3]);
            for step in 0..4 {
                let settings = AdamW { step: step as u64 + 1, ..ADAMW };
                adamw(isa, &settings, &mut w, &gradient(step), &mut m, &mut v);
            }
            assert_close(&w, &[0.959194998625047, -0.49784001975046854, 0.20953076457236885], 1e-6);
        }
    }

    #[test]
    fn one_step_of_any_length() {
        for isa in Isa::available() {
            for len in LENGTHS {
                let (w, g, m) = (normal(1, len), normal(2, len), normal(3, len));
                let v: Vec<f32> = normal(4, len).iter().map(|v| v * v).collect();
                let got = on_threads(|| {
                    let (mut w, mut velocity) = (w.clone(), m.clone());
                    sgd(isa, &SGD, &mut w, &g, &mut velocity);
                    [w, velocity].concat()
                });
                let [w64, g64, m64, v64] = [&w, &g, &m, &v].map(|x| to_f64(x));
                let velocity: Vec<f64> = (0..len).map(|i| 0.9 * m64[i] + g64[i] + 0.01 * w64[i]).collect();
                assert_close(&got[len..], &velocity, 1e-6);
                let want: Vec<f64> = (0..len).map(|i| w64[i] - 0.1 * velocity[i]).collect();
                assert_close(&got[..len], &want, 1e-6);

                let got = on_threads(|| {
                    let (mut w, mut m, mut v) = (w.clone(), m.clone(), v.clone());
                    adamw(isa, &AdamW { step: 3, ..ADAMW }, &mut w, &g, &mut m, &mut v);
                    [w, m, v].concat()
                });
                let m: Vec<f64> = (0..len).map(|i| 0.9 * m64[i] + 0.1 * g64[i]).collect();
                let v: Vec<f64> = (0..len).map(|i| 0.999 * v64[i] + 0.001 * g64[i] * g64[i]).collect();
                let (bias1, bias2) = (1.0 - 0.9_f64.powi(3), 1.0 - 0.999_f64.powi(3));
                let w: Vec<f64> = (0..len)
                    .map(|i| {
                        w64[i] * (1.0 - 0.01 * 0.05) - 0.01 / bias1 * m[i] / ((v[i] / bias2).sqrt() + 1e-8)
                    })
                    .collect();
                assert_close(&got, &[w, m, v].concat(), 1e-6);
            }
        }
    }

    #[test]
    fn averages_of_any_length() {
        for isa in Isa::available() {
            for len in LENGTHS {
                let (w, a) = (normal(1, len), normal(2, len));
                let got = on_threads(|| {
                    let mut a = a.clone();
                    average(isa, 0.9, &w, &mut a);
                    a
                });
                let want: Vec<f64> =
                    to_f64(&w).iter().zip(to_f64(&a)).map(|(w, a)| 0.9 * a + 0.1 * w).collect();
                assert_close(&got, &want, 1e-6);
                let mut still = w.clone();
                average(isa, 0.999, &w, &mut still);
                assert_eq!(still, w);
            }
        }
    }
}
