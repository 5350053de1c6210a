//! Gradient of 3x3 weights by F(3x3, 4x4): the output's gradient, cut into 4x4 tiles, plays the kernel.
//!
//! Blocks of tiles follow one another; within a block each step is spread over points and channels, never over
//! pixels, so that the order of every sum is fixed.

use super::{KB, POINTS, SIDE, transform, transform_input};
use crate::Isa;
use crate::conv::shape::Conv2dShape;
use crate::conv::tiles::{Pass, Tiling};
use crate::gemm::{TileArgs, panel_width};
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Tiles of a block.
const TILES: usize = 128;
/// Tiles that a task transforms.
const PART: usize = 16;
/// Input channels that a task transforms back.
const ROWS: usize = 8;

/// `dw (+)=` the gradient, in PyTorch's order.
pub(in crate::conv) fn run(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: bool,
) {
    let work = Work::new(s);
    let (input_len, grad_len) = (work.input_len(), work.grad_len());
    let k_blocks = s.k.div_ceil(KB);
    with_scratch(work.len(), |scratch| {
        let (v, rest) = scratch.split_at_mut(input_len);
        let (z, sum) = rest.split_at_mut(grad_len);
        let buffers = Buffers { v: SharedMut::new(v), z: SharedMut::new(z), sum: SharedMut::new(sum) };
        let buffers = &buffers;
        for first in (0..work.tiles).step_by(TILES) {
            let count = TILES.min(work.tiles - first);
            parallel_for(count.div_ceil(PART), |part| {
                let (from, to) = (part * PART, count.min((part + 1) * PART));
                isa.run(Transform { work: &work, buffers, x, dy, first, from, to });
            });
            parallel_for(POINTS * k_blocks, |task| {
                let (point, k_block) = (task / k_blocks, task % k_blocks);
                isa.run(Product { work: &work, buffers, point, k_block, count, accumulate: first > 0 });
            });
        }
        let dw = SharedMut::new(dw);
        parallel_for(s.c.div_ceil(ROWS), |task| {
            let (from, to) = (task * ROWS, s.c.min((task + 1) * ROWS));
            isa.run(Back { work: &work, buffers, dw: &dw, from, to, accumulate });
        });
    });
}

/// Scratch of all threads together, in numbers.
pub(in crate::conv) fn scratch(s: &Conv2dShape) -> usize {
    Work::new(s).len()
}

/// Sizes of the transformed tensors. The 16 extra numbers of a row make it an odd number of cache lines, so that
/// rows fall into different sets.
struct Work {
    input: Tiling,
    grad: Tiling,
    tiles: usize,
}

impl Work {
    fn new(s: &Conv2dShape) -> Work {
        let input = Tiling::new(s, Pass::Forward, SIDE);
        let grad = Tiling { h: input.out_h, w: input.out_w, c: input.k, pad: [0, 0], ..input };
        Work { input, grad, tiles: input.tiles() }
    }

    fn rows(&self) -> usize {
        TILES.min(self.tiles)
    }

    fn input_row(&self) -> usize {
        self.input.c + 16
    }

    fn grad_row(&self) -> usize {
        self.grad.c + 16
    }

    fn input_len(&self) -> usize {
        POINTS * self.rows() * self.input_row() + 16
    }

    fn grad_len(&self) -> usize {
        POINTS * self.rows() * self.grad_row() + 32
    }

    fn len(&self) -> usize {
        self.input_len() + self.grad_len() + POINTS * self.input.c * self.grad_row()
    }
}

/// `v`: (point, tile, c), `z`: (point, tile, k), `sum`: (point, c, k).
struct Buffers<'a> {
    v: SharedMut<'a, f32>,
    z: SharedMut<'a, f32>,
    sum: SharedMut<'a, f32>,
}

/// Transforms tiles `from .. to` of a block of both tensors.
struct Transform<'a> {
    work: &'a Work,
    buffers: &'a Buffers<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    first: usize,
    from: usize,
    to: usize,
}

