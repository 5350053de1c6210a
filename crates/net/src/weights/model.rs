//! A file as a model.

use std::path::Path;

use super::bare::spec_of;
use super::load::compare;
use super::{InputOrder, WeightError, load_into, read};
use crate::{ClassMap, Geometry, ModelCard, ModelSpec, Network, Params, build};

/// A model as its file describes it.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    /// What it is.
    pub card: ModelCard,
    /// The network.
    pub network: Network,
    /// Its numbers.
    pub params: Params,
    /// What had to be assumed.
    pub warnings: Vec<String>,
}

/// What the user says about a file, against or besides what the file says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// How a segmentation network keeps its size; the weights fit every geometry.
    pub geometry: Option<Geometry>,
    /// Names and colours of the classes.
    pub classes: Option<ClassMap>,
    /// What the first convolution takes, of a file without a description.
    pub order: Option<InputOrder>,
}

/// Reads a model from a file of hectare's or from a bare state_dict in a safetensors file.
///
/// # Errors
/// As [`read_model_with`].
pub fn read_model(path: impl AsRef<Path>) -> Result<LoadedModel, WeightError> {
    read_model_with(path, &Overrides::default())
}

/// Reads a model from a file of hectare's or from a bare state_dict in a safetensors file, whose model and
/// class count are seen in its names and shapes.
///
/// # Errors
/// When [`read`] fails, the file describes no model, or its tensors are not that model's.
pub fn read_model_with(path: impl AsRef<Path>, overrides: &Overrides) -> Result<LoadedModel, WeightError> {
    let path = path.as_ref();
    let mut file = read(path)?;
    let card_error = |problem: String| WeightError::Card { path: path.to_owned(), problem };
    let mut warnings = Vec::new();
    let mut card = match &file.metadata {
        Some(value) => {
            let card: ModelCard =
                serde_json::from_value(value.clone()).map_err(|error| card_error(error.to_string()))?;
            card.check().map_err(card_error)?;
            card
        }
        None => {
            file.order = overrides.order.unwrap_or(file.order);
            let mut card = ModelCard::new(bare_spec(path, &file, overrides, &mut warnings)?);
            if let Some(normalisation) = file.own_normalisation() {
                file.fold_input(&normalisation)?;
                card.normalisation = normalisation;
            }
            card
        }
    };
    if let Some(geometry) = overrides.geometry {
        card.spec.geometry = geometry;
    }
    if let Some(classes) = &overrides.classes {
        card.classes = classes.clone();
    }
    if card.classes.len() != card.spec.classes {
        let (names, outputs) = (card.classes.len(), card.spec.classes);
        return Err(card_error(format!("the class map has {names} classes and the model {outputs}")));
    }
    let bands = card.spec.bands;
    if card.normalisation.mean.len() != bands || card.normalisation.std.len() != bands {
        return Err(card_error(format!("the normalisation is not for {bands} bands")));
    }
    let network = build(&card.spec).map_err(|error| WeightError::Net { path: path.to_owned(), error })?;
    // A description may claim any size: memory is asked for only where the file holds as much.
    let (report, _) = compare(&file, &network);
    if !report.is_complete() {
        return Err(WeightError::Mismatch { path: path.to_owned(), report: Box::new(report) });
    }
    let mut params = Params::zeroed(std::sync::Arc::clone(network.layout()));
    load_into(&file, &network, &mut params, false)?;
    Ok(LoadedModel { card, network, params, warnings })
}

fn bare_spec(
    path: &Path,
    file: &super::WeightFile,
    overrides: &Overrides,
    warnings: &mut Vec<String>,
) -> Result<ModelSpec, WeightError> {
    let mut spec =
        spec_of(file).map_err(|problem| WeightError::UnknownModel { path: path.to_owned(), problem })?;
    let mut assumed =
        format!("{} has no description: taken as {} of {} classes", path.display(), spec.model, spec.classes);
    if file.is_pytorch_fcn {
        spec.geometry = Geometry::Long;
    }
    if !spec.model.is_classifier() && overrides.geometry.is_none() {
        assumed += &format!(", geometry {}", spec.geometry);
    }
    if file.order != InputOrder::Rgb {
        assumed += &format!(", input {}", file.order);
    }
    warnings.push(assumed);
    Ok(spec)
}
