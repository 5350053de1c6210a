//! Fully connected layer.

use hectare_kernels::{Conv2d as Kernel, Conv2dShape};

use super::conv2d::{conv_backward, conv_forward, conv_needs, conv_pack, conv_params};
use super::{Backward, Export, Forward, Needs, Operation, ParamSpec, Pattern, Reads, Site};
use crate::Shape;

/// `y = weight x + bias` with weight `[K, C]` and bias `[K]`.
///
/// Run on an unflattened map of H x W it is a convolution with an H x W window, and its weight, whose
/// columns PyTorch orders as C, H, W, is that convolution's weight as it stands.
#[derive(Clone, Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// From `inputs` (C) to `outputs` (K) numbers.
    pub fn new(inputs: usize, outputs: usize) -> Linear {
        Linear { inputs, outputs }
    }

    fn plan(&self, site: &Site<'_>) -> Kernel {
        let input = site.inputs[0];
        let shape = Conv2dShape {
            n: site.n,
            h: input.h,
            w: input.w,
            c: input.c,
            k: self.outputs,
            kernel: [input.h, input.w],
            stride: [1, 1],
            padding: [0, 0],
        };
        Kernel::new(site.isa, shape)
    }
}

impl Operation for Linear {
    fn kind(&self) -> &'static str {
        "Linear"
    }

    fn module(&self) -> Option<String> {
        // As the report prints it; PyTorch since 0.4 writes in_features= and out_features= before the numbers.
        Some(format!("Linear({}, {}, bias=True)", self.inputs, self.outputs))
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if inputs[0] != Shape::new(self.inputs, 1, 1) {
            return Err(format!("it takes {} features, {}x1x1", self.inputs, self.inputs));
        }
        Ok(Shape::new(self.outputs, 1, 1))
    }

    fn params(&self) -> Vec<ParamSpec> {
        conv_params(vec![self.outputs, self.inputs], self.inputs, true)
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Linear)
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        (2 * self.inputs as u64 + 1) * self.outputs as u64
    }

    fn pattern(&self) -> Pattern {
        Pattern::Linear
    }

    fn needs(&self, site: &Site<'_>) -> Needs {
        conv_needs(&self.plan(site), self.outputs)
    }

    fn packs_for_any_size(&self) -> bool {
        // The map behind one number of features may have several sizes: 4 x 1 and 2 x 2.
        false
    }

    fn packing(&self, site: &Site<'_>) -> [usize; 4] {
        let Shape { c, h, w } = site.inputs[0];
        [self.plan(site).packed_forward_len(), c, h, w]
    }

    fn pack(&self, site: &Site<'_>, params: &[f32], packed: &mut [f32]) {
        conv_pack(&self.plan(site), self.outputs, params, packed);
    }

    fn forward(&self, args: Forward<'_>) {
        conv_forward(&self.plan(&args.site), self.outputs, args);
    }

    fn backward_reads(&self, trainable: &[bool]) -> Reads {
        Reads { inputs: trainable[0], ..Reads::default() }
    }

    fn backward(&self, args: Backward<'_>) {
        conv_backward(&self.plan(&args.site), self.outputs, args);
    }
}
