//! Gradient of the weights as a product over pixels: `dW[tap, c, k] = sum_p x[p at tap, c] dy[p, k]`.
//!
//! A task owns a block of input channels x output channels with all taps and goes through the pixels in
//! order. Where there are few such blocks, the pixels are cut too, into a number of parts that depends on the
//! shape alone, and the parts are summed in order.

use super::shape::Conv2dShape;
use crate::Isa;
use crate::gemm::{TileArgs, panel_width};
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_chunks_mut, parallel_for};

/// Most numbers in a task's block of the gradient: with a block of `x` it fits the L2 cache.
const BLOCK: usize = 64 * 1024;
/// Most input channels of a task.
const CB: usize = 240;
/// Pixels that are packed at a time.
const PB: usize = 128;
/// Tasks to aim at by cutting the pixels.
const TASKS: usize = 16;
/// Fewest pixels worth a part of their own.
const FEWEST: usize = 512;

/// How the work is cut; a function of the shape (and the instruction set) alone.
#[derive(Clone, Copy)]
struct Cut {
    channels: usize,
    outputs: usize,
    channel_blocks: usize,
    column_blocks: usize,
    parts: usize,
    part: usize,
}

fn cut(s: &Conv2dShape, mr: usize) -> Cut {
    // Many taps leave little room for output channels.
    let outputs = if s.taps() <= 4 { 128 } else { 64 };
    let most = (BLOCK / (s.taps() * outputs)).clamp(mr, CB) / mr * mr;
    let channels = most.min(s.c.next_multiple_of(mr)).max(mr);
    let (channel_blocks, column_blocks) = (s.c.div_ceil(channels), s.k.div_ceil(outputs));
    let pixels = s.n * s.out_h() * s.out_w();
    let parts = TASKS.div_ceil((channel_blocks * column_blocks).max(1)).min(pixels.div_ceil(FEWEST)).max(1);
    let part = pixels.div_ceil(parts);
    Cut { channels, outputs, channel_blocks, column_blocks, parts, part }
}

/// Rows of a tile, as an operation.
struct TileRows;

impl SimdOp for TileRows {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::MR
    }
}

/// `dw (+)=` the gradient, in PyTorch's order.
pub(super) fn run(isa: Isa, s: &Conv2dShape, x: &[f32], dy: &[f32], dw: &mut [f32], accumulate: bool) {
    if dw.is_empty() {
        return;
    }
    let cut = cut(s, isa.run(TileRows));
    let blocks = cut.channel_blocks * cut.column_blocks;
    let task = |task: usize, dw: &SharedMut<f32>, offset: usize, accumulate: bool| {
        let (part, block) = (task / blocks, task % blocks);
        let (c0, k0) = (block % cut.channel_blocks * cut.channels, block / cut.channel_blocks * cut.outputs);
        with_scratch(task_scratch(s, &cut), |scratch| {
            let p0 = part * cut.part;
            isa.run(Task { s, x, dy, dw, scratch, offset, accumulate, cut, c0, k0, p0 });
        });
    };
    if cut.parts == 1 {
        let dw = SharedMut::new(dw);
        parallel_for(blocks, |i| task(i, &dw, 0, accumulate));
        return;
    }
    let len = dw.len();
    with_scratch(cut.parts * len, |parts| {
        let shared = SharedMut::new(parts);
        parallel_for(cut.parts * blocks, |i| task(i, &shared, i / blocks * len, false));
        parallel_chunks_mut(dw, 4096, |i, dw| {
            for (j, dw) in dw.iter_mut().enumerate() {
                let mut sum = if accumulate { *dw } else { 0.0 };
                for part in 0..cut.parts {
                    sum += parts[part * len + i * 4096 + j];
                }
                *dw = sum;
            }
        });
    });
}

/// Scratch of a task and of the parts, in numbers.
pub(super) fn scratch(isa: Isa, s: &Conv2dShape) -> (usize, usize) {
    let cut = cut(s, isa.run(TileRows));
    (task_scratch(s, &cut), if cut.parts > 1 { cut.parts * s.weight_len() } else { 0 })
}

/// Scratch of a task: its block of the gradient, a block of `x`, a block of `dy`; in the place of these, at the end,
/// eight output channels of the gradient.
fn task_scratch(s: &Conv2dShape, cut: &Cut) -> usize {
    let blocks = PB * (cut.channels + 48) + PB * cut.outputs;
    s.taps() * cut.channels * cut.outputs + blocks.max(8 * s.taps() * cut.channels)
}

