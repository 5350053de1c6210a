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
const PAIR: f64 = 0.30;
const POINT: f64 = 60.0;
const NODE: f64 = 0.9;

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
            self.grid.repulsion(points, &mut self.repulsion)
        }
    }

    fn is_exact(&self, n: usize, side: f32) -> bool {
        match self.method {
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
