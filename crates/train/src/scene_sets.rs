//! Scenes as training and validation set: blocks of ground held out, windows drawn from the rest.

use std::path::Path;
use std::sync::Arc;

use hectare_data::{
    Augment, BatchFormat, BatchSource, CropRule, DataError, Ground, Mask, Survey, WindowRule, WindowSource,
    same_resolution,
};
use hectare_net::{ClassMap, ModelCard, Normalisation, SceneBands};

use crate::config::{InputSize, TrainConfig};
use crate::error::TrainError;
use crate::evaluate::{Evaluation, EvaluationSettings, evaluate_masks};
use crate::events::{Event, Observer};
use crate::predict::{Forward, Recipe};
use crate::sets::Facts;

/// Longest side of a window that is predicted as a whole when validating, as wide as those that maps are made of.
const LONGEST: usize = 1024;

/// Which ground is wanted.
#[derive(Clone, Copy, Debug)]
pub struct GroundRequest<'a> {
    /// A scene, a folder of scenes or a list.
    pub scenes: &'a Path,
    /// A raster of classes, or polygons.
    pub labels: &'a Path,
    /// The field of polygons that holds their class.
    pub class_field: &'a str,
    /// The classes.
    pub classes: &'a ClassMap,
    /// Bands in the network's order, counted from 1.
    pub bands: Option<&'a [usize]>,
    /// Which samples become levels 0 and 255, as the settings say it.
    pub levels: Option<&'a str>,
    /// What is known of bands and levels already, for what the settings leave open.
    pub known: Option<&'a SceneBands>,
}

