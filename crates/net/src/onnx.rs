//! A network as an ONNX file: opset 17 and IR version 8, which ONNX Runtime reads since 1.12 (2022).

mod metadata;
mod proto;

use std::fmt;
use std::str::FromStr;

use proto::{Graph, Side, bytes, float, int, ints, number, port};

use crate::ops::Export;
use crate::{ModelCard, Network, Params, Shape, ShapeError, UnknownName};

/// The graph's only input and output.
const INPUT: &str = "input";
const OUTPUT: &str = "output";

/// What the graph ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The network's own numbers.
    #[default]
    Logits,
    /// Probabilities over the classes.
    Softmax,
}

/// What the graph takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pixels {
    /// Pixels that the caller has normalised as the card says.
    #[default]
    Normalised,
    /// Pixels of 0 to 1, normalised in the graph.
    Unit,
    /// Pixels of 0 to 255, normalised in the graph.
    Bytes,
}

impl Pixels {
    /// All of them.
    pub const ALL: [Pixels; 3] = [Pixels::Normalised, Pixels::Unit, Pixels::Bytes];

    /// The name on the command line and in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Pixels::Normalised => "normalised",
            Pixels::Unit => "unit",
            Pixels::Bytes => "bytes",
        }
    }
}

impl FromStr for Pixels {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = || Pixels::ALL.iter().map(|pixels| pixels.name()).collect();
        let unknown = || UnknownName { what: "input", given: text.to_owned(), known: known() };
        Pixels::ALL.into_iter().find(|pixels| pixels.name() == text).ok_or_else(unknown)
    }
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What it ends with.
    pub ending: Ending,
    /// What it takes.
    pub pixels: Pixels,
    /// The only side that it takes; free otherwise. Classifiers have their own.
    pub tile: Option<usize>,
}

/// Why a network cannot be written.
#[derive(Clone, Debug, PartialEq)]
pub enum OnnxError {
    /// An operation that is not in the format, or not with these settings.
    Operation {
        /// The node's name.
        node: String,
        /// What it is.
        kind: &'static str,
    },
    /// The network does not take a tile of that size.
    Tile(ShapeError),
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnnxError::Operation { node, kind } => write!(f, "{node}: {kind} cannot be written to ONNX"),
            OnnxError::Tile(error) => write!(f, "the tile does not fit: {error}"),
        }
    }
}

impl std::error::Error for OnnxError {}

/// The bytes of an ONNX model that takes `input` (N, C, H, W) and gives `output` (N, K, H, W, or N, K of a classifier).
///
/// N is free, and so are H and W unless there is a tile, but for classifiers. Where the network wants other sides, the
/// graph pads and crops.
///
/// # Errors
/// An operation that cannot be written, or a tile that the network does not take.
pub fn encode(
    card: &ModelCard,
    network: &Network,
    params: &Params,
    options: &Options,
) -> Result<Vec<u8>, OnnxError> {
    let spec = &card.spec;
    if let Some(side) = options.tile {
        network.infer(Shape::new(spec.bands, side, side)).map_err(OnnxError::Tile)?;
    }
    let mut graph = Graph::default();
    let least = add_nodes(&mut graph, card, network, options)?;
    let layout = network.layout();
    for entry in &layout.entries {
        graph.weights(&entry.name, &entry.shape, &params.values[entry.range.clone()]);
    }
    // Counters have no shape and no place in the graph.
    for entry in layout.buffers.iter().filter(|entry| !entry.shape.is_empty()) {
        graph.weights(&entry.name, &entry.shape, &params.buffers[entry.range.clone()]);
    }

    let classifier = spec.model.is_classifier();
    let sides = match options.tile {
        _ if classifier => spec.input.map(Side::Fixed),
        Some(side) => [Side::Fixed(side); 2],
        None => [Side::Free("height"), Side::Free("width")],
    };
    let taken = [Side::Free("batch"), Side::Fixed(spec.bands), sides[0], sides[1]];
    let mut given = taken;
    given[1] = Side::Fixed(spec.classes);
    let given = if classifier { &given[..2] } else { &given[..] };
    let mut ports = Vec::new();
    bytes(&mut ports, 11, &port(INPUT, &taken));
    bytes(&mut ports, 12, &port(OUTPUT, given));

    let mut model = Vec::new();
    number(&mut model, 1, 8);
    bytes(&mut model, 2, b"hectare");
    let mut opset = Vec::new();
    bytes(&mut opset, 1, b"");
    number(&mut opset, 2, 17);
    bytes(&mut model, 8, &opset);
    for (key, value) in metadata::entries(card, options, least) {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, key.as_bytes());
        bytes(&mut entry, 2, value.as_bytes());
        bytes(&mut model, 14, &entry);
    }
    graph.write(&mut model, network.name(), &ports);
    Ok(model)
}

