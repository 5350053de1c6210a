//! Runs a program's steps.

use hectare_kernels::{AlignedVec, activation, elementwise};

use super::StepKey;
use super::arena::{Span, split};
use super::profile::Profile;
use super::program::Program;
use super::step::{BackwardStep, ForwardStep, Part, Slot, Target};
use crate::Network;
use crate::ops::{Backward, Forward, MAX_INPUTS, Phase};

/// No parameter is trained; as many as a convolution has.
const NOTHING: [bool; 2] = [false; 2];

/// The arena of numbers and the arena of bytes, grown to the largest program that ran.
#[derive(Debug)]
pub(super) struct Memory {
    pub profile: Profile,
    pub arena: AlignedVec,
    pub bytes: Vec<u8>,
}

impl Memory {
    pub(super) fn new(net: &Network) -> Memory {
        Memory { profile: Profile::from_environment(net), arena: AlignedVec::zeroed(0), bytes: Vec::new() }
    }

    pub(super) fn fit(&mut self, program: &Program) {
        if self.arena.len() < program.arena {
            self.arena = AlignedVec::zeroed(0); // give the old one back first
            self.arena = AlignedVec::zeroed(program.arena);
        }
        if self.bytes.len() < program.bytes {
            self.bytes.resize(program.bytes, 0);
        }
    }
}

/// Where parameters come from.
pub(super) trait Weights {
    /// The node's parameters as they are.
    fn raw(&self, node: usize) -> &[f32];
    /// The node's packed parameters; not asked for where the program packs itself.
    fn packed(&self, node: usize) -> &[f32];
}

