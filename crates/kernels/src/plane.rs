//! Forces between points of the plane under the kernel `q = 1 / (1 + d^2)`, as t-SNE has them: attraction along
//! the entries of a sparse matrix, repulsion between all pairs.
//!
//! Points lie as x, y, x, y. Sums over a point's partners run in `f32` in as many lanes as a vector has, sums
//! over points in `f64`, both in an order that depends on the sizes alone.

mod attraction;
mod repulsion;
mod sparse;

pub use attraction::{attraction, log_distances};
pub use repulsion::{Repulsion, repulsion};
pub use sparse::SparseRows;
