//! Two-dimensional max pooling.

use std::ops::Range;

use crate::Isa;
use crate::chunks::{for_each_row, for_each2, rows_per_task};
use crate::dispatch::dispatch;
use crate::simd::Simd;

/// The shape of a pooling: input N x H x W x C and the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dShape {
    /// N
    pub n: usize,
    /// H, of the input
    pub h: usize,
    /// W, of the input
    pub w: usize,
    /// C
    pub c: usize,
    /// Height and width of the window; their product is at most 256.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Rows and columns of -infinity on each side; at most half the window.
    pub padding: [usize; 2],
    /// Whether a window that only begins inside counts.
    pub ceil_mode: bool,
}

impl Pool2dShape {
    /// Output rows, by PyTorch's rule.
    pub fn out_h(&self) -> usize {
        self.out(self.h, 0)
    }

    /// Output columns, by PyTorch's rule.
    pub fn out_w(&self) -> usize {
        self.out(self.w, 1)
    }

    fn out(&self, side: usize, axis: usize) -> usize {
        let (kernel, stride, padding) = (self.kernel[axis], self.stride[axis], self.padding[axis]);
        let slack = if self.ceil_mode { stride - 1 } else { 0 };
        let Some(room) = (side + 2 * padding + slack).checked_sub(kernel) else { return 0 };
        let out = room / stride + 1;
        // A window that ceil_mode adds must begin inside the input or its left padding.
        if self.ceil_mode && (out - 1) * stride >= side + padding { out - 1 } else { out }
    }

    fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.c
    }

    fn check(&self) {
        assert!(self.kernel[0] * self.kernel[1] <= 256 && self.kernel[0] * self.kernel[1] > 0);
        assert!(self.stride[0] > 0 && self.stride[1] > 0);
        assert!(2 * self.padding[0] <= self.kernel[0] && 2 * self.padding[1] <= self.kernel[1]);
    }

    /// Positions inside the window of output `o` that fall on the input.
    fn taps(&self, o: usize, side: usize, axis: usize) -> Range<usize> {
        let (kernel, padding) = (self.kernel[axis], self.padding[axis]);
        let start = o * self.stride[axis];
        padding.saturating_sub(start)..kernel.min((side + padding).saturating_sub(start))
    }

    /// Whether the windows tile the input without overlap, gap or padding.
    fn tiles(&self) -> bool {
        self.kernel == self.stride && self.padding == [0, 0] && !self.ceil_mode
    }
}

/// The maximum over each window of `x` (N x H x W x C) into `y`. `argmax`, of the length of `y`, gets the
/// position in the window, row * kernel width + column, that the gradient needs. Of equals the first
/// counts. NaN wins over every number, as in PyTorch.
///
/// # Panics
/// When a length does not fit the shape, or the shape breaks its own rules.
pub fn max_pool2d(isa: Isa, shape: &Pool2dShape, x: &[f32], y: &mut [f32], argmax: Option<&mut [u8]>) {
    shape.check();
    assert_eq!(x.len(), shape.input_len());
    assert_eq!(y.len(), shape.output_len());
    let width = shape.out_w() * shape.c;
    if y.is_empty() {
        return;
    }
    match argmax {
        None => for_each_row(y, width, |row, y| max_row(isa, shape, x, row, y, &mut [])),
        Some(argmax) => {
            let rows = rows_per_task(width);
            for_each2(y, argmax, rows * width, |range, y, argmax| {
                for (i, (y, argmax)) in y.chunks_mut(width).zip(argmax.chunks_mut(width)).enumerate() {
                    max_row(isa, shape, x, range.start / width + i, y, argmax);
                }
            });
        }
    }
}

dispatch! {
    fn max_row<'a>(shape: &'a Pool2dShape, x: &'a [f32], row: usize, y: &'a mut [f32], argmax: &'a mut [u8])
        = max_row_body
}

/// Whether `v` takes the place of `best`.
#[inline(always)]
fn wins(v: f32, best: f32) -> bool {
    (v > best) | v.is_nan()
}

