//! Convolution as a product of gathered rows with packed weights.

use super::gather::Gather;
use crate::Isa;
use crate::gemm::{KC, TileArgs, panel_width, row_stride, tile_with_stride};
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Columns of the output that a task computes: gathered rows are used for so many of them.
const COLUMNS: usize = 256;

/// Rows of the output that a task computes, a multiple of `MR`: with depth [`KC`] they fit the L2 cache.
const fn task_rows(mr: usize) -> usize {
    144 / mr * mr
}

/// Length of the packed matrix of `depth` rows and `columns` columns.
pub(super) fn packed_len(isa: Isa, depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(isa.run(PanelWidth)) * depth
}

/// Columns of a panel, as an operation.
pub(super) struct PanelWidth;

impl SimdOp for PanelWidth {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        panel_width::<S>()
    }
}

/// Scratch of a task, in numbers.
pub(super) const SCRATCH: usize = 144 * (KC + 16);

/// `y = gather(source) * packed (+ bias) (, ReLU)`: `rows` x `columns`.
pub(super) struct Product<'a> {
    pub isa: Isa,
    pub gather: Gather,
    pub source: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub packed: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
}

impl Product<'_> {
    pub(super) fn run(&self, y: &mut [f32]) {
        assert_eq!(y.len(), self.rows * self.columns);
        assert_eq!(self.packed.len(), packed_len(self.isa, self.gather.depth(), self.columns));
        if y.is_empty() {
            return;
        }
        if self.gather.depth() == 0 {
            // A sum of nothing.
            y.fill(0.0);
            return y.chunks_mut(self.columns).for_each(|row| finish(row, self.bias, self.relu));
        }
        let rows = self.isa.run(TaskRows);
        let (row_blocks, column_blocks) = (self.rows.div_ceil(rows), self.columns.div_ceil(COLUMNS));
        let y = SharedMut::new(y);
        // Tasks that share columns follow each other, so that the cores share those weights in the L3 cache.
        parallel_for(row_blocks * column_blocks, |task| {
            let (block, columns) = (task % row_blocks, task / row_blocks * COLUMNS);
            // (The scratch is taken out here: a closure inside the operation would be compiled without its
            // instruction set.)
            with_scratch(SCRATCH, |a| {
                self.isa.run(Task { product: self, y: &y, a, row: block * rows, column: columns });
            });
        });
    }
}

struct TaskRows;

impl SimdOp for TaskRows {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        task_rows(S::MR)
    }
}

struct Task<'a> {
    product: &'a Product<'a>,
    y: &'a SharedMut<'a, f32>,
    /// Room for the gathered rows.
    a: &'a mut [f32],
    row: usize,
    column: usize,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let p = self.product;
        let rows = task_rows(S::MR).min(p.rows - self.row);
        let end = p.columns.min(self.column + COLUMNS);
        let depth = p.gather.depth();
        let blocks = depth.div_ceil(KC);
        let kc = depth.div_ceil(blocks);
        let rs = row_stride(kc);
        let nr = panel_width::<S>();
        let a = &mut self.a[..rows.next_multiple_of(S::MR) * rs];
        for k0 in (0..depth).step_by(kc) {
            let kc = kc.min(depth - k0);
            for i in 0..rows {
                p.gather.row(p.source, self.row + i, k0, kc, &mut a[i * rs..i * rs + kc]);
            }
            for column in (self.column..end).step_by(nr) {
                for i in (0..rows).step_by(S::MR) {
                    // SAFETY: `a` holds `rows` rounded up to MR rows of distance `rs`; the packed weights hold
                    // `depth` rows of each panel; this task alone writes its block of rows and columns of `y`,
                    // whose last row ends inside `y`.
                    unsafe {
                        let args = TileArgs {
                            k: kc,
                            a: a.as_ptr().add(i * rs),
                            a_k: 1,
                            b: p.packed.as_ptr().add(column * depth + k0 * nr),
                            b_k: nr,
                            c: self.y.as_mut_ptr().add((self.row + i) * p.columns + column),
                            c_row: p.columns,
                            rows: S::MR.min(rows - i),
                            cols: nr.min(end - column),
                            accumulate: k0 > 0,
                        };
                        tile_with_stride(simd, rs, args);
                    }
                }
            }
        }
        if p.bias.is_none() && !p.relu {
            return;
        }
        for i in self.row..self.row + rows {
            // SAFETY: this task alone writes its block.
            let y = unsafe { self.y.slice(i * p.columns + self.column..i * p.columns + end) };
            finish(y, p.bias.map(|b| &b[self.column..end]), p.relu);
        }
    }
}

/// Adds the bias and applies ReLU (NaN stays NaN).
#[inline(always)]
pub(super) fn finish(y: &mut [f32], bias: Option<&[f32]>, relu: bool) {
    if let Some(bias) = bias {
        for (y, b) in y.iter_mut().zip(bias) {
            *y += b;
        }
    }
    if relu {
        for y in y {
            *y = if *y < 0.0 { 0.0 } else { *y };
        }
    }
}
