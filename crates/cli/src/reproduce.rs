//! What `hectare reproduce` does, in stages, and how long they take.

pub mod pace;
pub mod plan;
