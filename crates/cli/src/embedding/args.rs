//! Flags of the commands that make a map.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hectare_train::npy;
use hectare_tsne::{Against, Metric, Repulsion, Settings, Start};

use crate::args::positive;
use crate::failure::{Failure, OrFail};

/// What makes a map, and what of it is written.
#[derive(Args, Debug, Clone)]
pub struct EmbeddingArgs {
    /// Folder for the results; created.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// About how many neighbours count as near; lowered for few rows.
    #[arg(long, value_name = "X", default_value = "30")]
    pub perplexity: f64,
    /// Reduce rows of more numbers to so many principal components first.
    #[arg(long, value_name = "N", default_value = "50", value_parser = positive)]
    pub pca: usize,
    /// Take rows as they are.
    #[arg(long, conflicts_with = "pca")]
    pub no_pca: bool,
    /// How near two rows are.
    #[arg(long, value_enum, default_value = "euclidean")]
    pub metric: MetricName,
    /// Where the points begin: pca, random, or a .npy file of N x 2 numbers.
    #[arg(long, value_name = "START", default_value = "pca")]
    pub start: StartFrom,
    /// Iterations, those of the early phase among them.
    #[arg(long, value_name = "N", default_value = "750")]
    pub iterations: usize,
    /// Iterations of the early phase.
    #[arg(long, value_name = "N", default_value = "250")]
    pub early_iterations: usize,
    /// Factor on attraction in the early phase.
    #[arg(long, value_name = "X", default_value = "12")]
    pub early_exaggeration: f64,
    /// Factor on attraction afterwards: 1 is t-SNE itself, up to 4 makes tighter islands.
    #[arg(long, value_name = "X", default_value = "1")]
    pub exaggeration: f64,
    /// Learning rate [default: N / exaggeration, at least 200].
    #[arg(long, value_name = "X")]
    pub learning_rate: Option<f64>,
    /// The number that random draws come from.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
    /// How repulsion is computed.
    #[arg(long, value_enum, default_value = "auto")]
    pub repulsion: RepulsionName,
    /// Stop when KL falls by less than this share in 50 iterations.
    #[arg(long, value_name = "SHARE")]
    pub stop_below: Option<f64>,
    /// What the map's quality is measured against.
    #[arg(long, value_enum, default_value = "reduced")]
    pub quality: AgainstName,
    /// Measure no quality but KL.
    #[arg(long, conflicts_with = "quality")]
    pub no_quality: bool,
    /// Draw nothing: coordinates and figures only.
    #[arg(long)]
    pub no_pictures: bool,
    /// Print map.json too.
    #[arg(long)]
    pub json: bool,
}

/// How near two rows are.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricName {
    /// The distance of the rows as they are.
    Euclidean,
    /// The angle between them.
    Cosine,
}

/// How repulsion is computed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepulsionName {
    /// By whatever is faster.
    Auto,
    /// Over all pairs.
    Exact,
    /// By interpolation and FFT.
    Fft,
}

/// What quality is measured against.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgainstName {
    /// The principal components that the map was made of.
    Reduced,
    /// The rows as they were given.
    Full,
}

/// Where the points begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// At the first two principal components.
    Pca,
    /// At random.
    Random,
    /// Where a file says.
    File(PathBuf),
}

impl std::str::FromStr for StartFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<StartFrom, String> {
        match text {
            "pca" => Ok(StartFrom::Pca),
            "random" => Ok(StartFrom::Random),
            file if file.ends_with(".npy") => Ok(StartFrom::File(file.into())),
            _ => Err("it is neither pca nor random nor a .npy file".into()),
        }
    }
}

impl EmbeddingArgs {
    /// The settings, checked. A file to start from is read here.
    ///
    /// # Errors
    /// A value out of range, or a file that cannot be used (exit code 2).
    pub fn settings(&self) -> Result<Settings, Failure> {
        let start = match &self.start {
            StartFrom::Pca => Start::Pca,
            StartFrom::Random => Start::Random,
            StartFrom::File(path) => {
                let (shape, numbers) = npy::read_numbers(path).or_input()?;
                if shape.get(1) != Some(&2) || shape.len() != 2 {
                    let problem = format!("{}: holds numbers of shape {shape:?}", path.display());
                    return Err(Failure::input(problem).help("points to start from are N x 2 numbers"));
                }
                Start::Given(numbers.as_chunks::<2>().0.to_vec())
            }
        };
        let settings = Settings {
            perplexity: self.perplexity,
            pca: (!self.no_pca).then_some(self.pca),
            metric: match self.metric {
                MetricName::Euclidean => Metric::Euclidean,
                MetricName::Cosine => Metric::Cosine,
            },
            start,
            iterations: self.iterations,
            early_iterations: self.early_iterations,
            early_exaggeration: self.early_exaggeration,
            exaggeration: self.exaggeration,
            learning_rate: self.learning_rate,
            seed: self.seed,
            repulsion: match self.repulsion {
                RepulsionName::Auto => Repulsion::Auto,
                RepulsionName::Exact => Repulsion::Exact,
                RepulsionName::Fft => Repulsion::Fft,
            },
            stop_below: self.stop_below,
            memory_limit: hectare_train::available_bytes(),
            ..Settings::default()
        };
        settings.check().or_input()?;
        Ok(settings)
    }

    /// What quality is measured against, if it is.
    pub fn against(&self) -> Option<Against> {
        let against = match self.quality {
            AgainstName::Reduced => Against::Reduced,
            AgainstName::Full => Against::Full,
        };
        (!self.no_quality).then_some(against)
    }
}
