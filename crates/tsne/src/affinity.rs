//! From distances to the symmetric matrix P: for each row the Gaussian whose perplexity is the one wanted.

use hectare_kernels::nearest::Neighbours;
use hectare_kernels::plane::SparseRows;
use hectare_kernels::threads::parallel_chunks_mut;

use crate::parts::map_parts;

/// Rows in a task.
const ROWS: usize = 256;

/// How near the entropy must come, in nats.
const TOLERANCE: f64 = 1e-5;

/// Most steps of the search.
const STEPS: usize = 200;

/// The conditional probabilities of a row's neighbours under the Gaussian whose entropy is `ln(perplexity)`, from
/// their squared distances. Rows whose distances are all equal, and those with too few neighbours for the
/// perplexity, get the same for each.
///
/// Newton's method in the logarithm of the precision, guarded by bisection. The smallest distance is taken off all of
/// them, which changes nothing but that no sum underflows; the scale of the features therefore does not matter.
pub fn row_probabilities(squared: &[f32], perplexity: f64, out: &mut [f32]) {
    let k = squared.len();
    let uniform = 1.0 / k.max(1) as f64;
    let least = squared.iter().copied().fold(f32::INFINITY, f32::min);
    let mut distances: Vec<f64> = squared.iter().map(|d| f64::from(*d) - f64::from(least)).collect();
    let mean = distances.iter().sum::<f64>() * uniform;
    let target = perplexity.ln();
    if mean <= 0.0 || target >= (k as f64).ln() - TOLERANCE {
        return out.fill(uniform as f32);
    }
    for d in &mut distances {
        *d /= mean;
    }
    let mut weights = vec![0.0; k];
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let mut log_beta = 0.0_f64;
    for _ in 0..STEPS {
        let beta = log_beta.exp();
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for (w, d) in weights.iter_mut().zip(&distances) {
            *w = (-beta * d).exp();
            sum += *w;
            first += *w * d;
            second += *w * d * d;
        }
        let (first, second) = (first / sum, second / sum);
        let entropy = sum.ln() + beta * first;
        let off = entropy - target;
        if off.abs() < TOLERANCE {
            break;
        }
        if off > 0.0 {
            low = log_beta;
        } else {
            high = log_beta;
        }
        // dH / d ln(beta) = -beta^2 Var(d).
        let slope = -beta * beta * (second - first * first);
        let newton = log_beta - off / slope;
        log_beta = if newton > low && newton < high && (newton - log_beta).abs() < 2.0 {
            newton
        } else if low.is_infinite() {
            high - 2.0
        } else if high.is_infinite() {
            low + 2.0
        } else {
            0.5 * (low + high)
        };
        // Several neighbours at the smallest distance: no precision is high enough, and this one is as good.
        if log_beta > 80.0 {
            break;
        }
    }
    let sum: f64 = weights.iter().sum();
    for (out, w) in out.iter_mut().zip(&weights) {
        *out = (w / sum) as f32;
    }
}

/// `P = (C + C^T) / 2N`, where row i of C holds the probabilities of i's neighbours. Columns of a row are sorted.
/// All entries together sum to 1.
pub fn affinities(neighbours: &Neighbours, perplexity: f64) -> SparseRows {
    let k = neighbours.k;
    let n = neighbours.index.len().checked_div(k).unwrap_or(1);
    if k == 0 {
        return SparseRows::new(vec![0; n + 1], Vec::new(), Vec::new());
    }
    let mut conditional = vec![0.0_f32; n * k];
    parallel_chunks_mut(&mut conditional, ROWS * k, |task, part| {
        for (i, out) in part.chunks_exact_mut(k).enumerate() {
            let row = task * ROWS + i;
            row_probabilities(&neighbours.squared[row * k..(row + 1) * k], perplexity, out);
        }
    });
    symmetric(&neighbours.index, &conditional, k, n)
}

