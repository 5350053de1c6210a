//! A number for each class, added to its scores, that raises the mean IoU.
//!
//! Training makes probabilities good, or those of weighted classes, and the class of the largest one is not yet the choice
//! with the best mean IoU: small differences of the scores' levels name some classes too often and others too seldom. The
//! levels are few numbers, so that a few hundred labelled tiles outside the training set are enough to find them; they go
//! up and down by ever smaller steps as long as the mean IoU rises.

use std::ops::Range;

use hectare_data::SegSample;
use hectare_kernels::threads;
use hectare_net::ClassMap;

use crate::ahead::ahead;
use crate::error::{TrainError, gib};
use crate::evaluate::{AHEAD, EvaluationSettings, read_pair};
use crate::memory::available_bytes;
use crate::metrics::{ConfusionMatrix, Protocol, scored};
use crate::predict::{Forward, Recipe};

/// Steps that are tried, in units of the scores (natural logarithms of odds).
const STEPS: [f32; 4] = [0.5, 0.25, 0.125, 0.0625];
/// No offset goes beyond.
const FURTHEST: f32 = 4.0;
/// A rise of the mean IoU that is worth a step.
const RISE: f64 = 1e-5;

/// Scores of labelled pixels, tile by tile.
pub struct ScoredPixels<'a> {
    recipe: &'a Recipe,
    protocol: Protocol,
    scored: Vec<bool>,
    scores: Vec<f32>,
    labels: Vec<u8>,
    tiles: Vec<Range<usize>>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// What to add to the scores of each class.
    pub offsets: Vec<f32>,
    /// Mean IoU of the pixels as they were, and with the offsets.
    pub mean_iou: [f64; 2],
    /// The same of tiles that had no part in the choice: the offsets of every second tile measured on the others, and the
    /// other way round, averaged. Nothing if a half has no pixel that counts, as with a single tile.
    pub elsewhere: Option<[f64; 2]>,
}

/// Predicts the samples and keeps the scores of a regular grid of pixels of each, about `most` of all.
///
/// # Errors
/// As [`crate::evaluate_segmentation`].
pub fn score_pixels<'a>(
    recipe: &'a Recipe,
    network: &mut dyn Forward,
    samples: &[SegSample],
    classes: &ClassMap,
    protocol: Protocol,
    most: usize,
    settings: &EvaluationSettings<'_>,
) -> Result<ScoredPixels<'a>, TrainError> {
    let mut found = ScoredPixels::new(recipe, protocol, scored(classes));
    let load = |index: usize| -> Result<_, TrainError> {
        let (image, mask) = read_pair(&samples[index], classes)?;
        Ok((recipe.prepare(&image), mask))
    };
    let share = (most / samples.len().max(1)).max(1);
    ahead(samples.len(), AHEAD, load, |index, loaded| {
        let (prepared, truth) = loaded?;
        let logits = recipe.logits(network, &prepared)?;
        let [width, height] = truth.size();
        let [columns, rows] = grid([width, height], share);
        let pixels = rows.iter().flat_map(|y| columns.iter().map(move |x| y * width + x));
        if index == 0 {
            found.check_memory(columns.len() * rows.len() * samples.len())?;
        }
        found.push(pixels.map(|at| (truth.ids[at], &logits[at * recipe.classes()..][..recipe.classes()])));
        settings.go_on(index + 1, samples.len())
    })?;
    Ok(found)
}

/// Columns and rows of a regular grid of about `most` pixels, in the middle of equal parts of each side; all where there are
/// no more.
fn grid([width, height]: [usize; 2], most: usize) -> [Vec<usize>; 2] {
    let parts = |side: usize, parts: f64| {
        let parts = (parts.round() as usize).clamp(1.min(side), side);
        (0..parts).map(|i| (2 * i + 1) * side / (2 * parts)).collect::<Vec<usize>>()
    };
    let density = (most as f64 / (width * height).max(1) as f64).sqrt();
    let (short, long) = (width.min(height), width.max(height));
    let short = parts(short, short as f64 * density);
    let long = parts(long, most as f64 / short.len().max(1) as f64);
    if width < height { [short, long] } else { [long, short] }
}

