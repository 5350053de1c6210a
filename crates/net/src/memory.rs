//! How much memory a run will take.

use std::fmt;

use hectare_kernels::Isa;

use crate::exec::{ExecError, ForwardStep, Options, Program, Purpose, check_length};
use crate::{Network, Shape};

/// What the memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode<'a> {
    /// Training.
    Train {
        /// Numbers that the optimiser keeps for each parameter: 1 for SGD with momentum, 2 for AdamW.
        optimiser_slots: usize,
        /// Whether values may be computed again to save memory: [`crate::Trainer::recompute`].
        recompute: bool,
        /// Which parameters are trained, in the order of the layout; `None`: all. What only the others need is not kept.
        trainable: Option<&'a [bool]>,
    },
    /// Prediction.
    Predict,
}

/// Bytes that a run takes, by what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryEstimate {
    /// Parameters and running statistics.
    pub parameters: u64,
    /// Gradients of the parameters.
    pub gradients: u64,
    /// The optimiser's state.
    pub optimiser: u64,
    /// The input, and the arena: activations, their gradients and, when training, one layer's packed weights.
    pub activations: u64,
    /// Packed weights, when predicting.
    pub packed: u64,
    /// Scratch of the kernels, on all threads.
    pub scratch: u64,
    /// All of it.
    pub total: u64,
}

/// Memory for batches of `n` inputs of that shape, on the current instruction set and pool of threads.
/// Exact for what this crate allocates; reading and decoding of data comes on top.
///
/// # Errors
/// When the shape does not fit the network.
pub fn estimate_memory(
    net: &Network,
    n: usize,
    input: Shape,
    mode: Mode<'_>,
) -> Result<MemoryEstimate, ExecError> {
    let isa = Isa::best();
    let layout = net.layout();
    let all = vec![true; layout.entries.len()];
    let purpose = match mode {
        Mode::Train { recompute, trainable, .. } => {
            let trainable = trainable.unwrap_or(&all);
            check_length("the list of trained parameters", all.len(), trainable.len())?;
            Purpose::Train { trainable, recompute }
        }
        Mode::Predict => Purpose::Predict,
    };
    let program = Program::compile(net, isa, n, input, net.output(), purpose, Options::default())?;
    let all = 4 * layout.total as u64;
    let statistics = 4 * layout.buffer_total as u64;
    let (parameters, gradients, optimiser, packed) = match mode {
        Mode::Train { optimiser_slots, .. } => (all + statistics, all, optimiser_slots as u64 * all, 0),
        Mode::Predict => (all + statistics, 0, 0, packed_weights(net, &program)),
    };
    let activations = 4 * (program.arena + n * input.len()) as u64 + program.bytes as u64;
    let scratch = program.scratch_bytes as u64;
    let total = parameters + gradients + optimiser + activations + packed + scratch;
    Ok(MemoryEstimate { parameters, gradients, optimiser, activations, packed, scratch, total })
}

/// Bytes of packed weights that a predictor keeps.
fn packed_weights(net: &Network, program: &Program) -> u64 {
    let of_step = |step: &ForwardStep| {
        let site = step.place.site(program.isa, program.n);
        4 * net.nodes()[step.place.node].op.needs(&site).packed as u64
    };
    program.forward.iter().map(of_step).sum()
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        let parts = [
            ("parameters", self.parameters),
            ("gradients", self.gradients),
            ("optimiser", self.optimiser),
            ("activations", self.activations),
            ("packed weights", self.packed),
            ("scratch", self.scratch),
        ];
        write!(f, "{:.0} MiB (", mib(self.total))?;
        let mut first = true;
        for (name, bytes) in parts.into_iter().filter(|part| part.1 > 0) {
            let between = if first { "" } else { ", " };
            write!(f, "{between}{name} {:.0}", mib(bytes))?;
            first = false;
        }
        write!(f, ")")
    }
}
