//! What scenes need to know of a model, whatever kind of file it comes from.

use hectare_net::{ClassMap, ModelCard, Normalisation, SceneBands};

/// The part of a model's description that scenes need.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneCard {
    /// Bands that the network takes.
    pub bands: usize,
    /// Names, colours and ids of the classes, one for each probability of a pixel.
    pub classes: ClassMap,
    /// How levels of 0 to 255 become the network's input.
    pub normalisation: Normalisation,
    /// Which bands of a scene the network was trained on, and how their samples become levels.
    pub scene: Option<SceneBands>,
    /// Metres on the ground that a pixel stands for.
    pub ground_resolution: Option<f64>,
    /// Rows and columns that the network's pictures were scaled to; such a network makes no maps.
    pub resize: Option<[usize; 2]>,
}

impl From<&ModelCard> for SceneCard {
    fn from(card: &ModelCard) -> SceneCard {
        SceneCard {
            bands: card.spec.bands,
            classes: card.classes.clone(),
            normalisation: card.normalisation.clone(),
            scene: card.scene.clone(),
            ground_resolution: card.ground_resolution,
            resize: card.resize,
        }
    }
}
