//! Convolution as the direct sum, of numbers rounded to bf16, on the tile unit ([`crate::amx`]).
//!
//! A task copies the rows of the input that it needs, rounded and with their padding, into its cache. There the pixels
//! of a padded map follow one another at one distance, so that 32 outputs in a row of the map see 32 pixels in a row
//! at every tap: tiles are read where they lie. Outputs that would begin in the padding are computed and not written.
//! Sums go through taps and channels in one order, whatever the number of images or threads.

pub(super) mod weight_grad;
mod weights;

pub(super) use weights::{pack, packed_len};

use std::ops::Range;

use super::shape::Conv2dShape;
use super::tiles::{Pass, Tiling, store_maximum};
use crate::Isa;
use crate::amx::{self, DEPTH, STEP, Tiles};
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Bytes of input that a task copies, if a row is not larger: with the weights of a step it fits the L2 cache.
const ROOM: usize = 3 << 18;
/// The same where the weights are too large for the cache and are better read by few tasks.
const WIDE_ROOM: usize = 12 << 20;
/// Bytes of weights that make the difference.
const MANY: usize = 8 << 20;
/// Most steps of a depth of 32 that are summed in the tiles: their weights fit the L1 cache and serve all pixels of a
/// task.
const STEPS: usize = 18;
/// Tasks to aim at by cutting the channels.
const TASKS: usize = 8;

/// Windows that are computed so. Those whose packed weights serve maps of any size (1x1) never take another way.
const WINDOWS: [[usize; 2]; 3] = [[1, 1], [3, 3], [7, 7]];

/// Whether this way is taken.
pub(super) fn applies(isa: Isa, s: &Conv2dShape) -> bool {
    isa.is_bf16()
        && s.stride == [1, 1]
        && WINDOWS.contains(&s.kernel)
        && s.c.is_multiple_of(DEPTH)
        && s.k.is_multiple_of(amx::SIDE)
        && s.weight_len() > 0
        && (s.taps() == 1 || !s.is_full())
}

/// `y = conv(x) (+ bias) (, ReLU)`, with the weights of [`pack`].
pub(super) fn forward(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    run(isa, s, Pass::Forward, false, Io { x, packed, bias, relu, y: SharedMut::new(y), argmax: None });
}

/// As [`forward`], and of the result the maximum of each 2x2 window.
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
    run(isa, s, Pass::Forward, true, Io { x, packed, bias, relu, y: SharedMut::new(y), argmax });
}

/// The input's gradient, with the weights of [`pack`].
pub(super) fn input_grad(isa: Isa, s: &Conv2dShape, dy: &[f32], packed: &[f32], dx: &mut [f32]) {
    let y = SharedMut::new(dx);
    run(isa, s, Pass::InputGrad, false, Io { x: dy, packed, bias: None, relu: false, y, argmax: None });
}

/// Most scratch of a thread, in numbers of 32 bits.
pub(super) fn scratch(s: &Conv2dShape, pass: Pass) -> usize {
    Work::new(s, pass, false).scratch().max(Work::new(s, pass, true).scratch())
}

fn run(isa: Isa, s: &Conv2dShape, pass: Pass, pooled: bool, io: Io<'_>) {
    let work = Work::new(s, pass, pooled);
    assert_eq!(io.packed.len(), packed_len(s));
    if work.p.n * work.p.out_h * work.p.out_w == 0 {
        return;
    }
    let blocks = work.image_blocks * work.row_blocks;
    parallel_for(blocks * work.splits, |task| {
        let (split, block) = (task / blocks, task % blocks);
        with_scratch(work.scratch(), |scratch| {
            isa.run(Task { work: &work, io: &io, scratch, split, block });
        });
    });
}

/// What is read and written.
struct Io<'a> {
    x: &'a [f32],
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
    y: SharedMut<'a, f32>,
    argmax: Option<SharedMut<'a, u8>>,
}

/// How the work is cut.
struct Work {
    p: Tiling,
    kernel: [usize; 2],
    pooled: bool,
    /// Pixels of a row with its padding.
    width: usize,
    /// Numbers from a pixel to the next: an odd number of cache lines, so that they fall into different sets.
    pixel: usize,
    /// Rows of the output of a task.
    rows: usize,
    row_blocks: usize,
    /// Images of a task.
    images: usize,
    image_blocks: usize,
    /// Parts of the output's channels.
    splits: usize,
}

