//! Predictions and training steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hectare_kernels::layout::{nchw_to_nhwc, nhwc_to_nchw};
use hectare_kernels::loss::{CrossEntropy, cross_entropy};
use hectare_kernels::{AlignedVec, Isa};
use hectare_net::weights::{load_into, read};
use hectare_net::{
    Mode, ModelKind, Network, Params, Predictor, StepKey, Trainer, estimate_memory, initialise,
};
use hectare_train::{Optimiser, OptimiserKind, Preset, Task, TrainConfig, npy};

use super::stopwatch::{Plan, labels, normal};
use super::workload::{Batch, Subject, Work, Workload};
use crate::failure::{Failure, OrFail};
use crate::output;

/// Files that take the place of drawn numbers, for comparisons with other programs.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The network's state_dict; a trunk takes its part of any of them.
    pub weights: Option<PathBuf>,
    /// N x C x H x W numbers.
    pub input: Option<PathBuf>,
    /// Where the result goes, N x K x H x W numbers.
    pub save: Option<PathBuf>,
}

impl Files {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_none() && self.input.is_none() && self.save.is_none()
    }
}

/// Bytes that a workload takes, as far as they can be told.
///
/// # Errors
/// A size that the network cannot take.
pub fn needed_bytes(workload: &Workload) -> Result<u64, Failure> {
    let (subject, mode) = match workload.work {
        Work::Predict(subject) => (subject, Mode::Predict),
        Work::Train(model) => {
            (Subject::Model(model), Mode::Train { optimiser_slots: 1, recompute: false, trainable: None })
        }
        Work::Layer(..) => return Ok(0),
    };
    let network = subject.network(workload.batch.side).or_input()?;
    let (n, shape) = (workload.batch.n, workload.batch.shape());
    let result = network.output_shape(shape).or_input()?.len();
    let estimate = estimate_memory(&network, n, shape, mode).or_input()?;
    // Two copies of the weights live while the predictor is made.
    let copies = 2 * 4 * network.layout().total as u64;
    Ok(estimate.total.max(copies) + 4 * (n * (shape.len() + result)) as u64)
}

/// Seconds of each prediction.
///
/// # Errors
/// Files that are not the network's (exit code 2), or a result that cannot be written.
pub fn predict(subject: Subject, batch: Batch, files: &Files, plan: &Plan) -> Result<Vec<f64>, Failure> {
    let network = subject.network(batch.side).or_input()?;
    let Batch { n, side } = batch;
    let params = match &files.weights {
        Some(path) => load(path, subject, &network)?,
        None => initialise(&network, 0),
    };
    let images = match &files.input {
        Some(path) => read_images(path, batch)?,
        None => normal("images", n * batch.shape().len(), 1.0),
    };
    let mut predictor = Predictor::new(network, params, Isa::best()).or_work()?;
    // Packs the weights and finds what cannot run.
    predictor.run(n, side, side, &images).or_work()?;
    let times = plan.time(|| {
        let _ = predictor.run(n, side, side, &images);
    });
    if let Some(path) = &files.save {
        let result = predictor.run(n, side, side, &images).or_work()?;
        let shape = result.shape;
        let mut planes = vec![0.0; result.data.len()];
        nhwc_to_nchw(result.data, n, shape.h, shape.w, shape.c, &mut planes);
        output::create_folder(&output::parent(path))?;
        npy::write(path, &[n, shape.c, shape.h, shape.w], &planes).or_work()?;
    }
    Ok(times)
}

/// The parameters in the file.
fn load(path: &Path, subject: Subject, network: &Network) -> Result<Params, Failure> {
    let mut file = read(path).or_input()?;
    if subject == Subject::Trunk {
        file.tensors.retain(|tensor| tensor.name.starts_with("features."));
    }
    let mut params = Params::zeroed(Arc::clone(network.layout()));
    load_into(&file, network, &mut params, false).or_input()?;
    Ok(params)
}

/// The images in the file, N x H x W x C.
fn read_images(path: &Path, batch: Batch) -> Result<AlignedVec, Failure> {
    let (shape, planes) = npy::read(path).or_input()?;
    let (n, one) = (batch.n, batch.shape());
    let wanted = [n, one.c, one.h, one.w];
    if shape != wanted {
        let text = |sides: &[usize]| sides.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        return Err(Failure::input(format_args!("{} is {}", path.display(), text(&shape)))
            .help(format_args!("this workload takes {}", text(&wanted))));
    }
    let mut images = AlignedVec::zeroed(planes.len());
    nchw_to_nhwc(&planes, n, one.c, one.h, one.w, &mut images);
    Ok(images)
}

/// Seconds of each training step on the same random batch: the gradients of the loss, then SGD at a rate of
/// 1e-3 with momentum 0.9 and a decay of 5e-4 for all parameters.
///
/// # Errors
/// A loss that is no number.
pub fn train(model: ModelKind, batch: Batch, plan: &Plan) -> Result<Vec<f64>, Failure> {
    let network = Subject::Model(model).network(batch.side).or_input()?;
    let Batch { n, side } = batch;
    let isa = Isa::best();
    let result = network.output_shape(batch.shape()).or_input()?;
    let images = normal("images", n * batch.shape().len(), 1.0);
    let labels = labels(n * result.h * result.w, result.c);
    let entropy = CrossEntropy { classes: result.c, weights: None, label_smoothing: 0.0 };

    let mut params = initialise(&network, 0);
    let mut gradients = AlignedVec::zeroed(params.layout.total);
    let task = if model.is_classifier() { Task::Classify } else { Task::Segment };
    let settings = TrainConfig {
        optimiser: OptimiserKind::Sgd,
        momentum: 0.9,
        weight_decay: 5e-4,
        decay_biases: true,
        trunk_lr_factor: 1.0,
        clip_norm: None,
        ..TrainConfig::preset(task, Preset::Course, model, false)
    };
    let mut optimiser = Optimiser::new(&settings, &params.layout);
    let mut trainer = Trainer::new(&network, isa, n, side, side).or_work()?;
    let mut loss = |logits: &[f32], gradient: &mut [f32]| {
        cross_entropy(isa, &entropy, logits, &labels, Some(gradient)).mean()
    };
    let (mut step, mut last) = (0, Ok(0.0));
    let times = plan.time(|| {
        step += 1;
        let key = StepKey { seed: 0, step };
        last = trainer.step(&mut params, n, side, side, &images, key, &mut loss, &mut gradients, false);
        optimiser.step(isa, 1e-3, step, &mut params.values, &mut gradients);
    });
    let last = last.or_work()?;
    // Arithmetic on infinities and NaN has a speed of its own.
    if !last.is_finite() {
        return Err(Failure::work(format_args!("the loss is {last} after {step} steps")));
    }
    Ok(times)
}
