//! The table of a network's nodes.

use std::fmt;

use serde::Serialize;

use crate::table::aligned;
use crate::{Network, Shape, ShapeError};

/// One row: a node, what it gives and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeSummary {
    /// The node's name, as `features.0`.
    pub name: String,
    /// The operation, as `Conv2d`.
    pub op: &'static str,
    /// Shape of one sample of its value.
    pub output: Shape,
    /// Number of parameters.
    pub params: u64,
    /// Floating point operations for the batch; a multiplication and an addition are two.
    pub flops: u64,
    /// Bytes of its value for the batch, as if it were kept apart.
    pub activation_bytes: u64,
}

/// A network for one input size, node by node. `Display` gives PyTorch's print and the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The network's class name.
    pub network: String,
    /// PyTorch's print.
    pub repr: String,
    /// Images in the batch, N.
    pub batch: usize,
    /// Shape of one sample of the input.
    pub input: Shape,
    /// Shape of one sample of the output.
    pub output: Shape,
    /// All nodes, in the order in which they run.
    pub nodes: Vec<NodeSummary>,
    /// Number of parameters.
    pub params: u64,
    /// Floating point operations of a forward pass over the batch.
    pub flops: u64,
    /// Bytes of all values of the batch, as if each were kept apart.
    pub activation_bytes: u64,
}

/// Summarises `net` for `n` inputs of that shape.
///
/// # Errors
/// When the shape does not fit the network.
pub fn summary(net: &Network, input: Shape, n: usize) -> Result<Summary, ShapeError> {
    let shapes = net.infer(input)?;
    let row = |(index, node): (usize, &crate::Node)| {
        let arriving: Vec<Shape> = node.inputs.iter().map(|&from| shapes[from]).collect();
        NodeSummary {
            name: node.name.clone(),
            op: node.op.kind(),
            output: shapes[index],
            params: net.layout().node_params[index].len() as u64,
            flops: n as u64 * node.op.flops(&arriving, shapes[index]),
            activation_bytes: 4 * (n * shapes[index].len()) as u64,
        }
    };
    let nodes: Vec<NodeSummary> = net.nodes().iter().enumerate().map(row).collect();
    Ok(Summary {
        network: net.name().to_owned(),
        repr: net.to_string(),
        batch: n,
        input,
        output: shapes[net.output()],
        params: nodes.iter().map(|node| node.params).sum(),
        flops: nodes.iter().map(|node| node.flops).sum(),
        activation_bytes: nodes.iter().map(|node| node.activation_bytes).sum(),
        nodes,
    })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head =
            ["node", "operation", "output (C x H x W)", "parameters", "MFLOP", "MiB"].map(str::to_owned);
        let row = |node: &NodeSummary| {
            [
                node.name.clone(),
                node.op.to_owned(),
                node.output.to_string(),
                grouped(node.params),
                mega(node.flops),
                mib(node.activation_bytes),
            ]
        };
        let total = [
            "total".to_owned(),
            String::new(),
            String::new(),
            grouped(self.params),
            mega(self.flops),
            mib(self.activation_bytes),
        ];
        let rows: Vec<[String; 6]> =
            std::iter::once(head).chain(self.nodes.iter().map(row)).chain(std::iter::once(total)).collect();
        writeln!(f, "{}", self.repr)?;
        writeln!(f)?;
        writeln!(f, "batch of {}, input {}, output {}", self.batch, self.input, self.output)?;
        f.write_str(&aligned(&rows, 3))
    }
}

/// 134,285,207
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn mega(flops: u64) -> String {
    format!("{:.1}", flops as f64 / 1e6)
}

fn mib(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / (1 << 20) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelKind, ModelSpec, build};

    #[test]
    fn counts_of_vgg16() {
        let net = build(&ModelSpec::new(ModelKind::Vgg16)).unwrap();
        let table = summary(&net, Shape::new(3, 128, 128), 1).unwrap();
        // torchvision's trunk has 14,714,688 parameters; the head 8192 * 50 + 50.
        assert_eq!(table.params, 14_714_688 + 409_650);
        let first = &table.nodes[1];
        assert_eq!((first.params, first.flops), (1792, (2 * 27 + 1) * 64 * 128 * 128));
        let text = table.to_string();
        assert!(text.contains("features.0"), "{text}");
        assert!(text.contains("15,124,338"), "{text}");
    }
}
