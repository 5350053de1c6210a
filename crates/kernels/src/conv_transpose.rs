//! Transposed convolution: each input pixel adds its multiples of the window to the output.
//!
//! In NHWC the window's row `kh` is, for one input pixel, a contiguous span of KW x K numbers of the
//! output. All three passes are products over such spans, on one register tile.

mod product;
#[cfg(test)]
mod tests;

use self::product::{TILE, product};
use crate::Isa;
use crate::dispatch::dispatch;
use crate::simd::Simd;
use crate::threads::{SharedMut, parallel_chunks_mut, parallel_for};

/// The shape of a transposed convolution: input N x H x W x C, output channels K.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose2dShape {
    /// N
    pub n: usize,
    /// H, of the input
    pub h: usize,
    /// W, of the input
    pub w: usize,
    /// C, channels of the input
    pub c: usize,
    /// K, channels of the output
    pub k: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps of the output for a step of the input.
    pub stride: [usize; 2],
    /// Rows and columns cut off the output on each side.
    pub padding: [usize; 2],
}

impl ConvTranspose2dShape {
    /// Output rows, `(H - 1) * stride - 2 * padding + kernel`; 0 where that is not positive.
    pub fn out_h(&self) -> usize {
        self.out(self.h, 0)
    }

    /// Output columns.
    pub fn out_w(&self) -> usize {
        self.out(self.w, 1)
    }

    fn out(&self, side: usize, axis: usize) -> usize {
        if side == 0 {
            return 0;
        }
        ((side - 1) * self.stride[axis] + self.kernel[axis]).saturating_sub(2 * self.padding[axis])
    }

    /// Numbers in a span: a row of the window for all output channels.
    fn span(&self) -> usize {
        self.kernel[1] * self.k
    }

    fn weight_len(&self) -> usize {
        self.c * self.k * self.kernel[0] * self.kernel[1]
    }

    /// Where PyTorch keeps the weight of channel `c`, window row `kh` and span element `j`.
    fn weight_at(&self, c: usize, kh: usize, j: usize) -> usize {
        let (kw, k) = (j / self.k, j % self.k);
        ((c * self.k + k) * self.kernel[0] + kh) * self.kernel[1] + kw
    }

    fn check(&self, x: usize, y: usize, weight: usize) {
        assert!(self.stride[0] > 0 && self.stride[1] > 0);
        assert_eq!(x, self.n * self.h * self.w * self.c);
        assert_eq!(y, self.n * self.out_h() * self.out_w() * self.k);
        assert_eq!(weight, self.weight_len());
    }

    /// The output row that window row `kh` of input row `ih` falls on.
    fn out_row(&self, ih: usize, kh: usize) -> Option<usize> {
        (ih * self.stride[0] + kh).checked_sub(self.padding[0]).filter(|&oh| oh < self.out_h())
    }

    /// The part `[from, to)` of a piece of the span of input column `iw`, beginning at `first` and `len`
    /// long, that lies inside the output row, and where `from` falls in that row.
    fn clip(&self, iw: usize, first: usize, len: usize) -> (usize, usize, usize) {
        let row = self.out_w() * self.k;
        let (start, cut) = (iw * self.stride[1] * self.k + first, self.padding[1] * self.k);
        let from = cut.saturating_sub(start).min(len);
        let to = (row + cut).saturating_sub(start).min(len).max(from);
        (from, to, if from < to { start + from - cut } else { 0 })
    }

    /// How many input columns from `iw` on have that piece of their span wholly inside.
    fn whole(&self, iw: usize, first: usize, len: usize) -> usize {
        let row = self.out_w() * self.k;
        let (step, cut) = (self.stride[1] * self.k, self.padding[1] * self.k);
        let start = iw * step + first;
        if start < cut || start + len > row + cut {
            return 0;
        }
        ((row + cut - start - len) / step + 1).min(self.w - iw)
    }
}

/// Most input pixels of a product that goes by way of a copy.
const ROWS: usize = 8;
/// The widest row of a tile, in numbers.
const MAX_WIDTH: usize = TILE * 16;
/// Channels of one task of the weight gradient.
const CHANNELS: usize = 64;

/// Pieces of `len` numbers: (first, vectors).
fn tiles(len: usize, lanes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(TILE * lanes).map(move |first| (first, (len - first).div_ceil(lanes).min(TILE)))
}

