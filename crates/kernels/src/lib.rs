//! Numeric kernels for convolutional networks on the CPU.
//!
//! Everything here works on plain `f32` slices in NHWC order and on shapes given in letters:
//! `N` images, `H` rows, `W` columns, `C` input channels, `K` output channels. A forward pass stands
//! beside its gradients. The crate knows nothing of networks or files.
//!
//! Each kernel takes an [`Isa`], the proof that the CPU has the instructions it is about to run, and
//! is cut into tasks by shape alone, so that the bits of a result do not depend on the number of
//! threads. All `unsafe` code of the project is in this crate.

pub mod activation;
mod aligned;
mod amx;
pub mod batch_norm;
mod chunks;
mod conv;
pub mod conv_transpose;
mod dispatch;
pub mod dropout;
pub mod elementwise;
mod gemm;
mod isa;
pub mod layout;
pub mod loss;
mod math;
pub mod matmul;
pub mod nearest;
pub mod optim;
pub mod plane;
pub mod pool;
pub mod reduce;
pub mod rng;
mod scratch;
pub mod simd;
#[cfg(test)]
mod testing;
pub mod threads;

pub use aligned::AlignedVec;
pub use conv::{Conv2d, Conv2dShape};
pub use isa::Isa;
