//! What `hectare bench` measures, and how.

pub mod layer;
pub mod machine;
pub mod network;
pub mod report;
pub mod stopwatch;
pub mod workload;
