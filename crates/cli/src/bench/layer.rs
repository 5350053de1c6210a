//! One convolution, in one direction.

use hectare_kernels::{AlignedVec, Conv2d, Conv2dShape, Isa};
use hectare_net::Shape;
use hectare_net::ops::{Conv2d as Node, Operation};

use super::stopwatch::{Plan, normal};
use super::workload::Batch;

/// A distinct convolution of the networks.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Its usual name, as `conv1_1`.
    pub name: &'static str,
    /// Picture sides for one of the layer's map.
    stride: usize,
    c: usize,
    k: usize,
    kernel: usize,
    padding: usize,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// With bias and ReLU; the weights were packed before, as for prediction.
    Forward,
    /// With the packing of the weights, which in training are new for every step.
    InputGrad,
    /// The weights' gradient, written over.
    WeightGrad,
}

const fn vgg(name: &'static str, stride: usize, c: usize, k: usize) -> Layer {
    Layer { name, stride, c, k, kernel: 3, padding: 1 }
}

impl Layer {
    /// The trunk's distinct convolutions, and the head's.
    pub const ALL: [Layer; 11] = [
        vgg("conv1_1", 1, 3, 64),
        vgg("conv1_2", 1, 64, 64),
        vgg("conv2_1", 2, 64, 128),
        vgg("conv2_2", 2, 128, 128),
        vgg("conv3_1", 4, 128, 256),
        vgg("conv3_2", 4, 256, 256),
        vgg("conv4_1", 8, 256, 512),
        vgg("conv4_2", 8, 512, 512),
        vgg("conv5_1", 16, 512, 512),
        Layer { name: "fc6", stride: 32, c: 512, k: 4096, kernel: 7, padding: 3 },
        Layer { name: "fc7", stride: 32, c: 4096, k: 4096, kernel: 1, padding: 0 },
    ];

    /// Whether it is a fully connected layer in origin, which sees a whole tile's smallest map.
    pub fn fully_connected(&self) -> bool {
        self.stride == 32
    }

    fn shape(&self, batch: Batch) -> Conv2dShape {
        let side = batch.side / self.stride;
        Conv2dShape {
            n: batch.n,
            h: side,
            w: side,
            c: self.c,
            k: self.k,
            kernel: [self.kernel; 2],
            stride: [1; 2],
            padding: [self.padding; 2],
        }
    }

    /// Floating point operations of each direction.
    pub fn flops(&self, batch: Batch) -> u64 {
        let shape = self.shape(batch);
        let node = Node::new(self.c, self.k, self.kernel).padding(self.padding);
        let input = Shape::new(self.c, shape.h, shape.w);
        batch.n as u64 * node.flops(&[input], Shape::new(self.k, shape.out_h(), shape.out_w()))
    }

    /// One line on what it is.
    pub fn describe(&self, pass: Pass, batch: Batch) -> String {
        let Conv2dShape { n, h, w, c, k, kernel: [r, s], .. } = self.shape(batch);
        let what = match pass {
            Pass::Forward => "forward pass, bias and ReLU",
            Pass::InputGrad => "gradient of the input",
            Pass::WeightGrad => "gradient of the weights",
        };
        format!("{what} of a {r}x{s} convolution, {n} x {c} x {h} x {w} to {k} channels")
    }

    /// Seconds of each run.
    pub fn run(&self, pass: Pass, batch: Batch, plan: &Plan) -> Vec<f64> {
        let isa = Isa::best();
        let shape = self.shape(batch);
        let conv = Conv2d::new(isa, shape);
        let fan_in = (self.c * self.kernel * self.kernel) as f32;
        let weight = normal("weight", shape.weight_len(), (2.0 / fan_in).sqrt());
        match pass {
            Pass::Forward => {
                let x = normal("x", shape.input_len(), 1.0);
                let bias = normal("bias", self.k, 0.1);
                let mut packed = AlignedVec::zeroed(conv.packed_forward_len());
                let weights = conv.pack_forward(&weight, &mut packed);
                let mut y = AlignedVec::zeroed(shape.output_len());
                plan.time(|| conv.forward(&x, weights, Some(&bias), true, &mut y))
            }
            Pass::InputGrad => {
                let dy = normal("dy", shape.output_len(), 1.0);
                let mut packed = AlignedVec::zeroed(conv.packed_input_grad_len());
                let mut dx = AlignedVec::zeroed(shape.input_len());
                plan.time(|| {
                    let weights = conv.pack_input_grad(&weight, &mut packed);
                    conv.input_grad(&dy, weights, &mut dx);
                })
            }
            Pass::WeightGrad => {
                let x = normal("x", shape.input_len(), 1.0);
                let dy = normal("dy", shape.output_len(), 1.0);
                let mut dw = AlignedVec::zeroed(shape.weight_len());
                plan.time(|| conv.weight_grad(&x, &dy, &mut dw, false))
            }
        }
    }
}

impl Pass {
    /// The directions.
    pub const ALL: [Pass; 3] = [Pass::Forward, Pass::InputGrad, Pass::WeightGrad];

    /// As in a workload's name.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::InputGrad => "input-grad",
            Pass::WeightGrad => "weight-grad",
        }
    }
}
