//! Event files that TensorBoard reads: scalars of every epoch and of steps, masks and the confusion matrix as
//! pictures.
//!
//! A file is a TFRecord of `Event` messages. Both are small and stable, so they are written here: see
//! `tensorflow/core/util/event.proto` and `tensorflow/core/lib/io/record_writer.cc` of TensorFlow.

mod crc32c;
mod events;
mod proto;
mod writer;

pub use events::EventLog;
pub use writer::EventWriter;
