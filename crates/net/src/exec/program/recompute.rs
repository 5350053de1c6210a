//! Values that the backward pass computes again instead of keeping them (Chen et al. 2016, Training deep nets
//! with sublinear memory cost), where a convolution and its ReLU stand before another convolution.
//!
//! Such a value is read twice on the way back: for the weight's gradient of the second convolution, and as the
//! ReLU's mask once the input's gradient is there. In between, map, gradient and input's gradient, all of one
//! size, would lie in memory together; so the weight's gradient comes first, the mask is kept as bits, and the
//! map's place is free for the input's gradient. Both save memory without changing a bit of any result.

use std::cmp::Reverse;

use super::{Compiler, Program};
use crate::Shape;
use crate::exec::step::{BackwardStep, ForwardStep, Part, Slot, Target};
use crate::ops::{MAX_INPUTS, Pattern};

/// What of a program is done so.
#[derive(Clone)]
pub(super) struct Recompute {
    /// Whether masks are kept as bits.
    bits: bool,
    /// ReLUs whose value is not there: let go in the forward pass, and not yet computed again.
    dropped: Vec<bool>,
    /// ReLUs whose mask the convolution behind them has applied.
    pub masked: Vec<bool>,
    pub steps: Vec<ForwardStep>,
}

impl Recompute {
    pub(super) fn none(nodes: usize) -> Recompute {
        Recompute { bits: false, dropped: vec![false; nodes], masked: vec![false; nodes], steps: Vec::new() }
    }
}

impl Compiler<'_> {
    /// The program that takes the least memory, to a hundredth, with the fewest values computed again. The
    /// largest values go first: they are the early layers', which are the cheapest too.
    pub(super) fn compile_recomputing(self, input: Shape) -> Program {
        let mut droppable: Vec<usize> =
            (1..self.net.nodes().len()).filter_map(|node| self.droppable_before(node)).collect();
        droppable.sort_by_key(|&relu| (Reverse(self.len(relu)), relu));
        let mut programs = vec![self.clone().compile(input)];
        let (choose, mut saving) = (self.options.choose, self);
        saving.recompute.bits = true;
        programs.push(saving.clone().compile(input));
        for relu in droppable {
            saving.recompute.dropped[relu] = true;
            programs.push(saving.clone().compile(input));
        }
        let least = programs.iter().map(Program::arena_bytes).min().unwrap_or(0);
        let fewest = programs.iter().position(|program| program.arena_bytes() <= least + least / 100);
        let chosen = fewest.filter(|_| choose).unwrap_or(programs.len() - 1);
        programs.swap_remove(chosen)
    }

    /// The ReLU before convolution `node` that another convolution applies and nothing else reads, if the
    /// gradients of both are wanted.
    fn relu_before(&self, node: usize) -> Option<usize> {
        let pattern = |node: usize| self.net.nodes()[node].op.pattern();
        if pattern(node) != Pattern::Conv || !self.differentiated[node] || !self.reads(node).inputs {
            return None;
        }
        let relu = self.fused.sources[node][0];
        let fits = pattern(relu) == Pattern::Relu
            && self.fused.relu_in_conv[relu]
            && pattern(self.fused.sources[relu][0]) == Pattern::Conv
            && self.fused.users[relu].len() == 1
            && self.differentiated[relu]
            && relu != self.output;
        fits.then_some(relu)
    }

    /// That ReLU, if the input of its own convolution is there in the backward pass: it is read for a weight's
    /// gradient, after this one's.
    fn droppable_before(&self, node: usize) -> Option<usize> {
        self.relu_before(node).filter(|&relu| {
            let conv = self.fused.sources[relu][0];
            self.differentiated[conv] && self.reads(conv).inputs
        })
    }

    /// Where the mask before `node` is kept as bits: the step that computes the gradients of the node's
    /// parameters and the bits, whose buffer it returns.
    pub(super) fn parameters_first(&mut self, node: usize, gradient: usize) -> Option<usize> {
        let relu = self.relu_before(node).filter(|_| self.recompute.bits)?;
        let first = self.recompute.steps.len();
        self.compute_again(relu);
        let time = self.tick();
        self.buffers.touch(gradient, time);
        self.touch_value(relu, time);
        let passes = self.byte_buffers.add(self.len(relu).div_ceil(8), time);
        let mut sources = [Slot::None; MAX_INPUTS];
        sources[0] = self.values[relu];
        self.backward.push(BackwardStep {
            place: self.place(node),
            part: Part::Parameters,
            recompute: first..self.recompute.steps.len(),
            passes: Some(passes),
            sources,
            output: None,
            gradient,
            mask: None,
            targets: [Target::None; MAX_INPUTS],
            in_place: false,
            identity: false,
            scratch: None,
            saved: None,
            bytes: None,
        });
        self.recompute.masked[relu] = true;
        Some(passes)
    }

    /// Repeats the forward steps that lead from the nearest value that is there to that of `relu`.
    fn compute_again(&mut self, relu: usize) {
        if !std::mem::take(&mut self.recompute.dropped[relu]) {
            return;
        }
        let conv = self.fused.sources[relu][0];
        let from = self.fused.sources[conv][0];
        self.compute_again(from);
        let time = self.tick();
        self.touch_value(from, time);
        let forward = self.forward.iter().find(|step| step.place.node == conv);
        let mut step = *forward.expect("a convolution whose pooling is not fused has a step");
        step.sources[0] = self.values[from];
        step.output = self.buffers.add(self.len(relu), time);
        step.packed = self.buffers.add_some(self.needs(&step.place).packed, time);
        self.values[conv] = Slot::Buffer(step.output);
        self.values[relu] = Slot::Buffer(step.output);
        self.recompute.steps.push(step);
    }

    fn touch_value(&mut self, node: usize, time: usize) {
        if let Slot::Buffer(buffer) = self.values[node] {
            self.buffers.touch(buffer, time);
        }
    }
}
