//! 7x7 convolution by F(2x2, 7x7): 64 multiplications for 4 outputs where the plain sum takes 196.
//!
//! It is made for layers with many weights and few pixels (the first layer of an FCN's head has 411 MB of weights
//! and 256 pixels at a side of 512), so the weights are never stored in transformed form: a task transforms those
//! of a panel of output channels, a block of input channels at a time, into its cache and multiplies them there
//! with all tiles. Sums over input channels are cut into blocks of 32, which keeps the rounding error of the 8
//! points within the bounds of the crate.

mod transform;
pub(super) mod weight_grad;
mod weights;

use super::shape::Conv2dShape;
use super::tiles::{Pass, Tiling, odd_lines};
use crate::Isa;
use crate::gemm::{TileArgs, panel_width};
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Rows and columns of a tile of the output.
const SIDE: usize = 2;
/// Points of a tile.
const POINTS: usize = 64;
/// Input channels that are summed in registers.
const DEPTH: usize = 32;
/// Input channels that are transformed together.
const GROUP: usize = 512;
/// Tiles that are multiplied with a panel of transformed weights, at most.
const STEP: usize = 120;
/// Distance between tiles in the transformed input.
const ROW: usize = DEPTH + 16;
/// Least pixels of the output: with fewer, transforming the weights costs more than it saves.
const LEAST: usize = 64;

/// Whether this way is taken for the pass: where it saves multiplications after rounding up to whole tiles, and
/// there are enough of them to pay for transforming the weights.
pub(super) fn applies(s: &Conv2dShape, pass: Pass) -> bool {
    let p = Tiling::new(s, pass, SIDE);
    s.kernel == [7, 7]
        && s.stride == [1, 1]
        && s.padding.iter().all(|&pad| pad <= 6)
        && p.c.is_multiple_of(16)
        && p.k.is_multiple_of(16)
        && p.c > 0
        && p.k > 0
        && p.out_h * p.out_w >= LEAST
        && 5 * POINTS * p.image_tiles() <= 3 * 49 * p.out_h * p.out_w
}

/// Most scratch of a thread and of all together, in numbers.
pub(super) fn scratch(isa: Isa, s: &Conv2dShape, pass: Pass) -> (usize, usize) {
    let work = isa.run(NewWork(Tiling::new(s, pass, SIDE)));
    let input = work.group.div_ceil(DEPTH) * work.input_block();
    let panels = work.p.k.div_ceil(work.nr);
    match work.groups() {
        1 => (weights::len(work.nr) + work.product_len(), input),
        _ => (weights::len(work.nr), input + panels * work.product_len()),
    }
}

/// `y = conv(x) (+ bias) (, ReLU)`, with weights as they are (`K, C, 7, 7`).
pub(super) fn forward(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    run(isa, s, Pass::Forward, x, weight, bias, relu, y);
}

/// The input's gradient, with weights as they are.
pub(super) fn input_grad(isa: Isa, s: &Conv2dShape, dy: &[f32], weight: &[f32], dx: &mut [f32]) {
    run(isa, s, Pass::InputGrad, dy, weight, None, false, dx);
}

fn run(
    isa: Isa,
    s: &Conv2dShape,
    pass: Pass,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    assert_eq!(weight.len(), s.weight_len());
    if y.is_empty() {
        return;
    }
    let work = isa.run(NewWork(Tiling::new(s, pass, SIDE)));
    let p = work.p;
    let weights = weights::Source { weight, c: s.c, pass };
    let y = SharedMut::new(y);
    let panels = p.k.div_ceil(work.nr);
    let blocks = work.group.div_ceil(DEPTH);
    let one_group = work.groups() == 1;
    let product_len = if one_group { 0 } else { panels * work.product_len() };
    with_scratch(blocks * work.input_block() + product_len, |shared| {
        let (v, products) = shared.split_at_mut(blocks * work.input_block());
        let (v, products) = (SharedMut::new(v), SharedMut::new(products));
        for first in (0..p.tiles()).step_by(work.tiles) {
            let count = work.tiles.min(p.tiles() - first);
            for c0 in (0..p.c).step_by(work.group) {
                let channels = work.group.min(p.c - c0);
                parallel_for(count, |tile| {
                    isa.run(Input { work: &work, x, v: &v, tile, first, c0, channels });
                });
                parallel_for(panels, |panel| {
                    let own = if one_group { work.product_len() } else { 0 };
                    with_scratch(weights::len(work.nr) + own, |scratch| {
                        let (u, own) = scratch.split_at_mut(weights::len(work.nr));
                        let m = if one_group {
                            own
                        } else {
                            let start = panel * work.product_len();
                            // SAFETY: this task alone uses its panel's products.
                            unsafe { products.slice(start..start + work.product_len()) }
                        };
                        let k0 = panel * work.nr;
                        for c in (c0..c0 + channels).step_by(DEPTH) {
                            let depth = DEPTH.min(c0 + channels - c);
                            let columns = work.nr.min(p.k - k0);
                            isa.run(weights::Transform { source: weights, c0: c, depth, k0, columns, u });
                            let v = &v;
                            let block = (c - c0) / DEPTH;
                            isa.run(Product { work: &work, v, u, m, block, depth, count, add: c > 0 });
                        }
                        if c0 + channels == p.c {
                            isa.run(Output { work: &work, m, y: &y, bias, relu, first, count, k0 });
                        }
                    });
                });
            }
        }
    });
}

