//! All settings of a training run. Each flag of `train` is a key here and in a TOML file; the resolved
//! whole is saved in the run folder.

mod check;
mod error;
mod every;
mod layer;
mod loss_terms;
mod lr_factor;
mod presets;
mod text;
mod values;

use std::path::PathBuf;

use hectare_net::weights::InputOrder;
use hectare_net::{Geometry, Head, ModelKind};
use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use every::Every;
pub use layer::Layer;
pub use loss_terms::{LossTerms, RegionKind, RegionTerm};
pub use lr_factor::{LrFactor, fits};
pub use values::{ClassWeights, Epochs, InputSize, OptimiserKind, Preset, ScheduleKind, Size, Task};

/// The settings of a run, complete. Made by [`TrainConfig::resolve`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The problem.
    pub task: Task,
    /// Where the defaults came from.
    pub preset: Preset,
    /// The network.
    pub model: ModelKind,
    /// Folder (or CSV list) of the training set; with `labels` a scene, a folder or a list of scenes.
    pub train: PathBuf,
    /// Folder (or CSV list) of the validation set, with `labels` scenes; empty where held-out blocks of the training scenes
    /// are validated on.
    pub val: PathBuf,
    /// Classes of the pixels of scenes: a raster or polygons.
    pub labels: Option<PathBuf>,
    /// The same for the scenes of `val`, where they are another file's.
    pub val_labels: Option<PathBuf>,
    /// The field of polygons that holds their class.
    pub class_field: String,
    /// Bands of the scenes in the network's order, counted from 1; all of them, or as `init` says, otherwise.
    pub bands: Option<Vec<usize>>,
    /// Which samples of the scenes become levels 0 and 255.
    pub levels: Option<String>,
    /// Windows of the scenes in an epoch; as many as it takes to cover the labelled ground once, otherwise.
    pub windows: Option<usize>,
    /// The run folder.
    pub out: PathBuf,
    /// Weights to start from.
    pub init: Option<PathBuf>,
    /// What the first convolution of `init` takes, where the file does not say.
    #[serde(default)]
    pub init_order: Option<InputOrder>,
    /// Whether `init` may hold only some of the layers.
    pub partial: bool,
    /// Whether a pretrained trunk is brought to activations of size 1 when the layers above it start anew.
    pub balance: bool,
    /// File with the class names and colours (CSV or TOML); the course's map or the one of `init` otherwise.
    pub class_map: Option<PathBuf>,
    /// List of files that both sets are opened without: one path a line, relative to the list.
    pub exclude: Option<PathBuf>,
    /// Names or ids of classes left out of the loss and never predicted.
    pub ignore: Vec<String>,
    /// Factor on the number of channels.
    pub width: f64,
    /// Padding rules of an FCN.
    pub geometry: Geometry,
    /// Last layers of a classifier.
    pub head: Head,
    /// Channels of an FCN's hidden layers behind the trunk, before `width`.
    pub head_width: usize,
    /// Side of the window of the first of them.
    pub head_kernel: usize,
    /// What the network sees while training.
    pub input: InputSize,
    /// Size that segmentation scales pictures to, undone on the logits.
    pub resize: Option<Size>,

    /// Share of the training set that is held out of training and validated on its own; 0 holds nothing out.
    pub holdout: f64,

    /// Passes over the training set; with `steps` the number of passes begun.
    pub epochs: usize,
    /// Steps in all, where the last epoch is not a whole one.
    pub steps: Option<u64>,
    /// Hours that the run may take: `steps` is chosen to fit them when the run begins.
    pub hours: Option<f64>,
    /// Pictures that the network sees at once, N.
    pub batch_size: usize,
    /// Batches in a step: their gradients are those of one batch that is as many times larger.
    pub accumulate: usize,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
    /// First samples taken of each set.
    pub limit: Option<usize>,
    /// First samples taken of the validation set, where that differs from `limit`.
    pub val_limit: Option<usize>,
    /// Optimiser.
    pub optimiser: OptimiserKind,
    /// Rate of the new layers after the warm-up.
    pub lr: f64,
    /// Factor on the rate of the trunk (`features.*`); 0 leaves the trunk as it is.
    pub trunk_lr_factor: f64,
    /// Factors on the rate of the nodes that fit a pattern, in place of `trunk_lr_factor`; the last that fits
    /// counts.
    pub lr_factor: Vec<LrFactor>,
    /// Patterns of nodes that are not trained.
    pub freeze: Vec<String>,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Decay of the first moment of AdamW.
    pub beta1: f64,
    /// Decay of the second moment of AdamW.
    pub beta2: f64,
    /// Added to the denominator of AdamW.
    pub eps: f64,
    /// Weight decay: added to the gradient (SGD) or taken off the weight, times the rate (AdamW).
    pub weight_decay: f64,
    /// Whether biases and normalisation layers decay too.
    pub decay_biases: bool,
    /// Largest norm of the whole gradient; longer ones are scaled down.
    pub clip_norm: Option<f64>,
    /// How the rate moves after the warm-up.
    pub schedule: ScheduleKind,
    /// Length of the linear warm-up in epochs.
    pub warmup_epochs: f64,
    /// Exponent of the `poly` schedule.
    pub poly_power: f64,
    /// Decay of the running average of the weights (EMA); 0 keeps none.
    pub ema: f64,
    /// What is minimised.
    pub loss: LossTerms,
    /// Weight of each class in the cross-entropy.
    pub class_weights: ClassWeights,
    /// Share of the target spread over all classes.
    pub label_smoothing: f64,

    /// Mirror left and right, half of the time.
    pub flip_h: bool,
    /// Mirror top and bottom, half of the time.
    pub flip_v: bool,
    /// Turn by a multiple of 90 degrees.
    pub quarter_turns: bool,
    /// Largest rotation in degrees, either way.
    pub rotate: f64,
    /// Classification: least and largest share of the picture's area in the crop; `[1, 1]` takes all of it.
    pub crop_area: [f64; 2],
    /// Classification: least and largest ratio of width to height of the crop.
    pub crop_aspect: [f64; 2],
    /// Segmentation: least and largest scale of a crop.
    pub scale: [f64; 2],
    /// Strength of the brightness jitter.
    pub brightness: f64,
    /// Strength of the contrast jitter.
    pub contrast: f64,
    /// Strength of the saturation jitter.
    pub saturation: f64,

    /// How often a checkpoint is written; the end of the run always has one.
    pub checkpoint_every: Every,
    /// Epochs between two validations; the last epoch is always validated.
    pub validate_every: usize,
    /// Epochs whose weights are kept under their number.
    pub keep_epochs: Epochs,
    /// Tiles whose predicted masks are kept; unset: 0010, 0097 and 0107, else three with many classes.
    pub snapshot: Option<Vec<String>>,
    /// Epochs of those masks; unset: the first, the middle and the last.
    pub snapshot_epochs: Option<Epochs>,

    /// Where to compute: `cpu`.
    pub device: String,
    /// Threads; unset: all cores.
    pub threads: Option<usize>,
    /// Threads that prepare batches.
    pub workers: usize,
    /// Whether decoded pictures stay in memory where they fit.
    pub cache: bool,
    /// Whether maps between convolutions are computed again in the backward pass where that saves memory.
    pub recompute: bool,
    /// Whether every picture is decoded again before work begins, those found good by an earlier run too.
    pub verify: bool,
}

