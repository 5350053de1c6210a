//! A run in progress.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use hectare_data::BatchSource;
use hectare_kernels::{AlignedVec, Isa};
use hectare_net::{ModelCard, Params, Trainer};

use super::RunSummary;
use crate::average::Average;
use crate::checkpoint::{Best, PartialEpoch, StateHeader};
use crate::clock;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::events::{Event, Observer};
use crate::files;
use crate::optimiser::{Optimiser, lr_factor, trunk_lr_factor};
use crate::picks::Picks;
use crate::predict::Recipe;
use crate::record::{EpochRecord, MetricsLog, Validation};
use crate::run_folder::RunFolder;
use crate::schedule::Schedule;
use crate::sets::Sets;
use crate::setup::Setup;
use crate::snapshot::Snapshots;
use crate::transfer::Parent;

/// The state of a run in progress.
pub(super) struct Run<'a> {
    pub config: TrainConfig,
    pub folder: RunFolder,
    pub observer: &'a dyn Observer,
    pub isa: Isa,
    pub card: ModelCard,
    pub recipe: Recipe,
    pub trainer: Trainer,
    pub params: Params,
    pub gradients: AlignedVec,
    pub optimiser: Optimiser,
    pub average: Option<Average>,
    pub schedule: Schedule,
    pub sets: Sets,
    pub source: Arc<dyn BatchSource>,
    pub weights: Option<Vec<f32>>,
    pub snapshots: Option<Snapshots>,
    /// The network of another stride that this one begins as, until the two are compared.
    pub parent: Option<Parent>,
    pub log: MetricsLog,
    /// Epochs done.
    pub epoch: usize,
    /// Steps done.
    pub step: u64,
    /// The epoch in progress; at its start where none was begun.
    pub partial: PartialEpoch,
    pub best: Option<Best>,
    pub best_holdout: Option<Best>,
    /// Seconds of the epochs done.
    pub elapsed_s: f64,
    /// When the last checkpoint was written, and the step and epoch it holds.
    pub saved: (Instant, u64, usize),
}

