//! Products of matrices in row-major order: `A B`, and `A^T B` without transposing `A` in memory.
//!
//! Both are made for a tall or wide `A` and a `B` of few columns, as power iterations have them. `B` is packed
//! once; `A` is copied block by block on the way, so that a tile's rows lie a fixed distance apart.

use crate::Isa;
use crate::aligned::AlignedVec;
use crate::dispatch::dispatch;
use crate::gemm::{KC, ROW_STRIDES, TileArgs, panel_width, row_stride, tile_with_stride};
use crate::scratch::with_scratch;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Rows of `C` in a task.
const ROWS: usize = 84;

/// Rows that a partial sum of `A^T B` runs over, at least.
const PART: usize = 2048;

/// Most partial sums of `A^T B`.
const PARTS: usize = 16;

/// `C = A B`: `a` is N x K, `b` K x M, `c` N x M.
///
/// # Panics
/// When a length does not fit.
pub fn product(isa: Isa, a: &[f32], k: usize, b: &[f32], m: usize, c: &mut [f32]) {
    assert!(a.len() * m == c.len() * k && b.len() == k * m);
    if m == 0 || k == 0 {
        return c.fill(0.0);
    }
    let packed = Packed::new(isa, b, k, m);
    parallel_chunks_mut(c, ROWS * m, |task, c| {
        let rows = c.len() / m;
        let a = &a[task * ROWS * k..(task * ROWS + rows) * k];
        with_scratch(ROWS * ROW_STRIDES[2] + KC, |scratch| product_part(isa, a, rows, &packed, c, scratch));
    });
}

/// `C = A^T B`: `a` is N x K, `b` N x M, `c` K x M. Sums run over at most an N that depends on the shape in
/// `f32`, and are added in order.
///
/// # Panics
/// When a length does not fit.
pub fn transposed_product(isa: Isa, a: &[f32], k: usize, b: &[f32], m: usize, c: &mut [f32]) {
    assert!(a.len() * m == b.len() * k && c.len() == k * m);
    c.fill(0.0);
    if m == 0 || k == 0 || a.is_empty() {
        return;
    }
    let n = a.len() / k;
    let part = PART.max(n.div_ceil(PARTS)).next_multiple_of(KC);
    let packed = Packed::new(isa, b, n, m);
    let parts = n.div_ceil(part);
    let chunks = k.div_ceil(ROWS);
    let mut sums = vec![Vec::new(); parts * chunks];
    parallel_chunks_mut(&mut sums, 1, |task, sum| {
        let (part_index, chunk) = (task / chunks, task % chunks);
        let columns = chunk * ROWS..((chunk + 1) * ROWS).min(k);
        let rows = part_index * part..((part_index + 1) * part).min(n);
        let mut local = vec![0.0; columns.len() * m];
        with_scratch((ROWS + 16) * KC, |scratch| {
            transposed_part(isa, a, k, rows, columns, &packed, &mut local, scratch);
        });
        sum[0] = local;
    });
    for part in sums.chunks(chunks) {
        for (c, sum) in c.iter_mut().zip(part.iter().flatten()) {
            *c += sum;
        }
    }
}

/// `B` in panels, blocks of `KC` rows one after the other.
struct Packed {
    data: AlignedVec,
    k: usize,
    m: usize,
    /// Columns with those that fill up the last panel.
    width: usize,
}

impl Packed {
    fn new(isa: Isa, b: &[f32], k: usize, m: usize) -> Packed {
        let panel = width_of_panel(isa);
        let width = m.next_multiple_of(panel);
        let mut data = AlignedVec::zeroed(k * width);
        parallel_chunks_mut(&mut data, KC * width, |block, data| {
            let depth = data.len() / width;
            for (p, row) in b[block * KC * m..].chunks_exact(m).take(depth).enumerate() {
                for (j, part) in row.chunks(panel).enumerate() {
                    let at = j * depth * panel + p * panel;
                    data[at..at + part.len()].copy_from_slice(part);
                }
            }
        });
        Packed { data, k, m, width }
    }

    /// First row, depth and numbers of the block that holds row `k`.
    fn block(&self, k: usize) -> (usize, &[f32]) {
        let depth = KC.min(self.k - k);
        (depth, &self.data[k * self.width..(k + depth) * self.width])
    }
}

fn width_of_panel(isa: Isa) -> usize {
    dispatch! { fn width<'a>(_unused: &'a ()) -> usize = width_body }
    #[inline(always)]
    fn width_body<S: Simd>(_: S, _: &()) -> usize {
        panel_width::<S>()
    }
    width(isa, &())
}

dispatch! {
    fn product_part<'a>(a: &'a [f32], rows: usize, b: &'a Packed, c: &'a mut [f32], scratch: &'a mut [f32])
        = product_body
}

