//! What is written beside the graph.
//!
//! The keys, and that each value is JSON, are those of QGIS's Deepness plugin
//! (<https://qgis-plugin-deepness.readthedocs.io>, "Adding metadata to ONNX model", and `model_base.py` of its source):
//! `model_type`, `class_names` (numbers from 0 on as text), `resolution` in centimetres, `tile_size` in pixels, and
//! `standardization_mean` and `standardization_std`, which it applies to pixels that it has divided by 255. The rest is
//! hectare's own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Ending, Options, Pixels};
use crate::ModelCard;

/// Keys and values; `least` is the smallest side that the graph takes.
pub(super) fn entries(card: &ModelCard, options: &Options, least: usize) -> Vec<(&'static str, String)> {
    let numbered = |values: Vec<Value>| -> BTreeMap<String, Value> {
        values.into_iter().enumerate().map(|(id, value)| (id.to_string(), value)).collect()
    };
    let names = card.classes.names().into_iter().map(Value::from).collect();
    let colours = card.classes.classes.iter().map(|class| {
        let [r, g, b] = class.colour;
        Value::from(format!("#{r:02x}{g:02x}{b:02x}"))
    });
    let bands = card.spec.bands;
    // What has to be done to pixels of 0 to 1 before they go in.
    let (mean, std) = match options.pixels {
        Pixels::Normalised => (card.normalisation.mean.clone(), card.normalisation.std.clone()),
        Pixels::Unit => (vec![0.0; bands], vec![1.0; bands]),
        Pixels::Bytes => (vec![0.0; bands], vec![1.0 / 255.0; bands]),
    };
    let mut entries = vec![
        ("hectare", card.to_json()),
        ("class_names", json!(numbered(names)).to_string()),
        ("class_colours", json!(numbered(colours.collect())).to_string()),
        ("standardization_mean", text(&mean)),
        ("standardization_std", text(&std)),
        ("input", json!(options.pixels.name()).to_string()),
        ("output", json!(options.ending.name()).to_string()),
    ];
    if !card.spec.model.is_classifier() {
        let tile = options.tile.unwrap_or(card.spec.input[0]);
        entries.push(("model_type", json!("Segmentor").to_string()));
        entries.push(("tile_size", json!(tile).to_string()));
        entries.push(("least_side", json!(least).to_string()));
    }
    if let Some(metres) = card.ground_resolution {
        entries.push(("resolution", json!(metres * 100.0).to_string()));
    }
    entries
}

/// As short as an f32 can be told, not as the f64 next to it.
fn text(values: &[f32]) -> String {
    serde_json::to_string(values).expect("numbers have a text")
}

impl Ending {
    /// The name in metadata.
    fn name(self) -> &'static str {
        match self {
            Ending::Logits => "logits",
            Ending::Softmax => "softmax",
        }
    }
}
