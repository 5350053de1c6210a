//! hectare's convolution under the tensors of another framework: forward, and both gradients, on plain slices.
//!
//! ```text
//! cargo run --release -p hectare-kernels --example plain_slices
//! ```
//!
//! `Tensor` stands for whatever the framework has; all that is used of it is a shape and contiguous f32 numbers in
//! N, C, H, W order. In Burn, these three functions are the bodies of a backend extension's operation and its backward
//! step; in candle, of a `CustomOp2`. At the end they are compared with the sums that a convolution is.

use hectare_kernels::layout::{nchw_to_nhwc, nhwc_to_nchw};
use hectare_kernels::{Conv2d, Conv2dShape, Isa};

/// Another framework's tensor.
struct Tensor {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Tensor {
    fn zeros(shape: [usize; 4]) -> Tensor {
        Tensor { shape, values: vec![0.0; shape.iter().product()] }
    }

    /// Numbers that differ.
    fn some(shape: [usize; 4], seed: usize) -> Tensor {
        let values =
            (0..shape.iter().product()).map(|i| ((i * 37 + seed) % 101) as f32 / 50.0 - 1.0).collect();
        Tensor { shape, values }
    }

    /// The numbers with the channels last, as the kernels want them.
    fn channels_last(&self) -> Vec<f32> {
        let [n, c, h, w] = self.shape;
        let mut out = vec![0.0; self.values.len()];
        nchw_to_nhwc(&self.values, n, c, h, w, &mut out);
        out
    }

    fn from_channels_last(values: &[f32], shape: [usize; 4]) -> Tensor {
        let [n, c, h, w] = shape;
        let mut out = Tensor::zeros(shape);
        nhwc_to_nchw(values, n, h, w, c, &mut out.values);
        out
    }
}

/// The convolution of `x` (N, C, H, W) with `weight` (K, C, R, S), stride 1.
fn plan(x: &Tensor, weight: &Tensor, padding: usize) -> Conv2d {
    let ([n, c, h, w], [k, _, rows, columns]) = (x.shape, weight.shape);
    let shape = Conv2dShape { n, h, w, c, k, kernel: [rows, columns], stride: [1; 2], padding: [padding; 2] };
    Conv2d::new(Isa::best(), shape)
}

/// y = conv(x) + bias; N, K, H', W'. A framework would keep the packed weights until they change.
fn conv2d(x: &Tensor, weight: &Tensor, bias: &[f32], padding: usize) -> Tensor {
    let conv = plan(x, weight, padding);
    let mut room = vec![0.0; conv.packed_forward_len()];
    let packed = conv.pack_forward(&weight.values, &mut room);
    let s = conv.shape();
    let shape = [s.n, s.k, s.out_h(), s.out_w()];
    let mut y = vec![0.0; shape.iter().product()];
    conv.forward(&x.channels_last(), packed, Some(bias), false, &mut y);
    Tensor::from_channels_last(&y, shape)
}

/// The gradients of `x` and `weight` from that of y.
fn conv2d_backward(x: &Tensor, weight: &Tensor, dy: &Tensor, padding: usize) -> (Tensor, Tensor) {
    let conv = plan(x, weight, padding);
    let dy = dy.channels_last();
    let mut room = vec![0.0; conv.packed_input_grad_len()];
    let packed = conv.pack_input_grad(&weight.values, &mut room);
    let mut dx = vec![0.0; x.values.len()];
    conv.input_grad(&dy, packed, &mut dx);
    let mut dw = Tensor::zeros(weight.shape);
    conv.weight_grad(&x.channels_last(), &dy, &mut dw.values, false);
    (Tensor::from_channels_last(&dx, x.shape), dw)
}

/// Calls `visit` with the places in x, weight and y of every product.
fn products(
    x: &Tensor,
    weight: &Tensor,
    y: &Tensor,
    padding: usize,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let ([_, c, h, w], [k, _, rows, columns]) = (x.shape, weight.shape);
    let [n, _, out_h, out_w] = y.shape;
    for (b, o, i, j) in (0..n * k * out_h * out_w)
        .map(|at| (at / (k * out_h * out_w), at / (out_h * out_w) % k, at / out_w % out_h, at % out_w))
    {
        for (channel, r, s) in
            (0..c * rows * columns).map(|at| (at / (rows * columns), at / columns % rows, at % columns))
        {
            let (Some(row), Some(column)) = ((i + r).checked_sub(padding), (j + s).checked_sub(padding))
            else {
                continue;
            };
            if row < h && column < w {
                visit(
                    ((b * c + channel) * h + row) * w + column,
                    ((o * c + channel) * rows + r) * columns + s,
                    ((b * k + o) * out_h + i) * out_w + j,
                );
            }
        }
    }
}

/// The largest difference.
fn apart(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

fn main() {
    let (x, weight, padding) = (Tensor::some([2, 5, 13, 17], 1), Tensor::some([7, 5, 3, 3], 2), 1);
    let bias: Vec<f32> = (0..7).map(|k| k as f32 / 7.0).collect();
    let y = conv2d(&x, &weight, &bias, padding);
    let dy = Tensor::some(y.shape, 3);
    let (dx, dw) = conv2d_backward(&x, &weight, &dy, padding);

    let pixels = y.shape[2] * y.shape[3];
    let mut sums: Vec<f64> = (0..y.values.len()).map(|i| f64::from(bias[i / pixels % bias.len()])).collect();
    let mut x_sums = vec![0.0; x.values.len()];
    let mut w_sums = vec![0.0; weight.values.len()];
    products(&x, &weight, &y, padding, |at_x, at_w, at_y| {
        let [of_x, of_w, of_dy] = [x.values[at_x], weight.values[at_w], dy.values[at_y]].map(f64::from);
        sums[at_y] += of_x * of_w;
        x_sums[at_x] += of_dy * of_w;
        w_sums[at_w] += of_dy * of_x;
    });
    for (what, error) in [
        ("forward", apart(&y.values, &sums)),
        ("gradient of the input", apart(&dx.values, &x_sums)),
        ("gradient of the weights", apart(&dw.values, &w_sums)),
    ] {
        println!("{what}: at most {error:.1e} from the plain sums");
        assert!(error < 1e-3, "{what}");
    }
}
