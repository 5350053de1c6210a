//! tract: an ONNX file, optimised for the input's shape.

use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

use crate::npy::Array;
use crate::{Done, Failure, Task};

/// Runs the file.
pub fn run(task: &Task) -> Result<Done, Failure> {
    set_default_executor(Executor::multithread(task.threads));
    let model = tract_onnx::onnx()
        .model_for_path(&task.model)?
        .with_input_fact(0, f32::fact(task.input.shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let input = Tensor::from_shape(&task.input.shape, &task.input.data)?;
    let (times, output) = task.plan.time(|| Ok(model.run(tvec!(input.clone().into()))?))?;
    let view = output[0].to_plain_array_view::<f32>()?;
    let shape = view.shape().try_into()?;
    Ok(Done { times, output: Array { shape, data: view.iter().copied().collect() } })
}
