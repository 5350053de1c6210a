//! What the network does on pictures that it is not trained on.

use std::ops::Range;

use hectare_data::write_mask_rgb;
use hectare_net::weights::{self, LoadedModel};
use hectare_net::{Params, Predictor};

use super::session::Run;
use crate::error::TrainError;
use crate::evaluate::{Evaluation, EvaluationSettings, evaluate_classification, evaluate_segmentation};
use crate::events::Event;
use crate::files;
use crate::metrics::{Protocol, scored};
use crate::predict::Recipe;
use crate::record::{ClassFigure, Validation};
use crate::run_folder::RunFolder;
use crate::scene_sets::evaluate_plots;
use crate::sets::Sets;
use crate::transfer::Parent;

/// What some weights do on each set.
pub(super) struct OnSets {
    pub val: Evaluation,
    pub holdout: Option<Evaluation>,
}

/// What a validation found.
pub(super) struct Checked {
    /// With the weights in training.
    pub raw: OnSets,
    /// With their running average.
    pub averaged: Option<OnSets>,
}

/// Which pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Validation,
    Holdout,
}

impl Run<'_> {
    /// The network as it predicts with `params`. Weights are packed once for all pictures, which costs a copy of
    /// them.
    pub fn predictor(&self, params: &Params) -> Result<Predictor, TrainError> {
        Predictor::new(self.trainer.network().clone(), params.clone(), self.isa).map_err(TrainError::net)
    }

    /// Measures the weights, and their average, on the validation set and on what is held out.
    pub fn validate(&self, epoch: usize, keeps_masks: bool) -> Result<Checked, TrainError> {
        let raw = self.on_sets(&self.params, keeps_masks.then_some(epoch))?;
        let averaged = match &self.average {
            Some(average) => Some(self.on_sets(&average.params, None)?),
            None => None,
        };
        Ok(Checked { raw, averaged })
    }

    fn on_sets(&self, params: &Params, masks: Option<usize>) -> Result<OnSets, TrainError> {
        let mut network = self.predictor(params)?;
        let val = self.measure(&mut network, Set::Validation, 0..usize::MAX, masks)?;
        let holdout = match self.sets.lens().holdout {
            0 => None,
            _ => Some(self.measure(&mut network, Set::Holdout, 0..usize::MAX, None)?),
        };
        Ok(OnSets { val, holdout })
    }

    /// Says what the network of another stride that this one begins as reaches on the validation set, and what is left of it
    /// before the first step.
    pub fn compare_with_parent(&mut self) -> Result<(), TrainError> {
        let Some(Parent { model, file, metric }) = self.parent.take() else { return Ok(()) };
        let whole = 0..usize::MAX;
        let figure = |found: &Evaluation| self.figures(found).metric();
        let before = match metric {
            Some(metric) => metric,
            None => {
                let LoadedModel { mut card, network, params, .. } =
                    weights::read_model(&file).map_err(TrainError::net)?;
                card.classes = self.card.classes.clone();
                let recipe = Recipe::new(&card, self.isa)?;
                let mut network = Predictor::new(network, params, self.isa).map_err(TrainError::net)?;
                let found = self.measure_as(&recipe, &mut network, Set::Validation, whole.clone(), None)?;
                figure(&found).0
            }
        };
        let mut network = self.predictor(&self.params)?;
        let (after, name) = figure(&self.measure(&mut network, Set::Validation, whole, None)?);
        self.say(&format!(
            "{name} on the validation set: {before:.6} of {model} ({}), {after:.6} as {} before the first step",
            file.display(),
            self.config.model
        ))
    }

    /// Predicts the pictures of a set whose positions are in `range`; keeps the masks of the chosen tiles under the
    /// number `masks` of an epoch.
    pub fn measure(
        &self,
        network: &mut Predictor,
        set: Set,
        range: Range<usize>,
        masks: Option<usize>,
    ) -> Result<Evaluation, TrainError> {
        self.measure_as(&self.recipe, network, set, range, masks)
    }

    fn measure_as(
        &self,
        recipe: &Recipe,
        network: &mut Predictor,
        set: Set,
        range: Range<usize>,
        masks: Option<usize>,
    ) -> Result<Evaluation, TrainError> {
        let observer = self.observer;
        let settings = EvaluationSettings {
            weights: self.weights.as_deref(),
            batch_size: self.config.batch_size,
            progress: &|done, total| observer.event(&Event::Validating { done, total }),
            should_stop: &|| observer.should_stop(),
        };
        match &self.sets {
            Sets::Classify { val, holdout, .. } => {
                let samples = if set == Set::Validation { &val.samples } else { holdout };
                let samples = Self::in_range(samples, range);
                evaluate_classification(recipe, network, samples, &settings)
            }
            Sets::Scenes(scenes) => {
                let plots = if set == Set::Validation { &scenes.val } else { &scenes.holdout };
                let tiles = self.snapshots.as_ref().map_or(&[][..], |snapshots| &snapshots.tiles);
                let names: Vec<&str> = tiles.iter().map(|tile| scenes.val[*tile].name.as_str()).collect();
                let (folder, classes) = (&self.folder, &self.card.classes);
                let plots = Self::in_range(plots, range);
                evaluate_plots(recipe, network, plots, &settings, &mut |plot, mask| match masks {
                    Some(epoch) if names.contains(&plot.name.as_str()) => {
                        write_mask(folder, epoch, &plot.name, mask, classes)
                    }
                    _ => Ok(()),
                })
            }
            Sets::Segment { val, holdout, .. } => {
                let samples = if set == Set::Validation { &val.samples } else { holdout };
                let samples = Self::in_range(samples, range);
                let tiles = self.snapshots.as_ref().map_or(&[][..], |snapshots| &snapshots.tiles);
                let stems: Vec<&str> = tiles.iter().map(|tile| val.samples[*tile].stem.as_str()).collect();
                let (folder, classes) = (&self.folder, &self.card.classes);
                evaluate_segmentation(recipe, network, samples, classes, &settings, &mut |sample, mask| {
                    match masks {
                        Some(epoch) if stems.contains(&sample.stem.as_str()) => {
                            write_mask(folder, epoch, &sample.stem, mask, classes)
                        }
                        _ => Ok(()),
                    }
                })
            }
        }
    }

    fn in_range<T>(samples: &[T], range: Range<usize>) -> &[T] {
        &samples[range.start.min(samples.len())..range.end.min(samples.len())]
    }

    /// The masks of the chosen tiles, in an epoch without validation.
    pub fn write_masks(&self, epoch: usize) -> Result<(), TrainError> {
        let Some(snapshots) = &self.snapshots else { return Ok(()) };
        let (folder, classes) = (&self.folder, &self.card.classes);
        let settings = EvaluationSettings::default();
        let val = match &self.sets {
            Sets::Classify { .. } => return Ok(()),
            Sets::Segment { val, .. } => val,
            Sets::Scenes(scenes) => {
                let plots: Vec<_> = snapshots.tiles.iter().map(|tile| scenes.val[*tile].clone()).collect();
                let mut network = self.predictor(&self.params)?;
                evaluate_plots(&self.recipe, &mut network, &plots, &settings, &mut |plot, mask| {
                    write_mask(folder, epoch, &plot.name, mask, classes)
                })?;
                return Ok(());
            }
        };
        let samples: Vec<_> = snapshots.tiles.iter().map(|tile| val.samples[*tile].clone()).collect();
        let mut network = self.predictor(&self.params)?;
        evaluate_segmentation(
            &self.recipe,
            &mut network,
            &samples,
            classes,
            &settings,
            &mut |sample, mask| write_mask(folder, epoch, &sample.stem, mask, classes),
        )?;
        Ok(())
    }

    /// The figures of an evaluation.
    pub fn figures(&self, evaluation: &Evaluation) -> Validation {
        let name = |id: usize| self.card.classes.classes[id].name.clone();
        let loss = evaluation.loss.mean();
        let accuracy = evaluation.confusion.accuracy();
        if self.config.model.is_classifier() {
            let recalls = evaluation.confusion.recalls().into_iter().enumerate();
            let classes = recalls.map(|(id, value)| ClassFigure { id, name: name(id), value }).collect();
            return Validation { loss, accuracy, mean_iou: None, protocol: None, classes };
        }
        let report = evaluation.confusion.iou(Protocol::Course, &scored(&self.card.classes));
        let pairs = report.classes.iter().zip(&report.iou);
        let classes = pairs.map(|(&id, &value)| ClassFigure { id, name: name(id), value }).collect();
        let mean_iou = Some(report.mean.unwrap_or(0.0));
        Validation { loss, accuracy, mean_iou, protocol: Some(Protocol::Course), classes }
    }
}

fn write_mask(
    folder: &RunFolder,
    epoch: usize,
    stem: &str,
    mask: &hectare_data::Mask,
    classes: &hectare_net::ClassMap,
) -> Result<(), TrainError> {
    let folder = folder.masks(epoch);
    files::create_folder(&folder)?;
    write_mask_rgb(mask, classes, &folder.join(format!("{stem}_mask.png"))).map_err(TrainError::data)
}
