//! The messages of onnx.proto3 that a network needs, written field by field.

/// A side of an input or output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Fixed(usize),
    Free(&'static str),
}

/// A GraphProto in the making. Values are known by name; a node gives one value.
#[derive(Default)]
pub(super) struct Graph<'a> {
    nodes: Vec<u8>,
    /// Small constants.
    constants: Vec<u8>,
    weights: Vec<Weights<'a>>,
}

/// A TensorProto whose numbers are still where the network has them.
struct Weights<'a> {
    /// Its shape, type and name, and the tag and length of its numbers.
    header: Vec<u8>,
    values: &'a [f32],
}

impl<'a> Graph<'a> {
    /// A node of that kind that gives the value `name`.
    pub fn node(&mut self, kind: &str, name: &str, inputs: &[&str], attributes: &[Vec<u8>]) {
        let mut node = Vec::new();
        inputs.iter().for_each(|input| bytes(&mut node, 1, input.as_bytes()));
        bytes(&mut node, 2, name.as_bytes());
        // Some readers want values and nodes to differ in name.
        bytes(&mut node, 3, format!("{name}/{kind}").as_bytes());
        bytes(&mut node, 4, kind.as_bytes());
        attributes.iter().for_each(|attribute| bytes(&mut node, 5, attribute));
        bytes(&mut self.nodes, 1, &node);
    }

    /// A constant of 64-bit integers.
    pub fn integers(&mut self, name: &str, values: &[i64]) {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(name, &[values.len()], 7, &raw);
    }

    /// A constant of f32 numbers.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(name, shape, 1, &raw);
    }

    fn constant(&mut self, name: &str, shape: &[usize], kind: u64, raw: &[u8]) {
        let mut tensor = tensor_header(name, shape, kind, raw.len());
        tensor.extend_from_slice(raw);
        bytes(&mut self.constants, 5, &tensor);
    }

    /// Parameters, which are copied once, by [`Graph::write`].
    pub fn weights(&mut self, name: &str, shape: &[usize], values: &'a [f32]) {
        self.weights.push(Weights { header: tensor_header(name, shape, 1, size_of_val(values)), values });
    }

    /// Adds the graph to a ModelProto: `ports` is the inputs and outputs.
    pub fn write(&self, model: &mut Vec<u8>, name: &str, ports: &[u8]) {
        let mut rest = Vec::new();
        bytes(&mut rest, 2, name.as_bytes());
        rest.extend_from_slice(ports);
        let weights = |w: &Weights<'_>| {
            let len = w.header.len() + size_of_val(w.values);
            1 + varint_len(len as u64) + len
        };
        let len = self.nodes.len()
            + self.constants.len()
            + self.weights.iter().map(weights).sum::<usize>()
            + rest.len();
        model.reserve(len + 16);
        varint(model, 7 << 3 | 2);
        varint(model, len as u64);
        model.extend_from_slice(&self.nodes);
        model.extend_from_slice(&self.constants);
        for w in &self.weights {
            varint(model, 5 << 3 | 2);
            varint(model, (w.header.len() + size_of_val(w.values)) as u64);
            model.extend_from_slice(&w.header);
            model.extend(w.values.iter().flat_map(|x| x.to_le_bytes()));
        }
        model.extend_from_slice(&rest);
    }
}

fn tensor_header(name: &str, shape: &[usize], kind: u64, len: usize) -> Vec<u8> {
    let mut header = Vec::new();
    shape.iter().for_each(|side| number(&mut header, 1, *side as u64));
    number(&mut header, 2, kind);
    bytes(&mut header, 8, name.as_bytes());
    varint(&mut header, 9 << 3 | 2);
    varint(&mut header, len as u64);
    header
}

/// A ValueInfoProto of f32 numbers.
pub(super) fn port(name: &str, sides: &[Side]) -> Vec<u8> {
    let mut shape = Vec::new();
    for side in sides {
        let mut dim = Vec::new();
        match side {
            Side::Fixed(size) => number(&mut dim, 1, *size as u64),
            Side::Free(name) => bytes(&mut dim, 2, name.as_bytes()),
        }
        bytes(&mut shape, 1, &dim);
    }
    let mut tensor = Vec::new();
    number(&mut tensor, 1, 1);
    bytes(&mut tensor, 2, &shape);
    let (mut kind, mut port) = (Vec::new(), Vec::new());
    bytes(&mut kind, 1, &tensor);
    bytes(&mut port, 1, name.as_bytes());
    bytes(&mut port, 2, &kind);
    port
}

pub(super) fn int(name: &str, value: u64) -> Vec<u8> {
    attribute(name, 2, |out| number(out, 3, value))
}

pub(super) fn ints(name: &str, values: &[usize]) -> Vec<u8> {
    attribute(name, 7, |out| values.iter().for_each(|value| number(out, 8, *value as u64)))
}

pub(super) fn float(name: &str, value: f32) -> Vec<u8> {
    attribute(name, 1, |out| {
        varint(out, 2 << 3 | 5);
        out.extend(value.to_le_bytes());
    })
}

fn attribute(name: &str, kind: u64, value: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    value(&mut out);
    number(&mut out, 20, kind);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

pub(super) fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_varints() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }

    #[test]
    fn the_announced_length_of_a_graph_is_its_length() {
        let values = vec![1.5; 300];
        let mut graph = Graph::default();
        graph.node("Relu", "y", &["x"], &[]);
        graph.integers("corner", &[0, 0]);
        graph.weights("w", &[300], &values);
        let mut model = Vec::new();
        graph.write(&mut model, "net", &[]);
        // Two bytes of tag and type, then the length as a varint of two bytes.
        let len = usize::from(model[1] & 127) | usize::from(model[2]) << 7;
        assert_eq!((model[0], model.len()), (7 << 3 | 2, 3 + len));
    }
}
