//! A training run from its first step, or its last checkpoint, to its end.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use hectare_data::class_map_file::to_toml;
use hectare_data::{Loader, SampleSource, epoch_batches, write_mask_rgb};
use hectare_kernels::loss::{CrossEntropy, LossValue, cross_entropy};
use hectare_kernels::threads::{Pool, current_threads};
use hectare_kernels::{AlignedVec, Isa, elementwise};
use hectare_net::{ModelCard, Params, Predictor, StepKey, Trainer, weights as weight_files};

use crate::checkpoint::{self, Best, StateHeader};
use crate::clock;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::evaluate::{Evaluation, EvaluationSettings, evaluate_classification, evaluate_segmentation};
use crate::events::{Event, Observer};
use crate::files;
use crate::metrics::{Protocol, scored};
use crate::optimiser::{Optimiser, in_trunk};
use crate::predict::Recipe;
use crate::record::{ClassFigure, EpochRecord, MetricsLog, Validation};
use crate::run_folder::RunFolder;
use crate::schedule::Schedule;
use crate::sets::Sets;
use crate::setup::Setup;
use crate::snapshot::Snapshots;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// The run folder.
    pub run: PathBuf,
    /// Whether all epochs are done; `false` if the observer stopped it.
    pub finished: bool,
    /// Whether it was finished before: nothing was done.
    pub already_finished: bool,
    /// The best epoch.
    pub best: Option<Best>,
    /// All epochs so far.
    pub epochs: Vec<EpochRecord>,
}

/// Starts a run. Nothing is written before data, settings and memory are known to be good.
///
/// # Errors
/// Whatever is wrong with the input (see [`TrainError::began`]), or what failed later.
pub fn train(mut config: TrainConfig, observer: &dyn Observer) -> Result<RunSummary, TrainError> {
    for path in [Some(&mut config.train), Some(&mut config.val), Some(&mut config.out)]
        .into_iter()
        .chain([config.init.as_mut(), config.class_map.as_mut()])
        .flatten()
    {
        // The run may be resumed from another folder.
        *path = std::path::absolute(&*path).map_err(|cause| TrainError::io("cannot find", path, cause))?;
    }
    RunFolder::check_free(&config.out)?;
    in_pool(config.threads, || {
        let setup = Setup::new(&config, None, observer)?;
        let folder = RunFolder::create(&config.out)?;
        let begin = || -> Result<Run<'_>, TrainError> {
            folder.clear()?;
            folder.create_folders()?;
            files::write(&folder.classes(), to_toml(&setup.card.classes))?;
            files::write(&folder.env(), environment())?;
            files::write(&folder.config(), config.to_toml())?;
            let log = MetricsLog::new(config.task);
            log.write(&folder)?;
            Run::new(config, folder, setup, log, observer)
        };
        begin().map_err(TrainError::late)?.go().map_err(TrainError::late)
    })
}

/// Goes on with a run from its last checkpoint, or from the start if it has none yet. Returns at once if it
/// is finished.
///
/// # Errors
/// A folder where no run was begun, a damaged checkpoint, data that is not there any more, or what failed
/// later.
pub fn resume(root: &Path, observer: &dyn Observer) -> Result<RunSummary, TrainError> {
    let (folder, mut config) = RunFolder::open(root)?;
    config.out = root.to_path_buf();
    if let Some(header) = checkpoint::peek(&folder)?
        && header.epoch >= config.epochs
    {
        // A kill may have left the last rename undone.
        if folder.next().exists() {
            checkpoint::load(&folder)?;
        }
        return Ok(RunSummary {
            run: root.to_path_buf(),
            finished: true,
            already_finished: true,
            best: header.best,
            epochs: crate::record::read(&folder.metrics_jsonl())?,
        });
    }
    files::writable_folder(root)?;
    in_pool(config.threads, || {
        let state = checkpoint::load(&folder)?;
        let weights = state.is_some().then(|| folder.last());
        let setup = Setup::new(&config, weights.as_deref(), observer)?;
        let begin = || -> Result<Run<'_>, TrainError> {
            folder.create_folders()?;
            let done = state.as_ref().map_or(0, |(header, _)| header.epoch);
            let log = MetricsLog::reopen(&folder, config.task, done)?;
            let mut run = Run::new(config, folder, setup, log, observer)?;
            if let Some((header, slots)) = state {
                run.restore(header, slots)?;
            }
            run.say(&format!("resumed after epoch {done}"))?;
            Ok(run)
        };
        begin().map_err(TrainError::late)?.go().map_err(TrainError::late)
    })
}

