//! `hectare train classify|segment` and `hectare train --resume`.

pub mod args;

use std::path::Path;

use hectare_net::weights::WeightError;
use hectare_report::tensorboard::EventLog;
use hectare_train::{Layer, Observer, Picks, RunSummary, TrainConfig, TrainError};

use self::args::{TaskArgs, TrainArgs};
use crate::failure::{Answer, Failure, OrFail};
use crate::ground::open_ground;
use crate::progress::{Both, Watcher};
use crate::{console, download, output, scene_files, signals};

/// Trains; the summary of the run goes to stdout. The answer is no where a signal ended it early.
///
/// # Errors
/// What is wrong with settings or data (exit code 2), or what stopped the run (exit code 3).
pub fn run(args: &TrainArgs, threads: Option<usize>) -> Result<Answer, Failure> {
    let plain = args.plain || args.task.as_ref().is_some_and(|task| task.parts().1.plain);
    let watcher = Watcher::until(signals::stop_flag()).plain(plain);
    let summary = match (&args.resume, &args.task) {
        (Some(run), _) => resume(run, threads, &watcher),
        (None, Some(task)) => {
            let config = config(task, threads)?;
            output::check_folder(&config.out)?;
            train(config, &watcher)
        }
        (None, None) => {
            return Err(Failure::input("nothing to train")
                .help("say `train classify`, `train segment` or `train --resume RUN`"));
        }
    };
    finish(&summary.map_err(failure)?)
}

/// Whether a run is to be gone on with whose products are of bf16 numbers.
pub fn resumes_in_bf16(args: &TrainArgs) -> bool {
    // What is wrong with the folder is said when it is opened to train.
    args.resume.as_deref().is_some_and(|run| hectare_train::is_of_bf16(run).unwrap_or(false))
}

/// Trains; `watcher` is told, and an event file for TensorBoard is kept in the run folder.
///
/// # Errors
/// As [`hectare_train::train`].
pub fn train(config: TrainConfig, watcher: &Watcher) -> Result<RunSummary, TrainError> {
    let out = config.out.clone();
    watched(&out, watcher, |observer| hectare_train::train_with(config, Some(&open_ground), observer))
}

/// Goes on with a run, watched as in [`train`].
///
/// # Errors
/// As [`hectare_train::resume`].
pub fn resume(run: &Path, threads: Option<usize>, watcher: &Watcher) -> Result<RunSummary, TrainError> {
    watched(run, watcher, |observer| hectare_train::resume_with(run, threads, Some(&open_ground), observer))
}

/// Does `work` under the eyes of `watcher` and of an event log.
fn watched(
    run: &Path,
    watcher: &Watcher,
    work: impl FnOnce(&dyn Observer) -> Result<RunSummary, TrainError>,
) -> Result<RunSummary, TrainError> {
    let log = EventLog::new(run);
    let summary = work(&Both(watcher, &log));
    if let Some(trouble) = log.trouble() {
        console::warn(format_args!("no more for TensorBoard: {trouble}"));
    }
    summary
}

/// The settings: the preset, over it the file of `--config`, over it the flags.
fn config(task: &TaskArgs, threads: Option<usize>) -> Result<TrainConfig, Failure> {
    let (task, settings) = task.parts();
    let file = settings.config.as_deref().map(Layer::from_toml).transpose().or_input()?;
    let flags = settings.layer(task, threads);
    let scene = |path: &Path| {
        Failure::input(format_args!("{} is a scene without classes", path.display()))
            .help("name them with --labels FILE: a raster of classes, or polygons")
    };
    // Said before other flags are missed.
    if let (None, None, Some(path)) = (&file, &settings.labels, &settings.train)
        && scene_files::is_scene(path)
    {
        return Err(scene(path));
    }
    let mut config = TrainConfig::resolve(&file.into_iter().chain([flags]).collect::<Vec<_>>()).or_input()?;
    if config.labels.is_none() && scene_files::is_scene(&config.train) {
        return Err(scene(&config.train));
    }
    if config.init.as_deref().is_some_and(download::is_imagenet) {
        // The last layer of torchvision's file is for ImageNet's thousand classes.
        config.partial = true;
        config.init = Some(download::published(download::imagenet(config.model), settings.offline)?);
    }
    Ok(config)
}

/// The exit code of a training error, and what to do about it.
pub fn failure(error: TrainError) -> Failure {
    let mismatch = matches!(
        &error,
        TrainError::Net(cause) if matches!(cause.downcast_ref(), Some(WeightError::Mismatch { .. }))
    );
    let failure = if error.began() { Failure::work(error) } else { Failure::input(error) };
    match mismatch {
        true => failure.help("give weights of this network, or say --partial to take the layers that do fit"),
        false => failure,
    }
}

/// Prints how the run ended.
fn finish(summary: &RunSummary) -> Result<Answer, Failure> {
    let folder = summary.run.display();
    if summary.already_finished {
        console::say(format_args!("{folder} was finished before; nothing was left to do"));
    }
    let mut text = String::new();
    if let Some(picks) = &summary.picks {
        text += &format!(
            "best {} {:.4} in epoch {}: {folder}/{}\n",
            picks.metric, picks.on_validation.validation, picks.on_validation.epoch, picks.on_validation.file
        );
    }
    text += &format!("last epoch {}: {folder}/weights/last.safetensors\n", summary.epochs.len());
    if let Some(picks) = summary.picks.as_ref().filter(|_| summary.finished) {
        text += &side_by_side(picks);
    }
    console::result(text)?;
    if !summary.finished {
        console::say(format_args!("go on with `hectare train --resume {folder}`"));
        return Ok(Answer::No);
    }
    Ok(Answer::Yes)
}

/// The figures of each way of choosing an epoch.
fn side_by_side(picks: &Picks) -> String {
    let held_out = picks.on_holdout.is_some();
    let head = if held_out { "  held out" } else { "" };
    let mut text = format!("\n{:<22}{:>6}{:>12}{head}\n", picks.metric, "epoch", "validation");
    for (name, pick) in picks.rows() {
        let averaged = if pick.averaged && !name.ends_with("averaged") { ", averaged" } else { "" };
        let holdout = pick.holdout.map_or(String::new(), |figure| format!("{figure:>10.4}"));
        text += &format!("{:<22}{:>6}{:>12.4}{holdout}{averaged}\n", name, pick.epoch, pick.validation);
    }
    text
}
