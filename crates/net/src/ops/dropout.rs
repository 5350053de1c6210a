//! Dropout, of single numbers or of whole channels.

use hectare_kernels::dropout::{DropoutKey, dropout, dropout2d};

use super::{Backward, Export, Forward, InPlace, Operation, Phase};
use crate::Shape;
use crate::exec::StepKey;

/// While training, sets numbers to zero with probability `p` and scales the others by 1 / (1 - p).
///
/// What falls is a function of seed, step, node and place alone, so the backward pass draws it again
/// instead of keeping a mask.
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f32,
    channels: bool,
}

impl Dropout {
    /// Drops single numbers: PyTorch's `Dropout`.
    pub fn new(p: f32) -> Dropout {
        Dropout { p, channels: false }
    }

    /// Drops whole channels: PyTorch's `Dropout2d`.
    pub fn channels(p: f32) -> Dropout {
        Dropout { p, channels: true }
    }

    fn apply(
        &self,
        isa: hectare_kernels::Isa,
        n: usize,
        shape: Shape,
        key: StepKey,
        node: usize,
        x: &mut [f32],
    ) {
        if self.p == 0.0 {
            return;
        }
        let key = DropoutKey { seed: key.seed, step: key.step, node: node as u64, p: self.p };
        let run = if self.channels { dropout2d } else { dropout };
        run(isa, &key, n, shape.h, shape.w, shape.c, x);
    }
}

impl Operation for Dropout {
    fn kind(&self) -> &'static str {
        if self.channels { "Dropout2d" } else { "Dropout" }
    }

    fn module(&self) -> Option<String> {
        Some(format!("{}(p={:?}, inplace=False)", self.kind(), self.p))
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Identity)
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    fn in_place(&self) -> InPlace {
        InPlace::KeepsSigns
    }

    fn forward(&self, args: Forward<'_>) {
        if let Phase::Train { key, .. } = args.phase {
            self.apply(args.site.isa, args.site.n, args.site.output, key, args.node, args.output);
        }
    }

    fn backward(&self, args: Backward<'_>) {
        let [gradient, ..] = args.dinputs;
        self.apply(args.site.isa, args.site.n, args.site.output, args.key, args.node, gradient);
    }
}
