//! Burn with its flex backend: VGG16's trunk, written with Burn's own operations.

use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

use crate::npy::Array;
use crate::{Done, Failure, Task};

/// torchvision's `features`: output channels, 0 for a pooling.
const TRUNK: [usize; 18] = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0];

enum Layer {
    Conv(Tensor<4>, Tensor<1>),
    Pool,
}

/// Runs the trunk.
pub fn run(task: &Task) -> Result<Done, Failure> {
    rayon::ThreadPoolBuilder::new().num_threads(task.threads).build_global()?;
    let device = Device::flex();
    let layers = load(task, &device)?;
    let x = Tensor::<4>::from_data(TensorData::new(task.input.data.clone(), task.input.shape), &device);
    let (times, output) = task.plan.time(|| {
        let mut x = x.clone();
        for layer in &layers {
            x = match layer {
                Layer::Conv(weight, bias) => {
                    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
                    relu(conv2d(x, weight.clone(), Some(bias.clone()), options))
                }
                Layer::Pool => max_pool2d(x, MaxPoolOptions::new([2, 2])),
            };
        }
        Ok(x)
    })?;
    let shape = output.dims();
    let data = output.into_data().try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
    Ok(Done { times, output: Array { shape, data } })
}

fn load(task: &Task, device: &Device) -> Result<Vec<Layer>, Failure> {
    let bytes = std::fs::read(&task.model)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let numbers = |name: &str| -> Result<(Vec<usize>, Vec<f32>), Failure> {
        let tensor = file.tensor(name)?;
        let data =
            tensor.data().as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
        Ok((tensor.shape().to_vec(), data))
    };
    let mut index = 0;
    let mut layers = Vec::new();
    for outputs in TRUNK {
        if outputs == 0 {
            layers.push(Layer::Pool);
            index += 1;
            continue;
        }
        let (shape, weight) = numbers(&format!("features.{index}.weight"))?;
        let (_, bias) = numbers(&format!("features.{index}.bias"))?;
        layers.push(Layer::Conv(
            Tensor::from_data(TensorData::new(weight, shape), device),
            Tensor::from_data(TensorData::new(bias, [outputs]), device),
        ));
        index += 2;
    }
    Ok(layers)
}
