//! What an ONNX model says of itself: the keys of QGIS's Deepness plugin, and hectare's own.
//!
//! Deepness (<https://qgis-plugin-deepness.readthedocs.io>, "Adding metadata to ONNX model") wants JSON values, and takes Python's
//! notation for the class names too. Its source reads `tile_size` where its documentation says `tiles_size`.

use std::path::Path;

use hectare_net::{Class, ClassMap, ModelCard};
use serde_json::Value;

use crate::MapError;

/// The entries that maps need; each may be missing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metadata {
    /// `Segmentor`, `Detector`...
    pub model_type: Option<String>,
    /// Class names in the order of their numbers.
    pub names: Option<Vec<String>>,
    /// Colours in the order of the classes.
    pub colours: Option<Vec<[u8; 3]>>,
    /// Metres of a pixel.
    pub ground_resolution: Option<f64>,
    /// Side of the windows that the model was trained on.
    pub tile: Option<usize>,
    /// How much of a window's side neighbours share, in per cent.
    pub overlap_percent: Option<f64>,
    /// Mean and standard deviation of each band, of pixels of 0 to 1.
    pub standardization: Option<[Vec<f32>; 2]>,
    /// From which probability on a model of one class says yes.
    pub threshold: Option<f32>,
    /// `logits` or `softmax`, as hectare writes it.
    pub output: Option<String>,
    /// hectare's own description.
    pub card: Option<ModelCard>,
}

impl Metadata {
    /// Reads the entries of a model.
    ///
    /// # Errors
    /// A known key whose value cannot be understood.
    pub fn read<'a>(path: &Path, get: impl Fn(&str) -> Option<&'a str>) -> Result<Metadata, MapError> {
        let fail = |key: &str, text: &str| {
            let text: String = text.chars().take(60).collect();
            MapError::unsupported(
                path,
                format!("its metadata entry {key} is {text:?}, which says nothing here"),
            )
        };
        let word = |key: &str| get(key).map(|text| text.trim().trim_matches(['"', '\'']).to_owned());
        let number = |key: &str| {
            let parsed = |text: &str| {
                let number = word(key).and_then(|word| word.parse::<f64>().ok());
                number.filter(|number| number.is_finite()).ok_or_else(|| fail(key, text))
            };
            get(key).map(parsed).transpose()
        };
        let list = |key: &str| {
            let floats = |text: &str| match serde_json::from_str::<Value>(text).ok()? {
                Value::Array(values) => values.iter().map(|v| Some(v.as_f64()? as f32)).collect(),
                value => Some(vec![value.as_f64()? as f32]),
            };
            get(key).map(|text| floats(text).ok_or_else(|| fail(key, text))).transpose()
        };
        let named =
            |key: &str| get(key).map(|text| numbered(text).ok_or_else(|| fail(key, text))).transpose();
        let names = named("class_names")?.or(named("names")?);
        let colours = named("class_colours")?.map(|texts| texts.iter().map(|t| colour(t)).collect());
        let standardization = match (list("standardization_mean")?, list("standardization_std")?) {
            (None, None) => None,
            (Some(mean), Some(std))
                if mean.len() == std.len() && std.iter().all(|s| *s > 0.0 && s.is_finite()) =>
            {
                Some([mean, std])
            }
            (_, std) => return Err(fail("standardization_std", &format!("{std:?}"))),
        };
        let card = get("hectare").map(|text| {
            ModelCard::from_json(text).map_err(|error| {
                MapError::damaged(path, format!("its metadata entry hectare cannot be read: {error}"))
            })
        });
        let tile = number("tile_size")?.or(number("tiles_size")?);
        Ok(Metadata {
            model_type: word("model_type"),
            names,
            colours: colours.flatten(),
            ground_resolution: number("resolution")?.filter(|cm| *cm > 0.0).map(|cm| cm / 100.0),
            tile: tile.filter(|tile| *tile >= 1.0).map(|tile| tile as usize),
            overlap_percent: number("tiles_overlap")?,
            standardization,
            threshold: number("seg_thresh")?.map(|t| t as f32).filter(|t| *t > 0.0 && *t < 1.0),
            output: word("output"),
            card: card.transpose()?,
        })
    }

    /// The classes that the entries describe: `count` of them, numbered where there are no names.
    ///
    /// # Errors
    /// Another number of names, in words.
    pub fn classes(&self, count: usize) -> Result<ClassMap, String> {
        if let Some(card) = self.card.as_ref().filter(|card| card.classes.len() == count) {
            return Ok(card.classes.clone());
        }
        let mut map = ClassMap::numbered(count);
        let mut names = self.names.clone();
        // A model of one class may name that one only.
        if let Some(names) = names.as_mut().filter(|names| names.len() == 1 && count == 2) {
            names.insert(0, "background".into());
        }
        if let Some(names) = names {
            if names.len() != count {
                return Err(format!("it names {} classes and answers with {count}", names.len()));
            }
            map.classes.iter_mut().zip(names).for_each(|(class, name)| class.name = name);
        }
        if let Some(colours) = self.colours.as_ref().filter(|colours| colours.len() == count) {
            map.classes
                .iter_mut()
                .zip(colours)
                .for_each(|(class, colour): (&mut Class, _)| class.colour = *colour);
        }
        Ok(map)
    }
}

