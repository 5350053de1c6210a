//! The steps of an epoch.

use std::sync::Arc;
use std::time::Instant;

use hectare_data::{Batch, Loader, epoch_batches};
use hectare_kernels::loss::{CrossEntropy, LossValue, target_weight};
use hectare_net::StepKey;

use super::session::Run;
use crate::error::TrainError;
use crate::events::Event;
use crate::objective::Objective;

impl Run<'_> {
    /// Steps in a whole epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.source.count().div_ceil(self.config.step_size())
    }

    /// Trains what is left of the epoch; gives the rate of its last step.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] after a step at whose end the observer asked for it.
    pub fn train_epoch(&mut self) -> Result<f64, TrainError> {
        let (epoch, begun) = (self.epoch + 1, Instant::now());
        // Data counts epochs from 0.
        let number = self.epoch as u64;
        let config = &self.config;
        let order = Some((config.seed, number));
        let mut steps = epoch_batches(self.source.count(), config.step_size(), order);
        if let Some(all) = config.steps {
            steps.truncate(all.saturating_sub(number * steps.len() as u64) as usize);
        }
        let count = steps.len();
        self.observer.event(&Event::EpochStart { epoch, epochs: config.epochs, steps: count });
        let before = self.partial.clone();
        let (mut loader, sizes) = self.load(number, &steps[before.steps.min(count)..]);
        let mut lr = self.rate(self.step.saturating_sub(1));
        for size in sizes {
            let batches = next_step(&mut loader, size)?;
            lr = self.rate(self.step);
            let value = self.step(&batches, lr)?;
            let partial = &mut self.partial;
            partial.steps += 1;
            partial.loss_sum += value.sum;
            partial.loss_weight += value.weight;
            partial.images += batches.iter().map(|batch| batch.n).sum::<usize>();
            partial.seconds = before.seconds + begun.elapsed().as_secs_f64();
            partial.waited = before.waited + loader.waited().as_secs_f64();
            self.observer.event(&Event::Step {
                epoch,
                done: self.partial.steps,
                steps: count,
                loss: value.mean(),
                lr,
                images_per_s: self.partial.images as f64 / self.partial.seconds.max(1e-9),
            });
            if self.observer.should_stop() {
                return Err(TrainError::Stopped);
            }
            if self.partial.steps < count && self.is_due() {
                self.checkpoint(&[])?;
            }
        }
        self.partial.seconds = before.seconds + begun.elapsed().as_secs_f64();
        Ok(lr)
    }

    /// Loads the pictures of some steps of epoch `number` (from 0) ahead; each step is as many batches as is said.
    pub fn load(&self, number: u64, steps: &[Vec<usize>]) -> (Loader, Vec<usize>) {
        let config = &self.config;
        let parts = steps.iter().map(|step| step.chunks(config.batch_size));
        let sizes = parts.clone().map(|parts| parts.len()).collect();
        let batches = parts.flatten().map(<[usize]>::to_vec).collect();
        let queue = config.workers + 1;
        (Loader::new(Arc::clone(&self.source), number, batches, config.workers, queue), sizes)
    }

    /// Rate of the new layers at `step`, from 0.
    pub fn rate(&self, step: u64) -> f64 {
        self.config.lr * self.schedule.factor(step)
    }

    /// One step: the gradients of some batches, as if they were one, and the change of the weights.
    fn step(&mut self, batches: &[Batch], lr: f64) -> Result<LossValue, TrainError> {
        self.step += 1;
        let value = self.gradients_of(batches, self.step)?;
        self.check_gradients(value.mean(), batches, lr)?;
        self.optimiser.step(self.isa, lr, self.step, &mut self.params.values, &mut self.gradients);
        if let Some(average) = &mut self.average {
            average.update(self.isa, self.step, &self.params);
        }
        Ok(value)
    }

    /// Loss and gradients of some batches, as if they were one: each counts by the weight of its targets.
    pub fn gradients_of(&mut self, batches: &[Batch], step: u64) -> Result<LossValue, TrainError> {
        let isa = self.isa;
        let progress = self.schedule.progress(step - 1);
        let objective = Objective {
            cross_entropy: CrossEntropy {
                classes: self.recipe.classes(),
                weights: self.weights.as_deref(),
                label_smoothing: self.config.label_smoothing as f32,
            },
            region: self.config.loss.region.filter(|term| progress >= term.from).map(|term| term.kind),
            region_share: 1.0 / batches.len().max(1) as f64,
        };
        let weights: Vec<f64> = match batches {
            [_] => vec![1.0],
            _ => batches.iter().map(|batch| target_weight(self.weights.as_deref(), &batch.labels)).collect(),
        };
        let all: f64 = weights.iter().sum();
        let mut total = LossValue::default();
        for (index, (batch, weight)) in batches.iter().zip(&weights).enumerate() {
            let share = if all == 0.0 { 0.0 } else { weight / all };
            let mut of_logits = |logits: &[f32], gradient: &mut [f32]| {
                let value = objective.evaluate(isa, logits, &batch.labels, share, gradient);
                total += value;
                value.mean()
            };
            // Dropout draws anew for each batch.
            let key = StepKey {
                seed: self.config.seed,
                step: (step - 1) * self.config.accumulate as u64 + index as u64 + 1,
            };
            self.trainer
                .step(
                    &mut self.params,
                    batch.n,
                    batch.h,
                    batch.w,
                    &batch.images,
                    key,
                    &mut of_logits,
                    &mut self.gradients,
                    index > 0,
                )
                .map_err(TrainError::net)?;
        }
        Ok(total)
    }
}

/// The batches of the next step, `size` of them.
pub(super) fn next_step(loader: &mut Loader, size: usize) -> Result<Vec<Batch>, TrainError> {
    loader.take(size).collect::<Result<_, _>>().map_err(TrainError::data)
}
