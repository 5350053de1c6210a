//! Change of resolution of numbers in f32: antialiased bilinear.

/// Which samples one output sample is made of, and their weights.
#[derive(Clone, Debug, PartialEq)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Brings planes of one size to another resolution by a triangle filter that widens when shrinking. Rows can be asked for in
/// any order, so that threads can share them.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampler {
    down: Vec<Taps>,
    across: Vec<Taps>,
    width: usize,
}

impl Resampler {
    /// From planes of `from` (rows, columns) to planes of `to`, where `factors` are output samples for each input sample
    /// along rows and columns. The first samples' outer edges lie on each other; what lies beyond the input repeats its last
    /// sample.
    ///
    /// # Panics
    /// When a side of `from` is 0 or a factor is not above 0.
    pub fn new(from: [usize; 2], factors: [f64; 2], to: [usize; 2]) -> Resampler {
        let axis = |i: usize| taps(from[i], factors[i], to[i]);
        Resampler { down: axis(0), across: axis(1), width: from[1] }
    }

    /// Output row `y` of H x W x C `values`, W x C numbers into `out`. `scratch` keeps its memory between rows.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn row(&self, y: usize, values: &[f32], c: usize, scratch: &mut Vec<f32>, out: &mut [f32]) {
        let line = self.width * c;
        let taps = &self.down[y];
        let rows = values[taps.first * line..].chunks_exact(line);
        scratch.clear();
        scratch.resize(line, 0.0);
        for (weight, row) in taps.weights.iter().zip(rows) {
            scratch.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        for (taps, out) in self.across.iter().zip(out.chunks_exact_mut(c)) {
            out.fill(0.0);
            let pixels = scratch[taps.first * c..].chunks_exact(c);
            for (weight, pixel) in taps.weights.iter().zip(pixels) {
                out.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
            }
        }
    }
}

/// The triangle filter's taps for each of `to` samples, `factor` of them for each of the `from` samples.
fn taps(from: usize, factor: f64, to: usize) -> Vec<Taps> {
    assert!(from > 0 && factor > 0.0, "{from} samples, {factor} times as many");
    let reach = (1.0 / factor).max(1.0);
    let one = |i: usize| {
        let centre = ((i as f64 + 0.5) / factor).clamp(0.5, from as f64 - 0.5);
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let weight = |x: usize| (1.0 - ((x as f64 - centre + 0.5) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        Taps { first, weights: (first..end).map(|x| (weight(x) / sum) as f32).collect() }
    };
    (0..to).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, resize};

    fn whole(resampler: &Resampler, values: &[f32], c: usize, [h, w]: [usize; 2]) -> Vec<f32> {
        let mut out = vec![0.0; h * w * c];
        let mut scratch = Vec::new();
        // From the last row to the first: the order does not matter.
        for (y, row) in out.chunks_exact_mut(w * c).enumerate().rev() {
            resampler.row(y, values, c, &mut scratch, row);
        }
        out
    }

    #[test]
    fn sizes_change_as_those_of_pictures() {
        let image = Image::from_fn(23, 17, |x, y| [(x * 11) as u8, (y * 15) as u8, (x * y % 256) as u8]);
        let values: Vec<f32> = image.pixels.iter().map(|level| f32::from(*level)).collect();
        for [h, w] in [[17, 23], [8, 31], [40, 9], [1, 1], [5, 7]] {
            let resampler = Resampler::new([17, 23], [h as f64 / 17.0, w as f64 / 23.0], [h, w]);
            let expected = resize(&image, w, h);
            for (got, expected) in whole(&resampler, &values, 3, [h, w]).iter().zip(&expected.pixels) {
                assert!((got - f32::from(*expected)).abs() <= 1.0, "{h}x{w}: {got} {expected}");
            }
        }
    }

    #[test]
    fn there_and_back_keeps_a_slope() {
        let (h, w) = (40, 33);
        let values: Vec<f32> = (0..h * w).map(|i| (i % w) as f32 + 2.0 * (i / w) as f32).collect();
        for factor in [0.37, 0.5, 1.7, 3.0] {
            let side = |n: usize| (n as f64 * factor).ceil() as usize;
            let small = [side(h), side(w)];
            let there = whole(&Resampler::new([h, w], [factor; 2], small), &values, 1, small);
            let back = whole(&Resampler::new(small, [1.0 / factor; 2], [h, w]), &there, 1, [h, w]);
            let margin = (2.0 / factor).ceil() as usize + 1;
            for y in margin..h - margin {
                for x in margin..w - margin {
                    let (got, expected) = (back[y * w + x], values[y * w + x]);
                    assert!((got - expected).abs() < 0.3, "{factor} at {x} {y}: {got} {expected}");
                }
            }
        }
    }
}