impl SimdOp for Transform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (p, g) = (&self.work.input, &self.work.grad);
        let (input_point, grad_point) =
            (self.work.rows() * self.work.input_row(), self.work.rows() * self.work.grad_row());
        let at = |i: usize| {
            let tile = self.first + i;
            (p.pixels::<POINTS>(self.x, tile, 0..p.c), g.pixels::<16>(self.dy, tile, 0..g.c))
        };
        let mut next = at(self.from);
        for i in self.from..self.to {
            let (patch, block) = next;
            if i + 1 < self.to {
                next = at(i + 1);
            }
            // SAFETY: pixels hold `p.c` and `g.c` numbers, multiples of LANES; the stores stay inside this tile's
            // rows of `v` and `z`, which no other task writes.
            unsafe {
                let v = self.buffers.v.as_mut_ptr().add(i * self.work.input_row());
                transform_input(simd, &patch, 0, p.c, v, input_point, &next.0);
                let z = self.buffers.z.as_mut_ptr().add(i * self.work.grad_row());
                for k in (0..g.c).step_by(S::LANES) {
                    if k.is_multiple_of(16) {
                        next.1.iter().for_each(|pixel| simd.prefetch(pixel.wrapping_add(k)));
                    }
                    let mut half = [[simd.splat(0.0); 4]; 6];
                    for j in 0..4 {
                        let mut d = [simd.splat(0.0); 4];
                        for i in 0..4 {
                            d[i] = simd.load(block[i * 4 + j].add(k));
                        }
                        let d = transform::four_weights(simd, d);
                        for i in 0..6 {
                            half[i][j] = d[i];
                        }
                    }
                    for i in 0..6 {
                        let d = transform::four_weights(simd, half[i]);
                        for j in 0..6 {
                            simd.store(z.add((i * 6 + j) * grad_point + k), d[j]);
                        }
                    }
                }
            }
        }
    }
}

/// Adds a block's products at a point for a block of output channels.
struct Product<'a> {
    work: &'a Work,
    buffers: &'a Buffers<'a>,
    point: usize,
    k_block: usize,
    count: usize,
    accumulate: bool,
}

impl SimdOp for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (input_row, grad_row) = (self.work.input_row(), self.work.grad_row());
        let (c, k) = (self.work.input.c, self.work.grad.c);
        let nr = panel_width::<S>();
        let (k0, k1) = (self.k_block * KB, k.min((self.k_block + 1) * KB));
        let a = self.point * self.work.rows() * input_row;
        let b = self.point * self.work.rows() * grad_row;
        for j in (k0..k1).step_by(nr) {
            for i in (0..c).step_by(S::MR) {
                // SAFETY: rows of `v` and `z` end at least MR and a panel's width after the last channel read (16 and
                // 32 numbers of room); no other task writes this point and block of channels of `sum`.
                unsafe {
                    simd.tile::<1>(TileArgs {
                        k: self.count,
                        a: self.buffers.v.as_mut_ptr().add(a + i),
                        a_k: input_row,
                        b: self.buffers.z.as_mut_ptr().add(b + j),
                        b_k: grad_row,
                        c: self.buffers.sum.as_mut_ptr().add((self.point * c + i) * grad_row + j),
                        c_row: grad_row,
                        rows: S::MR.min(c - i),
                        cols: nr.min(k1 - j),
                        accumulate: self.accumulate,
                    });
                }
            }
        }
    }
}

/// Transforms the sums of input channels `from .. to` back.
struct Back<'a> {
    work: &'a Work,
    buffers: &'a Buffers<'a>,
    dw: &'a SharedMut<'a, f32>,
    from: usize,
    to: usize,
    accumulate: bool,
}

impl SimdOp for Back<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (c, k) = (self.work.input.c, self.work.grad.c);
        let grad_row = self.work.grad_row();
        // Sixteen output channels at a time: the loops over them are the vectorised ones.
        for (ci, k0) in (self.from..self.to).flat_map(|ci| (0..k).step_by(16).map(move |k0| (ci, k0))) {
            let mut half = [[[0.0f32; 16]; 6]; 3];
            for j in 0..6 {
                let mut m = [[0.0f32; 16]; 6];
                for (i, m) in m.iter_mut().enumerate() {
                    let at = ((i * 6 + j) * c + ci) * grad_row + k0;
                    // SAFETY: nothing writes `sum` in this step.
                    m.copy_from_slice(unsafe { self.buffers.sum.slice(at..at + 16) });
                }
                for lane in 0..16 {
                    let out = transform::three_outputs(std::array::from_fn(|i| m[i][lane]));
                    for i in 0..3 {
                        half[i][j][lane] = out[i];
                    }
                }
            }
            let mut out = [[0.0f32; 16]; 9];
            for i in 0..3 {
                for lane in 0..16 {
                    let row = transform::three_outputs(std::array::from_fn(|j| half[i][j][lane]));
                    for j in 0..3 {
                        out[i * 3 + j][lane] = row[j];
                    }
                }
            }
            for lane in 0..16 {
                let at = ((k0 + lane) * c + ci) * 9;
                // SAFETY: this task alone writes its input channels.
                let dw = unsafe { self.dw.slice(at..at + 9) };
                for (tap, dw) in dw.iter_mut().enumerate() {
                    *dw = if self.accumulate { *dw + out[tap][lane] } else { out[tap][lane] };
                }
            }
        }
    }
}
