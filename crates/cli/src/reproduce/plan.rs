//! Which sizes and epochs the stages have, and how long each takes.

use std::path::PathBuf;

use hectare_net::{Geometry, ModelKind};
use hectare_train::{Preset, duration};
use serde::{Deserialize, Serialize};

use super::pace::{Pace, seen};

/// What the user asked for; a folder that was begun with something else is not gone on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// The folder of both problems' data.
    pub data: PathBuf,
    /// The recipe.
    pub preset: Preset,
    /// Hours for everything.
    pub hours: Option<f64>,
    /// Epochs of the classifier, FCN32s, FCN16s and FCN8s.
    pub epochs: Option<[usize; 4]>,
    /// Side of the classifier's pictures.
    pub classify_input: Option<usize>,
    /// Side of the crops that the FCNs train on.
    pub input: Option<usize>,
    /// Side to which tiles are scaled.
    pub resize: Option<usize>,
    /// Weights of the trunk.
    pub init: Option<PathBuf>,
    /// First pictures of each set.
    pub limit: Option<usize>,
    /// Factor on the channels.
    pub width: f64,
    /// The seed of everything.
    pub seed: u64,
}

/// What is done, fixed when the folder is begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What it was made for.
    pub wish: Wish,
    /// Side of the classifier's pictures.
    pub classify_input: usize,
    /// Side of the FCNs' crops; whole tiles without.
    pub input: Option<usize>,
    /// Side to which tiles are scaled.
    pub resize: Option<usize>,
    /// Trainings in the order in which they are done.
    pub stages: Vec<Stage>,
    /// Seconds of predictions and figures for the report.
    pub report_s: f64,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The folder of its run, below `runs`.
    pub name: String,
    /// The network.
    pub model: ModelKind,
    /// Whole epochs; with hours, the run's own timing decides and this is what is expected.
    pub epochs: f64,
    /// Seconds expected.
    pub seconds: f64,
}

/// Pictures of each set, and the side of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The classifier's training and validation pictures.
    pub classify: [usize; 2],
    /// Tiles for training and validation.
    pub segment: [usize; 2],
    /// Side of a tile.
    pub side: usize,
}

/// How the time of `--hours` is shared: the classifier, FCN32s, FCN16s, FCN8s. The finer networks start from the coarser.
pub const SHARES: [f64; 4] = [0.28, 0.30, 0.17, 0.25];
/// Share of all time that is left for the report and for a machine that is not always as quick.
const SPARE: f64 = 0.08;
/// Epochs that a training should have at least before a larger size is chosen.
const FEW: f64 = 4.0;

const MODELS: [(&str, ModelKind); 4] = [
    ("classifier", ModelKind::Vgg16),
    ("fcn32s", ModelKind::Fcn32s),
    ("fcn16s", ModelKind::Fcn16s),
    ("fcn8s", ModelKind::Fcn8s),
];

/// The plan, from the pace of the classifier and of the FCNs.
pub fn plan(wish: Wish, sizes: Sizes, classify: Pace, segment: Pace) -> Plan {
    let geometry = if wish.preset == Preset::Course { Geometry::Caffe } else { Geometry::Modern };
    let course = wish.preset == Preset::Course;
    let tile = sizes.side as f64;
    // Seconds of an epoch and of a validation, of the classifier with a side, and of an FCN with a scale and a crop.
    let classifier_s = |side: usize| {
        let pixels = (side * side) as f64;
        (
            classify.train_of(pixels) * sizes.classify[0] as f64,
            classify.predict_of(pixels) * sizes.classify[1] as f64,
        )
    };
    let fcn_s = |resize: Option<usize>, input: Option<usize>| {
        let whole = resize.map_or(tile, |side| side as f64);
        let trained = seen(input.map_or(whole, |side| (side as f64).min(whole)), geometry);
        let predicted = seen(whole, geometry);
        (
            segment.train_of(trained) * sizes.segment[0] as f64,
            segment.predict_of(predicted) * sizes.segment[1] as f64,
        )
    };
    let usual_epochs = wish.epochs.unwrap_or(if course { [15, 50, 80, 80] } else { [10, 20, 10, 20] });
    let usual_input = wish.input.or((!course).then_some(256));
    let (mut classify_input, mut input, mut resize) =
        (wish.classify_input.unwrap_or(128), usual_input, wish.resize);
    let budget_s = wish.hours.map(|hours| hours * 3600.0 * (1.0 - SPARE));
    if let Some(budget_s) = budget_s {
        let few = |(epoch_s, validation_s): (f64, f64), share: f64| {
            FEW * (epoch_s + validation_s) <= share * budget_s
        };
        // The largest that leaves a few epochs, else the smallest.
        if wish.classify_input.is_none() {
            classify_input =
                [128, 96, 64].into_iter().find(|side| few(classifier_s(*side), SHARES[0])).unwrap_or(32);
        }
        if wish.input.is_none() && wish.resize.is_none() {
            let choices =
                [(None, Some(256)), (Some(256), Some(224)), (Some(256), Some(128)), (Some(128), Some(96))];
            let fits = |(resize, input): &(Option<usize>, Option<usize>)| {
                resize.is_none_or(|side| side < sizes.side) && few(fcn_s(*resize, *input), SHARES[2])
            };
            (resize, input) = choices.into_iter().find(fits).unwrap_or(choices[choices.len() - 1]);
        }
    }
    let stages = MODELS.iter().zip(usual_epochs).zip(SHARES).map(|(((name, model), epochs), share)| {
        let (epoch_s, validation_s) =
            if model.is_classifier() { classifier_s(classify_input) } else { fcn_s(resize, input) };
        let each_s = epoch_s + validation_s;
        let (epochs, seconds) = match budget_s {
            Some(budget_s) => (share * budget_s / each_s, share * budget_s),
            None => (epochs as f64, epochs as f64 * each_s),
        };
        Stage { name: (*name).to_string(), model: *model, epochs, seconds }
    });
    let stages = stages.collect();
    let report_s = 3.0 * fcn_s(resize, input).1 * 1.5 + classifier_s(classify_input).1;
    Plan { wish, classify_input, input, resize, stages, report_s }
}