impl<'a> Run<'a> {
    pub fn new(
        config: TrainConfig,
        folder: RunFolder,
        setup: Setup,
        log: MetricsLog,
        observer: &'a dyn Observer,
    ) -> Result<Run<'a>, TrainError> {
        let Setup { card, network, params, sets, weights, snapshots, input, cache_bytes, parent, lines } =
            setup;
        let isa = Isa::best();
        let recipe = Recipe::new(&card, isa)?;
        let lens = sets.lens();
        let n = config.batch_size.min(lens.train);
        let mut trainer = Trainer::new(&network, isa, n, input[0], input[1]).map_err(TrainError::net)?;
        trainer.recompute(config.recompute);
        let frozen: Vec<bool> =
            params.layout.entries.iter().map(|entry| lr_factor(&config, &entry.name) == 0.0).collect();
        if frozen.contains(&true) {
            trainer.freeze(&frozen).map_err(TrainError::net)?;
        }
        let average = (config.ema > 0.0).then(|| Average::new(config.ema, &params));
        let run = Run {
            isa,
            recipe,
            trainer,
            gradients: AlignedVec::zeroed(params.layout.total),
            optimiser: Optimiser::new(&config, &params.layout),
            average,
            schedule: Schedule::new(&config, lens.train.div_ceil(config.step_size()) as u64),
            source: sets.source(&config, &card, input, cache_bytes)?,
            config,
            folder,
            observer,
            card,
            params,
            sets,
            weights,
            snapshots,
            parent,
            log,
            epoch: 0,
            step: 0,
            partial: PartialEpoch::default(),
            best: None,
            best_holdout: None,
            elapsed_s: 0.0,
            saved: (Instant::now(), 0, 0),
        };
        let held_out = match lens.holdout {
            0 => String::new(),
            held_out => format!(" ({held_out} more held out)"),
        };
        run.say(&format!(
            "{} on {}: {} training{held_out} and {} validation {}, {} classes, input {}x{}",
            run.config.model,
            isa.name(),
            lens.train,
            lens.val,
            if run.config.labels.is_some() { "windows of scenes" } else { "pictures" },
            run.card.classes.len(),
            input[0],
            input[1]
        ))?;
        if let frozen @ 1.. = frozen.iter().filter(|frozen| **frozen).count() {
            run.say(&format!("{frozen} of {} tensors are frozen", run.params.layout.entries.len()))?;
        }
        lines.iter().try_for_each(|line| run.say(line))?;
        Ok(run)
    }

    /// Goes back to a checkpoint whose weights are loaded.
    pub fn restore(&mut self, header: StateHeader, mut slots: Vec<AlignedVec>) -> Result<(), TrainError> {
        let problem = |problem: String| TrainError::Run { path: self.folder.state(), problem };
        let samples = self.source.count();
        if header.samples != samples {
            return Err(problem(format!(
                "was written with {} training pictures, and there are {samples} now",
                header.samples
            )));
        }
        let averaged = slots.split_off(self.optimiser.slots().len().min(slots.len()));
        let mut fits = self.optimiser.restore(slots) && header.seed == self.config.seed;
        let averaged = <[AlignedVec; 2]>::try_from(averaged);
        match (&mut self.average, averaged) {
            (Some(average), Ok([values, buffers])) => {
                fits &=
                    values.len() == self.params.values.len() && buffers.len() == self.params.buffers.len();
                (average.params.values, average.params.buffers) = (values, buffers);
            }
            (None, Err(rest)) if rest.is_empty() => {}
            _ => fits = false,
        }
        if !fits {
            return Err(problem("does not belong to the network, optimiser and seed of config.toml".into()));
        }
        if header.isa != self.isa.name() {
            let began_in_bf16 = header.is_bf16();
            let differ = match began_in_bf16 == self.isa.is_bf16() {
                true => "its last digits will differ".to_owned(),
                false => {
                    let of = |bf16| if bf16 { "bf16" } else { "f32" };
                    let (began, goes_on) = (of(began_in_bf16), of(self.isa.is_bf16()));
                    format!("products are of {goes_on} from here on, not of {began}: its figures will differ")
                }
            };
            self.say(&format!(
                "warning: the run began on {} and goes on with {}; {differ}",
                header.isa,
                self.isa.name()
            ))?;
        }
        self.epoch = header.epoch;
        self.step = header.step;
        self.partial = header.partial.unwrap_or_default();
        self.best = header.best;
        self.best_holdout = header.best_holdout;
        self.elapsed_s = header.elapsed_s;
        self.saved = (Instant::now(), self.step, self.epoch);
        self.say(&format!("resumed after {}", self.place()))
    }

    /// Where the run is.
    fn place(&self) -> String {
        match self.partial.steps {
            0 => format!("epoch {}", self.epoch),
            steps => format!("step {steps} of epoch {}", self.epoch + 1),
        }
    }

    /// Tells people and `log.txt`.
    pub fn say(&self, line: &str) -> Result<(), TrainError> {
        self.observer.event(&Event::Message(line));
        let path = self.folder.log();
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            writeln!(file, "{} {line}", clock::now_utc())
        };
        append().map_err(|cause| TrainError::io("cannot write", &path, cause))
    }

    /// All epochs that are left, or as many as the observer lets it do. `begun` is when its hours began.
    pub fn go(mut self, begun: Instant) -> Result<RunSummary, TrainError> {
        let mut finished = match self.compare_with_parent().and_then(|()| self.settle_length(begun)) {
            Err(TrainError::Stopped) => false,
            result => result.map(|()| true)?,
        };
        while self.epoch < self.config.epochs && finished {
            finished = !self.observer.should_stop();
            if finished {
                match self.run_epoch() {
                    Err(TrainError::Stopped) => finished = false,
                    result => result?,
                }
            }
        }
        let picks = Picks::of(self.log.records());
        if !finished {
            self.checkpoint(&[])?;
            self.say(&format!("stopped after {}", self.place()))?;
        } else if let Some(picks) = &picks {
            self.report(picks)?;
        }
        Ok(RunSummary {
            run: self.folder.root().to_path_buf(),
            finished,
            already_finished: false,
            best: self.best,
            picks,
            epochs: self.log.records().to_vec(),
        })
    }

    /// One epoch, or what is left of it. [`TrainError::Stopped`] leaves it to be resumed.
    fn run_epoch(&mut self) -> Result<(), TrainError> {
        let epoch = self.epoch + 1;
        let last = epoch == self.config.epochs;
        let lr = self.train_epoch()?;
        self.check_weights(lr)?;
        let begun = Instant::now();
        let validates = last || epoch.is_multiple_of(self.config.validate_every);
        let epochs = self.config.epochs;
        let keeps_masks = self.snapshots.as_ref().is_some_and(|snapshots| snapshots.are_due(epoch, epochs));
        let checked = if validates { Some(self.validate(epoch, keeps_masks)?) } else { None };
        if keeps_masks && !validates {
            self.write_masks(epoch)?;
        }
        let validation_s = begun.elapsed().as_secs_f64();
        let trained = std::mem::take(&mut self.partial);
        self.elapsed_s += trained.seconds + validation_s;
        self.epoch = epoch;

        let figures = |evaluation: Option<&_>| evaluation.map(|evaluation| self.figures(evaluation));
        let raw = checked.as_ref().map(|checked| &checked.raw);
        let averaged = checked.as_ref().and_then(|checked| checked.averaged.as_ref());
        let per_second = |amount: f64| amount / trained.seconds.max(1e-9);
        let mut record = EpochRecord {
            epoch,
            step: self.step,
            lr,
            lr_trunk: lr * trunk_lr_factor(&self.config, &self.params.layout),
            train_loss: if trained.loss_weight == 0.0 { 0.0 } else { trained.loss_sum / trained.loss_weight },
            validation: figures(raw.map(|on| &on.val)),
            holdout: figures(raw.and_then(|on| on.holdout.as_ref())),
            ema_validation: figures(averaged.map(|on| &on.val)),
            ema_holdout: figures(averaged.and_then(|on| on.holdout.as_ref())),
            images_per_s: per_second(trained.images as f64),
            data_wait: per_second(trained.waited),
            train_s: trained.seconds,
            validation_s,
            elapsed_s: self.elapsed_s,
            best: false,
            best_holdout: false,
        };
        let previous = self.best.clone();
        record.best = Best::improve(&mut self.best, record.on_validation());
        record.best_holdout = Best::improve(&mut self.best_holdout, record.on_holdout());
        self.say(&describe(&record, epochs))?;
        if record.best {
            self.say(&reason(&record, self.best.as_ref(), previous.as_ref()))?;
            if let (Some(best), Some(checked)) = (&self.best, &checked) {
                let found = checked.averaged.as_ref().filter(|_| best.averaged).unwrap_or(&checked.raw);
                let names = self.card.classes.names();
                files::write(&self.folder.confusion(), found.val.confusion.to_csv(&names))?;
            }
        }
        self.log.push(&self.folder, record.clone())?;
        self.keep(&record, last)?;
        self.observer.event(&Event::EpochEnd(&record));
        Ok(())
    }
}