/// Adds all nodes; gives the smallest side that they take.
fn add_nodes(
    graph: &mut Graph<'_>,
    card: &ModelCard,
    network: &Network,
    options: &Options,
) -> Result<usize, OnnxError> {
    let mut least_side = 1;
    // The name of each node's value.
    let mut values: Vec<String> = Vec::new();
    for (index, node) in network.nodes().iter().enumerate() {
        let inputs: Vec<&str> = node.inputs.iter().map(|&from| values[from].as_str()).collect();
        let last = index == network.output() && options.ending == Ending::Logits;
        let value = if last { OUTPUT } else { &node.name };
        let refusal = || OnnxError::Operation { node: node.name.clone(), kind: node.op.kind() };
        let value = match node.op.export().ok_or_else(refusal)? {
            Export::Input => normalised(graph, card, options.pixels),
            Export::Identity => inputs[0].to_owned(),
            Export::Pad { misfits: None, least, .. } => {
                least_side = least;
                inputs[0].to_owned()
            }
            Export::Pad { multiple, misfits: Some(misfits), least } => {
                least_side = least;
                let always = misfits == (1..=multiple - 1);
                let misfits = (!always).then_some([*misfits.start(), *misfits.end()]);
                pad(graph, value, inputs[0], multiple, misfits);
                value.to_owned()
            }
            Export::Crop { offset } => {
                crop(graph, value, inputs[0], inputs[1], offset);
                value.to_owned()
            }
            other => {
                let (kind, parts, attributes) = layer(&other).ok_or_else(refusal)?;
                let parts: Vec<String> = parts.iter().map(|part| format!("{}.{part}", node.name)).collect();
                let inputs: Vec<&str> = inputs.into_iter().chain(parts.iter().map(String::as_str)).collect();
                graph.node(kind, value, &inputs, &attributes);
                value.to_owned()
            }
        };
        values.push(value);
    }
    let last = values.last().map_or(INPUT, String::as_str);
    match options.ending {
        Ending::Logits if last == OUTPUT => {}
        Ending::Logits => graph.node("Identity", OUTPUT, &[last], &[]),
        Ending::Softmax => graph.node("Softmax", OUTPUT, &[last], &[int("axis", 1)]),
    }
    Ok(least_side)
}

