//! Zeros at the bottom and right.

use std::ops::RangeInclusive;

use hectare_kernels::layout;

use super::{Backward, Export, Forward, Operation};
use crate::Shape;

/// Pads rows at the bottom and columns at the right with zeros until both sides are multiples of
/// `multiple`, but only if a side's remainder is one of `misfits`.
#[derive(Clone, Debug)]
pub struct Pad {
    multiple: usize,
    misfits: Option<RangeInclusive<usize>>,
    least: usize,
}

impl Pad {
    /// To the next multiple, always.
    pub fn to_multiple(multiple: usize) -> Pad {
        Pad { multiple, misfits: Some(1..=multiple - 1), least: 1 }
    }

    /// Both sides to the next multiple where the remainder of either lies in `misfits` (never, if there
    /// are none). Sides under `least` are refused.
    pub fn where_misfit(multiple: usize, misfits: Option<RangeInclusive<usize>>, least: usize) -> Pad {
        Pad { multiple, misfits, least }
    }
}

impl Operation for Pad {
    fn kind(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = inputs[0];
        if input.h.min(input.w) < self.least {
            return Err(format!("no side may be under {}: at least {}x{1}x{1}", self.least, input.c));
        }
        let misfit =
            |side: usize| self.misfits.as_ref().is_some_and(|range| range.contains(&(side % self.multiple)));
        if misfit(input.h) || misfit(input.w) {
            let up = |side: usize| side.next_multiple_of(self.multiple);
            return Ok(Shape::new(input.c, up(input.h), up(input.w)));
        }
        Ok(input)
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Pad { multiple: self.multiple, misfits: self.misfits.clone(), least: self.least })
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    fn is_identity(&self, input: Shape, output: Shape) -> bool {
        input == output
    }

    fn forward(&self, args: Forward<'_>) {
        let (map, out) = (args.site.inputs[0], args.site.output);
        layout::pad_bottom_right(args.inputs[0], args.site.n, map.h, map.w, map.c, out.h, out.w, args.output);
    }

    fn backward(&self, args: Backward<'_>) {
        let (map, out) = (args.site.inputs[0], args.site.output);
        let [dx, ..] = args.dinputs;
        layout::crop(args.doutput, args.site.n, out.h, out.w, out.c, 0, 0, map.h, map.w, dx);
    }
}
