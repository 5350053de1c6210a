//! How far a map can be trusted: figures that compare it with the features.

mod labelled;
mod pairs;
mod ranks;

use hectare_kernels::Isa;
use hectare_kernels::nearest::{Neighbours, nearest};
use serde::Serialize;

use crate::groups::{Group, groups};
use crate::order::{Extent, by_halves};
use crate::{Embedding, Rows, TsneError};

pub use labelled::{ClassQuality, LabelQuality};

/// Neighbours that are compared.
pub(crate) const NEIGHBOURS: usize = 10;

/// Neighbours of trustworthiness and continuity.
const RANKED: usize = 12;

/// Rows that figures over all pairs are taken of; all of them where there are fewer.
const SAMPLE: usize = 5000;

/// Which features a map is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// Those that the map was made of, principal components most often.
    #[default]
    Reduced,
    /// The rows as they were given.
    Full,
}

/// Figures of a map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// What the map was compared with.
    pub against: Against,
    /// Numbers in a row of it.
    pub columns: usize,
    /// Share of a row's 10 nearest others that are among the 10 nearest in the map, mean over rows.
    pub neighbour_preservation: f64,
    /// Trustworthiness with 12 neighbours (Venna and Kaski 2001): 1 when no point has strangers beside it.
    pub trustworthiness: f64,
    /// Continuity with 12 neighbours: 1 when no point's neighbours are torn away.
    pub continuity: f64,
    /// Spearman's correlation of distances between pairs of 1,000 points (Kobak and Berens 2019).
    pub distance_correlation: Option<f64>,
    /// Rows that trustworthiness, continuity and silhouettes were taken of.
    pub sampled: usize,
    /// Width or height of the map, whichever is more.
    pub extent: f32,
    /// Figures that need labels.
    pub labels: Option<LabelQuality>,
    /// Classes that mix, in the map and in the features.
    pub groups: Option<Vec<Group>>,
}

impl Quality {
    /// Compares the map of `rows` with them, or with what they were reduced to. `labels` are class numbers.
    ///
    /// # Errors
    /// Labels of another number than rows.
    pub fn of(
        embedding: &Embedding,
        rows: &Rows,
        labels: Option<&[u32]>,
        against: Against,
    ) -> Result<Quality, TsneError> {
        let n = rows.len();
        if let Some(labels) = labels.filter(|labels| labels.len() != n) {
            return Err(TsneError::Count { what: "labels", got: labels.len(), rows: n });
        }
        let isa = Isa::best();
        let (data, columns) = match against {
            Against::Reduced => (embedding.features.data(rows), embedding.features.columns()),
            Against::Full => (rows.centred(), rows.columns()),
        };
        let k = RANKED.min(n - 1);
        let own;
        let of_rows = if against == Against::Reduced && embedding.neighbours.k >= k {
            &embedding.neighbours
        } else {
            own = neighbours(isa, data, columns, k);
            &own
        };
        let points = embedding.flat();
        let of_points = neighbours(isa, points, 2, k);
        let sample = sample(n, SAMPLE);
        let preserved = preservation(of_rows, &of_points, NEIGHBOURS.min(n - 1));
        let trustworthiness = ranks::score(isa, data, columns, &sample, of_rows, &of_points, k);
        let continuity = ranks::score(isa, points, 2, &sample, &of_points, of_rows, k);
        let labelled = labels.map(|labels| {
            labelled::figures(isa, data, columns, points, &sample, of_rows, &of_points, labels)
        });
        Ok(Quality {
            against,
            columns,
            neighbour_preservation: preserved,
            trustworthiness,
            continuity,
            distance_correlation: pairs::distance_correlation(data, columns, points),
            sampled: sample.len(),
            extent: Extent::of(points).side,
            groups: labels.map(|labels| groups(labels, of_rows, &of_points)),
            labels: labelled,
        })
    }

    /// One line for people.
    pub fn line(&self, kl: f64) -> String {
        let mut line = format!(
            "KL {kl:.4}, 10-neighbour preservation {:.4}, trustworthiness {:.4}, continuity {:.4}",
            self.neighbour_preservation, self.trustworthiness, self.continuity
        );
        if let Some(labels) = &self.labels {
            line += &format!(
                ", 10-NN accuracy {:.4} in the map and {:.4} in the features, silhouette {:.3} and {:.3}",
                labels.accuracy_map,
                labels.accuracy_features,
                labels.silhouette_map,
                labels.silhouette_features
            );
        }
        let of = match self.against {
            Against::Reduced => "the features that the map was made of",
            Against::Full => "the rows as given",
        };
        line + &format!(" (against {of}: {} columns)", self.columns)
    }
}

/// The nearest others of each row, searched in an order that makes the search fast.
fn neighbours(isa: Isa, data: &[f32], columns: usize, k: usize) -> Neighbours {
    let order = by_halves(data, columns);
    let row = |i: &u32| &data[*i as usize * columns..(*i as usize + 1) * columns];
    let sorted: Vec<f32> = order.iter().flat_map(row).copied().collect();
    crate::tsne::in_row_order(&nearest(isa, &sorted, columns, k, &|_| ()), &order)
}

/// Every so manyth row, at most `most` of them.
fn sample(n: usize, most: usize) -> Vec<u32> {
    let count = n.min(most);
    (0..count).map(|i| (i * n / count) as u32).collect()
}

fn preservation(a: &Neighbours, b: &Neighbours, k: usize) -> f64 {
    let n = a.index.len().checked_div(a.k).unwrap_or(0);
    if k == 0 {
        return 1.0;
    }
    let shared = |i: usize| {
        let other = &b.index[i * b.k..i * b.k + k];
        a.index[i * a.k..i * a.k + k].iter().filter(|j| other.contains(j)).count()
    };
    (0..n).map(shared).sum::<usize>() as f64 / (n * k) as f64
}
