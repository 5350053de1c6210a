//! Batches: normalised pictures and their labels, ready for a network.

use hectare_kernels::AlignedVec;
use hectare_kernels::loss::IGNORE;
use hectare_kernels::rng::{Key, shuffle};
use hectare_net::{ClassMap, Normalisation};

use crate::{DataError, Image, Mask, Raster, Sample, Target};

/// Sets the order of samples apart from all other random numbers of one seed.
const STREAM: u64 = 0x6f72_6465 << 32;

/// Samples of one size, ready for a network.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Pictures: N x H x W x C, normalised; C is 3 but for ground of other bands.
    pub images: AlignedVec,
    /// N, the number of samples.
    pub n: usize,
    /// H, rows of each picture.
    pub h: usize,
    /// W, columns of each picture.
    pub w: usize,
    /// Classes: N of them (classification) or N x H x W (segmentation);
    /// [`IGNORE`](hectare_kernels::loss::IGNORE) where a pixel has none or its class is ignored.
    pub labels: Vec<u16>,
    /// Which samples of the source these are.
    pub indices: Vec<usize>,
}

/// How samples become numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchFormat {
    /// (v / 255 - mean) / std for each level of red, green and blue; nothing for other than three bands.
    levels: Vec<[f32; 3]>,
    normalisation: Normalisation,
    /// Label of each class id.
    labels: Vec<u16>,
}

impl BatchFormat {
    /// Bands normalised one by one; classes that the map ignores get no label.
    ///
    /// # Panics
    /// When means and deviations are not of one number of bands.
    pub fn new(normalisation: &Normalisation, classes: Option<&ClassMap>) -> BatchFormat {
        let Normalisation { mean, std } = normalisation;
        assert_eq!(mean.len(), std.len(), "a normalisation of one number of bands");
        let level = |v: usize| std::array::from_fn(|c| (v as f32 / 255.0 - mean[c]) / std[c]);
        let levels = if mean.len() == 3 { (0..256).map(level).collect() } else { Vec::new() };
        let mut labels: Vec<u16> = (0..256).collect();
        labels[usize::from(crate::UNLABELLED)] = IGNORE;
        for class in classes.iter().flat_map(|map| &map.classes).filter(|c| c.ignored) {
            labels[usize::from(class.id)] = IGNORE;
        }
        BatchFormat { levels, normalisation: normalisation.clone(), labels }
    }

    /// Writes a picture as H x W x 3 normalised numbers.
    ///
    /// # Panics
    /// When `out` is not of that length, or the normalisation not of three bands.
    pub fn normalise(&self, image: &Image, out: &mut [f32]) {
        assert!(!self.levels.is_empty(), "a normalisation of R, G and B");
        assert_eq!(out.len(), image.pixels.len(), "a picture of {:?}", image.size());
        let pixels = image.pixels.as_chunks::<3>().0;
        for (to, from) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            *to = std::array::from_fn(|c| self.levels[usize::from(from[c])][c]);
        }
    }

    /// Writes ground as H x W x C normalised numbers; pixels without data are 0, the mean.
    ///
    /// # Panics
    /// When `out` is not of that length, or the normalisation not of the ground's bands.
    pub fn normalise_raster(&self, raster: &Raster, out: &mut [f32]) {
        let Normalisation { mean, std } = &self.normalisation;
        assert_eq!((mean.len(), out.len()), (raster.bands, raster.levels.len()), "ground of its bands");
        let pixels = raster.levels.chunks_exact(raster.bands.max(1)).zip(&raster.valid);
        for (to, (from, valid)) in out.chunks_exact_mut(raster.bands.max(1)).zip(pixels) {
            for (band, (to, level)) in to.iter_mut().zip(from).enumerate() {
                *to = if *valid { (level / 255.0 - mean[band]) / std[band] } else { 0.0 };
            }
        }
    }

    /// Appends the labels of a mask's pixels.
    pub fn labels(&self, mask: &Mask, out: &mut Vec<u16>) {
        out.extend(mask.ids.iter().map(|&id| self.labels[usize::from(id)]));
    }

    /// Puts samples together; `indices` are their numbers in the source.
    ///
    /// # Errors
    /// [`DataError::UnequalSizes`] when the pictures are not of one size; `name` tells what to call a sample.
    pub fn assemble(
        &self,
        samples: &[Sample],
        indices: &[usize],
        name: impl Fn(usize) -> String,
    ) -> Result<Batch, DataError> {
        let [w, h] = samples.first().map_or([0, 0], |s| s.image.size());
        let mut images = AlignedVec::zeroed(samples.len() * h * w * 3);
        let mut labels = Vec::new();
        for (i, sample) in samples.iter().enumerate() {
            if sample.image.size() != [w, h] {
                return Err(DataError::UnequalSizes {
                    first: name(indices[0]),
                    first_size: [w, h],
                    other: name(indices[i]),
                    other_size: sample.image.size(),
                });
            }
            self.normalise(&sample.image, &mut images[i * h * w * 3..][..h * w * 3]);
            match &sample.target {
                Target::Class(class) => labels.push(*class),
                Target::Mask(mask) => self.labels(mask, &mut labels),
            }
        }
        Ok(Batch { images, n: samples.len(), h, w, labels, indices: indices.to_vec() })
    }
}

/// Writes a picture as H x W x 3 normalised numbers, for one picture at a time; see [`BatchFormat`] for more.
///
/// # Panics
/// When `out` is not of that length or the normalisation not of three channels.
pub fn normalise_into(image: &Image, normalisation: &Normalisation, out: &mut [f32]) {
    BatchFormat::new(normalisation, None).normalise(image, out);
}

/// The batches of one epoch: all of `0..n` once, shuffled by (seed, epoch) or in order; the last may be short.
pub fn epoch_batches(n: usize, batch_size: usize, order: Option<(u64, u64)>) -> Vec<Vec<usize>> {
    let order: Vec<usize> = match order {
        Some((seed, epoch)) => shuffle(&Key { seed, stream: STREAM, step: epoch }, n),
        None => (0..n).collect(),
    };
    order.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}
