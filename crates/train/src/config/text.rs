//! Settings as the text that stands after a flag: written and read the same way in a configuration file.

use std::fmt;

use serde::de::{self, Visitor};

/// Writes a list with commas.
pub(super) fn join(f: &mut fmt::Formatter<'_>, list: &[impl fmt::Display]) -> fmt::Result {
    let parts: Vec<String> = list.iter().map(|part| part.to_string()).collect();
    f.write_str(&parts.join(","))
}

/// Serde as the text of `Display`; reading also takes a bare number or a list of numbers.
macro_rules! as_text {
    ($($type:ident),+) => {$(
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let text = self.to_string();
                match text.parse::<u64>() {
                    Ok(number) => serializer.serialize_u64(number),
                    Err(_) => serializer.serialize_str(&text),
                }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::config::text::Text)?.parse().map_err(::serde::de::Error::custom)
            }
        }
    )+};
}

pub(super) use as_text;

/// Reads a string, a number or a list of numbers into the text that stands after a flag.
pub(super) struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, a number or a list of numbers")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        let mut parts = Vec::new();
        while let Some(number) = seq.next_element::<f64>()? {
            parts.push(number.to_string());
        }
        Ok(parts.join(","))
    }
}
