//! Distances between pairs of rows.

use hectare_kernels::Isa;
use hectare_kernels::matmul::product;

use crate::parts::map_parts;

/// Points whose pairs are compared.
const PAIRED: usize = 1000;

/// Sampled rows whose distances are in memory at once.
const ROWS: usize = 64;

/// `f(row, squared distances from it to all rows)` for each row of a sample, in order. The row's own distance
/// is below 0, so that it comes before any other.
pub(super) fn distances_from<R: Send>(
    isa: Isa,
    data: &[f32],
    columns: usize,
    sample: &[u32],
    f: impl Fn(u32, &[f32]) -> R + Sync + Send,
) -> Vec<R> {
    let n = data.len() / columns;
    let mut transposed = vec![0.0; data.len()];
    for (i, row) in data.chunks_exact(columns).enumerate() {
        for (c, x) in row.iter().enumerate() {
            transposed[c * n + i] = *x;
        }
    }
    let norms: Vec<f32> = data.chunks_exact(columns).map(|row| row.iter().map(|x| x * x).sum()).collect();
    let mut results = Vec::with_capacity(sample.len());
    for rows in sample.chunks(ROWS) {
        let left: Vec<f32> = rows
            .iter()
            .flat_map(|i| &data[*i as usize * columns..(*i as usize + 1) * columns])
            .copied()
            .collect();
        let mut products = vec![0.0; rows.len() * n];
        product(isa, &left, columns, &transposed, n, &mut products);
        results.extend(map_parts(rows.len(), 1, |range| {
            let row = rows[range.start];
            let norm = norms[row as usize];
            let mut distances: Vec<f32> = products[range.start * n..range.end * n]
                .iter()
                .zip(&norms)
                .map(|(product, other)| (norm + other - 2.0 * product).max(0.0))
                .collect();
            distances[row as usize] = -1.0;
            f(row, &distances)
        }));
    }
    results
}

/// Spearman's correlation of the distances between pairs of up to 1,000 rows, in `data` and in the map.
pub(super) fn distance_correlation(data: &[f32], columns: usize, points: &[f32]) -> Option<f64> {
    let rows = super::sample(points.len() / 2, PAIRED);
    if rows.len() < 3 {
        return None;
    }
    let distances = |data: &[f32], columns: usize| {
        let row = |i: u32| &data[i as usize * columns..(i as usize + 1) * columns];
        let parts = map_parts(rows.len(), 16, |range| {
            let mut distances = Vec::new();
            for i in range {
                for j in 0..i {
                    let pairs = row(rows[i]).iter().zip(row(rows[j]));
                    distances.push(pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>());
                }
            }
            distances
        });
        parts.concat()
    };
    correlation(&ranked(&distances(data, columns)), &ranked(&distances(points, 2)))
}

/// The rank of each number; equal ones share the mean of theirs.
fn ranked(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|a, b| values[*a as usize].total_cmp(&values[*b as usize]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|a, b| values[*a as usize] == values[*b as usize]) {
        let rank = start as f64 + 0.5 * (group.len() - 1) as f64;
        for i in group {
            ranks[*i as usize] = rank;
        }
        start += group.len();
    }
    ranks
}

fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - ma) * (y - mb);
        aa += (x - ma) * (x - ma);
        bb += (y - mb) * (y - mb);
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_share_their_rank() {
        assert_eq!(ranked(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
    }

    #[test]
    fn a_map_that_is_the_features_keeps_all_distances() {
        let points: Vec<f32> = (0..60).map(|i| ((i * 37) % 23) as f32).collect();
        let scaled: Vec<f32> = points.iter().map(|x| 2.0 * x).collect();
        assert!((distance_correlation(&points, 2, &scaled).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(distance_correlation(&[0.0; 20], 2, &points[..20]), None);
    }
}
