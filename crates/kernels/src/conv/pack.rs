//! Weights from PyTorch's order (`K, C, R, S`) into the panels that the matrix product reads.

use super::direct::{PanelWidth, packed_len};
use super::shape::Conv2dShape;
use crate::Isa;
use crate::gemm::panel_width;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Numbers of a weight's row that a task reads in a run.
const RUN: usize = 1024;
/// Output channels of a task that goes through them one by one.
const OUTPUTS: usize = 64;

/// Rows that are collected before they are written.
const GROUP: usize = 4;
/// Taps that are collected.
const TAPS: usize = 50;
/// The widest panel.
const WIDEST: usize = 32;

/// What is packed: rows and columns of the matrix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matrix {
    /// Rows (r, s, c), columns k.
    Forward,
    /// Rows (r, s turned by 180 degrees, k), columns c.
    InputGrad,
    /// Rows k, columns (r, s, c).
    Full,
}

/// For the forward pass: rows (r, s, c), columns k.
pub(super) fn forward(isa: Isa, s: &Conv2dShape, weight: &[f32], packed: &mut [f32]) {
    pack(isa, s, Matrix::Forward, weight, packed);
}

/// For the input's gradient: rows (r, s turned by 180 degrees, k), columns c.
pub(super) fn input_grad(isa: Isa, s: &Conv2dShape, weight: &[f32], packed: &mut [f32]) {
    pack(isa, s, Matrix::InputGrad, weight, packed);
}

/// For the input's gradient of a fully connected layer: rows k, columns (r, s, c).
pub(super) fn full_input_grad(isa: Isa, s: &Conv2dShape, weight: &[f32], packed: &mut [f32]) {
    pack(isa, s, Matrix::Full, weight, packed);
}

fn pack(isa: Isa, s: &Conv2dShape, matrix: Matrix, weight: &[f32], packed: &mut [f32]) {
    let nr = isa.run(PanelWidth);
    let (depth, columns) = match matrix {
        Matrix::Forward => (s.taps() * s.c, s.k),
        Matrix::InputGrad => (s.taps() * s.k, s.c),
        Matrix::Full => (s.k, s.taps() * s.c),
    };
    assert!(weight.len() == s.weight_len() && packed.len() == packed_len(isa, depth, columns));
    if weight.is_empty() {
        return packed.fill(0.0);
    }
    if !columns.is_multiple_of(nr) {
        packed[columns / nr * nr * depth..].fill(0.0);
    }
    // A task has whole panels of the columns that are channels.
    let channels = (RUN / s.taps()).max(1).next_multiple_of(nr).min(s.c);
    let outputs = if matrix == Matrix::Forward { nr } else { OUTPUTS };
    let (channel_blocks, output_blocks) = (s.c.div_ceil(channels), s.k.div_ceil(outputs));
    let packed = SharedMut::new(packed);
    parallel_for(channel_blocks * output_blocks, |task| {
        let (c, k) = (task % channel_blocks * channels, task / channel_blocks * outputs);
        let (channels, outputs) = (c..s.c.min(c + channels), k..s.k.min(k + outputs));
        isa.run(Task { s, matrix, weight, packed: &packed, channels, outputs });
    });
}

/// Some input channels of some output channels.
struct Task<'a> {
    s: &'a Conv2dShape,
    matrix: Matrix,
    weight: &'a [f32],
    packed: &'a SharedMut<'a, f32>,
    channels: std::ops::Range<usize>,
    outputs: std::ops::Range<usize>,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let nr = panel_width::<S>();
        let (c, k, taps) = (self.s.c, self.s.k, self.s.taps());
        let (c0, c1, k0, k1) = (self.channels.start, self.channels.end, self.outputs.start, self.outputs.end);
        let mut stage: Stage = [0.0; TAPS * GROUP * WIDEST];
        let (weight, packed) = (self.weight.as_ptr(), self.packed.as_mut_ptr());
        // SAFETY: `pack` checked that `weight` holds `K, C, taps` and `packed` the matrix's panels; a task writes the
        // places of its own weights.
        unsafe {
            match self.matrix {
                Matrix::Forward => {
                    let panel = packed.add(k0 * taps * c);
                    let from = weight.add(k0 * c * taps);
                    if taps == 1 {
                        let to = |i| panel.add((c0 + i) * nr);
                        return turn(simd, from.add(c0), k1 - k0, c, c1 - c0, to);
                    }
                    for first in (c0..c1).step_by(GROUP) {
                        let rows = Rows {
                            count: GROUP.min(c1 - first),
                            step: taps,
                            lanes: k1 - k0,
                            lane_step: c * taps,
                        };
                        let to = |tap| panel.add((tap * c + first) * nr);
                        group(simd, from.add(first * taps), rows, taps, &mut stage, to);
                    }
                }
                Matrix::InputGrad => {
                    for first in (k0..k1).step_by(GROUP) {
                        for c_at in (c0..c1).step_by(nr) {
                            let lanes = nr.min(c1 - c_at);
                            let rows =
                                Rows { count: GROUP.min(k1 - first), step: c * taps, lanes, lane_step: taps };
                            let panel = packed.add(c_at * taps * k);
                            let to = |tap| panel.add(((taps - 1 - tap) * k + first) * nr);
                            group(simd, weight.add((first * c + c_at) * taps), rows, taps, &mut stage, to);
                        }
                    }
                }
                Matrix::Full => {
                    // Eight channels lie in one panel at every tap if C is a multiple of eight.
                    let lanes = if c.is_multiple_of(8) { 8 } else { 1 };
                    for k_at in k0..k1 {
                        for c_at in (c0..c1).step_by(lanes) {
                            let from = weight.add((k_at * c + c_at) * taps);
                            let to = |tap| {
                                let column = tap * c + c_at;
                                packed.add(column / nr * nr * k + k_at * nr + column % nr)
                            };
                            turn(simd, from, lanes, taps, taps, to);
                        }
                    }
                }
            }
        }
    }
}

