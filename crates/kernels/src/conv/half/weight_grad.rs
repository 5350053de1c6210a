//! Gradient of the weights as a product over pixels, of numbers rounded to bf16.
//!
//! The gradient of the output is turned, a row of pixels for each channel, so that 32 channels by 32 pixels of it are a
//! tile. The input lies in pairs of pixels, a copy for each column of the kernel, shifted by that column: in a copy a
//! tap is a distance of whole rows, so that every tile begins at a cache line. A row has as many pixels as the output's,
//! made even, and no padding is multiplied. A task owns 32 input channels and some panels of 32 output channels, with
//! all taps or those of a kernel's row, and goes through the pixels in order.

use std::ops::Range;

use super::halves;
use crate::Isa;
use crate::amx::{self, DEPTH, SIDE, Tiles};
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
/// Bytes of sums of a task: they stay in the L2 cache beside the pixels of a few steps.
const SUMS: usize = 160 << 10;
/// Numbers of a pair of pixels of 32 channels.
const PAIR: usize = 2 * SIDE;

/// Sizes, in pixels.
struct Map {
    /// Pixels of a row: those of the output's, made even so that every row begins with a pair.
    width: usize,
    /// Pixels of an image of the output, rounded up to whole steps.
    outputs: usize,
    /// Those of a copy of the input, with what the last step sees behind the last row.
    inputs: usize,
    /// Images at a time.
    images: usize,
    /// Distance between channels of the turned gradient, an odd number of cache lines.
    row: usize,
    /// Panels of 32 output channels of a task.
    panels: usize,
    /// Parts that the kernel's rows are cut into.
    kernel_parts: usize,
}

impl Map {
    fn new(s: &Conv2dShape) -> Map {
        let width = s.out_w().next_multiple_of(2);
        let outputs = (s.out_h() * width).next_multiple_of(DEPTH);
        let inputs = outputs + (s.kernel[0] - 1) * width;
        let image = 2 * (inputs * s.c * s.kernel[1] + outputs * s.k);
        let images = (ROOM / image.max(1)).clamp(1, s.n.max(1));
        let row = (images * outputs).next_multiple_of(64) + 32;
        let blocks = s.c / SIDE * (s.k / SIDE);
        let fits = |panels: usize| 4 * panels * s.taps() * DEPTH * SIDE <= SUMS && blocks / panels >= TASKS;
        let panels = [8, 4, 2].into_iter().find(|&panels| fits(panels)).unwrap_or(1);
        let kernel_parts = if blocks < TASKS { s.kernel[0] } else { 1 };
        Map { width, outputs, inputs, images, row, panels, kernel_parts }
    }

    /// Numbers of 32 bits of the turned gradient and of the pairs.
    fn parts(&self, s: &Conv2dShape) -> [usize; 2] {
        [self.row * s.k / 2, self.images * self.inputs * s.c * s.kernel[1] / 2]
    }

    /// Numbers of a row of the input with its padding.
    fn line(&self, s: &Conv2dShape) -> usize {
        (self.width + s.kernel[1] - 1) * s.c
    }

    /// Numbers of a task: its sums, and the gradient of an output channel.
    fn task(&self, s: &Conv2dShape) -> [usize; 2] {
        let taps = s.taps() / self.kernel_parts;
        [self.panels * taps * DEPTH * SIDE, taps * SIDE]
    }
}

/// Pixels are alike if the window is one of them; images of one pixel at a time would leave the steps empty. They are
/// cut into rows where that leaves no rest, else into those of the pictures, if these are not too short.
fn flat(s: &Conv2dShape) -> Conv2dShape {
    if s.taps() > 1 || s.padding != [0, 0] {
        return *s;
    }
    let pixels = s.n * s.h * s.w;
    let w = match s.w {
        _ if pixels.is_multiple_of(DEPTH) => DEPTH,
        8.. => s.w,
        _ => pixels,
    };
    Conv2dShape { n: 1, h: pixels / w.max(1), w, ..*s }
}

