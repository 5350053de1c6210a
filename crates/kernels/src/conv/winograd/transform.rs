//! The transforms of F(4x4, 3x3): A 6-point Winograd (Toom-Cook) convolution with the interpolation points
//! 0, +-5/8, +-5/4 and infinity, which halve the rounding error of the usual 0, +-1, +-2 (see Barabasz et al.,
//! "Error analysis and improving the accuracy of Winograd convolution", 2020).
//!
//! In one dimension, `y = A^T ((G g) * (B^T d))` for 4 outputs, 3 weights `g` and 6 inputs `d`.

use crate::simd::Simd;

const A: f32 = 5.0 / 8.0;
const B: f32 = 5.0 / 4.0;
const A2: f32 = A * A;
const B2: f32 = B * B;

/// `B^T d`
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::V; 6]) -> [S::V; 6] {
    let (a2, b2) = (simd.splat(-A2), simd.splat(-B2));
    let (a, b) = (simd.splat(A), simd.splat(B));
    let (na, nb) = (simd.splat(-A), simd.splat(-B));
    let (ab, sum) = (simd.splat(A2 * B2), simd.splat(-(A2 + B2)));
    let even_a = simd.mul_add(b2, d[2], d[4]);
    let odd_a = simd.mul_add(b2, d[1], d[3]);
    let even_b = simd.mul_add(a2, d[2], d[4]);
    let odd_b = simd.mul_add(a2, d[1], d[3]);
    [
        simd.mul_add(ab, d[0], simd.mul_add(sum, d[2], d[4])),
        simd.mul_add(a, odd_a, even_a),
        simd.mul_add(na, odd_a, even_a),
        simd.mul_add(b, odd_b, even_b),
        simd.mul_add(nb, odd_b, even_b),
        simd.mul_add(ab, d[1], simd.mul_add(sum, d[3], d[5])),
    ]
}

/// `A^T m`
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::V; 6]) -> [S::V; 4] {
    let (sum_a, sum_b) = (simd.add(m[1], m[2]), simd.add(m[3], m[4]));
    let (dif_a, dif_b) = (simd.sub(m[1], m[2]), simd.sub(m[3], m[4]));
    [
        simd.add(m[0], simd.add(sum_a, sum_b)),
        simd.mul_add(simd.splat(A), dif_a, simd.mul(simd.splat(B), dif_b)),
        simd.mul_add(simd.splat(A2), sum_a, simd.mul(simd.splat(B2), sum_b)),
        simd.mul_add(simd.splat(A2 * A), dif_a, simd.mul_add(simd.splat(B2 * B), dif_b, m[5])),
    ]
}

/// The matrix `G` (6 x 3): weights evaluated at the points, divided by the derivative of the points' polynomial.
pub(super) const G: [[f32; 3]; 6] = {
    let (a, b) = (5.0f64 / 8.0, 5.0f64 / 4.0);
    let na = 1.0 / (2.0 * a * a * (a * a - b * b));
    let nb = 1.0 / (2.0 * b * b * (b * b - a * a));
    [
        [(1.0 / (a * a * b * b)) as f32, 0.0, 0.0],
        [na as f32, (na * a) as f32, (na * a * a) as f32],
        [na as f32, (-na * a) as f32, (na * a * a) as f32],
        [nb as f32, (nb * b) as f32, (nb * b * b) as f32],
        [nb as f32, (-nb * b) as f32, (nb * b * b) as f32],
        [0.0, 0.0, 1.0],
    ]
};

/// `1 / N(p)` of `G` at the points 0, +-5/8 and +-5/4.
const N: [f32; 3] = [G[0][0], G[1][0], G[3][0]];

/// The transform of 4 weights for 3 outputs, `F(3, 4)` on the same points: the same matrix with a fourth power.
#[inline(always)]
pub(super) fn four_weights<S: Simd>(simd: S, g: [S::V; 4]) -> [S::V; 6] {
    let even = |p2: f32, n: f32| simd.mul_add(simd.splat(p2 * n), g[2], simd.mul(simd.splat(n), g[0]));
    let odd =
        |p: f32, p3: f32, n: f32| simd.mul_add(simd.splat(p3 * n), g[3], simd.mul(simd.splat(p * n), g[1]));
    let (even_a, odd_a) = (even(A2, N[1]), odd(A, A2 * A, N[1]));
    let (even_b, odd_b) = (even(B2, N[2]), odd(B, B2 * B, N[2]));
    [
        simd.mul(simd.splat(N[0]), g[0]),
        simd.add(even_a, odd_a),
        simd.sub(even_a, odd_a),
        simd.add(even_b, odd_b),
        simd.sub(even_b, odd_b),
        g[3],
    ]
}

/// `A^T m` for 3 outputs.
#[inline(always)]
pub(super) fn three_outputs(m: [f32; 6]) -> [f32; 3] {
    let (sum_a, sum_b) = (m[1] + m[2], m[3] + m[4]);
    let (dif_a, dif_b) = (m[1] - m[2], m[3] - m[4]);
    [m[0] + (sum_a + sum_b), A * dif_a + B * dif_b, A2 * sum_a + B2 * sum_b + m[5]]
}
