//! What an operation is.

use std::fmt;
use std::ops::RangeInclusive;

use hectare_kernels::Isa;

use crate::exec::StepKey;
use crate::{BufferKind, Role, Shape};

/// The most inputs that a node may have.
pub const MAX_INPUTS: usize = 4;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with variance 2 / fan_in (He et al. 2015).
    He {
        /// Numbers that are summed for one output.
        fan_in: usize,
    },
    /// Bilinear interpolation of each channel into itself; the weight is [C, C, k, k].
    Bilinear,
    /// All zero.
    Zeros,
    /// All one.
    Ones,
}

/// A parameter that an operation owns.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// The last part of its name, as `weight`.
    pub suffix: &'static str,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// How it starts.
    pub init: Init,
}

/// A running statistic that an operation owns.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferSpec {
    /// The last part of its name, as `running_mean`.
    pub suffix: &'static str,
    /// PyTorch's shape; empty for a single number.
    pub shape: Vec<usize>,
    /// What it counts.
    pub kind: BufferKind,
}

/// What the executor's fusion pass looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Nothing to fuse.
    Other,
    /// Can apply a ReLU to its result as it writes it.
    Conv,
    /// As `Conv`, and can read a map where a flattened one is meant.
    Linear,
    /// Is a ReLU.
    Relu,
    /// Is a max pooling, whose result knows where a ReLU before it was active.
    MaxPool {
        /// Of 2x2 windows side by side.
        pairs: bool,
    },
    /// Only changes the order of numbers from map to vector.
    Flatten,
}

/// What an operation does, in terms of the exchange formats.
#[derive(Clone, Debug, PartialEq)]
pub enum Export {
    /// Is the network's input.
    Input,
    /// Gives its input unchanged when it predicts.
    Identity,
    /// max(0, x).
    Relu,
    /// The sum of its inputs.
    Add,
    /// Its inputs' channels behind each other.
    Concat,
    /// A map as a vector, in the order C, H, W.
    Flatten,
    /// The product with `weight`, `[K, C]`, plus `bias`, `[K]`.
    Linear,
    /// Normalisation by the running statistics.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Convolution with `weight`, `[K, C, kh, kw]`.
    Conv {
        /// Distances between windows, rows and columns.
        stride: [usize; 2],
        /// Zeros around the map: rows above and below, columns left and right.
        padding: [usize; 2],
        /// Whether there is a `bias`, `[K]`.
        bias: bool,
    },
    /// Transposed convolution with `weight`, `[C, K, k, k]`.
    ConvTranspose {
        /// How many times as large the result is.
        stride: usize,
        /// Rows and columns cut off at each side.
        padding: usize,
        /// Whether there is a `bias`, `[K]`.
        bias: bool,
    },
    /// The maxima of windows.
    MaxPool {
        /// Rows and columns of a window.
        kernel: usize,
        /// Distance between windows.
        stride: usize,
        /// Rows and columns around the map.
        padding: usize,
        /// Whether a last window may hang over the edge.
        ceil: bool,
    },
    /// Zeros at the bottom and right up to multiples of a number, where a side's remainder is in the range.
    Pad {
        /// The number.
        multiple: usize,
        /// Remainders of either side that call for it; none: never.
        misfits: Option<RangeInclusive<usize>>,
        /// The least side that is taken.
        least: usize,
    },
    /// The first input cut to the rows and columns of the second.
    Crop {
        /// Rows and columns before them.
        offset: usize,
    },
}

/// Whether an operation can work where its input lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    /// No: its output is another buffer.
    No,
    /// Yes. Its forward finds the input in `output`, its backward the output's gradient in `dinputs[0]`.
    Yes,
    /// As `Yes`, and zeros stay zeros and no sign changes, so that a ReLU before it still finds its mask.
    KeepsSigns,
}

/// Which values a backward pass reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The inputs' values.
    pub inputs: bool,
    /// The output's value.
    pub output: bool,
    /// No values, but room for the inputs' gradients even where nobody wants them.
    pub gradients: bool,
}

/// Where an operation stands: everything that fixes the sizes of its work.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The instruction set.
    pub isa: Isa,
    /// Samples in the batch, N.
    pub n: usize,
    /// Shapes of one sample of each input (those that are read for data only).
    pub inputs: &'a [Shape],
    /// Shape of one sample of the output.
    pub output: Shape,
}

/// Memory that an operation needs besides its inputs and outputs; numbers of f32 unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Parameters in the form that `forward` reads (0: it reads them as they are).
    pub packed: usize,
    /// Scratch of `backward`.
    pub scratch: usize,
    /// Numbers that `forward` leaves for `backward`.
    pub saved: usize,
    /// Bytes that `forward` leaves for `backward`.
    pub saved_bytes: usize,
    /// Bytes of scratch that the kernels hold, of all threads together.
    pub scratch_bytes: usize,
}

/// Whether a forward pass is one of training.
#[derive(Debug)]
pub enum Phase<'a> {
    /// Prediction: no dropout, running statistics are used.
    Predict {
        /// The node's running statistics.
        buffers: &'a [f32],
    },
    /// Training: dropout, statistics of the batch, running statistics are updated.
    Train {
        /// Seed and step for random numbers.
        key: StepKey,
        /// The node's running statistics.
        buffers: &'a mut [f32],
    },
}

