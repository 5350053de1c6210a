//! Rectified linear unit.

use hectare_kernels::activation;

use super::{Backward, Export, Forward, InPlace, Operation, Pattern, Reads};
use crate::Shape;

/// `max(x, 0)`
#[derive(Clone, Copy, Debug, Default)]
pub struct Relu;

impl Operation for Relu {
    fn kind(&self) -> &'static str {
        "ReLU"
    }

    fn module(&self) -> Option<String> {
        Some("ReLU(inplace=True)".to_owned())
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Relu)
    }

    fn flops(&self, _inputs: &[Shape], output: Shape) -> u64 {
        output.len() as u64
    }

    fn pattern(&self) -> Pattern {
        Pattern::Relu
    }

    fn in_place(&self) -> InPlace {
        InPlace::Yes
    }

    fn forward(&self, args: Forward<'_>) {
        activation::relu(args.site.isa, args.output);
    }

    fn backward_reads(&self, _trainable: &[bool]) -> Reads {
        Reads { output: true, ..Reads::default() }
    }

    fn backward(&self, args: Backward<'_>) {
        let [gradient, ..] = args.dinputs;
        activation::relu_grad(args.site.isa, args.output, gradient);
    }
}
