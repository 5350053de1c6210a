//! RTen: an ONNX file.

use std::sync::Arc;

use rten::{ModelOptions, RunOptions, ThreadPool, ValueView};
use rten_tensor::prelude::*;

use crate::npy::Array;
use crate::{Done, Failure, Task};

/// Runs the file.
pub fn run(task: &Task) -> Result<Done, Failure> {
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(&task.model)?;
    let pool = Arc::new(ThreadPool::with_num_threads(task.threads));
    let (times, output) = task.plan.time(|| {
        let input = ValueView::from_shape(task.input.shape.as_slice(), task.input.data.as_slice())?;
        let mut options = RunOptions::default();
        options.thread_pool = Some(Arc::clone(&pool));
        Ok(model.run_one(input.into(), Some(options))?)
    })?;
    let output: rten_tensor::NdTensor<f32, 4> = output.try_into()?;
    Ok(Done { times, output: Array { shape: output.shape(), data: output.to_vec() } })
}
