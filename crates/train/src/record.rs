//! What is known after an epoch, and the two files that keep it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Best;
use crate::config::{Task, TrainConfig};
use crate::error::TrainError;
use crate::files;
use crate::metrics::Protocol;
use crate::run_folder::RunFolder;

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Its number from 1.
    pub epoch: usize,
    /// Steps done at its end.
    pub step: u64,
    /// Rate of the new layers at its last step.
    pub lr: f64,
    /// Rate of the trunk at its last step.
    pub lr_trunk: f64,
    /// Mean loss of its steps.
    pub train_loss: f64,
    /// What validation found; `None` in an epoch without.
    pub validation: Option<Validation>,
    /// The same on the pictures held out of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Validation>,
    /// What validation found for the averaged weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_validation: Option<Validation>,
    /// What the averaged weights do on the pictures held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_holdout: Option<Validation>,
    /// Pictures trained per second.
    pub images_per_s: f64,
    /// Share of the training time spent waiting for data.
    pub data_wait: f64,
    /// Seconds of training.
    pub train_s: f64,
    /// Seconds of validation.
    pub validation_s: f64,
    /// Seconds of training and validation since the run began, over all resumes.
    pub elapsed_s: f64,
    /// Whether it is the best epoch so far.
    pub best: bool,
    /// Whether it is the best epoch so far by the pictures held out.
    #[serde(default)]
    pub best_holdout: bool,
}

impl EpochRecord {
    /// The metric of this epoch's better weights on the validation set.
    pub fn on_validation(&self) -> Option<Best> {
        self.better(&self.validation, &self.ema_validation)
    }

    /// The metric of this epoch's better weights on the pictures held out.
    pub fn on_holdout(&self) -> Option<Best> {
        self.better(&self.holdout, &self.ema_holdout)
    }

    /// The averaged weights must be better to be chosen.
    fn better(&self, raw: &Option<Validation>, averaged: &Option<Validation>) -> Option<Best> {
        let metric = raw.as_ref()?.metric().0;
        let other = averaged.as_ref().map(|validation| validation.metric().0);
        let averaged = other.is_some_and(|other| other > metric);
        Some(Best { epoch: self.epoch, metric: other.filter(|_| averaged).unwrap_or(metric), averaged })
    }
}

/// Figures of the validation set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean loss (weighted as in training, without label smoothing).
    pub loss: f64,
    /// Share of pictures (classification) or pixels (segmentation) that are right.
    pub accuracy: f64,
    /// Segmentation: mean intersection over union.
    pub mean_iou: Option<f64>,
    /// Segmentation: protocol of the intersections over union.
    pub protocol: Option<Protocol>,
    /// Per class: recall (classification) or intersection over union (segmentation).
    pub classes: Vec<ClassFigure>,
}

impl Validation {
    /// The figure by which the best epoch is chosen, and its name.
    pub fn metric(&self) -> (f64, &'static str) {
        match self.mean_iou {
            Some(iou) => (iou, "mean_iou"),
            None => (self.accuracy, "accuracy"),
        }
    }
}

/// The figure of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigure {
    /// Class id.
    pub id: usize,
    /// Class name.
    pub name: String,
    /// Recall or intersection over union; `None` for an absent class.
    pub value: Option<f64>,
}

/// The epochs of a run, kept in `metrics.csv` and `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    columns: Columns,
    records: Vec<EpochRecord>,
}

/// Which columns `metrics.csv` has.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    task: Task,
    holdout: bool,
    ema: bool,
}

impl Columns {
    /// Those of a run with these settings.
    pub fn of(config: &TrainConfig) -> Columns {
        Columns { task: config.task, holdout: config.has_holdout(), ema: config.ema > 0.0 }
    }
}

impl MetricsLog {
    /// No epochs yet.
    pub fn new(columns: Columns) -> MetricsLog {
        MetricsLog { columns, records: Vec::new() }
    }

    /// The epochs of a run up to `epoch`; later rows, logged after the checkpoint, are cut off.
    ///
    /// # Errors
    /// A file that cannot be read or that is damaged.
    pub fn reopen(run: &RunFolder, columns: Columns, epoch: usize) -> Result<MetricsLog, TrainError> {
        let mut records = read(&run.metrics_jsonl())?;
        records.retain(|record| record.epoch <= epoch);
        let log = MetricsLog { columns, records };
        log.write(run)?;
        Ok(log)
    }

    /// The epochs.
    pub fn records(&self) -> &[EpochRecord] {
        &self.records
    }

    /// Adds an epoch and rewrites both files.
    ///
    /// # Errors
    /// The operating system's, naming the file.
    pub fn push(&mut self, run: &RunFolder, record: EpochRecord) -> Result<(), TrainError> {
        self.records.push(record);
        self.write(run)
    }

    pub(crate) fn write(&self, run: &RunFolder) -> Result<(), TrainError> {
        let line = |record| serde_json::to_string(record).expect("a record is plain JSON") + "\n";
        files::write(&run.metrics_jsonl(), self.records.iter().map(line).collect::<String>())?;
        files::write(&run.metrics_csv(), self.to_csv())
    }

