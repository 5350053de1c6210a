//! `hectare predict MODEL_FILE INPUT... --out OUT`: masks or test_pred.csv of pictures, maps of scenes.

pub mod onnx_args;
mod resampling;
pub mod scene_args;
mod scene_model;
mod scenes;

use std::path::{Path, PathBuf};

use hectare_data::verify::{Known, verify_images};
use hectare_data::{
    Image, list_images, output_stem, read_image, write_atomic, write_mask_palette, write_mask_rgb, write_png,
};
use hectare_map::OnnxModel;
use hectare_report::overlay;
use hectare_train::{Model, npy};

use crate::args::{PredictArgs, views};
use crate::failure::{Answer, Failure, OrFail};
use crate::model_file::Loaded;
use crate::progress::Counter;
use crate::{console, output};

/// Pictures that a classifier takes at once.
const BATCH: usize = 32;

/// Applies the model to every picture.
///
/// # Errors
/// Pictures, model file or output folder that cannot be used, found before anything is written (exit code 2).
pub fn run(args: &PredictArgs) -> Result<Answer, Failure> {
    if let Some(jobs) = scenes::jobs(args)? {
        return scenes::run(args, &jobs);
    }
    if let Some(flag) = args.scene.given() {
        return Err(Failure::input(format_args!("{flag} goes with scenes, and these are pictures"))
            .help("name a map with --out MAP.tif to treat a picture as a scene"));
    }
    if OnnxModel::is_one(&args.model.model_file) {
        return Err(Failure::input("ONNX models make maps of scenes, and these are pictures")
            .help("name a map with --out MAP.tif to treat a picture as a scene"));
    }
    if let Some(flag) = args.onnx.given() {
        return Err(Failure::input(format_args!("{flag} goes with ONNX models (.onnx)")).help("leave it out"));
    }
    let paths = list_images(&args.inputs).or_input()?;
    output::check_folder(&args.out)?;
    let loaded = Loaded::open(&args.model)?;
    let classifier = loaded.card.spec.model.is_classifier();
    if !classifier {
        spare_masks(&paths, &args.out)?;
    }
    // The first pass: every picture decodes.
    let counter = Counter::new("pictures checked");
    let facts =
        verify_images(&paths, &mut Known::default(), &|done, total| counter.set(done, total)).or_input()?;
    counter.finish();
    for (flag, given) in [("--palette", args.palette), ("--overlay", args.overlay)] {
        if classifier && given {
            return Err(Failure::input(format_args!("{flag} is for masks, and this model is a classifier"))
                .help("leave it out"));
        }
    }
    if !classifier {
        loaded.check_sizes(paths.iter().map(PathBuf::as_path).zip(facts.sizes))?;
    }
    let mut model = loaded.into_model()?.with_views(views(args.tta));
    output::create_folder(&args.out)?;
    if classifier { classify(&mut model, &paths, args) } else { segment(&mut model, &paths, args) }?;
    Ok(Answer::Yes)
}

/// Refuses to write over a mask that lies beside its picture: it may be the truth.
///
/// # Errors
/// Names the mask (exit code 2).
fn spare_masks(paths: &[PathBuf], out: &Path) -> Result<(), Failure> {
    for path in paths {
        let mask = format!("{}_mask.png", output_stem(path));
        if output::same_file(&path.with_file_name(&mask), &out.join(&mask)) {
            return Err(Failure::input(format_args!(
                "{} lies beside its picture and would be written over",
                out.join(&mask).display()
            ))
            .help("give --out another folder"));
        }
    }
    Ok(())
}

/// Writes a mask for each picture, and its probabilities if wanted.
fn segment(model: &mut Model, paths: &[PathBuf], args: &PredictArgs) -> Result<(), Failure> {
    let counter = Counter::new("masks written");
    let classes = model.card().classes.clone();
    for (index, path) in paths.iter().enumerate() {
        let image = read_image(path).or_work()?;
        let stem = output_stem(path);
        let mask = if args.probabilities {
            let said = model.segment_with_probabilities(&image).or_work()?;
            let shape = [classes.len(), image.height, image.width];
            npy::write(&args.out.join(format!("{}.npy", input_stem(path))), &shape, &said.probabilities)
                .or_work()?;
            said.mask
        } else {
            model.segment(&image).or_work()?
        };
        let write = if args.palette { write_mask_palette } else { write_mask_rgb };
        write(&mask, &classes, &args.out.join(format!("{stem}_mask.png"))).or_work()?;
        if args.overlay {
            let mixed = overlay(&image, &mask, &classes);
            write_png(&mixed, &args.out.join(format!("{stem}_overlay.png"))).or_work()?;
        }
        counter.set(index + 1, paths.len());
    }
    counter.finish();
    console::say(format_args!("wrote {} masks to {}", paths.len(), args.out.display()));
    Ok(())
}

/// Writes test_pred.csv, and the probabilities if wanted.
fn classify(model: &mut Model, paths: &[PathBuf], args: &PredictArgs) -> Result<(), Failure> {
    let counter = Counter::new("pictures classified");
    let k = model.card().spec.classes;
    let mut csv = String::from("image_id,label\n");
    let mut all = Vec::with_capacity(paths.len() * k);
    for batch in paths.chunks(BATCH) {
        let images =
            batch.iter().map(|path| read_image(path)).collect::<Result<Vec<Image>, _>>().or_work()?;
        let probabilities = model.classify(&images).or_work()?;
        for (path, row) in batch.iter().zip(probabilities.chunks_exact(k)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            csv += &format!("{},{}\n", output::csv_field(&name), model.recipe().largest(row));
        }
        all.extend_from_slice(&probabilities);
        counter.set(all.len() / k, paths.len());
    }
    counter.finish();
    if args.probabilities {
        npy::write(&args.out.join("probabilities.npy"), &[paths.len(), k], &all).or_work()?;
    }
    let file = args.out.join("test_pred.csv");
    write_atomic(&file, csv.as_bytes()).or_work()?;
    if let [path] = paths {
        let label = model.recipe().largest(&all);
        let name = model.card().classes.classes.get(label).map_or(String::new(), |class| class.name.clone());
        let named = if name == label.to_string() { String::new() } else { format!(" {name}") };
        console::result(format_args!("{}: {label}{named} {:.4}\n", path.display(), all[label]))?;
    }
    console::say(format_args!("wrote {} labels to {}", paths.len(), file.display()));
    Ok(())
}

fn input_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
