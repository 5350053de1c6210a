//! Gradient of the weights as a product over pixels, of numbers rounded to bf16.
//!
//! Pixels are counted in the map with its padding, where a tap is a distance. The input is turned, a row of pixels for
//! each channel, so that 32 channels by 32 pixels of it are a tile at any tap; the gradient of the output lies in pairs
//! of pixels, with zeros where an output would begin in the padding. A task owns 32 x 32 channels, with all taps or
//! those of a row, and goes through the pixels in order.

use super::halves;
use crate::Isa;
use crate::amx::{self, DEPTH, SIDE, STEP, Tiles};
use crate::conv::pack::turn;
use crate::conv::shape::Conv2dShape;
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Bytes of rounded input and gradient to work on at a time, if an image has not more.
const ROOM: usize = 64 << 20;
/// Steps of pixels that stay in the L1 cache for all taps.
const STEPS: usize = 8;
/// Fewer blocks of channels than this share the rows of the kernel out.
const TASKS: usize = 8;

/// Sizes, in pixels of the map with its padding.
struct Map {
    /// Pixels of a row.
    width: usize,
    /// Pixels of the output's rows, rounded up to whole steps.
    outputs: usize,
    /// Those of the input, with what the last step sees behind the last row.
    inputs: usize,
    /// Images at a time.
    images: usize,
    /// Distance between channels of the turned input, an odd number of cache lines.
    row: usize,
}

impl Map {
    fn new(s: &Conv2dShape) -> Map {
        let width = s.out_w() + s.kernel[1] - 1;
        let outputs = (s.out_h() * width).next_multiple_of(DEPTH);
        let inputs = (outputs + (s.kernel[0] - 1) * width + s.kernel[1] - 1).next_multiple_of(DEPTH);
        let image = 2 * (inputs * s.c + outputs * s.k);
        let images = (ROOM / image.max(1)).clamp(1, s.n.max(1));
        Map { width, outputs, inputs, images, row: (images * inputs).next_multiple_of(64) + 32 }
    }

    /// Numbers of 32 bits of the turned input and of the pairs.
    fn parts(&self, s: &Conv2dShape) -> [usize; 2] {
        [self.row * s.c / 2, self.images * self.outputs * s.k / 2]
    }
}

/// Pixels are alike if the window is one of them; images of one pixel at a time would leave the steps empty.
fn flat(s: &Conv2dShape) -> Conv2dShape {
    match s.taps() == 1 && s.padding == [0, 0] {
        true => Conv2dShape { n: 1, h: 1, w: s.n * s.h * s.w, ..*s },
        false => *s,
    }
}

/// Scratch of a task and of all together, in numbers.
pub(crate) fn scratch(s: &Conv2dShape) -> (usize, usize) {
    let s = flat(s);
    (2 * s.taps() * DEPTH * SIDE, Map::new(&s).parts(&s).iter().sum())
}

