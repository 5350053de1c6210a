//! What is known after an epoch, and the two files that keep it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Task;
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
    task: Task,
    records: Vec<EpochRecord>,
}

impl MetricsLog {
    /// No epochs yet.
    pub fn new(task: Task) -> MetricsLog {
        MetricsLog { task, records: Vec::new() }
    }

    /// The epochs of a run up to `epoch`; later rows, logged after the checkpoint, are cut off.
    ///
    /// # Errors
    /// A file that cannot be read or that is damaged.
    pub fn reopen(run: &RunFolder, task: Task, epoch: usize) -> Result<MetricsLog, TrainError> {
        let mut records = read(&run.metrics_jsonl())?;
        records.retain(|record| record.epoch <= epoch);
        let log = MetricsLog { task, records };
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
        let classes = self.records.iter().filter_map(|r| r.validation.as_ref()).map(|v| &v.classes).next();
        let per_class = match (self.task, classes) {
            (Task::Segment, Some(classes)) => &classes[..],
            _ => &[],
        };
        let mut text = "epoch,step,lr,lr_trunk,train_loss,val_loss,val_accuracy".to_string();
        if self.task == Task::Segment {
            text += ",val_mean_iou";
        }
        for class in per_class {
            text += &format!(",iou_{}", class.name.replace([',', '"', '\n', ' '], "_"));
        }
        text += ",images_per_s,data_wait,train_s,validation_s,elapsed_s,best\n";
        for r in &self.records {
            text += &format!("{},{},{:e},{:e},{:.6}", r.epoch, r.step, r.lr, r.lr_trunk, r.train_loss);
            let v = r.validation.as_ref();
            text += &format!(",{},{}", cell(v.map(|v| v.loss)), cell(v.map(|v| v.accuracy)));
            if self.task == Task::Segment {
                text += &format!(",{}", cell(v.and_then(|v| v.mean_iou)));
            }
            for at in 0..per_class.len() {
                text += &format!(",{}", cell(v.and_then(|v| v.classes[at].value)));
            }
            text += &format!(
                ",{:.2},{:.4},{:.1},{:.1},{:.1},{}\n",
                r.images_per_s,
                r.data_wait,
                r.train_s,
                r.validation_s,
                r.elapsed_s,
                u8::from(r.best)
            );
        }
        text
    }
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

    fn record(epoch: usize) -> EpochRecord {
        let classes = vec![ClassFigure { id: 0, name: "Dry land".into(), value: Some(0.5) }];
        EpochRecord {
            epoch,
            step: 10 * epoch as u64,
            lr: 1e-3,
            lr_trunk: 1e-4,
            train_loss: 2.0,
            validation: (epoch != 2).then_some(Validation {
                loss: 1.5,
                accuracy: 0.75,
                mean_iou: Some(0.5),
                protocol: Some(Protocol::Course),
                classes,
            }),
            images_per_s: 12.0,
            data_wait: 0.01,
            train_s: 3.0,
            validation_s: 1.0,
            elapsed_s: 4.0,
            best: epoch == 1,
        }
    }

    #[test]
    fn rows_after_the_checkpoint_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path()).unwrap();
        let mut log = MetricsLog::new(Task::Segment);
        for epoch in 1..=3 {
            log.push(&run, record(epoch)).unwrap();
        }
        let csv = std::fs::read_to_string(run.metrics_csv()).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("epoch,step,lr,") && lines[0].contains(",iou_Dry_land,"));
        let columns: Vec<usize> = lines.iter().map(|line| line.split(',').count()).collect();
        assert!(columns.iter().all(|n| *n == columns[0]), "{csv}");
        let log = MetricsLog::reopen(&run, Task::Segment, 2).unwrap();
        assert_eq!(log.records(), [record(1), record(2)]);
        assert_eq!(std::fs::read_to_string(run.metrics_csv()).unwrap().lines().count(), 3);
    }
}
