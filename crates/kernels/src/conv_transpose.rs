//! Transposed convolution: each input pixel adds its multiples of the window to the output.
//!
//! In NHWC the window's row `kh` is, for one input pixel, a contiguous span of KW x K numbers of the
//! output. All three passes are products over such spans, on one register tile (`micro`).

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
}

/// Vectors in a row of the register tile.
const TILE: usize = 3;
/// Most input pixels (or channels) of a product.
const ROWS: usize = 8;
/// The widest row of a tile, in numbers.
const MAX_WIDTH: usize = TILE * 16;
/// Pixels packed at a time for the weight gradient.
const PIXELS: usize = 128;
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
            for iw in (0..s.w).step_by(ROWS) {
                let pixels = ROWS.min(s.w - iw);
                let mut out = [0.0; ROWS * MAX_WIDTH];
                product(simd, pixels, s.c, &x[iw * s.c..], s.c, 1, tile, vectors, &mut out);
                for (i, out) in out.chunks_exact(width).take(pixels).enumerate() {
                    let (from, to, at) = s.clip(iw + i, first, width.min(s.span() - first));
                    for (y, out) in y[at..].iter_mut().zip(&out[from..to]) {
                        *y += out;
                    }
                }
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
    let (span, out_row) = (s.span(), s.out_w() * s.k);
    let part = span * s.c.next_multiple_of(S::LANES);
    for kh in 0..s.kernel[0] {
        let Some(oh) = s.out_row(ih, kh) else { continue };
        let dy = &dy[(n * s.out_h() + oh) * out_row..][..out_row];
        for (first, vectors) in tiles(s.c, S::LANES) {
            let width = vectors * S::LANES;
            let tile = &packed[kh * part + first * span..][..span * width];
            let mut iw = 0;
            while iw < s.w {
                let whole = (iw..s.w.min(iw + ROWS))
                    .take_while(|&iw| {
                        let (from, to, _) = s.clip(iw, 0, span);
                        to - from == span
                    })
                    .count();
                // A pixel whose span is cut by the border goes alone.
                let pixels = whole.max(1);
                let (from, to, at) = s.clip(iw, 0, span);
                let mut out = [0.0; ROWS * MAX_WIDTH];
                let tile = &tile[from * width..to * width];
                product(simd, pixels, to - from, &dy[at..], s.stride[1] * s.k, 1, tile, vectors, &mut out);
                for (i, out) in out.chunks_exact(width).take(pixels).enumerate() {
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
    let len = width.min(s.span() - first);
    let out_row = s.out_w() * s.k;
    let all = s.n * s.h * s.w;
    let mut packed = vec![0.0; PIXELS * width];
    for start in (0..all).step_by(PIXELS) {
        let pixels = PIXELS.min(all - start);
        for (i, to) in packed.chunks_exact_mut(width).take(pixels).enumerate() {
            let (row, iw) = ((start + i) / s.w, (start + i) % s.w);
            let (n, ih) = (row / s.h, row % s.h);
            to.fill(0.0);
            if let Some(oh) = s.out_row(ih, kh) {
                let dy = &dy[(n * s.out_h() + oh) * out_row..][..out_row];
                let (from, end, at) = s.clip(iw, first, len);
                to[from..end].copy_from_slice(&dy[at..at + end - from]);
            }
        }
        let x = &x[start * s.c + channel..];
        product(simd, channels, pixels, x, 1, s.c, &packed, vectors, sums);
    }
}

/// `out[i][j] += sum_r a[i * a_row + r * a_step] * b[r][j]` for `i < m`, `r < depth` and `j` over `vectors`
/// vectors; rows of `b` and `out` lie closely.
#[inline(always)]
fn product<S: Simd>(
    simd: S,
    m: usize,
    depth: usize,
    a: &[f32],
    a_row: usize,
    a_step: usize,
    b: &[f32],
    vectors: usize,
    out: &mut [f32],
) {
    if m == 0 || depth == 0 {
        return;
    }
    let width = vectors * S::LANES;
    assert!(a.len() > (m - 1) * a_row + (depth - 1) * a_step);
    assert!(b.len() >= depth * width && out.len() >= m * width);
    let (a, b, out) = (a.as_ptr(), b.as_ptr(), out.as_mut_ptr());
    // SAFETY: the assertions bound every access of rows below m.
    unsafe {
        match vectors {
            1 => rows::<S, 1>(simd, m, depth, a, a_row, a_step, b, out),
            2 => rows::<S, 2>(simd, m, depth, a, a_row, a_step, b, out),
            3 => rows::<S, 3>(simd, m, depth, a, a_row, a_step, b, out),
            _ => unreachable!("a tile has at most {TILE} vectors"),
        }
    }
}

/// # Safety
/// As asserted by [`product`].
#[inline(always)]
unsafe fn rows<S: Simd, const V: usize>(
    simd: S,
    m: usize,
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_step: usize,
    b: *const f32,
    out: *mut f32,
) {
    let width = V * S::LANES;
    let mut i = 0;
    // SAFETY: rows i.. below m, by the caller's promise.
    unsafe {
        // 8 x 3 accumulators need 32 registers.
        while S::LANES == 16 && i + 8 <= m {
            micro::<S, 8, V>(simd, depth, a.add(i * a_row), a_row, a_step, b, out.add(i * width));
            i += 8;
        }
        while i + 4 <= m {
            micro::<S, 4, V>(simd, depth, a.add(i * a_row), a_row, a_step, b, out.add(i * width));
            i += 4;
        }
        while i < m {
            micro::<S, 1, V>(simd, depth, a.add(i * a_row), a_row, a_step, b, out.add(i * width));
            i += 1;
        }
    }
}

/// The register tile: M rows of V vectors.
///
/// # Safety
/// All addressed numbers of `a`, `b` and `out` must be valid.
#[inline(always)]
unsafe fn micro<S: Simd, const M: usize, const V: usize>(
    simd: S,
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_step: usize,
    b: *const f32,
    out: *mut f32,
) {
    let mut sums = [[simd.splat(0.0); V]; M];
    // SAFETY: by the caller's promise.
    unsafe {
        for r in 0..depth {
            let mut row = [simd.splat(0.0); V];
            for v in 0..V {
                row[v] = simd.load(b.add((r * V + v) * S::LANES));
            }
            for i in 0..M {
                let x = simd.splat(*a.add(i * a_row + r * a_step));
                for v in 0..V {
                    sums[i][v] = simd.mul_add(x, row[v], sums[i][v]);
                }
            }
        }
        for i in 0..M {
            for v in 0..V {
                let at = out.add((i * V + v) * S::LANES);
                simd.store(at, simd.add(simd.load(at), sums[i][v]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, differences, dot, normal, on_threads, to_f64};

    fn shape(n: usize, h: usize, w: usize, c: usize, k: usize, window: [usize; 3]) -> ConvTranspose2dShape {
        let [kernel, stride, padding] = window.map(|side| [side; 2]);
        ConvTranspose2dShape { n, h, w, c, k, kernel, stride, padding }
    }

    fn naive(s: &ConvTranspose2dShape, x: &[f64], weight: &[f64], bias: &[f32]) -> Vec<f64> {
        let (out_h, out_w) = (s.out_h(), s.out_w());
        let mut y: Vec<f64> = (0..s.n * out_h * out_w * s.k).map(|i| f64::from(bias[i % s.k])).collect();
        for at in 0..s.n * s.h * s.w {
            let (n, ih, iw) = (at / s.w / s.h, at / s.w % s.h, at % s.w);
            for kh in 0..s.kernel[0] {
                for kw in 0..s.kernel[1] {
                    let oh = (ih * s.stride[0] + kh).wrapping_sub(s.padding[0]);
                    let ow = (iw * s.stride[1] + kw).wrapping_sub(s.padding[1]);
                    if oh >= out_h || ow >= out_w {
                        continue;
                    }
                    for c in 0..s.c {
                        for k in 0..s.k {
                            let weight = weight[((c * s.k + k) * s.kernel[0] + kh) * s.kernel[1] + kw];
                            y[((n * out_h + oh) * out_w + ow) * s.k + k] += x[at * s.c + c] * weight;
                        }
                    }
                }
            }
        }
        y
    }

    fn shapes() -> Vec<ConvTranspose2dShape> {
        vec![
            shape(1, 1, 1, 1, 1, [1, 1, 0]),
            shape(2, 3, 4, 7, 7, [4, 2, 0]),
            shape(2, 3, 5, 7, 7, [4, 2, 1]),
            shape(1, 2, 3, 3, 7, [16, 8, 4]),
            shape(1, 2, 9, 5, 17, [2, 2, 0]),
            shape(1, 3, 10, 17, 3, [3, 1, 1]),
            shape(1, 2, 2, 2, 2, [3, 4, 0]),
            shape(1, 2, 2, 1, 1, [4, 2, 3]),
            shape(0, 2, 2, 2, 3, [4, 2, 1]),
            ConvTranspose2dShape {
                kernel: [2, 3],
                stride: [1, 2],
                padding: [0, 1],
                ..shape(2, 4, 3, 2, 5, [1, 1, 0])
            },
        ]
    }

    #[test]
    fn values_and_gradients() {
        for isa in Isa::available() {
            for s in shapes() {
                let x = normal(1, s.n * s.h * s.w * s.c);
                let (weight, bias) = (normal(2, s.weight_len()), normal(3, s.k));
                let dy = normal(4, s.n * s.out_h() * s.out_w() * s.k);
                let (x64, weight64) = (to_f64(&x), to_f64(&weight));
                let y = on_threads(|| {
                    let mut y = vec![f32::NAN; dy.len()];
                    conv_transpose2d(isa, &s, &x, &weight, Some(&bias), &mut y);
                    y
                });
                assert_close(&y, &naive(&s, &x64, &weight64, &bias), 2e-6);
                let dx = on_threads(|| {
                    let mut dx = vec![f32::NAN; x.len()];
                    conv_transpose2d_input_grad(isa, &s, &dy, &weight, &mut dx);
                    dx
                });
                let by_x = |x: &[f64]| dot(&naive(&s, x, &weight64, &bias), &dy);
                assert_close(&dx, &differences(&x64, by_x), 5e-6);
                let dw = on_threads(|| {
                    let mut dw = vec![f32::NAN; weight.len()];
                    conv_transpose2d_weight_grad(isa, &s, &x, &dy, &mut dw, false);
                    dw
                });
                let by_weight = |weight: &[f64]| dot(&naive(&s, &x64, weight, &bias), &dy);
                if weight.len() < 1000 {
                    assert_close(&dw, &differences(&weight64, by_weight), 5e-6);
                }
                let mut twice = dw.clone();
                conv_transpose2d_weight_grad(isa, &s, &x, &dy, &mut twice, true);
                assert!(twice.iter().zip(&dw).all(|(twice, dw)| *twice == 2.0 * dw));
            }
        }
    }

    #[test]
    fn many_channels_and_pixels() {
        let s = shape(2, 9, 11, 70, 40, [2, 2, 0]);
        let x = normal(1, s.n * s.h * s.w * s.c);
        let (weight, dy) = (normal(2, s.weight_len()), normal(4, s.n * s.out_h() * s.out_w() * s.k));
        let (x64, weight64, zero) = (to_f64(&x), to_f64(&weight), vec![0.0; s.k]);
        let want = naive(&s, &x64, &weight64, &zero);
        // <dy, A x> is <A' dy, x>, and bilinear in the weight: both gradients must give the same product.
        let product = dot(&want, &dy);
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; dy.len()];
            conv_transpose2d(isa, &s, &x, &weight, None, &mut y);
            assert_close(&y, &want, 1e-5);
            let both = on_threads(|| {
                let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
                conv_transpose2d_input_grad(isa, &s, &dy, &weight, &mut dx);
                conv_transpose2d_weight_grad(isa, &s, &x, &dy, &mut dw, false);
                [dx, dw].concat()
            });
            let (dx, dw) = both.split_at(x.len());
            assert!((dot(&x64, dx) - product).abs() <= 1e-5 * product.abs().max(1e3));
            assert!((dot(&weight64, dw) - product).abs() <= 1e-5 * product.abs().max(1e3));
        }
    }

    #[test]
    fn output_sizes() {
        assert_eq!(shape(1, 16, 18, 7, 7, [64, 32, 16]).out_h(), 512);
        assert_eq!(shape(1, 16, 18, 7, 7, [64, 32, 0]).out_w(), 608);
        assert_eq!(shape(1, 0, 1, 7, 7, [64, 32, 0]).out_h(), 0);
        assert_eq!(shape(1, 1, 1, 1, 1, [2, 1, 3]).out_h(), 0);
    }
}
