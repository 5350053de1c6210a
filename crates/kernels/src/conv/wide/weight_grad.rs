//! Gradient of 7x7 weights: the transpose of F(2x2, 7x7) with respect to its weights.
//!
//! Tiles are taken in blocks. Within one, a task owns a panel of output channels: it transforms their gradient,
//! multiplies it with all transformed inputs, and transforms the sums back into the gradient of its weights, a
//! block of input channels at a time. Sums never cross tasks, so their order is fixed.

use super::weights::{MOST, TAPS};
use super::{POINTS, SIDE, transform, transform_input};
use crate::Isa;
use crate::conv::shape::Conv2dShape;
use crate::conv::tiles::{Pass, Tiling, odd_lines};
use crate::gemm::{TileArgs, panel_width};
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Tiles of a block.
const TILES: usize = 128;
/// Input channels whose sums a task holds.
const CHANNELS: usize = 64;
/// Room behind a row of channels for the register tile to read over.
const OVER: usize = 16;

/// `dw (+)=` the gradient, in PyTorch's order.
pub(in crate::conv) fn run(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: bool,
) {
    let work = isa.run(NewWork(Tiling::new(s, Pass::Forward, SIDE)));
    let p = &work.p;
    let dw = SharedMut::new(dw);
    with_scratch(work.input_len(), |v| {
        let v = SharedMut::new(v);
        for first in (0..p.tiles()).step_by(TILES) {
            let count = TILES.min(p.tiles() - first);
            parallel_for(count, |tile| isa.run(Input { work: &work, x, v: &v, first, tile }));
            parallel_for(p.k.div_ceil(work.nr), |panel| {
                with_scratch(work.grad_len() + work.sum_len(), |scratch| {
                    let (z, sum) = scratch.split_at_mut(work.grad_len());
                    let k0 = panel * work.nr;
                    isa.run(Grad { work: &work, dy, z, first, count, k0 });
                    for c0 in (0..p.c).step_by(CHANNELS) {
                        let add = accumulate || first > 0;
                        isa.run(Sum { work: &work, v: &v, z, sum, dw: &dw, count, c0, k0, add });
                    }
                });
            });
        }
    });
}

/// Most scratch of a thread and of all together, in numbers.
pub(in crate::conv) fn scratch(isa: Isa, s: &Conv2dShape) -> (usize, usize) {
    let work = isa.run(NewWork(Tiling::new(s, Pass::Forward, SIDE)));
    (work.grad_len() + work.sum_len(), work.input_len())
}

/// The layout of a block of transformed tiles.
struct Work {
    p: Tiling,
    /// Columns of a panel of output channels.
    nr: usize,
    tiles: usize,
    /// Input channels of a block of sums, rounded up to the register tile's rows.
    rows: usize,
}

struct NewWork(Tiling);

impl SimdOp for NewWork {
    type Output = Work;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Work {
        let p = self.0;
        let rows = CHANNELS.next_multiple_of(S::MR);
        Work { p, nr: panel_width::<S>(), tiles: p.tiles().min(TILES), rows }
    }
}

impl Work {
    fn input_row(&self) -> usize {
        self.p.c + OVER
    }

    /// The transformed input is (point, tile, input channel).
    fn input_point(&self) -> usize {
        odd_lines(self.tiles * self.input_row())
    }

    fn input_len(&self) -> usize {
        POINTS * self.input_point()
    }

    /// The transformed gradient of a panel is (point, tile, output channel).
    fn grad_point(&self) -> usize {
        odd_lines(self.tiles * self.nr)
    }

    fn grad_len(&self) -> usize {
        POINTS * self.grad_point()
    }

    /// The sums are (point, input channel, output channel).
    fn sum_point(&self) -> usize {
        odd_lines(self.rows * self.nr)
    }

    fn sum_len(&self) -> usize {
        POINTS * self.sum_point()
    }
}

/// Transforms a tile of the input.
struct Input<'a> {
    work: &'a Work,
    x: &'a [f32],
    v: &'a SharedMut<'a, f32>,
    first: usize,
    tile: usize,
}

impl SimdOp for Input<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let work = self.work;
        for c0 in (0..work.p.c).step_by(super::GROUP) {
            let channels = super::GROUP.min(work.p.c - c0);
            let pixels = work.p.pixels::<POINTS>(self.x, self.first + self.tile, c0..c0 + channels);
            // SAFETY: the pixels hold these channels, a multiple of 16; the stores stay inside this tile's rows
            // of `v`, which no other task writes.
            unsafe {
                let v = self.v.as_mut_ptr().add(self.tile * work.input_row() + c0);
                transform_input(simd, &pixels, channels, v, work.input_point());
            }
        }
    }
}

/// Transforms the output's gradient of a panel of channels.
struct Grad<'a> {
    work: &'a Work,
    dy: &'a [f32],
    z: &'a mut [f32],
    first: usize,
    count: usize,
    k0: usize,
}

