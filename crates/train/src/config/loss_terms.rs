//! What is minimised.

use std::fmt;
use std::str::FromStr;

use super::text::as_text;

/// The loss: cross-entropy, and a loss of regions beside it from some point of the run on. Written as `ce`,
/// `ce+lovasz`, `ce+dice@0.8`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossTerms {
    /// The loss added to cross-entropy.
    pub region: Option<RegionTerm>,
}

/// A loss of regions, and when it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionTerm {
    /// Which.
    pub kind: RegionKind,
    /// Share of the run's steps after which it counts.
    pub from: f64,
}

/// A loss that compares what a class covers with what it should cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionKind {
    /// Lovász-softmax (Berman, Triki and Blaschko 2018).
    Lovasz,
    /// Soft Dice (Milletari, Navab and Ahmadi 2016).
    Dice,
}

impl FromStr for LossTerms {
    type Err = String;
    fn from_str(text: &str) -> Result<LossTerms, String> {
        let wrong = || format!("`{text}` is none of ce, ce+lovasz, ce+dice, ce+lovasz@0.8, ce+dice@0.8");
        let text = text.trim();
        if text == "ce" {
            return Ok(LossTerms::default());
        }
        let region = text.strip_prefix("ce+").ok_or_else(wrong)?;
        let (kind, from) = region.split_once('@').unwrap_or((region, "0"));
        let kind = match kind {
            "lovasz" => RegionKind::Lovasz,
            "dice" => RegionKind::Dice,
            _ => return Err(wrong()),
        };
        match from.parse::<f64>() {
            Ok(from) if (0.0..1.0).contains(&from) => {
                Ok(LossTerms { region: Some(RegionTerm { kind, from }) })
            }
            _ => Err(format!("`{text}`: after @ stands a share of the run, at least 0 and less than 1")),
        }
    }
}

impl fmt::Display for LossTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ce")?;
        let Some(RegionTerm { kind, from }) = self.region else { return Ok(()) };
        f.write_str(match kind {
            RegionKind::Lovasz => "+lovasz",
            RegionKind::Dice => "+dice",
        })?;
        if from > 0.0 { write!(f, "@{from}") } else { Ok(()) }
    }
}

as_text!(LossTerms);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip() {
        for text in ["ce", "ce+lovasz", "ce+dice", "ce+lovasz@0.8", "ce+dice@0.25"] {
            assert_eq!(text.parse::<LossTerms>().unwrap().to_string(), text);
        }
        assert_eq!("ce+dice@0".parse::<LossTerms>().unwrap().to_string(), "ce+dice");
        for bad in ["", "lovasz", "ce+", "ce+focal", "ce+lovasz@1", "ce+lovasz@-1", "ce@0.5", "ce+dice@x"] {
            assert!(bad.parse::<LossTerms>().is_err(), "{bad}");
        }
    }
}
