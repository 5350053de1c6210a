//! What a report needs to know and a run does not: the best weights on every tile, and what the data is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;
use hectare_data::{ClassificationSet, SegmentationSet, read_mask, write_mask_rgb};
use hectare_report::{DataFacts, Embedding, Run, SetFacts, Study, fingerprint};
use hectare_train::{EvaluationSettings, TrainError, evaluate_segmentation, sha256};

use crate::args::{Command, Hectare};
use crate::failure::{Failure, OrFail};
use crate::model_file::Loaded;
use crate::progress::Counter;
use crate::{commands, console, output};

/// Predicts every tile of a segmentation run's validation set with its best weights and counts, unless that was done
/// with the same weights before. The masks and the counts stay in the run folder.
///
/// # Errors
/// Weights or tiles that cannot be read, or a folder that cannot be written (exit code 3). Data that is not there any
/// more is a warning of the run.
pub fn tiles(run: &mut Run) -> Result<(), Failure> {
    // Windows of scenes are no tiles that lie in files.
    if run.is_classifier() || run.config.labels.is_some() {
        return Ok(());
    }
    let file = run.folder.best();
    let Ok(weights) = sha256(&file) else {
        run.warnings.push(format!("{}: no best weights to predict with", run.name));
        return Ok(());
    };
    if run.study.as_ref().is_some_and(|study| study.weights == weights) {
        return Ok(());
    }
    run.study = None;
    let mut set = match SegmentationSet::open(&run.config.val) {
        Ok(set) => set,
        Err(error) => {
            run.warnings.push(format!("{}: the tiles were not predicted: {error}", run.name));
            return Ok(());
        }
    };
    set.samples.truncate(run.config.validation_limit().unwrap_or(usize::MAX));
    console::say(format_args!("{}: predicting {} tiles with the best weights", run.name, set.samples.len()));
    let mut model = Loaded::read(&file).or_work()?.into_model()?;
    let folder = Study::masks(&run.folder);
    output::create_folder(&folder)?;
    let counter = Counter::new("tiles predicted");
    let settings =
        EvaluationSettings { progress: &|done, total| counter.set(done, total), ..Default::default() };
    let classes = run.classes.clone();
    let mut study = Study::new(weights, &classes);
    let (recipe, network) = model.parts();
    evaluate_segmentation(recipe, network, &set.samples, &classes, &settings, &mut |sample, mask| {
        let path = folder.join(format!("{}_mask.png", sample.stem));
        write_mask_rgb(mask, &classes, &path).map_err(TrainError::data)?;
        let truth = read_mask(&sample.mask, &classes).map_err(TrainError::data)?;
        study.add(&sample.stem, &truth, mask, &classes);
        Ok(())
    })
    .or_work()?;
    counter.finish();
    study.write(&run.folder).or_work()?;
    run.study = Some(study);
    Ok(())
}

/// Makes the t-SNE of what a classifier's best weights see in its validation set, in `RUN/tsne`, unless one is there that
/// is younger than the weights.
///
/// # Errors
/// Pictures or weights that cannot be used, or a folder that cannot be written.
pub fn embedding(run: &mut Run) -> Result<(), Failure> {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    let (folder, weights) = (run.folder.root().join("tsne"), run.folder.best());
    if !run.is_classifier() || !run.config.val.exists() || !weights.exists() {
        return Ok(());
    }
    if changed(&folder.join("map.csv")).is_none_or(|map| Some(map) < changed(&weights)) {
        console::say(format_args!("{}: t-SNE of the validation set", run.name));
        let mut words: Vec<OsString> = ["hectare", "embed"].map(OsString::from).to_vec();
        words.push(weights.into());
        words.extend(["--data".into(), run.config.val.clone().into(), "--out".into(), folder.clone().into()]);
        if let Some(limit) = run.config.validation_limit() {
            words.extend(["--limit".into(), limit.to_string().into()]);
        }
        if let Command::Embed(args) = Hectare::try_parse_from(words).or_work()?.command {
            commands::embed::run(&args)?;
        }
    }
    run.embedding = Embedding::read(&folder).ok();
    Ok(())
}

/// Counts the files and classes of a run's data and takes its fingerprint, unless that was done before. Data that is
/// not there any more stays unknown.
///
/// # Errors
/// A run folder that cannot be written (exit code 3).
pub fn data(run: &mut Run) -> Result<(), Failure> {
    if run.config.labels.is_some() {
        return Ok(());
    }
    let mut changed = false;
    for (name, path) in [("train", run.config.train.clone()), ("val", run.config.val.clone())] {
        if run.data.sets.get(name).is_some_and(|facts| facts.path == path) || !path.exists() {
            continue;
        }
        match facts(run, path) {
            Ok(facts) => {
                run.data.sets.insert(name.to_string(), facts);
                changed = true;
            }
            Err(failure) => run.warnings.push(format!("{}: {failure}", run.name)),
        }
    }
    if changed {
        DataFacts::write(&run.data, &run.folder).or_work()?;
    }
    Ok(())
}

fn facts(run: &Run, path: PathBuf) -> Result<SetFacts, Failure> {
    let counter = Counter::new("files of the data set read");
    let progress = |done: usize, total: usize| counter.set(done, total);
    let mut classes = vec![0; run.classes.len()];
    let (files, pictures) = if run.is_classifier() {
        let set = ClassificationSet::open_as(&path, Some(&run.classes.names()))
            .or_else(|_| ClassificationSet::open(&path))
            .or_work()?;
        for label in set.samples.iter().filter_map(|sample| sample.label) {
            if let Some(count) = classes.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        (set.samples.iter().map(|sample| sample.path.clone()).collect(), set.samples.len())
    } else {
        let set = SegmentationSet::open(&path).or_work()?;
        for (index, sample) in set.samples.iter().enumerate() {
            let mask = read_mask(&sample.mask, &run.classes).or_work()?;
            for (sum, pixels) in classes.iter_mut().zip(mask.counts(run.classes.len())) {
                *sum += pixels;
            }
            progress(index + 1, set.samples.len());
        }
        let files: Vec<PathBuf> =
            set.samples.iter().flat_map(|sample| [sample.image.clone(), sample.mask.clone()]).collect();
        (files, set.samples.len())
    };
    let (sha256, bytes) = fingerprint(&files, &progress).or_work()?;
    Ok(SetFacts { path, pictures, bytes, sha256, classes })
}
