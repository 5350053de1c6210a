//! Weights from PyTorch's order (`K, C, 3, 3`) into transformed panels, point by point.

use super::{POINTS, SIDE, transform::G};
use crate::Isa;
use crate::conv::shape::Conv2dShape;
use crate::conv::tiles::{Pass, Tiling};
use crate::gemm::panel_width;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Input channels that are turned together, so that the weights are read in runs.
const BLOCK: usize = 16;
/// Input channels that are transformed together and then written in runs: rows of different points lie a power of
/// two apart and would push each other out of the cache before their lines are full.
const GROUP: usize = 4;
/// Input channels of a task, a multiple of [`BLOCK`].
const CHANNELS: usize = 64;
/// The widest panel.
const WIDEST: usize = 32;

/// Transforms the weights into panels: (point, panel, input channel, output channel of the panel). Input and
/// output are those of the pass.
pub(in crate::conv) fn pack(isa: Isa, s: &Conv2dShape, weight: &[f32], pass: Pass, packed: &mut [f32]) {
    let p = Tiling::new(s, pass, SIDE);
    let nr = isa.run(super::PanelWidth);
    assert!(weight.len() == 9 * p.c * p.k && packed.len() == super::packed_len(isa, p.c, p.k));
    let packed = SharedMut::new(packed);
    let groups = p.c.div_ceil(CHANNELS);
    parallel_for(p.k.div_ceil(nr) * groups, |task| {
        let (panel, c0) = (task / groups, task % groups * CHANNELS);
        isa.run(Task { p, weight, pass, packed: &packed, panel, c0 });
    });
}

