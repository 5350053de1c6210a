//! Two-dimensional convolution.

use hectare_kernels::{Conv2d as Kernel, Conv2dShape, reduce};

use super::operation::round_up;
use super::{Backward, Export, Forward, Init, Needs, Operation, ParamSpec, Pattern, Reads, Site};
use crate::{Role, Shape};

/// Convolution with weight `[K, C, kh, kw]` and bias `[K]`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    bias: bool,
}

impl Conv2d {
    /// From `inputs` (C) to `outputs` (K) channels with a `kernel` x `kernel` window, stride 1, no padding.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Conv2d {
        Conv2d { inputs, outputs, kernel: [kernel; 2], stride: [1; 2], padding: [0; 2], bias: true }
    }

    /// With zeros around the map: rows above and below, columns left and right.
    pub fn padding(self, padding: usize) -> Conv2d {
        Conv2d { padding: [padding; 2], ..self }
    }

    /// With that distance between windows.
    pub fn stride(self, stride: usize) -> Conv2d {
        Conv2d { stride: [stride; 2], ..self }
    }

    /// With a window of `kernel` rows and columns, and `stride` and `padding` for each direction.
    pub fn window(self, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Conv2d {
        Conv2d { kernel, stride, padding, ..self }
    }

    /// Without a bias.
    pub fn without_bias(self) -> Conv2d {
        Conv2d { bias: false, ..self }
    }

    fn plan(&self, site: &Site<'_>) -> Kernel {
        Kernel::new(site.isa, self.shape(site.n, site.inputs[0]))
    }

    fn shape(&self, n: usize, input: Shape) -> Conv2dShape {
        Conv2dShape {
            n,
            h: input.h,
            w: input.w,
            c: input.c,
            k: self.outputs,
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
        }
    }
}

impl Operation for Conv2d {
    fn kind(&self) -> &'static str {
        "Conv2d"
    }

    fn module(&self) -> Option<String> {
        let mut line =
            format!("Conv2d({}, {}, {}", self.inputs, self.outputs, window_text(self.kernel, self.stride));
        if self.padding != [0; 2] {
            line += &format!(", padding=({}, {})", self.padding[0], self.padding[1]);
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
        let side = |size: usize, d: usize| {
            let room = size + 2 * self.padding[d];
            (room >= self.kernel[d]).then(|| (room - self.kernel[d]) / self.stride[d] + 1)
        };
        match (side(input.h, 0), side(input.w, 1)) {
            (Some(h), Some(w)) => Ok(Shape::new(self.outputs, h, w)),
            _ => {
                let least = |d: usize| self.kernel[d].saturating_sub(2 * self.padding[d]).max(1);
                Err(format!("its window needs at least {}x{}x{}", self.inputs, least(0), least(1)))
            }
        }
    }

    fn params(&self) -> Vec<ParamSpec> {
        let [kh, kw] = self.kernel;
        conv_params(vec![self.outputs, self.inputs, kh, kw], self.inputs * kh * kw, self.bias)
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Conv { stride: self.stride, padding: self.padding, bias: self.bias })
    }

    fn reads_rows(&self, [from, to]: [i64; 2]) -> [i64; 2] {
        let [stride, padding, kernel] = [self.stride[0], self.padding[0], self.kernel[0]].map(|v| v as i64);
        [from * stride - padding, to * stride - padding + kernel - 1]
    }

    fn flops(&self, _inputs: &[Shape], output: Shape) -> u64 {
        let products = self.inputs * self.kernel[0] * self.kernel[1];
        (2 * products + usize::from(self.bias)) as u64 * output.len() as u64
    }

    fn pattern(&self) -> Pattern {
        Pattern::Conv
    }

    fn can_max_pool(&self, inputs: &[Shape]) -> bool {
        Kernel::can_max_pool(&self.shape(1, inputs[0]))
    }

    fn needs(&self, site: &Site<'_>) -> Needs {
        conv_needs(&self.plan(site), self.bias_len())
    }

    fn packs_for_any_size(&self) -> bool {
        // The kernels may choose another algorithm by size for these windows only.
        ![[3, 3], [7, 7]].contains(&self.kernel)
    }

    fn packing(&self, site: &Site<'_>) -> [usize; 4] {
        [self.plan(site).packed_forward_len(), 0, 0, 0]
    }

    fn pack(&self, site: &Site<'_>, params: &[f32], packed: &mut [f32]) {
        conv_pack(&self.plan(site), self.bias_len(), params, packed);
    }

    fn forward(&self, args: Forward<'_>) {
        conv_forward(&self.plan(&args.site), self.bias_len(), args);
    }

    fn backward_reads(&self, trainable: &[bool]) -> Reads {
        Reads { inputs: trainable[0], ..Reads::default() }
    }

    fn backward(&self, args: Backward<'_>) {
        conv_backward(&self.plan(&args.site), self.bias_len(), args);
    }
}