/// What opens scenes; training does not know how they are read.
pub trait OpenGround: Sync {
    /// Opens scenes with their labels.
    ///
    /// # Errors
    /// Scenes or labels that cannot be used, in words for people.
    fn open(&self, request: &GroundRequest<'_>) -> Result<Arc<dyn Ground>, DataError>;
}

impl<F: Fn(&GroundRequest<'_>) -> Result<Arc<dyn Ground>, DataError> + Sync> OpenGround for F {
    fn open(&self, request: &GroundRequest<'_>) -> Result<Arc<dyn Ground>, DataError> {
        self(request)
    }
}

/// Ground that is predicted as a whole.
#[derive(Clone)]
pub(crate) struct Plot {
    ground: Arc<dyn Ground>,
    scene: usize,
    /// Left, top, width, height.
    window: [usize; 4],
    /// Scene, left and top.
    pub name: String,
    /// Pixels of each class.
    pub pixels: Vec<u64>,
}

/// The ground of a run.
pub(crate) struct SceneSets {
    ground: Arc<dyn Ground>,
    survey: Survey,
    /// For each block whether it is held out of training.
    held_out: Vec<bool>,
    /// Side of a training window.
    pub side: usize,
    /// Windows in an epoch.
    pub count: usize,
    /// Held-out ground beside a validation set.
    pub holdout: Vec<Plot>,
    /// Ground that is validated on.
    pub val: Vec<Plot>,
}

/// Windows of at most [`LONGEST`] pixels that cover a length.
fn pieces(length: usize) -> Vec<[usize; 2]> {
    let count = length.div_ceil(LONGEST).max(1);
    (0..count).map(|i| [i * length / count, (i + 1) * length / count - i * length / count]).collect()
}

fn plots(
    ground: &Arc<dyn Ground>,
    survey: &Survey,
    chosen: &dyn Fn(usize) -> bool,
    classes: &ClassMap,
) -> Result<Vec<Plot>, TrainError> {
    let mut plots = Vec::new();
    for block in survey.labelled_blocks().filter(|block| chosen(*block)) {
        let block = &survey.blocks[block];
        let [left, top, width, height] = block.window;
        let (rows, columns) = (pieces(height), pieces(width));
        for &[y, h] in &rows {
            for &[x, w] in &columns {
                let window = [left + x, top + y, w, h];
                // The survey has counted whole blocks already.
                let pixels = if rows.len() * columns.len() == 1 {
                    block.pixels.clone()
                } else {
                    let (_, mask) = ground.read(block.scene, window).map_err(TrainError::data)?;
                    mask.counts(classes.len())
                };
                let scene = &ground.scenes()[block.scene].name;
                let name = format!("{scene}_{}_{}", window[0], window[1]);
                if pixels.iter().any(|n| *n > 0) {
                    plots.push(Plot { ground: ground.clone(), scene: block.scene, window, name, pixels });
                }
            }
        }
    }
    Ok(plots)
}

impl SceneSets {
    /// Opens the scenes of the settings, reads all of them once, and divides the ground. `lines` gets what is to be said.
    pub fn open(
        config: &TrainConfig,
        classes: &ClassMap,
        known: Option<&SceneBands>,
        open: Option<&dyn OpenGround>,
        observer: &dyn Observer,
        lines: &mut Vec<String>,
    ) -> Result<SceneSets, TrainError> {
        let open = open.ok_or_else(|| TrainError::Input("there is nothing here that reads scenes".into()))?;
        let labels = config.labels.as_deref().unwrap_or(Path::new(""));
        let request = GroundRequest {
            scenes: &config.train,
            labels,
            class_field: &config.class_field,
            classes,
            bands: config.bands.as_deref(),
            levels: config.levels.as_deref(),
            known,
        };
        let ground = open.open(&request).map_err(TrainError::data)?;
        let wanted = match config.input {
            InputSize::Fixed(size) => size.h,
            InputSize::Whole => LONGEST,
        };
        let least =
            ground.scenes().iter().flat_map(|scene| [scene.width, scene.height]).min().unwrap_or(wanted);
        let side = wanted.min(least);
        let survey = |ground: &dyn Ground, set| {
            let progress = |done, total| observer.event(&Event::Checking { set, done, total });
            Survey::new(ground, side, classes, &progress).map_err(TrainError::data)
        };
        let found = survey(ground.as_ref(), "training")?;
        let held_out = match config.holdout {
            0.0 => vec![false; found.blocks.len()],
            share => found.hold_out(share, config.seed).ok_or_else(|| {
                TrainError::Input(format!(
                    "all labelled ground lies in one block of {side} pixels, so that none can be held out; give smaller \
                     windows (--input) or other scenes to validate on (--val)"
                ))
            })?,
        };
        let held = plots(&ground, &found, &|block| held_out[block], classes)?;
        let (mut val, holdout) = match config.validates_on_blocks() {
            true => (held, Vec::new()),
            false => {
                let request = GroundRequest {
                    scenes: &config.val,
                    labels: config.val_labels.as_deref().unwrap_or(labels),
                    bands: None,
                    levels: None,
                    known: Some(ground.bands()),
                    ..request
                };
                let other = open.open(&request).map_err(TrainError::data)?;
                check_resolution(ground.as_ref(), other.as_ref())?;
                lines.extend(other.notes().iter().cloned());
                let all = survey(other.as_ref(), "validation")?;
                (plots(&other, &all, &|_| true, classes)?, held)
            }
        };
        val.truncate(config.validation_limit().unwrap_or(usize::MAX));
        lines.extend(ground.notes().iter().cloned());
        let open_cells = found.cells.iter().filter(|cell| !held_out[cell.block]).count();
        let usual = open_cells.max(config.batch_size);
        let count = config.windows.unwrap_or(usual).min(config.limit.unwrap_or(usize::MAX));
        let sets = SceneSets { ground, survey: found, held_out, side, count, holdout, val };
        lines.push(sets.describe());
        Ok(sets)
    }

    fn describe(&self) -> String {
        let of = |held: bool| -> (usize, u64) {
            let blocks = self.survey.labelled_blocks().filter(|block| self.held_out[*block] == held);
            blocks.fold((0, 0), |(n, sum), block| (n + 1, sum + self.survey.blocks[block].labelled))
        };
        let ((blocks, pixels), (held_blocks, held_pixels)) = (of(false), of(true));
        let held = match held_blocks {
            0 => String::new(),
            _ => format!(", and {held_pixels} in {held_blocks} that are held out"),
        };
        format!(
            "{pixels} labelled pixels in {blocks} blocks of {} to train on{held}; {} windows an epoch",
            self.survey.block_cells * self.side,
            self.count
        )
    }

