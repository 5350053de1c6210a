//! The pictures that `hectare demo` draws for itself.

mod dice;
mod font;
pub mod land;
pub mod shapes;
pub mod sheet;
