//! 3x3 convolution by F(4x4, 3x3): a quarter of the multiplications.
//!
//! Tiles of 6x6 inputs are transformed, multiplied with transformed weights as 36 matrix products over the
//! channels, and transformed back into 4x4 outputs (Lavin and Gray 2016). Where there are many tiles, a task
//! does all three for a block of tiles, so that the transformed numbers stay in its cache; where there are few,
//! each step is spread over all cores, so that the weights are read once. Both add in the same order.

mod pack;
mod transform;
pub(super) mod weight_grad;

pub(super) use pack::pack;

use super::direct::PanelWidth;
use super::shape::Conv2dShape;
use super::tiles::{MOST, Pass, Tiling, odd_lines, store_maximum};
use crate::Isa;
use crate::gemm::{KC, TileArgs, panel_width, row_stride, tile_with_stride};
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Rows and columns of a tile of the output.
const SIDE: usize = 4;
/// Points of a tile.
const POINTS: usize = 36;
/// Output channels that are multiplied and transformed back together.
const KB: usize = 64;
/// Tiles of a fused task, about.
const TILES: usize = 48;
/// Tiles of a step of the spread form.
const STEP: usize = 240;
/// From so many tiles on, tasks are fused.
const MANY: usize = 16 * TILES;

/// Depth of a block of input channels.
fn depth(p: &Tiling) -> usize {
    p.c.div_ceil(p.c.div_ceil(KC))
}

/// Whether this way is taken for the pass: where it saves multiplications after rounding up to whole tiles.
pub(super) fn applies(s: &Conv2dShape, pass: Pass) -> bool {
    let p = Tiling::new(s, pass, SIDE);
    let covered = SIDE * SIDE * p.image_tiles();
    s.kernel == [3, 3]
        && s.stride == [1, 1]
        && p.c.is_multiple_of(16)
        && p.k.is_multiple_of(16)
        && (16..=MOST).contains(&p.c)
        && p.k > 0
        && 2 * covered <= 5 * p.out_h * p.out_w
}

/// Length of the transformed weights.
pub(super) fn packed_len(isa: Isa, c: usize, k: usize) -> usize {
    POINTS * c * k.next_multiple_of(isa.run(PanelWidth))
}

/// Most scratch of a thread and of all together, in numbers.
pub(super) fn scratch(isa: Isa, s: &Conv2dShape, pass: Pass) -> (usize, usize) {
    isa.run(ScratchOp(Tiling::new(s, pass, SIDE)))
}

struct ScratchOp(Tiling);

impl SimdOp for ScratchOp {
    type Output = (usize, usize);
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, usize) {
        let p = self.0;
        if p.tiles() >= MANY {
            let work = Work::new::<S>(p, TILES / S::MR * S::MR);
            (work.input_len() + work.product_len(), 0)
        } else {
            let work = Work::new::<S>(p, STEP.min(p.tiles()).next_multiple_of(S::MR));
            (0, work.input_len() + p.k.div_ceil(KB) * work.product_len())
        }
    }
}

/// `y = conv(x) (+ bias) (, ReLU)`
pub(super) fn forward(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    let io = Io { x, packed, bias, relu, y: SharedMut::new(y), pooled: false, argmax: None };
    run(isa, Tiling::new(s, Pass::Forward, SIDE), &io);
}

/// As [`forward`], and then the maximum of each 2x2 window.
pub(super) fn forward_max_pooled(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
    argmax: Option<&mut [u8]>,
) {
    let argmax = argmax.map(SharedMut::new);
    let io = Io { x, packed, bias, relu, y: SharedMut::new(y), pooled: true, argmax };
    run(isa, Tiling::new(s, Pass::Forward, SIDE), &io);
}

/// The input's gradient.
pub(super) fn input_grad(isa: Isa, s: &Conv2dShape, dy: &[f32], packed: &[f32], dx: &mut [f32]) {
    let y = SharedMut::new(dx);
    let io = Io { x: dy, packed, bias: None, relu: false, y, pooled: false, argmax: None };
    run(isa, Tiling::new(s, Pass::InputGrad, SIDE), &io);
}

