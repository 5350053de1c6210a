//! Ground divided into cells and blocks, counted, and some of the blocks held out.

use hectare_kernels::rng::{Key, shuffle};
use hectare_net::ClassMap;

use crate::{DataError, Ground};

/// Sets the choice of blocks apart from all other random numbers of one seed.
const STREAM: u64 = 0x626c_6f63 << 32;
/// Sides of a block, in cells, that are tried, the largest first, until there are [`LEAST_BLOCKS`].
pub const BLOCK_SIDES: [usize; 3] = [4, 2, 1];
/// The least number of blocks that there should be to hold some of them out.
pub const LEAST_BLOCKS: usize = 16;
/// Choices of blocks that are compared.
const DRAWS: u64 = 32;

/// A part of a scene, at least as wide and high as a window of training, that no window is narrower than.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The scene's number.
    pub scene: usize,
    /// Left, top, width, height.
    pub window: [usize; 4],
    /// Pixels with a class that is trained.
    pub labelled: u64,
    /// The block it lies in.
    pub block: usize,
}

/// A rectangle of cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The scene's number.
    pub scene: usize,
    /// Left, top, width, height.
    pub window: [usize; 4],
    /// Pixels of each class.
    pub pixels: Vec<u64>,
    /// Pixels with a class that is trained.
    pub labelled: u64,
}

/// What a pass over all ground found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Cells with labels, scene by scene, from left to right and top to bottom.
    pub cells: Vec<Cell>,
    /// All blocks, likewise.
    pub blocks: Vec<Block>,
    /// Side of a block in cells.
    pub block_cells: usize,
}

/// The starts and lengths of cells of at least `side` along an axis of `length`: the last takes what is left over.
fn axis(length: usize, side: usize) -> Vec<[usize; 2]> {
    let count = (length / side).max(1);
    (0..count).map(|i| [i * side, if i + 1 == count { length - i * side } else { side }]).collect()
}

impl Survey {
    /// Reads all of the ground once, in cells of `side` pixels, and counts its classes. Blocks are of 4 x 4 cells, of 2 x 2 or
    /// of one where the labelled ground has fewer than 16 larger ones. `progress(done, total)` counts cells.
    ///
    /// # Errors
    /// Ground that cannot be read, or has no label of a class that is trained.
    pub fn new(
        ground: &dyn Ground,
        side: usize,
        classes: &ClassMap,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Survey, DataError> {
        let grids: Vec<_> =
            ground.scenes().iter().map(|scene| [axis(scene.width, side), axis(scene.height, side)]).collect();
        let total = grids.iter().map(|[across, down]| across.len() * down.len()).sum();
        let mut counts = Vec::with_capacity(total);
        for (scene, [across, down]) in grids.iter().enumerate() {
            for [y, height] in down {
                for [x, width] in across {
                    let (_, mask) = ground.read(scene, [*x, *y, *width, *height])?;
                    counts.push(mask.counts(classes.len()));
                    progress(counts.len(), total);
                }
            }
        }
        let trained = |pixels: &[u64]| -> u64 {
            classes.classes.iter().zip(pixels).filter(|(class, _)| !class.ignored).map(|(_, n)| n).sum()
        };
        let divided = |block_cells: usize| {
            let mut survey = Survey { cells: Vec::new(), blocks: Vec::new(), block_cells };
            let mut at = 0;
            for (scene, [across, down]) in grids.iter().enumerate() {
                let first = survey.blocks.len();
                let columns = across.len().div_ceil(block_cells);
                for rows in down.chunks(block_cells) {
                    for columns in across.chunks(block_cells) {
                        let extent = |cells: &[[usize; 2]]| {
                            (cells[0][0], cells.iter().map(|[_, length]| length).sum::<usize>())
                        };
                        let ((x, width), (y, height)) = (extent(columns), extent(rows));
                        let pixels = vec![0; classes.len()];
                        let window = [x, y, width, height];
                        survey.blocks.push(Block { scene, window, pixels, labelled: 0 });
                    }
                }
                for (row, [y, height]) in down.iter().enumerate() {
                    for (column, [x, width]) in across.iter().enumerate() {
                        let block = first + row / block_cells * columns + column / block_cells;
                        let pixels: &[u64] = &counts[at];
                        at += 1;
                        let own = &mut survey.blocks[block];
                        own.pixels.iter_mut().zip(pixels).for_each(|(sum, n)| *sum += n);
                        let labelled = trained(pixels);
                        own.labelled += labelled;
                        if labelled > 0 {
                            let window = [*x, *y, *width, *height];
                            survey.cells.push(Cell { scene, window, labelled, block });
                        }
                    }
                }
            }
            survey
        };
        let enough = |survey: &Survey| survey.labelled_blocks().count() >= LEAST_BLOCKS;
        let survey =
            BLOCK_SIDES.iter().map(|cells| divided(*cells)).find(enough).unwrap_or_else(|| divided(1));
        if survey.cells.is_empty() {
            let names: Vec<&str> = ground.scenes().iter().map(|scene| scene.name.as_str()).collect();
            return Err(DataError::Scene {
                reason: format!("no pixel of {} has both data and a label of a class", names.join(", ")),
            });
        }
        Ok(survey)
    }

    /// The numbers of the blocks with labels.
    pub fn labelled_blocks(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.blocks.len()).filter(|block| self.blocks[*block].labelled > 0)
    }

