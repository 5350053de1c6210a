//! Where samples come from: a data set, what to do with its pictures, and pictures kept in memory.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hectare_net::{ClassMap, Normalisation};

use crate::resize::{resize, resize_mask};
use crate::{
    Augment, Batch, BatchFormat, ClassificationSet, CropRule, DataError, Image, Mask, SegmentationSet,
    read_image, read_mask,
};

/// A picture and what a network should say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The picture.
    pub image: Image,
    /// The truth.
    pub target: Target,
}

/// The truth of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One class for the picture.
    Class(u16),
    /// A class for each pixel.
    Mask(Mask),
}

/// Samples by number, the same for the same (index, epoch) whoever asks and when.
pub trait SampleSource: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample `index` as `epoch` sees it.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    fn load(&self, index: usize, epoch: u64) -> Result<Sample, DataError>;

    /// How samples become numbers.
    fn format(&self) -> &BatchFormat;

    /// What to call a sample in messages.
    fn name(&self, index: usize) -> String;
}

/// Batches of samples by number, the same for the same (indices, epoch) whoever asks and when.
pub trait BatchSource: Send + Sync {
    /// Number of samples.
    fn count(&self) -> usize;

    /// The samples `indices` as `epoch` sees them, put together.
    ///
    /// # Errors
    /// A file that cannot be read any more, samples of more than one size.
    fn batch(&self, indices: &[usize], epoch: u64) -> Result<Batch, DataError>;

    /// What to call a sample in messages.
    fn title(&self, index: usize) -> String;
}

impl<S: SampleSource> BatchSource for S {
    fn count(&self) -> usize {
        self.len()
    }

    fn batch(&self, indices: &[usize], epoch: u64) -> Result<Batch, DataError> {
        let samples: Result<Vec<_>, _> = indices.iter().map(|&index| self.load(index, epoch)).collect();
        self.format().assemble(&samples?, indices, |index| self.name(index))
    }

    fn title(&self, index: usize) -> String {
        self.name(index)
    }
}