fn run(isa: Isa, p: Tiling, io: &Io<'_>) {
    assert_eq!(io.packed.len(), packed_len(isa, p.c, p.k));
    if p.tiles() > 0 {
        isa.run(Run { p, io, isa });
    }
}

/// What a convolution reads and writes.
struct Io<'a> {
    x: &'a [f32],
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
    y: SharedMut<'a, f32>,
    /// Whether `y` is the maxima of 2x2 windows of the output.
    pooled: bool,
    /// Their places in the windows.
    argmax: Option<SharedMut<'a, u8>>,
}

struct Run<'a> {
    p: Tiling,
    io: &'a Io<'a>,
    isa: Isa,
}

impl SimdOp for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (p, io, isa) = (self.p, self.io, self.isa);
        let tiles = p.tiles();
        let k_blocks = p.k.div_ceil(KB);
        if tiles >= MANY {
            let work = Work::new::<S>(p, TILES / S::MR * S::MR);
            parallel_for(tiles.div_ceil(work.tiles), |task| {
                with_scratch(work.input_len() + work.product_len(), |scratch| {
                    let (v, m) = scratch.split_at_mut(work.input_len());
                    let (v, m) = (SharedMut::new(v), SharedMut::new(m));
                    let first = task * work.tiles;
                    let count = work.tiles.min(tiles - first);
                    isa.run(Step { work, io, v: &v, m: &m, first, kind: Kind::Input(0, count) });
                    for k_block in 0..k_blocks {
                        for point in 0..POINTS {
                            let kind = Kind::Product { point, k_block, count };
                            isa.run(Step { work, io, v: &v, m: &m, first, kind });
                        }
                        let kind = Kind::Output { k_block, from: 0, to: count };
                        isa.run(Step { work, io, v: &v, m: &m, first, kind });
                    }
                });
            });
            return;
        }
        let work = Work::new::<S>(p, STEP.min(tiles).next_multiple_of(S::MR));
        with_scratch(work.input_len() + k_blocks * work.product_len(), |scratch| {
            let (v, m) = scratch.split_at_mut(work.input_len());
            let v = SharedMut::new(v);
            let m: Vec<_> = m.chunks_mut(work.product_len()).map(SharedMut::new).collect();
            for first in (0..tiles).step_by(work.tiles) {
                let count = work.tiles.min(tiles - first);
                const PART: usize = 8;
                let parts = count.div_ceil(PART);
                parallel_for(parts, |part| {
                    let kind = Kind::Input(part * PART, count.min((part + 1) * PART));
                    isa.run(Step { work, io, v: &v, m: &m[0], first, kind });
                });
                parallel_for(POINTS * k_blocks, |task| {
                    let (point, k_block) = (task / k_blocks, task % k_blocks);
                    let kind = Kind::Product { point, k_block, count };
                    isa.run(Step { work, io, v: &v, m: &m[k_block], first, kind });
                });
                parallel_for(parts * k_blocks, |task| {
                    let (part, k_block) = (task % parts, task / parts);
                    let (from, to) = (part * PART, count.min((part + 1) * PART));
                    let kind = Kind::Output { k_block, from, to };
                    isa.run(Step { work, io, v: &v, m: &m[k_block], first, kind });
                });
            }
        });
    }
}

/// The layout of a block of tiles in transformed form.
#[derive(Clone, Copy)]
struct Work {
    p: Tiling,
    /// Tiles in the block, a multiple of the register tile's rows.
    tiles: usize,
    /// Distance between tiles in the transformed input.
    row: usize,
}

impl Work {
    fn new<S: Simd>(p: Tiling, tiles: usize) -> Work {
        debug_assert!(tiles.is_multiple_of(S::MR));
        Work { p, tiles, row: row_stride(depth(&p)) }
    }

    /// Distance between points of the transformed input.
    fn input_point(&self) -> usize {
        odd_lines(self.tiles * self.row)
    }

    /// The transformed input: (block of channels, point, tile, channel).
    fn input_len(&self) -> usize {
        self.p.c.div_ceil(depth(&self.p)) * POINTS * self.input_point()
    }

