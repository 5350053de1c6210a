//! Class maps on disk: `class_dict.csv` (header `name,r,g,b`, one class a line, ids in order) and TOML:
//!
//! ```toml
//! [[class]]
//! name = "water"
//! colour = [0, 0, 255]
//!
//! [[class]]
//! name = "unknown"
//! colour = [0, 0, 0]
//! aliases = [[255, 0, 0]]   # other colours that mean this class
//! ignored = true            # left out of the loss, never predicted
//! ```

use std::collections::HashMap;
use std::path::Path;

use hectare_net::{Class, ClassMap};
use serde::{Deserialize, Serialize};

use crate::{DataError, csv};

/// Most classes of a map: the id 255 is [`UNLABELLED`](crate::UNLABELLED).
const MAX_CLASSES: usize = 255;
const RED: [u8; 3] = [255, 0, 0];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlMap {
    class: Vec<TomlClass>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlClass {
    name: String,
    colour: [u8; 3],
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<[u8; 3]>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ignored: bool,
}

/// Reads a class map: TOML when the name ends in `.toml`, CSV otherwise.
///
/// In a CSV file a class called `unknown` also answers to red, as in DeepGlobe's masks, unless red is a class
/// of its own.
///
/// # Errors
/// A file that is not there or does not parse, no classes, more than 255, two classes of one name or colour.
pub fn read_class_map(path: &Path) -> Result<ClassMap, DataError> {
    let is_toml = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
    let map = if is_toml { read_toml(path)? } else { read_csv(path)? };
    validate(path, &map)?;
    Ok(map)
}

/// A class map as the TOML text that [`read_class_map`] reads.
pub fn to_toml(map: &ClassMap) -> String {
    let aliases_of = |id: u8| map.aliases.iter().filter(|a| a.1 == id).map(|a| a.0).collect();
    let mut text = String::new();
    for class in &map.classes {
        let aliases: Vec<[u8; 3]> = aliases_of(class.id);
        let [r, g, b] = class.colour;
        text += &format!(
            "[[class]]\nname = {}\ncolour = [{r}, {g}, {b}]\n",
            toml::Value::from(class.name.as_str())
        );
        if !aliases.is_empty() {
            let list: Vec<String> = aliases.iter().map(|[r, g, b]| format!("[{r}, {g}, {b}]")).collect();
            text += &format!("aliases = [{}]\n", list.join(", "));
        }
        if class.ignored {
            text += "ignored = true\n";
        }
        text += "\n";
    }
    text
}

fn read_toml(path: &Path) -> Result<ClassMap, DataError> {
    let text = csv::read_text(path)?;
    let parsed: TomlMap = toml::from_str(&text).map_err(|e| {
        let line = e.span().map_or(0, |s| 1 + text.bytes().take(s.start).filter(|&b| b == b'\n').count());
        DataError::line(path, line, e.message().trim())
    })?;
    let mut map = ClassMap { classes: Vec::new(), aliases: Vec::new() };
    for (i, class) in parsed.class.into_iter().enumerate() {
        // Maps beyond the limit are refused by `validate`, which counts before it looks at ids.
        let id = i as u8;
        map.aliases.extend(class.aliases.into_iter().map(|colour| (colour, id)));
        map.classes.push(Class { id, name: class.name, colour: class.colour, ignored: class.ignored });
    }
    Ok(map)
}

fn read_csv(path: &Path) -> Result<ClassMap, DataError> {
    let mut map = ClassMap { classes: Vec::new(), aliases: Vec::new() };
    for (i, (line, fields)) in csv::read(path)?.into_iter().enumerate() {
        let [name, r, g, b] = &fields[..] else {
            let reason = format!("expected name,r,g,b, found {} fields", fields.len());
            return Err(DataError::line(path, line, reason));
        };
        if i == 0 && [r, g, b].iter().all(|v| v.parse::<f64>().is_err()) {
            continue;
        }
        let value = |text: &String| {
            let reason = || format!("expected a colour value from 0 to 255, found {text:?}");
            text.parse::<u8>().map_err(|_| DataError::line(path, line, reason()))
        };
        let colour = [value(r)?, value(g)?, value(b)?];
        let id = map.classes.len() as u8;
        map.classes.push(Class { id, name: name.clone(), colour, ignored: false });
    }
    if map.classes.iter().all(|c| c.colour != RED)
        && let Some(unknown) = map.classes.iter().find(|c| c.name.eq_ignore_ascii_case("unknown"))
    {
        map.aliases.push((RED, unknown.id));
    }
    Ok(map)
}

fn validate(path: &Path, map: &ClassMap) -> Result<(), DataError> {
    let fail = |reason: String| Err(DataError::line(path, 0, reason));
    match map.classes.len() {
        0 => return fail("no classes".into()),
        n if n > MAX_CLASSES => return fail(format!("{n} classes, more than {MAX_CLASSES}")),
        _ => {}
    }
    let mut names = HashMap::new();
    let mut colours = HashMap::new();
    for class in &map.classes {
        if class.name.is_empty() {
            return fail(format!("class {} has no name", class.id));
        }
        if names.insert(class.name.as_str(), class.id).is_some() {
            return fail(format!("two classes are called {}", class.name));
        }
        if let Some(other) = colours.insert(class.colour, class.name.as_str()) {
            let [r, g, b] = class.colour;
            return fail(format!("{other} and {} share the colour {r},{g},{b}", class.name));
        }
    }
    for (colour, id) in &map.aliases {
        if let Some(other) = colours.insert(*colour, "an alias") {
            let [r, g, b] = colour;
            return fail(format!("the alias {r},{g},{b} of class {id} is already the colour of {other}"));
        }
    }
    Ok(())
}