/// The arguments of a forward pass. Maps are N, H, W, C.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Sizes.
    pub site: Site<'a>,
    /// The node's index, a key for random numbers.
    pub node: usize,
    /// Training or prediction.
    pub phase: Phase<'a>,
    /// The inputs' values; empty for an operation in place.
    pub inputs: [&'a [f32]; MAX_INPUTS],
    /// The result; in place, it holds the input.
    pub output: &'a mut [f32],
    /// The node's parameters.
    pub params: &'a [f32],
    /// What [`Operation::pack`] wrote.
    pub packed: &'a [f32],
    /// Left for `backward`; empty in prediction.
    pub saved: &'a mut [f32],
    /// Left for `backward`; empty in prediction.
    pub saved_bytes: &'a mut [u8],
    /// Whether to apply a ReLU to the result.
    pub relu: bool,
    /// Whether `output` is the maxima of 2x2 windows of the result, and `saved_bytes` their places.
    pub max_pool: bool,
}

/// The arguments of a backward pass. Maps are N, H, W, C.
#[derive(Debug)]
pub struct Backward<'a> {
    /// Sizes.
    pub site: Site<'a>,
    /// The node's index, a key for random numbers.
    pub node: usize,
    /// Seed and step for random numbers.
    pub key: StepKey,
    /// The inputs' values where [`Operation::backward_reads`] asks for them.
    pub inputs: [&'a [f32]; MAX_INPUTS],
    /// The output's value where [`Operation::backward_reads`] asks for it.
    pub output: &'a [f32],
    /// The output's gradient; empty in place.
    pub doutput: &'a [f32],
    /// The inputs' gradients, to be overwritten; empty where none is wanted. In place, `dinputs[0]` holds
    /// the output's gradient.
    pub dinputs: [&'a mut [f32]; MAX_INPUTS],
    /// The node's parameters.
    pub params: &'a [f32],
    /// The parameters' gradients.
    pub dparams: &'a mut [f32],
    /// For each parameter, whether its gradient is wanted.
    pub trainable: &'a [bool],
    /// Whether to add to `dparams` instead of overwriting.
    pub accumulate: bool,
    /// What `forward` left.
    pub saved: &'a [f32],
    /// What `forward` left.
    pub saved_bytes: &'a [u8],
    /// Scratch of [`Needs::scratch`] numbers.
    pub scratch: &'a mut [f32],
}

/// One kind of computation.
pub trait Operation: fmt::Debug + Send + Sync {
    /// PyTorch's class name, as `Conv2d`.
    fn kind(&self) -> &'static str;

    /// The line that PyTorch prints; `None` for functional operations, which are not printed.
    fn module(&self) -> Option<String> {
        None
    }

    /// Number of inputs.
    fn arity(&self) -> usize {
        1
    }

    /// How many of the inputs, counted from the first, are read for their values; the others only lend
    /// their size.
    fn data_inputs(&self) -> usize {
        self.arity()
    }

    /// The output's shape.
    ///
    /// # Errors
    /// What the operation wants instead of these inputs.
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// The parameters, in PyTorch's order.
    fn params(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    /// The running statistics, in PyTorch's order.
    fn buffers(&self) -> Vec<BufferSpec> {
        Vec::new()
    }

    /// Which rows of its data inputs the rows `from..=to` of the output depend on, without regard to borders; columns
    /// likewise.
    fn reads_rows(&self, [from, to]: [i64; 2]) -> [i64; 2] {
        [from, to]
    }

    /// Floating point operations for one sample; a multiplication and an addition are two.
    fn flops(&self, inputs: &[Shape], output: Shape) -> u64;

    /// What it does, for exchange formats; `None` where none of them has it.
    fn export(&self) -> Option<Export> {
        None
    }

    /// What the fusion pass may do with it.
    fn pattern(&self) -> Pattern {
        Pattern::Other
    }

    /// Whether it can work where its input lies.
    fn in_place(&self) -> InPlace {
        InPlace::No
    }

    /// Whether the output, with these shapes, is the first input unchanged.
    fn is_identity(&self, _input: Shape, _output: Shape) -> bool {
        false
    }

    /// Whether `forward` can take the maxima of 2x2 windows of its result.
    fn can_max_pool(&self, _inputs: &[Shape]) -> bool {
        false
    }

    /// Memory needed.
    fn needs(&self, _site: &Site<'_>) -> Needs {
        Needs::default()
    }

    /// Whether [`Operation::pack`] writes the same numbers for inputs of any size.
    fn packs_for_any_size(&self) -> bool {
        true
    }

    /// Tells apart the forms that [`Operation::pack`] may write for one set of parameters.
    fn packing(&self, _site: &Site<'_>) -> [usize; 4] {
        [0; 4]
    }

    /// Brings the parameters into the form that `forward` reads: [`Needs::packed`] numbers.
    fn pack(&self, _site: &Site<'_>, _params: &[f32], _packed: &mut [f32]) {}

    /// Computes the output.
    fn forward(&self, args: Forward<'_>);

    /// Which values `backward` reads, given which parameters are trained.
    fn backward_reads(&self, _trainable: &[bool]) -> Reads {
        Reads::default()
    }

    /// Computes the gradients.
    fn backward(&self, args: Backward<'_>);
}

/// Rounds a length up to whole cache lines.
pub(crate) fn round_up(len: usize) -> usize {
    len.next_multiple_of(16)
}