/// The line of an epoch.
fn describe(record: &EpochRecord, epochs: usize) -> String {
    let mut line = format!("epoch {}/{epochs}: loss {:.4}", record.epoch, record.train_loss);
    if let Some(validation) = &record.validation {
        let (metric, name) = validation.metric();
        line += &format!(", validation loss {:.4}, {name} {metric:.4}", validation.loss);
    }
    for (set, validation) in [
        ("averaged", &record.ema_validation),
        ("held out", &record.holdout),
        ("held out averaged", &record.ema_holdout),
    ] {
        if let Some(validation) = validation {
            line += &format!(", {set} {:.4}", validation.metric().0);
        }
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
fn reason(record: &EpochRecord, best: Option<&Best>, previous: Option<&Best>) -> String {
    let name = record.validation.as_ref().map_or("metric", |validation| Validation::metric(validation).1);
    let metric = best.map_or(0.0, |best| best.metric);
    let which = if best.is_some_and(|best| best.averaged) { " averaged" } else { "" };
    match previous {
        Some(best) => format!(
            "best weights: epoch {}{which}, whose {name} {metric:.6} is above {:.6} of epoch {}",
            record.epoch, best.metric, best.epoch
        ),
        None => {
            format!(
                "best weights: epoch {}{which}, the first measured, with {name} {metric:.6}",
                record.epoch
            )
        }
    }
}