impl<'a> ScoredPixels<'a> {
    fn new(recipe: &'a Recipe, protocol: Protocol, scored: Vec<bool>) -> ScoredPixels<'a> {
        let (scores, labels, tiles) = (Vec::new(), Vec::new(), Vec::new());
        ScoredPixels { recipe, protocol, scored, scores, labels, tiles }
    }

    /// Refuses more pixels than fit in memory.
    fn check_memory(&self, pixels: usize) -> Result<(), TrainError> {
        let needed = pixels as u64 * (4 * self.scored.len() as u64 + 1);
        match available_bytes() {
            Some(available) if needed > available => Err(TrainError::Input(format!(
                "the scores of {pixels} pixels need {} of memory and {} are available: look at fewer pixels",
                gib(needed),
                gib(available)
            ))),
            _ => Ok(()),
        }
    }

    /// Adds a tile: the label and the scores of each pixel. Pixels without a class do not count.
    fn push<'p>(&mut self, pixels: impl Iterator<Item = (u8, &'p [f32])>) {
        let start = self.labels.len();
        for (label, scores) in pixels.filter(|(label, _)| usize::from(*label) < self.scored.len()) {
            self.labels.push(label);
            self.scores.extend_from_slice(scores);
        }
        self.tiles.push(start..self.labels.len());
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no pixel of a class that counts.
    pub fn is_empty(&self) -> bool {
        !self.occurring(&self.all()).contains(&true)
    }

    /// Ids of the classes that count and that no pixel is of: their scores are left as they are.
    pub fn absent(&self) -> Vec<usize> {
        let occurs = self.occurring(&self.all());
        (0..occurs.len()).filter(|class| self.scored[*class] && !occurs[*class]).collect()
    }

    fn all(&self) -> Vec<usize> {
        (0..self.tiles.len()).collect()
    }

    /// Which classes count and occur in some tiles.
    fn occurring(&self, tiles: &[usize]) -> Vec<bool> {
        let mut occurs = vec![false; self.scored.len()];
        for label in tiles.iter().flat_map(|tile| &self.labels[self.tiles[*tile].clone()]) {
            occurs[usize::from(*label)] = self.scored[usize::from(*label)];
        }
        occurs
    }

    /// The mean IoU of some tiles with offsets; 0 where no class occurs.
    fn mean_iou(&self, tiles: &[usize], offsets: &[f32]) -> f64 {
        let classes = self.scored.len();
        let mut counts = vec![ConfusionMatrix::new(classes); tiles.len()];
        threads::parallel_chunks_mut(&mut counts, 1, |i, counts| {
            let range = self.tiles[tiles[i]].clone();
            let mut shifted = vec![0.0; classes];
            let scores = self.scores[range.start * classes..].chunks_exact(classes);
            for (label, scores) in self.labels[range].iter().zip(scores) {
                for (shifted, (score, offset)) in shifted.iter_mut().zip(scores.iter().zip(offsets)) {
                    *shifted = score + offset;
                }
                counts[0].add(usize::from(*label), self.recipe.largest(&shifted));
            }
        });
        let mut sum = ConfusionMatrix::new(classes);
        counts.iter().for_each(|counts| sum.merge(counts));
        sum.iou(self.protocol, &self.scored).mean.unwrap_or(0.0)
    }

    /// The offsets with which some tiles have the highest mean IoU that is found.
    fn climb(&self, tiles: &[usize], progress: &dyn Fn(f64)) -> Vec<f32> {
        let mut offsets = vec![0.0; self.scored.len()];
        // A class that does not occur would be pushed down until it is never named and leaves the mean.
        let occurs = self.occurring(tiles);
        let mut best = self.mean_iou(tiles, &offsets);
        for step in STEPS {
            loop {
                let before = best;
                for class in (0..offsets.len()).filter(|class| occurs[*class]) {
                    for change in [step, -step] {
                        let old = offsets[class];
                        offsets[class] = (old + change).clamp(-FURTHEST, FURTHEST);
                        let mean = self.mean_iou(tiles, &offsets);
                        if mean > best + RISE {
                            best = mean;
                        } else {
                            offsets[class] = old;
                        }
                    }
                }
                progress(best);
                if best == before {
                    break;
                }
            }
        }
        offsets
    }

    /// Finds the offsets. `progress` is told the mean IoU on the way.
    pub fn tune(&self, progress: &dyn Fn(f64)) -> Tuning {
        let all = self.all();
        let none = vec![0.0; self.scored.len()];
        let offsets = self.climb(&all, progress);
        let mean_iou = [&none, &offsets].map(|offsets| self.mean_iou(&all, offsets));
        let halves = [0, 1].map(|first| all.iter().copied().skip(first).step_by(2).collect::<Vec<_>>());
        let counts = |half: &Vec<usize>| self.occurring(half).contains(&true);
        let elsewhere = halves.iter().all(counts).then(|| {
            let [[a, b], [c, d]] = [[0, 1], [1, 0]].map(|[here, there]| {
                let offsets = self.climb(&halves[here], &|_| {});
                [&none, &offsets].map(|offsets| self.mean_iou(&halves[there], offsets))
            });
            [(a + c) / 2.0, (b + d) / 2.0]
        });
        Tuning { offsets, mean_iou, elsewhere }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_kernels::Isa;
    use hectare_net::{ModelCard, ModelKind, ModelSpec};

    fn recipe(classes: usize) -> Recipe {
        let mut card = ModelCard::new(ModelSpec { classes, ..ModelSpec::new(ModelKind::Fcn8s) });
        card.classes = ClassMap::numbered(classes);
        Recipe::new(&card, Isa::best()).unwrap()
    }

    /// Tiles of 97 pixels whose scores are right up to noise and to `wrong`, a number for each class.
    fn pixels<'a>(recipe: &'a Recipe, wrong: &[f32], tiles: usize) -> ScoredPixels<'a> {
        let mut found = ScoredPixels::new(recipe, Protocol::Course, vec![true; wrong.len()]);
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        for _ in 0..tiles {
            let tile: Vec<(u8, Vec<f32>)> = (0..97)
                .map(|i| {
                    let label = (i + i / 7) % wrong.len();
                    let score = |class: usize| f32::from(class == label) + 1.5 * noise() + wrong[class];
                    (label as u8, (0..wrong.len()).map(score).collect())
                })
                .collect();
            found.push(tile.iter().map(|(label, scores)| (*label, &scores[..])));
        }
        found
    }

    #[test]
    fn wrong_levels_are_found() {
        let recipe = recipe(3);
        let wrong = [1.0, -0.5, 0.0];
        let found = pixels(&recipe, &wrong, 40);
        let tuning = found.tune(&|_| {});
        let level = |class: usize| tuning.offsets[class] + wrong[class];
        for class in 0..3 {
            assert!((level(class) - level(0)).abs() < 0.2, "{tuning:?}");
        }
        let right = found.mean_iou(&(0..40).collect::<Vec<_>>(), &wrong.map(|x| -x));
        assert!(tuning.mean_iou[0] < right - 0.1 && tuning.mean_iou[1] > right - 0.005, "{tuning:?} {right}");
        let [before, after] = tuning.elsewhere.unwrap();
        assert!(after > before + 0.1 && after <= tuning.mean_iou[1] + 0.01, "{tuning:?}");
    }

    #[test]
    fn grids_have_as_many_pixels_as_asked_for() {
        for size in [[512, 512], [37, 1000], [1, 4096], [4096, 1], [7, 3]] {
            for most in [1, 50, 5000, 200_000, 300_000] {
                let [columns, rows] = grid(size, most);
                let (found, all) = (columns.len() * rows.len(), size[0] * size[1]);
                let wanted = most.min(all) as f64;
                assert!((found as f64 / wanted - 1.0).abs() < 0.1, "{size:?} {most}: {found}");
                for (line, side) in [(columns, size[0]), (rows, size[1])] {
                    assert!(
                        line.windows(2).all(|pair| pair[0] < pair[1]) && line.iter().all(|at| *at < side)
                    );
                    // As much is left before the first as behind the last.
                    assert!(line[0].abs_diff(side - 1 - line[line.len() - 1]) <= 1, "{line:?} of {side}");
                }
            }
        }
        assert_eq!(grid([3, 2], 6), [vec![0, 1, 2], vec![0, 1]]);
        assert_eq!(grid([0, 5], 9)[0], Vec::<usize>::new());
        let recipe = recipe(3);
        let few = pixels(&recipe, &[0.0; 3], 1);
        assert!(few.check_memory(1000).is_ok() && few.check_memory(usize::MAX >> 8).is_err());
    }

    #[test]
    fn nothing_on_a_grid_is_better() {
        let recipe = recipe(2);
        let found = pixels(&recipe, &[0.7, 0.0], 5);
        let all: Vec<usize> = (0..5).collect();
        let reached = found.tune(&|_| {}).mean_iou[1];
        let best = (-64..=64).map(|i| found.mean_iou(&all, &[i as f32 / 16.0, 0.0])).fold(0.0, f64::max);
        assert!(reached > best - 0.01, "{reached} {best}");
    }

    #[test]
    fn what_cannot_rise_stays() {
        let recipe = recipe(3);
        let mut found = ScoredPixels::new(&recipe, Protocol::Course, vec![true, true, false]);
        let (first, second) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        found.push([(0, &first[..]), (1, &second[..]), (255, &first[..])].into_iter());
        let tuning = found.tune(&|_| {});
        assert_eq!((found.len(), found.is_empty()), (2, false), "a pixel without a class does not count");
        assert_eq!(tuning, Tuning { offsets: vec![0.0; 3], mean_iou: [1.0; 2], elsewhere: None });
        let empty = ScoredPixels::new(&recipe, Protocol::Course, vec![true; 3]).tune(&|_| {});
        assert_eq!(empty.mean_iou, [0.0; 2]);
    }

    #[test]
    fn classes_that_do_not_occur_keep_their_level() {
        let recipe = recipe(3);
        let mut found = pixels(&recipe, &[0.4, 0.0, 0.9], 9);
        found.labels.iter_mut().for_each(|label| *label %= 2);
        assert_eq!((found.absent(), found.tune(&|_| {}).offsets[2]), (vec![2], 0.0));
    }

    #[test]
    fn classes_that_do_not_count_keep_their_level() {
        let recipe = recipe(3);
        let mut found = pixels(&recipe, &[0.8, 0.0, 0.3], 9);
        found.scored[2] = false;
        assert_eq!(found.tune(&|_| {}).offsets[2], 0.0);
    }
}