/// `dw (+)=` the gradient, in PyTorch's order.
pub(crate) fn run(isa: Isa, s: &Conv2dShape, x: &[f32], dy: &[f32], dw: &mut [f32], accumulate: bool) {
    let s = &flat(s);
    if s.output_len() == 0 || s.input_len() == 0 {
        if !accumulate {
            dw.fill(0.0);
        }
        return;
    }
    let map = Map::new(s);
    let parts = map.parts(s);
    let (channel_blocks, output_blocks) = (s.c / SIDE, s.k / SIDE);
    let blocks = channel_blocks * output_blocks;
    let kernel_rows = if blocks < TASKS { s.kernel[0] } else { 1 };
    let dw = SharedMut::new(dw);
    with_scratch(parts.iter().sum(), |shared| {
        let (turned, pairs) = shared.split_at_mut(parts[0]);
        for first in (0..s.n).step_by(map.images) {
            let images = map.images.min(s.n - first);
            {
                let (turned, pairs) = (SharedMut::new(halves(turned)), SharedMut::new(halves(pairs)));
                parallel_for(images * channel_blocks, |i| {
                    let (image, block) = (i / channel_blocks, i % channel_blocks);
                    isa.run(Turn { s, map: &map, x, to: &turned, image, first, block });
                });
                parallel_for(images * output_blocks, |i| {
                    let (image, block) = (i / output_blocks, i % output_blocks);
                    isa.run(Pair { s, map: &map, dy, to: &pairs, image, first, images, block });
                });
            }
            let (turned, pairs): (&[u16], &[u16]) = (halves(turned), halves(pairs));
            parallel_for(blocks * kernel_rows, |i| {
                let (block, row) = (i / kernel_rows, i % kernel_rows);
                let taps = s.taps() / kernel_rows;
                let (c, k) = (block % channel_blocks, block / channel_blocks);
                let taps = row * taps..(row + 1) * taps;
                with_scratch(2 * taps.len() * DEPTH * SIDE, |scratch| {
                    let accumulate = accumulate || first > 0;
                    isa.run(Task {
                        s,
                        map: &map,
                        turned,
                        pairs,
                        dw: &dw,
                        scratch,
                        images,
                        c,
                        k,
                        taps,
                        accumulate,
                    });
                });
            });
        }
    });
}

/// Turns 32 channels of an image.
struct Turn<'a> {
    s: &'a Conv2dShape,
    map: &'a Map,
    x: &'a [f32],
    to: &'a SharedMut<'a, u16>,
    image: usize,
    first: usize,
    block: usize,
}

impl SimdOp for Turn<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (s, map) = (self.s, self.map);
        let rows = map.inputs.div_ceil(map.width);
        let mut columns = [0.0f32; 32 * DEPTH];
        for y in 0..rows {
            let row = y * map.width..map.inputs.min((y + 1) * map.width);
            // Columns of the image in this row.
            let y = y as isize - s.padding[0] as isize;
            let inside =
                if y < 0 || y >= s.h as isize { 0 } else { s.w.min(row.len().saturating_sub(s.padding[1])) };
            let left = if inside == 0 { row.len() } else { s.padding[1] };
            let at = |c: usize| (self.block * DEPTH + c) * map.row + self.image * map.inputs + row.start;
            for c in 0..DEPTH {
                // SAFETY: this task alone writes these channels of this image.
                let to = unsafe { self.to.slice(at(c)..at(c) + row.len()) };
                to[..left].fill(0);
                to[(left + inside).min(row.len())..].fill(0);
            }
            if inside == 0 {
                continue;
            }
            let pixel = ((self.first + self.image) * s.h + y as usize) * s.w;
            for x in (0..inside).step_by(32) {
                let count = 32.min(inside - x);
                let from = &self.x[(pixel + x) * s.c + self.block * DEPTH..][..(count - 1) * s.c + DEPTH];
                let columns_at = columns.as_mut_ptr();
                // SAFETY: `count` rows of 32 numbers are in `from`; `columns` has 32 rows of 32; this task alone
                // writes these channels of this image.
                unsafe {
                    turn(simd, from.as_ptr(), count, s.c, DEPTH, |c| columns_at.add(c * 32));
                    for (c, column) in columns.chunks_exact(32).enumerate() {
                        let at = at(c) + left + x;
                        let to = self.to.slice(at..at + count);
                        if count == 32 {
                            amx::round_all(&column[..32], &mut to[..32]);
                        } else {
                            amx::round_all(&column[..count], to);
                        }
                    }
                }
            }
        }
    }
}

/// Pairs the pixels of 32 channels of an image's gradient.
struct Pair<'a> {
    s: &'a Conv2dShape,
    map: &'a Map,
    dy: &'a [f32],
    to: &'a SharedMut<'a, u16>,
    image: usize,
    first: usize,
    images: usize,
    block: usize,
}

