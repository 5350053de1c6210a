//! Principal components by a randomised range finder with power iterations (Halko, Martinsson and Tropp,
//! SIAM Review 53, 2011, algorithm 4.4).

use hectare_kernels::Isa;
use hectare_kernels::matmul::{product, transposed_product};
use hectare_kernels::rng::{Key, fill_normal};

use crate::linalg::{orthonormalise, symmetric_eigen};

/// Directions beyond those asked for.
const SPARE: usize = 14;

/// Power iterations.
const POWERS: usize = 3;

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
        for _ in 0..=POWERS {
            product(isa, x, d, &omega, width, &mut scores);
            orthonormalise(&mut scores, width);
            transposed_product(isa, x, d, &scores, width, &mut omega);
            orthonormalise(&mut omega, width);
        }
        // The rows in the basis that was found, and its rotation to principal components.
        product(isa, x, d, &omega, width, &mut scores);
        let mut gram = vec![0.0; width * width];
        for row in scores.chunks_exact(width) {
            for (i, a) in row.iter().enumerate() {
                for (j, b) in row[..=i].iter().enumerate() {
                    gram[i * width + j] += f64::from(*a) * f64::from(*b);
                }
            }
        }
        for i in 0..width {
            for j in 0..i {
                gram[j * width + i] = gram[i * width + j];
            }
        }
        let (values, vectors) = symmetric_eigen(gram, width);
        let mut directions = rotated(&omega, &vectors, width, components);
        let mut scores = rotated(&scores, &vectors, width, components);
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
fn rotated(a: &[f32], vectors: &[f64], width: usize, components: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(a.len() / width.max(1) * components);
    for row in a.chunks_exact(width) {
        for vector in vectors.chunks_exact(width).take(components) {
            out.push(row.iter().zip(vector).map(|(a, v)| f64::from(*a) * v).sum::<f64>() as f32);
        }
    }
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
