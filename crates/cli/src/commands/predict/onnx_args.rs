//! Flags of `hectare predict` that go with ONNX models of others.

use clap::Args;
use hectare_map::{OnnxInput, OnnxSettings, Scores};
use hectare_net::Normalisation;

/// What an ONNX file may leave unsaid.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "ONNX models")]
pub struct OnnxArgs {
    /// What an ONNX model takes: levels of 0 to 1 (unit) or of 0 to 255 (bytes), imagenet's normalisation, or means and standard
    /// deviations of levels of 0 to 1, as 0.4,0.5,0.5/0.2,0.2,0.25 [default: as its metadata say].
    #[arg(long, value_name = "KIND", value_parser = input)]
    pub normalise: Option<OnnxInput>,
    /// What it gives: logits or probabilities [default: as its metadata say, else as its answer to a small picture looks].
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub scores: Option<Scores>,
    /// From which probability on a model of one class says yes [default: as its metadata say, else 0.5].
    #[arg(long, value_name = "P", value_parser = share)]
    pub threshold: Option<f32>,
}

impl OnnxArgs {
    /// One of the flags that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.normalise.is_some(), "--normalise"),
            (self.scores.is_some(), "--scores"),
            (self.threshold.is_some(), "--threshold"),
        ];
        flags.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
    }

    /// The flags as the model's file is opened with them.
    pub fn settings(&self) -> OnnxSettings {
        OnnxSettings {
            input: self.normalise.clone(),
            scores: self.scores,
            threshold: self.threshold,
            ..OnnxSettings::default()
        }
    }
}

fn input(text: &str) -> Result<OnnxInput, String> {
    let list = |text: &str| -> Option<Vec<f32>> {
        text.split(',').map(|word| word.trim().parse::<f32>().ok().filter(|n| n.is_finite())).collect()
    };
    match text {
        "unit" => return Ok(OnnxInput::Unit),
        "bytes" => return Ok(OnnxInput::Bytes),
        "imagenet" => return Ok(OnnxInput::Imagenet),
        _ => {}
    }
    let pair = text.split_once('/').and_then(|(mean, std)| Some((list(mean)?, list(std)?)));
    match pair {
        Some((mean, std)) if mean.len() == std.len() && std.iter().all(|s| *s > 0.0) => {
            Ok(OnnxInput::Standard(Normalisation { mean, std }))
        }
        Some(_) => Err("as many standard deviations as means are needed, all above 0".into()),
        None => Err(format!("{text:?} is none of unit, bytes, imagenet and MEANS/DEVIATIONS")),
    }
}

fn kind(text: &str) -> Result<Scores, String> {
    match text {
        "logits" => Ok(Scores::Logits),
        "probabilities" => Ok(Scores::Probabilities),
        _ => Err("it must be logits or probabilities".into()),
    }
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("it must lie between 0 and 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_input() {
        assert_eq!(input("bytes"), Ok(OnnxInput::Bytes));
        let own = Normalisation { mean: vec![0.5, 0.25], std: vec![1.0, 0.5] };
        assert_eq!(input("0.5,0.25/1,0.5"), Ok(OnnxInput::Standard(own)));
        for wrong in ["", "byte", "0.5", "0.5/", "0.5/0", "1,2/3", "nan/1"] {
            assert!(input(wrong).is_err(), "{wrong}");
        }
        assert!(share("0").is_err() && share("1").is_err() && share("x").is_err() && kind("x").is_err());
    }
}
