//! A network measured on labelled pictures: one integer confusion matrix for the whole set.

use hectare_data::{ClassSample, Image, Mask, SegSample, read_image, read_mask};
use hectare_kernels::loss::{CrossEntropy, LossValue, cross_entropy};
use hectare_net::ClassMap;

use crate::ahead::ahead;
use crate::error::TrainError;
use crate::metrics::ConfusionMatrix;
use crate::predict::{Forward, Prepared, Recipe};

/// Pictures that are decoded ahead of the network.
pub(crate) const AHEAD: usize = 4;

/// What was found on a set.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Counts: rows are truth, columns predictions.
    pub confusion: ConfusionMatrix,
    /// Loss over the whole set, weighted as asked.
    pub loss: LossValue,
}

/// How an evaluation goes: what counts, and who watches.
pub struct EvaluationSettings<'a> {
    /// Weights of the classes in the loss.
    pub weights: Option<&'a [f32]>,
    /// Pictures in a batch (classification).
    pub batch_size: usize,
    /// Called with the number of pictures done and of all.
    pub progress: &'a dyn Fn(usize, usize),
    /// Asked after each picture (or batch); `true` ends the evaluation with [`TrainError::Stopped`].
    pub should_stop: &'a dyn Fn() -> bool,
}

impl EvaluationSettings<'_> {
    /// Reports progress, unless the evaluation is to end.
    pub(crate) fn go_on(&self, done: usize, total: usize) -> Result<(), TrainError> {
        (self.progress)(done, total);
        if (self.should_stop)() { Err(TrainError::Stopped) } else { Ok(()) }
    }
}

impl Default for EvaluationSettings<'_> {
    fn default() -> Self {
        EvaluationSettings { weights: None, batch_size: 64, progress: &|_, _| {}, should_stop: &|| false }
    }
}

/// Predicts every picture whole, at its own size, and counts pixels. `seen` gets each predicted mask.
///
/// # Errors
/// A picture or mask that cannot be read, a pair of two sizes, a size that the network cannot take, an
/// error of `seen`.
pub fn evaluate_segmentation(
    recipe: &Recipe,
    network: &mut dyn Forward,
    samples: &[SegSample],
    classes: &ClassMap,
    settings: &EvaluationSettings<'_>,
    seen: &mut dyn FnMut(&SegSample, &Mask) -> Result<(), TrainError>,
) -> Result<Evaluation, TrainError> {
    let load = |sample: &SegSample| {
        let (image, mask) = read_pair(sample, classes)?;
        Ok((recipe.prepare(&image), mask))
    };
    evaluate_masks(recipe, network, samples, &load, settings, seen)
}

/// What makes a sample the network's input and its truth.
pub(crate) type Load<'a, S> = dyn Fn(&S) -> Result<(Prepared, Mask), TrainError> + Sync + 'a;

/// Predicts what `load` makes of each sample, and counts its pixels. `seen` gets each predicted mask.
pub(crate) fn evaluate_masks<S: Sync>(
    recipe: &Recipe,
    network: &mut dyn Forward,
    samples: &[S],
    load: &Load<'_, S>,
    settings: &EvaluationSettings<'_>,
    seen: &mut dyn FnMut(&S, &Mask) -> Result<(), TrainError>,
) -> Result<Evaluation, TrainError> {
    let load = |index: usize| load(&samples[index]);
    let loss = CrossEntropy { classes: recipe.classes(), weights: settings.weights, label_smoothing: 0.0 };
    let mut found =
        Evaluation { confusion: ConfusionMatrix::new(recipe.classes()), loss: LossValue::default() };
    ahead(samples.len(), AHEAD, load, |index, loaded| {
        let (prepared, truth) = loaded?;
        let logits = recipe.logits(network, &prepared)?;
        let predicted = recipe.argmax(&logits, truth.size());
        for (&t, &p) in truth.ids.iter().zip(&predicted.ids) {
            if usize::from(t) < recipe.classes() {
                found.confusion.add(t.into(), p.into());
            }
        }
        let mut labels = Vec::with_capacity(truth.ids.len());
        recipe.format().labels(&truth, &mut labels);
        found.loss += cross_entropy(recipe.isa(), &loss, &logits, &labels, None);
        seen(&samples[index], &predicted)?;
        settings.go_on(index + 1, samples.len())
    })?;
    Ok(found)
}

/// Predicts every picture, resized to the network's input, and counts pictures.
///
/// # Errors
/// A picture that cannot be read or has no class, a size that the network cannot take.
pub fn evaluate_classification(
    recipe: &Recipe,
    network: &mut dyn Forward,
    samples: &[ClassSample],
    settings: &EvaluationSettings<'_>,
) -> Result<Evaluation, TrainError> {
    let k = recipe.classes();
    let batches: Vec<&[ClassSample]> = samples.chunks(settings.batch_size.max(1)).collect();
    let load = |index: usize| -> Result<_, TrainError> {
        let mut labels = Vec::new();
        let mut pictures = Vec::new();
        for sample in batches[index] {
            let label = sample.label.filter(|label| usize::from(*label) < k).ok_or_else(|| {
                TrainError::Input(format!(
                    "{}: no class, or one that the network has not",
                    sample.path.display()
                ))
            })?;
            labels.push(label);
            pictures.push(recipe.prepare(&read_image(&sample.path).map_err(TrainError::data)?));
        }
        Ok((pictures, labels))
    };
    let loss = CrossEntropy { classes: k, weights: settings.weights, label_smoothing: 0.0 };
    let mut found = Evaluation { confusion: ConfusionMatrix::new(k), loss: LossValue::default() };
    let mut done = 0;
    ahead(batches.len(), AHEAD, load, |_, loaded| {
        let (pictures, labels) = loaded?;
        let logits = recipe.class_logits(network, &pictures)?;
        for (label, logits) in labels.iter().zip(logits.chunks_exact(k)) {
            found.confusion.add(usize::from(*label), recipe.largest(logits));
        }
        found.loss += cross_entropy(recipe.isa(), &loss, &logits, &labels, None);
        done += labels.len();
        settings.go_on(done, samples.len())
    })?;
    Ok(found)
}

/// A picture and its mask.
pub(crate) fn read_pair(sample: &SegSample, classes: &ClassMap) -> Result<(Image, Mask), TrainError> {
    let image = read_image(&sample.image).map_err(TrainError::data)?;
    let mask = read_mask(&sample.mask, classes).map_err(TrainError::data)?;
    if image.size() != mask.size() {
        return Err(TrainError::data(hectare_data::DataError::SizeMismatch {
            image: sample.image.clone(),
            image_size: image.size(),
            mask: sample.mask.clone(),
            mask_size: mask.size(),
        }));
    }
    Ok((image, mask))
}
