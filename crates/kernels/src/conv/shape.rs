//! Sizes of a convolution.

/// Sizes of a 2-D convolution: `N` images of `H` x `W` with `C` channels in and `K` channels out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dShape {
    /// Images.
    pub n: usize,
    /// Rows of the input.
    pub h: usize,
    /// Columns of the input.
    pub w: usize,
    /// Channels of the input.
    pub c: usize,
    /// Channels of the output.
    pub k: usize,
    /// Rows and columns of the kernel, at least 1.
    pub kernel: [usize; 2],
    /// Distance between outputs in input pixels, at least 1.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
}

impl Conv2dShape {
    /// Rows of the output; 0 where the padded input is smaller than the kernel.
    pub fn out_h(&self) -> usize {
        output_side(self.h, self.kernel[0], self.stride[0], self.padding[0])
    }

    /// Columns of the output; 0 where the padded input is smaller than the kernel.
    pub fn out_w(&self) -> usize {
        output_side(self.w, self.kernel[1], self.stride[1], self.padding[1])
    }

    /// Numbers in the input, `N * H * W * C`.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Numbers in the output, `N * out_h * out_w * K`.
    pub fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.k
    }

    /// Numbers in the weights, `K * C * R * S`.
    pub fn weight_len(&self) -> usize {
        self.k * self.c * self.taps()
    }

    /// Positions of the kernel, `R * S`.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Whether the kernel covers the whole input at its only position: a fully connected layer.
    pub(crate) fn is_full(&self) -> bool {
        self.padding == [0, 0] && self.kernel == [self.h, self.w]
    }
}

fn output_side(input: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    (input + 2 * padding).checked_sub(kernel).map_or(0, |room| room / stride + 1)
}
