//! Batch normalisation.

use hectare_kernels::batch_norm::{Running, batch_norm_eval, batch_norm_grad, batch_norm_train};

use super::{Backward, BufferSpec, Export, Forward, Init, Needs, Operation, ParamSpec, Phase, Reads, Site};
use crate::{BufferKind, Role, Shape};

const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// Normalisation of each channel (Ioffe and Szegedy 2015), by the batch's statistics while training and by
/// the running ones otherwise, with PyTorch's defaults.
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    channels: usize,
}

impl BatchNorm2d {
    /// Of `channels` channels.
    pub fn new(channels: usize) -> BatchNorm2d {
        BatchNorm2d { channels }
    }
}

impl Operation for BatchNorm2d {
    fn kind(&self) -> &'static str {
        "BatchNorm2d"
    }

    fn module(&self) -> Option<String> {
        Some(format!(
            "BatchNorm2d({}, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
            self.channels
        ))
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = inputs[0];
        if input.c != self.channels {
            return Err(format!("it takes {} channels, as {0}x{}x{}", self.channels, input.h, input.w));
        }
        Ok(input)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let spec = |suffix, role, init| ParamSpec { suffix, shape: vec![self.channels], role, init };
        vec![spec("weight", Role::NormWeight, Init::Ones), spec("bias", Role::NormBias, Init::Zeros)]
    }

    fn buffers(&self) -> Vec<BufferSpec> {
        let spec = |suffix, shape, kind| BufferSpec { suffix, shape, kind };
        vec![
            spec("running_mean", vec![self.channels], BufferKind::RunningMean),
            spec("running_var", vec![self.channels], BufferKind::RunningVar),
            spec("num_batches_tracked", vec![], BufferKind::BatchesTracked),
        ]
    }

    fn export(&self) -> Option<Export> {
        Some(Export::BatchNorm { epsilon: EPS })
    }

    fn flops(&self, _inputs: &[Shape], output: Shape) -> u64 {
        2 * output.len() as u64
    }

    fn needs(&self, _site: &Site<'_>) -> Needs {
        Needs { saved: 2 * self.channels, ..Needs::default() }
    }

    fn forward(&self, args: Forward<'_>) {
        let (isa, c) = (args.site.isa, self.channels);
        let (weight, bias) = args.params.split_at(c);
        match args.phase {
            Phase::Predict { buffers } => {
                let (mean, var) = (&buffers[..c], &buffers[c..2 * c]);
                batch_norm_eval(isa, args.inputs[0], c, weight, bias, mean, var, EPS, args.output);
            }
            Phase::Train { buffers, .. } => {
                let (mean, rest) = buffers.split_at_mut(c);
                let (var, batches) = rest.split_at_mut(c);
                let (save_mean, save_inv_std) = args.saved.split_at_mut(c);
                let running = Running { momentum: MOMENTUM, mean, var };
                batch_norm_train(
                    isa,
                    args.inputs[0],
                    c,
                    weight,
                    bias,
                    EPS,
                    args.output,
                    save_mean,
                    save_inv_std,
                    Some(running),
                );
                batches[0] += 1.0;
            }
        }
    }

    fn backward_reads(&self, _trainable: &[bool]) -> Reads {
        Reads { inputs: true, gradients: true, ..Reads::default() }
    }

    fn backward(&self, args: Backward<'_>) {
        let c = self.channels;
        let (dweight, dbias) = args.dparams.split_at_mut(c);
        let (mean, inv_std) = args.saved.split_at(c);
        let [dx, ..] = args.dinputs;
        batch_norm_grad(
            args.site.isa,
            args.inputs[0],
            args.doutput,
            c,
            &args.params[..c],
            mean,
            inv_std,
            dx,
            dweight,
            dbias,
            args.accumulate,
        );
    }
}
