//! `hectare demo`: both problems, from drawing the pictures to a trained network and its masks.

use std::path::{Path, PathBuf};
use std::time::Instant;

use hectare_data::{
    ClassificationSet, Mask, SegmentationSet, read_image, read_mask, write_mask_rgb, write_png,
};
use hectare_net::ClassMap;
use hectare_report::{mask_colours, sheet};
use hectare_train::{
    EvaluationSettings, IouReport, Layer, Protocol, TrainConfig, evaluate_classification,
    evaluate_segmentation, scored,
};

use super::train::failure;
use crate::args::DemoArgs;
use crate::demo::{land, shapes};
use crate::failure::{Answer, Failure, OrFail};
use crate::model_file::Loaded;
use crate::progress::Watcher;
use crate::{console, output, study, table};

/// What the pictures are drawn from.
const SEED: u64 = 2026;
/// Channels of the demo's networks, as a factor on those of VGG16.
const WIDTH: f64 = 0.125;
/// Sides of the validation tiles on the contact sheet are enlarged by this.
const ZOOM: usize = 2;

/// How much is drawn and trained.
struct Size {
    /// Pictures of each kind for training and validation.
    pictures: [usize; 2],
    /// Tiles for training and validation.
    tiles: [usize; 2],
    /// Side of a tile in pixels.
    side: usize,
    /// Epochs of the classifier, of FCN32s and of FCN8s, which learns sooner.
    epochs: [usize; 3],
    /// Tiles on the contact sheet.
    rows: usize,
}

const WHOLE: Size = Size { pictures: [160, 25], tiles: [100, 20], side: 128, epochs: [16, 24, 12], rows: 4 };
const QUICK: Size = Size { pictures: [4, 2], tiles: [4, 2], side: 64, epochs: [1, 1, 1], rows: 2 };