/// Some input channels of a panel.
struct Task<'a> {
    p: Tiling,
    weight: &'a [f32],
    pass: Pass,
    packed: &'a SharedMut<'a, f32>,
    panel: usize,
    c0: usize,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let p = self.p;
        let nr = panel_width::<S>();
        let point_len = p.k.div_ceil(nr) * p.c * nr;
        let first = self.panel * nr;
        let columns = nr.min(p.k - first);
        // Weights of a block: (channel, tap, column), with zeros in the columns beyond the last.
        let mut block = [0.0f32; BLOCK * 9 * WIDEST];
        let block = &mut block[..BLOCK * 9 * nr];
        let mut points = [0.0f32; POINTS * GROUP * WIDEST];
        let points = &mut points[..POINTS * GROUP * nr];
        let end = p.c.min(self.c0 + CHANNELS);
        for c0 in (self.c0..end).step_by(BLOCK) {
            let channels = BLOCK.min(end - c0);
            match self.pass {
                // The channels of a column are a run.
                Pass::Forward => {
                    for column in 0..columns {
                        let run = &self.weight[((first + column) * p.c + c0) * 9..][..channels * 9];
                        for (to, from) in block.chunks_exact_mut(nr).zip(run) {
                            to[column] = *from;
                        }
                    }
                }
                // The columns of a channel are a run; the kernel is turned by 180 degrees.
                Pass::InputGrad => {
                    for (c, to) in block.chunks_exact_mut(9 * nr).take(channels).enumerate() {
                        let run = &self.weight[((c0 + c) * p.k + first) * 9..][..columns * 9];
                        for (column, taps) in run.chunks_exact(9).enumerate() {
                            for (tap, from) in taps.iter().enumerate() {
                                to[(8 - tap) * nr + column] = *from;
                            }
                        }
                    }
                }
            }
            for first in (0..channels).step_by(GROUP) {
                let group = GROUP.min(channels - first);
                for (c, at) in (0..group).flat_map(|c| (0..nr).step_by(S::LANES).map(move |at| (c, at))) {
                    // SAFETY: the block holds nine taps of `nr` columns for each channel, `points` as many
                    // columns for each point and channel of the group.
                    unsafe {
                        let g = block.as_ptr().add((first + c) * 9 * nr + at);
                        transform(simd, g, nr, points.as_mut_ptr().add(c * nr + at), GROUP * nr);
                    }
                }
                let start = (self.panel * p.c + c0 + first) * nr;
                for (point, from) in points.chunks_exact(GROUP * nr).enumerate() {
                    for at in (0..group * nr).step_by(S::LANES) {
                        // SAFETY: this task alone writes its channels of its panel, which `packed` has at each point.
                        unsafe {
                            let to = self.packed.as_mut_ptr().add(point * point_len + start + at);
                            simd.store(to, simd.load(from.as_ptr().add(at)));
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the weights of LANES columns: taps are `tap` numbers apart, points `point` numbers.
///
/// # Safety
/// `g` must be readable at each of the 9 taps, `out` writable at each of the 36 points, LANES numbers each.
#[inline(always)]
unsafe fn transform<S: Simd>(simd: S, g: *const f32, tap: usize, out: *mut f32, point: usize) {
    // SAFETY: in the bounds that the caller promises.
    unsafe {
        let mut half = [[simd.splat(0.0); 3]; 6];
        for j in 0..3 {
            let mut d = [simd.splat(0.0); 3];
            for i in 0..3 {
                d[i] = simd.load(g.add((i * 3 + j) * tap));
            }
            let d = weights(simd, d);
            for i in 0..6 {
                half[i][j] = d[i];
            }
        }
        for i in 0..6 {
            let d = weights(simd, half[i]);
            for j in 0..6 {
                simd.store(out.add((i * 6 + j) * point), d[j]);
            }
        }
    }
}

/// `G g`
#[inline(always)]
fn weights<S: Simd>(simd: S, g: [S::V; 3]) -> [S::V; 6] {
    let even = |row: usize| simd.mul_add(simd.splat(G[row][2]), g[2], simd.mul(simd.splat(G[row][0]), g[0]));
    let odd = |row: usize, even: S::V| simd.mul_add(simd.splat(G[row][1]), g[1], even);
    let (even_a, even_b) = (even(1), even(3));
    [
        simd.mul(simd.splat(G[0][0]), g[0]),
        odd(1, even_a),
        odd(2, even_a),
        odd(3, even_b),
        odd(4, even_b),
        g[2],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, normal, on_threads};

    /// `G g G^T` of each kernel, in the order of the panels.
    fn naive(p: &Tiling, pass: Pass, nr: usize, weight: &[f32]) -> Vec<f64> {
        let mut packed = Vec::new();
        for (point, panel) in (0..POINTS).flat_map(|i| (0..p.k.div_ceil(nr)).map(move |panel| (i, panel))) {
            for (c, k) in (0..p.c).flat_map(|c| (panel * nr..(panel + 1) * nr).map(move |k| (c, k))) {
                let mut sum = 0.0;
                for tap in (0..9).filter(|_| k < p.k) {
                    let g = match pass {
                        Pass::Forward => weight[(k * p.c + c) * 9 + tap],
                        Pass::InputGrad => weight[(c * p.k + k) * 9 + 8 - tap],
                    };
                    let factor = f64::from(G[point / 6][tap / 3]) * f64::from(G[point % 6][tap % 3]);
                    sum += factor * f64::from(g);
                }
                packed.push(sum);
            }
        }
        packed
    }

    #[test]
    fn every_weight_is_transformed_and_in_its_place() {
        for (c, k) in [(16, 16), (16, 48), (48, 16), (80, 32), (144, 64)] {
            let (kernel, stride, padding) = ([3, 3], [1, 1], [1, 1]);
            let s = Conv2dShape { n: 1, h: 8, w: 8, c, k, kernel, stride, padding };
            let weight = normal(1, s.weight_len());
            for isa in Isa::available() {
                for pass in [Pass::Forward, Pass::InputGrad] {
                    let p = Tiling::new(&s, pass, SIDE);
                    let packed = on_threads(|| {
                        let mut packed = vec![f32::NAN; super::super::packed_len(isa, p.c, p.k)];
                        pack(isa, &s, &weight, pass, &mut packed);
                        packed
                    });
                    assert_close(&packed, &naive(&p, pass, isa.run(super::super::PanelWidth), &weight), 1e-6);
                }
            }
        }
    }
}
