//! Everything that can be set, with its default and where the default comes from.

use serde::Serialize;

use crate::TsneError;

/// How near two rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The distance of the rows as they are.
    #[default]
    Euclidean,
    /// The distance of the rows brought to length 1: the order of cosines. Rows of zeros stay where they are.
    Cosine,
}

/// Where the points of the map begin.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Start {
    /// At the first two principal components, scaled so that the first has a standard deviation of 1e-4, with a
    /// jitter of a hundredth of it (Kobak and Berens 2019).
    #[default]
    Pca,
    /// Normal, with standard deviation 1e-4.
    Random,
    /// Where the caller says, x and y of each row, as they are.
    Given(Vec<[f32; 2]>),
}

/// By name, without the points.
impl Serialize for Start {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Start::Pca => "pca",
            Start::Random => "random",
            Start::Given(_) => "given",
        })
    }
}

/// How repulsion is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Repulsion {
    /// In each iteration by the one that is faster for this number of points and this extent of the map.
    #[default]
    Auto,
    /// Over all pairs.
    Exact,
    /// By interpolation on a grid and FFT (over all pairs for up to 64 points).
    Fft,
}

/// The settings of an embedding. [`Settings::default`] is what is recommended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Effective number of neighbours of a point; a third of the neighbours that are looked up.
    pub perplexity: f64,
    /// Rows of more numbers than this are reduced to so many principal components; `None` leaves them as they are.
    pub pca: Option<usize>,
    /// How near two rows are.
    pub metric: Metric,
    /// Where the points begin.
    pub start: Start,
    /// Iterations, those of the early phase among them.
    pub iterations: usize,
    /// Iterations of the early phase.
    pub early_iterations: usize,
    /// Factor on attraction in the early phase (van der Maaten 2014).
    pub early_exaggeration: f64,
    /// Factor on attraction afterwards; 1 is t-SNE itself, up to 4 makes islands tighter.
    pub exaggeration: f64,
    /// Learning rate; `None` is N / exaggeration in each phase (Belkina and others 2019), at least 200.
    pub learning_rate: Option<f64>,
    /// Momentum.
    pub momentum: f64,
    /// Longest step of a point.
    pub longest_step: f64,
    /// The number that random draws come from.
    pub seed: u64,
    /// How repulsion is computed.
    pub repulsion: Repulsion,
    /// Iterations between two looks at the KL divergence.
    pub check_every: usize,
    /// After the early phase, the run ends when KL falls by less than this share between two looks.
    pub stop_below: Option<f64>,
    /// Bytes that the work may take; more is refused before it begins. The input's own rows count.
    pub memory_limit: Option<u64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            perplexity: 30.0,
            pca: Some(50),
            metric: Metric::Euclidean,
            start: Start::Pca,
            iterations: 750,
            early_iterations: 250,
            early_exaggeration: 12.0,
            exaggeration: 1.0,
            learning_rate: None,
            momentum: 0.8,
            longest_step: 5.0,
            seed: 0,
            repulsion: Repulsion::Auto,
            check_every: 50,
            stop_below: None,
            memory_limit: None,
        }
    }
}

impl Settings {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`TsneError::Setting`] for the first such value.
    pub fn check(&self) -> Result<(), TsneError> {
        let refuse = |name, problem: String| Err(TsneError::Setting { name, problem });
        for (name, value, least) in [
            ("perplexity", self.perplexity, 1.0),
            ("early exaggeration", self.early_exaggeration, 1.0),
            ("exaggeration", self.exaggeration, 1.0),
        ] {
            if !(value.is_finite() && value >= least) {
                return refuse(name, format!("is {value}, and must be at least {least}"));
            }
        }
        for (name, value) in
            [("learning rate", self.learning_rate.unwrap_or(1.0)), ("longest step", self.longest_step)]
        {
            if !(value.is_finite() && value > 0.0) {
                return refuse(name, format!("is {value}, and must be above 0"));
            }
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return refuse("momentum", format!("is {}, and must be from 0 to below 1", self.momentum));
        }
        if self.pca == Some(0) {
            return refuse("pca", "is 0 components, and must be at least 1".into());
        }
        if self.check_every == 0 {
            return refuse("check every", "is 0 iterations, and must be at least 1".into());
        }
        if let Some(share) = self.stop_below.filter(|share| !(0.0..1.0).contains(share)) {
            return refuse("stop below", format!("is {share}, and must be from 0 to below 1"));
        }
        if let Start::Given(points) = &self.start
            && let Some(row) = points.iter().position(|point| point.iter().any(|c| !c.is_finite()))
        {
            return refuse("start", format!("has no finite point for row {row}"));
        }
        Ok(())
    }

    /// The learning rate under an exaggeration.
    pub(crate) fn rate(&self, n: usize, exaggeration: f64) -> f64 {
        self.learning_rate.unwrap_or_else(|| (n as f64 / exaggeration).max(200.0))
    }
}
