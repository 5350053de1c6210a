//! The real binary in fresh folders, on data that the tests make.

mod bad_input;
mod bench;
mod commands;
mod map;
mod report;
mod score;
mod support;
mod train;
