//! New rows in a map that stays as it is.

use hectare_kernels::Isa;
use hectare_kernels::nearest::nearest_to;
use hectare_kernels::threads::parallel_chunks_mut;

use crate::affinity::row_probabilities;
use crate::forces::precise_z;
use crate::grid::FixedField;
use crate::order::Extent;
use crate::{Embedding, Rows, TsneError};

/// Perplexity among the map's rows, and a third of the neighbours that are looked up (as openTSNE has it).
const PERPLEXITY: f64 = 5.0;

/// Iterations; most points rest after half of them.
const ITERATIONS: usize = 250;

/// Momentum of the points.
const MOMENTUM: f32 = 0.8;

/// Longest step of a point: new points must not jump over clusters.
const LONGEST_STEP: f32 = 0.25;

/// Points in a task.
const POINTS: usize = 512;

impl Embedding {
    /// Places new rows among the points of this map, which was made of `rows`. Each begins at the median of its
    /// neighbours' points and then feels the forces that a point of the map would feel there, while the map stands still.
    /// New points do not see each other, so each is placed as if it came alone.
    ///
    /// `data` has as many columns as `rows`.
    ///
    /// # Errors
    /// A count of numbers that does not fit, or a number that is NaN or infinite, with its row.
    pub fn transform(&self, rows: &Rows, data: Vec<f32>) -> Result<Vec<[f32; 2]>, TsneError> {
        if data.is_empty() {
            return Ok(Vec::new());
        }
        let isa = Isa::best();
        let n = rows.len();
        let queries = self.features.project(isa, rows, rows.like(data)?);
        let d = self.features.columns();
        let k = ((3.0 * PERPLEXITY) as usize).min(n);
        let found = nearest_to(isa, &queries, self.features.data(rows), d, k);
        let m = found.index.len() / k;
        let mut weights = vec![0.0_f32; m * k];
        let perplexity = PERPLEXITY.min(k as f64 / 3.0).max(1.0);
        parallel_chunks_mut(&mut weights, k, |row, out| {
            row_probabilities(&found.squared[row * k..(row + 1) * k], perplexity, out);
        });
        let map = &self.points;
        let mut points: Vec<[f32; 2]> =
            found.index.chunks_exact(k).map(|neighbours| median(map, neighbours)).collect();
        if n < 2 {
            return Ok(points);
        }
        let flat = self.flat();
        let room = 0.1 * Extent::of(flat).side + 1.0;
        let field = FixedField::new(flat, room);
        // In a map, P sums to 1 over all N rows; here each row's weights do.
        let share = (n as f64 / precise_z(isa, flat).max(f64::MIN_POSITIVE)) as f32;
        parallel_chunks_mut(&mut points, POINTS, |task, points| {
            let mut steps = vec![[0.0_f32; 2]; points.len()];
            let mut force = vec![0.0_f32; 2 * points.len()];
            for _ in 0..ITERATIONS {
                field.force(points.as_flattened_mut(), &mut force);
                for (i, (point, step)) in points.iter_mut().zip(&mut steps).enumerate() {
                    let row = task * POINTS + i;
                    let mut gradient = [-share * force[2 * i], -share * force[2 * i + 1]];
                    for (j, w) in found.index[row * k..(row + 1) * k].iter().zip(&weights[row * k..]) {
                        let other = map[*j as usize];
                        let (dx, dy) = (point[0] - other[0], point[1] - other[1]);
                        let pull = w / (1.0 + dx * dx + dy * dy);
                        gradient[0] += pull * dx;
                        gradient[1] += pull * dy;
                    }
                    for c in 0..2 {
                        step[c] = MOMENTUM * step[c] - gradient[c];
                    }
                    let length = step[0].hypot(step[1]);
                    if length > LONGEST_STEP {
                        *step = step.map(|s| s * (LONGEST_STEP / length));
                    }
                    for c in 0..2 {
                        point[c] += step[c];
                    }
                }
            }
        });
        Ok(points)
    }
}

/// The median of the neighbours' x and of their y.
fn median(map: &[[f32; 2]], neighbours: &[u32]) -> [f32; 2] {
    [0, 1].map(|c| {
        let mut values: Vec<f32> = neighbours.iter().map(|j| map[*j as usize][c]).collect();
        values.sort_unstable_by(f32::total_cmp);
        let half = values.len() / 2;
        if values.len().is_multiple_of(2) { 0.5 * (values[half - 1] + values[half]) } else { values[half] }
    })
}
