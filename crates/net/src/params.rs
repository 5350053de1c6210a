//! Parameters: one flat buffer with named ranges.

use std::ops::Range;
use std::sync::Arc;

use hectare_kernels::AlignedVec;

use crate::graph::Node;
use crate::ops::{Init, Operation};

/// What a parameter is for; optimisers treat some differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A convolution's or linear layer's weight.
    Weight,
    /// A bias.
    Bias,
    /// The scale of a normalisation.
    NormWeight,
    /// The shift of a normalisation.
    NormBias,
}

/// A named range of the parameter buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamEntry {
    /// The key in a state_dict, as `features.0.weight`.
    pub name: String,
    /// PyTorch's shape, as [K, C, kh, kw].
    pub shape: Vec<usize>,
    /// Where it lies in [`Params::values`].
    pub range: Range<usize>,
    /// Index of its node.
    pub node: usize,
    /// What it is for.
    pub role: Role,
    pub(crate) init: Init,
}

/// What a running statistic counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferKind {
    /// Mean of each channel.
    RunningMean,
    /// Variance of each channel.
    RunningVar,
    /// Number of batches seen: one number, exact up to 2^24, an i64 in files.
    BatchesTracked,
}

/// A named range of the buffer of running statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferEntry {
    /// The key in a state_dict, as `features.1.running_mean`.
    pub name: String,
    /// PyTorch's shape; empty for a single number.
    pub shape: Vec<usize>,
    /// Where it lies in [`Params::buffers`].
    pub range: Range<usize>,
    /// Index of its node.
    pub node: usize,
    /// What it counts.
    pub kind: BufferKind,
}

/// The names, shapes and places of a network's parameters, in PyTorch's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParamLayout {
    /// Trained parameters.
    pub entries: Vec<ParamEntry>,
    /// Running statistics.
    pub buffers: Vec<BufferEntry>,
    /// Numbers in all trained parameters.
    pub total: usize,
    /// Numbers in all running statistics.
    pub buffer_total: usize,
    pub(crate) node_params: Vec<Range<usize>>,
    pub(crate) node_entries: Vec<Range<usize>>,
    pub(crate) node_buffers: Vec<Range<usize>>,
}

impl ParamLayout {
    pub(crate) fn of(nodes: &[Node]) -> ParamLayout {
        let mut layout = ParamLayout::default();
        for (index, node) in nodes.iter().enumerate() {
            layout.push(index, &node.name, &*node.op);
        }
        layout
    }

    fn push(&mut self, node: usize, name: &str, op: &dyn Operation) {
        let (first_value, first_entry, first_buffer) = (self.total, self.entries.len(), self.buffer_total);
        for spec in op.params() {
            let start = self.total;
            self.total += spec.shape.iter().product::<usize>();
            self.entries.push(ParamEntry {
                name: format!("{name}.{}", spec.suffix),
                shape: spec.shape,
                range: start..self.total,
                node,
                role: spec.role,
                init: spec.init,
            });
        }
        for spec in op.buffers() {
            let start = self.buffer_total;
            self.buffer_total += spec.shape.iter().product::<usize>();
            self.buffers.push(BufferEntry {
                name: format!("{name}.{}", spec.suffix),
                shape: spec.shape,
                range: start..self.buffer_total,
                node,
                kind: spec.kind,
            });
        }
        self.node_params.push(first_value..self.total);
        self.node_entries.push(first_entry..self.entries.len());
        self.node_buffers.push(first_buffer..self.buffer_total);
    }

    /// The parameter of that name.
    pub fn entry(&self, name: &str) -> Option<&ParamEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// The numbers of a network: trained parameters in one buffer, running statistics in another.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// All trained parameters, [`ParamLayout::total`] numbers.
    pub values: AlignedVec,
    /// All running statistics, [`ParamLayout::buffer_total`] numbers.
    pub buffers: AlignedVec,
    /// Which numbers are which.
    pub layout: Arc<ParamLayout>,
}

impl Params {
    /// Parameters of zero, with the running statistics of a new network (mean 0, variance 1).
    pub fn zeroed(layout: Arc<ParamLayout>) -> Params {
        let mut buffers = AlignedVec::zeroed(layout.buffer_total);
        for entry in &layout.buffers {
            if entry.kind == BufferKind::RunningVar {
                buffers[entry.range.clone()].fill(1.0);
            }
        }
        Params { values: AlignedVec::zeroed(layout.total), buffers, layout }
    }

    /// The numbers of the parameter or running statistic of that name.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        if let Some(entry) = self.layout.entry(name) {
            return Some(&self.values[entry.range.clone()]);
        }
        let entry = self.layout.buffers.iter().find(|entry| entry.name == name)?;
        Some(&self.buffers[entry.range.clone()])
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let layout = Arc::clone(&self.layout);
        if let Some(entry) = layout.entry(name) {
            return Some(&mut self.values[entry.range.clone()]);
        }
        let entry = layout.buffers.iter().find(|entry| entry.name == name)?;
        Some(&mut self.buffers[entry.range.clone()])
    }
}