/// A node's kind, the parameters that follow its inputs, and its attributes.
type Layer = (&'static str, &'static [&'static str], Vec<Vec<u8>>);

/// The one node that an operation is, if it is one.
fn layer(export: &Export) -> Option<Layer> {
    let parts = |bias: bool| if bias { &["weight", "bias"][..] } else { &["weight"] };
    // Some readers want what is the default too.
    let window = |pads: [usize; 4], strides: [usize; 2]| {
        vec![ints("pads", &pads), ints("strides", &strides), ints("dilations", &[1; 2])]
    };
    Some(match *export {
        Export::Relu => ("Relu", &[], Vec::new()),
        Export::Add => ("Add", &[], Vec::new()),
        Export::Concat => ("Concat", &[], vec![int("axis", 1)]),
        Export::Flatten => ("Flatten", &[], vec![int("axis", 1)]),
        Export::Linear => ("Gemm", parts(true), vec![int("transB", 1)]),
        Export::BatchNorm { epsilon } => {
            let parts = &["weight", "bias", "running_mean", "running_var"];
            ("BatchNormalization", parts, vec![float("epsilon", epsilon)])
        }
        Export::Conv { stride, padding: [rows, columns], bias } => {
            let mut settings = window([rows, columns, rows, columns], stride);
            settings.push(int("group", 1));
            ("Conv", parts(bias), settings)
        }
        Export::ConvTranspose { stride, padding, bias } => {
            let mut settings = window([padding; 4], [stride; 2]);
            settings.push(int("group", 1));
            ("ConvTranspose", parts(bias), settings)
        }
        Export::MaxPool { kernel, stride, padding, ceil } => {
            let mut settings = window([padding; 4], [stride; 2]);
            settings.extend([ints("kernel_shape", &[kernel; 2]), int("ceil_mode", u64::from(ceil))]);
            ("MaxPool", &[], settings)
        }
        Export::Input | Export::Identity | Export::Pad { .. } | Export::Crop { .. } => return None,
    })
}

/// The value that the network takes, made of the graph's input.
fn normalised(graph: &mut Graph<'_>, card: &ModelCard, pixels: Pixels) -> String {
    let scale = match pixels {
        Pixels::Normalised => return INPUT.to_owned(),
        Pixels::Unit => 1.0,
        Pixels::Bytes => 255.0,
    };
    let shape = [1, card.spec.bands, 1, 1];
    let scaled = |values: &[f32]| values.iter().map(|x| x * scale).collect::<Vec<f32>>();
    graph.floats("input.mean", &shape, &scaled(&card.normalisation.mean));
    graph.floats("input.std", &shape, &scaled(&card.normalisation.std));
    graph.node("Sub", "input.centred", &[INPUT, "input.mean"], &[]);
    graph.node("Div", "input.normalised", &["input.centred", "input.std"], &[]);
    "input.normalised".to_owned()
}

/// The rows and columns of `value`, as two integers; the name of that.
fn sides(graph: &mut Graph<'_>, name: &str, value: &str) -> String {
    let [shape, two, four, sides] = ["shape", "two", "four", "sides"].map(|part| format!("{name}.{part}"));
    graph.integers(&two, &[2]);
    graph.integers(&four, &[4]);
    graph.node("Shape", &shape, &[value], &[]);
    graph.node("Slice", &sides, &[&shape, &two, &four], &[]);
    sides
}

/// Zeros at the bottom and right up to multiples of `multiple`; with `misfits`, only if the remainder of a side lies
/// between these two.
fn pad(graph: &mut Graph<'_>, name: &str, value: &str, multiple: usize, misfits: Option<[usize; 2]>) {
    let sides = sides(graph, name, value);
    let part = |part: &str| format!("{name}.{part}");
    let [step, before, missing, pads] = ["step", "before", "missing", "pads"].map(part);
    graph.integers(&step, &[multiple as i64]);
    graph.integers(&before, &[0; 6]);
    graph.node("Neg", &part("negative"), &[&sides], &[]);
    // ONNX's remainder has the sign of the divisor.
    graph.node("Mod", &missing, &[&part("negative"), &step], &[]);
    let mut rest = missing;
    if let Some([least, most]) = misfits {
        graph.integers(&part("least"), &[least as i64]);
        graph.integers(&part("most"), &[most as i64]);
        graph.node("Mod", &part("rest"), &[&sides, &step], &[]);
        graph.node("GreaterOrEqual", &part("from"), &[&part("rest"), &part("least")], &[]);
        graph.node("LessOrEqual", &part("to"), &[&part("rest"), &part("most")], &[]);
        graph.node("And", &part("misfits"), &[&part("from"), &part("to")], &[]);
        graph.node("Cast", &part("each"), &[&part("misfits")], &[int("to", 7)]);
        graph.node("ReduceMax", &part("any"), &[&part("each")], &[ints("axes", &[0]), int("keepdims", 1)]);
        graph.node("Mul", &part("added"), &[&rest, &part("any")], &[]);
        rest = part("added");
    }
    graph.node("Concat", &pads, &[&before, &rest], &[int("axis", 0)]);
    graph.node("Pad", name, &[value, &pads], &[]);
}

/// `value` cut to the rows and columns of `like`, from `offset` on.
fn crop(graph: &mut Graph<'_>, name: &str, value: &str, like: &str, offset: usize) {
    let sides = sides(graph, name, like);
    let [corner, end, axes] = ["corner", "end", "axes"].map(|part| format!("{name}.{part}"));
    graph.integers(&corner, &[offset as i64; 2]);
    graph.integers(&axes, &[2, 3]);
    graph.node("Add", &end, &[&sides, &corner], &[]);
    graph.node("Slice", name, &[value, &corner, &end, &axes], &[]);
}
