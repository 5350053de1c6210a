//! Factors on the rate of chosen nodes.

use std::fmt;
use std::str::FromStr;

use super::text::as_text;

/// A factor on the learning rate of the nodes whose names fit a pattern. Written as `features.*=0.1`.
#[derive(Clone, Debug, PartialEq)]
pub struct LrFactor {
    /// Pattern of node names (see [`fits`]).
    pub pattern: String,
    /// The factor; 0 freezes.
    pub factor: f64,
}

impl FromStr for LrFactor {
    type Err = String;
    fn from_str(text: &str) -> Result<LrFactor, String> {
        let (pattern, factor) = text
            .rsplit_once('=')
            .filter(|(pattern, _)| !pattern.trim().is_empty())
            .ok_or_else(|| format!("`{text}` is no PATTERN=FACTOR (like features.*=0.1)"))?;
        match factor.trim().parse::<f64>() {
            Ok(factor) if factor >= 0.0 && factor.is_finite() => {
                Ok(LrFactor { pattern: pattern.trim().into(), factor })
            }
            _ => Err(format!("`{text}`: the factor must be a number of at least 0")),
        }
    }
}

impl fmt::Display for LrFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.pattern, self.factor)
    }
}

as_text!(LrFactor);

/// Whether a pattern fits a parameter of that name (`features.0.weight`): it must fit its node's name
/// (`features.0`) or its own, as a whole. `*` stands for any characters, `?` for one.
pub fn fits(pattern: &str, parameter: &str) -> bool {
    let node = parameter.rsplit_once('.').map_or(parameter, |(node, _)| node);
    glob(pattern.as_bytes(), node.as_bytes()) || glob(pattern.as_bytes(), parameter.as_bytes())
}

fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| glob(rest, &name[skip..])),
        (Some((b'?', rest)), Some((_, tail))) => glob(rest, tail),
        (Some((p, rest)), Some((n, tail))) if p == n => glob(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_nodes_and_parameters() {
        for (pattern, parameter, wanted) in [
            ("features.*", "features.0.weight", true),
            ("features.*", "fc.0.weight", false),
            ("features.2?", "features.28.bias", true),
            ("features.2?", "features.2.bias", false),
            ("*.bias", "fc.0.bias", true),
            ("*.bias", "fc.0.weight", false),
            ("score_*", "score_pool4.weight", true),
            ("fcn", "fcn.0.weight", false),
            ("*", "fcn.0.weight", true),
            ("", "fcn.0.weight", false),
        ] {
            assert_eq!(fits(pattern, parameter), wanted, "{pattern} {parameter}");
        }
    }

    #[test]
    fn factors_are_read_and_written() {
        let factor: LrFactor = "features.*=0.1".parse().unwrap();
        assert_eq!((factor.pattern.as_str(), factor.factor), ("features.*", 0.1));
        assert_eq!(factor.to_string(), "features.*=0.1");
        for bad in ["", "features", "=1", "features=x", "features=-1", "features=inf"] {
            assert!(bad.parse::<LrFactor>().is_err(), "{bad}");
        }
    }
}