impl SimdOp for Grad<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (work, p) = (self.work, &self.work.p);
        let zero = simd.splat(0.0);
        assert!(self.z.len() >= work.grad_len());
        for tile in 0..self.count {
            let (image, y, x) = p.place(self.first + tile);
            let (rows, columns) = (2.min(p.out_h - y), 2.min(p.out_w - x));
            for v in 0..S::NV {
                let k = self.k0 + v * S::LANES;
                let mut d = [[zero; 2]; 2];
                if k < p.k {
                    for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                        let at = ((image * p.out_h + y + i) * p.out_w + x + j) * p.k + k;
                        // SAFETY: the slice has LANES numbers.
                        d[i][j] = unsafe { simd.load(self.dy[at..at + S::LANES].as_ptr()) };
                    }
                }
                let left = transform::output_transposed(simd, [d[0][0], d[1][0]]);
                let right = transform::output_transposed(simd, [d[0][1], d[1][1]]);
                for i in 0..8 {
                    let d = transform::output_transposed(simd, [left[i], right[i]]);
                    for j in 0..8 {
                        let at = (i * 8 + j) * work.grad_point() + tile * work.nr + v * S::LANES;
                        // SAFETY: `z` holds this tile at each point, as asserted.
                        unsafe { simd.store(self.z.as_mut_ptr().add(at), d[j]) };
                    }
                }
            }
        }
    }
}

/// Sums over tiles for a block of input channels, and their way back to weights.
struct Sum<'a> {
    work: &'a Work,
    v: &'a SharedMut<'a, f32>,
    z: &'a [f32],
    sum: &'a mut [f32],
    dw: &'a SharedMut<'a, f32>,
    count: usize,
    c0: usize,
    k0: usize,
    add: bool,
}

impl SimdOp for Sum<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (work, p) = (self.work, &self.work.p);
        let nr = panel_width::<S>();
        let channels = CHANNELS.min(p.c - self.c0);
        for point in 0..POINTS {
            let next = (point + 1) % POINTS;
            for row in (0..channels).step_by(S::MR) {
                // The next point's tiles come from the L3 cache.
                for tile in row * 2..(self.count).min((row + S::MR) * 2) {
                    let at = next * work.input_point() + tile * work.input_row() + self.c0;
                    let tile = self.v.as_mut_ptr().wrapping_add(at);
                    for line in (0..CHANNELS).step_by(16) {
                        simd.prefetch(tile.wrapping_add(line));
                    }
                }
                // SAFETY: rows of `v` have OVER numbers of room after their channels; `sum` holds CHANNELS rows
                // rounded up to MR; nothing writes `v` in this step of the work.
                unsafe {
                    simd.tile::<1>(TileArgs {
                        k: self.count,
                        a: self.v.as_mut_ptr().add(point * work.input_point() + self.c0 + row),
                        a_k: work.input_row(),
                        b: self.z.as_ptr().add(point * work.grad_point()),
                        b_k: nr,
                        c: self.sum.as_mut_ptr().add(point * work.sum_point() + row * nr),
                        c_row: nr,
                        rows: S::MR,
                        cols: nr,
                        accumulate: false,
                    });
                }
            }
        }
        let zero = simd.splat(0.0);
        let columns = nr.min(p.k - self.k0);
        let mut g = [[0.0f32; MOST]; TAPS];
        let mut taps = [[0.0f32; TAPS]; MOST];
        for row in 0..channels {
            for v in 0..S::NV {
                let mut half = [[zero; 8]; 7];
                for j in 0..8 {
                    let mut d = [zero; 8];
                    for i in 0..8 {
                        let at = (i * 8 + j) * work.sum_point() + row * nr + v * S::LANES;
                        // SAFETY: inside the row of this point.
                        d[i] = unsafe { simd.load(self.sum.as_ptr().add(at)) };
                    }
                    let d = transform::weights_transposed(simd, d);
                    for i in 0..7 {
                        half[i][j] = d[i];
                    }
                }
                for i in 0..7 {
                    let d = transform::weights_transposed(simd, half[i]);
                    for j in 0..7 {
                        // SAFETY: a row of `g` holds the widest panel.
                        unsafe { simd.store(g[i * 7 + j].as_mut_ptr().add(v * S::LANES), d[j]) };
                    }
                }
            }
            for lane in (0..columns).step_by(8) {
                for tap in (0..TAPS - 1).step_by(8) {
                    // SAFETY: 8 taps of 8 channels inside both arrays.
                    unsafe {
                        let to = std::array::from_fn(|i| taps[lane + i].as_mut_ptr().add(tap));
                        simd.transpose8(g[tap].as_ptr().add(lane), MOST, to);
                    }
                }
                for i in 0..8 {
                    taps[lane + i][TAPS - 1] = g[TAPS - 1][lane + i];
                }
            }
            for (lane, taps) in taps[..columns].iter().enumerate() {
                let at = ((self.k0 + lane) * p.c + self.c0 + row) * TAPS;
                // SAFETY: this task alone writes its panel's weights.
                let dw = unsafe { self.dw.slice(at..at + TAPS) };
                if self.add {
                    for (dw, tap) in dw.iter_mut().zip(taps) {
                        *dw += tap;
                    }
                } else {
                    dw.copy_from_slice(taps);
                }
            }
        }
    }
}
