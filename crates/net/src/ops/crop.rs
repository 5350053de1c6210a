//! A window of a map.

use hectare_kernels::layout;

use super::{Backward, Export, Forward, Operation};
use crate::Shape;

/// Cuts the first input to the rows and columns of the second, starting `offset` from the top left. The
/// second input only lends its size, so that one graph serves every size.
#[derive(Clone, Debug)]
pub struct Crop {
    offset: usize,
}

impl Crop {
    /// Starting `offset` rows down and columns right.
    pub fn new(offset: usize) -> Crop {
        Crop { offset }
    }
}

impl Operation for Crop {
    fn kind(&self) -> &'static str {
        "Crop"
    }

    fn arity(&self) -> usize {
        2
    }

    fn data_inputs(&self) -> usize {
        1
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (map, like) = (inputs[0], inputs[1]);
        if self.offset + like.h > map.h || self.offset + like.w > map.w {
            return Err(format!("a window like the second, {} in, must lie in the first", self.offset));
        }
        Ok(Shape::new(map.c, like.h, like.w))
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Crop { offset: self.offset })
    }

    fn reads_rows(&self, [from, to]: [i64; 2]) -> [i64; 2] {
        [from + self.offset as i64, to + self.offset as i64]
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    fn is_identity(&self, input: Shape, output: Shape) -> bool {
        input == output
    }

    fn forward(&self, args: Forward<'_>) {
        let (map, out) = (args.site.inputs[0], args.site.output);
        let at = self.offset;
        layout::crop(args.inputs[0], args.site.n, map.h, map.w, map.c, at, at, out.h, out.w, args.output);
    }

    fn backward(&self, args: Backward<'_>) {
        let (map, out) = (args.site.inputs[0], args.site.output);
        let at = self.offset;
        let [dx, ..] = args.dinputs;
        layout::crop_grad(args.doutput, args.site.n, map.h, map.w, map.c, at, at, out.h, out.w, dx);
    }
}
