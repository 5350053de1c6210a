//! Windows at random places of the ground, as samples to train on.

use std::sync::Arc;

use hectare_kernels::AlignedVec;
use hectare_kernels::rng::Key;

use crate::resize::resize_mask;
use crate::{
    Augment, Batch, BatchFormat, BatchSource, Cell, DataError, Ground, Mask, Raster, Survey, UNLABELLED,
};

/// Sets the places of windows apart from all other random numbers of one seed.
const STREAM: u64 = 0x7769_6e64 << 32;
/// Places that are tried before the cell itself is taken.
const TRIES: u64 = 16;

/// How windows are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRule {
    /// Side of what the network sees, in pixels.
    pub side: usize,
    /// Smallest and largest factor on the ground's scale, drawn evenly in its logarithm.
    pub scale: [f32; 2],
    /// Windows in an epoch.
    pub count: usize,
    /// What else is changed.
    pub augment: Augment,
    /// What all choices depend on.
    pub seed: u64,
}

/// Windows of some ground without its held-out blocks, as many in each epoch, each around a labelled place; every labelled cell
/// comes as often as it has labelled pixels.
pub struct WindowSource {
    ground: Arc<dyn Ground>,
    cells: Vec<Cell>,
    /// Labelled pixels of the cells up to each.
    sums: Vec<u64>,
    /// For each scene the windows of its held-out blocks.
    closed: Vec<Vec<[usize; 4]>>,
    rule: WindowRule,
    format: BatchFormat,
}

/// Random numbers of one sample, one after the other.
struct Numbers {
    key: Key,
    next: u64,
}

impl Numbers {
    fn uniform(&mut self) -> f64 {
        self.next += 1;
        self.key.f64(self.next - 1)
    }
}

fn meet(a: [usize; 4], b: [usize; 4]) -> bool {
    a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3]
}

impl WindowSource {
    /// Windows of the cells of `survey` whose blocks are not `held_out`.
    ///
    /// # Panics
    /// When no labelled cell is left, or a cell is narrower than a window.
    pub fn new(
        ground: Arc<dyn Ground>,
        survey: &Survey,
        held_out: &[bool],
        rule: WindowRule,
        format: BatchFormat,
    ) -> WindowSource {
        let cells: Vec<Cell> = survey.cells.iter().filter(|cell| !held_out[cell.block]).copied().collect();
        assert!(!cells.is_empty(), "ground to train on");
        assert!(cells.iter().all(|cell| cell.window[2..].iter().all(|side| *side >= rule.side)));
        let mut sum = 0;
        let sums = cells.iter().map(|cell| {
            sum += cell.labelled;
            sum
        });
        let sums = sums.collect();
        let mut closed = vec![Vec::new(); ground.scenes().len()];
        for (block, _) in survey.blocks.iter().zip(held_out).filter(|(_, held)| **held) {
            closed[block.scene].push(block.window);
        }
        WindowSource { ground, cells, sums, closed, rule, format }
    }

    /// The window of one try: its scene, and left, top, width, height.
    fn place(&self, numbers: &mut Numbers, last: bool) -> (usize, [usize; 4]) {
        let all = self.sums.last().copied().unwrap_or(1);
        let pixel = ((numbers.uniform() * all as f64) as u64).min(all - 1);
        let cell = self.cells[self.sums.partition_point(|sum| *sum <= pixel)];
        let [low, high] = self.rule.scale.map(|factor| f64::from(factor).ln());
        let factor = (low + (high - low) * numbers.uniform()).exp();
        let [x, y, width, height] = cell.window;
        let within = [numbers.uniform(), numbers.uniform()];
        if last {
            let side = self.rule.side;
            let at = |u: f64, room: usize| ((u * (room + 1) as f64) as usize).min(room);
            let corner = [x + at(within[0], width - side), y + at(within[1], height - side)];
            return (cell.scene, [corner[0], corner[1], side, side]);
        }
        let scene = &self.ground.scenes()[cell.scene];
        let side =
            ((self.rule.side as f64 / factor).round() as usize).clamp(1, scene.width.min(scene.height));
        let corner = |centre: f64, length: usize| {
            ((centre - side as f64 / 2.0).max(0.0).round() as usize).min(length - side)
        };
        let left = corner(x as f64 + within[0] * width as f64, scene.width);
        let top = corner(y as f64 + within[1] * height as f64, scene.height);
        (cell.scene, [left, top, side, side])
    }

    /// Sample `index` as `epoch` sees it: ground and classes of the rule's side.
    ///
    /// # Errors
    /// Ground that cannot be read any more.
    pub fn window(&self, index: usize, epoch: u64) -> Result<(Raster, Mask), DataError> {
        let seed = self.rule.seed;
        let mut numbers = Numbers { key: Key { seed, stream: STREAM ^ index as u64, step: epoch }, next: 0 };
        for attempt in 0..=TRIES {
            let last = attempt == TRIES;
            let (scene, window) = self.place(&mut numbers, last);
            if self.closed[scene].iter().any(|block| meet(*block, window)) {
                continue;
            }
            let (raster, mask) = self.ground.read(scene, window)?;
            if !last && mask.ids.iter().all(|id| *id == UNLABELLED) {
                continue;
            }
            let side = self.rule.side;
            let (raster, mut mask) = match raster.size() == [side, side] {
                true => (raster, mask),
                false => (raster.resized(side, side), resize_mask(&mask, side, side)),
            };
            let unknown = mask.ids.iter_mut().zip(&raster.valid).filter(|(_, valid)| !**valid);
            unknown.for_each(|(id, _)| *id = UNLABELLED);
            return Ok(self.rule.augment.raster_and_mask(raster, mask, seed, epoch, index));
        }
        unreachable!("a cell of its own block meets no held-out one");
    }
}