/// The mean of a matrix of `k` entries a row and its transpose, divided by N.
fn symmetric(index: &[u32], values: &[f32], k: usize, n: usize) -> SparseRows {
    // The transpose: entries of a column, by row.
    let mut starts = vec![0_usize; n + 1];
    for column in index {
        starts[*column as usize + 1] += 1;
    }
    for i in 0..n {
        starts[i + 1] += starts[i];
    }
    let mut next = starts.clone();
    let mut transposed = vec![(0_u32, 0.0_f32); index.len()];
    for (at, (column, value)) in index.iter().zip(values).enumerate() {
        let place = &mut next[*column as usize];
        transposed[*place] = ((at / k) as u32, *value);
        *place += 1;
    }
    drop(next);
    let factor = 0.5 / n as f64;
    let parts = map_parts(n, ROWS, |rows| {
        let (mut columns, mut merged, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let mut own: Vec<(u32, f32)> = Vec::with_capacity(k);
        for row in rows {
            own.clear();
            own.extend(
                index[row * k..(row + 1) * k]
                    .iter()
                    .copied()
                    .zip(values[row * k..(row + 1) * k].iter().copied()),
            );
            own.sort_unstable_by_key(|entry| entry.0);
            let before = columns.len();
            let mut other = transposed[starts[row]..starts[row + 1]].iter().peekable();
            let mut own = own.iter().peekable();
            loop {
                let (a, b) = (own.peek().map(|e| e.0), other.peek().map(|e| e.0));
                let Some(column) = a.into_iter().chain(b).min() else { break };
                let mut sum = 0.0;
                if a == Some(column) {
                    sum += own.next().map_or(0.0, |entry| f64::from(entry.1));
                }
                if b == Some(column) {
                    sum += other.next().map_or(0.0, |entry| f64::from(entry.1));
                }
                columns.push(column);
                merged.push((sum * factor) as f32);
            }
            lengths.push(columns.len() - before);
        }
        (columns, merged, lengths)
    });
    let total = parts.iter().map(|part| part.0.len()).sum();
    let mut starts = Vec::with_capacity(n + 1);
    starts.push(0);
    let (mut columns, mut merged) = (Vec::with_capacity(total), Vec::with_capacity(total));
    let mut end = 0;
    for (part_columns, part_values, lengths) in parts {
        columns.extend(part_columns);
        merged.extend(part_values);
        for length in lengths {
            end += length;
            starts.push(end);
        }
    }
    SparseRows::new(starts, columns, merged)
}

/// `sum p ln p` over all entries.
pub(crate) fn negative_entropy(p: &SparseRows) -> f64 {
    let term = |p: f32| {
        let p = f64::from(p);
        if p > 0.0 { p * p.ln() } else { 0.0 }
    };
    let values = p.values();
    let parts = map_parts(values.len(), 1 << 16, |range| values[range].iter().map(|p| term(*p)).sum::<f64>());
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perplexity_of(p: &[f32]) -> f64 {
        let entropy: f64 = p.iter().map(|p| f64::from(*p)).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
        entropy.exp()
    }

    #[test]
    fn the_perplexity_is_met_at_any_scale() {
        let base: Vec<f32> = (0..90).map(|i| 1.0 + ((i * 37) % 90) as f32 * 0.07).collect();
        let mut first = vec![0.0; 90];
        row_probabilities(&base, 30.0, &mut first);
        for scale in [1e-30, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e30] {
            for perplexity in [1.5, 5.0, 30.0, 80.0] {
                let squared: Vec<f32> = base.iter().map(|d| d * scale).collect();
                let mut p = vec![0.0; 90];
                row_probabilities(&squared, perplexity, &mut p);
                let got = perplexity_of(&p);
                assert!((got / perplexity - 1.0).abs() < 1e-3, "{scale} {perplexity}: {got}");
                if perplexity == 30.0 {
                    assert!(p.iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-5));
                }
            }
        }
    }

    #[test]
    fn equal_distances_get_equal_weights() {
        for (squared, perplexity) in [(vec![0.0; 7], 3.0), (vec![2.5; 7], 3.0), (vec![1.0, 2.0, 3.0], 3.0)] {
            let mut p = vec![0.0; squared.len()];
            row_probabilities(&squared, perplexity, &mut p);
            assert!(p.iter().all(|x| (x - 1.0 / squared.len() as f32).abs() < 1e-7), "{p:?}");
        }
    }

    #[test]
    fn duplicates_beyond_the_perplexity_share() {
        // Ten neighbours at no distance, the others far away: perplexity 5 cannot be had.
        let squared: Vec<f32> = (0..30).map(|i| if i < 10 { 0.0 } else { 4.0 }).collect();
        let mut p = vec![0.0; 30];
        row_probabilities(&squared, 5.0, &mut p);
        assert!(p[..10].iter().all(|x| (x - 0.1).abs() < 1e-4) && p[10..].iter().all(|x| *x < 1e-4), "{p:?}");
    }

    #[test]
    fn the_matrix_is_symmetric_and_sums_to_one() {
        let neighbours = Neighbours {
            k: 2,
            index: vec![1, 2, 0, 2, 1, 3, 2, 0],
            squared: vec![1.0, 2.0, 1.0, 3.0, 3.0, 3.5, 3.5, 9.0],
        };
        let p = affinities(&neighbours, 1.7);
        let sum: f64 = p.values().iter().map(|p| f64::from(*p)).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        for i in 0..4 {
            let (columns, values) = p.row(i);
            assert!(columns.is_sorted_by(|a, b| a < b));
            for (j, value) in columns.iter().zip(values) {
                let (back, back_values) = p.row(*j as usize);
                let at = back.iter().position(|c| *c as usize == i).expect("the transposed entry");
                assert_eq!(back_values[at], *value);
            }
        }
    }
}
