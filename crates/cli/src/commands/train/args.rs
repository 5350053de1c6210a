//! The flags of `hectare train`. Each is a key of the configuration, so the flags are one more layer of it.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use hectare_net::weights::InputOrder;
use hectare_net::{Geometry, Head, ModelKind};
use hectare_train::{
    ClassWeights, Epochs, Every, InputSize, Layer, LossTerms, LrFactor, OptimiserKind, Preset, ScheduleKind,
    Size, Task,
};
use serde::Serialize;

/// `hectare train`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct TrainArgs {
    /// Go on with this run from its last checkpoint.
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    /// Print a line for every step, for the logs of a cluster.
    #[arg(long, requires = "resume")]
    pub plain: bool,
    /// The problem.
    #[command(subcommand)]
    pub task: Option<TaskArgs>,
}

/// The two problems.
#[derive(Subcommand, Debug)]
pub enum TaskArgs {
    /// Learn to name the class of a whole picture.
    Classify(Box<Settings>),
    /// Learn to name the class of each pixel.
    Segment(Box<Settings>),
}

impl TaskArgs {
    /// The problem and its flags.
    pub fn parts(&self) -> (Task, &Settings) {
        match self {
            TaskArgs::Classify(settings) => (Task::Classify, settings),
            TaskArgs::Segment(settings) => (Task::Segment, settings),
        }
    }
}