/// Runs `f` on that many threads, or on those of the current pool.
fn in_pool<R: Send>(threads: Option<usize>, f: impl FnOnce() -> R + Send) -> R {
    match threads {
        Some(threads) if threads != current_threads() => Pool::new(threads).install(f),
        _ => f(),
    }
}

/// Program and machine, for `env.json`.
fn environment() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let command: Vec<String> = std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect();
    let value = serde_json::json!({
        "hectare": env!("CARGO_PKG_VERSION"),
        "started_utc": clock::now_utc(),
        "command": command,
        "isa": Isa::best().name(),
        "threads": current_threads(),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
    });
    format!("{value:#}\n")
}

/// The state of a run in progress.
struct Run<'a> {
    config: TrainConfig,
    folder: RunFolder,
    observer: &'a dyn Observer,
    isa: Isa,
    card: ModelCard,
    recipe: Recipe,
    trainer: Trainer,
    params: Params,
    gradients: AlignedVec,
    optimiser: Optimiser,
    schedule: Schedule,
    sets: Sets,
    source: Arc<dyn SampleSource>,
    weights: Option<Vec<f32>>,
    snapshots: Option<Snapshots>,
    log: MetricsLog,
    epoch: usize,
    step: u64,
    best: Option<Best>,
    elapsed_s: f64,
}

/// What training an epoch gave.
struct Trained {
    loss: f64,
    lr: f64,
    images: usize,
    seconds: f64,
    waited: f64,
}

