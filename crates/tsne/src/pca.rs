//! Principal components by a randomised range finder with power iterations (Halko, Martinsson and Tropp,
//! SIAM Review 53, 2011, algorithm 4.4).

use hectare_kernels::Isa;
use hectare_kernels::matmul::{product, transposed_product};
use hectare_kernels::rng::{Key, fill_normal};

use crate::linalg::{orthonormalise, symmetric_eigen};
use crate::parts::map_parts;

/// Directions beyond those asked for.
const SPARE: usize = 14;

/// Power iterations.
const POWERS: usize = 2;

/// Principal components of centred rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// Number of components.
    pub components: usize,
    /// D x components: a column for each component, of length 1, its number of the largest size positive.
    pub directions: Vec<f32>,
    /// N x components: the rows along the components.
    pub scores: Vec<f32>,
    /// Variance along each component, the largest first.
    pub variances: Vec<f64>,
    /// Variance of the rows, over all columns.
    pub total_variance: f64,
}

impl Pca {
    /// The first `components` principal components (fewer where N or D is less) of centred rows `x` (N x D).
    ///
    /// # Panics
    /// When the length of `x` does not fit `d`.
    pub fn new(isa: Isa, x: &[f32], d: usize, components: usize, seed: u64) -> Pca {
        let n = x.len() / d;
        assert_eq!(x.len(), n * d);
        let components = components.min(n).min(d);
        let width = (components + SPARE).min(n).min(d);
        let mut omega = vec![0.0; d * width];
        fill_normal(&Key { seed, stream: 0x5043_4100, step: 0 }, 1.0, &mut omega);
        let mut scores = vec![0.0; n * width];
        // Each power is X^T X, or X X^T where that is smaller: orthonormal again after both factors, which is often
        // enough where singular values differ by less than some thousand. Lesser ones are no part of any picture.
        if n < d {
            product(isa, x, d, &omega, width, &mut scores);
            for power in 0..=POWERS {
                orthonormalise(&mut scores, width);
                transposed_product(isa, x, d, &scores, width, &mut omega);
                if power < POWERS {
                    product(isa, x, d, &omega, width, &mut scores);
                }
            }
            orthonormalise(&mut omega, width);
        } else {
            for _ in 0..=POWERS {
                product(isa, x, d, &omega, width, &mut scores);
                transposed_product(isa, x, d, &scores, width, &mut omega);
                orthonormalise(&mut omega, width);
            }
        }
        // The rows in the basis that was found, and its rotation to principal components.
        product(isa, x, d, &omega, width, &mut scores);
        let mut gram = vec![0.0; width * width];
        let parts = map_parts(n, n.div_ceil(64).max(256), |rows| {
            let mut gram = vec![0.0; width * width];
            for row in scores[rows.start * width..rows.end * width].chunks_exact(width) {
                for (i, a) in row.iter().enumerate() {
                    for (j, b) in row[..=i].iter().enumerate() {
                        gram[i * width + j] += f64::from(*a) * f64::from(*b);
                    }
                }
            }
            gram
        });
        for part in parts {
            gram.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        for i in 0..width {
            for j in 0..i {
                gram[j * width + i] = gram[i * width + j];
            }
        }
        let (values, vectors) = symmetric_eigen(gram, width);
        let mut directions = rotated(isa, &omega, &vectors, width, components);
        let mut scores = rotated(isa, &scores, &vectors, width, components);
        fix_signs(&mut directions, &mut scores, components);
        let samples = n.max(2) - 1;
        let total: f64 = hectare_kernels::elementwise::squared_norm(isa, x);
        Pca {
            components,
            directions,
            scores,
            variances: values[..components].iter().map(|value| value.max(0.0) / samples as f64).collect(),
            total_variance: total / samples as f64,
        }
    }

    /// The share of the variance that the components keep; 1 for rows that are all equal.
    pub fn kept(&self) -> f64 {
        if self.total_variance > 0.0 {
            (self.variances.iter().sum::<f64>() / self.total_variance).min(1.0)
        } else {
            1.0
        }
    }

    /// Other rows, centred and scaled as those before, along the components.
    pub fn project(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let d = self.directions.len() / self.components;
        let mut scores = vec![0.0; x.len() / d * self.components];
        product(isa, x, d, &self.directions, self.components, &mut scores);
        scores
    }
}

/// `a` (rows of `width`) times the first `components` of `vectors`, each of which is a row.
fn rotated(isa: Isa, a: &[f32], vectors: &[f64], width: usize, components: usize) -> Vec<f32> {
    let mut rotation = vec![0.0; width * components];
    for (c, vector) in vectors.chunks_exact(width.max(1)).take(components).enumerate() {
        for (i, v) in vector.iter().enumerate() {
            rotation[i * components + c] = *v as f32;
        }
    }
    let mut out = vec![0.0; a.len() / width.max(1) * components];
    product(isa, a, width, &rotation, components, &mut out);
    out
}

/// Turns each component so that the number of the largest size in its direction is positive (the first of
/// them), for a component's sign is otherwise chance.
fn fix_signs(directions: &mut [f32], scores: &mut [f32], components: usize) {
    for c in 0..components {
        let column = || directions.iter().skip(c).step_by(components);
        let largest = column().fold(0.0_f32, |best, x| if x.abs() > best.abs() { *x } else { best });
        if largest < 0.0 {
            for x in directions.iter_mut().chain(scores.iter_mut()).skip(c).step_by(components) {
                *x = -*x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Centred rows whose columns differ in size, mixed with each other.
    fn rows(n: usize, d: usize) -> Vec<f32> {
        let mut x = vec![0.0; n * d];
        fill_normal(&Key { seed: 21, stream: 0, step: 0 }, 1.0, &mut x);
        for row in x.chunks_exact_mut(d) {
            for c in 0..d {
                row[c] *= 0.8_f32.powi(c as i32);
            }
            for c in 1..d {
                row[c] += 0.3 * row[c - 1];
            }
        }
        for c in 0..d {
            let mean = x.iter().skip(c).step_by(d).sum::<f32>() / n as f32;
            x.iter_mut().skip(c).step_by(d).for_each(|x| *x -= mean);
        }
        x
    }

    #[test]
    fn components_are_those_of_the_covariance() {
        let isa = Isa::best();
        for (n, d, components) in [(2, 5, 2), (40, 7, 3), (300, 60, 5), (60, 300, 5), (25, 30, 30)] {
            let x = rows(n, d);
            let mut covariance = vec![0.0; d * d];
            for row in x.chunks_exact(d) {
                for i in 0..d {
                    for j in 0..d {
                        covariance[i * d + j] += f64::from(row[i]) * f64::from(row[j]) / (n - 1) as f64;
                    }
                }
            }
            let trace: f64 = (0..d).map(|i| covariance[i * d + i]).sum();
            let (values, vectors) = symmetric_eigen(covariance, d);
            let pca = Pca::new(isa, &x, d, components, 0);
            assert_eq!(pca.components, components.min(n).min(d));
            assert!((pca.total_variance / trace - 1.0).abs() < 1e-5);
            for c in 0..pca.components.min(n - 1) {
                assert!(
                    (pca.variances[c] / values[c] - 1.0).abs() < 1e-3,
                    "{n} x {d}, {c}: {}",
                    pca.variances[c]
                );
                let direction: Vec<f64> =
                    pca.directions.iter().skip(c).step_by(pca.components).map(|x| f64::from(*x)).collect();
                let along: f64 = direction.iter().zip(&vectors[c * d..]).map(|(a, b)| a * b).sum();
                assert!(along.abs() > 0.999, "{n} x {d}, {c}: {along}");
                let largest =
                    direction.iter().fold(0.0_f64, |best, x| if x.abs() > best.abs() { *x } else { best });
                assert!(largest > 0.0);
            }
            let again = pca.project(isa, &x);
            let size = pca.scores.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            assert!(again.iter().zip(&pca.scores).all(|(a, b)| (a - b).abs() < 1e-5 * size));
        }
    }

    #[test]
    fn rows_without_variance_have_components_of_zeros() {
        let pca = Pca::new(Isa::best(), &[0.0; 60], 6, 2, 0);
        assert!(pca.scores.iter().all(|x| *x == 0.0) && pca.kept() == 1.0);
    }
}