/// Declares each flag as an option that is left out of the layer where it was not given. Switches take a value,
/// so that one that a preset has on can be turned off: `--flip-h`, `--flip-h=false`.
macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $type:ty,)+) => {
        /// The flags of both problems. What is not given comes from `--config`, then from the preset.
        #[derive(Args, Debug, Serialize)]
        pub struct Settings {
            /// TOML file with the same names as the flags (`batch_size = 8`); flags win over it.
            #[arg(long, value_name = "FILE", help_heading = "Data and files")]
            #[serde(skip)]
            pub config: Option<PathBuf>,
            /// Never download anything.
            #[arg(long, help_heading = "Data and files")]
            #[serde(skip)]
            pub offline: bool,
            /// Print a line for every step, for the logs of a cluster.
            #[arg(long)]
            #[serde(skip)]
            pub plain: bool,
            $($(#[$meta])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)+
        }
    };
}

settings! {
    /// Training set: a folder, or a CSV list; with --labels a scene (GeoTIFF), a folder of scenes or a text file that lists
    /// them.
    #[arg(long, value_name = "DIR", help_heading = "Data and files")]
    train: PathBuf,
    /// Validation set: a folder, or a CSV list; with --labels other scenes. Without it --holdout says which share of the
    /// labelled ground is validated on, in whole blocks.
    #[arg(long, value_name = "DIR", help_heading = "Data and files")]
    val: PathBuf,
    /// Classes of the pixels of scenes (segment): a raster of class ids or colours, or polygons (GeoPackage, GeoJSON);
    /// another grid or coordinate system is brought to the scene's.
    #[arg(long, value_name = "FILE", help_heading = "Scenes")]
    labels: PathBuf,
    /// The same for the scenes of --val [default: --labels].
    #[arg(long, value_name = "FILE", help_heading = "Scenes")]
    val_labels: PathBuf,
    /// The field of the polygons that holds their class, by name or id [default: lc].
    #[arg(long, value_name = "NAME", help_heading = "Scenes")]
    class_field: String,
    /// Bands that the network sees, counted from 1, red, green and blue first, as 4,3,2,8 [default: as --init says, else
    /// all].
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', help_heading = "Scenes")]
    bands: Vec<usize>,
    /// Samples that become levels 0 and 255: LOW:HIGH for all bands or one for each (0:3000,0:3000,0:2500), or pLOW:HIGH for
    /// percentiles of the scenes (p2:98); kept in the model [default: as --init says, 0:255 for 8-bit samples].
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true, help_heading = "Scenes")]
    levels: String,
    /// Windows in an epoch [default: as many as cover the labelled ground once].
    #[arg(long, value_name = "N", help_heading = "Scenes")]
    windows: usize,

    /// Folder of the run; created.
    #[arg(long, value_name = "RUN", help_heading = "Data and files")]
    out: PathBuf,
    /// Weights to start from: a file, or a run, whose weights picked on its held-out share (else on validation, else the
    /// last) are taken. An FCN starts from one of another stride too. `imagenet` is torchvision's VGG16, downloaded once into the
    /// user's cache (some 530 MB); what it has no weights for starts anew.
    #[arg(long, value_name = "RUN_OR_FILE", help_heading = "Data and files")]
    init: PathBuf,
    /// What the first convolution of --init takes, where the file does not say: red, green, blue, or, as Caffe's and
    /// Keras's VGG16 do, blue, green, red of 0 to 255 less their means; that is folded into its weights.
    #[arg(long, value_name = "ORDER", value_parser = crate::args::input_order(), help_heading = "Data and files")]
    init_order: InputOrder,
    /// Let --init hold only some of the layers.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Data and files")]
    partial: bool,
    /// Rescale a pretrained trunk to activations of size 1 when the layers above it start anew.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Data and files")]
    balance: bool,
    /// Class names and colours: class_dict.csv or a TOML file.
    #[arg(long, value_name = "FILE", help_heading = "Data and files")]
    class_map: PathBuf,
    /// List of files to leave out of both sets, as `data check --quarantine` writes it: one path a line, relative to the
    /// list.
    #[arg(long, value_name = "FILE", help_heading = "Data and files")]
    exclude: PathBuf,
    /// Share of the training set, chosen by the hash of each name, that is held out of training and validated on
    /// its own; of scenes whole blocks of ground.
    #[arg(long, value_name = "SHARE", help_heading = "Data and files")]
    holdout: f64,
    /// Only the first N samples of each set.
    #[arg(long, value_name = "N", help_heading = "Data and files")]
    limit: usize,
    /// Only the first N samples of the validation set.
    #[arg(long, value_name = "N", help_heading = "Data and files")]
    val_limit: usize,
    /// Decode every picture once before work begins.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Data and files")]
    verify: bool,
    /// Keep decoded pictures in memory where they fit.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Data and files")]
    cache: bool,
    /// Threads that prepare batches.
    #[arg(long, value_name = "N", help_heading = "Data and files")]
    workers: usize,

    /// The network.
    #[arg(long, value_parser = crate::args::model(), help_heading = "Network")]
    model: ModelKind,
    /// Padding and cropping of the segmentation networks.
    #[arg(long, value_parser = crate::args::geometry(), help_heading = "Network")]
    geometry: Geometry,
    /// What a classifier has behind its trunk.
    #[arg(long, value_parser = crate::args::head(), help_heading = "Network")]
    head: Head,
    /// Channels of an FCN's two hidden layers behind its trunk.
    #[arg(long, value_name = "N", help_heading = "Network")]
    head_width: usize,
    /// Side of the window of the first of them, odd: 3 with a --head-width of 1024 makes a network of an eighth.
    #[arg(long, value_name = "N", help_heading = "Network")]
    head_kernel: usize,
    /// Factor on the number of channels (0.125: an eighth).
    #[arg(long, value_name = "F", help_heading = "Network")]
    width: f64,
    /// What the network sees: resized pictures (classify) or crops (segment) of this size, or `whole`.
    #[arg(long, value_name = "SIZE", help_heading = "Network")]
    input: InputSize,
    /// Scale pictures to this size first, undone on the logits (segment).
    #[arg(long, value_name = "SIZE", help_heading = "Network")]
    resize: Size,
    /// Classes (names or ids) left out of the loss and never predicted.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', help_heading = "Network")]
    ignore: Vec<String>,

    /// Where the defaults come from: `modern`, or `course`, the report's recipe.
    #[arg(long, value_name = "NAME", help_heading = "Recipe")]
    preset: Preset,
    /// Passes over the training set.
    #[arg(long, value_name = "N", conflicts_with_all = ["steps", "hours"], help_heading = "Recipe")]
    epochs: usize,
    /// Steps in all, in place of --epochs.
    #[arg(long, value_name = "N", conflicts_with = "hours", help_heading = "Recipe")]
    steps: u64,
    /// Hours that the run may take, in place of --epochs: steps are timed for a minute, and as many are planned as
    /// fit with their validations.
    #[arg(long, value_name = "H", help_heading = "Recipe")]
    hours: f64,
    /// Pictures that the network sees at once.
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    batch_size: usize,
    /// Batches in a step: the gradient of one that is N times larger, in the memory of one.
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    accumulate: usize,
    /// Compute maps between convolutions again in the backward pass where that saves memory: the same results.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Recipe")]
    recompute: bool,
    /// Seed of weights, order, augmentation and dropout.
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    seed: u64,
    /// `sgd` or `adamw`.
    #[arg(long, value_name = "NAME", help_heading = "Recipe")]
    optimiser: OptimiserKind,
    /// Learning rate after the warm-up.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    lr: f64,
    /// Factor on the rate of the trunk; 0 leaves it as it is [default of modern: 0.1 with --init, else 1].
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    trunk_lr_factor: f64,
    /// Factor on the rate of the nodes that fit a pattern, as 'features.2*=0.05'; may be repeated, the last that fits
    /// counts, before --trunk-lr-factor.
    #[arg(long, value_name = "PATTERN=X", value_delimiter = ',', help_heading = "Recipe")]
    lr_factor: Vec<LrFactor>,
    /// Nodes that are not trained, as 'features.*'; may be repeated. Frozen layers before all others cost no backward
    /// pass.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', help_heading = "Recipe")]
    freeze: Vec<String>,
    /// Momentum of SGD.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    momentum: f64,
    /// Decay of the first moment of AdamW.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    beta1: f64,
    /// Decay of the second moment of AdamW.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    beta2: f64,
    /// Added to the denominator of AdamW.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    eps: f64,
    /// Weight decay.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    weight_decay: f64,
    /// Let biases and normalisation layers decay too.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Recipe")]
    decay_biases: bool,
    /// Largest norm of the gradient; longer ones are scaled down.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    clip_norm: f64,
    /// How the rate moves: `constant`, `cosine` or `poly`.
    #[arg(long, value_name = "NAME", help_heading = "Recipe")]
    schedule: ScheduleKind,
    /// Length of the linear warm-up in epochs.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    warmup_epochs: f64,
    /// Exponent of the `poly` schedule.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    poly_power: f64,
    /// Decay of a running average of the weights (as 0.999), measured beside the weights themselves; 0 for none.
    #[arg(long, value_name = "DECAY", help_heading = "Recipe")]
    ema: f64,
    /// What is minimised: `ce` (cross-entropy), or with a loss of regions beside it, `ce+lovasz`, `ce+dice`, or from a
    /// share of the run on, `ce+lovasz@0.8` (segment).
    #[arg(long, value_name = "LOSS", help_heading = "Recipe")]
    loss: LossTerms,
    /// Weight of each class in the cross-entropy: `none`, `median` or `inverse` frequency, or a list.
    #[arg(long, value_name = "LIST", help_heading = "Recipe")]
    class_weights: ClassWeights,
    /// Share of the target spread over all classes.
    #[arg(long, value_name = "X", help_heading = "Recipe")]
    label_smoothing: f64,

    /// Mirror left and right.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Augmentation")]
    flip_h: bool,
    /// Mirror top and bottom.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Augmentation")]
    flip_v: bool,
    /// Turn by a multiple of 90 degrees.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, help_heading = "Augmentation")]
    quarter_turns: bool,
    /// Largest rotation in degrees.
    #[arg(long, value_name = "X", help_heading = "Augmentation")]
    rotate: f64,
    /// Least and largest share of the picture's area in a crop (classify).
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', help_heading = "Augmentation")]
    crop_area: Vec<f64>,
    /// Least and largest width to height of a crop (classify).
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', help_heading = "Augmentation")]
    crop_aspect: Vec<f64>,
    /// Least and largest scale of a crop (segment).
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', help_heading = "Augmentation")]
    scale: Vec<f64>,
    /// Strength of the brightness jitter.
    #[arg(long, value_name = "X", help_heading = "Augmentation")]
    brightness: f64,
    /// Strength of the contrast jitter.
    #[arg(long, value_name = "X", help_heading = "Augmentation")]
    contrast: f64,
    /// Strength of the saturation jitter.
    #[arg(long, value_name = "X", help_heading = "Augmentation")]
    saturation: f64,

    /// How often a checkpoint is written: `10m` (or s, h), `500steps`, `2epochs`.
    #[arg(long, value_name = "EVERY", help_heading = "What is kept")]
    checkpoint_every: Every,
    /// Epochs between two validations.
    #[arg(long, value_name = "N", help_heading = "What is kept")]
    validate_every: usize,
    /// Epochs whose weights are kept under their number: `all`, `none` or a list.
    #[arg(long, value_name = "LIST", help_heading = "What is kept")]
    keep_epochs: Epochs,
    /// Validation tiles whose masks are kept (segment).
    #[arg(long, value_name = "STEMS", value_delimiter = ',', help_heading = "What is kept")]
    snapshot: Vec<String>,
    /// Epochs of those masks: `all`, `none` or a list.
    #[arg(long, value_name = "LIST", help_heading = "What is kept")]
    snapshot_epochs: Epochs,

    /// Where to compute: `cpu`.
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    device: String,
}

impl Settings {
    /// The flags that were given, as a layer of the configuration.
    pub fn layer(&self, task: Task, threads: Option<usize>) -> Layer {
        let mut layer = Layer::new("the command line");
        layer.set("task", task);
        layer.set_some("threads", threads);
        if let Ok(serde_json::Value::Object(given)) = serde_json::to_value(self) {
            for (key, value) in given {
                layer.set(&key, value);
            }
        }
        layer
    }
}