/// The layout of transformed tiles.
#[derive(Clone, Copy)]
struct Work {
    p: Tiling,
    /// Columns of a panel of weights.
    nr: usize,
    /// Tiles of a step, a multiple of the register tile's rows.
    tiles: usize,
    /// Input channels that are transformed together.
    group: usize,
}

struct NewWork(Tiling);

impl SimdOp for NewWork {
    type Output = Work;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Work {
        let p = self.0;
        let tiles = p.tiles().min(STEP).next_multiple_of(S::MR);
        Work { p, nr: panel_width::<S>(), tiles, group: GROUP.min(p.c) }
    }
}

impl Work {
    fn groups(&self) -> usize {
        self.p.c.div_ceil(self.group)
    }

    /// Distance between points of the transformed input.
    fn input_point(&self) -> usize {
        odd_lines(self.tiles * ROW)
    }

    /// A block of channels of the transformed input: (point, tile, channel).
    fn input_block(&self) -> usize {
        POINTS * self.input_point()
    }

    /// Distance between points of the product.
    fn product_point(&self) -> usize {
        odd_lines(self.tiles * self.nr)
    }

    /// The product for a panel of output channels: (point, tile, channel).
    fn product_len(&self) -> usize {
        POINTS * self.product_point()
    }
}

/// Transforms 8x8 inputs in place of their 64 pixels.
///
/// # Safety
/// The pixels must hold `channels` numbers, a multiple of LANES; `v` must be writable at `i * point` and the
/// channels after it for each of the 64 points.
#[inline(always)]
unsafe fn transform_input<S: Simd>(
    simd: S,
    pixels: &[*const f32; POINTS],
    channels: usize,
    v: *mut f32,
    point: usize,
) {
    for c in (0..channels).step_by(S::LANES) {
        // SAFETY: in the bounds that the caller promises.
        unsafe {
            let v = v.add(c);
            let mut half = [[simd.splat(0.0); 8]; 8];
            for j in 0..8 {
                let mut d = [simd.splat(0.0); 8];
                for i in 0..8 {
                    d[i] = simd.load(pixels[i * 8 + j].add(c));
                }
                let d = transform::input(simd, d);
                for i in 0..8 {
                    half[i][j] = d[i];
                }
            }
            for i in 0..8 {
                let d = transform::input(simd, half[i]);
                for j in 0..8 {
                    simd.store(v.add((i * 8 + j) * point), d[j]);
                }
            }
        }
    }
}

/// Transforms a tile's channels `c0 .. c0 + channels` of the input.
struct Input<'a> {
    work: &'a Work,
    x: &'a [f32],
    v: &'a SharedMut<'a, f32>,
    /// Place in the step.
    tile: usize,
    /// First tile of the step.
    first: usize,
    c0: usize,
    channels: usize,
}

