//! How long training steps and predictions take on this machine.

use std::time::{Duration, Instant};

use hectare_kernels::loss::{CrossEntropy, cross_entropy};
use hectare_kernels::{AlignedVec, Isa};
use hectare_net::{Geometry, ModelKind, ModelSpec, Predictor, Shape, StepKey, Trainer, initialise};
use hectare_train::{Optimiser, Preset, Task, TrainConfig};

use crate::failure::{Failure, OrFail};

/// Time for each measurement, after one step that is not counted.
const MEASURED: Duration = Duration::from_secs(5);

/// Seconds of one picture of a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Pictures of this many pixels.
    pub pixels: f64,
    /// Seconds that each takes while training, the optimiser included.
    pub train_s: f64,
    /// Seconds that each takes to be predicted.
    pub predict_s: f64,
}

impl Pace {
    /// Seconds of training a picture of other pixels: the work is that of convolutions.
    pub fn train_of(&self, pixels: f64) -> f64 {
        self.train_s * pixels / self.pixels
    }

    /// Seconds of predicting a picture of other pixels.
    pub fn predict_of(&self, pixels: f64) -> f64 {
        self.predict_s * pixels / self.pixels
    }
}

/// Pixels that a network sees of a picture of `side`.
pub fn seen(side: f64, geometry: Geometry) -> f64 {
    match geometry {
        // The first convolution pads by 100 on every side.
        Geometry::Caffe => (side + 198.0).powi(2),
        _ => side.powi(2),
    }
}

/// Measures a network on random numbers: batches of `n` pictures of `side`.
///
/// # Errors
/// A size that the network cannot take.
pub fn measure(model: ModelKind, preset: Preset, width: f64, side: usize, n: usize) -> Result<Pace, Failure> {
    let task = if model.is_classifier() { Task::Classify } else { Task::Segment };
    let settings = TrainConfig::preset(task, preset, model, false);
    let mut spec = ModelSpec::new(model);
    (spec.width, spec.geometry, spec.head, spec.input) =
        (width, settings.geometry, settings.head, [side, side]);
    let network = hectare_net::build(&spec).or_input()?;
    let isa = Isa::best();
    let shape = Shape { c: spec.bands, h: side, w: side };
    let result = network.output_shape(shape).or_input()?;
    let mut params = initialise(&network, 1);
    let mut images = AlignedVec::zeroed(n * shape.len());
    for (index, value) in images.iter_mut().enumerate() {
        *value = (index * 7919 % 1009) as f32 / 504.5 - 1.0;
    }
    let labels: Vec<u16> = (0..n * result.h * result.w).map(|i| (i % result.c) as u16).collect();
    let entropy = CrossEntropy { classes: result.c, weights: None, label_smoothing: 0.0 };
    let mut loss = |logits: &[f32], gradient: &mut [f32]| {
        cross_entropy(isa, &entropy, logits, &labels, Some(gradient)).mean()
    };
    let mut gradients = AlignedVec::zeroed(params.layout.total);
    let mut optimiser = Optimiser::new(&settings, &params.layout);
    let mut trainer = Trainer::new(&network, isa, n, side, side).or_work()?;
    let mut step = 0;
    let train_s = timed(&mut || {
        step += 1;
        let key = StepKey { seed: 0, step };
        trainer.step(&mut params, n, side, side, &images, key, &mut loss, &mut gradients, false).or_work()?;
        optimiser.step(isa, 1e-5, step, &mut params.values, &mut gradients);
        Ok(())
    })?;
    drop((trainer, gradients, optimiser));
    let mut predictor = Predictor::new(network, params, isa).or_work()?;
    let predict_s = timed(&mut || predictor.run(n, side, side, &images).map(|_| ()).or_work())?;
    Ok(Pace {
        pixels: seen(side as f64, spec.geometry),
        train_s: train_s / n as f64,
        predict_s: predict_s / n as f64,
    })
}

/// Seconds of one run, the mean over some.
fn timed(run: &mut dyn FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    run()?;
    let (begun, mut runs) = (Instant::now(), 0);
    while runs < 2 || begun.elapsed() < MEASURED && runs < 50 {
        run()?;
        runs += 1;
    }
    Ok(begun.elapsed().as_secs_f64() / f64::from(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_grows_with_the_pixels() {
        let pace = measure(ModelKind::Fcn8s, Preset::Modern, 0.03125, 32, 1).unwrap();
        assert!(pace.train_s > 0.0 && pace.predict_s > 0.0 && pace.pixels == 1024.0);
        assert_eq!(pace.train_of(4096.0), 4.0 * pace.train_s);
        assert_eq!(seen(512.0, Geometry::Caffe) / seen(512.0, Geometry::Modern), 504100.0 / 262144.0);
    }
}