/// The largest of a 2x2 window, row by row, and its place.
#[inline(always)]
fn max_of_four(x0: f32, x1: f32, x2: f32, x3: f32) -> (f32, u8) {
    let (a, arg_a) = if wins(x1, x0) { (x1, 1) } else { (x0, 0) };
    let (b, arg_b) = if wins(x3, x2) { (x3, 3) } else { (x2, 2) };
    if wins(b, a) { (b, arg_b) } else { (a, arg_a) }
}

/// One output row; `row` counts over N and output rows. An empty `argmax` is not wanted.
#[inline(always)]
fn max_row_body<S: Simd>(_: S, shape: &Pool2dShape, x: &[f32], row: usize, y: &mut [f32], argmax: &mut [u8]) {
    let &Pool2dShape { h, w, c, kernel, stride, padding, .. } = shape;
    let (n, oh) = (row / shape.out_h(), row % shape.out_h());
    let rows = shape.taps(oh, h, 0);
    if shape.tiles() && kernel == [2, 2] {
        let top = &x[(n * h + 2 * oh) * w * c..][..w * c];
        let bottom = &x[(n * h + 2 * oh + 1) * w * c..][..w * c];
        for (ow, y) in y.chunks_exact_mut(c).enumerate() {
            let (top, bottom) = (&top[2 * ow * c..][..2 * c], &bottom[2 * ow * c..][..2 * c]);
            let ((x0, x1), (x2, x3)) = (top.split_at(c), bottom.split_at(c));
            if argmax.is_empty() {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = max_of_four(x0[i], x1[i], x2[i], x3[i]).0;
                }
            } else {
                for (i, (y, arg)) in y.iter_mut().zip(&mut argmax[ow * c..][..c]).enumerate() {
                    (*y, *arg) = max_of_four(x0[i], x1[i], x2[i], x3[i]);
                }
            }
        }
        return;
    }
    for (ow, y) in y.chunks_exact_mut(c).enumerate() {
        let columns = shape.taps(ow, w, 1);
        let first = (rows.start * kernel[1] + columns.start) as u8;
        y.fill(f32::NEG_INFINITY);
        if !argmax.is_empty() {
            argmax[ow * c..][..c].fill(first);
        }
        for kh in rows.clone() {
            let ih = oh * stride[0] + kh - padding[0];
            for kw in columns.clone() {
                let iw = ow * stride[1] + kw - padding[1];
                let x = &x[((n * h + ih) * w + iw) * c..][..c];
                if argmax.is_empty() {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = if wins(x, *y) { x } else { *y };
                    }
                } else {
                    let position = (kh * kernel[1] + kw) as u8;
                    for ((y, arg), &x) in y.iter_mut().zip(&mut argmax[ow * c..][..c]).zip(x) {
                        *arg = if wins(x, *y) { position } else { *arg };
                        *y = if wins(x, *y) { x } else { *y };
                    }
                }
            }
        }
    }
}

/// The gradient of the input into `dx` (overwritten): each `dy` goes to the position that `argmax`
/// names.
///
/// # Panics
/// When a length does not fit the shape.
pub fn max_pool2d_grad(isa: Isa, shape: &Pool2dShape, dy: &[f32], argmax: &[u8], dx: &mut [f32]) {
    shape.check();
    assert_eq!(dx.len(), shape.input_len());
    assert!(dy.len() == shape.output_len() && argmax.len() == dy.len());
    for_each_row(dx, shape.w * shape.c, |row, dx| grad_row(isa, shape, dy, argmax, row, dx));
}

dispatch! {
    fn grad_row<'a>(shape: &'a Pool2dShape, dy: &'a [f32], argmax: &'a [u8], row: usize, dx: &'a mut [f32])
        = grad_row_body
}

