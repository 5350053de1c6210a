//! Rows of the matrix that a convolution multiplies (its "im2col" matrix), made a block at a time.

use super::shape::Conv2dShape;

/// Which source pixel each kernel position of each output pixel sees: source row
/// `(out_row * step - pad + r) / hole` where that division leaves no remainder and the row exists, else zero.
/// With `hole = 1` this is a convolution, with `step = 1` a transposed one (the gradient with respect to the
/// input, with the kernel turned by 180 degrees).
#[derive(Clone, Copy, Debug)]
pub(super) struct Gather {
    source: [usize; 2],
    channels: usize,
    kernel: [usize; 2],
    step: [usize; 2],
    hole: [usize; 2],
    pad: [isize; 2],
    out: [usize; 2],
}

impl Gather {
    /// For the output of a convolution from its input.
    pub(super) fn forward(s: &Conv2dShape) -> Gather {
        Gather {
            source: [s.h, s.w],
            channels: s.c,
            kernel: s.kernel,
            step: s.stride,
            hole: [1, 1],
            pad: [s.padding[0] as isize, s.padding[1] as isize],
            out: [s.out_h(), s.out_w()],
        }
    }

    /// For the input's gradient of a convolution from its output's.
    pub(super) fn input_grad(s: &Conv2dShape) -> Gather {
        let pad = |d: usize| s.kernel[d] as isize - 1 - s.padding[d] as isize;
        Gather {
            source: [s.out_h(), s.out_w()],
            channels: s.k,
            kernel: s.kernel,
            step: [1, 1],
            hole: s.stride,
            pad: [pad(0), pad(1)],
            out: [s.h, s.w],
        }
    }

    /// For a matrix of `rows` x `channels` as it lies in memory.
    pub(super) fn matrix(channels: usize) -> Gather {
        Gather {
            source: [1, 1],
            channels,
            kernel: [1, 1],
            step: [1, 1],
            hole: [1, 1],
            pad: [0, 0],
            out: [1, 1],
        }
    }

    /// Columns of the whole matrix: kernel rows x kernel columns x channels.
    pub(super) fn depth(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels
    }

    #[inline(always)]
    /// Writes columns `k0 .. k0 + kc` of row `p` (an output pixel, counted through all images) to `dst`.
    pub(super) fn row(&self, source: &[f32], p: usize, k0: usize, kc: usize, dst: &mut [f32]) {
        let [oh, ow] = self.out;
        let (image, oy, ox) = (p / (oh * ow), p / ow % oh, p % ow);
        let line = self.kernel[1] * self.channels;
        let mut k = k0;
        while k < k0 + kc {
            let (r, from) = (k / line, k % line);
            let to = line.min(from + k0 + kc - k);
            let out = &mut dst[k - k0..k - k0 + to - from];
            let y = (oy * self.step[0] + r) as isize - self.pad[0];
            let hole = self.hole[0] as isize;
            if y < 0 || y % hole != 0 || y / hole >= self.source[0] as isize {
                out.fill(0.0);
            } else {
                let row = (image * self.source[0] + (y / hole) as usize) * self.source[1];
                self.line(source, row, ox, from, to, out);
            }
            k += to - from;
        }
    }

    #[inline(always)]
    /// Part `from .. to` of one kernel row; `row` is the first pixel of the source row.
    fn line(&self, source: &[f32], row: usize, ox: usize, from: usize, to: usize, out: &mut [f32]) {
        let c = self.channels;
        let x0 = (ox * self.step[1]) as isize - self.pad[1];
        let width = self.source[1] as isize;
        if self.hole[1] == 1 {
            // Neighbouring kernel columns are neighbours in memory: one run, cut at the image's sides.
            let first = ((-x0).clamp(0, self.kernel[1] as isize) as usize * c).clamp(from, to);
            let last = ((width - x0).clamp(0, self.kernel[1] as isize) as usize * c).clamp(first, to);
            out[..first - from].fill(0.0);
            if last > first {
                let start = (row * c + first).wrapping_add_signed(x0 * c as isize);
                out[first - from..last - from].copy_from_slice(&source[start..start + last - first]);
            }
            out[last - from..].fill(0.0);
            return;
        }
        let mut j = from;
        while j < to {
            let (s, c0) = (j / c, j % c);
            let c1 = c.min(c0 + to - j);
            let part = &mut out[j - from..j - from + c1 - c0];
            let x = x0 + s as isize;
            let hole = self.hole[1] as isize;
            if x < 0 || x % hole != 0 || x / hole >= width {
                part.fill(0.0);
            } else {
                let start = (row + (x / hole) as usize) * c;
                part.copy_from_slice(&source[start + c0..start + c1]);
            }
            j += c1 - c0;
        }
    }
}
