//! The command line as clap sees it: names, values, help. Parsing does nothing but validate.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use hectare_net::onnx::Pixels;
use hectare_net::weights::InputOrder;
use hectare_net::{Geometry, Head, ModelKind, UnknownName};
use hectare_train::{Protocol, Views};

pub use crate::commands::area::AreaArgs;
pub use crate::commands::data_tile::DataTileArgs;
pub use crate::commands::polygons::PolygonsArgs;
use crate::commands::predict::onnx_args::OnnxArgs;
use crate::commands::predict::scene_args::SceneArgs;
pub use crate::commands::report::ReportArgs;
pub use crate::commands::reproduce::ReproduceArgs;
pub use crate::commands::sample::SampleArgs;
pub use crate::commands::train::args::TrainArgs;
use crate::embedding::args::EmbeddingArgs;

/// Trains, evaluates and applies VGG16 image classifiers and FCN land-cover networks on a CPU.
#[derive(Parser, Debug)]
#[command(name = "hectare", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Hectare {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Flags that every command takes.
#[derive(Args, Debug)]
pub struct Global {
    /// Number of threads [default: all cores]. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
    /// What convolutions multiply: f32, or numbers rounded to bf16 with sums in f32, several times as fast where
    /// the CPU has a unit for it (Intel AMX) [default: f32, or what the run that `train --resume` names began with].
    #[arg(long, global = true, value_name = "TYPE")]
    pub precision: Option<Precision>,
    /// Say more on stderr.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing on stderr but warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Numbers that convolutions multiply.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 24 binary digits.
    F32,
    /// 8 binary digits.
    Bf16,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Train and apply both kinds of network on pictures it draws itself.
    Demo(DemoArgs),
    /// Print a network: its modules, output shapes, parameters, FLOPs and memory.
    Summary(SummaryArgs),
    /// Look at data sets.
    Data(DataArgs),
    /// Train a network, or go on with a run.
    Train(TrainArgs),
    /// Measure a trained network on labelled data.
    Eval(EvalArgs),
    /// Apply a trained network: masks or test_pred.csv of pictures (the label of a single one is printed too),
    /// georeferenced maps of scenes.
    Predict(PredictArgs),
    /// Hectares of each class of a map.
    Area(AreaArgs),
    /// Draw random points of each class of a map, to be labelled: area then tells the error of its figures.
    Sample(SampleArgs),
    /// Turn a map into polygons.
    Polygons(PolygonsArgs),
    /// Compare predicted masks with the truth, as the course's grader does, digit for digit.
    Score(ScoreArgs),
    /// Shift the scores of each class so that the mean IoU on labelled tiles is highest.
    Tune(TuneArgs),
    /// Write a model as ONNX, for other programs, or as safetensors.
    Convert(ConvertArgs),
    /// Make every item of the report from the course's two folders, in one go that can be interrupted.
    Reproduce(ReproduceArgs),
    /// Show runs in one offline page: curves, figures side by side, masks over time, where networks differ.
    Report(ReportArgs),
    /// Make a map of pictures: t-SNE of what a trained network sees in them.
    Embed(EmbedArgs),
    /// Make a map of the rows of any matrix by t-SNE.
    Tsne(TsneArgs),
    /// Write the weights file of a network that was not trained.
    Init(InitArgs),
    /// Measure how fast networks and layers are on this machine, and how much memory they take.
    Bench(BenchArgs),
}

/// `hectare demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Folder for data, runs, masks and the contact sheet; created.
    #[arg(long, value_name = "DIR", default_value = "hectare-demo")]
    pub out: PathBuf,
    /// Only as much as proves that everything runs: few pictures, one epoch.
    #[arg(long)]
    pub quick: bool,
}