/// One input row, gathered from the output rows whose windows cover it.
#[inline(always)]
fn grad_row_body<S: Simd>(_: S, shape: &Pool2dShape, dy: &[f32], argmax: &[u8], row: usize, dx: &mut [f32]) {
    let &Pool2dShape { h, w, c, kernel, stride, padding, .. } = shape;
    let (out_h, out_w) = (shape.out_h(), shape.out_w());
    let (n, ih) = (row / h, row % h);
    if shape.tiles() {
        let (oh, kh) = (ih / kernel[0], ih % kernel[0]);
        if oh >= out_h {
            return dx.fill(0.0);
        }
        let (covered, rest) = dx.split_at_mut(out_w * kernel[1] * c);
        rest.fill(0.0);
        let start = (n * out_h + oh) * out_w * c;
        let from = dy[start..].chunks_exact(c).zip(argmax[start..].chunks_exact(c));
        for (window, (dy, argmax)) in covered.chunks_exact_mut(kernel[1] * c).zip(from) {
            for (kw, dx) in window.chunks_exact_mut(c).enumerate() {
                let position = (kh * kernel[1] + kw) as u8;
                for ((dx, dy), arg) in dx.iter_mut().zip(dy).zip(argmax) {
                    *dx = if *arg == position { *dy } else { 0.0 };
                }
            }
        }
        return;
    }
    dx.fill(0.0);
    for kh in 0..kernel[0] {
        let Some(top) = (ih + padding[0]).checked_sub(kh) else { continue };
        let oh = top / stride[0];
        if top % stride[0] != 0 || oh >= out_h {
            continue;
        }
        for ow in 0..out_w {
            let start = ((n * out_h + oh) * out_w + ow) * c;
            let (dy, argmax) = (&dy[start..start + c], &argmax[start..start + c]);
            for kw in shape.taps(ow, w, 1) {
                let iw = ow * stride[1] + kw - padding[1];
                let position = (kh * kernel[1] + kw) as u8;
                for ((dx, dy), arg) in dx[iw * c..][..c].iter_mut().zip(dy).zip(argmax) {
                    *dx += if *arg == position { *dy } else { 0.0 };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, differences, dot, normal, on_threads, to_f64};

    fn shape(h: usize, w: usize, c: usize, kernel: usize, stride: usize, padding: usize) -> Pool2dShape {
        Pool2dShape {
            n: 2,
            h,
            w,
            c,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            ceil_mode: false,
        }
    }

    fn naive(s: &Pool2dShape, x: &[f64]) -> Vec<f64> {
        let mut y = Vec::new();
        for n in 0..s.n {
            for oh in 0..s.out_h() {
                for ow in 0..s.out_w() {
                    for c in 0..s.c {
                        let mut best = f64::NEG_INFINITY;
                        for kh in 0..s.kernel[0] {
                            for kw in 0..s.kernel[1] {
                                let ih = (oh * s.stride[0] + kh).wrapping_sub(s.padding[0]);
                                let iw = (ow * s.stride[1] + kw).wrapping_sub(s.padding[1]);
                                if ih < s.h && iw < s.w {
                                    best = best.max(x[((n * s.h + ih) * s.w + iw) * s.c + c]);
                                }
                            }
                        }
                        y.push(best);
                    }
                }
            }
        }
        y
    }

    #[test]
    fn output_sizes_are_pytorchs() {
        // (side, kernel, stride, padding, ceil_mode) and the answer of torch.nn.functional.max_pool2d
        for (side, kernel, stride, padding, ceil_mode, want) in [
            (5, 2, 2, 0, false, 2),
            (5, 2, 2, 0, true, 3),
            (7, 3, 2, 1, true, 4),
            (6, 3, 3, 1, true, 3),
            (4, 3, 2, 1, true, 3),
            (1, 2, 2, 0, true, 1),
            (2, 2, 3, 1, true, 1),
            (3, 2, 3, 1, true, 2),
        ] {
            let s = Pool2dShape { ceil_mode, ..shape(side, side, 1, kernel, stride, padding) };
            assert_eq!(s.out_h(), want, "{s:?}");
        }
        assert_eq!(shape(1, 5, 1, 2, 2, 0).out_h(), 0);
    }

    #[test]
    fn values_and_gradients() {
        let mut shapes = vec![
            shape(1, 1, 3, 2, 2, 0),
            shape(2, 2, 1, 2, 2, 0),
            shape(5, 7, 17, 2, 2, 0),
            shape(6, 4, 16, 2, 2, 0),
            shape(7, 9, 5, 3, 3, 0),
            shape(7, 6, 5, 3, 2, 1),
            shape(5, 5, 3, 3, 1, 1),
            shape(7, 5, 2, 2, 3, 0),
        ];
        shapes.push(Pool2dShape { ceil_mode: true, ..shape(5, 7, 3, 2, 2, 0) });
        shapes.push(Pool2dShape { ceil_mode: true, ..shape(6, 5, 3, 3, 2, 1) });
        shapes.push(Pool2dShape {
            kernel: [1, 3],
            stride: [2, 1],
            padding: [0, 1],
            ..shape(5, 6, 3, 1, 1, 0)
        });
        for isa in Isa::available() {
            for s in &shapes {
                let x = normal(1, s.input_len());
                let mut argmax = vec![0; s.output_len()];
                let mut y = vec![0.0; s.output_len()];
                max_pool2d(isa, s, &x, &mut y, Some(&mut argmax));
                assert_close(&y, &naive(s, &to_f64(&x)), 0.0);
                let without = on_threads(|| {
                    let mut y = vec![0.0; s.output_len()];
                    max_pool2d(isa, s, &x, &mut y, None);
                    y
                });
                assert_eq!(y, without);
                let dy = normal(2, y.len());
                let dx = on_threads(|| {
                    let mut dx = vec![f32::NAN; x.len()];
                    max_pool2d_grad(isa, s, &dy, &argmax, &mut dx);
                    dx
                });
                // Equal inputs closer than the difference's step are not expected from this seed.
                assert_close(&dx, &differences(&to_f64(&x), |x| dot(&naive(s, x), &dy)), 1e-6);
            }
        }
    }

    #[test]
    fn bits_over_several_tasks() {
        let s = shape(64, 50, 67, 2, 2, 0);
        for isa in Isa::available() {
            let (x, dy) = (normal(1, s.input_len()), normal(2, s.output_len()));
            on_threads(|| {
                let (mut y, mut argmax) = (vec![0.0; s.output_len()], vec![0; s.output_len()]);
                max_pool2d(isa, &s, &x, &mut y, Some(&mut argmax));
                let mut dx = vec![0.0; x.len()];
                max_pool2d_grad(isa, &s, &dy, &argmax, &mut dx);
                [y, dx].concat()
            });
        }
    }

    #[test]
    fn nan_wins_and_the_first_of_equals_counts() {
        for isa in Isa::available() {
            for (s, position) in [(shape(2, 2, 9, 2, 2, 0), 3), (shape(2, 2, 9, 2, 1, 0), 3)] {
                for at in 0..4 {
                    let mut x = normal(1, s.input_len());
                    x[at * 9..(at + 1) * 9].fill(f32::NAN);
                    let (mut y, mut argmax) = (vec![0.0; 18], vec![0; 18]);
                    max_pool2d(isa, &s, &x, &mut y, Some(&mut argmax));
                    assert!(y[..9].iter().all(|y| y.is_nan()) && y[9..].iter().all(|y| !y.is_nan()));
                    assert!(argmax[..9].iter().all(|&arg| arg == at as u8 && arg <= position));
                }
                let (mut y, mut argmax) = (vec![0.0; 18], vec![9; 18]);
                max_pool2d(isa, &s, &vec![-2.0; s.input_len()], &mut y, Some(&mut argmax));
                assert!(y == vec![-2.0; 18] && argmax == vec![0; 18]);
                max_pool2d(isa, &s, &vec![f32::NEG_INFINITY; s.input_len()], &mut y, Some(&mut argmax));
                assert!(y == vec![f32::NEG_INFINITY; 18] && argmax == vec![0; 18]);
            }
        }
    }
}