/// Scratch of a task and of all together, in numbers.
pub(crate) fn scratch(s: &Conv2dShape) -> (usize, usize) {
    let s = flat(s);
    let map = Map::new(&s);
    (map.task(&s).iter().sum::<usize>().max(map.line(&s)), map.parts(&s).iter().sum())
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
    let map = &Map::new(s);
    let parts = map.parts(s);
    let (channel_blocks, output_blocks) = (s.c / SIDE, s.k / SIDE);
    let groups = output_blocks.div_ceil(map.panels);
    let dw = &SharedMut::new(dw);
    with_scratch(parts.iter().sum(), |shared| {
        let (turned, pairs) = shared.split_at_mut(parts[0]);
        for first in (0..s.n).step_by(map.images) {
            let images = map.images.min(s.n - first);
            {
                let (turned, pairs) = (SharedMut::new(halves(turned)), SharedMut::new(&mut *pairs));
                parallel_for(images * output_blocks, |i| {
                    let (image, block) = (i / output_blocks, i % output_blocks);
                    isa.run(Turn { s, map, dy, to: &turned, image, first, block });
                });
                let rows = map.inputs.div_ceil(map.width);
                parallel_for(images * rows, |i| {
                    let (image, row) = (i / rows, i % rows);
                    with_scratch(map.line(s), |line| {
                        isa.run(Pair { s, map, x, to: &pairs, line, image, first, images, row });
                    });
                });
            }
            let (turned, pairs): (&[u16], &[u16]) = (halves(turned), halves(pairs));
            let accumulate = accumulate || first > 0;
            // Tasks that follow one another share the input's channels.
            parallel_for(channel_blocks * groups * map.kernel_parts, |i| {
                let (block, part) = (i / map.kernel_parts, i % map.kernel_parts);
                let (c, group) = (block / groups, block % groups);
                let panels = group * map.panels..output_blocks.min((group + 1) * map.panels);
                let per_part = s.kernel[0] / map.kernel_parts;
                let rows = part * per_part..(part + 1) * per_part;
                with_scratch(map.task(s).iter().sum(), |scratch| {
                    isa.run(Task { s, map, turned, pairs, dw, scratch, images, c, panels, rows, accumulate });
                });
            });
        }
    });
}

/// Turns 32 channels of an image's gradient.
struct Turn<'a> {
    s: &'a Conv2dShape,
    map: &'a Map,
    dy: &'a [f32],
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
        // Rows that follow one another without a gap are one.
        let (rows, len) = match s.out_w() == map.width {
            true => (1, s.out_h() * s.out_w()),
            false => (s.out_h(), s.out_w()),
        };
        let from = (self.first + self.image) * s.out_h() * s.out_w();
        let mut columns = [0.0f32; DEPTH * SIDE];
        for (row, x) in (0..rows).flat_map(|row| (0..len).step_by(DEPTH).map(move |x| (row, x))) {
            let count = DEPTH.min(len - x);
            let from =
                &self.dy[(from + row * len + x) * s.k + self.block * SIDE..][..(count - 1) * s.k + SIDE];
            let columns_at = columns.as_mut_ptr();
            // SAFETY: `count` rows of 32 numbers are in `from`; `columns` has 32 rows of 32.
            unsafe { turn(simd, from.as_ptr(), count, s.k, SIDE, |c| columns_at.add(c * DEPTH)) };
            for (c, column) in columns.chunks_exact(DEPTH).enumerate() {
                let at = self.at(c) + row * map.width + x;
                // SAFETY: this task alone writes these channels of this image.
                let to = unsafe { self.to.slice(at..at + count) };
                if count == DEPTH {
                    amx::round_all(&column[..DEPTH], &mut to[..DEPTH]);
                } else {
                    amx::round_all(&column[..count], to);
                }
            }
        }
        for c in 0..SIDE {
            // SAFETY: as above.
            let to = unsafe { self.to.slice(self.at(c)..self.at(c) + map.outputs) };
            if s.out_w() < map.width {
                to.iter_mut().skip(s.out_w()).step_by(map.width).for_each(|gap| *gap = 0);
            }
            to[s.out_h() * map.width..].fill(0);
        }
    }
}

impl Turn<'_> {
    /// Where a channel of the image begins.
    #[inline(always)]
    fn at(&self, channel: usize) -> usize {
        (self.block * SIDE + channel) * self.map.row + self.image * self.map.outputs
    }
}

/// Pairs the pixels of a row of an image, once for each column of the kernel.
struct Pair<'a> {
    s: &'a Conv2dShape,
    map: &'a Map,
    x: &'a [f32],
    /// A pair in the place of a number.
    to: &'a SharedMut<'a, f32>,
    /// The row with its padding, rounded, each number in 32 bits.
    line: &'a mut [f32],
    image: usize,
    first: usize,
    images: usize,
    row: usize,
}

