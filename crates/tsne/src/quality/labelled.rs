//! Figures that need labels.

use hectare_kernels::Isa;
use hectare_kernels::nearest::Neighbours;
use serde::Serialize;

use super::NEIGHBOURS;
use super::pairs::distances_from;

/// How classes lie, in the map and in the features.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelQuality {
    /// Share of points whose 10 nearest others in the map vote for their class (ties go to the lower class).
    pub accuracy_map: f64,
    /// The same in the features.
    pub accuracy_features: f64,
    /// Mean silhouette of the sampled points in the map (Rousseeuw 1987), -1 to 1.
    pub silhouette_map: f64,
    /// The same in the features.
    pub silhouette_features: f64,
    /// Share of a class's 4 nearest classes (by their means) that are so in the map too (Kobak and Berens 2019).
    pub class_preservation: Option<f64>,
    /// Class by class, those that there are.
    pub classes: Vec<ClassQuality>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassQuality {
    /// Its number.
    pub class: u32,
    /// Its points.
    pub points: usize,
    /// Share of its points whose neighbours in the map vote for it.
    pub accuracy_map: f64,
    /// The same in the features.
    pub accuracy_features: f64,
    /// Mean silhouette of its sampled points in the map; none where none was sampled.
    pub silhouette_map: Option<f64>,
    /// The same in the features.
    pub silhouette_features: Option<f64>,
}

#[allow(clippy::too_many_lines)]
pub(super) fn figures(
    isa: Isa,
    data: &[f32],
    columns: usize,
    points: &[f32],
    sample: &[u32],
    of_rows: &Neighbours,
    of_points: &Neighbours,
    labels: &[u32],
) -> LabelQuality {
    let classes = crate::groups::Classes::of(labels);
    let right = [of_points, of_rows].map(|found| votes(found, &classes));
    let silhouettes =
        [silhouettes(isa, points, 2, sample, &classes), silhouettes(isa, data, columns, sample, &classes)];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let share =
        |right: &[bool]| right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64;
    let of_class = |class: usize| {
        let of = |right: &[bool]| {
            let own: Vec<bool> =
                right.iter().zip(&classes.of_row).filter(|(_, c)| **c == class).map(|(r, _)| *r).collect();
            share(&own)
        };
        let silhouette = |values: &[f64]| {
            let own: Vec<f64> = values
                .iter()
                .zip(sample)
                .filter(|(_, row)| classes.of_row[**row as usize] == class)
                .map(|(value, _)| *value)
                .collect();
            (!own.is_empty()).then(|| mean(&own))
        };
        ClassQuality {
            class: classes.numbers[class],
            points: classes.counts[class],
            accuracy_map: of(&right[0]),
            accuracy_features: of(&right[1]),
            silhouette_map: silhouette(&silhouettes[0]),
            silhouette_features: silhouette(&silhouettes[1]),
        }
    };
    LabelQuality {
        accuracy_map: share(&right[0]),
        accuracy_features: share(&right[1]),
        silhouette_map: mean(&silhouettes[0]),
        silhouette_features: mean(&silhouettes[1]),
        class_preservation: class_preservation(data, columns, points, &classes),
        classes: (0..classes.numbers.len()).map(of_class).collect(),
    }
}

/// Whether each row's nearest others vote for its class.
fn votes(found: &Neighbours, classes: &crate::groups::Classes) -> Vec<bool> {
    let k = NEIGHBOURS.min(found.k);
    let mut counts = vec![0_u32; classes.numbers.len()];
    (0..classes.of_row.len())
        .map(|row| {
            counts.fill(0);
            for j in &found.index[row * found.k..row * found.k + k] {
                counts[classes.of_row[*j as usize]] += 1;
            }
            let most = counts.iter().max().copied().unwrap_or(0);
            most > 0 && counts.iter().position(|count| *count == most) == Some(classes.of_row[row])
        })
        .collect()
}

/// The silhouette of each sampled row; 0 for the only row of its class, and where there is one class only.
fn silhouettes(
    isa: Isa,
    data: &[f32],
    columns: usize,
    sample: &[u32],
    classes: &crate::groups::Classes,
) -> Vec<f64> {
    distances_from(isa, data, columns, sample, |row, distances| {
        let own = classes.of_row[row as usize];
        let mut sums = vec![0.0_f64; classes.numbers.len()];
        for (class, d) in classes.of_row.iter().zip(distances) {
            sums[*class] += f64::from(d.max(0.0).sqrt());
        }
        if classes.counts[own] < 2 {
            return 0.0;
        }
        let a = sums[own] / (classes.counts[own] - 1) as f64;
        let means = sums.iter().zip(&classes.counts).map(|(sum, count)| sum / *count as f64);
        let b = means
            .enumerate()
            .filter(|(class, _)| *class != own)
            .map(|(_, mean)| mean)
            .fold(f64::INFINITY, f64::min);
        if b.is_finite() && a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 }
    })
}

fn class_preservation(
    data: &[f32],
    columns: usize,
    points: &[f32],
    classes: &crate::groups::Classes,
) -> Option<f64> {
    let count = classes.numbers.len();
    let k = 4.min(count.saturating_sub(1));
    if count < 3 {
        return None;
    }
    let nearest = |data: &[f32], columns: usize| -> Vec<Vec<usize>> {
        let mut means = vec![0.0_f64; count * columns];
        for (row, class) in data.chunks_exact(columns).zip(&classes.of_row) {
            for (mean, x) in means[class * columns..].iter_mut().zip(row) {
                *mean += f64::from(*x) / classes.counts[*class] as f64;
            }
        }
        let distance = |a: usize, b: usize| -> f64 {
            let (a, b) = (&means[a * columns..(a + 1) * columns], &means[b * columns..(b + 1) * columns]);
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
        };
        (0..count)
            .map(|a| {
                let mut others: Vec<usize> = (0..count).filter(|b| *b != a).collect();
                others.sort_by(|x, y| distance(a, *x).total_cmp(&distance(a, *y)));
                others.truncate(k);
                others
            })
            .collect()
    };
    let (of_rows, of_points) = (nearest(data, columns), nearest(points, 2));
    let shared: usize =
        of_rows.iter().zip(&of_points).map(|(a, b)| a.iter().filter(|c| b.contains(c)).count()).sum();
    Some(shared as f64 / (count * k) as f64)
}