impl Work {
    fn new(s: &Conv2dShape, pass: Pass, pooled: bool) -> Work {
        let mut p = Tiling::new(s, pass, 1);
        if s.taps() == 1 && s.padding == [0, 0] && !pooled {
            // Pixels are alike, whatever image they are of.
            let pixels = p.n * p.h * p.w;
            p = Tiling { n: 1, h: pixels, w: 1, out_h: pixels, out_w: 1, ..p };
        }
        let width = p.out_w + s.kernel[1] - 1;
        let halo = s.kernel[0] - 1;
        let room = if 2 * s.weight_len() > MANY { WIDE_ROOM } else { ROOM };
        let pixel = p.c / DEPTH / 2 * 2 * DEPTH + DEPTH;
        let row_bytes = 2 * width * pixel;
        let image_bytes = (p.out_h + halo) * row_bytes;
        let (rows, images) = if image_bytes <= room {
            (p.out_h, (room / image_bytes).clamp(1, p.n.max(1)))
        } else {
            ((room / row_bytes).saturating_sub(halo).max(2) / 2 * 2, 1)
        };
        let rows = rows.clamp(1, p.out_h.max(1));
        let (row_blocks, image_blocks) = (p.out_h.div_ceil(rows), p.n.div_ceil(images));
        let splits = TASKS.div_ceil((row_blocks * image_blocks).max(1)).min(p.k / amx::SIDE);
        Work { p, kernel: s.kernel, pooled, width, pixel, rows, row_blocks, images, image_blocks, splits }
    }

    /// Pixels of the copy of an image; the end of the last row has room for a whole tile.
    fn pixels(&self) -> usize {
        (self.rows + self.kernel[0] - 1) * self.width + amx::SIDE
    }

    /// Tiles of an image in a task.
    fn tiles(&self, rows: usize) -> usize {
        ((rows - 1) * self.width + self.p.out_w).div_ceil(amx::SIDE)
    }

    fn steps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.p.c / DEPTH
    }

    /// Steps of a chunk.
    fn chunk(&self) -> usize {
        self.steps().div_ceil(self.steps().div_ceil(STEPS))
    }

    /// Where a step begins, its channels and its tap (all taps of some channels follow one another), from an output's
    /// first pixel on.
    #[inline(always)]
    fn offset(&self, step: usize) -> usize {
        let taps = self.kernel[0] * self.kernel[1];
        let (block, tap) = (step / taps, step % taps);
        let (r, q) = (tap / self.kernel[1], tap % self.kernel[1]);
        (r * self.width + q) * self.pixel + block * DEPTH
    }

    /// Numbers of the copy, of sums and of a block before pooling.
    fn parts(&self) -> [usize; 3] {
        let copy = self.images * self.pixels() * self.pixel / 2;
        let sums = if self.steps() > self.chunk() { self.images * self.tiles(self.rows) } else { 1 };
        let full = if self.pooled { self.rows * self.p.out_w * amx::SIDE } else { 0 };
        [copy, sums * amx::SIDE * amx::SIDE, full]
    }

    fn scratch(&self) -> usize {
        self.parts().iter().sum()
    }
}

struct Task<'a> {
    work: &'a Work,
    io: &'a Io<'a>,
    scratch: &'a mut [f32],
    split: usize,
    block: usize,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Task { work, io, scratch, split, block } = self;
        let p = &work.p;
        let first = block / work.row_blocks * work.images;
        let images = first..p.n.min(first + work.images);
        let y0 = block % work.row_blocks * work.rows;
        let rows = work.rows.min(p.out_h - y0);
        let [copy, sums, _] = work.parts();
        let (copy, rest) = scratch.split_at_mut(copy);
        let (sums, full) = rest.split_at_mut(sums);
        let copy = halves(copy);
        let image_len = work.pixels() * work.pixel;
        for (image, to) in images.clone().zip(copy.chunks_exact_mut(image_len)) {
            copy_rows(work, io.x, image, y0, rows, to);
        }

        let panels = p.k / amx::SIDE;
        let per_split = panels.div_ceil(work.splits);
        let (steps, chunk, tiles) = (work.steps(), work.chunk(), work.tiles(rows));
        let unit = Tiles::new();
        for panel in split * per_split..panels.min((split + 1) * per_split) {
            let mut offsets = [[0; 2]; STEPS];
            for from in (0..steps).step_by(chunk) {
                let count = chunk.min(steps - from);
                for (i, offset) in offsets[..count].iter_mut().enumerate() {
                    *offset = [2 * work.offset(from + i), 2 * i * STEP];
                }
                let last = from + count == steps;
                let weights = io.packed.as_ptr().cast::<u16>();
                for (i, image) in images.clone().enumerate() {
                    for tile in 0..tiles {
                        let at = if steps > chunk { i * tiles + tile } else { 0 };
                        let sum = &mut sums[at * amx::SIDE * amx::SIDE..][..amx::SIDE * amx::SIDE];
                        // SAFETY: the copy has 32 pixels from any output's first one on, at every tap; the packed
                        // weights have `steps` steps for each panel; `sum` is a tile.
                        unsafe {
                            let a = copy.as_ptr().add(i * image_len + tile * amx::SIDE * work.pixel);
                            let b = weights.add((panel * steps + from) * STEP);
                            let (a, b) = ((a, 2 * work.pixel), (b, amx::PACKED));
                            unit.multiply(a, b, &offsets[..count], sum.as_mut_ptr(), from > 0);
                        }
                        if last {
                            finish(simd, work, io, panel, tile, image, y0..y0 + rows, sum, full);
                        }
                    }
                    if last && work.pooled {
                        pool(simd, work, io, panel, image, y0..y0 + rows, full);
                    }
                }
            }
        }
    }
}

