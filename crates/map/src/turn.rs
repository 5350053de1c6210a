//! The eight positions of a rectangle of numbers: mirrored, then rows made columns.

use hectare_kernels::threads;

/// One of the positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    flip_h: bool,
    flip_v: bool,
    transpose: bool,
}

impl Turn {
    /// All of them; the first leaves everything as it is.
    pub const ALL: [Turn; 8] = {
        let mut all = [Turn { flip_h: false, flip_v: false, transpose: false }; 8];
        let mut at = 0;
        while at < 8 {
            all[at] = Turn { flip_h: at & 1 != 0, flip_v: at & 2 != 0, transpose: at & 4 != 0 };
            at += 1;
        }
        all
    };

    /// Rows and columns in this position.
    pub fn size(self, [h, w]: [usize; 2]) -> [usize; 2] {
        if self.transpose { [w, h] } else { [h, w] }
    }

    /// H x W x C numbers in this position.
    pub fn show(self, from: &[f32], [h, w]: [usize; 2], c: usize) -> Vec<f32> {
        let [to_h, to_w] = self.size([h, w]);
        let mut out = vec![0.0; to_h * to_w * c];
        threads::parallel_chunks_mut(&mut out, (to_w * c).max(1), |v, row| {
            for (u, to) in row.chunks_exact_mut(c).enumerate() {
                let (y, x) = if self.transpose { (u, v) } else { (v, u) };
                let (y, x) = self.mirror([y, x], [h, w]);
                to.copy_from_slice(&from[(y * w + x) * c..][..c]);
            }
        });
        out
    }

    /// Adds what was said in this position to `sum`, which lies as the original does: H x W x K.
    pub fn add_back(self, said: &[f32], [h, w]: [usize; 2], k: usize, sum: &mut [f32]) {
        let [_, to_w] = self.size([h, w]);
        threads::parallel_chunks_mut(sum, (w * k).max(1), |y, row| {
            for (x, sum) in row.chunks_exact_mut(k).enumerate() {
                let (v, u) = self.mirror([y, x], [h, w]);
                let (v, u) = if self.transpose { (u, v) } else { (v, u) };
                let said = &said[(v * to_w + u) * k..][..k];
                sum.iter_mut().zip(said).for_each(|(sum, said)| *sum += said);
            }
        });
    }

    fn mirror(self, [y, x]: [usize; 2], [h, w]: [usize; 2]) -> (usize, usize) {
        (if self.flip_v { h - 1 - y } else { y }, if self.flip_h { w - 1 - x } else { x })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_comes_back() {
        for size in [[1, 1], [3, 5], [7, 4]] {
            let numbers: Vec<f32> = (0..size[0] * size[1] * 2).map(|i| i as f32).collect();
            let mut seen = Vec::new();
            for turn in Turn::ALL {
                let shown = turn.show(&numbers, size, 2);
                let mut sum = vec![1.0; numbers.len()];
                turn.add_back(&shown, size, 2, &mut sum);
                assert!(sum.iter().zip(&numbers).all(|(sum, n)| *sum == n + 1.0), "{turn:?}");
                seen.push((turn.size(size), shown));
            }
            seen.dedup();
            assert!(size == [1, 1] || seen.len() == 8);
        }
    }
}
