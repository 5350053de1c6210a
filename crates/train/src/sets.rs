//! The data sets of a run: opened, limited, decoded once, counted, and a part of the training set held out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hectare_data::verify::{Known, verify_classification, verify_segmentation};
use hectare_data::{
    Augment, BatchSource, ClassSample, ClassificationSet, ClassificationSource, CropRule, Exclusion, Jitter,
    SegSample, SegmentationSet, SegmentationSource,
};
use hectare_net::{ClassMap, ModelCard};
use sha2::{Digest, Sha256};

use crate::config::{ClassWeights, InputSize, TrainConfig};
use crate::error::TrainError;
use crate::events::{Event, Observer};
use crate::files;
use crate::holdout::{is_held_out, name_within};
use crate::scene_sets::SceneSets;

/// Training and validation set of a task.
pub(crate) enum Sets {
    /// One class per picture.
    Classify {
        /// Training set.
        train: ClassificationSet,
        /// The part of it that is held out; empty where nothing is.
        holdout: Vec<ClassSample>,
        /// Validation set.
        val: ClassificationSet,
    },
    /// One class per pixel.
    Segment {
        /// Training set.
        train: SegmentationSet,
        /// The part of it that is held out; empty where nothing is.
        holdout: Vec<SegSample>,
        /// Validation set.
        val: SegmentationSet,
    },
    /// One class per pixel of scenes.
    Scenes(Box<SceneSets>),
}

/// Samples in each set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lens {
    pub train: usize,
    pub holdout: usize,
    pub val: usize,
}

/// What is known after every picture was decoded once.
pub(crate) struct Facts {
    /// Width and height of the training pictures.
    pub train_sizes: Vec<[usize; 2]>,
    /// Width and height of the validation pictures.
    pub val_sizes: Vec<[usize; 2]>,
    /// Segmentation: pixels of each class in each training mask.
    pub train_pixels: Vec<Vec<u64>>,
    /// Segmentation: pixels of each class in each validation mask.
    pub val_pixels: Vec<Vec<u64>>,
    /// Pictures or pixels of each class in what is trained on.
    pub class_counts: Vec<u64>,
}

impl Sets {
    /// Opens the sets of a classification run without what is excluded; class names come from `names` or else the
    /// training set.
    pub fn open_classification(
        config: &TrainConfig,
        names: Option<&[String]>,
        excluded: &Exclusion,
    ) -> Result<Sets, TrainError> {
        let open =
            |path, names| ClassificationSet::open_without(path, names, excluded).map_err(TrainError::data);
        let mut train = open(&config.train, names)?;
        let mut val = open(&config.val, Some(&train.class_names))?;
        train.samples.truncate(config.limit.unwrap_or(usize::MAX));
        val.samples.truncate(config.validation_limit().unwrap_or(usize::MAX));
        for set in [&train, &val] {
            set.require_labels().map_err(TrainError::data)?;
        }
        Ok(Sets::Classify { train, holdout: Vec::new(), val })
    }

    /// Opens the sets of a segmentation run without what is excluded.
    pub fn open_segmentation(config: &TrainConfig, excluded: &Exclusion) -> Result<Sets, TrainError> {
        let open = |path| SegmentationSet::open_without(path, excluded).map_err(TrainError::data);
        let (mut train, mut val) = (open(&config.train)?, open(&config.val)?);
        train.samples.truncate(config.limit.unwrap_or(usize::MAX));
        val.samples.truncate(config.validation_limit().unwrap_or(usize::MAX));
        Ok(Sets::Segment { train, holdout: Vec::new(), val })
    }

    /// Samples in each set.
    pub fn lens(&self) -> Lens {
        let [train, holdout, val] = match self {
            Sets::Classify { train, holdout, val } => [train.samples.len(), holdout.len(), val.samples.len()],
            Sets::Segment { train, holdout, val } => [train.samples.len(), holdout.len(), val.samples.len()],
            Sets::Scenes(scenes) => [scenes.count, scenes.holdout.len(), scenes.val.len()],
        };
        Lens { train, holdout, val }
    }

    /// Takes a share of the training set out of it, by the hash of each picture's name.
    ///
    /// # Errors
    /// A share that takes no picture, or all of them.
    pub fn hold_out(&mut self, share: f64, facts: &mut Facts) -> Result<(), TrainError> {
        if share == 0.0 {
            return Ok(());
        }
        match self {
            // Blocks are held out when the ground is divided.
            Sets::Scenes(_) => return Ok(()),
            Sets::Classify { train, holdout, .. } => {
                let root = train.root.clone();
                let held = |sample: &ClassSample| is_held_out(&name_within(&root, &sample.path), share);
                (*holdout, train.samples) = std::mem::take(&mut train.samples).into_iter().partition(held);
                facts.class_counts = train.counts();
            }
            Sets::Segment { train, holdout, .. } => {
                let pixels = std::mem::take(&mut facts.train_pixels);
                facts.class_counts.fill(0);
                for (sample, pixels) in std::mem::take(&mut train.samples).into_iter().zip(pixels) {
                    if is_held_out(&sample.stem, share) {
                        holdout.push(sample);
                    } else {
                        train.samples.push(sample);
                        facts.class_counts.iter_mut().zip(&pixels).for_each(|(sum, n)| *sum += n);
                        facts.train_pixels.push(pixels);
                    }
                }
            }
        }
        match self.lens() {
            Lens { train: 0, .. } => {
                Err(TrainError::Input(format!("--holdout {share} leaves no picture to train on")))
            }
            Lens { holdout: 0, train, .. } => Err(TrainError::Input(format!(
                "--holdout {share} holds out none of the {train} training pictures; give a larger share"
            ))),
            _ => Ok(()),
        }
    }

