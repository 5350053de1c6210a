//! Compiles a network for one input size: steps, and a place for every buffer.

mod recompute;

use hectare_kernels::Isa;

use super::ExecError;
use super::arena::{Lifetime, Span, place};
use super::fusion::{Fused, Options, is_identity};
use super::step::{BackwardStep, ForwardStep, Part, Place, Slot, Target};
use crate::ops::{InPlace, MAX_INPUTS, Needs, Reads};
use crate::{Network, Shape};
use recompute::Recompute;

/// What a program is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// Prediction with weights packed beforehand.
    Predict,
    /// Prediction that packs each layer's weights as it comes to it.
    Validate,
    /// Forward and backward.
    Train {
        /// For each parameter, whether it is trained.
        trainable: &'a [bool],
        /// Whether values may be computed again in the backward pass, to save memory.
        recompute: bool,
    },
}

/// A network compiled for one input size.
#[derive(Debug)]
pub(crate) struct Program {
    pub isa: Isa,
    pub n: usize,
    pub input: Shape,
    pub forward: Vec<ForwardStep>,
    pub backward: Vec<BackwardStep>,
    /// Steps of the forward pass that the backward pass repeats, as its own steps say.
    pub recomputed: Vec<ForwardStep>,
    pub spans: Vec<Span>,
    pub byte_spans: Vec<Span>,
    /// Numbers in the arena.
    pub arena: usize,
    /// Bytes in the arena of bytes.
    pub bytes: usize,
    /// Most bytes of kernel scratch that any step has, of all threads together.
    pub scratch_bytes: usize,
    pub output: Slot,
    pub output_gradient: Option<usize>,
    pub output_shape: Shape,
}

/// Buffers while their lifetimes grow.
#[derive(Clone, Debug, Default)]
struct Buffers(Vec<Lifetime>);

impl Buffers {
    fn add(&mut self, len: usize, first: usize) -> usize {
        self.0.push(Lifetime { len, first, last: first });
        self.0.len() - 1
    }

    /// A buffer for `len` numbers, or none for 0.
    fn add_some(&mut self, len: usize, first: usize) -> Option<usize> {
        (len > 0).then(|| self.add(len, first))
    }

    fn touch(&mut self, buffer: usize, time: usize) {
        let life = &mut self.0[buffer];
        life.first = life.first.min(time);
        life.last = life.last.max(time);
    }
}

/// A program in the making.
#[derive(Clone)]
struct Compiler<'a> {
    net: &'a Network,
    isa: Isa,
    n: usize,
    shapes: Vec<Shape>,
    fused: Fused,
    output: usize,
    options: Options,
    purpose: Purpose<'a>,
    buffers: Buffers,
    byte_buffers: Buffers,
    /// Where each node's value lies.
    values: Vec<Slot>,
    /// Buffers that something else still reads: not to be worked on in place.
    shared: Vec<bool>,
    /// Buffers in which a ReLU will look for its mask.
    masks: Vec<bool>,
    saved: Vec<Option<usize>>,
    saved_bytes: Vec<Option<usize>>,
    /// Whether a node has a backward step.
    differentiated: Vec<bool>,
    /// Latest time of the backward pass.
    clock: usize,
    recompute: Recompute,
    scratch_bytes: usize,
    forward: Vec<ForwardStep>,
    backward: Vec<BackwardStep>,
}