    /// Distance between points of the product.
    fn product_point(&self) -> usize {
        odd_lines(self.tiles * KB)
    }

    /// The product for one block of output channels: (point, tile, channel).
    fn product_len(&self) -> usize {
        POINTS * self.product_point()
    }
}

/// Transforms channels `c0 .. c1` of a tile of 6x6 pixels, and asks the cache for those of the tile at `next`;
/// `v` is where channel `c0` of the first point goes.
///
/// # Safety
/// The pixels must hold `c1` numbers; `v` must be writable at `i * point` and `c1 - c0` numbers after, for each
/// of the 36 points. `c1 - c0` must be a multiple of LANES.
#[inline(always)]
unsafe fn transform_input<S: Simd>(
    simd: S,
    pixels: &[*const f32; POINTS],
    c0: usize,
    c1: usize,
    v: *mut f32,
    point: usize,
    next: &[*const f32; POINTS],
) {
    for c in (c0..c1).step_by(S::LANES) {
        // The next tile shares two columns with this one, or it lies elsewhere, which comes seldom.
        if c.is_multiple_of(16) {
            for i in (0..POINTS).filter(|i| i % 6 >= 2) {
                simd.prefetch(next[i].wrapping_add(c));
            }
        }
        // SAFETY: in the bounds that the caller promises.
        unsafe {
            let v = v.add(c - c0);
            let mut half = [[simd.splat(0.0); 6]; 6];
            for j in 0..6 {
                let mut d = [simd.splat(0.0); 6];
                for i in 0..6 {
                    d[i] = simd.load(pixels[i * 6 + j].add(c));
                }
                let d = transform::input(simd, d);
                for i in 0..6 {
                    half[i][j] = d[i];
                }
            }
            for i in 0..6 {
                let d = transform::input(simd, half[i]);
                for j in 0..6 {
                    simd.store(v.add((i * 6 + j) * point), d[j]);
                }
            }
        }
    }
}

/// One step of the work on a block of tiles.
struct Step<'a> {
    work: Work,
    io: &'a Io<'a>,
    v: &'a SharedMut<'a, f32>,
    m: &'a SharedMut<'a, f32>,
    /// First tile of the block.
    first: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Transform the input of tiles `.0 .. .1` of the block.
    Input(usize, usize),
    /// Multiply `count` tiles at a point with a block of output channels.
    Product { point: usize, k_block: usize, count: usize },
    /// Transform the product of tiles `from .. to` back.
    Output { k_block: usize, from: usize, to: usize },
}

impl SimdOp for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.kind {
            Kind::Input(from, to) => self.input(simd, from, to),
            Kind::Product { point, k_block, count } => self.product(simd, point, k_block, count),
            Kind::Output { k_block, from, to } => self.output(simd, k_block, from, to),
        }
    }
}

