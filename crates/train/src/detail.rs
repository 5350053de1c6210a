//! Where a segmentation is right: near class borders and far from them, in small regions and in large ones.
//!
//! A network that sees finer maps should gain close to borders and in small regions. Counting there tests it.

use hectare_data::Mask;
use hectare_net::ClassMap;
use serde::{Deserialize, Serialize};

use crate::border::{region_sizes, squared_distance_to_border};
use crate::metrics::{ConfusionMatrix, Protocol, scored};

/// Widths of the bands along class borders, in pixels.
pub const BANDS: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Regions of the truth by size: those with fewer pixels than this, and not fewer than the one before; the last takes
/// all others.
pub const REGIONS: [u32; 5] = [256, 1024, 4096, 16384, u32::MAX];

/// Counts over a set, by distance from the truth's borders and by size of the truth's regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// For each of [`BANDS`], all pixels whose Euclidean distance to the nearest pixel of another class is at most its
    /// width (the trimap of Kohli, Ladicky and Torr, 2009); rows are truth, columns predictions.
    pub bands: Vec<Vec<Vec<u64>>>,
    /// All pixels that are farther from a border than the widest band.
    pub interior: Vec<Vec<u64>>,
    /// For each of [`REGIONS`], all pixels whose region has such a size.
    pub regions: Vec<Vec<Vec<u64>>>,
    /// Tiles counted.
    pub tiles: usize,
}

impl Detail {
    /// Nothing counted, for a number of classes.
    pub fn new(classes: usize) -> Detail {
        let zero = vec![vec![0; classes]; classes];
        Detail {
            bands: vec![zero.clone(); BANDS.len()],
            regions: vec![zero.clone(); REGIONS.len()],
            interior: zero,
            tiles: 0,
        }
    }

    /// Counts a tile. Pixels whose truth or prediction is no class are left out; both masks have one size.
    pub fn add(&mut self, truth: &Mask, predicted: &Mask) {
        let classes = self.interior.len();
        let distances = squared_distance_to_border(truth);
        let sizes = region_sizes(truth);
        for (at, (&t, &p)) in truth.ids.iter().zip(&predicted.ids).enumerate() {
            let (t, p) = (usize::from(t), usize::from(p));
            if t >= classes || p >= classes {
                continue;
            }
            let first = BANDS.iter().position(|width| distances[at] <= width * width);
            match first {
                Some(first) => self.bands[first..].iter_mut().for_each(|band| band[t][p] += 1),
                None => self.interior[t][p] += 1,
            }
            if let Some(bin) = REGIONS.iter().position(|limit| sizes[at] < *limit) {
                self.regions[bin][t][p] += 1;
            }
        }
        self.tiles += 1;
    }

    /// Mean intersection over union of some of the counts; `None` where none of the classes is there.
    pub fn mean_iou(counts: &[Vec<u64>], classes: &ClassMap, protocol: Protocol) -> Option<f64> {
        Self::matrix(counts).iou(protocol, &scored(classes)).mean
    }

    /// Share of some of the counts that is right.
    pub fn accuracy(counts: &[Vec<u64>]) -> f64 {
        Self::matrix(counts).accuracy()
    }

    /// Some of the counts as a matrix.
    pub fn matrix(counts: &[Vec<u64>]) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(counts.len());
        for (truth, row) in counts.iter().enumerate() {
            row.iter().enumerate().for_each(|(predicted, count)| matrix.add_many(truth, predicted, *count));
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_grow_and_regions_part_the_pixels() {
        // Water left of x = 40, a square of 10 x 10 of forest in the right half.
        let truth = Mask::from_fn(100, 60, |x, y| match (x, y) {
            (0..40, _) => 4,
            (70..80, 20..30) => 3,
            _ => 1,
        });
        let mut predicted = truth.clone();
        // The small square is missed; the border is one pixel off.
        for y in 0..60 {
            predicted.ids[y * 100 + 40] = 4;
        }
        predicted.ids.iter_mut().filter(|id| **id == 3).for_each(|id| *id = 1);
        let mut detail = Detail::new(7);
        detail.add(&truth, &predicted);
        let pixels = |counts: &Vec<Vec<u64>>| counts.iter().flatten().sum::<u64>();
        // One pixel on each side of the line, and around the square 36 inside and 40 outside.
        assert_eq!(pixels(&detail.bands[0]), 60 * 2 + 36 + 40);
        assert!(detail.bands.windows(2).all(|pair| pixels(&pair[0]) < pixels(&pair[1])));
        assert_eq!(pixels(&detail.bands[5]) + pixels(&detail.interior), 6000);
        assert_eq!(detail.regions.iter().map(pixels).sum::<u64>(), 6000);
        assert_eq!((pixels(&detail.regions[0]), pixels(&detail.regions[2])), (100, 5900));
        let classes = ClassMap::course();
        let mean = |counts| Detail::mean_iou(counts, &classes, Protocol::Course);
        let near = mean(&detail.bands[0]).unwrap();
        assert!(near < mean(&detail.bands[5]).unwrap());
        assert_eq!(mean(&detail.regions[0]), Some(0.0));
        assert_eq!(Detail::accuracy(&detail.bands[0]), 1.0 - 96.0 / 196.0);
        assert_eq!(mean(&detail.regions[1]), None);
    }
}