impl BatchSource for WindowSource {
    fn count(&self) -> usize {
        self.rule.count
    }

    fn batch(&self, indices: &[usize], epoch: u64) -> Result<Batch, DataError> {
        let side = self.rule.side;
        let bands = self.ground.bands().bands.len();
        let len = side * side * bands;
        let mut images = AlignedVec::zeroed(indices.len() * len);
        let mut labels = Vec::with_capacity(indices.len() * side * side);
        for (index, out) in indices.iter().zip(images.chunks_exact_mut(len.max(1))) {
            let (raster, mask) = self.window(*index, epoch)?;
            self.format.normalise_raster(&raster, out);
            self.format.labels(&mask, &mut labels);
        }
        Ok(Batch { images, n: indices.len(), h: side, w: side, labels, indices: indices.to_vec() })
    }

    fn title(&self, index: usize) -> String {
        format!("window {index}")
    }
}

#[cfg(test)]
mod tests {
    use hectare_kernels::loss::IGNORE;
    use hectare_net::{ClassMap, Normalisation};

    use super::*;
    use crate::Loader;
    use crate::ground::Painted;

    fn class(_: usize, x: usize, y: usize) -> u8 {
        if y < 20 { UNLABELLED } else { u8::from(x % 16 >= 8) }
    }

    fn source(bands: usize, scale: [f32; 2], augment: Augment) -> (Arc<WindowSource>, Survey, Vec<bool>) {
        let ground = Arc::new(Painted::new(&[[160, 150], [90, 70]], bands, class));
        let classes = ClassMap::numbered(2);
        let survey = Survey::new(ground.as_ref(), 16, &classes, &|_, _| {}).unwrap();
        let held = survey.hold_out(0.3, 4).unwrap();
        let normalisation = Normalisation { mean: vec![0.5; bands], std: vec![0.25; bands] };
        let format = BatchFormat::new(&normalisation, Some(&classes));
        let rule = WindowRule { side: 16, scale, count: 40, augment, seed: 9 };
        (Arc::new(WindowSource::new(ground, &survey, &held, rule, format)), survey, held)
    }

    #[test]
    fn windows_show_the_ground_and_never_what_is_held_out() {
        let (source, survey, held) = source(3, [1.0, 1.0], Augment::default());
        let mut seen = std::collections::HashSet::new();
        for epoch in 0..5 {
            for index in 0..40 {
                let (raster, mask) = source.window(index, epoch).unwrap();
                assert_eq!((raster.size(), mask.size()), ([16, 16], [16, 16]));
                let (left, top) = (raster.levels[0] as usize, raster.levels[1] as usize);
                seen.insert([left, top]);
                for (at, pixel) in raster.levels.chunks_exact(3).enumerate() {
                    let (x, y) = (left + at % 16, top + at / 16);
                    assert_eq!(pixel, [x as f32, y as f32, 2.0]);
                    assert_eq!((mask.ids[at], raster.valid[at]), (class(0, x, y), y >= 20));
                }
                // The two scenes look alike, so a window is clear of held-out ground in one of them.
                let clear = |scene| {
                    let window = [left, top, 16, 16];
                    let blocks = survey.blocks.iter().zip(&held);
                    !blocks
                        .filter(|(b, held)| **held && b.scene == scene)
                        .any(|(b, _)| meet(b.window, window))
                };
                assert!(clear(0) || clear(1), "{left} {top}");
            }
        }
        assert!(seen.len() > 150, "{} places of 200 windows", seen.len());
    }

    #[test]
    fn batches_are_the_same_whatever_the_threads() {
        let augment = Augment { flip_h: true, flip_v: true, quarter_turns: true, ..Augment::default() };
        for bands in [1, 4, 5] {
            let (source, ..) = source(bands, [0.6, 1.7], augment.clone());
            let list = crate::epoch_batches(source.count(), 6, Some((1, 2)));
            let all = |threads| -> Vec<Batch> {
                Loader::new(source.clone(), 2, list.clone(), threads, 2).map(Result::unwrap).collect()
            };
            let one = all(0);
            assert_eq!(one[0].images.len(), 6 * 16 * 16 * bands);
            for threads in [1, 2, 3] {
                for (a, b) in one.iter().zip(&all(threads)) {
                    assert_eq!((&a.images, &a.labels), (&b.images, &b.labels));
                }
            }
            assert!(one.iter().flat_map(|batch| &batch.labels).any(|label| *label == IGNORE));
            assert!(one.iter().all(|batch| batch.images.iter().all(|value| value.is_finite())));
        }
    }

    #[test]
    fn turns_take_the_classes_along() {
        let augment = Augment {
            flip_h: true,
            flip_v: true,
            quarter_turns: true,
            rotate_deg: 20.0,
            ..Augment::default()
        };
        let (source, ..) = source(2, [1.0, 1.0], augment);
        let mut outside = 0;
        for index in 0..40 {
            let (raster, mask) = source.window(index, 0).unwrap();
            for ((pixel, valid), id) in raster.levels.chunks_exact(2).zip(&raster.valid).zip(&mask.ids) {
                outside += usize::from(!valid);
                let expected = class(0, pixel[0] as usize, pixel[1] as usize);
                assert_eq!(*id, if *valid { expected } else { UNLABELLED });
            }
        }
        assert!(outside > 0);
    }
}
