//! How a scene is cut into windows, and what weight each window has where two of them overlap.

use std::ops::Range;

use crate::{MapError, Window};

/// Window origins and sizes are multiples of this, the stride of the deepest map.
pub const ALIGN: usize = 32;

/// Pixels at a window's edge without weight, by default. What the network says there depends on pixels that the window
/// does not hold.
pub const DEAD: usize = 96;

/// The cut along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    length: usize,
    tile: usize,
    stride: usize,
    dead: usize,
}

impl Axis {
    /// Windows of `tile` pixels (a multiple of 32) that overlap by `overlap`, of which `dead` at each edge have no weight.
    fn new(length: usize, tile: usize, overlap: usize, dead: usize) -> Axis {
        Axis { length, tile, stride: tile - overlap, dead: dead.min(overlap / 2) }
    }

    /// Number of windows.
    pub fn count(&self) -> usize {
        1 + self.length.saturating_sub(self.tile).div_ceil(self.stride)
    }

    /// First pixel of window `i`.
    pub fn start(&self, i: usize) -> usize {
        i * self.stride
    }

    /// Side of window `i`; the last one is padded to a multiple of 32.
    pub fn size(&self, i: usize) -> usize {
        self.tile.min(self.length.next_multiple_of(ALIGN) - self.start(i))
    }

    /// The pixels to which window `i` contributes.
    pub fn owned(&self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.start(i) + self.dead };
        let end = if i + 1 == self.count() { self.length } else { self.start(i) + self.tile - self.dead };
        start..end
    }

    /// The pixels that are finished with window `i`: those that the next one does not contribute to.
    pub fn finished(&self, i: usize) -> Range<usize> {
        let owned = self.owned(i);
        let end = if i + 1 == self.count() { owned.end } else { self.owned(i + 1).start };
        owned.start..end
    }

    /// Pixels that two neighbouring windows share.
    pub fn shared(&self) -> usize {
        self.tile - self.stride - 2 * self.dead
    }

    /// Weight of window `i` at pixel `at`, one of those it contributes to. The weights of all windows at a pixel sum to 1:
    /// they change linearly from one window to the next.
    pub fn weight(&self, i: usize, at: usize) -> f32 {
        let owned = self.owned(i);
        let shared = self.shared();
        let rising = |from: usize| (at - from) as f32 + 0.5;
        if i > 0 && at < owned.start + shared {
            rising(owned.start) / shared as f32
        } else if i + 1 < self.count() && at + shared >= owned.end {
            1.0 - rising(owned.end - shared) / shared as f32
        } else {
            1.0
        }
    }
}

/// The windows of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// From left to right.
    pub across: Axis,
    /// From top to bottom.
    pub down: Axis,
}

impl Grid {
    /// Cuts `width` x `height` pixels into windows of `tile` that overlap by `overlap`, both multiples of 32; the `dead`
    /// pixels at edges between windows have no weight.
    ///
    /// # Errors
    /// Sizes that are no multiples of 32, or an overlap that leaves a window no pixels of its own.
    pub fn new(
        width: usize,
        height: usize,
        tile: usize,
        overlap: usize,
        dead: usize,
    ) -> Result<Grid, MapError> {
        let mismatch = |text: String| Err(MapError::Mismatch(text));
        if tile == 0 || !tile.is_multiple_of(ALIGN) || !overlap.is_multiple_of(ALIGN) {
            return mismatch(format!(
                "windows of {tile} that overlap by {overlap}: both must be multiples of {ALIGN}"
            ));
        }
        let shared = overlap - 2 * dead.min(overlap / 2);
        // Three windows must not meet in one pixel of an axis.
        if overlap >= tile || shared > tile - overlap {
            return mismatch(format!("windows of {tile} cannot overlap by {overlap}; make them larger"));
        }
        let axis = |length| Axis::new(length, tile, overlap, dead);
        Ok(Grid { across: axis(width), down: axis(height) })
    }

    /// The part of the scene in window (`column`, `row`): without what pads it.
    pub fn window(&self, column: usize, row: usize) -> Window {
        let (x, y) = (self.across.start(column), self.down.start(row));
        Window {
            x,
            y,
            width: self.across.size(column).min(self.across.length - x),
            height: self.down.size(row).min(self.down.length - y),
        }
    }

    /// Number of windows.
    pub fn count(&self) -> usize {
        self.across.count() * self.down.count()
    }

    /// Pixels of all windows, padding included: the work of a map.
    pub fn pixels(&self) -> u64 {
        let side = |axis: &Axis| (0..axis.count()).map(|i| axis.size(i) as u64).sum::<u64>();
        side(&self.across) * side(&self.down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_finished_once_and_weights_sum_to_one() {
        let cases = [(64, 32, 8), (64, 0, 0), (96, 32, 16), (128, 64, 20), (1024, 256, 96), (1024, 512, 256)];
        for (tile, overlap, dead) in cases {
            for length in [1, 31, 32, 33, 63, 64, 65, 97, 511, 513, 1025, 4000] {
                let grid = Grid::new(length, 1, tile, overlap, dead).unwrap();
                let axis = &grid.across;
                let mut weights = vec![0.0; length];
                let mut finished = vec![0; length];
                for i in 0..axis.count() {
                    assert!(axis.start(i).is_multiple_of(ALIGN) && axis.size(i).is_multiple_of(ALIGN));
                    assert!(axis.start(i) < length && axis.size(i) <= tile.max(ALIGN));
                    let owned = axis.owned(i);
                    assert!(owned.start >= axis.start(i) && owned.end <= axis.start(i) + axis.size(i));
                    owned.for_each(|at| weights[at] += axis.weight(i, at));
                    axis.finished(i).for_each(|at| finished[at] += 1);
                }
                assert!(weights.iter().all(|w: &f32| (w - 1.0).abs() < 1e-6), "{tile} {overlap} {length}");
                assert!(finished.iter().all(|n| *n == 1), "{tile} {overlap} {length}");
                assert_eq!(grid.count(), axis.count());
            }
        }
        for (tile, overlap, dead) in
            [(0, 0, 0), (50, 0, 0), (64, 33, 0), (64, 64, 32), (64, 64, 0), (96, 64, 0)]
        {
            assert!(Grid::new(100, 100, tile, overlap, dead).is_err(), "{tile} {overlap}");
        }
    }
}