impl<'a> Run<'a> {
    fn new(
        config: TrainConfig,
        folder: RunFolder,
        setup: Setup,
        log: MetricsLog,
        observer: &'a dyn Observer,
    ) -> Result<Run<'a>, TrainError> {
        let Setup { card, network, params, sets, weights, snapshots, input, cache_bytes, lines } = setup;
        let isa = Isa::best();
        let recipe = Recipe::new(&card, isa)?;
        let [samples, tests] = sets.lens();
        let n = config.batch_size.min(samples);
        let mut trainer = Trainer::new(&network, isa, n, input[0], input[1]).map_err(TrainError::net)?;
        if config.trunk_lr_factor == 0.0 {
            let frozen: Vec<bool> = params.layout.entries.iter().map(|entry| in_trunk(&entry.name)).collect();
            trainer.freeze(&frozen).map_err(TrainError::net)?;
        }
        let run = Run {
            isa,
            recipe,
            trainer,
            gradients: AlignedVec::zeroed(params.layout.total),
            optimiser: Optimiser::new(&config, &params.layout),
            schedule: Schedule::new(&config, samples.div_ceil(config.batch_size) as u64),
            source: sets.source(&config, &card, input, cache_bytes)?,
            config,
            folder,
            observer,
            card,
            params,
            sets,
            weights,
            snapshots,
            log,
            epoch: 0,
            step: 0,
            best: None,
            elapsed_s: 0.0,
        };
        run.say(&format!(
            "{} on {}: {samples} training and {tests} validation pictures, {} classes, input {}x{}",
            run.config.model,
            isa.name(),
            run.card.classes.len(),
            input[0],
            input[1]
        ))?;
        lines.iter().try_for_each(|line| run.say(line))?;
        Ok(run)
    }

    /// Goes back to a checkpoint whose weights are loaded.
    fn restore(&mut self, header: StateHeader, slots: Vec<AlignedVec>) -> Result<(), TrainError> {
        if !self.optimiser.restore(slots) || header.seed != self.config.seed {
            return Err(TrainError::Run {
                path: self.folder.state(),
                problem: "does not belong to the network, optimiser and seed of config.toml".into(),
            });
        }
        if header.isa != self.isa.name() {
            self.say(&format!(
                "warning: the run began on {} and goes on with {}; its last digits will differ",
                header.isa,
                self.isa.name()
            ))?;
        }
        self.epoch = header.epoch;
        self.step = header.step;
        self.best = header.best;
        self.elapsed_s = header.elapsed_s;
        Ok(())
    }

    /// Tells people and `log.txt`.
    fn say(&self, line: &str) -> Result<(), TrainError> {
        self.observer.event(&Event::Message(line));
        let path = self.folder.log();
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            writeln!(file, "{} {line}", clock::now_utc())
        };
        append().map_err(|cause| TrainError::io("cannot write", &path, cause))
    }

    fn go(mut self) -> Result<RunSummary, TrainError> {
        let mut stopped = false;
        while self.epoch < self.config.epochs && !stopped {
            self.run_epoch()?;
            stopped = self.observer.should_stop() && self.epoch < self.config.epochs;
        }
        if stopped {
            self.say(&format!("stopped after epoch {}", self.epoch))?;
        }
        Ok(RunSummary {
            run: self.folder.root().to_path_buf(),
            finished: !stopped,
            already_finished: false,
            best: self.best,
            epochs: self.log.records().to_vec(),
        })
    }

    fn run_epoch(&mut self) -> Result<(), TrainError> {
        let epoch = self.epoch + 1;
        let last = epoch == self.config.epochs;
        let trained = self.train_epoch(epoch)?;
        if !elementwise::all_finite(self.isa, &self.params.values) {
            return Err(TrainError::NotFinite { step: self.step, rate: trained.lr });
        }
        let begun = Instant::now();
        let validates = last || epoch.is_multiple_of(self.config.validate_every);
        let keeps_masks = self.snapshots.as_ref().is_some_and(|snapshots| snapshots.epochs.contains(epoch));
        let evaluation = if validates { Some(self.validate(epoch, keeps_masks)?) } else { None };
        if keeps_masks && !validates {
            self.write_masks(epoch)?;
        }
        let validation = evaluation.as_ref().map(|evaluation| self.figures(evaluation));
        let validation_s = begun.elapsed().as_secs_f64();
        self.elapsed_s += trained.seconds + validation_s;
        self.epoch = epoch;

        let previous = self.best.clone();
        if let Some((metric, _)) = validation.as_ref().map(Validation::metric)
            && previous.as_ref().is_none_or(|best| metric > best.metric)
        {
            self.best = Some(Best { epoch, metric });
        }
        let is_best = self.best.as_ref().is_some_and(|best| best.epoch == epoch);
        let factor = self.config.trunk_lr_factor;
        let record = EpochRecord {
            epoch,
            step: self.step,
            lr: trained.lr,
            lr_trunk: trained.lr * factor,
            train_loss: trained.loss,
            validation,
            images_per_s: trained.images as f64 / trained.seconds.max(1e-9),
            data_wait: trained.waited / trained.seconds.max(1e-9),
            train_s: trained.seconds,
            validation_s,
            elapsed_s: self.elapsed_s,
            best: is_best,
        };
        self.say(&describe(&record, self.config.epochs))?;
        if is_best {
            self.say(&reason(&record, previous.as_ref()))?;
            if let Some(evaluation) = &evaluation {
                let names = self.card.classes.names();
                files::write(&self.folder.confusion(), evaluation.confusion.to_csv(&names))?;
            }
        }
        self.log.push(&self.folder, record.clone())?;
        self.save(is_best, last)?;
        self.observer.event(&Event::EpochEnd(&record));
        Ok(())
    }

    fn train_epoch(&mut self, epoch: usize) -> Result<Trained, TrainError> {
        let config = &self.config;
        // Data counts epochs from 0.
        let number = epoch as u64 - 1;
        let batches = epoch_batches(self.source.len(), config.batch_size, Some((config.seed, number)));
        let steps = batches.len();
        self.observer.event(&Event::EpochStart { epoch, epochs: config.epochs, steps });
        let begun = Instant::now();
        let queue = config.workers + 1;
        let mut loader = Loader::new(Arc::clone(&self.source), number, batches, config.workers, queue);
        let loss = CrossEntropy {
            classes: self.recipe.classes(),
            weights: self.weights.as_deref(),
            label_smoothing: config.label_smoothing as f32,
        };
        let isa = self.isa;
        let (mut total, mut images, mut lr, mut done) = (LossValue::default(), 0, 0.0, 0);
        for batch in loader.by_ref() {
            let batch = batch.map_err(TrainError::data)?;
            lr = config.lr * self.schedule.factor(self.step);
            self.step += 1;
            let mut value = LossValue::default();
            let mut of_logits = |logits: &[f32], gradient: &mut [f32]| {
                value = cross_entropy(isa, &loss, logits, &batch.labels, Some(gradient));
                value.mean()
            };
            let key = StepKey { seed: config.seed, step: self.step };
            let mean = self
                .trainer
                .step(
                    &mut self.params,
                    batch.n,
                    batch.h,
                    batch.w,
                    &batch.images,
                    key,
                    &mut of_logits,
                    &mut self.gradients,
                    false,
                )
                .map_err(TrainError::net)?;
            if !mean.is_finite() {
                return Err(TrainError::NotFinite { step: self.step, rate: lr });
            }
            self.optimiser.step(isa, lr, self.step, &mut self.params.values, &mut self.gradients);
            total += value;
            images += batch.n;
            done += 1;
            let images_per_s = images as f64 / begun.elapsed().as_secs_f64().max(1e-9);
            self.observer.event(&Event::Step { epoch, done, steps, loss: mean, lr, images_per_s });
        }
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Trained { loss: total.mean(), lr, images, seconds, waited: loader.waited().as_secs_f64() })
    }

    /// The network as it predicts now. Weights are packed once for all pictures, which costs a copy of them.
    fn predictor(&self) -> Result<Predictor, TrainError> {
        Predictor::new(self.trainer.network().clone(), self.params.clone(), self.isa).map_err(TrainError::net)
    }

    fn validate(&self, epoch: usize, keeps_masks: bool) -> Result<Evaluation, TrainError> {
        let observer = self.observer;
        let settings = EvaluationSettings {
            weights: self.weights.as_deref(),
            batch_size: self.config.batch_size,
            progress: &|done, total| observer.event(&Event::Validating { done, total }),
        };
        let mut network = self.predictor()?;
        match &self.sets {
            Sets::Classify { val, .. } => {
                evaluate_classification(&self.recipe, &mut network, &val.samples, &settings)
            }
            Sets::Segment { val, .. } => {
                let tiles = self.snapshots.as_ref().filter(|_| keeps_masks).map_or(&[][..], |s| &s.tiles);
                let stems: Vec<&str> = tiles.iter().map(|tile| val.samples[*tile].stem.as_str()).collect();
                let (folder, classes) = (&self.folder, &self.card.classes);
                evaluate_segmentation(
                    &self.recipe,
                    &mut network,
                    &val.samples,
                    classes,
                    &settings,
                    &mut |sample, mask| {
                        if stems.contains(&sample.stem.as_str()) {
                            write_mask(folder, epoch, &sample.stem, mask, classes)?;
                        }
                        Ok(())
                    },
                )
            }
        }
    }

    /// The masks of the chosen tiles, in an epoch without validation.
    fn write_masks(&self, epoch: usize) -> Result<(), TrainError> {
        let (Sets::Segment { val, .. }, Some(snapshots)) = (&self.sets, &self.snapshots) else {
            return Ok(());
        };
        let samples: Vec<_> = snapshots.tiles.iter().map(|tile| val.samples[*tile].clone()).collect();
        let mut network = self.predictor()?;
        let (folder, classes) = (&self.folder, &self.card.classes);
        let settings = EvaluationSettings::default();
        evaluate_segmentation(
            &self.recipe,
            &mut network,
            &samples,
            classes,
            &settings,
            &mut |sample, mask| write_mask(folder, epoch, &sample.stem, mask, classes),
        )?;
        Ok(())
    }

    fn figures(&self, evaluation: &Evaluation) -> Validation {
        let name = |id: usize| self.card.classes.classes[id].name.clone();
        let loss = evaluation.loss.mean();
        let accuracy = evaluation.confusion.accuracy();
        if self.config.model.is_classifier() {
            let recalls = evaluation.confusion.recalls().into_iter().enumerate();
            let classes = recalls.map(|(id, value)| ClassFigure { id, name: name(id), value }).collect();
            return Validation { loss, accuracy, mean_iou: None, protocol: None, classes };
        }
        let report = evaluation.confusion.iou(Protocol::Course, &scored(&self.card.classes));
        let pairs = report.classes.iter().zip(&report.iou);
        let classes = pairs.map(|(&id, &value)| ClassFigure { id, name: name(id), value }).collect();
        let mean_iou = Some(report.mean.unwrap_or(0.0));
        Validation { loss, accuracy, mean_iou, protocol: Some(Protocol::Course), classes }
    }

    /// Writes what this epoch has to keep: numbered and best weights first, then the checkpoint as a pair.
    fn save(&self, is_best: bool, last: bool) -> Result<(), TrainError> {
        let write =
            |path: &Path| weight_files::write(path, &self.card, &self.params).map_err(TrainError::net);
        let checkpoints = last || self.epoch.is_multiple_of(self.config.checkpoint_every);
        let numbered = self.config.keep_epochs.contains(self.epoch).then(|| self.folder.numbered(self.epoch));
        let copies = [is_best.then(|| self.folder.best()), numbered];
        if !checkpoints {
            return copies.into_iter().flatten().try_for_each(|path| write(&path));
        }
        write(&self.folder.next())?;
        copies.into_iter().flatten().try_for_each(|path| files::duplicate(&self.folder.next(), &path))?;
        let header = StateHeader {
            epoch: self.epoch,
            step: self.step,
            seed: self.config.seed,
            isa: self.isa.name().into(),
            best: self.best.clone(),
            elapsed_s: self.elapsed_s,
            weights: String::new(),
            weights_sha256: String::new(),
            slots: 0,
            slot_len: 0,
        };
        checkpoint::commit(&self.folder, header, self.optimiser.slots())
    }
}