    /// Files of the training pictures.
    pub fn train_images(&self) -> Vec<&PathBuf> {
        match self {
            Sets::Classify { train, .. } => train.samples.iter().map(|sample| &sample.path).collect(),
            Sets::Segment { train, .. } => train.samples.iter().map(|sample| &sample.image).collect(),
            Sets::Scenes(_) => Vec::new(),
        }
    }

    /// Pictures and masks without a partner.
    pub fn orphans(&self) -> Vec<&PathBuf> {
        match self {
            Sets::Classify { .. } | Sets::Scenes(_) => Vec::new(),
            Sets::Segment { train, val, .. } => train.orphans.iter().chain(&val.orphans).collect(),
        }
    }

    /// Decodes everything once; what was found good before is remembered by size and time of change,
    /// unless the settings ask to look again.
    pub fn verify(
        &self,
        config: &TrainConfig,
        classes: &ClassMap,
        observer: &dyn Observer,
    ) -> Result<Facts, TrainError> {
        let progress = |set| move |done, total| observer.event(&Event::Checking { set, done, total });
        match self {
            Sets::Scenes(scenes) => Ok(scenes.facts()),
            Sets::Classify { train, val, .. } => {
                let check = |set: &ClassificationSet, name| {
                    let memory = Memory::open(config, &set.root, classes);
                    let mut known = memory.known.clone();
                    let facts = verify_classification(set, &mut known, &progress(name));
                    facts.map_err(TrainError::data).inspect(|_| memory.keep(&known))
                };
                Ok(Facts {
                    train_sizes: check(train, "training")?.sizes,
                    val_sizes: check(val, "validation")?.sizes,
                    train_pixels: Vec::new(),
                    val_pixels: Vec::new(),
                    class_counts: train.counts(),
                })
            }
            Sets::Segment { train, val, .. } => {
                let check = |set: &SegmentationSet, name| {
                    let memory = Memory::open(config, &set.root, classes);
                    let mut known = memory.known.clone();
                    let facts = verify_segmentation(set, classes, &mut known, &progress(name));
                    facts.map_err(TrainError::data).inspect(|_| memory.keep(&known))
                };
                let (train, val) = (check(train, "training")?, check(val, "validation")?);
                Ok(Facts {
                    train_sizes: train.sizes,
                    val_sizes: val.sizes,
                    train_pixels: train.sample_pixels,
                    val_pixels: val.sample_pixels,
                    class_counts: train.class_pixels,
                })
            }
        }
    }

    /// The training set as samples: augmented as the settings say, at `input` (rows, columns), with up to
    /// `cache_bytes` of decoded pictures kept.
    pub fn source(
        &self,
        config: &TrainConfig,
        card: &ModelCard,
        input: [usize; 2],
        cache_bytes: u64,
    ) -> Result<Arc<dyn BatchSource>, TrainError> {
        let augment = augment(config, input);
        let cache_bytes = if config.cache { cache_bytes } else { 0 };
        Ok(match self {
            Sets::Scenes(scenes) => scenes.source(config, card, augment),
            Sets::Classify { train, .. } => {
                let [h, w] = input;
                let source = ClassificationSource::new(
                    train.clone(),
                    [w, h],
                    augment,
                    config.seed,
                    &card.normalisation,
                );
                Arc::new(source.map_err(TrainError::data)?.with_cache(cache_bytes))
            }
            Sets::Segment { train, .. } => {
                let resize = config.resize.map(|size| [size.w, size.h]);
                let classes = card.classes.clone();
                let source = SegmentationSource::new(
                    train.clone(),
                    classes,
                    resize,
                    augment,
                    config.seed,
                    &card.normalisation,
                );
                Arc::new(source.with_cache(cache_bytes))
            }
        })
    }
}

