//! 2-D convolution: forward, gradient of the input, gradient of the weights.
//!
//! A fully connected layer is the convolution whose kernel covers its input, so that weights in PyTorch's
//! order (`K, C, R, S`, or `K, C * H * W` after a flatten) fit activations in NHWC order as they are.
//!
//! Which algorithm runs is a function of `C`, `K`, `H`, `W`, the kernel and the instruction set: never of the
//! number of images or of threads.

mod direct;
mod gather;
mod half;
mod pack;
mod shape;
mod stem;
mod tiles;
mod weight_grad;
mod wide;
mod winograd;

#[cfg(test)]
mod tests;

pub use shape::Conv2dShape;

use crate::Isa;
use crate::scratch::held;
use direct::Product;
use gather::Gather;
use tiles::Pass;

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
        match Algorithm::of_output(self.isa, s) {
            Algorithm::Wide => 0,
            Algorithm::Half => half::packed_len(s),
            Algorithm::Winograd => winograd::packed_len(self.isa, s.c, s.k),
            Algorithm::Stem | Algorithm::Full | Algorithm::Direct => {
                direct::packed_len(self.isa, s.taps() * s.c, s.k)
            }
        }
    }

    /// Packs weights (`K, C, R, S`) for [`Conv2d::forward`]. Gives what that takes: `packed` or, where nothing is
    /// packed, `weight`.
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn pack_forward<'a>(&self, weight: &'a [f32], packed: &'a mut [f32]) -> &'a [f32] {
        let s = &self.shape;
        assert_eq!(weight.len(), s.weight_len());
        assert_eq!(packed.len(), self.packed_forward_len());
        match Algorithm::of_output(self.isa, s) {
            Algorithm::Wide => return weight,
            Algorithm::Half => half::pack(self.isa, s, weight, Pass::Forward, packed),
            Algorithm::Winograd => winograd::pack(self.isa, s, weight, Pass::Forward, packed),
            Algorithm::Stem | Algorithm::Full | Algorithm::Direct => {
                pack::forward(self.isa, s, weight, packed)
            }
        }
        packed
    }

    /// Length of the packed weights that [`Conv2d::input_grad`] takes; 0 where it takes them as they are.
    pub fn packed_input_grad_len(&self) -> usize {
        let s = &self.shape;
        match Algorithm::of_input_grad(self.isa, s) {
            Algorithm::Wide => 0,
            Algorithm::Half => half::packed_len(s),
            Algorithm::Winograd => winograd::packed_len(self.isa, s.k, s.c),
            Algorithm::Full => direct::packed_len(self.isa, s.k, s.taps() * s.c),
            Algorithm::Stem | Algorithm::Direct => direct::packed_len(self.isa, s.taps() * s.k, s.c),
        }
    }

    /// Packs weights (`K, C, R, S`) for [`Conv2d::input_grad`]. Gives what that takes: `packed` or, where nothing
    /// is packed, `weight`.
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn pack_input_grad<'a>(&self, weight: &'a [f32], packed: &'a mut [f32]) -> &'a [f32] {
        let s = &self.shape;
        assert_eq!(weight.len(), s.weight_len());
        assert_eq!(packed.len(), self.packed_input_grad_len());
        match Algorithm::of_input_grad(self.isa, s) {
            Algorithm::Wide => return weight,
            Algorithm::Half => half::pack(self.isa, s, weight, Pass::InputGrad, packed),
            Algorithm::Winograd => winograd::pack(self.isa, s, weight, Pass::InputGrad, packed),
            Algorithm::Full => pack::full_input_grad(self.isa, s, weight, packed),
            Algorithm::Stem | Algorithm::Direct => pack::input_grad(self.isa, s, weight, packed),
        }
        packed
    }

    /// `y = conv(x) (+ bias) (, ReLU)`: `x` is `N, H, W, C`, `y` is `N, out_h, out_w, K`. The weights are what
    /// [`Conv2d::pack_forward`] gave.
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn forward(&self, x: &[f32], weights: &[f32], bias: Option<&[f32]>, relu: bool, y: &mut [f32]) {
        let s = &self.shape;
        assert_eq!(x.len(), s.input_len());
        assert_eq!(y.len(), s.output_len());
        assert!(bias.is_none_or(|b| b.len() == s.k));
        let isa = self.isa;
        let (gather, rows) = match Algorithm::of_output(self.isa, s) {
            Algorithm::Wide => return wide::forward(isa, s, x, weights, bias, relu, y),
            Algorithm::Half => return half::forward(isa, s, x, weights, bias, relu, y),
            Algorithm::Winograd => return winograd::forward(isa, s, x, weights, bias, relu, y),
            Algorithm::Stem => return stem::forward(isa, s, x, weights, bias, relu, y),
            Algorithm::Full => (Gather::matrix(s.taps() * s.c), s.n),
            Algorithm::Direct => (Gather::forward(s), s.n * s.out_h() * s.out_w()),
        };
        Product { isa, gather, source: x, rows, columns: s.k, packed: weights, bias, relu }.run(y);
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
        match Algorithm::of_output(self.isa, s) {
            Algorithm::Half => half::forward_max_pooled(self.isa, s, x, weights, bias, relu, y, argmax),
            _ => winograd::forward_max_pooled(self.isa, s, x, weights, bias, relu, y, argmax),
        }
    }

    /// The gradient of the input from the gradient of the output. The weights are what
    /// [`Conv2d::pack_input_grad`] gave.
    ///
    /// # Panics
    /// When a slice has another length than it should.
    pub fn input_grad(&self, dy: &[f32], weights: &[f32], dx: &mut [f32]) {
        let s = &self.shape;
        assert_eq!(dy.len(), s.output_len());
        assert_eq!(dx.len(), s.input_len());
        let isa = self.isa;
        let (gather, rows, columns) = match Algorithm::of_input_grad(self.isa, s) {
            Algorithm::Wide => return wide::input_grad(isa, s, dy, weights, dx),
            Algorithm::Half => return half::input_grad(isa, s, dy, weights, dx),
            Algorithm::Winograd => return winograd::input_grad(isa, s, dy, weights, dx),
            Algorithm::Full => (Gather::matrix(s.k), s.n, s.taps() * s.c),
            Algorithm::Stem | Algorithm::Direct => (Gather::input_grad(s), s.n * s.h * s.w, s.c),
        };
        Product { isa, gather, source: dy, rows, columns, packed: weights, bias: None, relu: false }.run(dx);
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
        match Algorithm::of_weight_grad(self.isa, s) {
            Algorithm::Wide => wide::weight_grad::run(self.isa, s, x, dy, dw, accumulate),
            Algorithm::Half => half::weight_grad::run(self.isa, s, x, dy, dw, accumulate),
            Algorithm::Winograd => winograd::weight_grad::run(self.isa, s, x, dy, dw, accumulate),
            Algorithm::Stem => stem::weight_grad(self.isa, s, x, dy, dw, accumulate),
            Algorithm::Full | Algorithm::Direct => weight_grad::run(self.isa, s, x, dy, dw, accumulate),
        }
    }

    /// Most working memory of any of the passes, of all threads of the current pool together, in bytes.
    pub fn scratch_bytes(&self) -> usize {
        let (isa, s) = (self.isa, &self.shape);
        let of_sums = match Algorithm::of_weight_grad(self.isa, s) {
            Algorithm::Wide => wide::weight_grad::scratch(isa, s),
            Algorithm::Half => half::weight_grad::scratch(s),
            Algorithm::Winograd => (0, winograd::weight_grad::scratch(s)),
            Algorithm::Stem => stem::scratch(isa, s),
            Algorithm::Full | Algorithm::Direct => weight_grad::scratch(isa, s),
        };
        let of_pass = |algorithm: Algorithm, pass| match algorithm {
            Algorithm::Wide => wide::scratch(isa, s, pass),
            Algorithm::Half => (half::scratch(s, pass), 0),
            Algorithm::Winograd => winograd::scratch(isa, s, pass),
            Algorithm::Stem | Algorithm::Full | Algorithm::Direct => (direct::SCRATCH, 0),
        };
        let passes = [
            of_sums,
            of_pass(Algorithm::of_output(self.isa, s), Pass::Forward),
            of_pass(Algorithm::of_input_grad(self.isa, s), Pass::InputGrad),
        ];
        let most = passes.iter().map(|(task, _)| task).max().unwrap_or(&0);
        let all = passes.iter().map(|(_, shared)| shared).max().unwrap_or(&0);
        4 * (held(*most) * crate::threads::current_threads() + held(*all))
    }
}