/// Flags that describe a network.
#[derive(Args, Debug, Clone)]
pub struct NetworkArgs {
    /// Number of classes [default: 50 for classifiers, 7 for segmentation].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub classes: Option<usize>,
    /// Size of the input, as 512 or 512x384, height first [default: 128 for classifiers, 512 for segmentation].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub input: Option<[usize; 2]>,
    /// Padding and cropping of the segmentation networks.
    #[arg(long, value_parser = geometry())]
    pub geometry: Option<Geometry>,
    /// What a classifier has behind its trunk.
    #[arg(long, value_parser = head())]
    pub head: Option<Head>,
    /// Channels of an FCN's two hidden layers behind its trunk [default: 4096].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub head_width: Option<usize>,
    /// Side of the window of the first of them, odd [default: 7].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub head_kernel: Option<usize>,
    /// Factor on the number of channels (0.125: an eighth).
    #[arg(long, value_name = "F", value_parser = fraction)]
    pub width: Option<f64>,
}

/// `hectare summary`.
#[derive(Args, Debug)]
pub struct SummaryArgs {
    /// The network.
    #[arg(value_name = "MODEL", value_parser = model())]
    pub model: ModelKind,
    /// Its description.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Pictures at once, for FLOPs and memory.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub batch_size: usize,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `hectare init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The network.
    #[arg(value_name = "MODEL", value_parser = model())]
    pub model: ModelKind,
    /// Its description.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// The number that the random start is drawn from.
    #[arg(long, value_name = "N")]
    pub seed: u64,
    /// The file to write.
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: PathBuf,
}

/// `hectare data`.
#[derive(Args, Debug)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The commands below `hectare data`.
#[derive(Subcommand, Debug)]
pub enum DataCommand {
    /// Print what a data set holds and what is wrong with it (exit code 1 if anything is).
    Check(DataCheckArgs),
    /// Cut a scene, and its labels, into the tiles that training reads.
    Tile(DataTileArgs),
}

/// `hectare data check`.
#[derive(Args, Debug)]
pub struct DataCheckArgs {
    /// The data set: a folder, or a CSV list of pictures and classes; or scenes: a GeoTIFF file or a folder of them.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// What the data is for [default: segment if there are masks].
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// Class names and colours: class_dict.csv or a TOML file [default: the course's palette].
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// A second set to look at and to compare with, as validation with training: pictures that are in both, classes
    /// that only one has.
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Write the files to leave out because of their faults, one path a line, for `train --exclude`.
    #[arg(long, value_name = "FILE")]
    pub quarantine: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Flags of the commands that read a model file.
#[derive(Args, Debug, Clone)]
pub struct ModelFileArgs {
    /// The weights: a hectare file, or a state_dict in a .safetensors, .pth or .pt file. For maps of scenes `predict` takes
    /// anybody's .onnx segmentation model too.
    #[arg(value_name = "MODEL_FILE")]
    pub model_file: PathBuf,
    /// Padding and cropping [default: as in the file, modern for a bare state_dict, long for
    /// pytorch-fcn's].
    #[arg(long, value_parser = geometry())]
    pub geometry: Option<Geometry>,
    /// What the first convolution of a bare state_dict takes: red, green, blue, normalised as for ImageNet, or blue, green,
    /// red of 0 to 255 less their means, as in Caffe [default: rgb, bgr255 for pytorch-fcn's].
    #[arg(long, value_name = "ORDER", value_parser = input_order())]
    pub input_order: Option<InputOrder>,
    /// Class names and colours instead of those in the file: class_dict.csv or a TOML file.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
}

/// `hectare convert`.
#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelFileArgs,
    /// The file to write: .onnx or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// End the ONNX graph with probabilities instead of logits.
    #[arg(long)]
    pub softmax: bool,
    /// What the ONNX graph takes: pixels that the caller has normalised, or pixels of 0 to 1 (unit) or of 0 to 255
    /// (bytes) that are normalised inside the graph.
    #[arg(long, value_name = "KIND", default_value = "normalised", value_parser = pixels())]
    pub input: Pixels,
    /// Fix the rows and columns that the ONNX graph takes, for programs that want to know them beforehand, as QGIS's
    /// Deepness plugin does [default: any].
    #[arg(long, value_name = "PIXELS", value_parser = positive)]
    pub tile: Option<usize>,
}

