//! One file per command.

pub mod bench;
pub mod data_check;
pub mod demo;
pub mod embed;
pub mod eval;
pub mod init;
pub mod predict;
pub mod report;
pub mod reproduce;
pub mod score;
pub mod summary;
pub mod train;
pub mod tsne;
