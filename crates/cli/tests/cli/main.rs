//! The real binary in fresh folders, on data that the tests make.

mod bad_files;
mod bad_input;
mod bench;
mod commands;
mod data_check;
mod embedding;
mod maps;
mod onnx;
mod report;
mod scenes;
mod score;
mod support;
mod train;
mod tune;
mod weights;