    /// What is known of the ground.
    pub fn facts(&self) -> Facts {
        let mut class_counts = vec![0; self.survey.blocks.first().map_or(0, |block| block.pixels.len())];
        for (block, _) in self.survey.blocks.iter().zip(&self.held_out).filter(|(_, held)| !**held) {
            class_counts.iter_mut().zip(&block.pixels).for_each(|(sum, n)| *sum += n);
        }
        Facts {
            train_sizes: vec![[self.side; 2]],
            val_sizes: self
                .val
                .iter()
                .chain(&self.holdout)
                .map(|plot| [plot.window[2], plot.window[3]])
                .collect(),
            train_pixels: Vec::new(),
            val_pixels: self.val.iter().map(|plot| plot.pixels.clone()).collect(),
            class_counts,
        }
    }

    /// Says in a model's description what it is trained on. Red, green and blue keep the normalisation of `start`, else
    /// ImageNet's; other bands, and bands that are no colours, have that of the ground.
    pub fn describe_in(&self, card: &mut ModelCard, start: Option<&ModelCard>) {
        let own = self.ground.statistics();
        let bands = own.mean.len();
        let same_ground = |start: &&ModelCard| {
            start.spec.bands == bands && start.scene.as_ref() == Some(self.ground.bands())
        };
        card.normalisation = match start.filter(same_ground) {
            Some(start) => start.normalisation.clone(),
            None => {
                let usual = start.filter(|start| start.spec.bands == 3);
                let colours = usual.map_or_else(Normalisation::default, |start| start.normalisation.clone());
                let kept = if bands < 3 { 0 } else { 3 };
                let join = |colours: &[f32], own: &[f32]| [&colours[..kept], &own[kept..]].concat();
                Normalisation { mean: join(&colours.mean, &own.mean), std: join(&colours.std, &own.std) }
            }
        };
        card.ground_resolution = self.ground.resolution_m();
        card.scene = Some(self.ground.bands().clone());
    }

    /// Number of bands.
    pub fn bands(&self) -> usize {
        self.ground.bands().bands.len()
    }

    fn windows(&self, card: &ModelCard, rule: WindowRule) -> WindowSource {
        let format = BatchFormat::new(&card.normalisation, Some(&card.classes));
        WindowSource::new(self.ground.clone(), &self.survey, &self.held_out, rule, format)
    }

    /// Windows to train on, changed as `augment` says but for the crop, which gives their scale.
    pub fn source(&self, config: &TrainConfig, card: &ModelCard, augment: Augment) -> Arc<dyn BatchSource> {
        let scale = config.scale.map(|factor| factor as f32);
        let augment = Augment { crop: CropRule::None, ..augment };
        let rule = WindowRule { side: self.side, scale, count: self.count, augment, seed: config.seed };
        Arc::new(self.windows(card, rule))
    }

    /// `count` windows as they are, normalised, one after the other.
    pub fn first_windows(&self, card: &ModelCard, count: usize, seed: u64) -> Result<Vec<f32>, TrainError> {
        let augment = Augment::default();
        let rule = WindowRule { side: self.side, scale: [1.0; 2], count, augment, seed };
        let indices: Vec<usize> = (0..count).collect();
        let batch = self.windows(card, rule).batch(&indices, 0).map_err(TrainError::data)?;
        Ok(batch.images.to_vec())
    }
}

fn check_resolution(train: &dyn Ground, val: &dyn Ground) -> Result<(), TrainError> {
    match (train.resolution_m(), val.resolution_m()) {
        (Some(train_m), Some(val_m)) if !same_resolution(val_m, train_m) => Err(TrainError::Input(format!(
            "a pixel of the training scenes is {train_m:.3} m wide and one of the validation scenes {val_m:.3} m; bring \
             one to the other's first (gdalwarp -tr)"
        ))),
        _ => Ok(()),
    }
}

/// Predicts plots and counts their pixels; `seen` gets each predicted mask.
pub(crate) fn evaluate_plots(
    recipe: &Recipe,
    network: &mut dyn Forward,
    plots: &[Plot],
    settings: &EvaluationSettings<'_>,
    seen: &mut dyn FnMut(&Plot, &Mask) -> Result<(), TrainError>,
) -> Result<Evaluation, TrainError> {
    let load = |plot: &Plot| {
        let (raster, mask) = plot.ground.read(plot.scene, plot.window).map_err(TrainError::data)?;
        Ok((recipe.prepare_raster(&raster), mask))
    };
    evaluate_masks(recipe, network, plots, &load, settings, seen)
}