/// The texts of a dictionary with the keys 0, 1, 2 and so on, or of a list.
fn numbered(text: &str) -> Option<Vec<String>> {
    let value: Value =
        serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&as_json(text)).ok())?;
    let name = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(name).collect(),
        Value::Object(entries) => (0..entries.len()).map(|id| name(entries.get(&id.to_string())?)).collect(),
        _ => None,
    }
}

/// A dictionary or list in Python's notation, as JSON: `{0: 'a'}` becomes `{"0": "a"}`.
fn as_json(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let mut word = String::new();
                while let Some(inner) = chars.next().filter(|inner| *inner != c) {
                    let escaped = if inner == '\\' { chars.next() } else { Some(inner) };
                    word.extend(escaped);
                }
                out += &Value::String(word).to_string();
            }
            '0'..='9' => {
                let mut word = String::from(c);
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    word.push(digit);
                }
                out += &Value::String(word).to_string();
            }
            _ => out.push(c),
        }
    }
    out
}

/// `#rrggbb`.
fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some([16, 8, 0].map(|shift| (number >> shift) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &'static str)]) -> Result<Metadata, MapError> {
        Metadata::read(Path::new("m.onnx"), |key| {
            entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1)
        })
    }

    #[test]
    fn keys_in_both_notations() {
        let found = read(&[
            ("model_type", "\"Segmentor\""),
            ("class_names", "{0: 'no data', 1: \"farmer's\", 2: 'it\\'s'}"),
            ("class_colours", r##"{"0":"#000000","1":"#0aff10","2":"#ffffff"}"##),
            ("resolution", "50"),
            ("tiles_size", "512"),
            ("tiles_overlap", "15"),
            ("standardization_mean", "[0.1, 0.2, 0.3]"),
            ("standardization_std", "[1, 1, 0.5]"),
            ("seg_thresh", "0.4"),
        ])
        .unwrap();
        assert_eq!(found.model_type.as_deref(), Some("Segmentor"));
        let classes = found.classes(3).unwrap();
        assert_eq!(classes.names(), ["no data", "farmer's", "it's"]);
        assert_eq!(classes.classes[1].colour, [10, 255, 16]);
        assert_eq!(
            (found.ground_resolution, found.tile, found.overlap_percent),
            (Some(0.5), Some(512), Some(15.0))
        );
        assert_eq!(found.standardization, Some([vec![0.1, 0.2, 0.3], vec![1.0, 1.0, 0.5]]));
        assert_eq!(found.threshold, Some(0.4));
        assert!(found.classes(4).unwrap_err().contains("3 classes"));
        let one = read(&[("names", "['road']"), ("model_type", "Segmentor")]).unwrap();
        assert_eq!(one.classes(2).unwrap().names(), ["background", "road"]);
        assert_eq!(read(&[]).unwrap(), Metadata::default());
    }

    #[test]
    fn what_says_nothing_is_named() {
        for (key, text) in [
            ("class_names", "{0: 'a', 2: 'b'}"),
            ("class_names", "{0: 'a"),
            ("resolution", "ten"),
            ("tile_size", "nan"),
            ("standardization_mean", "[0.5, \"x\"]"),
            ("hectare", "{}"),
        ] {
            let error = read(&[(key, text)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("m.onnx"), "{error}");
        }
        for std in ["[0.0]", "[1, 1]", "[-1]"] {
            let mean = ("standardization_mean", "[0.5]");
            assert!(read(&[mean, ("standardization_std", std)]).is_err(), "{std}");
        }
    }
}
