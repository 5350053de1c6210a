//! The pictures that `hectare demo` draws for itself.

mod dice;
pub mod land;
pub mod shapes;
