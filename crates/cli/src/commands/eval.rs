//! `hectare eval MODEL_FILE --data DIR`: accuracy, or intersection over union.

use hectare_data::verify::{Known, verify_classification, verify_segmentation};
use hectare_data::{ClassificationSet, DataError, SegmentationSet};
use hectare_train::{
    ClassScore, ConfusionMatrix, Evaluation, EvaluationSettings, Model, Protocol, class_scores,
    evaluate_classification, evaluate_segmentation, scored,
};
use serde::Serialize;

use crate::args::{EvalArgs, ModelFileArgs, views};
use crate::failure::{Answer, Failure, OrFail};
use crate::model_file::Loaded;
use crate::progress::Counter;
use crate::{console, table};

/// What `--json` prints for a classifier.
#[derive(Serialize)]
struct Accuracy {
    tta: bool,
    accuracy: f64,
    correct: u64,
    images: u64,
    loss: f64,
    classes: Vec<Recall>,
    confusion: Vec<Vec<u64>>,
}

/// One class of a classifier.
#[derive(Serialize)]
struct Recall {
    id: usize,
    name: String,
    images: u64,
    recall: Option<f64>,
}

/// What `--json` prints for a segmentation network: the keys of `score --json`.
#[derive(Serialize)]
struct Iou {
    protocol: Protocol,
    tta: bool,
    classes: Vec<ClassScore>,
    mean_iou: Option<f64>,
    pixel_accuracy: f64,
    loss: f64,
    confusion: Vec<Vec<u64>>,
    images: usize,
    orphans: Vec<String>,
}

/// Measures the model and prints what was found. The answer is no when it is below what was asked for.
///
/// # Errors
/// A model file or data that cannot be used (exit code 2).
pub fn run(args: &EvalArgs) -> Result<Answer, Failure> {
    let loaded = Loaded::open(&args.model)?;
    if loaded.card.spec.model.is_classifier() {
        if args.min_miou.is_some() {
            return Err(Failure::input("--min-miou is for masks, and this model is a classifier")
                .help("ask for an accuracy with --min-accuracy"));
        }
        classification(loaded, args)
    } else {
        segmentation(loaded, args)
    }
}

fn classification(loaded: Loaded, args: &EvalArgs) -> Result<Answer, Failure> {
    let names = loaded.card.classes.names();
    let mut set = ClassificationSet::open_as(&args.data, Some(&names)).or_input()?;
    set.require_labels().or_input()?;
    set.samples.truncate(args.limit.unwrap_or(usize::MAX));
    let counter = Counter::new("pictures checked");
    verify_classification(&set, &mut Known::default(), &|done, total| counter.set(done, total)).or_input()?;
    counter.finish();
    let mut model = loaded.into_model()?.with_views(views(args.tta));
    let counter = Counter::new("pictures evaluated");
    let settings =
        EvaluationSettings { progress: &|done, total| counter.set(done, total), ..Default::default() };
    let (recipe, network) = model.parts();
    let found = evaluate_classification(recipe, network, &set.samples, &settings).or_work()?;
    counter.finish();
    let (confusion, accuracy) = (&found.confusion, found.confusion.accuracy());
    let correct = (0..names.len()).map(|class| confusion.count(class, class)).sum();
    if args.json {
        let classes = recalls(confusion, &names);
        let (images, loss) = (confusion.total(), found.loss.mean());
        let tta = args.tta;
        console::json(&Accuracy {
            tta,
            accuracy,
            correct,
            images,
            loss,
            classes,
            confusion: confusion.rows(),
        })?;
    } else {
        console::result(format_args!(
            "accuracy {accuracy:.4} ({correct} of {} pictures{})\n",
            confusion.total(),
            averaged(args.tta)
        ))?;
    }
    Ok(answer(below("accuracy", Some(accuracy), args.min_accuracy)))
}

fn recalls(confusion: &ConfusionMatrix, names: &[String]) -> Vec<Recall> {
    let rows = confusion.rows();
    let one = |(id, recall): (usize, Option<f64>)| Recall {
        id,
        name: names[id].clone(),
        images: rows[id].iter().sum(),
        recall,
    };
    confusion.recalls().into_iter().enumerate().map(one).collect()
}