/// Draws, trains, measures and shows.
///
/// # Errors
/// When OUT cannot be written or already holds a demo (exit code 2), or a training fails (exit code 3).
pub fn run(args: &DemoArgs) -> Result<Answer, Failure> {
    let start = Instant::now();
    let size = if args.quick { &QUICK } else { &WHOLE };
    let out = &args.out;
    output::check_folder(out)?;
    if out.join("data").exists() || out.join("runs").exists() {
        return Err(Failure::input(format_args!("{} already holds a demo", out.display()))
            .help("remove it, or give another folder with --out"));
    }
    let (pictures, tiles) = (out.join("data/pictures"), out.join("data/tiles"));
    console::say(format_args!(
        "drawing {} pictures of {} kinds and {} tiles with masks into {}",
        size.pictures.iter().sum::<usize>() * shapes::KINDS.len(),
        shapes::KINDS.len(),
        size.tiles.iter().sum::<usize>(),
        out.join("data").display()
    ));
    draw_pictures(&pictures, size)?;
    draw_tiles(&tiles, size)?;

    let run = out.join("runs/classifier");
    console::say("training a classifier: vgg16_bn, an eighth of its width, from scratch");
    let epochs = size.epochs[0];
    train(&pictures, &run, |flags| {
        flags.set("task", "classify");
        flags.set("model", "vgg16_bn");
        flags.set("epochs", epochs);
        flags.set("batch_size", 16);
        flags.set("input", shapes::SIDE);
        flags.set("lr", 2e-3);
        flags.set("trunk_lr_factor", 1.0);
        flags.set("label_smoothing", 0.0);
        // A smaller crop would cut the shapes; turning and mirroring leaves the kind as it is.
        flags.set("crop_area", [0.8, 1.0]);
        flags.set("flip_v", true);
        flags.set("quarter_turns", true);
    })?;
    let accuracy = classifier_accuracy(&run, &pictures.join("val"))?;

    let mut columns = Vec::new();
    let mut masks = Vec::new();
    for (model, epochs) in [("fcn32s", size.epochs[1]), ("fcn8s", size.epochs[2])] {
        let run = out.join("runs").join(model);
        console::say(format_args!("training {model}, an eighth of its width, from scratch"));
        train(&tiles, &run, |flags| {
            flags.set("task", "segment");
            flags.set("model", model);
            flags.set("epochs", epochs);
            flags.set("batch_size", 2);
            flags.set("input", "whole");
            flags.set("scale", [1.0, 1.0]);
            flags.set("lr", 7e-4);
        })?;
        let (report, predicted) = segment(&run, &tiles.join("val"), &out.join("masks").join(model))?;
        columns.push((model.to_uppercase().replace('S', "s"), report.iou, report.mean));
        masks.push(predicted);
    }
    let page = out.join("report.html");
    report(out, &page)?;
    let classes = ClassMap::course();
    let picture = out.join("demo.png");
    contact_sheet(&tiles.join("val"), &masks, &columns, size.rows, &picture)?;
    let names: Vec<String> = classes.names().into_iter().take(columns[0].1.len()).collect();
    console::result(format_args!(
        "classifier: accuracy {accuracy:.4} on {} pictures of {} kinds\n\n\
         segmentation: intersection over union, protocol course, {} tiles\n\n{}\n\
         {}: every figure and picture, in one page\n\
         {}: image, truth and both networks' masks\n\
         {}: data, runs (weights, metrics) and masks\n",
        size.pictures[1] * shapes::KINDS.len(),
        shapes::KINDS.len(),
        size.tiles[1],
        table::figures(&names, &columns),
        page.display(),
        picture.display(),
        out.display()
    ))?;
    console::say(format_args!("done in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(Answer::Yes)
}

/// The page of all three runs.
fn report(out: &Path, page: &Path) -> Result<(), Failure> {
    let paths = ["classifier", "fcn32s", "fcn8s"].map(|name| out.join("runs").join(name));
    let mut runs = super::report::read(&paths)?;
    runs.iter_mut().try_for_each(study::embedding)?;
    for (class, kind) in runs[0].classes.classes.iter_mut().zip(shapes::KINDS) {
        class.name = kind.to_string();
    }
    let names = runs[0].classes.names();
    if let Some(confusion) = &mut runs[0].confusion {
        confusion.names = names;
    }
    let title = "hectare demo: narrow networks, trained in minutes on pictures that the program draws";
    super::report::write(&mut runs, title, page, None, true)
}

/// The classifier's data: `{class}_{id}.png` in `train` and `val`.
fn draw_pictures(root: &Path, size: &Size) -> Result<(), Failure> {
    for (stream, (set, &count)) in ["train", "val"].iter().zip(&size.pictures).enumerate() {
        let folder = root.join(set);
        output::create_folder(&folder)?;
        for kind in 0..shapes::KINDS.len() {
            for index in 0..count {
                let picture = shapes::draw(SEED, stream as u64, kind, index);
                write_png(&picture, &folder.join(format!("{kind}_{index:03}.png"))).or_work()?;
            }
        }
    }
    Ok(())
}

/// The segmentation networks' data: `NNNN_sat.png` and `NNNN_mask.png` in `train` and `val`.
fn draw_tiles(root: &Path, size: &Size) -> Result<(), Failure> {
    let classes = ClassMap::course();
    for (stream, (set, &count)) in ["train", "val"].iter().zip(&size.tiles).enumerate() {
        let folder = root.join(set);
        output::create_folder(&folder)?;
        for index in 0..count {
            let (image, mask) = land::draw(SEED, 16 + stream as u64, index, size.side);
            write_png(&image, &folder.join(format!("{index:04}_sat.png"))).or_work()?;
            write_mask_rgb(&mask, &classes, &folder.join(format!("{index:04}_mask.png"))).or_work()?;
        }
    }
    Ok(())
}

/// Trains on `data/train` and `data/val` with the settings that `set` gives.
fn train(data: &Path, run: &Path, set: impl FnOnce(&mut Layer)) -> Result<(), Failure> {
    let mut flags = Layer::new("the demo");
    flags.set("train", data.join("train"));
    flags.set("val", data.join("val"));
    flags.set("out", run);
    flags.set("width", WIDTH);
    set(&mut flags);
    let config = TrainConfig::resolve(&[flags]).or_work()?;
    super::train::train(config, &Watcher::default()).map_err(failure)?;
    Ok(())
}

/// Share of the validation pictures whose kind the best weights name.
fn classifier_accuracy(run: &Path, data: &Path) -> Result<f64, Failure> {
    let mut model = Loaded::read(&best(run)).or_work()?.into_model()?;
    let set = ClassificationSet::open(data).or_work()?;
    let (recipe, network) = model.parts();
    let found =
        evaluate_classification(recipe, network, &set.samples, &EvaluationSettings::default()).or_work()?;
    Ok(found.confusion.accuracy())
}

/// Writes the masks that the best weights predict and gives their score, with the masks.
fn segment(run: &Path, data: &Path, out: &Path) -> Result<(IouReport, Vec<Mask>), Failure> {
    let mut model = Loaded::read(&best(run)).or_work()?.into_model()?;
    let classes = model.card().classes.clone();
    let set = SegmentationSet::open(data).or_work()?;
    output::create_folder(out)?;
    let mut masks = Vec::new();
    let (recipe, network) = model.parts();
    let settings = EvaluationSettings::default();
    let found =
        evaluate_segmentation(recipe, network, &set.samples, &classes, &settings, &mut |sample, mask| {
            masks.push((out.join(format!("{}_mask.png", sample.stem)), mask.clone()));
            Ok(())
        })
        .or_work()?;
    for (path, mask) in &masks {
        write_mask_rgb(mask, &classes, path).or_work()?;
    }
    let report = found.confusion.iou(Protocol::Course, &scored(&classes));
    Ok((report, masks.into_iter().map(|(_, mask)| mask).collect()))
}

fn best(run: &Path) -> PathBuf {
    run.join("weights/best.safetensors")
}

/// Tiles of `data` beside the truth and each network's masks.
fn contact_sheet(
    data: &Path,
    masks: &[Vec<Mask>],
    columns: &[table::Column],
    rows: usize,
    path: &Path,
) -> Result<(), Failure> {
    let classes = ClassMap::course();
    let set = SegmentationSet::open(data).or_work()?;
    let truths =
        set.samples.iter().map(|sample| read_mask(&sample.mask, &classes)).collect::<Result<Vec<_>, _>>();
    let truths = truths.or_work()?;
    let mut captions = vec!["Image".to_string(), "Truth".to_string()];
    captions.extend(columns.iter().map(|(name, _, mean)| format!("{name} {:.3}", mean.unwrap_or(0.0))));
    let mut sheet_rows = Vec::new();
    for index in richest(&truths, rows) {
        let mut row =
            vec![read_image(&set.samples[index].image).or_work()?, mask_colours(&truths[index], &classes)];
        row.extend(masks.iter().map(|masks| mask_colours(&masks[index], &classes)));
        sheet_rows.push(row);
    }
    write_png(&sheet::contact_sheet(&captions, &sheet_rows, &classes, ZOOM), path).or_work()
}

/// The masks that show most classes, in order.
fn richest(masks: &[Mask], count: usize) -> Vec<usize> {
    let classes = |mask: &Mask| mask.counts(6).iter().filter(|&&pixels| pixels > 200).count();
    let mut order: Vec<usize> = (0..masks.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(classes(&masks[index])));
    order.truncate(count);
    order.sort_unstable();
    order
}
