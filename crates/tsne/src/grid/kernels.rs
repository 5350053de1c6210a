//! The kernels' spectra.

use rustfft::num_complex::Complex32;

use super::Size;
use super::transform::{COLUMNS, Plan};
use hectare_kernels::threads::parallel_chunks_mut;

/// Spectra of the three kernels on one grid, divided by the spectrum of the B-spline's samples for spreading and
/// for reading, and by the number of nodes. Column by column, those of negative frequency along x left out.
pub(super) struct Spectra {
    pub size: Size,
    /// The imaginary part of dx / (1 + d^2)^2, whose real part is 0; the same of dy; and 1 / (1 + d^2).
    pub values: Vec<[f32; 3]>,
}

impl Spectra {
    pub(super) fn new(size: Size, plan: &Plan) -> Spectra {
        let length = size.length;
        // Both odd kernels as real and imaginary part; the even one in a transform of its own.
        let odd = plan.spectrum(|row, x| {
            let y = distance(row, length) * size.spacing;
            for (i, x) in x.iter_mut().enumerate() {
                let dx = distance(i, length) * size.spacing;
                let q = 1.0 / (1.0 + dx * dx + y * y);
                // The node furthest away stands for both directions, and an odd function is 0 there.
                let of = |d: f32, i: usize| if 2 * i == length { 0.0 } else { d * q * q };
                *x = Complex32::new(of(dx, i), of(y, row));
            }
        });
        let even = plan.spectrum(|row, x| {
            let y = distance(row, length) * size.spacing;
            for (i, x) in x.iter_mut().enumerate() {
                let dx = distance(i, length) * size.spacing;
                *x = Complex32::new(1.0 / (1.0 + dx * dx + y * y), 0.0);
            }
        });
        let samples: Vec<f64> = (0..length)
            .map(|k| (2.0 + (std::f64::consts::TAU * k as f64 / length as f64).cos()) / 3.0)
            .collect();
        let columns = length / 2 + 1;
        let mut values = vec![[0.0; 3]; columns * length];
        parallel_chunks_mut(&mut values, COLUMNS * length, |task, part| {
            for (j, column) in part.chunks_exact_mut(length).enumerate() {
                let kx = task * COLUMNS + j;
                for (ky, value) in column.iter_mut().enumerate() {
                    let divisor = (samples[kx] * samples[ky]).powi(2) * (length as f64).powi(2);
                    let factor = (1.0 / divisor) as f32;
                    let at = kx * length + ky;
                    // The spectrum of dx is i gx and that of dy i gy, so that of both is i gx - gy.
                    *value = [odd[at].im * factor, -odd[at].re * factor, even[at].re * factor];
                }
            }
        });
        Spectra { size, values }
    }
}

/// How far the `i`-th node is from the first, on a ring.
fn distance(i: usize, length: usize) -> f32 {
    if 2 * i <= length { i as f32 } else { i as f32 - length as f32 }
}
