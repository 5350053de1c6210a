//! The network's input.

use super::{Backward, Export, Forward, Operation};
use crate::Shape;

/// The node that stands for the input.
#[derive(Clone, Debug)]
pub struct Input {
    bands: usize,
}

impl Input {
    /// An input of `bands` channels.
    pub fn new(bands: usize) -> Input {
        Input { bands }
    }
}

impl Operation for Input {
    fn kind(&self) -> &'static str {
        "Input"
    }

    fn arity(&self) -> usize {
        0
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let shape = inputs[0];
        if shape.c != self.bands {
            return Err(format!("the network takes {} channels", self.bands));
        }
        if shape.is_empty() {
            return Err("no side may be zero".to_owned());
        }
        Ok(shape)
    }

    fn export(&self) -> Option<Export> {
        Some(Export::Input)
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    fn forward(&self, _args: Forward<'_>) {}

    fn backward(&self, _args: Backward<'_>) {}
}
