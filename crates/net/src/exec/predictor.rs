//! Prediction.

use hectare_kernels::{AlignedVec, Isa};

use super::error::check_length;
use super::program::{Program, Purpose};
use super::run::{Memory, Statistics, Weights};
use super::{ExecError, Options};
use crate::{Network, Params, Shape};

/// Programs kept for input sizes seen before.
const CACHED: usize = 16;

/// A network with its weights, ready to predict inputs of any size.
///
/// Weights are packed once. The raw ones stay for layers that read them as they are or are packed anew for other
/// sizes. Results do not depend on the number of images in a batch or of threads.
#[derive(Debug)]
pub struct Predictor {
    network: Network,
    isa: Isa,
    output: usize,
    store: Store,
    programs: Vec<Planned>,
    memory: Memory,
    options: Options,
}

/// The result of a prediction.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Images, N.
    pub n: usize,
    /// Shape of one image's result.
    pub shape: Shape,
    /// N, H, W, C numbers.
    pub data: &'a [f32],
}

#[derive(Debug)]
struct Planned {
    program: Program,
    /// For each node, which of the packed weights it uses.
    packed: Vec<Option<usize>>,
}

/// Weights, raw and packed.
#[derive(Debug)]
struct Store {
    params: Params,
    packed: Vec<Packed>,
}

#[derive(Debug)]
struct Packed {
    node: usize,
    form: [usize; 4],
    values: AlignedVec,
}

struct View<'a> {
    store: &'a Store,
    packed: &'a [Option<usize>],
}

impl Weights for View<'_> {
    fn raw(&self, node: usize) -> &[f32] {
        self.store.raw(node)
    }

    fn packed(&self, node: usize) -> &[f32] {
        self.packed[node].map_or(&[], |index| &self.store.packed[index].values)
    }
}

impl Predictor {
    /// A predictor of the network's result.
    ///
    /// # Errors
    /// [`ExecError::ForeignParams`] when `params` are another network's.
    pub fn new(network: Network, params: Params, isa: Isa) -> Result<Predictor, ExecError> {
        let output = network.output();
        Predictor::of_node(network, params, isa, output)
    }

    /// A predictor of the value of the node of that name, as `fc.0`.
    ///
    /// # Errors
    /// [`ExecError::UnknownNode`], and those of [`Predictor::new`].
    pub fn ending_at(network: Network, params: Params, isa: Isa, node: &str) -> Result<Predictor, ExecError> {
        let output = network.node_index(node).ok_or_else(|| ExecError::UnknownNode(node.to_owned()))?;
        Predictor::of_node(network, params, isa, output)
    }

    fn of_node(network: Network, params: Params, isa: Isa, output: usize) -> Result<Predictor, ExecError> {
        if *params.layout != **network.layout() {
            return Err(ExecError::ForeignParams);
        }
        Ok(Predictor {
            memory: Memory::new(&network),
            network,
            isa,
            output,
            store: Store { params, packed: Vec::new() },
            programs: Vec::new(),
            options: Options::default(),
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Computes the result for `n` images of `h` x `w`, given as N, H, W, C numbers.
    ///
    /// # Errors
    /// When the size does not fit the network, or `input` its size.
    pub fn run(&mut self, n: usize, h: usize, w: usize, input: &[f32]) -> Result<Output<'_>, ExecError> {
        let shape = Shape::new(self.network.bands(), h, w);
        check_length("the input", n * shape.len(), input.len())?;
        self.plan(n, shape)?;
        let Planned { program, packed } = self.programs.last().expect("just planned");
        self.memory.fit(program);
        let weights = View { store: &self.store, packed };
        let statistics = Statistics::Fixed(&self.store.params.buffers);
        program.run_forward(&self.network, &mut self.memory, input, &weights, statistics);
        let (data, _) = program.result(&mut self.memory);
        Ok(Output { n, shape: program.output_shape, data })
    }

    /// Makes the program for this size the last of the list.
    fn plan(&mut self, n: usize, shape: Shape) -> Result<(), ExecError> {
        let known = |planned: &Planned| planned.program.n == n && planned.program.input == shape;
        if let Some(at) = self.programs.iter().position(known) {
            self.programs[at..].rotate_left(1);
            return Ok(());
        }
        let (net, isa) = (&self.network, self.isa);
        let program = Program::compile(net, isa, n, shape, self.output, Purpose::Predict, self.options)?;
        let mut packed = vec![None; net.nodes().len()];
        for step in &program.forward {
            let node = step.place.node;
            packed[node] = self.store.pack(net, node, &step.place.site(isa, n));
        }
        if self.programs.len() == CACHED {
            self.programs.remove(0);
        }
        self.programs.push(Planned { program, packed });
        Ok(())
    }
}

impl Store {
    fn raw(&self, node: usize) -> &[f32] {
        &self.params.values[self.params.layout.node_params[node].clone()]
    }

    /// Packs the node's weights in the form wanted at that site, unless that is done already.
    fn pack(&mut self, net: &Network, node: usize, site: &crate::ops::Site<'_>) -> Option<usize> {
        let op = &net.nodes()[node].op;
        let len = op.needs(site).packed;
        if len == 0 {
            return None;
        }
        let form = op.packing(site);
        let any_size = op.packs_for_any_size();
        let same = |packed: &Packed| packed.node == node && (any_size || packed.form == form);
        if let Some(index) = self.packed.iter().position(same) {
            return Some(index);
        }
        let mut values = AlignedVec::zeroed(len);
        op.pack(site, self.raw(node), &mut values);
        if any_size {
            // Nothing reads the raw ones again.
            self.params.values.discard(self.params.layout.node_params[node].clone());
        }
        self.packed.push(Packed { node, form, values });
        Some(self.packed.len() - 1)
    }
}

#[cfg(test)]
impl Predictor {
    pub(super) fn set_options(&mut self, options: Options) {
        self.options = options;
        self.programs.clear();
    }
}
