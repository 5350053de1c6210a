//! The operations, one file each: shape rule, printed line, counts, forward and gradients together.
//!
//! To add one: write its file with an [`Operation`] and list it below.

mod add;
mod batch_norm2d;
mod concat;
mod conv2d;
mod conv_transpose2d;
mod crop;
mod dropout;
mod flatten;
mod input;
mod linear;
mod max_pool2d;
mod operation;
mod pad;
mod relu;

pub use add::Add;
pub use batch_norm2d::BatchNorm2d;
pub use concat::Concat;
pub use conv_transpose2d::ConvTranspose2d;
pub use conv2d::Conv2d;
pub use crop::Crop;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use input::Input;
pub use linear::Linear;
pub use max_pool2d::MaxPool2d;
pub use operation::{
    Backward, BufferSpec, Export, Forward, InPlace, Init, MAX_INPUTS, Needs, Operation, ParamSpec, Pattern,
    Phase, Reads, Site,
};
pub use pad::Pad;
pub use relu::Relu;
