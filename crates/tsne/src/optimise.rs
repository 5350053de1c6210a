//! Gradient descent with momentum and a gain for each coordinate (Jacobs 1988), as t-SNE has it.

use hectare_kernels::Isa;
use hectare_kernels::plane::{SparseRows, log_distances};
use hectare_kernels::threads::parallel_chunks_mut;
use serde::Serialize;

use crate::affinity::negative_entropy;
use crate::forces::{Forces, precise_z};
use crate::order::along_curve;
use crate::{Progress, Settings};

/// Iterations before which points are brought into the order of their places in the map.
const REORDER: [usize; 5] = [50, 150, 250, 350, 550];

/// Fewer points than this stay as they are: all of them fit the cache.
const REORDER_FROM: usize = 8192;

/// Points in a task.
const POINTS: usize = 4096;

/// The smallest gain.
const LEAST_GAIN: f32 = 0.01;

/// KL divergence before an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KlPoint {
    /// Iterations that were done.
    pub iteration: usize,
    /// The divergence of the map from P, without exaggeration.
    pub kl: f64,
}

/// What came of a descent.
pub(crate) struct Descent {
    pub points: Vec<f32>,
    pub kl: f64,
    pub curve: Vec<KlPoint>,
    pub iterations: usize,
    pub stopped: bool,
    /// Iterations with exact repulsion and with FFT.
    pub counts: [usize; 2],
    pub widest: (usize, f32),
}

/// A point's step and gains.
#[derive(Clone, Copy)]
struct Motion {
    step: [f32; 2],
    gain: [f32; 2],
}

/// KL divergence of a map: `sum p ln p + sum p ln(1 + d^2) + ln Z`, for P whose entries sum to 1.
pub(crate) fn divergence(isa: Isa, p: &SparseRows, entropy: f64, points: &[f32], z: f64) -> f64 {
    if p.entries() == 0 {
        return 0.0;
    }
    entropy + log_distances(isa, p, points) + z.ln()
}

/// Moves `points` (x, y of each row of P) downhill. `progress` hears of every look at KL and says whether to go on.
pub(crate) fn descend(
    isa: Isa,
    mut p: SparseRows,
    mut points: Vec<f32>,
    settings: &Settings,
    progress: &mut dyn FnMut(&Progress<'_>) -> bool,
) -> Descent {
    let n = p.len();
    let entropy = negative_entropy(&p);
    let mut forces = Forces::new(isa, settings.repulsion, n);
    let mut motion = vec![Motion { step: [0.0; 2], gain: [1.0; 2] }; n];
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut curve: Vec<KlPoint> = Vec::new();
    let mut stopped = false;
    let mut done = 0;
    // One point has no gradient, and two identical ones none that parts them.
    let iterations = if p.entries() == 0 { 0 } else { settings.iterations };
    while done < iterations {
        if n >= REORDER_FROM && REORDER.contains(&done) {
            let new = along_curve(&points);
            p = p.permuted(&new);
            points =
                new.iter().flat_map(|i| [points[2 * *i as usize], points[2 * *i as usize + 1]]).collect();
            motion = new.iter().map(|i| motion[*i as usize]).collect();
            order = new.iter().map(|i| order[*i as usize]).collect();
        }
        let early = done < settings.early_iterations;
        let exaggeration = if early { settings.early_exaggeration } else { settings.exaggeration };
        let z = forces.compute(&p, &points).max(f64::MIN_POSITIVE);
        if done.is_multiple_of(settings.check_every) {
            let kl = divergence(isa, &p, entropy, &points, z);
            let last = curve.last().copied();
            curve.push(KlPoint { iteration: done, kl });
            let go_on = progress(&Progress {
                iteration: done,
                iterations,
                kl,
                exaggeration,
                points: &points,
                order: &order,
            });
            let settled = !early
                && last.is_some_and(|last| {
                    last.iteration >= settings.early_iterations
                        && settings.stop_below.is_some_and(|share| last.kl - kl < share * last.kl.abs())
                });
            if !go_on || settled {
                stopped = true;
                break;
            }
        }
        let rate = settings.rate(n, exaggeration) as f32;
        let (momentum, longest) = (settings.momentum as f32, settings.longest_step as f32);
        parallel_chunks_mut(&mut motion, POINTS, |task, motion| {
            for (i, motion) in motion.iter_mut().enumerate() {
                let gradient = forces.gradient(task * POINTS + i, exaggeration as f32, z);
                for c in 0..2 {
                    let same = (motion.step[c] > 0.0) == (gradient[c] > 0.0);
                    let gain = if same { motion.gain[c] * 0.8 } else { motion.gain[c] + 0.2 };
                    motion.gain[c] = gain.max(LEAST_GAIN);
                    motion.step[c] = momentum * motion.step[c] - rate * motion.gain[c] * gradient[c];
                }
                let length = (motion.step[0] * motion.step[0] + motion.step[1] * motion.step[1]).sqrt();
                if length > longest {
                    motion.step = motion.step.map(|step| step * (longest / length));
                }
            }
        });
        let mut sums = [0.0_f64; 2];
        for (point, motion) in points.as_chunks_mut::<2>().0.iter_mut().zip(&motion) {
            for c in 0..2 {
                point[c] += motion.step[c];
                sums[c] += f64::from(point[c]);
            }
        }
        let mean = sums.map(|sum| (sum / n as f64) as f32);
        for point in points.as_chunks_mut::<2>().0 {
            for c in 0..2 {
                point[c] -= mean[c];
            }
        }
        done += 1;
    }
    let z = precise_z(isa, &points).max(f64::MIN_POSITIVE);
    let kl = divergence(isa, &p, entropy, &points, z);
    if curve.last().is_none_or(|last| last.iteration < done) {
        curve.push(KlPoint { iteration: done, kl });
    }
    progress(&Progress {
        iteration: done,
        iterations,
        kl,
        exaggeration: settings.exaggeration,
        points: &points,
        order: &order,
    });
    let mut sorted = vec![0.0; 2 * n];
    for (place, row) in order.iter().enumerate() {
        sorted[2 * *row as usize] = points[2 * place];
        sorted[2 * *row as usize + 1] = points[2 * place + 1];
    }
    Descent {
        points: sorted,
        kl,
        curve,
        iterations: done,
        stopped,
        counts: forces.counts,
        widest: forces.widest,
    }
}