impl Step<'_> {
    #[inline(always)]
    fn input<S: Simd>(&self, simd: S, from: usize, to: usize) {
        let p = &self.work.p;
        let point = self.work.input_point();
        let at = |tile: usize| p.pixels::<POINTS>(self.io.x, self.first + tile, 0..p.c);
        let mut next = at(from);
        for tile in from..to {
            let pixels = next;
            if tile + 1 < to {
                next = at(tile + 1);
            }
            let depth = depth(p);
            for (block, c0) in (0..p.c).step_by(depth).enumerate() {
                let base = block * POINTS * point + tile * self.work.row;
                // SAFETY: each pixel has `p.c` numbers (or points at as many zeros), a multiple of LANES, as is
                // `depth`; the stores stay inside this tile's rows of `v`, which no other task writes.
                unsafe {
                    let v = self.v.as_mut_ptr().add(base);
                    transform_input(simd, &pixels, c0, p.c.min(c0 + depth), v, point, &next);
                }
            }
        }
    }

    #[inline(always)]
    fn product<S: Simd>(&self, simd: S, point: usize, k_block: usize, count: usize) {
        let p = &self.work.p;
        let nr = panel_width::<S>();
        let packed_point = p.k.next_multiple_of(nr) * p.c;
        let (k0, k1) = (k_block * KB, p.k.min((k_block + 1) * KB));
        let depth = depth(p);
        for (block, c0) in (0..p.c).step_by(depth).enumerate() {
            let a = (block * POINTS + point) * self.work.input_point();
            for k in (k0..k1).step_by(nr) {
                let b = point * packed_point + k * p.c + c0 * nr;
                for tile in (0..count).step_by(S::MR) {
                    // SAFETY: `v` holds the block's tiles rounded up to MR; the packed weights hold `p.c` rows of
                    // each panel; no other task writes this point and block of channels of `m`.
                    unsafe {
                        let args = TileArgs {
                            k: depth.min(p.c - c0),
                            a: self.v.as_mut_ptr().add(a + tile * self.work.row),
                            a_k: 1,
                            b: self.io.packed.as_ptr().add(b),
                            b_k: nr,
                            c: self
                                .m
                                .as_mut_ptr()
                                .add(point * self.work.product_point() + tile * KB + k - k0),
                            c_row: KB,
                            rows: S::MR.min(count - tile),
                            cols: nr.min(k1 - k),
                            accumulate: block > 0,
                        };
                        tile_with_stride(simd, self.work.row, args);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn output<S: Simd>(&self, simd: S, k_block: usize, from: usize, to: usize) {
        let p = &self.work.p;
        let point = self.work.product_point();
        let (k0, k1) = (k_block * KB, p.k.min((k_block + 1) * KB));
        let zero = simd.splat(0.0);
        for tile in from..to {
            let (image, y, x) = p.place(self.first + tile);
            let (rows, columns) = (4.min(p.out_h - y), 4.min(p.out_w - x));
            for k in (k0..k1).step_by(S::LANES) {
                // SAFETY: `m` holds this tile at each point; `p.k` is a multiple of LANES, so the bias and the
                // pixels of `y`, which no other task writes, have LANES numbers from `k` on.
                unsafe {
                    let m = self.m.as_mut_ptr().add(tile * KB + k - k0);
                    let mut half = [[zero; 6]; 4];
                    for j in 0..6 {
                        let mut d = [zero; 6];
                        for i in 0..6 {
                            d[i] = simd.load(m.add((i * 6 + j) * point));
                        }
                        let d = transform::output(simd, d);
                        for i in 0..4 {
                            half[i][j] = d[i];
                        }
                    }
                    let bias = self.io.bias.map_or(zero, |bias| simd.load(bias[k..k + S::LANES].as_ptr()));
                    let mut out = [[zero; 4]; 4];
                    for i in 0..4 {
                        for (j, v) in transform::output(simd, half[i]).into_iter().enumerate() {
                            let v = simd.add(v, bias);
                            // With the zero first, NaN stays NaN.
                            out[i][j] = if self.io.relu { simd.max(zero, v) } else { v };
                        }
                    }
                    if self.io.pooled {
                        self.pool(simd, out, (image, y, x), k);
                        continue;
                    }
                    for i in 0..rows {
                        let at = ((image * p.out_h + y + i) * p.out_w + x) * p.k + k;
                        for j in 0..columns {
                            simd.store(self.io.y.as_mut_ptr().add(at + j * p.k), out[i][j]);
                        }
                    }
                }
            }
        }
    }

    /// Writes the maxima of the four windows of a tile, for the channels from `k` on.
    #[inline(always)]
    fn pool<S: Simd>(&self, simd: S, out: [[S::V; 4]; 4], (image, y, x): (usize, usize, usize), k: usize) {
        let p = &self.work.p;
        let (out_h, out_w) = (p.out_h / 2, p.out_w / 2);
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (row, column) = (y / 2 + i, x / 2 + j);
            if row >= out_h || column >= out_w {
                continue;
            }
            let window = [2 * i, 2 * i + 1].map(|i| [out[i][2 * j], out[i][2 * j + 1]]);
            let at = ((image * out_h + row) * out_w + column) * p.k + k;
            // SAFETY: no other task writes this window and these channels, of which there are LANES.
            unsafe { store_maximum(simd, window, &self.io.y, self.io.argmax.as_ref(), at) }
        }
    }
}
