//! Windows blended into one answer for each pixel, window after window, in memory that does not grow with the scene's
//! height: only the strips that the next window and the next row of windows share are kept.

use hectare_kernels::threads;

use crate::layer::{put_number, take_number};
use crate::{Axis, Grid, MapError, Window};

/// Blends the probabilities of a row of windows after the other.
#[derive(Debug)]
pub struct Blend {
    grid: Grid,
    width: usize,
    classes: usize,
    /// What the row of windows above says of the rows that it shares with this one: rows x width x K.
    above: Vec<f32>,
    /// What this row says of the rows that it shares with the next.
    below: Vec<f32>,
    /// What the window to the left says of the columns shared with this one: rows x shared columns x K.
    left: Vec<f32>,
}

/// Finished pixels.
pub struct Finished<'a> {
    /// Where they lie in the scene.
    pub window: Window,
    /// Pixels from the start of a row to the next one's.
    stride: usize,
    classes: usize,
    values: &'a [f32],
}

impl Finished<'_> {
    /// The blended probabilities of row `y` of the window: columns x K.
    pub fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.stride * self.classes..][..self.window.width * self.classes]
    }
}

impl Blend {
    /// Blending for a scene that `grid` cuts.
    ///
    /// # Errors
    /// A scene so wide that there is no memory for the strips that two rows of windows share; says how much they take.
    pub fn new(grid: Grid, width: usize, classes: usize) -> Result<Blend, MapError> {
        let numbers = grid.down.shared().saturating_mul(width).saturating_mul(classes);
        let strip = || {
            let mut strip = Vec::new();
            strip.try_reserve_exact(numbers).map_err(|_| {
                let gib = numbers as f64 * 8.0 / (1u64 << 30) as f64;
                MapError::Mismatch(format!(
                    "a scene {width} pixels wide takes {gib:.1} GiB, more than there is"
                ))
            })?;
            strip.resize(numbers, 0.0);
            Ok(strip)
        };
        let (below, above) = (strip()?, strip()?);
        Ok(Blend { grid, width, classes, below, above, left: Vec::new() })
    }

    /// Forgets everything that was added.
    pub fn empty(&mut self) {
        self.below.fill(0.0);
        self.above.fill(0.0);
        self.left.clear();
    }

    /// The pixels that window (`column`, `row`) contributes to, counted from its upper left corner.
    pub fn part(&self, column: usize, row: usize) -> Window {
        let (across, down) = (&self.grid.across, &self.grid.down);
        let (columns, rows) = (across.owned(column), down.owned(row));
        let (x, y) = (columns.start - across.start(column), rows.start - down.start(row));
        Window { x, y, width: columns.len(), height: rows.len() }
    }

    /// The pixels of [`Blend::part`] that no other window contributes to, counted from the part's upper left corner.
    pub fn alone(&self, column: usize, row: usize) -> Window {
        let alone = |axis: &Axis, i: usize| {
            let owned = axis.owned(i);
            let first = owned.start + if i > 0 { axis.shared() } else { 0 };
            first - owned.start..axis.finished(i).end.max(first) - owned.start
        };
        let (columns, rows) = (alone(&self.grid.across, column), alone(&self.grid.down, row));
        Window { x: columns.start, y: rows.start, width: columns.len(), height: rows.len() }
    }