/// `hectare tune`.
#[derive(Args, Debug)]
pub struct TuneArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelFileArgs,
    /// Labelled tiles that the network was not trained on. Not the validation set, if figures of it are to be reported.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Of them only the share that a run with this --holdout keeps out of its training [default: all].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub holdout: Option<f64>,
    /// The weights file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Which pixels count and which classes the mean is over.
    #[arg(long, value_enum, default_value = "course")]
    pub protocol: ProtocolName,
    /// About how many pixels to look at, on a regular grid in each tile.
    #[arg(long, value_name = "N", default_value_t = 4_000_000, value_parser = positive)]
    pub pixels: usize,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `hectare eval`.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelFileArgs,
    /// Labelled data.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Average the probabilities over positions: all eight flips and quarter turns for segmentation, left and right for
    /// classification.
    #[arg(long)]
    pub tta: bool,
    /// Which pixels count and which classes the mean is over.
    #[arg(long, value_enum, default_value = "course")]
    pub protocol: ProtocolName,
    /// Only the first N pictures.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Exit with 1 if the mean IoU of a segmentation network is lower.
    #[arg(long, value_name = "X")]
    pub min_miou: Option<f64>,
    /// Exit with 1 if the accuracy is lower, of a segmentation network that of pixels.
    #[arg(long, value_name = "X")]
    pub min_accuracy: Option<f64>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `hectare predict`.
#[derive(Args, Debug)]
pub struct PredictArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelFileArgs,
    /// Pictures, or folders of pictures (without their *_mask.png); or scenes: GeoTIFF files, folders of them, or text files
    /// that list them.
    #[arg(value_name = "INPUT", required = true)]
    pub inputs: Vec<PathBuf>,
    /// Folder for the results; created. Of one scene or picture a name in .tif makes a map.
    #[arg(long, value_name = "DIR|MAP.tif")]
    pub out: PathBuf,
    /// Average the probabilities over positions: all eight flips and quarter turns for segmentation, left and right for
    /// classification.
    #[arg(long)]
    pub tta: bool,
    /// Also write the softmax: OUT/STEM.npy (C x H x W), OUT/probabilities.npy (N x C), of scenes MAP_probabilities.tif.
    #[arg(long)]
    pub probabilities: bool,
    /// Write masks as one-band PNGs with a palette instead of RGB.
    #[arg(long)]
    pub palette: bool,
    /// Flags that go with scenes.
    #[command(flatten)]
    pub scene: SceneArgs,
    /// Flags that go with ONNX models.
    #[command(flatten)]
    pub onnx: OnnxArgs,
    /// Also write OUT/STEM_overlay.png: the mask over the picture (not of scenes).
    #[arg(long)]
    pub overlay: bool,
}

/// `hectare embed`.
#[derive(Args, Debug)]
pub struct EmbedArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelFileArgs,
    /// Pictures: a folder of files such as 12_345.png, a folder per class, a CSV list, or any folder of pictures.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The node whose values are the features, as `summary` names it [default: what the last layer reads, before a ReLU
    /// or dropout].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Average the features over the positions of the node's map (the default for segmentation networks).
    #[arg(long)]
    pub average: bool,
    /// Only the first N pictures.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Also write features.npy (N x D).
    #[arg(long)]
    pub features: bool,
    /// The map.
    #[command(flatten)]
    pub embedding: EmbeddingArgs,
}

/// `hectare tsne`.
#[derive(Args, Debug)]
pub struct TsneArgs {
    /// The rows: real numbers of any kind, N x D.
    #[arg(value_name = "FEATURES.npy")]
    pub features: PathBuf,
    /// The class of each row: whole numbers in a .npy file, or a number or a name on each line of a text file.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// The map.
    #[command(flatten)]
    pub embedding: EmbeddingArgs,
}