fn write_mask(
    folder: &RunFolder,
    epoch: usize,
    stem: &str,
    mask: &hectare_data::Mask,
    classes: &hectare_net::ClassMap,
) -> Result<(), TrainError> {
    let folder = folder.masks(epoch);
    files::create_folder(&folder)?;
    write_mask_rgb(mask, classes, &folder.join(format!("{stem}_mask.png"))).map_err(TrainError::data)
}

/// The line of an epoch.
fn describe(record: &EpochRecord, epochs: usize) -> String {
    let mut line = format!("epoch {}/{epochs}: loss {:.4}", record.epoch, record.train_loss);
    if let Some(validation) = &record.validation {
        let (metric, name) = validation.metric();
        line += &format!(", validation loss {:.4}, {name} {metric:.4}", validation.loss);
    }
    line += &format!(
        ", rate {:.2e}, {:.1} images/s, {:.1} % waiting for data, {} in training and {} in validation",
        record.lr,
        record.images_per_s,
        record.data_wait * 100.0,
        clock::duration(record.train_s),
        clock::duration(record.validation_s)
    );
    line
}

/// Why an epoch is the best.
fn reason(record: &EpochRecord, previous: Option<&Best>) -> String {
    let (metric, name) = record.validation.as_ref().map_or((0.0, "metric"), Validation::metric);
    match previous {
        Some(best) => format!(
            "best weights: epoch {}, whose {name} {metric:.6} is above {:.6} of epoch {}",
            record.epoch, best.metric, best.epoch
        ),
        None => format!("best weights: epoch {}, the first measured, with {name} {metric:.6}", record.epoch),
    }
}