/// Keys that only one of the tasks has.
const ONLY: &[(&str, Task)] = &[
    ("geometry", Task::Segment),
    ("ignore", Task::Segment),
    ("labels", Task::Segment),
    ("val_labels", Task::Segment),
    ("class_field", Task::Segment),
    ("bands", Task::Segment),
    ("levels", Task::Segment),
    ("windows", Task::Segment),
    ("resize", Task::Segment),
    ("scale", Task::Segment),
    ("snapshot", Task::Segment),
    ("snapshot_epochs", Task::Segment),
    ("head", Task::Classify),
    ("crop_area", Task::Classify),
    ("crop_aspect", Task::Classify),
];

impl TrainConfig {
    /// The preset's settings with `layers` laid over them, the later ones on top. `task`, `preset` and
    /// `model` come from the layers too; they default to `modern` and to `vgg16` or `fcn8s`.
    ///
    /// # Errors
    /// Unknown keys (with a suggestion), values of the wrong kind or out of range, a missing `task`, `train`,
    /// `val` or `out`.
    pub fn resolve(layers: &[Layer]) -> Result<TrainConfig, ConfigError> {
        let mut merged = Layer::new("the settings");
        for layer in layers {
            layer.check_length()?;
            merged.lay_over(layer);
        }
        let Some(task) = merged.get::<Task>("task")? else {
            return Err(ConfigError::Missing { key: "task" });
        };
        let preset = merged.get::<Preset>("preset")?.unwrap_or(Preset::Modern);
        let default_model = match task {
            Task::Classify => ModelKind::Vgg16,
            Task::Segment => ModelKind::Fcn8s,
        };
        let model = merged.get::<ModelKind>("model")?.unwrap_or(default_model);
        let base = presets::preset(task, preset, model, merged.has("init"));
        for layer in layers {
            layer.check_keys(&base, task)?;
        }
        for key in ["train", "val", "out"] {
            // Blocks of the scenes that are trained on can stand in for scenes of their own.
            let spared = key == "val" && merged.has("labels");
            if !(merged.has(key) || spared) {
                return Err(ConfigError::Missing { key });
            }
        }
        let config = merged.apply(base.clone())?;
        config.check()?;
        config.check_used(&base, &merged)?;
        Ok(config)
    }