struct Lanes;
impl crate::simd::SimdOp for Lanes {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

/// A matrix of `rows` x `columns` for each window row, cut into tiles of columns: `[kh][tile][row][column]`,
/// the last tile filled with zeros to whole vectors.
fn pack(
    s: &ConvTranspose2dShape,
    lanes: usize,
    rows: usize,
    columns: usize,
    at: impl Fn(usize, usize, usize) -> f32 + Sync + Send,
) -> Vec<f32> {
    let part = rows * columns.next_multiple_of(lanes);
    let mut packed = vec![0.0; s.kernel[0] * part];
    parallel_chunks_mut(&mut packed, part, |kh, packed| {
        for (first, vectors) in tiles(columns, lanes) {
            let width = vectors * lanes;
            for (row, to) in packed[first * rows..][..rows * width].chunks_exact_mut(width).enumerate() {
                for (i, to) in to.iter_mut().take(columns - first).enumerate() {
                    *to = at(kh, row, first + i);
                }
            }
        }
    });
    packed
}

/// `y` (N x OH x OW x K, overwritten) from `x` (N x H x W x C) and PyTorch's `weight` (C x K x KH x KW).
///
/// # Panics
/// When a length does not fit the shape.
pub fn conv_transpose2d(
    isa: Isa,
    s: &ConvTranspose2dShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    s.check(x.len(), y.len(), weight.len());
    assert!(bias.is_none_or(|bias| bias.len() == s.k));
    let packed = pack(s, isa.run(Lanes), s.c, s.span(), |kh, c, j| weight[s.weight_at(c, kh, j)]);
    parallel_chunks_mut(y, s.out_w() * s.k, |row, y| {
        match bias {
            Some(bias) => y.chunks_exact_mut(s.k).for_each(|y| y.copy_from_slice(bias)),
            None => y.fill(0.0),
        }
        forward_row(isa, s, x, &packed, row, y);
    });
}

dispatch! {
    fn forward_row<'a>(s: &'a ConvTranspose2dShape, x: &'a [f32], packed: &'a [f32], row: usize, y: &'a mut [f32])
        = forward_row_body
}

/// Adds to output row `row`, counted over N and output rows.
#[inline(always)]
fn forward_row_body<S: Simd>(
    simd: S,
    s: &ConvTranspose2dShape,
    x: &[f32],
    packed: &[f32],
    row: usize,
    y: &mut [f32],
) {
    let (n, oh) = (row / s.out_h(), row % s.out_h());
    let step = s.stride[1] * s.k;
    let part = s.c * s.span().next_multiple_of(S::LANES);
    for kh in 0..s.kernel[0] {
        let Some(top) = (oh + s.padding[0]).checked_sub(kh) else { continue };
        let ih = top / s.stride[0];
        if top % s.stride[0] != 0 || ih >= s.h {
            continue;
        }
        let x = &x[(n * s.h + ih) * s.w * s.c..][..s.w * s.c];
        for (first, vectors) in tiles(s.span(), S::LANES) {
            let width = vectors * S::LANES;
            let tile = &packed[kh * part + first * s.c..][..s.c * width];
            let padded = first + width > s.span();
            let mut iw = 0;
            while iw < s.w {
                let whole = if padded { 0 } else { s.whole(iw, first, width) };
                if whole > 0 {
                    let (_, _, at) = s.clip(iw, first, width);
                    let x = &x[iw * s.c..];
                    product(simd, whole, s.c, x, s.c, 1, tile, width, vectors, &mut y[at..], step);
                    iw += whole;
                    continue;
                }
                // Cut by the border, or the last tile with its filling: by way of a copy.
                let pixels = if padded { ROWS.min(s.w - iw) } else { 1 };
                let out = &mut [0.0; ROWS * MAX_WIDTH][..pixels * width];
                product(simd, pixels, s.c, &x[iw * s.c..], s.c, 1, tile, width, vectors, out, width);
                for (i, out) in out.chunks_exact(width).enumerate() {
                    let (from, to, at) = s.clip(iw + i, first, width.min(s.span() - first));
                    for (y, out) in y[at..].iter_mut().zip(&out[from..to]) {
                        *y += out;
                    }
                }
                iw += pixels;
            }
        }
    }
}

/// The gradient of the input into `dx` (overwritten).
///
/// # Panics
/// When a length does not fit the shape.
pub fn conv_transpose2d_input_grad(
    isa: Isa,
    s: &ConvTranspose2dShape,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) {
    s.check(dx.len(), dy.len(), weight.len());
    let packed = pack(s, isa.run(Lanes), s.span(), s.c, |kh, j, c| weight[s.weight_at(c, kh, j)]);
    parallel_chunks_mut(dx, s.w * s.c, |row, dx| {
        dx.fill(0.0);
        input_grad_row(isa, s, dy, &packed, row, dx);
    });
}

dispatch! {
    fn input_grad_row<'a>(
        s: &'a ConvTranspose2dShape, dy: &'a [f32], packed: &'a [f32], row: usize, dx: &'a mut [f32])
        = input_grad_row_body
}

