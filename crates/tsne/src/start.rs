//! Where the points begin.

use hectare_kernels::Isa;
use hectare_kernels::rng::{Key, fill_normal};

use crate::features::Features;
use crate::pca::Pca;
use crate::{Rows, Settings, Start, TsneError};

/// Standard deviation of the first coordinate.
const DEVIATION: f64 = 1e-4;

/// Standard deviation of the jitter relative to that of the first coordinate. Rows that are equal must part.
const JITTER: f32 = 0.01;

const STREAM: u64 = 0x5354_4152;

/// The points of N rows, x and y in turn.
///
/// # Errors
/// Given points of another number.
pub(crate) fn start(
    isa: Isa,
    rows: &Rows,
    features: &Features,
    settings: &Settings,
) -> Result<Vec<f32>, TsneError> {
    let n = rows.len();
    match &settings.start {
        Start::Given(points) if points.len() != n => {
            Err(TsneError::Count { what: "points to start from", got: points.len(), rows: n })
        }
        Start::Given(points) => Ok(points.as_flattened().to_vec()),
        Start::Random => Ok(normal(n, settings.seed, DEVIATION as f32)),
        Start::Pca => {
            let data = features.data(rows);
            let d = features.columns();
            let own;
            // Features that are principal components begin with the two that are wanted.
            let (scores, width) = if features.pca.is_some() {
                (data, d)
            } else {
                own = Pca::new(isa, data, d, 2, settings.seed);
                (&own.scores[..], own.components)
            };
            let square: f64 = scores.iter().step_by(width).map(|x| f64::from(*x).powi(2)).sum();
            let deviation = (square / n as f64).sqrt();
            let factor = if deviation > 0.0 { DEVIATION / deviation } else { 0.0 };
            let mut points = normal(n, settings.seed, DEVIATION as f32 * JITTER);
            for (point, score) in points.as_chunks_mut::<2>().0.iter_mut().zip(scores.chunks_exact(width)) {
                for (x, score) in point.iter_mut().zip(score) {
                    *x += (f64::from(*score) * factor) as f32;
                }
            }
            Ok(points)
        }
    }
}

fn normal(n: usize, seed: u64, deviation: f32) -> Vec<f32> {
    let mut points = vec![0.0; 2 * n];
    fill_normal(&Key { seed, stream: STREAM, step: 0 }, deviation, &mut points);
    points
}
