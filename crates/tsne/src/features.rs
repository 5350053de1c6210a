//! From rows to the features whose distances count.

use hectare_kernels::Isa;
use serde::Serialize;

use crate::pca::Pca;
use crate::{Metric, Rows, Settings};

/// What distances are measured on: the rows, or their principal components.
#[derive(Clone, Debug)]
pub struct Features {
    pub(crate) data: FeatureData,
    columns: usize,
    n: usize,
    /// The reduction, if there was one.
    pub(crate) pca: Option<Pca>,
    metric: Metric,
}

/// Whose memory the features are in.
#[derive(Clone, Debug)]
pub(crate) enum FeatureData {
    /// The rows themselves.
    Rows,
    /// Their own.
    Own(Vec<f32>),
}

/// How rows became features.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reduction {
    /// Numbers in a row of the input.
    pub columns: usize,
    /// Numbers in a row of the features.
    pub components: usize,
    /// Share of the variance that is kept; 1 without PCA.
    pub kept_variance: f64,
}

impl Features {
    /// Reduces the rows as the settings say.
    pub fn new(isa: Isa, rows: &Rows, settings: &Settings) -> Features {
        let (n, columns) = (rows.len(), rows.columns());
        let normalised = (settings.metric == Metric::Cosine).then(|| recentred(rows.normalised(), columns));
        let source = normalised.as_deref().unwrap_or(rows.centred());
        if let Some(components) = settings.pca.filter(|components| *components < columns) {
            let mut pca = Pca::new(isa, source, columns, components, settings.seed);
            let scores = std::mem::take(&mut pca.scores);
            let data = FeatureData::Own(scores);
            return Features { data, columns: pca.components, n, pca: Some(pca), metric: settings.metric };
        }
        let data = normalised.map_or(FeatureData::Rows, FeatureData::Own);
        Features { data, columns, n, pca: None, metric: settings.metric }
    }

    /// The numbers, row by row.
    pub fn data<'a>(&'a self, rows: &'a Rows) -> &'a [f32] {
        match &self.data {
            FeatureData::Rows => rows.centred(),
            FeatureData::Own(data) => data,
        }
    }

    /// Numbers in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.n
    }

    /// How the rows were reduced.
    pub fn reduction(&self, rows: &Rows) -> Reduction {
        Reduction {
            columns: rows.columns(),
            components: self.columns,
            kept_variance: self.pca.as_ref().map_or(1.0, Pca::kept),
        }
    }

    /// The features of other rows, which are centred and scaled as `rows` are.
    pub(crate) fn project(&self, isa: Isa, rows: &Rows, centred: Vec<f32>) -> Vec<f32> {
        let source = match self.metric {
            Metric::Euclidean => centred,
            Metric::Cosine => {
                let (_, mean) = means(&rows.normalised(), rows.columns());
                let mut data = rows.normalise(&centred);
                subtract(&mut data, &mean);
                data
            }
        };
        match &self.pca {
            Some(pca) => pca.project(isa, &source),
            None => source,
        }
    }
}

fn means(data: &[f32], columns: usize) -> (usize, Vec<f32>) {
    let n = data.len() / columns;
    let mut sums = vec![0.0_f64; columns];
    for row in data.chunks_exact(columns) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += f64::from(*x);
        }
    }
    (n, sums.iter().map(|sum| (sum / n as f64) as f32).collect())
}

fn subtract(data: &mut [f32], mean: &[f32]) {
    for row in data.chunks_exact_mut(mean.len()) {
        for (x, m) in row.iter_mut().zip(mean) {
            *x -= m;
        }
    }
}

fn recentred(mut data: Vec<f32>, columns: usize) -> Vec<f32> {
    let (_, mean) = means(&data, columns);
    subtract(&mut data, &mean);
    data
}