impl SimdOp for Input<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let work = self.work;
        let tile = self.first + self.tile;
        let mut pixels = work.p.pixels::<POINTS>(self.x, tile, self.c0..self.c0 + self.channels);
        for block in 0..self.channels.div_ceil(DEPTH) {
            let depth = DEPTH.min(self.channels - block * DEPTH);
            // SAFETY: the pixels hold the channels of this block, a multiple of 16; the stores stay inside this
            // tile's rows of `v`, which no other task writes.
            unsafe {
                let v = self.v.as_mut_ptr().add(block * work.input_block() + self.tile * ROW);
                transform_input(simd, &pixels, depth, v, work.input_point());
            }
            for pixel in &mut pixels {
                *pixel = pixel.wrapping_add(DEPTH);
            }
        }
    }
}

/// Multiplies all tiles of a step with a panel of transformed weights.
struct Product<'a> {
    work: &'a Work,
    v: &'a SharedMut<'a, f32>,
    u: &'a [f32],
    m: &'a mut [f32],
    /// Which block of channels.
    block: usize,
    depth: usize,
    count: usize,
    /// Whether to add to the product.
    add: bool,
}

impl SimdOp for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let work = self.work;
        let nr = panel_width::<S>();
        for point in 0..POINTS {
            let v = self.block * work.input_block() + point * work.input_point();
            let m = point * work.product_point();
            for tile in (0..self.count).step_by(S::MR) {
                // The rows of the next tiles (or, nearly, those of the next point) come from the L3 cache.
                let next = self.v.as_mut_ptr().wrapping_add(v + (tile + S::MR) * ROW);
                for line in (0..S::MR * ROW).step_by(16) {
                    simd.prefetch(next.wrapping_add(line));
                }
                let next = self.m.as_mut_ptr().wrapping_add(m + (tile + S::MR) * nr);
                for line in (0..S::MR * nr).step_by(16) {
                    simd.prefetch(next.wrapping_add(line));
                }
                // SAFETY: `v` and `m` hold the step's tiles rounded up to MR, `u` the block's rows of a panel;
                // nothing writes `v` in this step of the work.
                unsafe {
                    simd.tile::<ROW>(TileArgs {
                        k: self.depth,
                        a: self.v.as_mut_ptr().add(v + tile * ROW),
                        a_k: 1,
                        b: self.u.as_ptr().add(point * weights::point(nr)),
                        b_k: nr,
                        c: self.m.as_mut_ptr().add(m + tile * nr),
                        c_row: nr,
                        rows: S::MR,
                        cols: nr,
                        accumulate: self.add,
                    });
                }
            }
        }
    }
}

/// Transforms the product of a panel back.
struct Output<'a> {
    work: &'a Work,
    m: &'a [f32],
    y: &'a SharedMut<'a, f32>,
    bias: Option<&'a [f32]>,
    relu: bool,
    first: usize,
    count: usize,
    k0: usize,
}

impl SimdOp for Output<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (work, p) = (self.work, &self.work.p);
        let point = work.product_point();
        let zero = simd.splat(0.0);
        let columns = work.nr.min(p.k - self.k0);
        for tile in 0..self.count {
            let (image, y, x) = p.place(self.first + tile);
            let (rows, cols) = (2.min(p.out_h - y), 2.min(p.out_w - x));
            for lane in (0..columns).step_by(S::LANES) {
                let k = self.k0 + lane;
                // SAFETY: `m` holds this tile at each point; `p.k` is a multiple of LANES, so the bias and the
                // pixels of `y`, which no other task writes, have LANES numbers from `k` on.
                unsafe {
                    let m = self.m.as_ptr().add(tile * work.nr + lane);
                    let mut half = [[zero; 8]; 2];
                    for j in 0..8 {
                        let mut d = [zero; 8];
                        for i in 0..8 {
                            d[i] = simd.load(m.add((i * 8 + j) * point));
                        }
                        let d = transform::output(simd, d);
                        (half[0][j], half[1][j]) = (d[0], d[1]);
                    }
                    let bias = self.bias.map_or(zero, |bias| simd.load(bias[k..k + S::LANES].as_ptr()));
                    for i in 0..rows {
                        let out = transform::output(simd, half[i]);
                        let at = ((image * p.out_h + y + i) * p.out_w + x) * p.k + k;
                        for j in 0..cols {
                            let mut v = simd.add(out[j], bias);
                            if self.relu {
                                // With the zero first, NaN stays NaN.
                                v = simd.max(zero, v);
                            }
                            simd.store(self.y.as_mut_ptr().add(at + j * p.k), v);
                        }
                    }
                }
            }
        }
    }
}
