//! What a run keeps: weights of chosen epochs, checkpoints, and the figures at its end.

use std::path::{Path, PathBuf};
use std::time::Instant;

use hectare_net::{Params, weights as weight_files};

use super::session::Run;
use crate::checkpoint::{self, StateHeader};
use crate::config::Every;
use crate::error::TrainError;
use crate::files;
use crate::picks::Picks;
use crate::record::EpochRecord;

impl Run<'_> {
    /// Writes what an epoch has to keep: numbered and best weights first, then the checkpoint as a pair.
    pub fn keep(&mut self, record: &EpochRecord, last: bool) -> Result<(), TrainError> {
        let (mut raw, mut averaged) = (Vec::new(), Vec::new());
        if record.validation.is_some() {
            averaged.push(self.folder.average());
        }
        for (chosen, best, path) in [
            (record.best, &self.best, self.folder.best()),
            (record.best_holdout, &self.best_holdout, self.folder.best_holdout()),
        ] {
            if chosen {
                let of_average = best.as_ref().is_some_and(|best| best.averaged);
                if of_average { averaged.push(path) } else { raw.push(path) }
            }
        }
        if self.config.keep_epochs.contains(self.epoch) {
            raw.push(self.folder.numbered(self.epoch));
        }
        if let Some(average) = &self.average {
            self.write(&average.params, &averaged)?;
        }
        if last || self.is_due() { self.checkpoint(&raw) } else { self.write(&self.params, &raw) }
    }

    /// Whether the settings ask for a checkpoint now.
    pub fn is_due(&self) -> bool {
        let (at, step, epoch) = self.saved;
        match self.config.checkpoint_every {
            Every::Epochs(epochs) => self.epoch >= epoch + epochs,
            Every::Steps(steps) => self.step >= step + steps,
            Every::Seconds(seconds) => at.elapsed().as_secs_f64() >= seconds,
        }
    }

    /// Writes a checkpoint, and its weights under other names besides.
    pub fn checkpoint(&mut self, copies: &[PathBuf]) -> Result<(), TrainError> {
        self.check_weights(self.rate(self.step.saturating_sub(1)))?;
        let next = [self.folder.next()];
        let slots: usize = self.slots().iter().map(|slot| slot.len()).sum();
        files::check_space(self.folder.root(), self.weights_bytes() + checkpoint::state_bytes(slots))?;
        self.write(&self.params, &[&next, copies].concat())?;
        // The old checkpoint gives way only to one that can be read back.
        if !weight_files::holds(&next[0], &self.params).map_err(TrainError::net)? {
            let problem = "does not hold what was written; the checkpoint before it stays".into();
            return Err(TrainError::Run { path: next[0].clone(), problem });
        }
        let header = StateHeader {
            epoch: self.epoch,
            step: self.step,
            partial: (self.partial.steps > 0).then(|| self.partial.clone()),
            samples: self.source.count(),
            seed: self.config.seed,
            isa: self.isa.name().into(),
            best: self.best.clone(),
            best_holdout: self.best_holdout.clone(),
            elapsed_s: self.elapsed_s,
            weights: String::new(),
            weights_sha256: String::new(),
            lens: Vec::new(),
        };
        checkpoint::commit(&self.folder, header, &self.slots())?;
        self.saved = (Instant::now(), self.step, self.epoch);
        Ok(())
    }

    /// Refuses to begin on a disk that has no room for two checkpoints and the weights kept beside them.
    pub fn check_space(&self) -> Result<(), TrainError> {
        let slots: usize = self.slots().iter().map(|slot| slot.len()).sum();
        let kept = 2 + u64::from(self.average.is_some()) + u64::from(self.sets.lens().holdout > 0);
        let needed = 2 * checkpoint::state_bytes(slots) + (1 + kept) * self.weights_bytes();
        files::check_space(self.folder.root(), needed).map_err(TrainError::late)
    }

    /// Numbers that a checkpoint holds besides the weights.
    fn slots(&self) -> Vec<&[f32]> {
        let mut slots: Vec<&[f32]> = self.optimiser.slots().iter().map(|slot| &slot[..]).collect();
        if let Some(average) = &self.average {
            slots.extend([&average.params.values[..], &average.params.buffers[..]]);
        }
        slots
    }

    /// Bytes of a weights file, at most.
    fn weights_bytes(&self) -> u64 {
        let numbers = self.params.values.len() + 2 * self.params.buffers.len();
        4 * numbers as u64 + (1 << 16)
    }

    /// Writes weights once, under each of the names.
    fn write(&self, params: &Params, paths: &[PathBuf]) -> Result<(), TrainError> {
        let Some((first, rest)) = paths.split_first() else { return Ok(()) };
        let write = |path: &Path| weight_files::write(path, &self.card, params).map_err(TrainError::net);
        write(first)?;
        rest.iter().try_for_each(|path| files::duplicate(first, path))
    }

    /// Says and writes the figures of the epochs that each way of choosing picks.
    pub fn report(&self, picks: &Picks) -> Result<(), TrainError> {
        picks.write(&self.folder)?;
        for (name, pick) in picks.rows() {
            let which = if pick.averaged { ", averaged weights" } else { "" };
            let holdout = pick.holdout.map_or(String::new(), |figure| format!(" (held out {figure:.6})"));
            self.say(&format!(
                "{name}: epoch {}{which}, {} {:.6}{holdout}",
                pick.epoch, picks.metric, pick.validation
            ))?;
        }
        Ok(())
    }
}
