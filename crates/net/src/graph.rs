//! The graph: a network is a list of named nodes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::ops::{Input, MAX_INPUTS, Operation};
use crate::{ParamLayout, Shape, ShapeError, UnknownName};

/// One operation in its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// PyTorch's module path, as `features.0`; unique in the network.
    pub name: String,
    /// What it does.
    pub op: Arc<dyn Operation>,
    /// Indices of the nodes that it reads, all smaller than its own.
    pub inputs: Vec<usize>,
}

/// A network as data. Node 0 is the input, the last node is the output. Its `Display` is PyTorch's print.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) name: String,
    pub(crate) bands: usize,
    pub(crate) nodes: Vec<Node>,
    pub(crate) layout: Arc<ParamLayout>,
}

impl Network {
    /// The class name that is printed, as `VGG16`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Channels of the input.
    pub fn bands(&self) -> usize {
        self.bands
    }

    /// All nodes; each reads only nodes before it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Index of the last node, whose value is the network's result.
    pub fn output(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Index of the node of that name.
    pub fn node_index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// How far, in pixels, the input may lie from a pixel of the output that depends on it (that is as large as the
    /// input). Windows whose neighbours overlap by twice as much say the same of a pixel.
    pub fn reach(&self) -> usize {
        // Away from the borders everything repeats with the stride of the deepest map; 64 covers all models.
        const FIRST: i64 = 1 << 16;
        let reach_of = |row: i64| {
            let mut reads: Vec<Option<[i64; 2]>> = vec![None; self.nodes.len()];
            reads[self.output()] = Some([row, row]);
            for (at, node) in self.nodes.iter().enumerate().rev() {
                let Some(rows) = reads[at].map(|rows| node.op.reads_rows(rows)) else { continue };
                for &input in node.inputs.iter().take(node.op.data_inputs()) {
                    let known = reads[input].unwrap_or(rows);
                    reads[input] = Some([known[0].min(rows[0]), known[1].max(rows[1])]);
                }
            }
            reads[0].map_or(0, |[from, to]| (row - from).max(to - row).max(0))
        };
        (FIRST..FIRST + 64).map(reach_of).max().unwrap_or(0) as usize
    }

    /// Names, shapes and places of the parameters.
    pub fn layout(&self) -> &Arc<ParamLayout> {
        &self.layout
    }

    /// The shape of every node's value for an input of that shape.
    ///
    /// # Errors
    /// Names the first node whose inputs do not fit.
    pub fn infer(&self, input: Shape) -> Result<Vec<Shape>, ShapeError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let arriving: Vec<Shape> = match node.inputs.as_slice() {
                [] => vec![input],
                inputs => inputs.iter().map(|&from| shapes[from]).collect(),
            };
            let shape = node.op.infer(&arriving).map_err(|problem| ShapeError {
                node: node.name.clone(),
                kind: node.op.kind(),
                inputs: arriving,
                problem,
            })?;
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// The shape of the result for an input of that shape.
    ///
    /// # Errors
    /// As [`Network::infer`].
    pub fn output_shape(&self, input: Shape) -> Result<Shape, ShapeError> {
        Ok(*self.infer(input)?.last().expect("a network has an input node"))
    }
}

/// Builds a [`Network`] node by node.
#[derive(Debug)]
pub struct NetworkBuilder {
    name: String,
    bands: usize,
    nodes: Vec<Node>,
}

impl NetworkBuilder {
    /// A network of that printed name whose input has `bands` channels.
    pub fn new(name: &str, bands: usize) -> NetworkBuilder {
        let input = Node { name: "input".to_owned(), op: Arc::new(Input::new(bands)), inputs: Vec::new() };
        NetworkBuilder { name: name.to_owned(), bands, nodes: vec![input] }
    }

    /// Index of the input node.
    pub fn input(&self) -> usize {
        0
    }

    /// Adds `op` under that name, reading the given nodes; returns its index.
    pub fn add(&mut self, name: &str, op: impl Operation + 'static, inputs: &[usize]) -> usize {
        self.add_shared(name, Arc::new(op), inputs)
    }

    /// Adds operations one behind the other, named `prefix.0`, `prefix.1` and so on, as PyTorch's
    /// `Sequential` does; returns their indices.
    pub fn chain(&mut self, prefix: &str, from: usize, ops: Vec<Arc<dyn Operation>>) -> Vec<usize> {
        let mut at = from;
        let mut indices = Vec::with_capacity(ops.len());
        for (i, op) in ops.into_iter().enumerate() {
            at = self.add_shared(&format!("{prefix}.{i}"), op, &[at]);
            indices.push(at);
        }
        indices
    }

    /// Adds an operation that may stand in other networks too, as [`NetworkBuilder::add`] does.
    pub fn add_shared(&mut self, name: &str, op: Arc<dyn Operation>, inputs: &[usize]) -> usize {
        self.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    /// The finished network.
    ///
    /// # Errors
    /// When a name is used twice, a node reads one that does not come before it, or the number of
    /// inputs is not the operation's.
    pub fn finish(self) -> Result<Network, NetError> {
        let mut names = HashSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let problem = if !names.insert(node.name.as_str()) {
                Some("has a name that is used twice".to_owned())
            } else if node.inputs.iter().any(|&from| from >= index) {
                Some("reads a node that does not come before it".to_owned())
            } else if node.inputs.len() != node.op.arity() || node.inputs.len() > MAX_INPUTS {
                Some(format!("has {} inputs, not {}", node.inputs.len(), node.op.arity()))
            } else {
                None
            };
            if let Some(problem) = problem {
                return Err(NetError::Graph { node: node.name.clone(), problem });
            }
        }
        let layout = Arc::new(ParamLayout::of(&self.nodes));
        Ok(Network { name: self.name, bands: self.bands, nodes: self.nodes, layout })
    }
}

/// Why a network could not be built.
#[derive(Clone, Debug, PartialEq)]
pub enum NetError {
    /// A setting that no network can have.
    Spec {
        /// The setting's name.
        setting: &'static str,
        /// Its value and what is wrong with it.
        problem: String,
    },
    /// Nodes that do not fit together.
    Graph {
        /// The node's name.
        node: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Shapes that do not fit together.
    Shape(ShapeError),
    /// A name that is none of the known ones.
    Name(UnknownName),
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::Spec { setting, problem } => write!(f, "{setting} {problem}"),
            NetError::Graph { node, problem } => write!(f, "node {node} {problem}"),
            NetError::Shape(error) => error.fmt(f),
            NetError::Name(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NetError {}

impl From<ShapeError> for NetError {
    fn from(error: ShapeError) -> Self {
        NetError::Shape(error)
    }
}

impl From<UnknownName> for NetError {
    fn from(error: UnknownName) -> Self {
        NetError::Name(error)
    }
}
