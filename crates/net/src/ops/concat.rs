//! Maps side by side in the channels.

use hectare_kernels::layout;

use super::{Backward, Export, Forward, MAX_INPUTS, Operation};
use crate::Shape;

/// The channels of two to four maps of one size, one map's behind the other's.
#[derive(Clone, Debug)]
pub struct Concat {
    maps: usize,
}

impl Concat {
    /// Of `maps` maps.
    pub fn new(maps: usize) -> Concat {
        Concat { maps }
    }
}

impl Operation for Concat {
    fn kind(&self) -> &'static str {
        "Concat"
    }

    fn arity(&self) -> usize {
        self.maps
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let first = inputs[0];
        if inputs.iter().any(|shape| (shape.h, shape.w) != (first.h, first.w)) {
            return Err("all must have the same rows and columns".to_owned());
        }
        Ok(Shape::new(inputs.iter().map(|shape| shape.c).sum(), first.h, first.w))
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Concat)
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    fn forward(&self, args: Forward<'_>) {
        let shapes = args.site.inputs;
        let parts: [(&[f32], usize); MAX_INPUTS] =
            std::array::from_fn(|i| (args.inputs[i], shapes.get(i).map_or(0, |shape| shape.c)));
        let pixels = args.site.n * args.site.output.h * args.site.output.w;
        layout::concat(&parts[..self.maps], pixels, args.output);
    }

    fn backward(&self, args: Backward<'_>) {
        let pixels = args.site.n * args.site.output.h * args.site.output.w;
        let mut shapes = args.site.inputs.iter();
        let mut parts = args.dinputs.map(|dx| (dx, shapes.next().map_or(0, |shape| shape.c)));
        layout::concat_grad(args.doutput, pixels, &mut parts[..self.maps]);
    }
}