impl SimdOp for Pair<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        static ZEROS: [f32; SIDE] = [0.0; SIDE];
        let (s, map) = (self.s, self.map);
        let steps = map.outputs / DEPTH;
        let to = self.to.as_mut_ptr().cast::<u32>();
        let (out_h, out_w) = (s.out_h(), s.out_w());
        let base = (self.first + self.image) * out_h * out_w;
        let (mut y, mut x) = (0, 0);
        for pair in 0..map.outputs / 2 {
            let mut rows = [ZEROS.as_ptr(); 2];
            for row in &mut rows {
                if y < out_h && x < out_w {
                    let at = (base + y * out_w + x) * s.k + self.block * SIDE;
                    *row = self.dy[at..at + SIDE].as_ptr();
                }
                x += 1;
                if x == map.width {
                    (x, y) = (0, y + 1);
                }
            }
            let step = (self.block * self.images + self.image) * steps + pair / 16;
            // SAFETY: the rows have 32 numbers; the steps of these channels and this image are this task's.
            unsafe { amx::pair(rows[0], rows[1], to.add(step * STEP / 2 + pair % 16 * 16)) }
        }
    }
}

/// The gradient of 32 x 32 channels at some taps.
struct Task<'a> {
    s: &'a Conv2dShape,
    map: &'a Map,
    turned: &'a [u16],
    pairs: &'a [u16],
    dw: &'a SharedMut<'a, f32>,
    scratch: &'a mut [f32],
    images: usize,
    c: usize,
    k: usize,
    taps: std::ops::Range<usize>,
    accumulate: bool,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (s, map) = (self.s, self.map);
        let taps = self.taps.len();
        let (sums, out) = self.scratch.split_at_mut(taps * DEPTH * SIDE);
        let steps = map.outputs / DEPTH;
        {
            let unit = Tiles::new();
            let all = self.images * steps;
            for from in (0..all).step_by(STEPS) {
                let count = STEPS.min(all - from);
                let mut offsets = [0; STEPS];
                for (i, offset) in offsets.iter_mut().enumerate().take(count) {
                    *offset = 2 * ((from + i) / steps * map.inputs + (from + i) % steps * DEPTH);
                }
                for (tap, sum) in self.taps.clone().zip(sums.chunks_exact_mut(DEPTH * SIDE)) {
                    let shift = tap / s.kernel[1] * map.width + tap % s.kernel[1];
                    let a = self.c * DEPTH * map.row + shift;
                    let b = (self.k * all + from) * STEP;
                    // SAFETY: the turned input has pixels for every step at every tap, behind the last row zeros; the
                    // pairs have `steps` steps for each image; `sum` is a tile.
                    unsafe {
                        let (a, b) = (self.turned.as_ptr().add(a), self.pairs.as_ptr().add(b));
                        unit.multiply(a, 2 * map.row, &offsets[..count], b, sum.as_mut_ptr(), from > 0);
                    }
                }
            }
        }
        // From (tap, c, k) to (k, c, tap).
        for c in 0..DEPTH {
            let out = out.as_mut_ptr();
            // SAFETY: `taps` rows of 32 numbers are in `sums`, 32 times 32 runs of `taps` in `out`.
            unsafe {
                let from = sums.as_ptr().add(c * SIDE);
                turn(simd, from, taps, DEPTH * SIDE, SIDE, |k| out.add((k * DEPTH + c) * taps));
            }
        }
        for (k, from) in out.chunks_exact(DEPTH * taps).enumerate() {
            let start = ((self.k * SIDE + k) * s.c + self.c * DEPTH) * s.taps();
            for (c, from) in from.chunks_exact(if taps == s.taps() { from.len() } else { taps }).enumerate() {
                let at = start + c * s.taps() + self.taps.start;
                // SAFETY: this task alone writes these taps of these channels.
                let to = unsafe { self.dw.slice(at..at + from.len()) };
                for (to, from) in to.iter_mut().zip(from) {
                    *to = if self.accumulate { *to + from } else { *from };
                }
            }
        }
    }
}
