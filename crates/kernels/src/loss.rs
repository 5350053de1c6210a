//! Losses of class scores, each with its gradient.
//!
//! Cross-entropy judges pixel by pixel. The others judge regions: what a class covers against what it should cover,
//! over all pixels of a call.

mod cross_entropy;
mod dice;
mod lovasz;
mod region;
mod softmax;
#[cfg(test)]
mod testing;

pub use cross_entropy::{CrossEntropy, cross_entropy, target_weight};
pub use dice::dice;
pub use lovasz::lovasz_softmax;
pub use region::region_bytes;
pub use softmax::softmax;

/// The label of a pixel that does not count.
pub const IGNORE: u16 = u16::MAX;

/// A loss before its division, so that batches and ranks can be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossValue {
    /// The sum of the weighted losses.
    pub sum: f64,
    /// The sum of the weights of the targets.
    pub weight: f64,
}

impl LossValue {
    /// The weighted mean; 0 where nothing counted.
    pub fn mean(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { self.sum / self.weight }
    }
}

impl std::ops::AddAssign for LossValue {
    fn add_assign(&mut self, other: LossValue) {
        self.sum += other.sum;
        self.weight += other.weight;
    }
}
