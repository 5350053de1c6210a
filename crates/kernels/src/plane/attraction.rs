//! Attraction along the entries of a sparse matrix.

use std::ops::Range;

use super::SparseRows;
use crate::Isa;
use crate::chunks::{collect, piece};
use crate::dispatch::dispatch;
use crate::math::ln_normal;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Rows in a task.
const ROWS: usize = 128;

/// `force_i = sum_j p_ij q_ij (y_i - y_j)` with `q = 1 / (1 + |y_i - y_j|^2)`, for N points.
///
/// # Panics
/// When the lengths are not two numbers for each row of `p`.
pub fn attraction(isa: Isa, p: &SparseRows, points: &[f32], force: &mut [f32]) {
    assert!(points.len() == 2 * p.len() && force.len() == points.len());
    parallel_chunks_mut(force, 2 * ROWS, |task, force| {
        attraction_part(isa, p, points, piece(task, p.len(), ROWS), force);
    });
}

/// `sum_ij p_ij ln(1 + |y_i - y_j|^2)`, in `f64`.
///
/// # Panics
/// When the length is not two numbers for each row of `p`.
pub fn log_distances(isa: Isa, p: &SparseRows, points: &[f32]) -> f64 {
    assert_eq!(points.len(), 2 * p.len());
    collect(p.len(), ROWS, |rows| log_part(isa, p, points, rows)).iter().sum()
}

dispatch! {
    fn attraction_part<'a>(p: &'a SparseRows, points: &'a [f32], rows: Range<usize>, force: &'a mut [f32])
        = attraction_body
}

#[inline(always)]
fn attraction_body<S: Simd>(simd: S, p: &SparseRows, points: &[f32], rows: Range<usize>, force: &mut [f32]) {
    assert!(points.len() == 2 * p.len() && rows.len() * 2 == force.len());
    for (row, force) in rows.zip(force.as_chunks_mut::<2>().0) {
        let (columns, values) = p.row(row);
        let (x, y) = (simd.splat(points[2 * row]), simd.splat(points[2 * row + 1]));
        let (mut fx, mut fy) = (simd.splat(0.0), simd.splat(0.0));
        let whole = columns.len() / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            // SAFETY: LANES entries from `at` on; every column is below N, by the matrix's promise.
            unsafe {
                (fx, fy) =
                    pull(simd, points, (x, y), columns.as_ptr().add(at), values.as_ptr().add(at), (fx, fy));
            }
        }
        if whole < columns.len() {
            // The rest is filled up with the point itself and the weight 0.
            let (mut last, mut weights) = ([row as u32; 16], [0.0; 16]);
            last[..columns.len() - whole].copy_from_slice(&columns[whole..]);
            weights[..columns.len() - whole].copy_from_slice(&values[whole..]);
            // SAFETY: no set has more than 16 lanes; the columns as above.
            unsafe { (fx, fy) = pull(simd, points, (x, y), last.as_ptr(), weights.as_ptr(), (fx, fy)) };
        }
        *force = [sum(simd, fx), sum(simd, fy)];
    }
}

/// Adds the pull of `LANES` entries on the point (`x`, `y`) to its force. A function and not a closure: those that are
/// called twice are compiled on their own, without the instruction set.
///
/// # Safety
/// `columns` and `values` must be valid for reading `LANES` numbers, and `points` must have two at each column.
#[inline(always)]
unsafe fn pull<S: Simd>(
    simd: S,
    points: &[f32],
    (x, y): (S::V, S::V),
    columns: *const u32,
    values: *const f32,
    (fx, fy): (S::V, S::V),
) -> (S::V, S::V) {
    // SAFETY: the caller promises both.
    let ((xs, ys), p) = unsafe { (simd.load_points(points.as_ptr(), columns), simd.load(values)) };
    let (dx, dy) = (simd.sub(x, xs), simd.sub(y, ys));
    let w = simd.div(p, simd.mul_add(dx, dx, simd.mul_add(dy, dy, simd.splat(1.0))));
    (simd.mul_add(w, dx, fx), simd.mul_add(w, dy, fy))
}

/// The sum of a vector's lanes, from the first to the last.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, v: S::V) -> f32 {
    let mut lanes = [0.0_f32; 16];
    // SAFETY: no set has more than 16 lanes.
    unsafe { simd.store(lanes.as_mut_ptr(), v) };
    lanes[..S::LANES].iter().sum()
}

dispatch! {
    fn log_part<'a>(p: &'a SparseRows, points: &'a [f32], rows: Range<usize>) -> f64 = log_body
}

#[inline(always)]
fn log_body<S: Simd>(_: S, p: &SparseRows, points: &[f32], rows: Range<usize>) -> f64 {
    let mut total = 0.0;
    for row in rows {
        let (columns, values) = p.row(row);
        let (x, y) = (points[2 * row], points[2 * row + 1]);
        let mut lanes = [0.0_f64; 8];
        for (columns, values) in columns.chunks(8).zip(values.chunks(8)) {
            let (mut distance, mut weight) = ([1.0_f64; 8], [0.0_f64; 8]);
            for (lane, (column, value)) in columns.iter().zip(values).enumerate() {
                let at = 2 * *column as usize;
                let (dx, dy) = (f64::from(x - points[at]), f64::from(y - points[at + 1]));
                distance[lane] = 1.0 + dx * dx + dy * dy;
                weight[lane] = f64::from(*value);
            }
            for lane in 0..8 {
                lanes[lane] += weight[lane] * ln_normal(distance[lane]);
            }
        }
        total += lanes.iter().sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, normal, on_threads};

    fn matrix(n: usize, longest: usize) -> SparseRows {
        let (mut starts, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for i in 0..n {
            for j in 0..i * 7 % (longest + 1) {
                columns.push(((i * 31 + j * 17) % n) as u32);
                values.push(0.01 + (i + j) as f32 * 1e-4);
            }
            starts.push(columns.len());
        }
        SparseRows::new(starts, columns, values)
    }

    #[test]
    fn forces_and_logarithms_are_those_of_plain_loops() {
        for isa in Isa::available() {
            for (n, longest) in [(0, 0), (1, 3), (2, 1), (17, 16), (129, 33), (300, 100)] {
                let p = matrix(n, longest);
                let points: Vec<f32> = normal(9, 2 * n).iter().map(|y| 3.0 * y).collect();
                let mut want = vec![0.0; 2 * n];
                let mut want_log = 0.0;
                for i in 0..n {
                    let (columns, values) = p.row(i);
                    for (j, p) in columns.iter().zip(values) {
                        let delta = [0, 1]
                            .map(|c| f64::from(points[2 * i + c]) - f64::from(points[2 * *j as usize + c]));
                        let d = 1.0 + delta[0] * delta[0] + delta[1] * delta[1];
                        want[2 * i] += f64::from(*p) / d * delta[0];
                        want[2 * i + 1] += f64::from(*p) / d * delta[1];
                        want_log += f64::from(*p) * d.ln();
                    }
                }
                let force = on_threads(|| {
                    let mut force = vec![f32::NAN; 2 * n];
                    attraction(isa, &p, &points, &mut force);
                    force.push(log_distances(isa, &p, &points) as f32);
                    force
                });
                assert_close(&force[..2 * n], &want, 2e-6);
                assert!((log_distances(isa, &p, &points) - want_log).abs() <= 1e-6 * want_log);
            }
        }
    }
}
