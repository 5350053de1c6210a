//! Maximum over windows.

use hectare_kernels::pool::{Pool2dShape, max_pool2d, max_pool2d_grad};

use super::{Backward, Export, Forward, Needs, Operation, Pattern, Site};
use crate::Shape;

/// The largest number of each window. Training keeps one byte per output, the place of the maximum in
/// its window, instead of the whole input.
#[derive(Clone, Debug)]
pub struct MaxPool2d {
    kernel: usize,
    stride: usize,
    padding: usize,
    ceil_mode: bool,
}

impl MaxPool2d {
    /// Windows of `kernel` x `kernel` (at most 16) at a distance of `stride`.
    pub fn new(kernel: usize, stride: usize) -> MaxPool2d {
        MaxPool2d { kernel, stride, padding: 0, ceil_mode: false }
    }

    /// With `padding` (at most half the window) around the map.
    pub fn padding(self, padding: usize) -> MaxPool2d {
        MaxPool2d { padding, ..self }
    }

    /// With sizes rounded up: a last window may hang over the edge.
    pub fn ceil_mode(self) -> MaxPool2d {
        MaxPool2d { ceil_mode: true, ..self }
    }

    fn shape(&self, n: usize, input: Shape) -> Pool2dShape {
        Pool2dShape {
            n,
            h: input.h,
            w: input.w,
            c: input.c,
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            padding: [self.padding; 2],
            ceil_mode: self.ceil_mode,
        }
    }
}

impl Operation for MaxPool2d {
    fn kind(&self) -> &'static str {
        "MaxPool2d"
    }

    fn module(&self) -> Option<String> {
        let ceil = if self.ceil_mode { "True" } else { "False" };
        Some(format!(
            "MaxPool2d(kernel_size={}, stride={}, padding={}, dilation=1, ceil_mode={ceil})",
            self.kernel, self.stride, self.padding
        ))
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = inputs[0];
        if input.h.min(input.w) + 2 * self.padding < self.kernel {
            let least = self.kernel - 2 * self.padding;
            return Err(format!("its window needs at least {}x{least}x{least}", input.c));
        }
        let shape = self.shape(1, input);
        Ok(Shape::new(input.c, shape.out_h(), shape.out_w()))
    }

    fn export(&self) -> Option<Export> {
        Some(Export::MaxPool {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            ceil: self.ceil_mode,
        })
    }

    fn reads_rows(&self, [from, to]: [i64; 2]) -> [i64; 2] {
        let [stride, padding, kernel] = [self.stride, self.padding, self.kernel].map(|v| v as i64);
        [from * stride - padding, to * stride - padding + kernel - 1]
    }

    fn flops(&self, _inputs: &[Shape], output: Shape) -> u64 {
        (self.kernel * self.kernel - 1) as u64 * output.len() as u64
    }

    fn pattern(&self) -> Pattern {
        let pairs = self.kernel == 2 && self.stride == 2 && self.padding == 0 && !self.ceil_mode;
        Pattern::MaxPool { pairs }
    }

    fn needs(&self, site: &Site<'_>) -> Needs {
        Needs { saved_bytes: site.n * site.output.len(), ..Needs::default() }
    }

    fn forward(&self, args: Forward<'_>) {
        let shape = self.shape(args.site.n, args.site.inputs[0]);
        let places = (!args.saved_bytes.is_empty()).then_some(args.saved_bytes);
        max_pool2d(args.site.isa, &shape, args.inputs[0], args.output, places);
    }

    fn backward(&self, args: Backward<'_>) {
        let shape = self.shape(args.site.n, args.site.inputs[0]);
        let [dx, ..] = args.dinputs;
        max_pool2d_grad(args.site.isa, &shape, args.doutput, args.saved_bytes, dx);
    }
}
