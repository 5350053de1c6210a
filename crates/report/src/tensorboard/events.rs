//! A run as TensorBoard shows it.

use std::path::Path;
use std::sync::Mutex;

use hectare_data::{Image, read_image};
use hectare_train::{EpochRecord, Event, Observer, RunFolder, Validation, read_records};

use super::EventWriter;
use crate::confusion::Confusion;
use crate::error::ReportError;

/// Steps whose loss is kept: about this many of an epoch.
const STEPS_OF_AN_EPOCH: usize = 100;

/// Watches a run and keeps what it is told in an event file of the run folder. Trouble with the file never ends a
/// run: no more is written, and [`EventLog::trouble`] tells of it.
#[derive(Debug)]
pub struct EventLog {
    run: RunFolder,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writer: Option<EventWriter>,
    /// Steps of the epochs before.
    before: u64,
    trouble: Option<String>,
}

impl EventLog {
    /// A log in `run`, which need not exist before the first epoch; no file is made until then.
    pub fn new(run: &Path) -> EventLog {
        EventLog { run: RunFolder::at(run), state: Mutex::default() }
    }

    /// What went wrong with the file.
    pub fn trouble(&self) -> Option<String> {
        self.state.lock().ok()?.trouble.clone()
    }

    /// Writes what an event tells.
    fn keep(&self, state: &mut State, event: &Event<'_>) -> Result<(), ReportError> {
        match *event {
            Event::EpochStart { .. } if state.writer.is_none() && state.trouble.is_none() => {
                let records = read_records(&self.run.metrics_jsonl()).unwrap_or_default();
                state.before = records.last().map_or(0, |record| record.step);
                state.writer = Some(EventWriter::create(self.run.root())?);
            }
            Event::Step { done, steps, loss, lr, images_per_s, .. } => {
                let every = steps.div_ceil(STEPS_OF_AN_EPOCH).max(1);
                if let Some(writer) = &mut state.writer
                    && (done.is_multiple_of(every) || done == steps)
                {
                    let values =
                        [("step/loss", loss), ("step/rate", lr), ("step/images_per_s", images_per_s)];
                    writer.scalars(
                        state.before + done as u64,
                        &values.map(|(tag, value)| (tag.into(), value)),
                    )?;
                }
            }
            Event::EpochEnd(record) => {
                state.before = record.step;
                if let Some(writer) = &mut state.writer {
                    writer.scalars(record.step, &scalars(record))?;
                    self.pictures(writer, record)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The masks that were kept in this epoch, and the confusion matrix where this is the best epoch.
    fn pictures(&self, writer: &mut EventWriter, record: &EpochRecord) -> Result<(), ReportError> {
        for (stem, mask) in masks(&self.run.masks(record.epoch)) {
            writer.image(record.step, &format!("mask/{stem}"), &mask)?;
        }
        if record.best
            && let Ok(confusion) = Confusion::read(&self.run.confusion())
        {
            writer.image(record.step, "confusion", &confusion.picture())?;
        }
        Ok(())
    }
}

impl Observer for EventLog {
    fn event(&self, event: &Event<'_>) {
        let Ok(mut state) = self.state.lock() else { return };
        if let Err(error) = self.keep(&mut state, event) {
            state.writer = None;
            state.trouble = Some(error.to_string());
        }
    }
}

/// Stem and picture of every mask in a folder, in order; what does not decode is left out.
fn masks(folder: &Path) -> Vec<(String, Image)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let named = paths.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix("_mask.png")?.to_string();
        Some((name, read_image(&path).ok()?))
    });
    named.collect()
}

/// The numbers of an epoch with their tags.
fn scalars(record: &EpochRecord) -> Vec<(String, f64)> {
    let mut values: Vec<(String, f64)> = [
        ("epoch/number", record.epoch as f64),
        ("loss/train", record.train_loss),
        ("rate/new_layers", record.lr),
        ("rate/trunk", record.lr_trunk),
        ("speed/images_per_s", record.images_per_s),
        ("speed/data_wait", record.data_wait),
        ("speed/epoch_s", record.train_s + record.validation_s),
    ]
    .map(|(tag, value)| (tag.to_string(), value))
    .to_vec();
    let sets: [(&str, &Option<Validation>); 4] = [
        ("validation", &record.validation),
        ("holdout", &record.holdout),
        ("averaged_validation", &record.ema_validation),
        ("averaged_holdout", &record.ema_holdout),
    ];
    for (set, found) in sets {
        let Some(found) = found else { continue };
        values.push((format!("loss/{set}"), found.loss));
        values.push((format!("accuracy/{set}"), found.accuracy));
        if let Some(iou) = found.mean_iou {
            values.push((format!("mean_iou/{set}"), iou));
        }
    }
    if let Some(found) = &record.validation {
        let figure = if found.mean_iou.is_some() { "iou" } else { "recall" };
        let classes = found.classes.iter().filter_map(|class| Some((&class.name, class.value?)));
        values.extend(classes.map(|(name, value)| (format!("{figure}/{name}"), value)));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_kept_and_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::new(&folder.path().join("missing"));
        let step = Event::Step { epoch: 1, done: 1, steps: 1, loss: 1.0, lr: 1.0, images_per_s: 1.0 };
        log.event(&Event::EpochStart { epoch: 1, epochs: 1, steps: 1 });
        log.event(&step);
        assert!(log.trouble().unwrap().contains("cannot write"));
        let log = EventLog::new(folder.path());
        log.event(&Event::EpochStart { epoch: 1, epochs: 1, steps: 1 });
        log.event(&step);
        assert!(log.trouble().is_none());
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(files.len(), 1);
        let bytes = std::fs::read(files[0].path()).unwrap();
        assert!(bytes.windows(9).any(|window| window == b"step/loss"));
    }
}