/// Decoded samples, kept until they would take more than a given number of bytes.
struct Cache<T> {
    slots: Vec<OnceLock<Arc<T>>>,
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl<T> Cache<T> {
    fn new(len: usize, limit_bytes: u64) -> Cache<T> {
        let slots = if limit_bytes == 0 { 0 } else { len };
        Cache {
            slots: (0..slots).map(|_| OnceLock::new()).collect(),
            limit_bytes,
            used_bytes: AtomicU64::new(0),
        }
    }

    fn get(
        &self,
        index: usize,
        bytes: impl Fn(&T) -> usize,
        load: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<Arc<T>, DataError> {
        if let Some(value) = self.slots.get(index).and_then(OnceLock::get) {
            return Ok(value.clone());
        }
        let value = Arc::new(load()?);
        if let Some(slot) = self.slots.get(index) {
            let bytes = bytes(&value) as u64;
            if self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.limit_bytes {
                let _ = slot.set(value.clone());
            } else {
                self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
        Ok(value)
    }
}

/// A classification set as samples.
pub struct ClassificationSource {
    set: ClassificationSet,
    resize: [usize; 2],
    augment: Augment,
    seed: u64,
    format: BatchFormat,
    cache: Cache<Image>,
}

impl ClassificationSource {
    /// Samples of `set`, resized to `resize` (width, height) exactly, unless `augment` crops to a size itself.
    ///
    /// # Errors
    /// [`DataError::Unlabelled`] for a set with a picture of no class.
    ///
    /// # Panics
    /// When the normalisation is not of three channels.
    pub fn new(
        set: ClassificationSet,
        resize: [usize; 2],
        augment: Augment,
        seed: u64,
        normalisation: &Normalisation,
    ) -> Result<ClassificationSource, DataError> {
        set.require_labels()?;
        let format = BatchFormat::new(normalisation, None);
        let cache = Cache::new(set.samples.len(), 0);
        Ok(ClassificationSource { set, resize, augment, seed, format, cache })
    }

    /// Keeps decoded pictures in memory, up to `limit_bytes` of them.
    pub fn with_cache(mut self, limit_bytes: u64) -> ClassificationSource {
        self.cache = Cache::new(self.set.samples.len(), limit_bytes);
        self
    }

    /// The data set.
    pub fn set(&self) -> &ClassificationSet {
        &self.set
    }
}

impl SampleSource for ClassificationSource {
    fn len(&self) -> usize {
        self.set.samples.len()
    }

    fn load(&self, index: usize, epoch: u64) -> Result<Sample, DataError> {
        let sample = &self.set.samples[index];
        let label = sample.label.ok_or_else(|| DataError::Unlabelled { path: sample.path.clone() })?;
        let decoded = self.cache.get(index, |image| image.pixels.len(), || read_image(&sample.path))?;
        let [width, height] = self.resize;
        let image = if self.augment.is_none() {
            resize(&decoded, width, height)
        } else if self.augment.crop == CropRule::None && decoded.size() != self.resize {
            self.augment.image(&resize(&decoded, width, height), self.seed, epoch, index)
        } else {
            self.augment.image(&decoded, self.seed, epoch, index)
        };
        Ok(Sample { image, target: Target::Class(label) })
    }

    fn format(&self) -> &BatchFormat {
        &self.format
    }

    fn name(&self, index: usize) -> String {
        self.set.samples[index].path.display().to_string()
    }
}

/// A segmentation set as samples.
pub struct SegmentationSource {
    set: SegmentationSet,
    classes: ClassMap,
    resize: Option<[usize; 2]>,
    augment: Augment,
    seed: u64,
    format: BatchFormat,
    cache: Cache<(Image, Mask)>,
}

impl SegmentationSource {
    /// Samples of `set`: pictures and masks scaled to `resize` (width, height) where given, then augmented.
    ///
    /// # Panics
    /// When the normalisation is not of three channels.
    pub fn new(
        set: SegmentationSet,
        classes: ClassMap,
        resize: Option<[usize; 2]>,
        augment: Augment,
        seed: u64,
        normalisation: &Normalisation,
    ) -> SegmentationSource {
        let format = BatchFormat::new(normalisation, Some(&classes));
        let cache = Cache::new(set.samples.len(), 0);
        SegmentationSource { set, classes, resize, augment, seed, format, cache }
    }

    /// Keeps decoded (and scaled) pictures and masks in memory, up to `limit_bytes` of them.
    pub fn with_cache(mut self, limit_bytes: u64) -> SegmentationSource {
        self.cache = Cache::new(self.set.samples.len(), limit_bytes);
        self
    }

    /// The data set.
    pub fn set(&self) -> &SegmentationSet {
        &self.set
    }

    fn decode(&self, index: usize) -> Result<(Image, Mask), DataError> {
        let sample = &self.set.samples[index];
        let (image, mask) = read_pair(&sample.image, &sample.mask, &self.classes)?;
        Ok(match self.resize {
            Some([w, h]) if image.size() != [w, h] => (resize(&image, w, h), resize_mask(&mask, w, h)),
            _ => (image, mask),
        })
    }
}

/// Reads a picture and its mask and checks that they are of one size.
pub(crate) fn read_pair(image: &Path, mask: &Path, classes: &ClassMap) -> Result<(Image, Mask), DataError> {
    let picture = read_image(image)?;
    let ids = read_mask(mask, classes)?;
    if picture.size() != ids.size() {
        return Err(DataError::SizeMismatch {
            image: image.into(),
            image_size: picture.size(),
            mask: mask.into(),
            mask_size: ids.size(),
        });
    }
    Ok((picture, ids))
}

impl SampleSource for SegmentationSource {
    fn len(&self) -> usize {
        self.set.samples.len()
    }

    fn load(&self, index: usize, epoch: u64) -> Result<Sample, DataError> {
        let bytes = |pair: &(Image, Mask)| pair.0.pixels.len() + pair.1.ids.len();
        let pair = self.cache.get(index, bytes, || self.decode(index))?;
        let (image, mask) = if self.augment.is_none() {
            Arc::try_unwrap(pair).unwrap_or_else(|shared| (*shared).clone())
        } else {
            self.augment.image_and_mask(&pair.0, &pair.1, self.seed, epoch, index)
        };
        Ok(Sample { image, target: Target::Mask(mask) })
    }

    fn format(&self) -> &BatchFormat {
        &self.format
    }

    fn name(&self, index: usize) -> String {
        self.set.samples[index].image.display().to_string()
    }
}