impl Plan {
    /// Seconds of everything.
    pub fn seconds(&self) -> f64 {
        self.stages.iter().map(|stage| stage.seconds).sum::<f64>() + self.report_s
    }

    /// The plan for people.
    pub fn describe(&self) -> String {
        let mut text = String::from("stage        epochs   time\n");
        for stage in &self.stages {
            let epochs = if stage.epochs < 10.0 {
                format!("{:.1}", stage.epochs)
            } else {
                format!("{:.0}", stage.epochs)
            };
            text += &format!("{:<12} {epochs:>6}   {}\n", stage.name, duration(stage.seconds));
        }
        text += &format!("{:<12} {:>6}   {}\n", "report", "", duration(self.report_s));
        let tiles = match (self.resize, self.input) {
            (None, None) => "whole tiles".to_string(),
            (None, Some(side)) => format!("crops of {side} pixels of the tiles"),
            (Some(side), None) => format!("whole tiles, scaled to {side} pixels"),
            (Some(whole), Some(side)) => format!("crops of {side} pixels of the tiles scaled to {whole}"),
        };
        text += &format!(
            "the classifier sees pictures of {0}x{0} pixels, the FCNs {tiles}; preset {1}; {2} in all",
            self.classify_input,
            self.wish.preset,
            duration(self.seconds())
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(hours: Option<f64>, preset: Preset) -> Wish {
        Wish {
            data: "data".into(),
            preset,
            hours,
            epochs: None,
            classify_input: None,
            input: None,
            resize: None,
            init: None,
            limit: None,
            width: 1.0,
            seed: 1,
        }
    }

    const SIZES: Sizes = Sizes { classify: [22_500, 2_500], segment: [2_000, 257], side: 512 };
    const CLASSIFY: Pace = Pace { pixels: 16_384.0, train_s: 0.08, predict_s: 0.025 };
    const SEGMENT: Pace = Pace { pixels: 65_536.0, train_s: 0.55, predict_s: 0.17 };

    #[test]
    fn hours_are_kept_and_sizes_grow_with_them() {
        let of = |hours: f64| plan(wish(Some(hours), Preset::Modern), SIZES, CLASSIFY, SEGMENT);
        for hours in [0.5, 2.0, 8.0, 48.0, 300.0] {
            let plan = of(hours);
            let trained: f64 = plan.stages.iter().map(|stage| stage.seconds).sum();
            assert!(trained <= hours * 3600.0 * 0.93, "{hours} h: {}", plan.describe());
        }
        assert_eq!((of(0.5).classify_input, of(48.0).classify_input), (32, 128));
        assert_eq!((of(0.5).resize, of(48.0).resize), (Some(128), None));
        assert!(of(8.0).stages.iter().all(|stage| stage.epochs >= 3.0), "{}", of(8.0).describe());
        let fixed =
            plan(Wish { input: Some(192), ..wish(Some(1.0), Preset::Modern) }, SIZES, CLASSIFY, SEGMENT);
        assert_eq!((fixed.input, fixed.resize), (Some(192), None));
    }

    #[test]
    fn the_reports_own_epochs_take_days() {
        let plan = plan(wish(None, Preset::Course), SIZES, CLASSIFY, SEGMENT);
        let epochs: Vec<f64> = plan.stages.iter().map(|stage| stage.epochs).collect();
        assert_eq!(epochs, [15.0, 50.0, 80.0, 80.0]);
        assert!(plan.seconds() > 100.0 * 3600.0);
        assert!(plan.describe().contains("fcn8s") && plan.describe().contains("whole tiles"));
    }
}