    /// Adds what window (`column`, `row`) says of its [`Blend::part`]: rows x columns x K probabilities, or nothing where the
    /// window holds no data. Windows come from left to right, row by row. Gives the pixels that are finished with it; they lie
    /// in `said`, which is blended in place.
    ///
    /// # Panics
    /// When there are not as many probabilities.
    pub fn add<'a>(
        &mut self,
        column: usize,
        row: usize,
        said: &'a mut Vec<f32>,
        has_data: bool,
    ) -> Finished<'a> {
        let k = self.classes;
        let (across, down) = (&self.grid.across, &self.grid.down);
        let (columns, rows) = (across.owned(column), down.owned(row));
        let (done_columns, done_rows) = (across.finished(column), down.finished(row));
        let (width, shared) = (columns.len(), across.shared());
        let shared_rows = down.shared();
        if !has_data {
            said.clear();
            said.resize(rows.len() * width * k, 0.0);
        }
        assert_eq!(said.len(), rows.len() * width * k);
        let (left, above, scene_width) = (&self.left, &self.above, self.width);
        let across_weights: Vec<f32> = columns.clone().map(|x| across.weight(column, x)).collect();
        // Between the columns that it shares with its neighbours a window counts alone.
        let alone = across_weights.iter().position(|weight| *weight == 1.0).unwrap_or(width);
        let alone =
            alone..width - across_weights.iter().rev().position(|w| *w == 1.0).unwrap_or(width - alone);
        threads::parallel_chunks_mut(said, (width * k).max(1), |line, out| {
            let weight = down.weight(row, rows.start + line);
            let parts = if weight == 1.0 { [0..alone.start, alone.end..width] } else { [0..width, 0..0] };
            for part in parts {
                let pixels = out[part.start * k..part.end * k].chunks_exact_mut(k);
                for (pixel, across) in pixels.zip(&across_weights[part]) {
                    let weight = weight * across;
                    pixel.iter_mut().for_each(|value| *value *= weight);
                }
            }
            if column > 0 {
                let left = &left[line * shared * k..][..shared * k];
                out.iter_mut().zip(left).for_each(|(out, left)| *out += left);
            }
            if row > 0 && line < shared_rows {
                let done = done_columns.len() * k;
                let above = &above[(line * scene_width + columns.start) * k..][..done];
                out[..done].iter_mut().zip(above).for_each(|(out, above)| *out += above);
            }
        });
        // What the next window and the next row will need.
        let done = done_columns.len();
        self.left.clear();
        if done < width {
            for line in said.chunks_exact((width * k).max(1)) {
                self.left.extend_from_slice(&line[done * k..]);
            }
        }
        for y in done_rows.end..rows.end {
            let line = &said[(y - rows.start) * width * k..][..done * k];
            let to = ((y - done_rows.end) * self.width + columns.start) * k;
            self.below[to..to + done * k].copy_from_slice(line);
        }
        if column + 1 == across.count() {
            std::mem::swap(&mut self.above, &mut self.below);
        }
        let window = Window { x: columns.start, y: rows.start, width: done, height: done_rows.len() };
        Finished { window, stride: width, classes: k, values: said }
    }

    /// What must be known to go on with the next row of windows.
    pub fn save(&self, out: &mut Vec<u8>) {
        put_number(out, self.above.len() as u64);
        out.extend(self.above.iter().flat_map(|v| v.to_le_bytes()));
    }

    /// Takes up what [`Blend::save`] wrote between two rows of windows.
    ///
    /// # Errors
    /// Bytes that are not of such a blend.
    pub fn restore(&mut self, from: &mut &[u8]) -> Result<(), MapError> {
        let damaged = || MapError::Mismatch("the saved state does not fit".into());
        let length = take_number(from).ok_or_else(damaged)? as usize;
        if length != self.above.len() {
            return Err(damaged());
        }
        let (bytes, rest) = from.split_at_checked(length * 4).ok_or_else(damaged)?;
        let numbers = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        self.above.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
        *from = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any function of the pixel, blended from windows that all say the same, comes out unchanged; a window that says
    /// something of its own shows with its weight.
    #[test]
    fn blending_is_the_weighted_sum() {
        let (width, height, k) = (203, 171, 3);
        for (tile, overlap, dead) in [(64, 32, 8), (96, 32, 16), (64, 0, 0), (128, 64, 20), (256, 32, 4)] {
            let grid = Grid::new(width, height, tile, overlap, dead).unwrap();
            let value = |window: usize, x: usize, y: usize, class: usize| {
                ((x * 31 + y * 17 + class * 7 + window * 13) % 97) as f32
            };
            let (across, down) = (grid.across.clone(), grid.down.clone());
            let mut expected = vec![0.0f64; width * height * k];
            let mut got = vec![f32::NAN; width * height * k];
            let mut blend = Blend::new(grid.clone(), width, k).unwrap();
            let (mut windows, mut alone_in) = (vec![Vec::new(); width * height], vec![None; width * height]);
            for row in 0..down.count() {
                for column in 0..across.count() {
                    let index = row * across.count() + column;
                    for y in down.owned(row) {
                        for x in across.owned(column) {
                            let weight = f64::from(across.weight(column, x)) * f64::from(down.weight(row, y));
                            for class in 0..k {
                                expected[(y * width + x) * k + class] +=
                                    weight * f64::from(value(index, x, y, class));
                            }
                        }
                    }
                    let (part, alone) = (blend.part(column, row), blend.alone(column, row));
                    let mut said = Vec::new();
                    for y in part.y..part.y + part.height {
                        for x in part.x..part.x + part.width {
                            let at = (across.start(column) + x, down.start(row) + y);
                            said.extend((0..k).map(|class| value(index, at.0, at.1, class)));
                            windows[at.1 * width + at.0].push(index);
                        }
                    }
                    for y in 0..alone.height {
                        let to = (down.owned(row).start + alone.y + y) * width;
                        let to = to + across.owned(column).start + alone.x;
                        alone_in[to..to + alone.width].fill(Some(index));
                    }
                    let done = blend.add(column, row, &mut said, true);
                    for y in 0..done.window.height {
                        let at = ((done.window.y + y) * width + done.window.x) * k;
                        let row = done.row(y);
                        assert!(got[at..at + row.len()].iter().all(|v| v.is_nan()), "written twice");
                        got[at..at + row.len()].copy_from_slice(row);
                    }
                }
                let mut state = Vec::new();
                blend.save(&mut state);
                blend = Blend::new(grid.clone(), width, k).unwrap();
                blend.restore(&mut &state[..]).unwrap();
            }
            for (windows, alone) in windows.iter().zip(alone_in) {
                assert_eq!((windows.len() == 1).then(|| windows[0]), alone, "{tile} {overlap}");
            }
            for (got, expected) in got.iter().zip(&expected) {
                assert!((f64::from(*got) - expected).abs() < 1e-3, "{tile} {overlap}: {got} {expected}");
            }
        }
    }
}
