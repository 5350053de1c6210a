//! One file per command.

pub mod area;
pub mod bench;
pub mod convert;
pub mod data_check;
pub mod data_tile;
pub mod demo;
pub mod embed;
pub mod eval;
pub mod init;
pub mod polygons;
pub mod predict;
pub mod report;
pub mod reproduce;
pub mod sample;
pub mod score;
pub mod summary;
pub mod train;
pub mod tsne;
pub mod tune;
