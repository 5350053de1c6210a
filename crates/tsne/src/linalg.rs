//! Small dense linear algebra in `f64`: what a randomised PCA needs of it.

use hectare_kernels::threads::parallel_chunks_mut;

use crate::parts::map_parts;

/// Eigenvalues, the largest first, and eigenvectors (row by row) of a symmetric `n` x `n` matrix, by Jacobi's
/// rotations (Golub and Van Loan, section 8.5).
pub(crate) fn symmetric_eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v = vec![0.0; n * n];
    for i in 0..n {
        v[i * n + i] = 1.0;
    }
    let size: f64 = a.iter().map(|x| x * x).sum();
    for _sweep in 0..60 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= 1e-30 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[p * n + k], v[q * n + k]);
                    (v[p * n + k], v[q * n + k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]).then(i.cmp(&j)));
    let values = order.iter().map(|&i| a[i * n + i]).collect();
    let vectors = order.iter().flat_map(|&i| v[i * n..(i + 1) * n].to_vec()).collect();
    (values, vectors)
}

/// Rows in a task.
const ROWS: usize = 1024;

/// Makes the `m` columns of `a` (N x `m`) orthonormal, column by column, twice over (classical Gram-Schmidt with
/// reorthogonalisation: Giraud, Langou and Rozloznik 2005). Columns that depend on those before them become zero.
pub(crate) fn orthonormalise(a: &mut [f32], m: usize) {
    let n = a.len() / m.max(1);
    // Parts of rows, each column by column in memory: sums run along lines, and over parts in order.
    let mut parts: Vec<Vec<f64>> = map_parts(n, ROWS, |rows| {
        let mut part = Vec::with_capacity(rows.len() * m);
        for j in 0..m {
            part.extend(a[rows.start * m..rows.end * m].iter().skip(j).step_by(m).map(|x| f64::from(*x)));
        }
        part
    });
    for j in 0..m {
        let mut sums = products(&parts, m, j);
        let original = sums[j].sqrt();
        for _ in 0..2 {
            parallel_chunks_mut(&mut parts, 1, |_, part| {
                let (before, column) = split(&mut part[0], m, j);
                for (other, projection) in before.chunks_exact(column.len()).zip(&sums) {
                    for (x, o) in column.iter_mut().zip(other) {
                        *x -= projection * o;
                    }
                }
            });
            sums = products(&parts, m, j);
        }
        let norm = sums[j].sqrt();
        let factor = if norm > 1e-7 * original && norm > 0.0 { 1.0 / norm } else { 0.0 };
        parallel_chunks_mut(&mut parts, 1, |_, part| {
            split(&mut part[0], m, j).1.iter_mut().for_each(|x| *x *= factor);
        });
    }
    parallel_chunks_mut(a, ROWS * m.max(1), |index, rows| {
        let count = rows.len() / m;
        for (i, row) in rows.chunks_exact_mut(m).enumerate() {
            for (j, x) in row.iter_mut().enumerate() {
                *x = parts[index][j * count + i] as f32;
            }
        }
    });
}

/// Products of column `j` with all columns up to itself.
fn products(parts: &[Vec<f64>], m: usize, j: usize) -> Vec<f64> {
    let mut sums = vec![0.0; j + 1];
    let of_parts = map_parts(parts.len(), 1, |index| {
        let part = &parts[index.start];
        let count = part.len() / m;
        let column = &part[j * count..(j + 1) * count];
        part.chunks_exact(count).take(j + 1).map(|other| dot(other, column)).collect::<Vec<_>>()
    });
    for part in of_parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sums
}

/// The columns before `j`, and `j`.
fn split(part: &mut [f64], m: usize, j: usize) -> (&[f64], &mut [f64]) {
    let count = part.len() / m;
    let (before, rest) = part.split_at_mut(j * count);
    (before, &mut rest[..count])
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_reproduce_the_matrix() {
        for n in [0, 1, 2, 5, 13] {
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    let x = ((i * 7 + j * 3) % 11) as f64 - 4.0;
                    (a[i * n + j], a[j * n + i]) = (x, x);
                }
            }
            let (values, vectors) = symmetric_eigen(a.clone(), n);
            assert!(values.is_sorted_by(|a, b| a >= b));
            for i in 0..n {
                for j in 0..n {
                    let sum: f64 = (0..n).map(|k| values[k] * vectors[k * n + i] * vectors[k * n + j]).sum();
                    assert!((sum - a[i * n + j]).abs() < 1e-9, "{n}: {sum}");
                }
            }
        }
    }

    #[test]
    fn columns_become_orthonormal_or_zero() {
        // The third column is the sum of the first two.
        let mut a: Vec<f32> = (0..20)
            .flat_map(|i| [(i as f32).sin(), (i as f32 * 1.7).cos()])
            .collect::<Vec<_>>()
            .chunks(2)
            .flat_map(|pair| [pair[0], pair[1], pair[0] + pair[1]])
            .collect();
        orthonormalise(&mut a, 3);
        for i in 0..3 {
            for j in 0..3 {
                let sum: f32 = a.chunks(3).map(|row| row[i] * row[j]).sum();
                let want = if i == j && i < 2 { 1.0 } else { 0.0 };
                assert!((sum - want).abs() < 1e-6, "{i} {j}: {sum}");
            }
        }
    }
}
