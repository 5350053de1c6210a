//! Repulsion between all pairs of points.
//!
//! A pair is computed once for both its points. Rows are cut into blocks; a part takes blocks from both ends of
//! the triangle, so that parts are of one size, and has its own sums, which are added in order.

use super::attraction::sum;
use crate::Isa;
use crate::aligned::AlignedVec;
use crate::dispatch::dispatch;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Points in a block: a multiple of every vector's length and of [`GROUP`].
const BLOCK: usize = 64;

/// Rows that go through the columns together.
const GROUP: usize = 4;

/// Most parts.
const PARTS: usize = 16;

/// How far points stand from all others that fill up the last block: their kernel is 0 beside 1, and nothing
/// overflows.
const FAR: f32 = 1e9;

/// Working memory of [`repulsion`], kept from call to call.
#[derive(Default)]
pub struct Repulsion {
    /// x and y of all points, each filled up to whole blocks.
    apart: [Vec<f32>; 2],
    parts: Vec<Part>,
}

struct Part {
    /// Sums of x and of y for all points.
    force: AlignedVec,
    z: f64,
}

/// `force_i = sum_j q_ij^2 (y_i - y_j)` and the returned `Z = sum_{i != j} q_ij` with
/// `q = 1 / (1 + |y_i - y_j|^2)`, over all pairs of N points. Time is N^2, memory N.
///
/// # Panics
/// When the lengths differ or are odd.
pub fn repulsion(isa: Isa, memory: &mut Repulsion, points: &[f32], force: &mut [f32]) -> f64 {
    assert!(points.len() == force.len() && points.len().is_multiple_of(2));
    let n = points.len() / 2;
    if n <= BLOCK {
        return few(points, force);
    }
    let padded = n.next_multiple_of(BLOCK);
    for (axis, apart) in memory.apart.iter_mut().enumerate() {
        apart.clear();
        apart.extend(points.iter().skip(axis).step_by(2));
        apart.extend((1..=padded - n).map(|i| FAR * i as f32));
    }
    let blocks = padded / BLOCK;
    let count = blocks.div_ceil(2).min(PARTS);
    if memory.parts.len() != count || memory.parts.iter().any(|part| part.force.len() != 2 * padded) {
        memory.parts = (0..count).map(|_| Part { force: AlignedVec::zeroed(2 * padded), z: 0.0 }).collect();
    }
    let [xs, ys] = &memory.apart;
    parallel_chunks_mut(&mut memory.parts, 1, |index, part| {
        let part = &mut part[0];
        part.force.fill(0.0);
        part.z = 0.0;
        for low in (index..blocks.div_ceil(2)).step_by(count) {
            let high = blocks - 1 - low;
            part.z += block_part(isa, xs, ys, low * BLOCK, &mut part.force);
            if high != low {
                part.z += block_part(isa, xs, ys, high * BLOCK, &mut part.force);
            }
        }
    });
    let parts = &memory.parts;
    parallel_chunks_mut(force, 2048, |task, force| {
        for (i, force) in force.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let at = task * 1024 + i;
            let of = |offset: usize| parts.iter().map(|part| part.force[offset + at]).sum();
            *force = [of(0), of(padded)];
        }
    });
    let z: f64 = parts.iter().map(|part| part.z).sum();
    // The kernel of a point with itself is exactly 1.
    z - padded as f64
}

/// [`repulsion`] of a few points, which may lie so far apart that their kernels are small beside their own.
fn few(points: &[f32], force: &mut [f32]) -> f64 {
    let points = points.as_chunks::<2>().0;
    let mut z = 0.0;
    for (i, (a, force)) in points.iter().zip(force.as_chunks_mut::<2>().0).enumerate() {
        let mut sum = [0.0; 2];
        for (_, b) in points.iter().enumerate().filter(|(j, _)| *j != i) {
            let (dx, dy) = (f64::from(a[0]) - f64::from(b[0]), f64::from(a[1]) - f64::from(b[1]));
            let q = 1.0 / (1.0 + dx * dx + dy * dy);
            z += q;
            sum[0] += q * q * dx;
            sum[1] += q * q * dy;
        }
        *force = sum.map(|sum| sum as f32);
    }
    z
}

dispatch! {
    fn block_part<'a>(xs: &'a [f32], ys: &'a [f32], start: usize, force: &'a mut [f32]) -> f64 = block_body
}