impl Program {
    /// Compiles the part of `net` that leads to node `output`, for `n` inputs of `h` x `w`.
    pub(crate) fn compile(
        net: &Network,
        isa: Isa,
        n: usize,
        input: Shape,
        output: usize,
        purpose: Purpose<'_>,
        options: Options,
    ) -> Result<Program, ExecError> {
        if output == 0 {
            return Err(ExecError::UnknownNode("before the input".to_owned()));
        }
        let shapes = net.infer(input)?;
        let fused = Fused::find(net, &shapes, output, options);
        let count = net.nodes().len();
        let mut compiler = Compiler {
            net,
            isa,
            n,
            shapes,
            fused,
            output,
            options,
            purpose,
            buffers: Buffers::default(),
            byte_buffers: Buffers::default(),
            values: vec![Slot::None; count],
            shared: Vec::new(),
            masks: Vec::new(),
            saved: vec![None; count],
            saved_bytes: vec![None; count],
            differentiated: vec![false; count],
            clock: count,
            recompute: Recompute::none(count),
            scratch_bytes: 0,
            forward: Vec::new(),
            backward: Vec::new(),
        };
        if let Purpose::Train { trainable, recompute } = purpose {
            compiler.find_differentiated(trainable);
            if !compiler.differentiated[output] {
                return Err(ExecError::NothingToTrain);
            }
            if recompute {
                return Ok(compiler.compile_recomputing(input));
            }
        }
        Ok(compiler.compile(input))
    }

    /// Bytes in both arenas.
    fn arena_bytes(&self) -> usize {
        size_of::<f32>() * self.arena + self.bytes
    }
}