/// `hectare score`.
#[derive(Args, Debug)]
pub struct ScoreArgs {
    /// Folder of the true masks.
    #[arg(long, value_name = "DIR")]
    pub labels: PathBuf,
    /// Folder of the predicted masks.
    #[arg(long, value_name = "DIR")]
    pub pred: PathBuf,
    /// Exit with 1 if the mean IoU is lower.
    #[arg(long, value_name = "X")]
    pub min_miou: Option<f64>,
    /// Print one JSON document, with the confusion matrix.
    #[arg(long)]
    pub json: bool,
}

/// `hectare bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// A workload; may be given several times [default: all, each in a process of its own].
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Runs that are timed [default: at least 5, and as many as take 3 seconds].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub runs: Option<usize>,
    /// Runs before those that are timed.
    #[arg(long, value_name = "N", default_value = "2")]
    pub warm_up: usize,
    /// List the workloads and leave.
    #[arg(long, conflicts_with_all = ["only", "json"])]
    pub list: bool,
    /// Weights for a prediction instead of random ones: the network's bare state_dict.
    #[arg(long, value_name = "FILE.safetensors")]
    pub weights: Option<PathBuf>,
    /// Input of a prediction instead of random numbers, N x C x H x W (f32).
    #[arg(long, value_name = "FILE.npy")]
    pub input: Option<PathBuf>,
    /// Keep a prediction's result, N x K x H x W (f32).
    #[arg(long, value_name = "FILE.npy")]
    pub save: Option<PathBuf>,
    /// Print one JSON document, with every run's time.
    #[arg(long)]
    pub json: bool,
}

/// What data is for.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskName {
    /// One class per picture.
    Classify,
    /// One class per pixel.
    Segment,
}

/// How IoU is counted.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolName {
    /// As the course's grader: all pixels count, the mean leaves Unknown out.
    Course,
    /// Pixels of ignored classes do not count.
    Ignore,
}

impl From<ProtocolName> for Protocol {
    fn from(name: ProtocolName) -> Protocol {
        match name {
            ProtocolName::Course => Protocol::Course,
            ProtocolName::Ignore => Protocol::Ignore,
        }
    }
}

/// The positions that `--tta` stands for.
pub fn views(tta: bool) -> Views {
    if tta { Views::Flips } else { Views::One }
}

/// Reads a model's name.
pub fn model() -> impl TypedValueParser<Value = ModelKind> {
    named(ModelKind::ALL.map(ModelKind::name))
}

/// Reads a geometry's name.
pub fn geometry() -> impl TypedValueParser<Value = Geometry> {
    named(Geometry::ALL.map(Geometry::name))
}

/// Reads what a first convolution takes.
pub fn input_order() -> impl TypedValueParser<Value = InputOrder> {
    named(InputOrder::ALL.map(InputOrder::name))
}

/// Reads a head's name.
pub fn head() -> impl TypedValueParser<Value = Head> {
    named([Head::Linear, Head::Hidden512].map(Head::name))
}

/// Reads what an ONNX graph takes.
fn pixels() -> impl TypedValueParser<Value = Pixels> {
    named(Pixels::ALL.map(Pixels::name))
}

/// Reads one of `names`, which help and errors list.
fn named<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = UnknownName> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| T::from_str(&name))
}

/// Reads a whole number from 1 up.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("it must be at least 1".to_string()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is no whole number".to_string()),
    }
}

/// Reads a share.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1.0 => Ok(number),
        Ok(_) => Err("it must be above 0 and below 1".to_string()),
        Err(_) => Err("it is no number".to_string()),
    }
}

/// Reads a width factor.
fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 4.0 => Ok(number),
        Ok(_) => Err("it must be above 0 and at most 4".to_string()),
        Err(_) => Err("it is no number".to_string()),
    }
}

/// Reads `512` or `512x384`, height first.
fn size(text: &str) -> Result<[usize; 2], String> {
    let size: hectare_train::Size = text.parse()?;
    Ok([size.h, size.w])
}
