//! The transforms of F(2x2, 7x7): an 8-point Winograd (Toom-Cook) convolution with the interpolation points 0,
//! +-1/2, +-1, +-2 and infinity.
//!
//! In one dimension, `y = A^T ((G g) * (B^T d))` for 2 outputs, 7 weights `g` and 8 inputs `d`. The gradients of
//! `g` use the transposes of `A^T` and `G`. Points are in the order 0, 1/2, -1/2, 1, -1, 2, -2, infinity.

use crate::simd::Simd;

/// The positive points and, for each, the reciprocal of the derivative of the points' polynomial there: with
/// `P = p^2`, `1 / (2 P (P - Q) (P - R))`.
const POSITIVE: [(f32, f32); 3] = [
    (0.5, (1.0 / (0.5 * (0.25 - 1.0) * (0.25 - 4.0))) as f32),
    (1.0, (1.0 / (2.0 * (1.0 - 0.25) * (1.0 - 4.0))) as f32),
    (2.0, (1.0 / (8.0 * (4.0 - 0.25) * (4.0 - 1.0))) as f32),
];

/// `B^T d`
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::V; 8]) -> [S::V; 8] {
    // x^4 - sum x^2 + product, for the pair of squares that a point leaves over.
    let part = |hi, mid, lo, sum: f32, product: f32| {
        simd.mul_add(simd.splat(product), lo, simd.mul_add(simd.splat(-sum), mid, hi))
    };
    let (even_a, odd_a) = (part(d[6], d[4], d[2], 5.0, 4.0), part(d[5], d[3], d[1], 5.0, 4.0));
    let (even_b, odd_b) = (part(d[6], d[4], d[2], 4.25, 1.0), part(d[5], d[3], d[1], 4.25, 1.0));
    let (even_c, odd_c) = (part(d[6], d[4], d[2], 1.25, 0.25), part(d[5], d[3], d[1], 1.25, 0.25));
    let half = simd.splat(0.5);
    let two = simd.splat(2.0);
    let (minus_half, minus_two) = (simd.splat(-0.5), simd.splat(-2.0));
    let all = simd.splat(5.25);
    [
        simd.mul_add(all, simd.sub(d[2], d[4]), simd.sub(d[6], d[0])),
        simd.mul_add(half, odd_a, even_a),
        simd.mul_add(minus_half, odd_a, even_a),
        simd.add(even_b, odd_b),
        simd.sub(even_b, odd_b),
        simd.mul_add(two, odd_c, even_c),
        simd.mul_add(minus_two, odd_c, even_c),
        simd.mul_add(all, simd.sub(d[3], d[5]), simd.sub(d[7], d[1])),
    ]
}

/// `A^T m`
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::V; 8]) -> [S::V; 2] {
    let sum = |i: usize| simd.add(m[i], m[i + 1]);
    let difference = |i: usize| simd.sub(m[i], m[i + 1]);
    let odd = simd.mul_add(simd.splat(0.5), difference(1), simd.add(difference(3), m[7]));
    [
        simd.add(simd.add(m[0], sum(1)), simd.add(sum(3), sum(5))),
        simd.mul_add(simd.splat(2.0), difference(5), odd),
    ]
}

/// `G g`
#[inline(always)]
pub(super) fn weights<S: Simd>(simd: S, g: [S::V; 7]) -> [S::V; 8] {
    let mut u = [simd.sub(simd.splat(0.0), g[0]); 8];
    u[7] = g[6];
    for (i, (p, n)) in POSITIVE.into_iter().enumerate() {
        let q = p * p;
        let c = |x: f32| simd.splat(x * n);
        let even = simd.mul_add(
            c(q * q * q),
            g[6],
            simd.mul_add(c(q * q), g[4], simd.mul_add(c(q), g[2], simd.mul(c(1.0), g[0]))),
        );
        let odd = simd.mul_add(c(p * q * q), g[5], simd.mul_add(c(p * q), g[3], simd.mul(c(p), g[1])));
        u[2 * i + 1] = simd.add(even, odd);
        u[2 * i + 2] = simd.sub(even, odd);
    }
    u
}

/// `G^T u`
#[inline(always)]
pub(super) fn weights_transposed<S: Simd>(simd: S, u: [S::V; 8]) -> [S::V; 7] {
    let zero = simd.splat(0.0);
    let mut g = [zero; 7];
    g[0] = simd.sub(zero, u[0]);
    g[6] = u[7];
    for (i, (p, n)) in POSITIVE.into_iter().enumerate() {
        let q = p * p;
        let even = simd.mul(simd.splat(n), simd.add(u[2 * i + 1], u[2 * i + 2]));
        let odd = simd.mul(simd.splat(n * p), simd.sub(u[2 * i + 1], u[2 * i + 2]));
        g[0] = simd.add(g[0], even);
        g[1] = simd.add(g[1], odd);
        g[2] = simd.mul_add(simd.splat(q), even, g[2]);
        g[3] = simd.mul_add(simd.splat(q), odd, g[3]);
        g[4] = simd.mul_add(simd.splat(q * q), even, g[4]);
        g[5] = simd.mul_add(simd.splat(q * q), odd, g[5]);
        g[6] = simd.mul_add(simd.splat(q * q * q), even, g[6]);
    }
    g
}

/// `A y`
#[inline(always)]
pub(super) fn output_transposed<S: Simd>(simd: S, y: [S::V; 2]) -> [S::V; 8] {
    let at = |p: f32| simd.mul_add(simd.splat(p), y[1], y[0]);
    [y[0], at(0.5), at(-0.5), at(1.0), at(-1.0), at(2.0), at(-2.0), y[1]]
}
