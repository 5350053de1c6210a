//! Sum of two maps.

use hectare_kernels::elementwise;

use super::{Backward, Export, Forward, Operation};
use crate::Shape;

/// Adds two maps of the same shape, number by number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Add;

impl Operation for Add {
    fn kind(&self) -> &'static str {
        "Add"
    }

    fn arity(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if inputs[0] != inputs[1] {
            return Err("both must have the same shape".to_owned());
        }
        Ok(inputs[0])
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Add)
    }

    fn flops(&self, _inputs: &[Shape], output: Shape) -> u64 {
        output.len() as u64
    }

    fn forward(&self, args: Forward<'_>) {
        let [a, b, ..] = args.inputs;
        elementwise::add(args.site.isa, a, b, args.output);
    }

    fn backward(&self, args: Backward<'_>) {
        for dx in args.dinputs {
            if !dx.is_empty() {
                dx.copy_from_slice(args.doutput);
            }
        }
    }
}