    /// Holds out blocks until about `share` of the labelled pixels lie in them: for each block whether it is. Of 32 choices by
    /// `seed` the first counts whose both sides hold the most classes. `None` where there are fewer than two labelled blocks.
    pub fn hold_out(&self, share: f64, seed: u64) -> Option<Vec<bool>> {
        let labelled: Vec<usize> = self.labelled_blocks().collect();
        if labelled.len() < 2 {
            return None;
        }
        let total: u64 = labelled.iter().map(|block| self.blocks[*block].labelled).sum();
        let wanted = share * total as f64;
        let choice = |draw: u64| {
            let mut held = vec![false; self.blocks.len()];
            let mut sum = 0;
            let order = shuffle(&Key { seed, stream: STREAM, step: draw }, labelled.len());
            // One block at least stays.
            for place in &order[..order.len() - 1] {
                let block = labelled[*place];
                let pixels = self.blocks[block].labelled;
                if sum == 0 || sum as f64 + pixels as f64 / 2.0 <= wanted {
                    held[block] = true;
                    sum += pixels;
                }
            }
            held
        };
        let classes = |held: &[bool]| -> usize {
            let on = |side: bool, class: usize| {
                labelled.iter().any(|block| held[*block] == side && self.blocks[*block].pixels[class] > 0)
            };
            let all = self.blocks.first().map_or(0, |block| block.pixels.len());
            (0..all).map(|class| usize::from(on(false, class)) + usize::from(on(true, class))).sum()
        };
        let mut best: Option<(usize, Vec<bool>)> = None;
        for draw in 0..DRAWS {
            let held = choice(draw);
            let found = classes(&held);
            if best.as_ref().is_none_or(|(most, _)| found > *most) {
                best = Some((found, held));
            }
        }
        best.map(|(_, held)| held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UNLABELLED;
    use crate::ground::Painted;

    /// A class for each quarter, and nothing in the last columns.
    fn class(scene: usize, x: usize, y: usize) -> u8 {
        match (scene, x) {
            (0, 150..) => UNLABELLED,
            (1, _) => 5,
            _ => u8::from(x >= 75) + 2 * u8::from(y >= 60),
        }
    }

    #[test]
    fn every_pixel_is_counted_once() {
        let classes = ClassMap::numbered(6);
        for side in [1, 7, 16, 40, 101] {
            let ground = Painted::new(&[[170, 101], [101, 103]], 2, class);
            let survey = Survey::new(&ground, side, &classes, &|_, _| {}).unwrap();
            let blocks: u64 = survey.blocks.iter().map(|block| block.labelled).sum();
            let cells: u64 = survey.cells.iter().map(|cell| cell.labelled).sum();
            assert_eq!((blocks, cells), (150 * 101 + 101 * 103, 150 * 101 + 101 * 103), "{side}");
            let areas: usize = survey.blocks.iter().map(|block| block.window[2] * block.window[3]).sum();
            assert_eq!(areas, 170 * 101 + 101 * 103);
            let mut pixels = vec![0; 6];
            for block in &survey.blocks {
                pixels.iter_mut().zip(&block.pixels).for_each(|(sum, n)| *sum += n);
            }
            assert_eq!(pixels, [75 * 60, 75 * 60, 75 * 41, 75 * 41, 0, 101 * 103]);
            for cell in &survey.cells {
                let [x, y, w, h] = cell.window;
                let [left, top, width, height] = survey.blocks[cell.block].window;
                assert!(x >= left && y >= top && x + w <= left + width && y + h <= top + height);
                assert!(w >= side && h >= side && survey.blocks[cell.block].scene == cell.scene);
            }
        }
        // Larger blocks where there is ground enough for them.
        let ground = Painted::new(&[[170, 101], [101, 103]], 2, class);
        let cells = |side| Survey::new(&ground, side, &classes, &|_, _| {}).unwrap().block_cells;
        assert_eq!([cells(7), cells(16), cells(40)], [4, 2, 1]);
        let nothing = Painted::new(&[[40, 40]], 2, |_, _, _| UNLABELLED);
        let error = Survey::new(&nothing, 8, &classes, &|_, _| {}).unwrap_err().to_string();
        assert!(error.contains("scene0"), "{error}");
    }

    #[test]
    fn about_the_share_is_held_out_with_all_classes_on_both_sides() {
        let classes = ClassMap::numbered(6);
        let ground = Painted::new(&[[200, 160], [100, 100]], 2, class);
        let survey = Survey::new(&ground, 8, &classes, &|_, _| {}).unwrap();
        let total: u64 = survey.blocks.iter().map(|block| block.labelled).sum();
        for share in [0.1, 0.25, 0.5] {
            for seed in 0..5 {
                let held = survey.hold_out(share, seed).unwrap();
                assert_eq!(held, survey.hold_out(share, seed).unwrap());
                let on = |side: bool| {
                    survey.blocks.iter().zip(&held).filter(move |(_, held)| **held == side).map(|(b, _)| b)
                };
                let sum: u64 = on(true).map(|block| block.labelled).sum();
                assert!((sum as f64 / total as f64 - share).abs() < 0.05, "{share} {sum} of {total}");
                for class in [0, 1, 2, 3, 5] {
                    assert!([false, true].iter().all(|side| on(*side).any(|block| block.pixels[class] > 0)));
                }
            }
        }
        assert_ne!(survey.hold_out(0.25, 1), survey.hold_out(0.25, 2));
        let small = Painted::new(&[[20, 20]], 2, |_, _, _| 1);
        let survey = Survey::new(&small, 20, &classes, &|_, _| {}).unwrap();
        assert_eq!(survey.hold_out(0.5, 1), None);
    }
}
