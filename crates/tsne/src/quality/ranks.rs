//! Trustworthiness and continuity.

use hectare_kernels::Isa;
use hectare_kernels::nearest::Neighbours;

use super::pairs::distances_from;

/// `1 - 2 / (n k (2n - 3k - 1)) sum (rank - k)` over the `k` neighbours in `theirs` that are not among those in
/// `ours`, where the rank is that among the distances of `data` (which `ours` was searched in). The mean over the
/// sample stands for that over all rows. Trustworthiness with `data` the features, continuity with the map. 1 where
/// the formula has no meaning: with too few rows for so many neighbours.
pub(super) fn score(
    isa: Isa,
    data: &[f32],
    columns: usize,
    sample: &[u32],
    ours: &Neighbours,
    theirs: &Neighbours,
    k: usize,
) -> f64 {
    let n = data.len() / columns;
    if k == 0 || 2 * n < 3 * k + 2 {
        return 1.0;
    }
    let penalties = distances_from(isa, data, columns, sample, |row, distances| {
        let row = row as usize;
        let near = &ours.index[row * ours.k..row * ours.k + k];
        let strangers = theirs.index[row * theirs.k..row * theirs.k + k].iter().filter(|j| !near.contains(j));
        // The row itself is nearer than any other, and is not counted.
        let rank = |j: &u32| distances.iter().filter(|d| **d < distances[*j as usize]).count().max(k);
        strangers.map(|j| (rank(j).max(1) - k) as f64).sum::<f64>()
    });
    let mean = penalties.iter().sum::<f64>() / sample.len() as f64;
    let most = (k * (2 * n - 3 * k - 1)) as f64;
    1.0 - 2.0 * mean / most
}
