//! Random draws in order, from the counter-based generator: the demo's pictures are the same everywhere.

use hectare_kernels::rng::Key;

/// A sequence of draws that depends on nothing but its key.
pub struct Dice {
    key: Key,
    next: u64,
}

impl Dice {
    /// The sequence number `step` of `stream`.
    pub fn new(seed: u64, stream: u64, step: u64) -> Dice {
        Dice { key: Key { seed, stream, step }, next: 0 }
    }

    fn index(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        let index = self.index();
        low + (high - low) * self.key.f32(index)
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        let index = self.index();
        self.key.below(index, n as u64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.between(0.0, 1.0) < p
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f32 {
        let index = self.index();
        self.key.normal(index)
    }

    /// An index, drawn in proportion to `weights`.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut left = self.between(0.0, weights.iter().sum());
        for (i, w) in weights.iter().enumerate() {
            left -= w;
            if left < 0.0 {
                return i;
            }
        }
        weights.len() - 1
    }
}

/// Smooth noise in 0..1 over the plane: random values on a lattice, interpolated.
pub struct Noise {
    key: Key,
}

impl Noise {
    /// A plane of noise of its own, drawn from `dice`.
    pub fn new(dice: &mut Dice) -> Noise {
        let index = dice.index();
        Noise {
            key: Key {
                seed: dice.key.seed,
                stream: u64::from(dice.key.u32(index)) | 1 << 40,
                step: dice.key.step,
            },
        }
    }

    /// The noise at (`x`, `y`) with lattice cells of `size` pixels.
    pub fn at(&self, x: f32, y: f32, size: f32) -> f32 {
        let (u, v) = (x / size, y / size);
        let (i, j) = (u.floor(), v.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (s, t) = (ease(u - i), ease(v - j));
        // Cells left of and above the origin count too.
        let (i, j) = ((i as i64 + (1 << 20)) as u64, (j as i64 + (1 << 20)) as u64);
        let corner = |di: u64, dj: u64| self.key.f32(((i + di) << 21) + j + dj);
        let top = corner(0, 0) * (1.0 - s) + corner(1, 0) * s;
        let bottom = corner(0, 1) * (1.0 - s) + corner(1, 1) * s;
        top * (1.0 - t) + bottom * t
    }
}
