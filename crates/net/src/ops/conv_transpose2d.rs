//! Transposed convolution: learnt upsampling.

use hectare_kernels::conv_transpose::{
    ConvTranspose2dShape, conv_transpose2d, conv_transpose2d_input_grad, conv_transpose2d_weight_grad,
};
use hectare_kernels::reduce;

use super::conv2d::window_text;
use super::{Backward, Export, Forward, Init, Operation, ParamSpec, Reads, Site};
use crate::{Role, Shape};

/// The transpose of a convolution, with weight `[C, K, k, k]`.
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    bias: bool,
    bilinear: bool,
}

impl ConvTranspose2d {
    /// From `inputs` (C) to `outputs` (K) channels, `stride` times as large.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> ConvTranspose2d {
        ConvTranspose2d { inputs, outputs, kernel, stride, padding: 0, bias: true, bilinear: false }
    }

    /// Upsampling of each of `channels` by itself, without bias, that starts as bilinear interpolation.
    pub fn bilinear(channels: usize, kernel: usize, stride: usize) -> ConvTranspose2d {
        ConvTranspose2d {
            bias: false,
            bilinear: true,
            ..ConvTranspose2d::new(channels, channels, kernel, stride)
        }
    }

    /// With `padding` rows and columns of the result cut off at each side.
    pub fn padding(self, padding: usize) -> ConvTranspose2d {
        ConvTranspose2d { padding, ..self }
    }

    /// With or without a bias.
    pub fn with_bias(self, bias: bool) -> ConvTranspose2d {
        ConvTranspose2d { bias, ..self }
    }

    fn shape(&self, site: &Site<'_>) -> ConvTranspose2dShape {
        let input = site.inputs[0];
        ConvTranspose2dShape {
            n: site.n,
            h: input.h,
            w: input.w,
            c: input.c,
            k: self.outputs,
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            padding: [self.padding; 2],
        }
    }

    fn weights(&self) -> usize {
        self.inputs * self.outputs * self.kernel * self.kernel
    }
}

impl Operation for ConvTranspose2d {
    fn kind(&self) -> &'static str {
        "ConvTranspose2d"
    }

    fn module(&self) -> Option<String> {
        let window = window_text([self.kernel; 2], [self.stride; 2]);
        let mut line = format!("ConvTranspose2d({}, {}, {window}", self.inputs, self.outputs);
        if self.padding > 0 {
            line += &format!(", padding=({}, {})", self.padding, self.padding);
        }
        if !self.bias {
            line += ", bias=False";
        }
        Some(line + ")")
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = inputs[0];
        if input.c != self.inputs {
            return Err(format!(
                "it takes {} channels, as {}x{}x{}",
                self.inputs, self.inputs, input.h, input.w
            ));
        }
        let side = |size: usize| ((size - 1) * self.stride + self.kernel).checked_sub(2 * self.padding);
        match (side(input.h), side(input.w)) {
            (Some(h @ 1..), Some(w @ 1..)) => Ok(Shape::new(self.outputs, h, w)),
            _ => Err(format!("a padding of {} leaves nothing", self.padding)),
        }
    }

    fn params(&self) -> Vec<ParamSpec> {
        let k = self.kernel;
        let shape = vec![self.inputs, self.outputs, k, k];
        // Each output sums over the inputs and the windows that reach it, k / stride in each direction.
        let fan_in = (self.inputs * k * k / (self.stride * self.stride)).max(1);
        let init = if self.bilinear { Init::Bilinear } else { Init::He { fan_in } };
        let mut specs = vec![ParamSpec { suffix: "weight", shape, role: Role::Weight, init }];
        if self.bias {
            let shape = vec![self.outputs];
            specs.push(ParamSpec { suffix: "bias", shape, role: Role::Bias, init: Init::Zeros });
        }
        specs
    }

    fn export(&self) -> Option<Export> {
        Some(Export::ConvTranspose { stride: self.stride, padding: self.padding, bias: self.bias })
    }

    fn reads_rows(&self, [from, to]: [i64; 2]) -> [i64; 2] {
        let [stride, padding, kernel] = [self.stride, self.padding, self.kernel].map(|v| v as i64);
        // Row i of the input goes to rows i * stride - padding .. + kernel.
        [-(-(from + padding - kernel + 1)).div_euclid(stride), (to + padding).div_euclid(stride)]
    }

    fn flops(&self, inputs: &[Shape], output: Shape) -> u64 {
        let products = inputs[0].h * inputs[0].w * self.weights();
        2 * products as u64 + if self.bias { output.len() as u64 } else { 0 }
    }

    fn forward(&self, args: Forward<'_>) {
        let (weight, bias) = args.params.split_at(self.weights());
        let bias = self.bias.then_some(bias);
        conv_transpose2d(args.site.isa, &self.shape(&args.site), args.inputs[0], weight, bias, args.output);
    }

    fn backward_reads(&self, trainable: &[bool]) -> Reads {
        Reads { inputs: trainable[0], ..Reads::default() }
    }

    fn backward(&self, args: Backward<'_>) {
        let shape = self.shape(&args.site);
        let isa = args.site.isa;
        let (dweight, dbias) = args.dparams.split_at_mut(self.weights());
        if args.trainable[0] {
            conv_transpose2d_weight_grad(isa, &shape, args.inputs[0], args.doutput, dweight, args.accumulate);
        }
        if self.bias && args.trainable[1] {
            reduce::sum_rows(isa, args.doutput, self.outputs, dbias, args.accumulate);
        }
        let [dx, ..] = args.dinputs;
        if !dx.is_empty() {
            conv_transpose2d_input_grad(isa, &shape, args.doutput, &args.params[..self.weights()], dx);
        }
    }
}
