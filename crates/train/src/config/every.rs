//! How often something happens.

use std::fmt;
use std::str::FromStr;

use super::text::as_text;

/// How often a checkpoint is written. Written as `10m` (`s`, `m` or `h`), `500steps` or `2epochs`; a bare number
/// counts epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    /// At the end of every so many epochs.
    Epochs(usize),
    /// After so many steps.
    Steps(u64),
    /// After so many seconds, at the end of the step.
    Seconds(f64),
}

impl FromStr for Every {
    type Err = String;
    fn from_str(text: &str) -> Result<Every, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim());
        let count = || match number.parse::<u64>() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(format!("`{text}` must be a whole number of at least 1")),
        };
        let seconds = |factor: f64| match number.parse::<f64>() {
            Ok(number) if number > 0.0 => Ok(Every::Seconds(number * factor)),
            _ => Err(format!("`{text}` must be above 0")),
        };
        match unit {
            "" | "epoch" | "epochs" => count().map(|n| Every::Epochs(n as usize)),
            "step" | "steps" => count().map(Every::Steps),
            "s" => seconds(1.0),
            "m" | "min" => seconds(60.0),
            "h" => seconds(3600.0),
            _ => Err(format!("`{text}` is none of 10m, 500steps, 2epochs")),
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Every::Epochs(1) => f.write_str("1epoch"),
            Every::Epochs(n) => write!(f, "{n}epochs"),
            Every::Steps(1) => f.write_str("1step"),
            Every::Steps(n) => write!(f, "{n}steps"),
            Every::Seconds(s) if s % 3600.0 == 0.0 => write!(f, "{}h", s / 3600.0),
            Every::Seconds(s) if s % 60.0 == 0.0 => write!(f, "{}m", s / 60.0),
            Every::Seconds(s) => write!(f, "{s}s"),
        }
    }
}

as_text!(Every);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip() {
        for (text, value) in [
            ("10m", Every::Seconds(600.0)),
            ("2h", Every::Seconds(7200.0)),
            ("90s", Every::Seconds(90.0)),
            ("500steps", Every::Steps(500)),
            ("1epoch", Every::Epochs(1)),
            ("3epochs", Every::Epochs(3)),
        ] {
            assert_eq!(text.parse::<Every>().unwrap(), value);
            assert_eq!(value.to_string(), text);
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Every>(&json).unwrap(), value);
        }
        assert_eq!(serde_json::from_str::<Every>("2").unwrap(), Every::Epochs(2));
        assert_eq!("1.5h".parse::<Every>().unwrap(), Every::Seconds(5400.0));
        for bad in ["", "0", "0m", "m", "-1", "1.5steps", "5 weeks", "1..5m"] {
            assert!(bad.parse::<Every>().is_err(), "{bad}");
        }
    }
}
