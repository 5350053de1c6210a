//! `hectare tune MODEL_FILE --data DIR --out FILE`: levels of the classes' scores for the best mean IoU.

use hectare_data::SegmentationSet;
use hectare_net::{ModelCard, offset_scores, weights};
use hectare_train::{EvaluationSettings, Protocol, Tuning, keep_held_out, score_pixels, scored};
use serde::Serialize;

use super::eval::{check, warn_of_orphans};
use crate::args::TuneArgs;
use crate::failure::{Answer, Failure, OrFail};
use crate::model_file::Loaded;
use crate::progress::Counter;
use crate::{console, output, table};

/// What `--json` prints.
#[derive(Serialize)]
struct Document {
    protocol: Protocol,
    images: usize,
    pixels: usize,
    /// Mean IoU before and after.
    mean_iou: [f64; 2],
    /// The same on tiles that had no part in the choice.
    elsewhere: Option<[f64; 2]>,
    classes: Vec<Offset>,
}

/// What is added to the scores of a class.
#[derive(Serialize)]
struct Offset {
    id: usize,
    name: String,
    offset: f32,
}

/// Finds the offsets, prints them and writes the weights that have them.
///
/// # Errors
/// A classifier, a model file or data that cannot be used, no tile held out (exit code 2), a file that cannot be written.
pub fn run(args: &TuneArgs) -> Result<Answer, Failure> {
    if !args.out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
        return Err(Failure::input(format_args!("{} does not end in .safetensors", args.out.display())));
    }
    output::check_file(&args.out)?;
    let loaded = Loaded::open(&args.model)?;
    let (card, params) = (loaded.card.clone(), loaded.params.clone());
    let model = card.spec.model;
    if model.is_classifier() {
        return Err(Failure::input(format_args!("{model} names whole pictures, and mean IoU is of pixels"))
            .help("give a segmentation network"));
    }
    let mut set = SegmentationSet::open(&args.data).or_input()?;
    if let Some(share) = args.holdout {
        let all = set.samples.len();
        keep_held_out(&mut set, share);
        if set.samples.is_empty() {
            return Err(Failure::input(format_args!("--holdout {share} holds out none of the {all} tiles"))
                .help("give the share of the run"));
        }
    }
    warn_of_orphans(&set);
    check(&loaded, &args.model, &set)?;
    let mut model = loaded.into_model()?;
    let counter = Counter::new("tiles predicted");
    let settings =
        EvaluationSettings { progress: &|done, total| counter.set(done, total), ..Default::default() };
    let protocol = args.protocol.into();
    let (recipe, network) = model.parts();
    let pixels = score_pixels(recipe, network, &set.samples, &card.classes, protocol, args.pixels, &settings)
        .or_work()?;
    counter.finish();
    if pixels.is_empty() {
        return Err(Failure::input("no pixel of the tiles has a class that counts"));
    }
    let (names, counts) = (card.classes.names(), scored(&card.classes));
    for class in pixels.absent() {
        let name = &names[class];
        console::warn(format_args!("{name} does not occur in the tiles; its score is left as it is"));
    }
    let tuning = pixels.tune(&|mean| console::detail(format_args!("mean IoU {mean:.4}")));

    let (spec, shifted) = offset_scores(&card.spec, &params, &tuning.offsets).or_work()?;
    output::create_folder(&output::parent(&args.out))?;
    weights::write(&args.out, &ModelCard { spec, ..card }, &shifted).or_work()?;

    if args.json {
        let classes = names.into_iter().zip(&tuning.offsets).enumerate();
        console::json(&Document {
            protocol,
            images: set.samples.len(),
            pixels: pixels.len(),
            mean_iou: tuning.mean_iou,
            elsewhere: tuning.elsewhere,
            classes: classes.map(|(id, (name, &offset))| Offset { id, name, offset }).collect(),
        })?;
    } else {
        let mut rows = vec![["class".to_owned(), "added to its score".to_owned()]];
        let classes = names.iter().zip(&tuning.offsets).zip(counts).filter(|(_, counts)| *counts);
        rows.extend(classes.map(|((name, offset), _)| [name.clone(), format!("{offset:+.4}")]));
        console::result(format_args!(
            "{}\n{}",
            table::aligned(&rows, 1),
            said(&tuning, protocol, set.samples.len(), pixels.len())
        ))?;
    }
    match tuning.elsewhere {
        Some([before, after]) if after <= before => console::warn(
            "offsets of one half of the tiles gain nothing on the other half: with so few tiles they do not say what is better",
        ),
        Some(_) => {}
        None => console::warn(
            "a single tile has a class that counts: nothing says whether the offsets are better elsewhere",
        ),
    }
    console::say(format_args!("wrote {}", args.out.display()));
    Ok(Answer::Yes)
}

/// The figures in words.
fn said(tuning: &Tuning, protocol: Protocol, tiles: usize, pixels: usize) -> String {
    let change = |[before, after]: [f64; 2]| format!("{before:.4} -> {after:.4} ({:+.4})", after - before);
    let mut text = format!(
        "mean IoU, protocol {protocol}, {pixels} pixels of {tiles} tiles: {}\n",
        change(tuning.mean_iou)
    );
    if let Some(elsewhere) = tuning.elsewhere {
        let change = change(elsewhere);
        text += &format!("offsets of one half of the tiles measured on the other: {change}\n");
    }
    text
}
