//! Weights from PyTorch's order (`K, C, R, S`) into the panels that the tile unit reads, rounded to bf16.

use crate::Isa;
use crate::amx::{self, DEPTH, SIDE, STEP};
use crate::conv::pack::turn;
use crate::conv::shape::Conv2dShape;
use crate::conv::tiles::Pass;
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Length of the packed weights of either pass, in numbers of 32 bits.
pub(crate) fn packed_len(s: &Conv2dShape) -> usize {
    s.weight_len() / 2
}

/// Panels of 32 output channels of the pass; in a panel a step ([`crate::amx`]) for each 32 input channels and tap.
/// For the input's gradient taps are turned by 180 degrees.
pub(crate) fn pack(isa: Isa, s: &Conv2dShape, weight: &[f32], pass: Pass, packed: &mut [f32]) {
    assert!(weight.len() == s.weight_len() && packed.len() == packed_len(s));
    let (outputs, inputs) = match pass {
        Pass::Forward => (s.k, s.c),
        Pass::InputGrad => (s.c, s.k),
    };
    let blocks = inputs / DEPTH;
    let packed = SharedMut::new(packed);
    parallel_for(outputs / SIDE * blocks, |task| {
        let (panel, block) = (task / blocks, task % blocks);
        with_scratch(s.taps() * DEPTH * SIDE, |stage| {
            isa.run(Task { s, weight, pass, packed: &packed, stage, panel, block });
        });
    });
}

/// The taps of 32 x 32 channels.
struct Task<'a> {
    s: &'a Conv2dShape,
    weight: &'a [f32],
    pass: Pass,
    packed: &'a SharedMut<'a, f32>,
    /// Taps, input channels, output channels.
    stage: &'a mut [f32],
    panel: usize,
    block: usize,
}

impl SimdOp for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (c, taps) = (self.s.c, self.s.taps());
        let stage = self.stage.as_mut_ptr();
        // SAFETY: `pack` checked the lengths; the stage holds `taps` times 32 rows of 32; a task writes its own steps.
        unsafe {
            let blocks = match self.pass {
                Pass::Forward => {
                    let from = self.weight.as_ptr().add((self.panel * SIDE * c + self.block * DEPTH) * taps);
                    let to = |i: usize| stage.add((i % taps * DEPTH + i / taps) * SIDE);
                    turn(simd, from, SIDE, c * taps, DEPTH * taps, to);
                    c / DEPTH
                }
                Pass::InputGrad => {
                    for k in 0..DEPTH {
                        let row = (self.block * DEPTH + k) * c + self.panel * SIDE;
                        let to = |tap: usize| stage.add(((taps - 1 - tap) * DEPTH + k) * SIDE);
                        turn(simd, self.weight.as_ptr().add(row * taps), SIDE, taps, taps, to);
                    }
                    self.s.k / DEPTH
                }
            };
            let panel = self.packed.as_mut_ptr().cast::<u32>().add(self.panel * blocks * taps * STEP / 2);
            for tap in 0..taps {
                let step = panel.add((self.block * taps + tap) * STEP / 2);
                for row in 0..DEPTH / 2 {
                    let from = stage.add((tap * DEPTH + 2 * row) * SIDE);
                    amx::pair(from, from.add(SIDE), step.add(16 * row));
                }
            }
        }
    }
}