/// Rows `start..start + BLOCK` with each other, both ways, and with all later points, whose share of the force
/// is taken along.
#[inline(always)]
fn block_body<S: Simd>(simd: S, xs: &[f32], ys: &[f32], start: usize, force: &mut [f32]) -> f64 {
    let n = xs.len();
    assert!(ys.len() == n && force.len() == 2 * n && n.is_multiple_of(BLOCK) && start + BLOCK <= n);
    let one = simd.splat(1.0);
    let zero = simd.splat(0.0);
    let (force_x, force_y) = force.split_at_mut(n);
    let mut z = 0.0;
    for first in (start..start + BLOCK).step_by(GROUP) {
        let mut row = [(zero, zero); GROUP];
        for i in 0..GROUP {
            row[i] = (simd.splat(xs[first + i]), simd.splat(ys[first + i]));
        }
        let mut sums = [(zero, zero); GROUP];
        let mut q_sums = zero;
        for at in (start..start + BLOCK).step_by(S::LANES) {
            // SAFETY: at + LANES <= n, asserted above.
            let (x, y) = unsafe { (simd.load(xs.as_ptr().add(at)), simd.load(ys.as_ptr().add(at))) };
            for i in 0..GROUP {
                let (dx, dy) = (simd.sub(row[i].0, x), simd.sub(row[i].1, y));
                let q = simd.div(one, simd.mul_add(dx, dx, simd.mul_add(dy, dy, one)));
                let q2 = simd.mul(q, q);
                q_sums = simd.add(q_sums, q);
                sums[i].0 = simd.mul_add(q2, dx, sums[i].0);
                sums[i].1 = simd.mul_add(q2, dy, sums[i].1);
            }
        }
        z += f64::from(sum(simd, q_sums));
        q_sums = zero;
        for at in (start + BLOCK..n).step_by(S::LANES) {
            // SAFETY: as above, for positions and forces.
            unsafe {
                let (x, y) = (simd.load(xs.as_ptr().add(at)), simd.load(ys.as_ptr().add(at)));
                let (to_x, to_y) = (force_x.as_mut_ptr().add(at), force_y.as_mut_ptr().add(at));
                let (mut back_x, mut back_y) = (zero, zero);
                for i in 0..GROUP {
                    let (dx, dy) = (simd.sub(row[i].0, x), simd.sub(row[i].1, y));
                    let q = simd.div(one, simd.mul_add(dx, dx, simd.mul_add(dy, dy, one)));
                    let q2 = simd.mul(q, q);
                    q_sums = simd.add(q_sums, q);
                    sums[i].0 = simd.mul_add(q2, dx, sums[i].0);
                    sums[i].1 = simd.mul_add(q2, dy, sums[i].1);
                    back_x = simd.mul_add(q2, dx, back_x);
                    back_y = simd.mul_add(q2, dy, back_y);
                }
                simd.store(to_x, simd.sub(simd.load(to_x), back_x));
                simd.store(to_y, simd.sub(simd.load(to_y), back_y));
            }
        }
        z += 2.0 * f64::from(sum(simd, q_sums));
        for i in 0..GROUP {
            force_x[first + i] += sum(simd, sums[i].0);
            force_y[first + i] += sum(simd, sums[i].1);
        }
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, normal, on_threads};

    #[test]
    fn forces_are_those_of_plain_loops() {
        for isa in Isa::available() {
            for n in [0, 1, 2, 3, 63, 64, 65, 127, 200, 1031, 2500] {
                let points: Vec<f32> = normal(11, 2 * n).iter().map(|y| 10.0 * y).collect();
                let mut want = vec![0.0; 2 * n];
                let mut want_z = 0.0;
                for i in 0..n {
                    for j in (0..n).filter(|j| *j != i) {
                        let delta =
                            [0, 1].map(|c| f64::from(points[2 * i + c]) - f64::from(points[2 * j + c]));
                        let q = 1.0 / (1.0 + delta[0] * delta[0] + delta[1] * delta[1]);
                        want[2 * i] += q * q * delta[0];
                        want[2 * i + 1] += q * q * delta[1];
                        want_z += q;
                    }
                }
                let force = on_threads(|| {
                    let mut force = vec![f32::NAN; 2 * n];
                    let z = repulsion(isa, &mut Repulsion::default(), &points, &mut force);
                    force.push(z as f32);
                    force
                });
                assert_close(&force[..2 * n], &want, 1e-5);
                assert!((f64::from(force[2 * n]) - want_z).abs() <= 1e-5 * want_z + 1e-6, "{n}");
            }
        }
    }
}
