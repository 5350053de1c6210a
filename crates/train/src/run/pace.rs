//! The length of a run that is given in hours or steps.

use std::time::Instant;

use hectare_data::epoch_batches;

use super::epoch::next_step;
use super::session::Run;
use super::validate::Set;
use crate::clock;
use crate::error::TrainError;
use crate::files;
use crate::optimiser::Optimiser;
use crate::schedule::Schedule;

/// Seconds for which steps are timed, at most; short runs time for a fiftieth of their length.
const TIMED_S: f64 = 60.0;
/// Share of the hours that is planned; the rest is for checkpoints and a machine that is not always as quick.
const PLANNED: f64 = 0.96;

/// What work takes, in seconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    step_s: f64,
    /// One validation of all sets.
    validation_s: f64,
}

impl Pace {
    /// The most steps that fit, with their validations, into `budget_s`; 0 if not even one does.
    fn steps_within(self, budget_s: f64, steps_per_epoch: u64, validate_every: u64) -> u64 {
        let mut most = 0;
        for epochs in 1.. {
            // The last epoch, whole or not, is always validated.
            let validations = epochs / validate_every + u64::from(epochs % validate_every != 0);
            let left = budget_s - validations as f64 * self.validation_s;
            let steps = (left / self.step_s.max(1e-9)).max(0.0) as u64;
            let begun = (epochs - 1) * steps_per_epoch;
            if steps <= begun {
                // A later epoch has more validations and no more time.
                break;
            }
            most = most.max(steps.min(epochs * steps_per_epoch));
        }
        most
    }
}

impl Run<'_> {
    /// Fixes the number of steps and epochs where the settings give hours or steps; `begun` is when the hours
    /// began. A run that goes on keeps what was fixed.
    pub fn settle_length(&mut self, begun: Instant) -> Result<(), TrainError> {
        let per_epoch = self.steps_per_epoch() as u64;
        if let (Some(hours), None) = (self.config.hours, self.config.steps) {
            let pace = self.pace(TIMED_S.min(hours * 3600.0 / 50.0))?;
            let budget_s = hours * 3600.0 * PLANNED - begun.elapsed().as_secs_f64();
            let steps = pace.steps_within(budget_s, per_epoch, self.config.validate_every as u64);
            if steps == 0 {
                return Err(TrainError::Input(format!(
                    "--hours {hours} is too short: a step takes {:.1} s and a validation {:.0} s here",
                    pace.step_s, pace.validation_s
                )));
            }
            self.config.steps = Some(steps);
            self.say(&format!(
                "{steps} steps in {}: a step takes {:.2} s and a validation {}",
                clock::duration(hours * 3600.0),
                pace.step_s,
                clock::duration(pace.validation_s)
            ))?;
        }
        if let Some(steps) = self.config.steps {
            self.config.epochs = steps.div_ceil(per_epoch) as usize;
            self.say(&format!("{steps} steps are {:.2} epochs", steps as f64 / per_epoch as f64))?;
            self.shorten_warmup(steps as f64 / per_epoch as f64)?;
            self.name_late_epochs()?;
            files::write(&self.folder.config(), self.config.to_toml())?;
        }
        self.schedule = Schedule::new(&self.config, per_epoch);
        Ok(())
    }

    /// Of a run of so many epochs the warm-up is half at most: the rate should reach its height, and fall.
    fn shorten_warmup(&mut self, epochs: f64) -> Result<(), TrainError> {
        let longest = epochs / 2.0;
        if self.config.warmup_epochs <= longest {
            return Ok(());
        }
        let wanted = std::mem::replace(&mut self.config.warmup_epochs, longest);
        self.say(&format!("warm-up of {longest:.2} epochs instead of {wanted}: half of the run"))
    }

    /// Says which of the epochs that something is to be kept of do not come.
    fn name_late_epochs(&self) -> Result<(), TrainError> {
        for (key, list, late) in self.config.late_epochs() {
            self.say(&format!(
                "--{} {list}: epoch {late} is after the last, {}, and left out",
                key.replace('_', "-"),
                self.config.epochs
            ))?;
        }
        Ok(())
    }

    /// Times steps for about `seconds`, and a few predictions, and leaves everything as it was.
    fn pace(&mut self, seconds: f64) -> Result<Pace, TrainError> {
        self.say(&format!("timing steps for {}", clock::duration(seconds)))?;
        let statistics = self.params.buffers.clone();
        let config = &self.config;
        let steps = epoch_batches(self.source.count(), config.step_size(), Some((config.seed, 0)));
        let (mut loader, sizes) = self.load(0, &steps);
        // A last step of fewer batches is not timed.
        let whole = sizes.iter().take_while(|size| **size == sizes[0]);
        let mut times = Vec::new();
        let begun = Instant::now();
        for size in whole {
            if !times.is_empty() && begun.elapsed().as_secs_f64() >= seconds {
                break;
            }
            let step = Instant::now();
            let batches = next_step(&mut loader, *size)?;
            self.gradients_of(&batches, 1)?;
            // A rate of zero along a gradient of zero moves no weight.
            self.gradients.fill(0.0);
            self.optimiser.step(self.isa, 0.0, 1, &mut self.params.values, &mut self.gradients);
            if let Some(average) = &mut self.average {
                average.update(self.isa, 1, &self.params);
            }
            times.push(step.elapsed().as_secs_f64());
            if self.observer.should_stop() {
                break;
            }
        }
        drop(loader);
        self.params.buffers = statistics;
        self.optimiser = Optimiser::new(&self.config, &self.params.layout);
        if let Some(average) = &mut self.average {
            average.params.clone_from(&self.params);
        }
        // The first step allocates and waits for the first batch.
        let usual = if times.len() > 1 { &times[1..] } else { &times };
        let step_s = usual.iter().sum::<f64>() / usual.len().max(1) as f64;
        Ok(Pace { step_s, validation_s: self.validation_pace()? })
    }

    /// Seconds that a validation of all sets will take, by a few pictures.
    fn validation_pace(&self) -> Result<f64, TrainError> {
        let lens = self.sets.lens();
        let first = if self.config.model.is_classifier() { self.config.batch_size } else { 1 };
        let begun = Instant::now();
        let mut network = self.predictor(&self.params)?;
        self.measure(&mut network, Set::Validation, 0..first, None)?;
        let start_s = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let timed = (5 * first).min(lens.val) - first.min(lens.val);
        self.measure(&mut network, Set::Validation, first..first + timed, None)?;
        let each_s = match timed {
            0 => start_s / first as f64,
            timed => begun.elapsed().as_secs_f64() / timed as f64,
        };
        let once_s = start_s + each_s * (lens.val + lens.holdout) as f64;
        Ok(once_s * if self.average.is_some() { 2.0 } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_steps_that_fit() {
        let pace = Pace { step_s: 2.0, validation_s: 10.0 };
        // Epochs of 5 steps take 10 s and 10 s of validation.
        for (budget_s, validate_every, steps) in [
            (11.9, 1, 0),
            (12.0, 1, 1),
            (20.0, 1, 5),
            (31.0, 1, 5),
            (32.0, 1, 6),
            (40.0, 1, 10),
            (40.0, 3, 15),
            (39.0, 3, 14),
            (52.0, 3, 16),
        ] {
            let found = pace.steps_within(budget_s, 5, validate_every);
            assert_eq!(found, steps, "{budget_s} s, every {validate_every}");
        }
    }
}