impl SimdOp for Pair<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (s, map, line) = (self.s, self.map, self.line);
        let y = self.row.wrapping_sub(s.padding[0]);
        line.fill(0.0);
        if y < s.h {
            let from = &self.x[((self.first + self.image) * s.h + y) * s.w * s.c..][..s.w * s.c];
            for (to, from) in line[s.padding[1] * s.c..].iter_mut().zip(from) {
                *to = f32::from_bits(amx::round(*from));
            }
        }
        let pairs = map.width.min(map.inputs - self.row * map.width) / 2;
        for (block, column) in (0..s.c / SIDE).flat_map(|block| (0..s.kernel[1]).map(move |i| (block, i))) {
            let copy = ((block * s.kernel[1] + column) * self.images + self.image) * map.inputs;
            let at = (copy + self.row * map.width) / 2 * SIDE;
            // SAFETY: this row of this image's copies is this task's.
            let to = unsafe { self.to.slice(at..at + pairs * SIDE) };
            let pixels = line[column * s.c..].chunks_exact(2 * s.c);
            for (to, pixels) in to.chunks_exact_mut(SIDE).zip(pixels) {
                let (even, odd) = pixels.split_at(s.c);
                let (even, odd) = (&even[block * SIDE..][..SIDE], &odd[block * SIDE..][..SIDE]);
                for (to, (even, odd)) in to.iter_mut().zip(even.iter().zip(odd)) {
                    *to = f32::from_bits(even.to_bits() | odd.to_bits() << 16);
                }
            }
        }
    }
}

/// The gradient of 32 input channels and some panels of output channels at the taps of some rows of the kernel.
struct Task<'a> {
    s: &'a Conv2dShape,
    map: &'a Map,
    turned: &'a [u16],
    pairs: &'a [u16],
    dw: &'a SharedMut<'a, f32>,
    scratch: &'a mut [f32],
    images: usize,
    c: usize,
    panels: Range<usize>,
    rows: Range<usize>,
    accumulate: bool,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (s, map) = (self.s, self.map);
        let columns = s.kernel[1];
        let taps = self.rows.len() * columns;
        let (sums, out) = self.scratch.split_at_mut(map.task(s)[0]);
        let steps = map.outputs / DEPTH;
        {
            let unit = Tiles::new();
            let all = self.images * steps;
            for from in (0..all).step_by(STEPS) {
                let count = STEPS.min(all - from);
                let mut offsets = [[0; 2]; STEPS];
                for (step, offset) in (from..).zip(&mut offsets[..count]) {
                    let pixel = step / steps * map.inputs + step % steps * DEPTH;
                    *offset = [2 * step * DEPTH, pixel * PAIR];
                }
                for (panel, sums) in self.panels.clone().zip(sums.chunks_exact_mut(taps * DEPTH * SIDE)) {
                    for tap in 0..taps {
                        let (column, row) = (tap / self.rows.len(), tap % self.rows.len());
                        let sum = &mut sums[(row * columns + column) * DEPTH * SIDE..][..DEPTH * SIDE];
                        let a = panel * SIDE * map.row;
                        let copy = (self.c * columns + column) * self.images * map.inputs;
                        let b = (copy + (self.rows.start + row) * map.width) / 2 * PAIR;
                        // SAFETY: the turned gradient has pixels for every step, a copy of the input has them at every
                        // row of the kernel; `sum` is a tile.
                        unsafe {
                            let a = (self.turned.as_ptr().add(a), 2 * map.row);
                            let b = (self.pairs.as_ptr().add(b), [2 * PAIR, PAIR]);
                            unit.multiply(a, b, &offsets[..count], sum.as_mut_ptr(), from > 0);
                        }
                    }
                }
            }
        }
        // From (tap, k, c) to (k, c, tap).
        for (panel, sums) in self.panels.zip(sums.chunks_exact(taps * DEPTH * SIDE)) {
            for k in 0..SIDE {
                let turned = out.as_mut_ptr();
                // SAFETY: `taps` rows of 32 numbers are in `sums`, 32 runs of `taps` in `out`.
                unsafe {
                    let from = sums.as_ptr().add(k * SIDE);
                    turn(simd, from, taps, DEPTH * SIDE, SIDE, |c| turned.add(c * taps));
                }
                let start =
                    ((panel * SIDE + k) * s.c + self.c * DEPTH) * s.taps() + self.rows.start * columns;
                let run = if taps == s.taps() { SIDE * taps } else { taps };
                for (c, from) in out[..SIDE * taps].chunks_exact(run).enumerate() {
                    let at = start + c * s.taps();
                    // SAFETY: this task alone writes these taps of these channels.
                    let to = unsafe { self.dw.slice(at..at + from.len()) };
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = if self.accumulate { *to + from } else { *from };
                    }
                }
            }
        }
    }
}
