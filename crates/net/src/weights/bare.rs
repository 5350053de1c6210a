//! Which model a bare state_dict is.

use super::WeightFile;
use crate::{Head, ModelKind, ModelSpec};

/// The model of which the file's names and shapes are.
///
/// # Errors
/// What was looked for and not found.
pub(super) fn spec_of(file: &WeightFile) -> Result<ModelSpec, String> {
    let shape = |name: &str| file.get(name).map(|tensor| tensor.shape.as_slice());
    let Some(&[channels, bands, 3, 3]) = shape("features.0.weight") else {
        return Err("there is no features.0.weight of shape Kx3x3x3".to_owned());
    };
    let norm = shape("features.1.running_mean").is_some();
    // The model, and the tensor whose first side is the class count (second, for transposed weights).
    let (model, head, last) = if shape("fc.3.weight").is_some() {
        (classifier(norm), Head::Hidden512, "fc.3.weight")
    } else if shape("fc.0.weight").is_some() {
        (classifier(norm), Head::Linear, "fc.0.weight")
    } else if shape("upscore8.weight").is_some() {
        (ModelKind::Fcn8s, Head::Linear, "score_fr.weight")
    } else if shape("upscore16.weight").is_some() {
        (ModelKind::Fcn16s, Head::Linear, "score_fr.weight")
    } else if shape("fcn32.6.weight").is_some() {
        (ModelKind::Fcn32s, Head::Linear, "fcn32.6.weight")
    } else if shape("decoder1.0.weight").is_some() {
        (ModelKind::Vgg16Unet, Head::Linear, "score.weight")
    } else {
        return Err("none of fc.0, fcn32.6, upscore16, upscore8 and decoder1.0 has weights".to_owned());
    };
    let classes = shape(last).and_then(|shape| shape.first().copied());
    let classes = classes.ok_or_else(|| format!("there is no {last}"))?;
    let mut spec = ModelSpec { classes, head, bands, ..ModelSpec::new(model) };
    spec.width = channels as f64 / 64.0;
    if let Some(&[width, _, kernel, _]) = shape("fcn.0.weight").or(shape("fcn32.0.weight")) {
        spec.head_kernel = kernel;
        if spec.scaled(spec.head_width) != width {
            spec.head_width = (width as f64 / spec.width).round() as usize;
        }
    }
    spec.output_bias = model.output_bias_name().is_some_and(|name| shape(name).is_some());
    if model.is_classifier() {
        let Some(&[_, inputs]) = shape("fc.0.weight") else {
            return Err("fc.0.weight is not a matrix".to_owned());
        };
        let cells = inputs / spec.scaled(512);
        let side = cells.isqrt();
        if side == 0 || side * side * spec.scaled(512) != inputs {
            return Err(format!("fc.0.weight takes {inputs} features, which no square input gives"));
        }
        spec.input = [32 * side; 2];
    }
    Ok(spec)
}

fn classifier(norm: bool) -> ModelKind {
    if norm { ModelKind::Vgg16Bn } else { ModelKind::Vgg16 }
}