/// How a pass is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// The direct product of numbers rounded to bf16.
    Half,
    /// F(2x2, 7x7) on weights as they are.
    Wide,
    /// F(4x4, 3x3), and F(3x3, 4x4) for the weights' gradient.
    Winograd,
    /// Rows of few channels read in place; the input's gradient is direct.
    Stem,
    /// A fully connected layer: the product with the input as a matrix.
    Full,
    /// The product with gathered patches.
    Direct,
}

impl Algorithm {
    fn of_output(isa: Isa, s: &Conv2dShape) -> Algorithm {
        if half::applies(isa, s) {
            Algorithm::Half
        } else if wide::applies(s, Pass::Forward) {
            Algorithm::Wide
        } else if winograd::applies(s, Pass::Forward) {
            Algorithm::Winograd
        } else if stem::applies(s) {
            Algorithm::Stem
        } else if s.is_full() {
            Algorithm::Full
        } else {
            Algorithm::Direct
        }
    }

    fn of_input_grad(isa: Isa, s: &Conv2dShape) -> Algorithm {
        if half::applies(isa, s) {
            Algorithm::Half
        } else if s.is_full() {
            Algorithm::Full
        } else if wide::applies(s, Pass::InputGrad) {
            Algorithm::Wide
        } else if winograd::applies(s, Pass::InputGrad) {
            Algorithm::Winograd
        } else {
            Algorithm::Direct
        }
    }

    /// That of the forward pass, within the rows that Winograd's transforms can point at, and where there is
    /// anything to sum.
    fn of_weight_grad(isa: Isa, s: &Conv2dShape) -> Algorithm {
        let something = s.input_len() > 0 && s.output_len() > 0;
        match Algorithm::of_output(isa, s) {
            Algorithm::Wide if !something => Algorithm::Direct,
            Algorithm::Winograd if !something || s.k > tiles::MOST => Algorithm::Direct,
            algorithm => algorithm,
        }
    }
}
