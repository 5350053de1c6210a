//! Settings from one place (a TOML file, the flags), before they are checked.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ConfigError, ONLY, Task, TrainConfig};

/// Keys that say how long a run is.
const LENGTHS: [&str; 3] = ["epochs", "steps", "hours"];

/// A few settings by key, with the place they come from.
#[derive(Clone, Debug)]
pub struct Layer {
    source: String,
    values: Map<String, Value>,
}

impl Layer {
    /// No settings yet. `source` is how messages name the place.
    pub fn new(source: impl Into<String>) -> Layer {
        Layer { source: source.into(), values: Map::new() }
    }

    /// Reads a TOML file. Keys may be written with `-` or `_`.
    ///
    /// # Errors
    /// An unreadable file or wrong TOML; keys and values are checked by [`TrainConfig::resolve`].
    pub fn from_toml(path: &Path) -> Result<Layer, ConfigError> {
        let source = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Layer::from_toml_text(source, &text),
            Err(error) => Err(ConfigError::Syntax { source, problem: error.to_string() }),
        }
    }

    /// Reads TOML text.
    ///
    /// # Errors
    /// Wrong TOML.
    pub fn from_toml_text(source: impl Into<String>, text: &str) -> Result<Layer, ConfigError> {
        let mut layer = Layer::new(source);
        let table: toml::Table = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            source: layer.source.clone(),
            problem: error.to_string(),
        })?;
        for (key, value) in table {
            layer.set(&key, value);
        }
        Ok(layer)
    }

    /// Sets one key.
    pub fn set(&mut self, key: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).expect("settings are plain values");
        self.values.insert(key.replace('-', "_"), value);
    }

    /// Sets one key if there is a value for it.
    pub fn set_some(&mut self, key: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|e| wrong(key, value, &e)),
        }
    }

    /// Refuses two lengths of one run in one place. Saved settings hold the steps and the epochs that came of
    /// the hours, which agree.
    pub(super) fn check_length(&self) -> Result<(), ConfigError> {
        let given: Vec<&str> = LENGTHS.into_iter().filter(|key| self.has(key)).collect();
        match given[..] {
            ["epochs", "hours"] | ["steps", "hours"] => {
                let problem = format!("excludes --{}; give one of them", given[0]);
                Err(wrong_value("hours", &self.values["hours"], &problem))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn lay_over(&mut self, other: &Layer) {
        // One length of the run takes the place of another.
        if LENGTHS.iter().any(|key| other.has(key)) {
            LENGTHS.iter().for_each(|key| drop(self.values.remove(*key)));
        }
        self.values.extend(other.values.clone());
    }

    pub(super) fn check_keys(&self, base: &TrainConfig, task: Task) -> Result<(), ConfigError> {
        let known = table(base);
        for (key, value) in &self.values {
            if !known.contains_key(key) {
                let suggestion = nearest(key, known.keys());
                return Err(ConfigError::Unknown {
                    source: self.source.clone(),
                    key: key.clone(),
                    suggestion,
                });
            }
            // Saved settings hold those of the other task too, as they are.
            if known[key] != *value
                && let Some((_, owner)) = ONLY.iter().find(|(name, owner)| name == key && *owner != task)
            {
                return Err(ConfigError::OtherTask {
                    source: self.source.clone(),
                    key: key.clone(),
                    task: *owner,
                });
            }
        }
        Ok(())
    }

    /// Puts the values into `base`, one at a time, so that a wrong one is named.
    pub(super) fn apply(&self, base: TrainConfig) -> Result<TrainConfig, ConfigError> {
        let mut whole = table(&base);
        let mut config = base;
        for (key, value) in &self.values {
            whole.insert(key.clone(), value.clone());
            config =
                serde_json::from_value(Value::Object(whole.clone())).map_err(|e| wrong(key, value, &e))?;
        }
        Ok(config)
    }
}

fn table(config: &TrainConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("the settings are a table"),
    }
}

fn wrong(key: &str, value: &Value, error: &serde_json::Error) -> ConfigError {
    wrong_value(key, value, &error.to_string())
}

fn wrong_value(key: &str, value: &Value, problem: &str) -> ConfigError {
    let value = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    ConfigError::Value { key: key.into(), value, problem: problem.into() }
}

/// The key with the least edits (up to a third of its length), if any.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    let best = known.map(|name| (edits(key, name), name)).min()?;
    (best.0 <= best.1.len().div_ceil(3)).then(|| best.1.clone())
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_counts_changes() {
        for (a, b, n) in [("", "abc", 3), ("lr", "lr", 0), ("epoch", "epochs", 1), ("kitten", "sitting", 3)] {
            assert_eq!(edits(a, b), n);
        }
    }
}
