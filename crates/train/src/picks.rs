//! Three figures of one run side by side: the epoch picked on the validation set, the one picked on pictures held
//! out of training, and the last, all measured on the validation set.
//!
//! The first is chosen by what it is then measured with, so that it promises too much; the other two are not.

use serde::Serialize;

use crate::checkpoint::Best;
use crate::error::TrainError;
use crate::files;
use crate::record::{EpochRecord, Validation};
use crate::run_folder::RunFolder;

/// One way of choosing an epoch, and what it gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pick {
    /// The epoch from 1.
    pub epoch: usize,
    /// Whether its averaged weights were chosen.
    pub averaged: bool,
    /// The metric on the validation set.
    pub validation: f64,
    /// The metric on the pictures held out.
    pub holdout: Option<f64>,
    /// The weights, relative to the run folder.
    pub file: &'static str,
}

/// The figures of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picks {
    /// Name of the metric.
    pub metric: &'static str,
    /// The best epoch on the validation set.
    pub on_validation: Pick,
    /// The best epoch on the pictures held out.
    pub on_holdout: Option<Pick>,
    /// The last epoch, its weights as trained.
    pub last: Pick,
    /// The last epoch, its averaged weights.
    pub last_averaged: Option<Pick>,
}

impl Picks {
    /// Writes the figures as `eval/protocol.json`.
    pub(crate) fn write(&self, run: &RunFolder) -> Result<(), TrainError> {
        let json = serde_json::to_string_pretty(self).expect("figures are plain JSON");
        files::write(&run.protocol(), json + "\n")
    }

    /// The figures of these epochs; `None` before the first validation.
    pub fn of(records: &[EpochRecord]) -> Option<Picks> {
        let measured: Vec<&EpochRecord> =
            records.iter().filter(|record| record.validation.is_some()).collect();
        let last = measured.last()?;
        // As the run itself chooses.
        let best = |of: fn(&EpochRecord) -> Option<Best>| {
            let mut best = None;
            for record in &measured {
                Best::improve(&mut best, of(record));
            }
            best
        };
        let pick = |epoch: usize, averaged: bool, file| {
            let record = measured.iter().find(|record| record.epoch == epoch)?;
            let metric = |validation: &Option<Validation>| Some(validation.as_ref()?.metric().0);
            let (validation, holdout) = match averaged {
                true => (&record.ema_validation, &record.ema_holdout),
                false => (&record.validation, &record.holdout),
            };
            Some(Pick { epoch, averaged, validation: metric(validation)?, holdout: metric(holdout), file })
        };
        let chosen = best(EpochRecord::on_validation)?;
        Some(Picks {
            metric: last.validation.as_ref()?.metric().1,
            on_validation: pick(chosen.epoch, chosen.averaged, "weights/best.safetensors")?,
            on_holdout: best(EpochRecord::on_holdout)
                .and_then(|best| pick(best.epoch, best.averaged, "weights/best_holdout.safetensors")),
            last: pick(last.epoch, false, "weights/last.safetensors")?,
            last_averaged: pick(last.epoch, true, "weights/ema.safetensors"),
        })
    }

    /// The picks with their names, in order.
    pub fn rows(&self) -> Vec<(&'static str, &Pick)> {
        let rows = [
            ("picked on validation", Some(&self.on_validation)),
            ("picked on holdout", self.on_holdout.as_ref()),
            ("last epoch", Some(&self.last)),
            ("last epoch, averaged", self.last_averaged.as_ref()),
        ];
        rows.into_iter().filter_map(|(name, pick)| Some((name, pick?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(accuracy: f64) -> Option<Validation> {
        Some(Validation { loss: 1.0, accuracy, mean_iou: None, protocol: None, classes: Vec::new() })
    }

    fn record(epoch: usize, [raw, holdout, ema, ema_holdout]: [f64; 4]) -> EpochRecord {
        EpochRecord {
            epoch,
            step: 1,
            lr: 1.0,
            lr_trunk: 1.0,
            train_loss: 1.0,
            validation: figure(raw),
            holdout: figure(holdout),
            ema_validation: figure(ema),
            ema_holdout: figure(ema_holdout),
            images_per_s: 1.0,
            data_wait: 0.0,
            train_s: 1.0,
            validation_s: 1.0,
            elapsed_s: 1.0,
            best: false,
            best_holdout: false,
        }
    }

    #[test]
    fn each_rule_picks_its_own_epoch() {
        let mut records = vec![
            record(1, [0.5, 0.6, 0.8, 0.3]),
            record(2, [0.7, 0.65, 0.8, 0.65]),
            record(3, [0.75, 0.6, 0.75, 0.6]),
        ];
        records[0].best = true;
        let picks = Picks::of(&records).unwrap();
        let of = |pick: &Pick| (pick.epoch, pick.averaged, pick.validation, pick.holdout);
        assert_eq!(picks.metric, "accuracy");
        assert_eq!(of(&picks.on_validation), (1, true, 0.8, Some(0.3)));
        assert_eq!(of(picks.on_holdout.as_ref().unwrap()), (2, false, 0.7, Some(0.65)));
        assert_eq!(of(&picks.last), (3, false, 0.75, Some(0.6)));
        assert_eq!(of(picks.last_averaged.as_ref().unwrap()), (3, true, 0.75, Some(0.6)));
        assert_eq!(picks.rows().len(), 4);
        for record in &mut records {
            (record.holdout, record.ema_validation, record.ema_holdout) = (None, None, None);
        }
        let picks = Picks::of(&records).unwrap();
        assert_eq!(picks.rows().len(), 2);
        assert_eq!(picks.on_validation.epoch, 3);
        records.iter_mut().for_each(|record| record.validation = None);
        assert_eq!(Picks::of(&records), None);
    }
}