/// Running statistics, and whether they are trained.
pub(super) enum Statistics<'a> {
    Fixed(&'a [f32]),
    Running(&'a mut [f32], StepKey),
}

impl Program {
    fn span(&self, buffer: Option<usize>) -> Span {
        buffer.map_or(Span::default(), |buffer| self.spans[buffer])
    }

    fn byte_range(&self, buffer: Option<usize>) -> std::ops::Range<usize> {
        let span = buffer.map_or(Span::default(), |buffer| self.byte_spans[buffer]);
        span.start..span.start + span.len
    }

    fn slot_span(&self, slot: Slot) -> Span {
        match slot {
            Slot::Buffer(buffer) => self.spans[buffer],
            _ => Span::default(),
        }
    }

    /// Computes all values.
    pub(super) fn run_forward(
        &self,
        net: &Network,
        memory: &mut Memory,
        input: &[f32],
        weights: &impl Weights,
        mut statistics: Statistics<'_>,
    ) {
        for step in &self.forward {
            let clock = memory.profile.start();
            let node = step.place.node;
            let own = net.layout().node_buffers[node].clone();
            let phase = match &mut statistics {
                Statistics::Fixed(buffers) => Phase::Predict { buffers: &buffers[own] },
                Statistics::Running(buffers, key) => Phase::Train { key: *key, buffers: &mut buffers[own] },
            };
            let packed = if step.packed.is_some() { &[] } else { weights.packed(node) };
            self.run_forward_step(net, memory, input, step, weights.raw(node), packed, phase);
            memory.profile.forward(net, &step.place, self.n, clock);
        }
    }

    /// Computes a node's value from its parameters, as they are and packed; the latter only where the program
    /// does not pack them itself.
    fn run_forward_step(
        &self,
        net: &Network,
        memory: &mut Memory,
        input: &[f32],
        step: &ForwardStep,
        params: &[f32],
        ready: &[f32],
        phase: Phase<'_>,
    ) {
        let node = step.place.node;
        let op = &net.nodes()[node].op;
        let site = step.place.site(self.isa, self.n);
        let reads = step.sources.map(|slot| self.slot_span(slot));
        let writes = [self.spans[step.output], self.span(step.packed), self.span(step.saved)];
        let (mut inputs, [output, packed, saved]) = split(&mut memory.arena, reads, writes);
        for (value, slot) in inputs.iter_mut().zip(step.sources) {
            if slot == Slot::Input {
                *value = input;
            }
        }
        if step.copy {
            output.copy_from_slice(inputs[0]);
            inputs = [&[]; MAX_INPUTS];
        }
        if step.packed.is_some() {
            op.pack(&site, params, packed);
        }
        op.forward(Forward {
            site,
            node,
            phase,
            inputs,
            output,
            params,
            packed: if step.packed.is_some() { packed } else { ready },
            saved,
            saved_bytes: &mut memory.bytes[self.byte_range(step.bytes)],
            relu: step.relu,
            max_pool: step.max_pool,
        });
    }

    /// The result of the forward pass and, when training, the room for its gradient.
    pub(super) fn result<'a>(&self, memory: &'a mut Memory) -> (&'a [f32], &'a mut [f32]) {
        let reads = [self.slot_span(self.output)];
        let writes = [self.span(self.output_gradient)];
        let ([result], [gradient]) = split(&mut memory.arena, reads, writes);
        (result, gradient)
    }

    /// Computes all gradients from the result's.
    pub(super) fn run_backward(
        &self,
        net: &Network,
        memory: &mut Memory,
        input: &[f32],
        params: &[f32],
        trainable: &[bool],
        key: StepKey,
        grads: &mut [f32],
        accumulate: bool,
    ) {
        let mut begun = None;
        for step in &self.backward {
            let clock = begun.take().unwrap_or_else(|| memory.profile.start());
            for again in &self.recomputed[step.recompute.clone()] {
                let own = net.layout().node_params[again.place.node].clone();
                let phase = Phase::Predict { buffers: &[] }; // it has no running statistics
                self.run_forward_step(net, memory, input, again, &params[own], &[], phase);
            }
            self.mask_and_copy(memory, step);
            if !step.identity {
                let node = step.place.node;
                let own = net.layout().node_params[node].clone();
                let target = |target: Target| match target {
                    Target::None => Span::default(),
                    Target::Write(buffer) | Target::Add(buffer, _) => self.spans[buffer],
                };
                let [a, b, c, d] = step.sources.map(|slot| self.slot_span(slot));
                let doutput = if step.in_place { Span::default() } else { self.spans[step.gradient] };
                let reads = [a, b, c, d, self.span(step.output), self.span(step.saved), doutput];
                let [p, q, r, s] = step.targets.map(target);
                let writes = [p, q, r, s, self.span(step.scratch)];
                let (reads, writes) = split(&mut memory.arena, reads, writes);
                let [a, b, c, d, output, saved, doutput] = reads;
                let [p, q, r, s, scratch] = writes;
                let mut inputs = [a, b, c, d];
                for (value, slot) in inputs.iter_mut().zip(step.sources) {
                    if slot == Slot::Input {
                        *value = input;
                    }
                }
                let trainable = match step.part {
                    Part::Input => &NOTHING[..net.layout().node_entries[node].len()],
                    _ => &trainable[net.layout().node_entries[node].clone()],
                };
                net.nodes()[node].op.backward(Backward {
                    site: step.place.site(self.isa, self.n),
                    node,
                    key,
                    inputs,
                    output,
                    doutput,
                    dinputs: [p, q, r, s],
                    params: &params[own.clone()],
                    dparams: &mut grads[own],
                    trainable,
                    accumulate,
                    saved,
                    saved_bytes: &memory.bytes[self.byte_range(step.bytes)],
                    scratch,
                });
            }
            for target in step.targets {
                if let Target::Add(part, sum) = target {
                    let ([part], [sum]) = split(&mut memory.arena, [self.spans[part]], [self.spans[sum]]);
                    elementwise::add_assign(self.isa, sum, part);
                }
            }
            self.keep_or_apply_bits(memory, step);
            if step.part == Part::Parameters {
                begun = Some(clock); // one time for both parts
                continue;
            }
            let entries = net.layout().node_entries[step.place.node].clone();
            let products = usize::from(trainable[entries].first() == Some(&true))
                + usize::from(step.targets[0] != Target::None);
            memory.profile.backward(net, &step.place, self.n, products, clock);
        }
    }

    /// The mask of the ReLU before a node whose gradients are computed in two parts.
    fn keep_or_apply_bits(&self, memory: &mut Memory, step: &BackwardStep) {
        let passes = &mut memory.bytes[self.byte_range(step.passes)];
        match (step.part, step.sources[0], step.targets[0]) {
            (Part::Parameters, Slot::Buffer(value), _) => {
                let ([value], []) = split(&mut memory.arena, [self.spans[value]], []);
                activation::relu_passes(self.isa, value, passes);
            }
            (Part::Input, _, Target::Write(gradient)) => {
                let ([], [gradient]) = split(&mut memory.arena, [], [self.spans[gradient]]);
                activation::relu_grad_where(self.isa, passes, gradient);
            }
            _ => {}
        }
    }

    /// What comes before an operation's own backward pass: the mask of a ReLU before a pooling, and the
    /// gradient's copy for an operation that works in place.
    fn mask_and_copy(&self, memory: &mut Memory, step: &BackwardStep) {
        let gradient = self.spans[step.gradient];
        if let Some(value) = step.mask {
            let ([value], [gradient]) = split(&mut memory.arena, [self.spans[value]], [gradient]);
            activation::relu_grad(self.isa, value, gradient);
        }
        if let (true, Target::Write(buffer) | Target::Add(buffer, _)) = (step.in_place, step.targets[0])
            && buffer != step.gradient
        {
            let ([gradient], [copy]) = split(&mut memory.arena, [gradient], [self.spans[buffer]]);
            copy.copy_from_slice(gradient);
        }
    }
}
