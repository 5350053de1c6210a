//! Weights from PyTorch's order (`K, C, R, S`) into the panels that the matrix product reads.

use super::shape::Conv2dShape;
use crate::threads::parallel_chunks_mut;

/// Channels handled together, so that the strided reads stay in the L1 cache.
const BLOCK: usize = 16;

/// For the forward pass: rows (r, s, c), columns k.
pub(super) fn forward(s: &Conv2dShape, weight: &[f32], nr: usize, packed: &mut [f32]) {
    let (taps, c) = (s.taps(), s.c);
    let depth = taps * c;
    if depth == 0 {
        return;
    }
    parallel_chunks_mut(packed, depth * nr, |panel, packed| {
        let k0 = panel * nr;
        let columns = nr.min(s.k - k0);
        if columns < nr {
            packed.fill(0.0);
        }
        for c0 in (0..c).step_by(BLOCK) {
            for t in 0..taps {
                for ci in c0..c.min(c0 + BLOCK) {
                    let row = &mut packed[(t * c + ci) * nr..][..columns];
                    for (lane, x) in row.iter_mut().enumerate() {
                        *x = weight[((k0 + lane) * c + ci) * taps + t];
                    }
                }
            }
        }
    });
}

/// For the input's gradient: rows (r, s turned by 180 degrees, k), columns c.
pub(super) fn input_grad(s: &Conv2dShape, weight: &[f32], nr: usize, packed: &mut [f32]) {
    let (taps, c) = (s.taps(), s.c);
    let depth = taps * s.k;
    if depth == 0 {
        return;
    }
    parallel_chunks_mut(packed, depth * nr, |panel, packed| {
        let c0 = panel * nr;
        let columns = nr.min(c - c0);
        if columns < nr {
            packed.fill(0.0);
        }
        for k in 0..s.k {
            let source = &weight[(k * c + c0) * taps..][..columns * taps];
            for t in 0..taps {
                let row = &mut packed[(t * s.k + k) * nr..][..columns];
                for (lane, x) in row.iter_mut().enumerate() {
                    *x = source[lane * taps + taps - 1 - t];
                }
            }
        }
    });
}

/// For the input's gradient of a fully connected layer: rows k, columns (r, s, c).
pub(super) fn full_input_grad(s: &Conv2dShape, weight: &[f32], nr: usize, packed: &mut [f32]) {
    let (taps, c) = (s.taps(), s.c);
    let columns = taps * c;
    if s.k == 0 {
        return;
    }
    parallel_chunks_mut(packed, s.k * nr, |panel, packed| {
        let j0 = panel * nr;
        let used = nr.min(columns - j0);
        if used < nr {
            packed.fill(0.0);
        }
        for k in 0..s.k {
            let source = &weight[k * columns..][..columns];
            let row = &mut packed[k * nr..][..used];
            for (lane, x) in row.iter_mut().enumerate() {
                let j = j0 + lane;
                *x = source[j % c * taps + j / c];
            }
        }
    });
}