    fn to_csv(&self) -> String {
        let Columns { task, holdout, ema } = self.columns;
        let segments = task == Task::Segment;
        let classes = self.records.iter().filter_map(|r| r.validation.as_ref()).map(|v| &v.classes).next();
        let per_class = match (segments, classes) {
            (true, Some(classes)) => &classes[..],
            _ => &[],
        };
        // The sets beside the validation set itself.
        let more: Vec<(&str, Figures)> = [
            (holdout, "holdout", (|r| &r.holdout) as Figures),
            (ema, "ema_val", |r| &r.ema_validation),
            (holdout && ema, "ema_holdout", |r| &r.ema_holdout),
        ]
        .into_iter()
        .filter_map(|(wanted, name, of)| wanted.then_some((name, of)))
        .collect();
        let figures = |name: &str| {
            let iou = if segments { format!(",{name}_mean_iou") } else { String::new() };
            format!(",{name}_loss,{name}_accuracy{iou}")
        };
        let mut text = "epoch,step,lr,lr_trunk,train_loss".to_string() + &figures("val");
        for class in per_class {
            text += &format!(",iou_{}", class.name.replace([',', '"', '\n', ' '], "_"));
        }
        more.iter().for_each(|(name, _)| text += &figures(name));
        text += ",images_per_s,data_wait,train_s,validation_s,elapsed_s,best";
        text += if holdout { ",best_holdout\n" } else { "\n" };
        for r in &self.records {
            text += &format!("{},{},{:e},{:e},{:.6}", r.epoch, r.step, r.lr, r.lr_trunk, r.train_loss);
            let v = r.validation.as_ref();
            text += &cells(v, segments);
            for at in 0..per_class.len() {
                text += &format!(",{}", cell(v.and_then(|v| v.classes[at].value)));
            }
            more.iter().for_each(|(_, of)| text += &cells(of(r).as_ref(), segments));
            text += &format!(
                ",{:.2},{:.4},{:.1},{:.1},{:.1},{}",
                r.images_per_s,
                r.data_wait,
                r.train_s,
                r.validation_s,
                r.elapsed_s,
                u8::from(r.best)
            );
            if holdout {
                text += &format!(",{}", u8::from(r.best_holdout));
            }
            text.push('\n');
        }
        text
    }
}

/// Chooses what was found on one set with some weights.
type Figures = fn(&EpochRecord) -> &Option<Validation>;

/// Loss, accuracy and, for segmentation, mean intersection over union.
fn cells(validation: Option<&Validation>, segments: bool) -> String {
    let of = |figure: fn(&Validation) -> Option<f64>| cell(validation.and_then(figure));
    let mut text = format!(",{},{}", of(|v| Some(v.loss)), of(|v| Some(v.accuracy)));
    if segments {
        text += &format!(",{}", of(|v| v.mean_iou));
    }
    text
}

/// Reads the epochs of a run; none where the file is not there.
///
/// # Errors
/// A file that cannot be read or that is damaged.
pub fn read(path: &Path) -> Result<Vec<EpochRecord>, TrainError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(TrainError::io("cannot read", path, cause)),
    };
    text.lines()
        .enumerate()
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| TrainError::Run {
                path: path.to_path_buf(),
                problem: format!("line {} is damaged: {error}", at + 1),
            })
        })
        .collect()
}

fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(iou: f64) -> Validation {
        Validation {
            loss: 1.5,
            accuracy: 0.75,
            mean_iou: Some(iou),
            protocol: Some(Protocol::Course),
            classes: vec![ClassFigure { id: 0, name: "Dry land".into(), value: Some(0.5) }],
        }
    }

    fn record(epoch: usize) -> EpochRecord {
        EpochRecord {
            epoch,
            step: 10 * epoch as u64,
            lr: 1e-3,
            lr_trunk: 1e-4,
            train_loss: 2.0,
            validation: (epoch != 2).then_some(validation(0.5)),
            holdout: (epoch != 2).then_some(validation(0.4)),
            ema_validation: (epoch != 2).then_some(validation(0.1 + 0.2)),
            ema_holdout: (epoch != 2).then_some(validation(0.45)),
            images_per_s: 12.0,
            data_wait: 0.01,
            train_s: 3.0,
            validation_s: 1.0,
            elapsed_s: 4.0,
            best: epoch == 1,
            best_holdout: false,
        }
    }

    #[test]
    fn the_better_weights_are_chosen() {
        let found = record(1);
        let best = |metric, averaged| Some(Best { epoch: 1, metric, averaged });
        assert_eq!((found.on_validation(), found.on_holdout()), (best(0.5, false), best(0.45, true)));
        let equal = EpochRecord { ema_holdout: Some(validation(0.4)), ..record(1) };
        assert_eq!(equal.on_holdout(), best(0.4, false));
        assert_eq!(EpochRecord { ema_validation: None, ..record(1) }.on_validation(), best(0.5, false));
        assert_eq!(record(2).on_validation(), None);
    }

    #[test]
    fn rows_after_the_checkpoint_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path()).unwrap();
        let columns = Columns { task: Task::Segment, holdout: true, ema: true };
        let mut log = MetricsLog::new(columns);
        for epoch in 1..=3 {
            log.push(&run, record(epoch)).unwrap();
        }
        let csv = std::fs::read_to_string(run.metrics_csv()).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("epoch,step,lr,") && lines[0].contains(",iou_Dry_land,"));
        assert!(lines[0].contains(",ema_holdout_mean_iou,") && lines[0].ends_with(",best,best_holdout"));
        let counts: Vec<usize> = lines.iter().map(|line| line.split(',').count()).collect();
        assert!(counts.iter().all(|n| *n == counts[0]), "{csv}");
        let log = MetricsLog::reopen(&run, columns, 2).unwrap();
        assert_eq!(log.records(), [record(1), record(2)]);
        assert_eq!(std::fs::read_to_string(run.metrics_csv()).unwrap().lines().count(), 3);
    }
}
