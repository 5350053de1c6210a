//! The gradient: attraction along P, repulsion exact or on the grid.

use hectare_kernels::Isa;
use hectare_kernels::plane::{self, SparseRows, attraction};

use crate::Repulsion;
use crate::grid::{Grid, Size};
use crate::order::Extent;

/// Computes forces on N points, and keeps the memory for it.
pub(crate) struct Forces {
    isa: Isa,
    method: Repulsion,
    grid: Grid,
    pairs: plane::Repulsion,
    attraction: Vec<f32>,
    repulsion: Vec<f32>,
    /// Iterations by each method: exact, FFT.
    pub counts: [usize; 2],
    /// Most nodes along a side of a grid that was used, and the largest distance of nodes.
    pub widest: (usize, f32),
}

/// Nanoseconds of a pair, of a point and of a number that is transformed (for each doubling of the length), from runs
/// on one core of a Zen 3. Only their relations count; they are constants, so that the choice is the same everywhere.
const PAIR: f64 = 0.21;
const POINT: f64 = 60.0;
const NODE: f64 = 0.9;

/// So few points are always computed over all pairs.
const FEW: usize = 64;

/// Least Z of a point on the grid.
const LEAST_Z: f64 = 1e-6;

impl Forces {
    pub(crate) fn new(isa: Isa, method: Repulsion, n: usize) -> Forces {
        Forces {
            isa,
            method,
            grid: Grid::new(1.0),
            pairs: plane::Repulsion::default(),
            attraction: vec![0.0; 2 * n],
            repulsion: vec![0.0; 2 * n],
            counts: [0; 2],
            widest: (0, 0.0),
        }
    }

    /// Computes both forces; the return value is Z.
    pub(crate) fn compute(&mut self, p: &SparseRows, points: &[f32]) -> f64 {
        attraction(self.isa, p, points, &mut self.attraction);
        let side = Extent::of(points).side;
        if self.is_exact(p.len(), side) {
            self.counts[0] += 1;
            plane::repulsion(self.isa, &mut self.pairs, points, &mut self.repulsion)
        } else {
            self.counts[1] += 1;
            let size = Size::of(side, 1.0);
            self.widest = (self.widest.0.max(size.length / 2), self.widest.1.max(size.spacing));
            // Of points that all stand alone, Z is what rounding left of the difference of two large numbers.
            self.grid.repulsion(points, &mut self.repulsion).max(LEAST_Z * p.len() as f64)
        }
    }

    fn is_exact(&self, n: usize, side: f32) -> bool {
        match self.method {
            _ if n <= FEW => true,
            Repulsion::Exact => true,
            Repulsion::Fft => false,
            Repulsion::Auto => {
                let (n, length) = (n as f64, Size::of(side, 1.0).length as f64);
                n * n * PAIR <= n * POINT + length * length * length.log2() * NODE
            }
        }
    }

    /// The gradient without its usual factor 4: `exaggeration` times attraction less repulsion over `z`.
    pub(crate) fn gradient(&self, i: usize, exaggeration: f32, z: f64) -> [f32; 2] {
        let share = (1.0 / z) as f32;
        [0, 1].map(|c| exaggeration * self.attraction[2 * i + c] - share * self.repulsion[2 * i + c])
    }
}

/// Z of a map to about 1e-6: over all pairs for few points, on a finer grid for many.
pub(crate) fn precise_z(isa: Isa, points: &[f32]) -> f64 {
    let mut force = vec![0.0; points.len()];
    if points.len() <= 2 * 8192 {
        plane::repulsion(isa, &mut plane::Repulsion::default(), points, &mut force)
    } else {
        Grid::new(2.0).repulsion(points, &mut force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_kernels::rng::{Key, fill_normal};

    /// A sparse symmetric P of `n` rows whose entries sum to 1, as dense lines too.
    fn p_of(n: usize) -> (SparseRows, Vec<f64>) {
        let mut dense = vec![0.0_f64; n * n];
        for i in 0..n {
            for step in [1, 3, 4] {
                let j = (i + step) % n;
                let p = 1.0 + ((i * 7 + step) % 5) as f64;
                if i != j {
                    dense[i * n + j] += p;
                    dense[j * n + i] += p;
                }
            }
        }
        let total: f64 = dense.iter().sum();
        dense.iter_mut().for_each(|p| *p /= total);
        let (mut starts, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for line in dense.chunks(n) {
            for (j, p) in line.iter().enumerate().filter(|(_, p)| **p > 0.0) {
                columns.push(j as u32);
                values.push(*p as f32);
            }
            starts.push(columns.len());
        }
        (SparseRows::new(starts, columns, values), dense)
    }

    /// `sum a p ln(p / q)` less what does not depend on the points, whose gradient is 4 times ours.
    fn objective(p: &[f64], a: f64, points: &[f64]) -> f64 {
        let n = points.len() / 2;
        let d = |i: usize, j: usize| {
            1.0 + (points[2 * i] - points[2 * j]).powi(2) + (points[2 * i + 1] - points[2 * j + 1]).powi(2)
        };
        let pairs = || (0..n).flat_map(move |i| (0..n).filter(move |j| *j != i).map(move |j| (i, j)));
        let z: f64 = pairs().map(|(i, j)| 1.0 / d(i, j)).sum();
        pairs().map(|(i, j)| a * p[i * n + j] * d(i, j).ln()).sum::<f64>() + z.ln()
    }

    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        for (n, method, bound) in [
            (2, Repulsion::Exact, 1e-5),
            (5, Repulsion::Exact, 1e-5),
            (97, Repulsion::Exact, 1e-5),
            (97, Repulsion::Fft, 2e-3),
        ] {
            let (p, dense) = p_of(n);
            let mut points = vec![0.0; 2 * n];
            fill_normal(&Key { seed: 8, stream: 0, step: 0 }, 2.0, &mut points);
            let exact: Vec<f64> = points.iter().map(|x| f64::from(*x)).collect();
            for a in [1.0, 12.0] {
                let mut forces = Forces::new(Isa::best(), method, n);
                let z = forces.compute(&p, &points);
                let found: Vec<f64> =
                    (0..n).flat_map(|i| forces.gradient(i, a, z)).map(|g| 4.0 * f64::from(g)).collect();
                let want: Vec<f64> = (0..2 * n)
                    .map(|i| {
                        let at = |step: f64| {
                            let mut moved = exact.clone();
                            moved[i] += step;
                            objective(&dense, f64::from(a), &moved)
                        };
                        (at(1e-5) - at(-1e-5)) / 2e-5
                    })
                    .collect();
                let size = want.iter().map(|x| x * x).sum::<f64>().sqrt();
                let off = want.iter().zip(&found).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(off <= bound * size + 1e-8, "{n} points, {method:?}, {a}: {off:e} of {size:e}");
            }
        }
    }

    #[test]
    fn the_method_follows_from_numbers_and_extent() {
        let forces = Forces::new(Isa::best(), Repulsion::Auto, 10);
        assert!(forces.is_exact(300, 100.0) && !forces.is_exact(100_000, 200.0));
        // A small map has a small grid.
        assert!(forces.is_exact(2500, 200.0) && !forces.is_exact(2500, 1e-3));
    }
}