impl Conv2d {
    fn bias_len(&self) -> usize {
        if self.bias { self.outputs } else { 0 }
    }
}

/// `kernel_size=(3, 3), stride=(1, 1)`
pub(super) fn window_text(kernel: [usize; 2], stride: [usize; 2]) -> String {
    format!("kernel_size=({}, {}), stride=({}, {})", kernel[0], kernel[1], stride[0], stride[1])
}

/// A weight of that shape, whose first side is the bias's length.
pub(super) fn conv_params(shape: Vec<usize>, fan_in: usize, bias: bool) -> Vec<ParamSpec> {
    let outputs = shape[0];
    let weight = ParamSpec { suffix: "weight", shape, role: Role::Weight, init: Init::He { fan_in } };
    let bias =
        bias.then(|| ParamSpec { suffix: "bias", shape: vec![outputs], role: Role::Bias, init: Init::Zeros });
    std::iter::once(weight).chain(bias).collect()
}

// A linear layer is a convolution whose window is the whole map, so it shares what follows. What is packed
// is the kernel's form of the weight and then the bias; where the kernel takes the weight as it is, nothing.

pub(super) fn conv_needs(plan: &Kernel, bias: usize) -> Needs {
    let packed = match plan.packed_forward_len() {
        0 => 0,
        len => round_up(len) + bias,
    };
    Needs {
        packed,
        scratch: plan.packed_input_grad_len(),
        scratch_bytes: plan.scratch_bytes(),
        ..Needs::default()
    }
}

pub(super) fn conv_pack(plan: &Kernel, bias: usize, params: &[f32], packed: &mut [f32]) {
    let (weight, bias) = params.split_at(params.len() - bias);
    let len = plan.packed_forward_len();
    plan.pack_forward(weight, &mut packed[..len]);
    packed[round_up(len)..].copy_from_slice(bias);
}

pub(super) fn conv_forward(plan: &Kernel, bias: usize, args: Forward<'_>) {
    let len = plan.packed_forward_len();
    let (weight, own) = match len {
        0 => args.params.split_at(args.params.len() - bias),
        len => (&args.packed[..len], &args.packed[round_up(len)..]),
    };
    let bias = (bias > 0).then_some(own);
    if args.max_pool {
        let argmax = (!args.saved_bytes.is_empty()).then_some(args.saved_bytes);
        plan.forward_max_pooled(args.inputs[0], weight, bias, args.relu, args.output, argmax);
    } else {
        plan.forward(args.inputs[0], weight, bias, args.relu, args.output);
    }
}

pub(super) fn conv_backward(plan: &Kernel, bias: usize, args: Backward<'_>) {
    let weights = args.params.len() - bias;
    let (dweight, dbias) = args.dparams.split_at_mut(weights);
    if args.trainable[0] {
        plan.weight_grad(args.inputs[0], args.doutput, dweight, args.accumulate);
    }
    if bias > 0 && args.trainable[1] {
        reduce::sum_rows(args.site.isa, args.doutput, bias, dbias, args.accumulate);
    }
    let [dx, ..] = args.dinputs;
    if !dx.is_empty() {
        let packed = &mut args.scratch[..plan.packed_input_grad_len()];
        let weights = plan.pack_input_grad(&args.params[..weights], packed);
        plan.input_grad(args.doutput, weights, dx);
    }
}
