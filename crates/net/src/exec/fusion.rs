//! What can be done together: found on the node list, never visible in the model's description.

use crate::ops::{Operation, Pattern};
use crate::{Network, Shape};

/// Switches for finding faults: everything is on otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Buffers whose lifetimes do not meet share memory, and operations may work in place.
    pub reuse: bool,
    /// Operations are fused.
    pub fuse: bool,
    /// Of the values that could be computed again, only those are whose absence makes the arena smaller.
    pub choose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { reuse: true, fuse: true, choose: true }
    }
}

/// The part of a network that leads to one node, with its fusions.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    /// For each node, the nodes whose values it reads.
    pub sources: Vec<Vec<usize>>,
    /// For each node, the nodes that read its value.
    pub users: Vec<Vec<usize>>,
    /// Whether the output depends on the node's value.
    pub needed: Vec<bool>,
    /// Convolutions that apply the ReLU behind them, and those ReLUs.
    pub relu_in_conv: Vec<bool>,
    /// ReLUs whose gradient is masked behind the pooling that follows, and those poolings: where the maximum
    /// of a window is not positive, nothing of it was. The map before the pooling need not be kept.
    pub mask_after_pool: Vec<bool>,
    /// For each pooling that the convolution before its ReLU does too, that convolution. The maps between them
    /// exist nowhere.
    pub conv_of_pool: Vec<Option<usize>>,
    /// Those convolutions.
    pub pooled: Vec<bool>,
}

impl Fused {
    pub(super) fn find(net: &Network, shapes: &[Shape], output: usize, options: Options) -> Fused {
        let nodes = net.nodes();
        let pattern = |node: usize| nodes[node].op.pattern();
        let mut sources: Vec<Vec<usize>> =
            nodes.iter().map(|node| node.inputs[..node.op.data_inputs()].to_vec()).collect();
        for node in 0..nodes.len() {
            // A linear layer reads the map behind a flattened one. Values of one pixel are flat already.
            if pattern(node) == Pattern::Linear && pattern(sources[node][0]) == Pattern::Flatten {
                sources[node][0] = sources[sources[node][0]][0];
            }
        }
        let mut needed = vec![false; nodes.len()];
        needed[output] = true;
        for node in (0..nodes.len()).rev() {
            if needed[node] {
                sources[node].iter().for_each(|&from| needed[from] = true);
            }
        }
        let mut users = vec![Vec::new(); nodes.len()];
        for node in (0..nodes.len()).filter(|&node| needed[node]) {
            sources[node].iter().for_each(|&from| users[from].push(node));
        }
        let mut fused = Fused {
            relu_in_conv: vec![false; nodes.len()],
            mask_after_pool: vec![false; nodes.len()],
            conv_of_pool: vec![None; nodes.len()],
            pooled: vec![false; nodes.len()],
            sources,
            users,
            needed,
        };
        if options.fuse {
            fused.fuse_relus(net, shapes, output);
        }
        fused
    }

    fn fuse_relus(&mut self, net: &Network, shapes: &[Shape], output: usize) {
        let pattern = |node: usize| net.nodes()[node].op.pattern();
        for relu in (0..net.nodes().len()).filter(|&node| self.needed[node] && pattern(node) == Pattern::Relu)
        {
            let conv = self.sources[relu][0];
            if matches!(pattern(conv), Pattern::Conv | Pattern::Linear) && self.users[conv].len() == 1 {
                self.relu_in_conv[conv] = true;
                self.relu_in_conv[relu] = true;
            }
            if let [pool] = self.users[relu][..]
                && relu != output
                && let Pattern::MaxPool { pairs } = pattern(pool)
                && !shapes[pool].is_empty()
            {
                self.mask_after_pool[relu] = true;
                self.mask_after_pool[pool] = true;
                let inputs: Vec<Shape> = self.sources[conv].iter().map(|&from| shapes[from]).collect();
                if pairs && self.relu_in_conv[relu] && net.nodes()[conv].op.can_max_pool(&inputs) {
                    self.conv_of_pool[pool] = Some(conv);
                    self.pooled[conv] = true;
                }
            }
        }
    }
}

/// Whether `op` hands its first input on unchanged.
pub(super) fn is_identity(op: &dyn Operation, input: Option<&usize>, shapes: &[Shape], node: usize) -> bool {
    input.is_some_and(|&from| op.is_identity(shapes[from], shapes[node]))
}
