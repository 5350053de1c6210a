//! The steps of a program.

use std::ops::Range;

use hectare_kernels::Isa;

use crate::Shape;
use crate::ops::{MAX_INPUTS, Site};

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nowhere: it is not read.
    None,
    /// In the caller's input.
    Input,
    /// In a buffer of the arena.
    Buffer(usize),
}

/// What a step needs to know of its node's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub node: usize,
    pub inputs: usize,
    pub shapes: [Shape; MAX_INPUTS],
    pub output: Shape,
}

impl Place {
    pub(crate) fn site(&self, isa: Isa, n: usize) -> Site<'_> {
        Site { isa, n, inputs: &self.shapes[..self.inputs], output: self.output }
    }
}

/// Computes one node's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForwardStep {
    pub place: Place,
    pub sources: [Slot; MAX_INPUTS],
    /// The operation works in place, but its input must be copied first.
    pub copy: bool,
    pub output: usize,
    pub relu: bool,
    /// The convolution does the pooling behind it too.
    pub max_pool: bool,
    pub packed: Option<usize>,
    pub saved: Option<usize>,
    pub bytes: Option<usize>,
}

/// Where the gradient of an input goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nobody wants it.
    None,
    /// It is the first contribution to this buffer.
    Write(usize),
    /// It is computed in the first buffer and added to the second.
    Add(usize, usize),
}

/// Which of a node's gradients a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All that are wanted.
    Whole,
    /// The parameters', and the bits of the ReLU whose output is the input. The node's next step is `Input`.
    Parameters,
    /// The input's, which is masked by those bits.
    Input,
}

/// Computes the gradients of one node's inputs and parameters.
#[derive(Clone, Debug)]
pub(crate) struct BackwardStep {
    pub place: Place,
    pub part: Part,
    /// Which of [`super::program::Program::recomputed`] come first.
    pub recompute: Range<usize>,
    /// Bits of the ReLU before the node: see [`Part`].
    pub passes: Option<usize>,
    pub sources: [Slot; MAX_INPUTS],
    pub output: Option<usize>,
    pub gradient: usize,
    /// Mask `gradient` by this value first: the ReLU before a pooling.
    pub mask: Option<usize>,
    pub targets: [Target; MAX_INPUTS],
    pub in_place: bool,
    /// Nothing to compute: the gradient is only added to the target.
    pub identity: bool,
    pub scratch: Option<usize>,
    pub saved: Option<usize>,
    pub bytes: Option<usize>,
}
