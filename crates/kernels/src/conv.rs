//! 2-D convolution: forward, gradient of the input, gradient of the weights.
//!
//! A fully connected layer is the convolution whose kernel covers its input, so that weights in PyTorch's
//! order (`K, C, R, S`, or `K, C * H * W` after a flatten) fit activations in NHWC order as they are.
//!
//! Which algorithm runs is a function of `C`, `K`, `H`, `W`, the kernel and the instruction set: never of the
//! number of images or of threads.

mod direct;
mod gather;
mod pack;
mod shape;
mod stem;
mod weight_grad;
mod wide;
mod winograd;

#[cfg(test)]
mod tests;

pub use shape::Conv2dShape;

use crate::Isa;
use direct::Product;
use gather::Gather;
use winograd::Pass;

/// A convolution of one shape on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    isa: Isa,
    shape: Conv2dShape,
}

impl Conv2d {
    /// A convolution of this shape. Cheap: weights are packed apart.
    ///
    /// # Panics
    /// When a side of the kernel or a stride is 0.
    pub fn new(isa: Isa, shape: Conv2dShape) -> Conv2d {
        assert!(shape.kernel.iter().chain(&shape.stride).all(|&x| x > 0), "no empty kernel or stride");
        Conv2d { isa, shape }
    }

    /// The sizes.
    pub fn shape(&self) -> &Conv2dShape {
        &self.shape
    }

    /// Length of the packed weights that [`Conv2d::forward`] takes; 0 where it takes them as they are.
    pub fn packed_forward_len(&self) -> usize {
        let s = &self.shape;
        if wide::applies(s, Pass::Forward) {
            return 0;
        }
        if winograd::applies(s, Pass::Forward) {
            return winograd::packed_len(self.isa, s.c, s.k);
        }
        direct::packed_len(self.isa, s.taps() * s.c, s.k)
    }

    /// Packs weights (`K, C, R, S`) for [`Conv2d::forward`].
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn pack_forward(&self, weight: &[f32], packed: &mut [f32]) {
        let s = &self.shape;
        assert_eq!(weight.len(), s.weight_len());
        assert_eq!(packed.len(), self.packed_forward_len());
        if packed.is_empty() {
            return;
        }
        if winograd::applies(s, Pass::Forward) {
            return winograd::pack(self.isa, s, weight, Pass::Forward, packed);
        }
        pack::forward(self.isa, s, weight, packed);
    }

    /// Length of the packed weights that [`Conv2d::input_grad`] takes; 0 where it takes them as they are.
    pub fn packed_input_grad_len(&self) -> usize {
        let s = &self.shape;
        if wide::applies(s, Pass::InputGrad) {
            return 0;
        }
        if s.is_full() {
            return direct::packed_len(self.isa, s.k, s.taps() * s.c);
        }
        if winograd::applies(s, Pass::InputGrad) {
            return winograd::packed_len(self.isa, s.k, s.c);
        }
        direct::packed_len(self.isa, s.taps() * s.k, s.c)
    }

    /// Packs weights (`K, C, R, S`) for [`Conv2d::input_grad`].
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn pack_input_grad(&self, weight: &[f32], packed: &mut [f32]) {
        let s = &self.shape;
        assert_eq!(weight.len(), s.weight_len());
        assert_eq!(packed.len(), self.packed_input_grad_len());
        if packed.is_empty() {
            return;
        }
        if s.is_full() {
            return pack::full_input_grad(self.isa, s, weight, packed);
        }
        if winograd::applies(s, Pass::InputGrad) {
            return winograd::pack(self.isa, s, weight, Pass::InputGrad, packed);
        }
        pack::input_grad(self.isa, s, weight, packed);
    }

    /// `y = conv(x) (+ bias) (, ReLU)`: `x` is `N, H, W, C`, `y` is `N, out_h, out_w, K`. The weights are what
    /// [`Conv2d::pack_forward`] wrote or, where [`Conv2d::packed_forward_len`] is 0, those of PyTorch.
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn forward(&self, x: &[f32], weights: &[f32], bias: Option<&[f32]>, relu: bool, y: &mut [f32]) {
        let s = &self.shape;
        assert_eq!(x.len(), s.input_len());
        assert_eq!(y.len(), s.output_len());
        assert!(bias.is_none_or(|b| b.len() == s.k));
        if wide::applies(s, Pass::Forward) {
            return wide::forward(self.isa, s, x, weights, bias, relu, y);
        }
        if winograd::applies(s, Pass::Forward) {
            return winograd::forward(self.isa, s, x, weights, bias, relu, y);
        }
        if stem::applies(s) {
            return stem::forward(self.isa, s, x, weights, bias, relu, y);
        }
        let (gather, rows) = match s.is_full() {
            true => (Gather::matrix(s.taps() * s.c), s.n),
            false => (Gather::forward(s), s.n * s.out_h() * s.out_w()),
        };
        Product { isa: self.isa, gather, source: x, rows, columns: s.k, packed: weights, bias, relu }.run(y);
    }

    /// Whether [`Conv2d::forward_max_pooled`] takes this shape.
    pub fn can_max_pool(s: &Conv2dShape) -> bool {
        winograd::applies(s, Pass::Forward)
    }