struct Task<'a> {
    s: &'a Conv2dShape,
    x: &'a [f32],
    dy: &'a [f32],
    dw: &'a SharedMut<'a, f32>,
    scratch: &'a mut [f32],
    /// Where this task's copy of the gradient starts in `dw`.
    offset: usize,
    accumulate: bool,
    cut: Cut,
    c0: usize,
    k0: usize,
    p0: usize,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let s = self.s;
        let taps = s.taps();
        let cb = self.cut.channels.min(s.c - self.c0);
        let outputs = self.cut.outputs;
        let kb = outputs.min(s.k - self.k0);
        let nr = panel_width::<S>();
        // The 16 extra numbers keep pixels out of each other's cache sets; MR more may be read past `cb`.
        let a_k = self.cut.channels.next_multiple_of(16) + 16;
        let pixels = s.n * s.out_h() * s.out_w();
        let p1 = pixels.min(self.p0 + self.cut.part);
        let (sum, rest) = self.scratch.split_at_mut(taps * cb * outputs);
        let (a, b) = rest.split_at_mut(PB * a_k + S::MR);
        sum.fill(0.0);
        for p0 in (self.p0..p1).step_by(PB) {
            let pb = PB.min(p1 - p0);
            for j0 in (0..kb).step_by(nr) {
                let panel = &mut b[j0 * PB..][..pb * nr];
                let used = nr.min(kb - j0);
                for (i, row) in panel.chunks_exact_mut(nr).enumerate() {
                    let at = (p0 + i) * s.k + self.k0 + j0;
                    copy(simd, &self.dy[at..at + used], &mut row[..used]);
                    row[used..].fill(0.0);
                }
            }
            for tap in 0..taps {
                pack(simd, s, self.x, self.c0, tap, p0, pb, cb, a_k, a);
                for j0 in (0..kb).step_by(nr) {
                    for i0 in (0..cb).step_by(S::MR) {
                        // SAFETY: `a` holds `pb` rows of `a_k` numbers and MR more; `b` a panel of `pb` rows;
                        // the written part of `sum` lies inside it.
                        unsafe {
                            simd.tile::<1>(TileArgs {
                                k: pb,
                                a: a.as_ptr().add(i0),
                                a_k,
                                b: b.as_ptr().add(j0 * PB),
                                b_k: nr,
                                c: sum.as_mut_ptr().add((tap * cb + i0) * outputs + j0),
                                c_row: outputs,
                                rows: S::MR.min(cb - i0),
                                cols: nr.min(kb - j0),
                                accumulate: true,
                            });
                        }
                    }
                }
            }
        }
        // Eight output channels at a time are turned, from (tap, c, k) to (k, tap, c), and go to their places.
        let turned = &mut rest[..8 * taps * cb];
        for k0 in (0..kb).step_by(8) {
            let count = 8.min(kb - k0);
            for row in (0..taps * cb).step_by(8) {
                if count < 8 || row + 8 > taps * cb {
                    for (i, j) in (row..taps * cb).take(8).flat_map(|i| (0..count).map(move |j| (i, j))) {
                        turned[j * taps * cb + i] = sum[i * outputs + k0 + j];
                    }
                    continue;
                }
                // SAFETY: 8 rows from `row` and 8 columns from `k0` on lie in `sum`, as do 8 numbers from `row` on in
                // each of the rows of `turned`.
                unsafe {
                    let mut to = [turned.as_mut_ptr().add(row); 8];
                    for j in 0..8 {
                        to[j] = to[j].add(j * taps * cb);
                    }
                    simd.transpose8(sum.as_ptr().add(row * outputs + k0), outputs, to);
                }
            }
            for (j, from) in turned.chunks_exact(taps * cb).take(count).enumerate() {
                let start = self.offset + ((self.k0 + k0 + j) * s.c + self.c0) * taps;
                // SAFETY: this task alone writes its channels of this copy.
                let dw = unsafe { self.dw.slice(start..start + cb * taps) };
                if taps == 1 {
                    match self.accumulate {
                        true => dw.iter_mut().zip(from).for_each(|(dw, x)| *dw += x),
                        false => copy(simd, from, dw),
                    }
                    continue;
                }
                for (c, dw) in dw.chunks_exact_mut(taps).enumerate() {
                    for (tap, dw) in dw.iter_mut().enumerate() {
                        let value = from[tap * cb + c];
                        *dw = if self.accumulate { *dw + value } else { value };
                    }
                }
            }
        }
    }
}

/// Copies in place; a call of the library's function would cost more than such short runs take.
#[inline(always)]
fn copy<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    let whole = from.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: LANES numbers from `at` on are in both slices.
        unsafe { simd.store(to.as_mut_ptr().add(at), simd.load(from.as_ptr().add(at))) }
    }
    for (to, from) in to[whole..].iter_mut().zip(&from[whole..]) {
        *to = *from;
    }
}

/// The input's channels that pixels `p0 .. p0 + pb` of the output see at a tap, zero outside the image.
#[inline(always)]
fn pack<S: Simd>(
    simd: S,
    s: &Conv2dShape,
    source: &[f32],
    first_channel: usize,
    tap: usize,
    p0: usize,
    pb: usize,
    cb: usize,
    a_k: usize,
    a: &mut [f32],
) {
    let (oh, ow) = (s.out_h(), s.out_w());
    let (r, c) = ((tap / s.kernel[1]) as isize, (tap % s.kernel[1]) as isize);
    let (mut image, mut oy, mut ox) = (p0 / (oh * ow), p0 / ow % oh, p0 % ow);
    for row in a.chunks_exact_mut(a_k).take(pb) {
        let y = (oy * s.stride[0]) as isize + r - s.padding[0] as isize;
        let x = (ox * s.stride[1]) as isize + c - s.padding[1] as isize;
        if y < 0 || x < 0 || y >= s.h as isize || x >= s.w as isize {
            row[..cb].fill(0.0);
        } else {
            let at = ((image * s.h + y as usize) * s.w + x as usize) * s.c + first_channel;
            copy(simd, &source[at..at + cb], &mut row[..cb]);
        }
        ox += 1;
        if ox == ow {
            (ox, oy) = (0, oy + 1);
            if oy == oh {
                (oy, image) = (0, image + 1);
            }
        }
    }
}