    /// The preset's settings, with empty paths. `pretrained`: whether weights are given to start from.
    pub fn preset(task: Task, preset: Preset, model: ModelKind, pretrained: bool) -> TrainConfig {
        presets::preset(task, preset, model, pretrained)
    }

    /// Reads a configuration saved by [`TrainConfig::to_toml`]. One that an earlier version saved has the preset's value
    /// for each key that it did not know.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_toml(text: &str) -> Result<TrainConfig, ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            source: "config.toml".into(),
            problem: error.to_string(),
        };
        let config = match toml::from_str::<TrainConfig>(text) {
            Ok(config) => config,
            // The error of the text as it stands says more than that of the completed one.
            Err(error) => completed(text).ok_or_else(|| syntax(error))?,
        };
        config.check()?;
        Ok(config)
    }

    /// The settings as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("the settings are a flat table")
    }

    /// Pictures in a step.
    pub fn step_size(&self) -> usize {
        self.batch_size * self.accumulate
    }

    /// Whether a part of the training set is held out beside a validation set.
    pub fn has_holdout(&self) -> bool {
        self.holdout > 0.0 && !self.validates_on_blocks()
    }

    /// Whether held-out blocks of the training scenes are the validation set.
    pub fn validates_on_blocks(&self) -> bool {
        self.labels.is_some() && self.val.as_os_str().is_empty()
    }

    /// First samples to take of the validation set.
    pub fn validation_limit(&self) -> Option<usize> {
        self.val_limit.or(self.limit)
    }
}