/// Adds to input row `row`, counted over N and input rows.
#[inline(always)]
fn input_grad_row_body<S: Simd>(
    simd: S,
    s: &ConvTranspose2dShape,
    dy: &[f32],
    packed: &[f32],
    row: usize,
    dx: &mut [f32],
) {
    let (n, ih) = (row / s.h, row % s.h);
    let (span, out_row, step) = (s.span(), s.out_w() * s.k, s.stride[1] * s.k);
    let part = span * s.c.next_multiple_of(S::LANES);
    for kh in 0..s.kernel[0] {
        let Some(oh) = s.out_row(ih, kh) else { continue };
        let dy = &dy[(n * s.out_h() + oh) * out_row..][..out_row];
        for (first, vectors) in tiles(s.c, S::LANES) {
            let width = vectors * S::LANES;
            let tile = &packed[kh * part + first * span..][..span * width];
            let mut iw = 0;
            while iw < s.w {
                // A pixel whose span is cut by the border goes alone.
                let pixels = s.whole(iw, 0, span).clamp(1, ROWS);
                let (from, to, at) = s.clip(iw, 0, span);
                let out = &mut [0.0; ROWS * MAX_WIDTH][..pixels * width];
                let tile = &tile[from * width..to * width];
                product(simd, pixels, to - from, &dy[at..], step, 1, tile, width, vectors, out, width);
                for (i, out) in out.chunks_exact(width).enumerate() {
                    let dx = &mut dx[(iw + i) * s.c + first..];
                    for (dx, out) in dx.iter_mut().zip(out).take(s.c - first) {
                        *dx += out;
                    }
                }
                iw += pixels;
            }
        }
    }
}

/// The gradient of the weight into `dw` (PyTorch's C x K x KH x KW), or added to it. The work is split
/// over weights, never over pixels.
///
/// # Panics
/// When a length does not fit the shape.
pub fn conv_transpose2d_weight_grad(
    isa: Isa,
    s: &ConvTranspose2dShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: bool,
) {
    s.check(x.len(), dy.len(), dw.len());
    if !accumulate {
        dw.fill(0.0);
    }
    let tiles: Vec<_> = tiles(s.span(), isa.run(Lanes)).collect();
    let groups = s.c.div_ceil(CHANNELS);
    let dw = SharedMut::new(dw);
    parallel_for(s.kernel[0] * tiles.len() * groups, |task| {
        let (kh, rest) = (task / (tiles.len() * groups), task % (tiles.len() * groups));
        let (tile, group) = (tiles[rest / groups], rest % groups);
        let channels = CHANNELS.min(s.c - group * CHANNELS);
        let mut sums = vec![0.0; channels * MAX_WIDTH];
        weight_grad_part(isa, s, x, dy, kh, tile, group * CHANNELS, channels, &mut sums);
        let width = tile.1 * isa.run(Lanes);
        for (i, sums) in sums.chunks_exact(width).take(channels).enumerate() {
            for (j, sum) in sums.iter().take(s.span() - tile.0).enumerate() {
                let at = s.weight_at(group * CHANNELS + i, kh, tile.0 + j);
                // SAFETY: each weight belongs to one task.
                unsafe { dw.slice(at..at + 1)[0] += sum };
            }
        }
    });
}

dispatch! {
    fn weight_grad_part<'a>(
        s: &'a ConvTranspose2dShape, x: &'a [f32], dy: &'a [f32], kh: usize, tile: (usize, usize), channel: usize,
        channels: usize, sums: &'a mut [f32]) = weight_grad_body
}

#[inline(always)]
fn weight_grad_body<S: Simd>(
    simd: S,
    s: &ConvTranspose2dShape,
    x: &[f32],
    dy: &[f32],
    kh: usize,
    (first, vectors): (usize, usize),
    channel: usize,
    channels: usize,
    sums: &mut [f32],
) {
    let width = vectors * S::LANES;
    let (out_row, step) = (s.out_w() * s.k, s.stride[1] * s.k);
    for row in 0..s.n * s.h {
        let (n, ih) = (row / s.h, row % s.h);
        let Some(oh) = s.out_row(ih, kh) else { continue };
        let dy = &dy[(n * s.out_h() + oh) * out_row..][..out_row];
        let x = &x[row * s.w * s.c + channel..];
        let mut iw = 0;
        while iw < s.w {
            // What a tile reads beyond the span is not used, but must be there.
            let whole = s.whole(iw, first, width);
            let (from, to, at) = s.clip(iw, first, width);
            let x = &x[iw * s.c..];
            if whole > 0 {
                product(simd, channels, whole, x, 1, s.c, &dy[at..], step, vectors, sums, width);
            } else if from < to {
                let cut = &mut [0.0; MAX_WIDTH][..width];
                cut[from..to].copy_from_slice(&dy[at..at + to - from]);
                product(simd, channels, 1, x, 1, s.c, cut, width, vectors, sums, width);
            }
            iw += whole.max(1);
        }
    }
}
