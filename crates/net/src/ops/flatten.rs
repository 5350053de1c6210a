//! A map as a vector.

use hectare_kernels::layout;

use super::{Backward, Export, Forward, Operation, Pattern};
use crate::Shape;

/// C x H x W numbers as one vector, in that order (PyTorch's `torch.flatten(x, 1)`). Behind it, a
/// linear layer reads the map itself and nothing is moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flatten;

impl Operation for Flatten {
    fn kind(&self) -> &'static str {
        "Flatten"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::new(inputs[0].len(), 1, 1))
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Flatten)
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    fn pattern(&self) -> Pattern {
        Pattern::Flatten
    }

    fn is_identity(&self, input: Shape, _output: Shape) -> bool {
        input.h * input.w == 1
    }

    fn forward(&self, args: Forward<'_>) {
        let input = args.site.inputs[0];
        layout::nhwc_to_nchw(args.inputs[0], args.site.n, input.h, input.w, input.c, args.output);
    }

    fn backward(&self, args: Backward<'_>) {
        let input = args.site.inputs[0];
        let [dx, ..] = args.dinputs;
        layout::nchw_to_nhwc(args.doutput, args.site.n, input.c, input.h, input.w, dx);
    }
}
