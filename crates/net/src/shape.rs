//! The shape of one sample, and what is wrong when shapes do not fit.

use std::fmt;

/// The shape of one sample's map: `c` channels of `h` rows and `w` columns. A batch is `n` of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Shape {
    /// Channels, C.
    pub c: usize,
    /// Rows, H.
    pub h: usize,
    /// Columns, W.
    pub w: usize,
}

impl Shape {
    /// `c` channels of `h` x `w`.
    pub const fn new(c: usize, h: usize, w: usize) -> Shape {
        Shape { c, h, w }
    }

    /// Numbers in one sample.
    pub fn len(self) -> usize {
        self.c * self.h * self.w
    }

    /// Whether a side is zero.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.c, self.h, self.w)
    }
}

/// A node that cannot take the shapes that arrive at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    /// The node's name.
    pub node: String,
    /// The operation's kind, as `Conv2d`.
    pub kind: &'static str,
    /// The shapes that arrive, C x H x W.
    pub inputs: Vec<Shape>,
    /// What the operation wants instead.
    pub problem: String,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} ({}) cannot take ", self.node, self.kind)?;
        for (i, shape) in self.inputs.iter().enumerate() {
            let between = if i == 0 { "" } else { " and " };
            write!(f, "{between}{shape}")?;
        }
        write!(f, " (C x H x W): {}", self.problem)
    }
}

impl std::error::Error for ShapeError {}
