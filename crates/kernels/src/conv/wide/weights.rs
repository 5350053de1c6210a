//! Weights of a panel of channels into transformed form and back.

use super::{DEPTH, POINTS, transform};
use crate::conv::tiles::Pass;
use crate::simd::{Simd, SimdOp};

/// Distance between points of a panel of transformed weights.
pub(super) const fn point(nr: usize) -> usize {
    DEPTH * nr + 16
}

/// Length of a panel of transformed weights: (point, input channel, output channel).
pub(super) const fn len(nr: usize) -> usize {
    POINTS * point(nr)
}

/// The most columns of a panel.
pub(super) const MOST: usize = 32;
/// Weights of a pair of channels. One more than a multiple of 8.
pub(super) const TAPS: usize = 49;

/// Weights in PyTorch's order (`K, C, 7, 7`).
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub weight: &'a [f32],
    /// Channels of the layer's input.
    pub c: usize,
    pub pass: Pass,
}

/// Transforms the weights that lead from input channels `c0 .. c0 + depth` to output channels
/// `k0 .. k0 + columns`, both as the pass sees them.
pub(super) struct Transform<'a> {
    pub source: Source<'a>,
    pub c0: usize,
    pub depth: usize,
    pub k0: usize,
    pub columns: usize,
    pub u: &'a mut [f32],
}

impl SimdOp for Transform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let nr = S::NV * S::LANES;
        let point = point(nr);
        assert!(self.u.len() >= len(nr) && self.depth <= DEPTH && self.columns <= nr);
        let Source { weight, c, pass } = self.source;
        // From one channel of a panel to the next, and from one channel that is summed over to the next.
        let (lane_step, row_step, last) = match pass {
            Pass::Forward => (c * TAPS, TAPS, 0),
            Pass::InputGrad => (TAPS, c * TAPS, TAPS - 1),
        };
        let mut g = [[0.0f32; MOST]; TAPS];
        for row in 0..self.depth {
            for lane in (0..self.columns).step_by(8) {
                let start = (self.c0 + row) * row_step + (self.k0 + lane) * lane_step;
                let taps = &weight[start..start + 7 * lane_step + TAPS];
                for tap in (0..TAPS - 1).step_by(8) {
                    // SAFETY: `taps` holds the taps of 8 channels, all but one of which, a multiple of 8, are read
                    // here; a row of `g` holds the widest panel.
                    unsafe {
                        let to = std::array::from_fn(|i| g[tap + i].as_mut_ptr().add(lane));
                        simd.transpose8(taps.as_ptr().add(tap), lane_step, to);
                    }
                }
                for i in 0..8 {
                    g[TAPS - 1][lane + i] = taps[i * lane_step + TAPS - 1];
                }
            }
            for v in 0..S::NV {
                let zero = simd.splat(0.0);
                let mut half = [[zero; 7]; 8];
                for j in 0..7 {
                    let mut d = [zero; 7];
                    for i in 0..7 {
                        // The gradient's kernel is turned by 180 degrees.
                        let tap = last.abs_diff(i * 7 + j);
                        // SAFETY: a row of `g` holds the widest panel.
                        d[i] = unsafe { simd.load(g[tap].as_ptr().add(v * S::LANES)) };
                    }
                    let d = transform::weights(simd, d);
                    for i in 0..8 {
                        half[i][j] = d[i];
                    }
                }
                for i in 0..8 {
                    let d = transform::weights(simd, half[i]);
                    for j in 0..8 {
                        let at = (i * 8 + j) * point + row * nr + v * S::LANES;
                        // SAFETY: `u` holds `len(nr)` numbers, as asserted, and `row` is below DEPTH.
                        unsafe { simd.store(self.u.as_mut_ptr().add(at), d[j]) };
                    }
                }
            }
        }
    }
}