/// The augmentation of the settings, for input of rows and columns `input`.
fn augment(config: &TrainConfig, input: [usize; 2]) -> Augment {
    let pair = |range: [f64; 2]| range.map(|bound| bound as f32);
    let size = input[0];
    let crop = match config.input {
        _ if config.model.is_classifier() && config.crop_area == [1.0, 1.0] => CropRule::None,
        _ if config.model.is_classifier() => {
            CropRule::RandomResized { area: pair(config.crop_area), aspect: pair(config.crop_aspect), size }
        }
        InputSize::Whole => CropRule::None,
        InputSize::Fixed(_) => CropRule::RandomCrop { size, scale: pair(config.scale) },
    };
    Augment {
        flip_h: config.flip_h,
        flip_v: config.flip_v,
        quarter_turns: config.quarter_turns,
        rotate_deg: config.rotate as f32,
        crop,
        jitter: Jitter {
            brightness: config.brightness as f32,
            contrast: config.contrast as f32,
            saturation: config.saturation as f32,
        },
    }
}

/// The weight of each class in the loss, or `None` for all one.
pub(crate) fn class_weights(
    config: &TrainConfig,
    classes: &ClassMap,
    counts: &[u64],
) -> Result<Option<Vec<f32>>, TrainError> {
    match &config.class_weights {
        ClassWeights::None => Ok(None),
        ClassWeights::List(list) if list.len() == classes.len() => {
            Ok(Some(list.iter().map(|weight| *weight as f32).collect()))
        }
        ClassWeights::List(list) => Err(TrainError::Input(format!(
            "--class-weights has {} numbers and there are {} classes; give one per class, `median`, `inverse` or `none`",
            list.len(),
            classes.len()
        ))),
        rule => {
            let trained = |id: usize| !classes.classes[id].ignored && counts[id] > 0;
            let mut present: Vec<u64> =
                (0..counts.len()).filter(|id| trained(*id)).map(|id| counts[id]).collect();
            present.sort_unstable();
            let Some(last) = present.len().checked_sub(1) else { return Ok(None) };
            let usual = match rule {
                ClassWeights::Inverse => present.iter().sum::<u64>() as f64 / present.len() as f64,
                _ => (present[last / 2] as f64 + present[last.div_ceil(2)] as f64) / 2.0,
            };
            let weight =
                |id: usize| if trained(id) { (usual / counts[id] as f64).min(10.0) as f32 } else { 1.0 };
            Ok(Some((0..counts.len()).map(weight).collect()))
        }
    }
}

/// Where it is remembered which pictures of a set were found good.
struct Memory {
    path: Option<PathBuf>,
    known: Known,
}

impl Memory {
    fn open(config: &TrainConfig, set: &Path, classes: &ClassMap) -> Memory {
        let path = cache_folder().filter(|_| !config.verify).map(|folder| {
            let place = std::path::absolute(set).unwrap_or_else(|_| set.to_path_buf());
            let mut hash = Sha256::new();
            hash.update(place.as_os_str().as_encoded_bytes());
            hash.update(serde_json::to_vec(classes).expect("a class map is plain JSON"));
            let name: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            folder.join(format!("checked-{name}.json"))
        });
        let known = path.as_deref().map(Known::load).unwrap_or_default();
        Memory { path, known }
    }

    /// Keeps it for the next run; where that fails, the next run looks again.
    fn keep(&self, known: &Known) {
        if let Some(path) = &self.path
            && *known != self.known
            && let Some(folder) = path.parent()
            && files::create_folder(folder).is_ok()
        {
            let _ = known.save(path);
        }
    }
}

/// `HECTARE_CACHE` (empty: nowhere), else the user's cache folder.
fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if std::env::var_os("HECTARE_CACHE").is_some() {
        return set("HECTARE_CACHE");
    }
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("hectare"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Preset, Task};
    use hectare_net::ModelKind;

    #[test]
    fn weights_follow_from_counts() {
        let mut config = TrainConfig::preset(Task::Segment, Preset::Modern, ModelKind::Fcn8s, true);
        config.class_weights = ClassWeights::Median;
        let mut map = ClassMap::numbered(5);
        let weights = class_weights(&config, &map, &[10, 20, 40, 0, 1]).unwrap().unwrap();
        assert_eq!(weights, [1.5, 0.75, 0.375, 1.0, 10.0]);
        map.classes[4].ignored = true;
        let weights = class_weights(&config, &map, &[10, 20, 40, 0, 1]).unwrap().unwrap();
        assert_eq!(weights, [2.0, 1.0, 0.5, 1.0, 1.0]);
        assert_eq!(class_weights(&config, &map, &[0; 5]).unwrap(), None);
        config.class_weights = ClassWeights::Inverse;
        let weights = class_weights(&config, &map, &[10, 40, 40, 0, 1]).unwrap().unwrap();
        assert_eq!(weights, [3.0, 0.75, 0.75, 1.0, 1.0]);
        let weights = class_weights(&config, &map, &[1, 1000, 0, 0, 1]).unwrap().unwrap();
        assert_eq!(weights, [10.0, 0.5005, 1.0, 1.0, 1.0]);
        config.class_weights = ClassWeights::List(vec![1.0; 7]);
        assert!(class_weights(&config, &map, &[1; 5]).unwrap_err().to_string().contains("7 numbers"));
    }
}