fn segmentation(loaded: Loaded, args: &EvalArgs) -> Result<Answer, Failure> {
    let classes = loaded.card.classes.clone();
    let mut set = SegmentationSet::open(&args.data).or_input()?;
    set.samples.truncate(args.limit.unwrap_or(usize::MAX));
    check(&loaded, &args.model, &set)?;
    let mut model = loaded.into_model()?.with_views(views(args.tta));
    let counter = Counter::new("tiles evaluated");
    let settings =
        EvaluationSettings { progress: &|done, total| counter.set(done, total), ..Default::default() };
    let protocol = args.protocol.into();
    let found = measure(&mut model, &set, &settings)?;
    counter.finish();
    let report = found.confusion.iou(protocol, &scored(&classes));
    let scores = class_scores(&report, &classes);
    let orphans: Vec<String> = set.orphans.iter().map(|path| path.display().to_string()).collect();
    warn_of_orphans(&set);
    let accuracy = found.confusion.accuracy();
    if args.json {
        console::json(&Iou {
            protocol,
            tta: args.tta,
            classes: scores,
            mean_iou: report.mean,
            pixel_accuracy: accuracy,
            loss: found.loss.mean(),
            confusion: found.confusion.rows(),
            images: set.samples.len(),
            orphans,
        })?;
    } else {
        let column = (String::from("IoU"), scores.iter().map(|class| class.iou).collect(), report.mean);
        let names = scores.iter().map(|class| class.name.clone()).collect::<Vec<_>>();
        console::result(format_args!(
            "protocol {protocol}, {} tiles{}, pixel accuracy {accuracy:.4}\n\n{}",
            set.samples.len(),
            averaged(args.tta),
            table::figures(&names, &[column])
        ))?;
    }
    let low = [
        below("mean IoU", report.mean, args.min_miou),
        below("pixel accuracy", Some(accuracy), args.min_accuracy),
    ];
    Ok(answer(low.contains(&true)))
}

/// Says which files have no partner.
pub fn warn_of_orphans(set: &SegmentationSet) {
    for orphan in &set.orphans {
        console::warn(format_args!("{} has no partner and was left out", orphan.display()));
    }
}

/// Checks every tile and mask before work begins.
///
/// # Errors
/// A file that cannot be read, a colour or id of no class, a tile that the network cannot take (exit code 2).
pub fn check(loaded: &Loaded, args: &ModelFileArgs, set: &SegmentationSet) -> Result<(), Failure> {
    let classes = &loaded.card.classes;
    let counter = Counter::new("files checked");
    let progress = |done, total| counter.set(done, total);
    let facts = verify_segmentation(set, classes, &mut Known::default(), &progress).map_err(|error| {
        let failure = Failure::input(&error);
        match error {
            DataError::UnlistedColour { .. } | DataError::UnlistedId { .. } => failure.help(format_args!(
                "the class map is the one of {} ({} classes); --class-map gives another",
                args.class_map.as_ref().unwrap_or(&args.model_file).display(),
                classes.len()
            )),
            _ => failure,
        }
    })?;
    counter.finish();
    loaded.check_sizes(set.samples.iter().map(|sample| sample.image.as_path()).zip(facts.sizes))
}

/// Says that figures are those of averaged probabilities.
fn averaged(tta: bool) -> &'static str {
    if tta { ", averaged over positions" } else { "" }
}

/// Runs every tile.
fn measure(
    model: &mut Model,
    set: &SegmentationSet,
    settings: &EvaluationSettings<'_>,
) -> Result<Evaluation, Failure> {
    let classes = model.card().classes.clone();
    let (recipe, network) = model.parts();
    evaluate_segmentation(recipe, network, &set.samples, &classes, settings, &mut |_, _| Ok(())).or_work()
}

/// Whether a figure is below what the user asked for, said on stderr.
pub fn below(what: &str, figure: Option<f64>, least: Option<f64>) -> bool {
    let Some(least) = least else { return false };
    let low = figure.is_none_or(|figure| figure < least);
    if low {
        let figure = figure.map_or("nothing to count".to_string(), |figure| format!("{figure:.6}"));
        console::warn(format_args!("{what}: {figure}, asked for at least {least}"));
    }
    low
}

fn answer(low: bool) -> Answer {
    if low { Answer::No } else { Answer::Yes }
}