    /// As [`Conv2d::forward`], and of the result only the maximum of each 2x2 window: `y` is
    /// `N, out_h / 2, out_w / 2, K`. `argmax`, of the length of `y`, gets the places in the windows, as
    /// [`crate::pool::max_pool2d`] counts them. The bits are those of the two passes after one another.
    ///
    /// # Panics
    /// When [`Conv2d::can_max_pool`] says no, or a slice has another length than it should.
    pub fn forward_max_pooled(
        &self,
        x: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        relu: bool,
        y: &mut [f32],
        argmax: Option<&mut [u8]>,
    ) {
        let s = &self.shape;
        assert!(Conv2d::can_max_pool(s));
        assert_eq!(x.len(), s.input_len());
        assert_eq!(y.len(), s.n * (s.out_h() / 2) * (s.out_w() / 2) * s.k);
        assert!(argmax.as_ref().is_none_or(|places| places.len() == y.len()));
        assert!(bias.is_none_or(|b| b.len() == s.k));
        winograd::forward_max_pooled(self.isa, s, x, weights, bias, relu, y, argmax);
    }

    /// The gradient of the input from the gradient of the output. The weights are what
    /// [`Conv2d::pack_input_grad`] wrote or, where [`Conv2d::packed_input_grad_len`] is 0, those of PyTorch.
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn input_grad(&self, dy: &[f32], weights: &[f32], dx: &mut [f32]) {
        let s = &self.shape;
        assert_eq!(dy.len(), s.output_len());
        assert_eq!(dx.len(), s.input_len());
        if wide::applies(s, Pass::InputGrad) {
            return wide::input_grad(self.isa, s, dy, weights, dx);
        }
        if s.is_full() {
            let gather = Gather::matrix(s.k);
            let columns = s.taps() * s.c;
            let product = Product {
                isa: self.isa,
                gather,
                source: dy,
                rows: s.n,
                columns,
                packed: weights,
                bias: None,
                relu: false,
            };
            return product.run(dx);
        }
        if winograd::applies(s, Pass::InputGrad) {
            return winograd::input_grad(self.isa, s, dy, weights, dx);
        }
        let (gather, rows) = (Gather::input_grad(s), s.n * s.h * s.w);
        let product = Product {
            isa: self.isa,
            gather,
            source: dy,
            rows,
            columns: s.c,
            packed: weights,
            bias: None,
            relu: false,
        };
        product.run(dx);
    }

    /// The gradient of the weights (`K, C, R, S`), written over `dw` or added to it.
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn weight_grad(&self, x: &[f32], dy: &[f32], dw: &mut [f32], accumulate: bool) {
        let s = &self.shape;
        assert_eq!(x.len(), s.input_len());
        assert_eq!(dy.len(), s.output_len());
        assert_eq!(dw.len(), s.weight_len());
        if self.weight_grad_is_wide() {
            return wide::weight_grad::run(self.isa, s, x, dy, dw, accumulate);
        }
        if self.weight_grad_by_winograd() {
            return winograd::weight_grad::run(self.isa, s, x, dy, dw, accumulate);
        }
        if stem::applies(s) {
            return stem::weight_grad(self.isa, s, x, dy, dw, accumulate);
        }
        weight_grad::run(self.isa, s, x, dy, dw, accumulate);
    }

    /// Whether the weights' gradient goes by Winograd: where the forward pass does, within the rows that its
    /// transforms can point at, and where there is anything to sum.
    fn weight_grad_by_winograd(&self) -> bool {
        let s = &self.shape;
        let something = s.input_len() > 0 && s.output_len() > 0;
        something && winograd::applies(s, Pass::Forward) && s.k <= winograd::MOST
    }

    /// Whether the gradient of 7x7 weights goes by Winograd: where the forward pass does.
    fn weight_grad_is_wide(&self) -> bool {
        let s = &self.shape;
        wide::applies(s, Pass::Forward) && s.input_len() > 0 && s.output_len() > 0
    }

    /// Most working memory of any of the passes on the current number of threads, in bytes.
    pub fn scratch_bytes(&self) -> usize {
        let s = &self.shape;
        let (task, shared) = weight_grad::scratch(self.isa, s);
        let mut most = task.max(direct::SCRATCH);
        let mut all = shared;
        if stem::applies(s) {
            let (task, shared) = stem::scratch(self.isa, s);
            (most, all) = (task.max(direct::SCRATCH), shared);
        }
        if self.weight_grad_by_winograd() {
            all = all.max(winograd::weight_grad::scratch(s));
        }
        if self.weight_grad_is_wide() {
            (most, all) = wide::weight_grad::scratch(self.isa, s);
        }
        for pass in [Pass::Forward, Pass::InputGrad] {
            if winograd::applies(s, pass) {
                let (task, shared) = winograd::scratch(self.isa, s, pass);
                (most, all) = (most.max(task), all.max(shared));
            }
            if wide::applies(s, pass) {
                let (task, shared) = wide::scratch(self.isa, s, pass);
                (most, all) = (most.max(task), all.max(shared));
            }
        }
        4 * (most * crate::threads::current_threads() + all)
    }
}