#[inline(always)]
fn product_body<S: Simd>(simd: S, a: &[f32], rows: usize, b: &Packed, c: &mut [f32], scratch: &mut [f32]) {
    let k = b.k;
    assert!(a.len() == rows * k && c.len() == rows * b.m && rows <= ROWS);
    for start in (0..k).step_by(KC) {
        let (depth, block) = b.block(start);
        let stride = row_stride(depth);
        for (i, row) in a.chunks_exact(k).enumerate() {
            scratch[i * stride..][..depth].copy_from_slice(&row[start..start + depth]);
        }
        tiles(simd, rows, depth, (scratch, stride, 1), block, b.m, c, start > 0);
    }
}

dispatch! {
    fn transposed_part<'a>(
        a: &'a [f32], k: usize, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, b: &'a Packed,
        c: &'a mut [f32], scratch: &'a mut [f32]
    ) = transposed_body
}

#[inline(always)]
fn transposed_body<S: Simd>(
    simd: S,
    a: &[f32],
    k: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    b: &Packed,
    c: &mut [f32],
    scratch: &mut [f32],
) {
    let count = columns.len();
    let wide = ROWS + 12;
    for start in rows.clone().step_by(KC) {
        // A part begins at a multiple of KC, so blocks never cross its end but at the end of A.
        let (depth, block) = b.block(start);
        for p in 0..depth {
            let from = (start + p) * k + columns.start;
            scratch[p * wide..][..count].copy_from_slice(&a[from..from + count]);
        }
        tiles(simd, count, depth, (scratch, 1, wide), block, b.m, c, start > rows.start);
    }
}

/// All tiles of a block: `a` with the distances between its rows and between its columns, `b` packed.
#[inline(always)]
fn tiles<S: Simd>(
    simd: S,
    rows: usize,
    depth: usize,
    (a, row_step, k_step): (&[f32], usize, usize),
    b: &[f32],
    m: usize,
    c: &mut [f32],
    accumulate: bool,
) {
    let panel = panel_width::<S>();
    assert!(a.len() > (rows.next_multiple_of(S::MR) - 1) * row_step + (depth - 1) * k_step);
    assert!(b.len() >= m.next_multiple_of(panel) * depth && c.len() >= rows * m);
    for j in (0..m).step_by(panel) {
        for i in (0..rows).step_by(S::MR) {
            let args = TileArgs {
                k: depth,
                // SAFETY: inside the slices, by the assertions.
                a: unsafe { a.as_ptr().add(i * row_step) },
                a_k: k_step,
                b: b[j * depth..].as_ptr(),
                b_k: panel,
                c: c[i * m + j..].as_mut_ptr(),
                c_row: m,
                rows: S::MR.min(rows - i),
                cols: panel.min(m - j),
                accumulate,
            };
            // SAFETY: rows and columns beyond the edge are read inside the slices (asserted) and not written.
            unsafe {
                if row_step == 1 { simd.tile::<1>(args) } else { tile_with_stride(simd, row_step, args) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, normal, on_threads};

    const SHAPES: [[usize; 3]; 9] = [
        [1, 1, 1],
        [5, 3, 7],
        [6, 16, 16],
        [85, 17, 31],
        [97, 257, 60],
        [13, 600, 33],
        [2100, 5, 3],
        [4101, 90, 8],
        [0, 4, 2],
    ];

    #[test]
    fn products_are_those_of_plain_loops() {
        for isa in Isa::available() {
            for [n, k, m] in SHAPES {
                let (a, b) = (normal(1, n * k), normal(2, k * m));
                let mut want = vec![0.0_f64; n * m];
                for i in 0..n {
                    for p in 0..k {
                        for j in 0..m {
                            want[i * m + j] += f64::from(a[i * k + p]) * f64::from(b[p * m + j]);
                        }
                    }
                }
                let c = on_threads(|| {
                    let mut c = vec![f32::NAN; n * m];
                    product(isa, &a, k, &b, m, &mut c);
                    c
                });
                assert_close(&c, &want, 2e-5);
            }
        }
    }

    #[test]
    fn transposed_products_are_those_of_plain_loops() {
        for isa in Isa::available() {
            for [n, k, m] in SHAPES {
                let (a, b) = (normal(3, n * k), normal(4, n * m));
                let mut want = vec![0.0_f64; k * m];
                for i in 0..n {
                    for p in 0..k {
                        for j in 0..m {
                            want[p * m + j] += f64::from(a[i * k + p]) * f64::from(b[i * m + j]);
                        }
                    }
                }
                let c = on_threads(|| {
                    let mut c = vec![f32::NAN; k * m];
                    transposed_product(isa, &a, k, &b, m, &mut c);
                    c
                });
                assert_close(&c, &want, 6e-5);
            }
        }
    }
}