/// Numbers of 16 bits in the place of those of 32.
fn halves(numbers: &mut [f32]) -> &mut [u16] {
    // SAFETY: the same bytes, any of which make a number, with less alignment.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), 2 * numbers.len()) }
}

/// The input's rows that rows `y0 .. y0 + rows` of the output see, rounded, with zeros for what is outside the image.
#[inline(always)]
fn copy_rows(work: &Work, x_of: &[f32], image: usize, y0: usize, rows: usize, to: &mut [u16]) {
    let p = &work.p;
    // Columns of the image in a row of the copy.
    let left = p.pad[1].clamp(0, work.width as isize) as usize;
    let skipped = (-p.pad[1]).clamp(0, p.w as isize) as usize;
    let columns = (p.w - skipped).min(work.width - left);
    let lines = to.chunks_exact_mut(work.width * work.pixel).take(rows + work.kernel[0] - 1);
    for (i, row) in lines.enumerate() {
        let y = (y0 + i) as isize - p.pad[0];
        let inside = y >= 0 && y < p.h as isize;
        for (x, pixel) in row.chunks_exact_mut(work.pixel).enumerate() {
            if inside && x >= left && x < left + columns {
                let at = ((image * p.h + y as usize) * p.w + skipped + x - left) * p.c;
                amx::round_all(&x_of[at..at + p.c], &mut pixel[..p.c]);
            } else {
                pixel.fill(0);
            }
        }
    }
}

/// Writes the sums of a tile to their pixels, or to `full` (those of a panel's channels) where they are pooled.
#[inline(always)]
fn finish<S: Simd>(
    simd: S,
    work: &Work,
    io: &Io<'_>,
    panel: usize,
    tile: usize,
    image: usize,
    rows: Range<usize>,
    sum: &[f32],
    full: &mut [f32],
) {
    let p = &work.p;
    let (mut y, mut x) = (tile * amx::SIDE / work.width, tile * amx::SIDE % work.width);
    let zero = simd.splat(0.0);
    for sum in sum.chunks_exact(amx::SIDE) {
        if y == rows.len() {
            break;
        }
        if x < p.out_w {
            // SAFETY: a pixel of this task's, and the 32 channels of a panel, which no other task writes.
            unsafe {
                let to = match work.pooled {
                    true => full.as_mut_ptr().add((y * p.out_w + x) * amx::SIDE),
                    false => {
                        io.y.as_mut_ptr()
                            .add(((image * p.out_h + rows.start + y) * p.out_w + x) * p.k + panel * amx::SIDE)
                    }
                };
                for lane in (0..amx::SIDE).step_by(S::LANES) {
                    let mut v = simd.load(sum.as_ptr().add(lane));
                    if let Some(bias) = io.bias {
                        v = simd.add(v, simd.load(bias.as_ptr().add(panel * amx::SIDE + lane)));
                    }
                    simd.store(to.add(lane), if io.relu { simd.max(zero, v) } else { v });
                }
            }
        }
        x += 1;
        if x == work.width {
            (x, y) = (0, y + 1);
        }
    }
}

/// Writes the maxima of a block's windows, for the channels of a panel.
#[inline(always)]
fn pool<S: Simd>(
    simd: S,
    work: &Work,
    io: &Io<'_>,
    panel: usize,
    image: usize,
    rows: Range<usize>,
    full: &[f32],
) {
    let p = &work.p;
    let (out_h, out_w) = (p.out_h / 2, p.out_w / 2);
    for (row, y) in (rows.start / 2..out_h.min(rows.end / 2)).enumerate() {
        for x in 0..out_w {
            for lane in (0..amx::SIDE).step_by(S::LANES) {
                let at = ((image * out_h + y) * out_w + x) * p.k + panel * amx::SIDE + lane;
                // SAFETY: the window's pixels are in `full`; no other task writes this window and these channels.
                unsafe {
                    let pixel = |i: usize, j: usize| {
                        simd.load(full.as_ptr().add(((2 * row + i) * p.out_w + 2 * x + j) * amx::SIDE + lane))
                    };
                    let window = [[pixel(0, 0), pixel(0, 1)], [pixel(1, 0), pixel(1, 1)]];
                    store_maximum(simd, window, &io.y, io.argmax.as_ref(), at);
                }
            }
        }
    }
}