/// A configuration with the preset's values for keys that it lacks; `None` where that is not what is wrong with it.
fn completed(text: &str) -> Option<TrainConfig> {
    let mut table: toml::Table = toml::from_str(text).ok()?;
    let named = |key: &str| table.get(key).cloned();
    let base = presets::preset(
        named("task")?.try_into().ok()?,
        named("preset")?.try_into().ok()?,
        named("model")?.try_into().ok()?,
        table.contains_key("init"),
    );
    let base: toml::Table = toml::from_str(&base.to_toml()).ok()?;
    for (key, value) in &base {
        // A key that may be missing says something by missing.
        let optional = || {
            let without: toml::Table =
                base.iter().filter(|(k, _)| *k != key).map(|(k, v)| (k.clone(), v.clone())).collect();
            without.try_into::<TrainConfig>().is_ok()
        };
        if !table.contains_key(key) && !optional() {
            table.insert(key.clone(), value.clone());
        }
    }
    table.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_earlier_versions_are_completed() {
        let layer = {
            let mut layer = paths(Task::Segment);
            layer.set("preset", "course");
            layer
        };
        let config = TrainConfig::resolve(&[layer]).unwrap();
        let older: String = config
            .to_toml()
            .lines()
            .filter(|line| !line.starts_with("head_width") && !line.starts_with("accumulate"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(TrainConfig::from_toml(&older).unwrap(), config);
        let broken = older.replace("epochs = ", "epochs = x");
        assert!(TrainConfig::from_toml(&broken).is_err());
        let without = older.replace("preset = \"course\"\n", "");
        assert!(TrainConfig::from_toml(&without).unwrap_err().to_string().contains("missing field"));
    }

    fn paths(task: Task) -> Layer {
        let mut layer = Layer::new("flags");
        layer.set("task", task);
        for key in ["train", "val", "out"] {
            layer.set(key, key);
        }
        layer
    }

    #[test]
    fn presets_are_the_reports_and_ours() {
        let mut layer = paths(Task::Segment);
        layer.set("preset", "course");
        let course = TrainConfig::resolve(&[layer.clone()]).unwrap();
        assert_eq!((course.epochs, course.batch_size, course.lr), (80, 8, 1e-3));
        assert_eq!(course.schedule, ScheduleKind::Constant);
        assert_eq!(course.input, InputSize::Whole);
        assert_eq!(course.geometry, Geometry::Caffe);
        assert!(course.decay_biases && course.ignore.is_empty() && !course.flip_h);
        layer.set("model", "fcn32s");
        assert_eq!(TrainConfig::resolve(&[layer]).unwrap().epochs, 50);
        let mut layer = paths(Task::Classify);
        layer.set("init", "trunk.safetensors");
        let modern = TrainConfig::resolve(&[layer]).unwrap();
        assert_eq!((modern.optimiser, modern.batch_size), (OptimiserKind::AdamW, 64));
        assert_eq!((modern.lr, modern.trunk_lr_factor), (1e-3, 0.1));
        // A trunk that begins at random learns as fast as what is above it.
        for task in [Task::Classify, Task::Segment] {
            assert_eq!(TrainConfig::resolve(&[paths(task)]).unwrap().trunk_lr_factor, 1.0);
        }
    }

    #[test]
    fn later_layers_win_and_the_whole_survives_a_round_trip() {
        let mut file = Layer::new("a.toml");
        file.set("epochs", 3);
        file.set("lr", 0.5);
        file.set("snapshot", ["a", "b"]);
        let mut flags = paths(Task::Segment);
        flags.set("lr", 0.25);
        flags.set("class_weights", "1,2,3");
        let config = TrainConfig::resolve(&[file, flags]).unwrap();
        assert_eq!((config.epochs, config.lr), (3, 0.25));
        assert_eq!(config.class_weights, ClassWeights::List(vec![1.0, 2.0, 3.0]));
        assert_eq!(TrainConfig::from_toml(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn mistakes_are_named() {
        let resolve = |key: &str, value: &str| {
            let mut layer = paths(Task::Classify);
            layer.set(key, value);
            TrainConfig::resolve(&[layer]).unwrap_err().to_string()
        };
        assert_eq!(resolve("batchsize", "3"), "flags: unknown key `batchsize`; did you mean `batch_size`?");
        assert!(resolve("snapshot", "0010").contains("train segment"));
        assert!(resolve("input", "0").contains("--input 0"), "{}", resolve("input", "0"));
        assert!(resolve("model", "fcn8s").contains("train segment"));
        assert!(resolve("schedule", "cosin").contains("`constant`, `cosine`, `poly`"));
        let mut layer = paths(Task::Classify);
        layer.set("lr", -1.0);
        assert_eq!(
            TrainConfig::resolve(&[layer]).unwrap_err().to_string(),
            "--lr -1: must be greater than 0"
        );
        for (task, changes, part) in [
            (Task::Classify, "loss = 'ce+lovasz'", "--loss ce+lovasz: compares areas"),
            (
                Task::Segment,
                "poly_power = 2",
                "--poly-power 2: does nothing here; it goes with --schedule poly",
            ),
            (Task::Segment, "momentum = 0.8", "--optimiser sgd"),
            (Task::Segment, "optimiser = 'sgd'\nbeta2 = 0.99", "--optimiser adamw"),
            (Task::Segment, "input = 'whole'\nscale = [0.5, 2]", "--scale 0.5,2: does nothing here"),
            (Task::Classify, "crop_area = [1, 1]\ncrop_aspect = [0.5, 2]", "--crop-area below 1"),
            (
                Task::Segment,
                "epochs = 3\nwarmup_epochs = 4",
                "--warmup-epochs 4: is longer than the run of 3",
            ),
            (Task::Segment, "epochs = 3\nkeep_epochs = [3, 5]", "epoch 5 is after the last, 3"),
            (Task::Segment, "epochs = 3\nhours = 2", "--hours 2: excludes --epochs"),
            (Task::Segment, "hours = 0", "--hours 0: must be greater than 0"),
            (Task::Segment, "ema = 1", "--ema 1: must be at least 0 and less than 1"),
            (Task::Segment, "holdout = -0.1", "--holdout -0.1: "),
            (Task::Segment, "clip_norm = 0", "--clip-norm 0: must be greater than 0"),
            (
                Task::Segment,
                "model = 'vgg16_unet'\ngeometry = 'caffe'",
                "--geometry caffe: does nothing here",
            ),
            (Task::Classify, "ignore = ['cat']", "train segment"),
        ] {
            let layer = Layer::from_toml_text("c.toml", changes).unwrap();
            let error = TrainConfig::resolve(&[paths(task), layer]).unwrap_err().to_string();
            assert!(error.contains(part), "{part} is not in {error}");
        }
        // Saved settings serve as a file of settings again.
        for (task, model) in [(Task::Classify, ModelKind::Vgg16), (Task::Segment, ModelKind::Fcn8s)] {
            let mut config = TrainConfig::preset(task, Preset::Modern, model, false);
            (config.steps, config.hours) = (Some(9), Some(1.0));
            let mut layer = Layer::from_toml_text("config.toml", &config.to_toml()).unwrap();
            for key in ["train", "val", "out"] {
                layer.set(key, key);
            }
            assert_eq!(TrainConfig::resolve(&[layer]).map(|config| config.steps), Ok(Some(9)));
        }
        let layer = Layer::from_toml_text("c.toml", "batch-size = 3\nepochs = 'x'").unwrap();
        let error = TrainConfig::resolve(&[layer, paths(Task::Classify)]).unwrap_err().to_string();
        assert!(error.starts_with("--epochs x: "), "{error}");
    }
}
