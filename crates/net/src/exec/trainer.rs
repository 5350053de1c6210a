//! Training: forward, loss, gradients.

use hectare_kernels::Isa;

use super::error::check_length;
use super::program::{Program, Purpose};
use super::run::{Memory, Statistics, Weights};
use super::{ExecError, Options, StepKey};
use crate::{Network, Params, Shape};

/// Programs kept for batch and input sizes seen before.
const CACHED: usize = 16;

/// Computes a network's loss and gradients. Once a batch's size has been seen, a step allocates nothing
/// here.
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    isa: Isa,
    trainable: Vec<bool>,
    /// Each with whether it trains.
    programs: Vec<(bool, Program)>,
    memory: Memory,
    recompute: bool,
    options: Options,
}

/// The parameters of a network in training; each program packs what it needs.
struct Flat<'a> {
    values: &'a [f32],
    ranges: &'a [std::ops::Range<usize>],
}

impl Weights for Flat<'_> {
    fn raw(&self, node: usize) -> &[f32] {
        &self.values[self.ranges[node].clone()]
    }

    fn packed(&self, _node: usize) -> &[f32] {
        &[]
    }
}

impl Trainer {
    /// A trainer whose usual batch is `n` inputs of `h` x `w`.
    ///
    /// # Errors
    /// When that size does not fit the network.
    pub fn new(network: &Network, isa: Isa, n: usize, h: usize, w: usize) -> Result<Trainer, ExecError> {
        let mut trainer = Trainer {
            network: network.clone(),
            isa,
            trainable: vec![true; network.layout().entries.len()],
            programs: Vec::new(),
            memory: Memory::new(network),
            recompute: false,
            options: Options::default(),
        };
        trainer.plan(true, n, h, w)?;
        Ok(trainer)
    }

    /// Sets which parameters are frozen, in the order of the layout's entries: their gradients are zero and
    /// cost nothing. Running statistics still follow the data, as in PyTorch.
    ///
    /// # Errors
    /// When there are not as many flags as parameters.
    pub fn freeze(&mut self, frozen: &[bool]) -> Result<(), ExecError> {
        check_length("the list of frozen parameters", self.trainable.len(), frozen.len())?;
        self.trainable.iter_mut().zip(frozen).for_each(|(trainable, frozen)| *trainable = !frozen);
        self.programs.clear();
        Ok(())
    }

    /// Sets whether maps between convolutions may be computed again in the backward pass instead of being
    /// kept (not at first), as far as that saves memory. It changes no bit of any result.
    pub fn recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
        self.programs.clear();
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// One forward and backward pass over `n` inputs of `h` x `w`, given as N, H, W, C numbers.
    ///
    /// `loss` gets the network's result (N, H, W, K) and must fill the whole of its second argument with the
    /// loss's gradient; it returns the loss, which is handed on. The parameters' gradients are written to
    /// `grads` ([`crate::ParamLayout::total`] numbers), or added with `accumulate`. Running statistics in
    /// `params` are updated; nothing else of it changes.
    ///
    /// # Errors
    /// When the size does not fit the network, or a buffer its size. Nothing has been changed then.
    pub fn step(
        &mut self,
        params: &mut Params,
        n: usize,
        h: usize,
        w: usize,
        input: &[f32],
        key: StepKey,
        loss: &mut dyn FnMut(&[f32], &mut [f32]) -> f64,
        grads: &mut [f32],
        accumulate: bool,
    ) -> Result<f64, ExecError> {
        self.check(params, n, h, w, input)?;
        check_length("the gradient", self.network.layout().total, grads.len())?;
        self.plan(true, n, h, w)?;
        let (net, memory) = (&self.network, &mut self.memory);
        let program = &self.programs.last().expect("just planned").1;
        memory.fit(program);
        let weights = Flat { values: &params.values, ranges: &net.layout().node_params };
        let statistics = Statistics::Running(&mut params.buffers, key);
        program.run_forward(net, memory, input, &weights, statistics);
        let (logits, gradient) = program.result(memory);
        let value = loss(logits, gradient);
        let trainable = &self.trainable;
        program.run_backward(net, memory, input, &params.values, trainable, key, grads, accumulate);
        for (entry, trainable) in net.layout().entries.iter().zip(trainable) {
            let reached = program.backward.iter().any(|step| step.place.node == entry.node);
            if !trainable || !(reached || accumulate) {
                grads[entry.range.clone()].fill(0.0);
            }
        }
        Ok(value)
    }

    /// A forward pass as in prediction (running statistics, no dropout) with parameters in training. Returns
    /// the result, N, H, W, K numbers.
    ///
    /// # Errors
    /// When the size does not fit the network, or `input` its size.
    pub fn forward_eval(
        &mut self,
        params: &Params,
        n: usize,
        h: usize,
        w: usize,
        input: &[f32],
    ) -> Result<&[f32], ExecError> {
        self.check(params, n, h, w, input)?;
        self.plan(false, n, h, w)?;
        let program = &self.programs.last().expect("just planned").1;
        self.memory.fit(program);
        let weights = Flat { values: &params.values, ranges: &self.network.layout().node_params };
        let statistics = Statistics::Fixed(&params.buffers);
        program.run_forward(&self.network, &mut self.memory, input, &weights, statistics);
        Ok(program.result(&mut self.memory).0)
    }

    fn check(&self, params: &Params, n: usize, h: usize, w: usize, input: &[f32]) -> Result<(), ExecError> {
        let layout = self.network.layout();
        if params.values.len() != layout.total || params.buffers.len() != layout.buffer_total {
            return Err(ExecError::ForeignParams);
        }
        check_length("the input", n * h * w * self.network.bands(), input.len())
    }

    /// Makes the program for this size the last of the list.
    fn plan(&mut self, train: bool, n: usize, h: usize, w: usize) -> Result<(), ExecError> {
        let shape = Shape::new(self.network.bands(), h, w);
        let known = |(trains, program): &(bool, Program)| {
            *trains == train && program.n == n && program.input == shape
        };
        if let Some(at) = self.programs.iter().position(known) {
            self.programs[at..].rotate_left(1);
            return Ok(());
        }
        let purpose = match train {
            true => Purpose::Train { trainable: &self.trainable, recompute: self.recompute },
            false => Purpose::Validate,
        };
        let net = &self.network;
        let program = Program::compile(net, self.isa, n, shape, net.output(), purpose, self.options)?;
        if self.programs.len() == CACHED {
            self.programs.remove(0);
        }
        self.programs.push((train, program));
        Ok(())
    }
}

#[cfg(test)]
impl Trainer {
    pub(super) fn set_options(&mut self, options: Options) {
        self.options = options;
        self.programs.clear();
    }

    /// Steps of the latest program that compute a value again.
    pub(super) fn recomputed(&self) -> usize {
        self.programs.last().map_or(0, |(_, program)| program.recomputed.len())
    }

    /// Numbers in the arena of the latest program.
    pub(super) fn arena(&self) -> usize {
        self.programs.last().map_or(0, |(_, program)| program.arena)
    }
}