/// Where rows are collected: rows of different taps may lie a power of two apart and would push each other out of the
/// cache before their lines are full.
type Stage = [f32; TAPS * GROUP * WIDEST];

/// Rows of a panel that follow one another, seen from the weights: row `i`, lane `j` begin at
/// `i * step + j * lane_step`.
#[derive(Clone, Copy)]
struct Rows {
    count: usize,
    step: usize,
    lanes: usize,
    lane_step: usize,
}

/// Writes the rows of each tap, one after the other, at `to(tap)`.
///
/// # Safety
/// `taps` numbers of each lane of each row must be readable, the rows writable at each `to(tap)`.
#[inline(always)]
unsafe fn group<S: Simd>(
    simd: S,
    from: *const f32,
    rows: Rows,
    taps: usize,
    stage: &mut Stage,
    to: impl Fn(usize) -> *mut f32,
) {
    let nr = panel_width::<S>();
    if taps == 1 {
        for row in 0..rows.count {
            // SAFETY: within the bounds that the caller promises.
            unsafe {
                turn(simd, from.add(row * rows.step), rows.lanes, rows.lane_step, 1, |_| to(0).add(row * nr))
            }
        }
        return;
    }
    if rows.lanes < nr {
        stage.fill(0.0);
    }
    let stage = stage.as_mut_ptr();
    for first in (0..taps).step_by(TAPS) {
        let count = TAPS.min(taps - first);
        // SAFETY: the stage holds GROUP rows of TAPS taps; the rest is in the bounds that the caller promises.
        unsafe {
            for row in 0..rows.count {
                let from = from.add(row * rows.step + first);
                let to = |tap| stage.add((tap * GROUP + row) * nr);
                turn(simd, from, rows.lanes, rows.lane_step, count, to);
            }
            for tap in 0..count {
                let (from, to) = (stage.add(tap * GROUP * nr), to(first + tap));
                for at in (0..rows.count * nr).step_by(S::LANES) {
                    simd.store(to.add(at), simd.load(from.add(at)));
                }
            }
        }
    }
}

/// Writes number `i` of each of `lanes` rows, which begin `step` apart, beside each other at `to(i)`.
///
/// # Safety
/// `run` numbers of each row must be readable, `lanes` numbers writable at each `to(i)`.
#[inline(always)]
pub(super) unsafe fn turn<S: Simd>(
    simd: S,
    from: *const f32,
    lanes: usize,
    step: usize,
    run: usize,
    to: impl Fn(usize) -> *mut f32,
) {
    // SAFETY: within the bounds that the caller promises.
    unsafe {
        if step == 1 && run == 1 {
            return to(0).copy_from_nonoverlapping(from, lanes);
        }
        let (lanes8, run8) = (lanes / 8 * 8, run / 8 * 8);
        for i in (0..run8).step_by(8) {
            for lane in (0..lanes8).step_by(8) {
                let mut rows = [to(i); 8];
                for j in 0..8 {
                    rows[j] = to(i + j).add(lane);
                }
                simd.transpose8(from.add(lane * step + i), step, rows);
            }
        }
        for i in 0..run {
            let first = if i < run8 { lanes8 } else { 0 };
            for lane in first..lanes {
                *to(i).add(lane) = *from.add(lane * step + i);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{normal, on_threads};

    /// The number at (row, column) of the matrix.
    fn element(s: &Conv2dShape, matrix: Matrix, weight: &[f32], row: usize, column: usize) -> f32 {
        let at = |k: usize, c: usize, tap: usize| weight[(k * s.c + c) * s.taps() + tap];
        match matrix {
            Matrix::Forward => at(column, row % s.c, row / s.c),
            Matrix::InputGrad => at(row % s.k, column, s.taps() - 1 - row / s.k),
            Matrix::Full => at(row, column % s.c, column / s.c),
        }
    }

    #[test]
    fn every_weight_is_in_its_place() {
        for kernel in [[1, 1], [1, 2], [3, 3], [4, 4], [7, 8], [33, 32]] {
            for (c, k) in [(1, 1), (8, 7), (15, 8), (16, 9), (33, 70), (72, 16)] {
                // Kernels of more numbers than a task's run need no more than a few channels.
                let (c, k) = if kernel[0] > 30 { (c.min(9), k.min(9)) } else { (c, k) };
                let (stride, padding) = ([1, 1], [0, 0]);
                let s = Conv2dShape { n: 1, h: kernel[0], w: kernel[1], c, k, kernel, stride, padding };
                let weight = normal(1, s.weight_len());
                for isa in Isa::available() {
                    let nr = isa.run(PanelWidth);
                    for (matrix, depth, columns) in [
                        (Matrix::Forward, s.taps() * c, k),
                        (Matrix::InputGrad, s.taps() * k, c),
                        (Matrix::Full, k, s.taps() * c),
                    ] {
                        let packed = on_threads(|| {
                            let mut packed = vec![f32::NAN; packed_len(isa, depth, columns)];
                            pack(isa, &s, matrix, &weight, &mut packed);
                            packed
                        });
                        for (i, x) in packed.iter().enumerate() {
                            let (row, column) = (i / nr % depth, i / nr / depth * nr + i % nr);
                            let inside = column < columns;
                            let want = if inside { element(&s, matrix, &weight, row, column) } else { 0.0 };
                            assert_eq!(*x, want, "({row}, {column}) of {s:?}, {}", isa.name());
                        }
                    }
                }
            }
        }
    }
}