impl Compiler<'_> {
    fn compile(mut self, input: Shape) -> Program {
        self.compile_forward();
        let output_gradient = match self.purpose {
            Purpose::Train { .. } => Some(self.compile_backward()),
            _ => None,
        };
        self.finish(input, output_gradient)
    }

    // Time: node v runs forward at v, the loss at `loss_time`, each step of the backward pass at a `tick`.
    fn loss_time(&self) -> usize {
        self.net.nodes().len()
    }

    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    fn find_differentiated(&mut self, trainable: &[bool]) {
        let entries = &self.net.layout().node_entries;
        for node in 0..self.net.nodes().len() {
            let own = trainable[entries[node].clone()].contains(&true);
            let upstream = self.fused.sources[node].iter().any(|&from| self.differentiated[from]);
            self.differentiated[node] = self.fused.needed[node] && (own || upstream);
        }
    }

    fn place(&self, node: usize) -> Place {
        let mut shapes = [Shape::default(); MAX_INPUTS];
        let sources = &self.fused.sources[node];
        for (shape, &from) in shapes.iter_mut().zip(sources) {
            *shape = self.shapes[from];
        }
        Place { node, inputs: sources.len(), shapes, output: self.shapes[node] }
    }

    fn needs(&self, place: &Place) -> Needs {
        self.net.nodes()[place.node].op.needs(&place.site(self.isa, self.n))
    }

    fn len(&self, node: usize) -> usize {
        self.n * self.shapes[node].len()
    }

    fn reads(&self, node: usize) -> Reads {
        match self.purpose {
            Purpose::Train { trainable, .. } if self.differentiated[node] => {
                let own = &trainable[self.net.layout().node_entries[node].clone()];
                self.net.nodes()[node].op.backward_reads(own)
            }
            _ => Reads::default(),
        }
    }

    fn is_identity(&self, node: usize) -> bool {
        is_identity(&*self.net.nodes()[node].op, self.fused.sources[node].first(), &self.shapes, node)
    }

    fn new_value(&mut self, node: usize) -> usize {
        let buffer = self.buffers.add(self.len(node), node);
        self.shared.push(false);
        self.masks.push(false);
        debug_assert_eq!(self.shared.len(), self.buffers.0.len());
        buffer
    }

    fn compile_forward(&mut self) {
        let training = matches!(self.purpose, Purpose::Train { .. });
        self.values[0] = Slot::Input;
        // Values get the first buffers, so that `shared` and `masks` have their indices; what the steps need
        // besides comes after.
        for node in (1..self.net.nodes().len()).filter(|&node| self.fused.needed[node]).collect::<Vec<_>>() {
            self.values[node] = self.place_value(node);
            if let Slot::Buffer(buffer) = self.values[node] {
                self.shared[buffer] |= self.fused.users[node].len() > 1;
                let masked_elsewhere = self.fused.mask_after_pool[node];
                self.masks[buffer] |= if self.is_relu(node) {
                    self.reads(node).output && !masked_elsewhere
                } else {
                    self.reads(node).output || masked_elsewhere && self.differentiated[node]
                };
            }
        }
        for node in (1..self.net.nodes().len()).filter(|&node| self.fused.needed[node]).collect::<Vec<_>>() {
            self.forward_step(node, training);
        }
        let (output, end) = (self.values[self.output], self.loss_time());
        if let Slot::Buffer(buffer) = output {
            self.buffers.touch(buffer, end);
        }
    }

    fn is_relu(&self, node: usize) -> bool {
        self.net.nodes()[node].op.pattern() == crate::ops::Pattern::Relu
    }

    /// Where `node`'s value goes: where its input lies, if that is possible.
    fn place_value(&mut self, node: usize) -> Slot {
        if self.fused.pooled[node] {
            return Slot::None;
        }
        let Some(&from) = self.fused.sources[node].first() else {
            return Slot::Buffer(self.new_value(node));
        };
        let source = self.values[from];
        let handed_on = self.is_identity(node) && !(source == Slot::Input && node == self.output);
        let relu_done = self.is_relu(node) && self.fused.relu_in_conv[node];
        if handed_on || relu_done {
            return source;
        }
        if let Slot::Buffer(buffer) = source {
            let free = self.options.reuse && !self.shared[buffer];
            let allowed = match self.net.nodes()[node].op.in_place() {
                InPlace::No => false,
                InPlace::Yes => !self.masks[buffer],
                InPlace::KeepsSigns => true,
            };
            if free && allowed {
                return source;
            }
        }
        Slot::Buffer(self.new_value(node))
    }

    fn forward_step(&mut self, node: usize, training: bool) {
        if self.fused.pooled[node] {
            return; // done where its pooling stands
        }
        let source = self.fused.sources[node].first().map_or(Slot::None, |&from| self.values[from]);
        if let Slot::Buffer(buffer) = source {
            self.buffers.touch(buffer, node);
        }
        let op = &self.net.nodes()[node].op;
        let in_place = op.in_place() != InPlace::No;
        let here = self.values[node] == source;
        let relu_done = self.is_relu(node) && self.fused.relu_in_conv[node];
        if here && (!in_place || relu_done) {
            return; // handed on, or done by the convolution
        }
        let Slot::Buffer(output) = self.values[node] else { unreachable!("only node 0 lies in the input") };
        self.buffers.touch(output, node);
        let conv = self.fused.conv_of_pool[node];
        let worker = conv.unwrap_or(node);
        let place = self.place(worker);
        let needs = self.needs(&place);
        self.scratch_bytes = self.scratch_bytes.max(needs.scratch_bytes);
        let mut sources = [Slot::None; MAX_INPUTS];
        for (slot, &from) in sources.iter_mut().zip(&self.fused.sources[worker]) {
            *slot = if in_place && here { Slot::None } else { self.values[from] };
            if let Slot::Buffer(buffer) = *slot {
                self.buffers.touch(buffer, node);
            }
        }
        let packed = match self.purpose {
            Purpose::Predict => None,
            _ => self.buffers.add_some(needs.packed, node),
        };
        if training {
            let needs = self.needs(&self.place(node));
            self.saved[node] = self.buffers.add_some(needs.saved, node);
            self.saved_bytes[node] = self.byte_buffers.add_some(needs.saved_bytes, node);
        }
        let relu = !self.is_relu(node) && self.fused.relu_in_conv[worker];
        self.forward.push(ForwardStep {
            place,
            sources,
            copy: in_place && !here,
            output,
            relu,
            max_pool: conv.is_some(),
            packed,
            saved: self.saved[node],
            bytes: self.saved_bytes[node],
        });
    }

    fn compile_backward(&mut self) -> usize {
        let end = self.loss_time();
        let first = self.buffers.add(self.len(self.output), end);
        let mut gradients: Vec<Option<usize>> = vec![None; self.net.nodes().len()];
        gradients[self.output] = Some(first);
        for node in
            (1..self.net.nodes().len()).rev().filter(|&node| self.differentiated[node]).collect::<Vec<_>>()
        {
            self.backward_step(node, &mut gradients);
        }
        first
    }

    fn backward_step(&mut self, node: usize, gradients: &mut [Option<usize>]) {
        let gradient = gradients[node].expect("every user of a differentiated node is differentiated");
        let passes = self.parameters_first(node, gradient);
        let part = if passes.is_some() { Part::Input } else { Part::Whole };
        let time = self.tick();
        self.buffers.touch(gradient, time);
        if let Some(buffer) = passes {
            self.byte_buffers.touch(buffer, time);
        }
        let op = &self.net.nodes()[node].op;
        let reads = self.reads(node);
        let masked_elsewhere =
            self.is_relu(node) && (self.fused.mask_after_pool[node] || self.recompute.masked[node]);
        let identity = self.is_identity(node) || masked_elsewhere;
        let in_place = op.in_place() != InPlace::No || identity;

        let mut targets = [Target::None; MAX_INPUTS];
        let sources = self.fused.sources[node].clone();
        for (target, &from) in targets.iter_mut().zip(&sources) {
            if !self.differentiated[from] {
                if reads.gradients {
                    *target = Target::Write(self.buffers.add(self.len(from), time));
                }
                continue;
            }
            *target = match gradients[from] {
                None if in_place && (self.options.reuse || identity) => Target::Write(gradient),
                None => Target::Write(self.buffers.add(self.len(from), time)),
                Some(sum) if identity => Target::Add(gradient, sum),
                Some(sum) => Target::Add(self.buffers.add(self.len(from), time), sum),
            };
            match *target {
                Target::Write(buffer) => gradients[from] = Some(buffer),
                Target::Add(_, sum) => self.buffers.touch(sum, time),
                Target::None => {}
            }
        }
        if identity && targets[0] == Target::Write(gradient) {
            return;
        }

        let place = self.place(node);
        let mut slots = [Slot::None; MAX_INPUTS];
        if reads.inputs && !identity && part == Part::Whole {
            for (slot, &from) in slots.iter_mut().zip(&sources) {
                *slot = self.values[from];
            }
        }
        let value = match self.values[node] {
            Slot::Buffer(buffer) => Some(buffer),
            _ => None,
        };
        let output = value.filter(|_| reads.output && !identity);
        let mask = value.filter(|_| self.fused.mask_after_pool[node] && !self.is_relu(node));
        for slot in slots.into_iter().chain([output, mask].into_iter().flatten().map(Slot::Buffer)) {
            if let Slot::Buffer(buffer) = slot {
                self.buffers.touch(buffer, time);
            }
        }
        let inputs_wanted = targets.iter().any(|target| *target != Target::None);
        let scratch = if inputs_wanted { self.needs(&place).scratch } else { 0 };
        let scratch = self.buffers.add_some(scratch, time);
        if let Some(buffer) = self.saved[node] {
            self.buffers.touch(buffer, time);
        }
        if let Some(buffer) = self.saved_bytes[node] {
            self.byte_buffers.touch(buffer, time);
        }
        self.backward.push(BackwardStep {
            place,
            part,
            recompute: 0..0,
            passes,
            sources: slots,
            output,
            gradient,
            mask,
            targets,
            in_place,
            identity,
            scratch,
            saved: self.saved[node],
            bytes: self.saved_bytes[node],
        });
    }

    fn finish(self, input: Shape, output_gradient: Option<usize>) -> Program {
        let (spans, arena) = place(&self.buffers.0, 16, self.options.reuse);
        let (byte_spans, bytes) = place(&self.byte_buffers.0, 64, self.options.reuse);
        Program {
            isa: self.isa,
            n: self.n,
            input,
            forward: self.forward,
            backward: self.backward,
            recomputed: self.recompute.steps,
            spans,
            byte_spans,
            arena,
            bytes,
            scratch_bytes: self.scratch_bytes,
            output: self.values[self.output],
            output_gradient,
            output_shape: self.shapes[self.output],
        }
    }
}
