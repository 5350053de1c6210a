//! Optimisers: one pass over flat buffers, with PyTorch's formulas.

use crate::Isa;
use crate::chunks::{CHUNK, for_each2, for_each3};
use crate::dispatch::dispatch;
use crate::simd::Simd;

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
