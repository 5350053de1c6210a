//! The description that travels with a model's weights.

use serde::{Deserialize, Serialize};

use crate::{ClassMap, ModelSpec};

/// How pixels become numbers: `(value / 255 - mean) / std`, for each band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean of each band, in 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each band, in 0..1.
    pub std: Vec<f32>,
}

/// Most rows or columns that a card may want images scaled to.
pub const LONGEST_SIDE: usize = 1 << 14;

impl Default for Normalisation {
    /// ImageNet's, for RGB.
    fn default() -> Self {
        Normalisation { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }
}

/// Everything a user of a weights file must know besides the numbers. It is stored as one JSON value
/// with sorted keys under the metadata key `hectare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Which network it is.
    pub spec: ModelSpec,
    /// Names, colours and ids of the classes.
    pub classes: ClassMap,
    /// How pixels become the network's input.
    pub normalisation: Normalisation,
    /// Rows and columns that images are scaled to first (segmentation: and the logits back).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<[usize; 2]>,
    /// Metres on the ground that a pixel stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground_resolution: Option<f64>,
    /// Which bands of a scene it was trained on and how their samples become levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<SceneBands>,
}

/// Bands of a scene as a network takes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneBands {
    /// Bands of the scene in the network's order, counted from 0.
    pub bands: Vec<usize>,
    /// For each of them the samples that become level 0 and level 255; empty for samples that are levels already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scale: Vec<[f64; 2]>,
}

impl ModelCard {
    /// The defaults for a new model: the course's palette for 7 segmentation classes, numbers
    /// otherwise, and ImageNet's normalisation (bands beyond three take the third's).
    pub fn new(spec: ModelSpec) -> ModelCard {
        let classes = ClassMap::default_for(spec.classes, !spec.model.is_classifier());
        let rgb = Normalisation::default();
        let spread = |values: &[f32]| (0..spec.bands).map(|band| values[band.min(2)]).collect();
        let normalisation = Normalisation { mean: spread(&rgb.mean), std: spread(&rgb.std) };
        ModelCard { spec, classes, normalisation, resize: None, ground_resolution: None, scene: None }
    }

    /// JSON with sorted keys and no spaces: the same card always gives the same bytes.
    pub fn to_json(&self) -> String {
        // Through `Value`, whose maps are sorted; and through text, where an f32 is 0.485 and not the
        // f64 next to it.
        let text = serde_json::to_string(self).expect("a card has string keys only");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it was written just now");
        value.to_string()
    }

    /// The card in a metadata value.
    ///
    /// # Errors
    /// Says which field is missing, of the wrong kind or out of range (as [`ModelCard::check`]).
    pub fn from_json(text: &str) -> Result<ModelCard, serde_json::Error> {
        let card: ModelCard = serde_json::from_str(text)?;
        card.check().map(|()| card).map_err(serde::de::Error::custom)
    }

    /// Checks a card from a file of unknown origin: classes that agree with themselves, a normalisation that gives
    /// numbers, sizes from 1 to [`LONGEST_SIDE`]. What the network itself allows, [`crate::build`] says.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        self.classes.check()?;
        let Normalisation { mean, std } = &self.normalisation;
        if !mean.iter().all(|m| m.is_finite()) || !std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err("the normalisation needs finite means and standard deviations above 0".into());
        }
        if let Some(size) = self.resize
            && size.iter().any(|side| !(1..=LONGEST_SIDE).contains(side))
        {
            return Err(format!("images cannot be scaled to {size:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelKind;

    #[test]
    fn json_is_sorted_and_round_trips() {
        let card = ModelCard::new(ModelSpec::new(ModelKind::Fcn8s));
        let json = card.to_json();
        assert_eq!(ModelCard::from_json(&json).unwrap(), card);
        let keys = ["\"classes\":{\"aliases\"", "\"normalisation\"", "\"spec\":{\"bands\"", "\"width\""];
        let places: Vec<_> = keys.iter().map(|key| json.find(key).expect(key)).collect();
        assert!(places.is_sorted(), "{json}");
        assert!(json.contains("\"mean\":[0.485,0.456,0.406]"), "{json}");
    }

    #[test]
    fn cards_that_cannot_be_are_refused() {
        let good = ModelCard::new(ModelSpec::new(ModelKind::Fcn8s));
        let refused = |change: &dyn Fn(&mut ModelCard), word: &str| {
            let mut card = good.clone();
            change(&mut card);
            let problem = card.check().unwrap_err();
            assert!(problem.contains(word), "{problem}");
            // JSON has no NaN, so that a card that holds one fails on its way.
            assert!(ModelCard::from_json(&card.to_json()).is_err());
        };
        refused(&|card| card.classes.classes[2].id = 9, "place 2 has the id 9");
        refused(&|card| card.classes.aliases[0].1 = 7, "class 7");
        refused(&|card| card.classes.classes.iter_mut().for_each(|c| c.ignored = true), "not ignored");
        refused(&|card| card.normalisation.std[1] = 0.0, "above 0");
        refused(&|card| card.normalisation.mean[0] = f32::NAN, "finite");
        refused(&|card| card.resize = Some([0, 9]), "[0, 9]");
        refused(&|card| card.resize = Some([9, LONGEST_SIDE + 1]), "scaled");
    }
}
