//! `hectare reproduce --data DIR --out DIR`: every item of the report, in stages that are gone on with and skipped
//! when done.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use hectare_data::{ClassificationSet, SegmentationSet, image_size};
use hectare_net::ModelKind;
use hectare_report::{Run, Study};
use hectare_train::{Layer, Preset, RunFolder, RunSummary, Task, TrainConfig, duration, files};

use super::report;
use super::train::{failure, resume, train};
use crate::args::positive;
use crate::failure::{Answer, Failure, OrFail};
use crate::progress::Watcher;
use crate::reproduce::pace::measure;
use crate::reproduce::plan::{Plan, SHARES, Sizes, Stage, Wish, plan};
use crate::{console, download, output, signals, study};

/// Longer than this is not begun without being asked twice.
const LONG_S: f64 = 24.0 * 3600.0;

/// `hectare reproduce`.
#[derive(Args, Debug)]
pub struct ReproduceArgs {
    /// Folder of the course's data: p1_data/train_50, p1_data/val_50, p2_data/train and p2_data/validation.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for runs, scores and the report; one that was begun is gone on with.
    #[arg(long, value_name = "DIR", default_value = "hectare-reproduce")]
    pub out: PathBuf,
    /// The recipe: course, as the report ran it, or modern.
    #[arg(long, default_value = "modern")]
    pub preset: Preset,
    /// Hours for everything: sizes and epochs are chosen to fit.
    #[arg(long, value_name = "H", conflicts_with = "epochs", value_parser = hours)]
    pub hours: Option<f64>,
    /// Epochs of each training, or of the classifier, FCN32s, FCN16s and FCN8s (as 15,50,80,80).
    #[arg(long, value_name = "N|N,N,N,N", value_parser = epochs)]
    pub epochs: Option<Four>,
    /// Side of the classifier's pictures, in pixels [default: 128].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub classify_input: Option<usize>,
    /// Side of the crops that the FCNs train on [default: whole tiles for course, 256 for modern].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub input: Option<usize>,
    /// Scale tiles to this side; undone on the masks.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub resize: Option<usize>,
    /// Weights to start from: an ImageNet trunk's file, or imagenet for torchvision's, downloaded once.
    #[arg(long, value_name = "FILE|imagenet")]
    pub init: Option<PathBuf>,
    /// Only the first N pictures of each set.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Factor on the number of channels (0.125: an eighth).
    #[arg(long, value_name = "F", default_value = "1")]
    pub width: f64,
    /// The number that everything random is drawn from.
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Begin even if it takes more than a day.
    #[arg(long)]
    pub yes: bool,
}

/// A number for each training.
#[derive(Clone, Copy, Debug)]
pub struct Four([usize; 4]);

fn epochs(text: &str) -> Result<Four, String> {
    let numbers: Vec<usize> = text.split(',').map(|part| positive(part.trim())).collect::<Result<_, _>>()?;
    match numbers[..] {
        [all] => Ok(Four([all; 4])),
        [a, b, c, d] => Ok(Four([a, b, c, d])),
        _ => Err("give one number, or four: classifier, FCN32s, FCN16s, FCN8s".into()),
    }
}

fn hours(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hours) if hours > 0.0 && hours.is_finite() => Ok(hours),
        _ => Err("it must be a number above 0".into()),
    }
}

/// Plans, trains, scores and reports.
///
/// # Errors
/// Data or weights that are not there, settings that cannot be, a folder begun with other settings, or a plan that takes days
/// (exit code 2); what fails later (exit code 3).
pub fn run(args: &ReproduceArgs, threads: Option<usize>) -> Result<Answer, Failure> {
    let begun = Instant::now();
    output::check_folder(&args.out)?;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut wish = Wish {
        data: absolute(&args.data),
        preset: args.preset,
        hours: args.hours,
        epochs: args.epochs.map(|four| four.0),
        classify_input: args.classify_input,
        input: args.input,
        resize: args.resize,
        init: args.init.as_deref().map(absolute),
        limit: args.limit,
        width: args.width,
        seed: args.seed,
    };
    let sizes = sizes(&wish)?;
    // After what costs nothing to find out: they may have to be downloaded.
    if args.init.as_deref().is_some_and(download::is_imagenet) {
        let file = download::published(download::imagenet(ModelKind::Vgg16), false)?;
        wish.init = Some(absolute(&file));
    }
    let plan = match read_plan(&args.out, &wish)? {
        Some(plan) => {
            console::say(format_args!("going on with {}", args.out.display()));
            plan
        }
        None => {
            if let Some(missing) = wish.init.as_ref().filter(|init| !init.exists()) {
                return Err(Failure::input(format_args!("{} is not there", missing.display()))
                    .help("--init names a file of weights; --init imagenet gets torchvision's"));
            }
            console::say("timing some steps to plan with");
            let plan = make_plan(wish, sizes)?;
            check_length(&plan, args)?;
            // Every stage, so that no flag is found wrong hours later.
            for index in 0..plan.stages.len() {
                config(&plan, index, &args.out, plan.wish.hours, threads)?;
            }
            output::create_folder(&args.out)?;
            let text = serde_json::to_vec_pretty(&plan).map_err(Failure::work)?;
            files::write(&plan_file(&args.out), text).or_work()?;
            plan
        }
    };
    console::say(plan.describe());
    console::say(format_args!("expected to end about {} UTC", clock(plan.seconds())));
    let deadline = plan.wish.hours.map(|hours| begun + Duration::from_secs_f64(hours * 3600.0));
    for (index, stage) in plan.stages.iter().enumerate() {
        let summary = train_stage(&plan, index, &args.out, deadline, threads)?;
        if !summary.finished && !summary.already_finished {
            console::say("go on with the same command");
            return Ok(Answer::No);
        }
        console::say(format_args!("{} is done", stage.name));
    }
    let paths: Vec<PathBuf> = plan.stages.iter().map(|stage| run_folder(&args.out, stage)).collect();
    let mut runs = report::read(&paths)?;
    runs.iter_mut().try_for_each(study::embedding)?;
    let page = args.out.join("report.html");
    report::write(&mut runs, "Image classification and semantic segmentation", &page, None, true)?;
    let text = args.out.join("report.md");
    report::write(&mut runs, "Image classification and semantic segmentation", &text, None, true)?;
    scores(&runs, &args.out)?;
    console::result(summary(&runs, &page, &text))?;
    console::say(format_args!("done in {}", duration(begun.elapsed().as_secs_f64())));
    Ok(Answer::Yes)
}

/// The four folders of the data.
fn folders(data: &Path) -> [PathBuf; 4] {
    ["p1_data/train_50", "p1_data/val_50", "p2_data/train", "p2_data/validation"].map(|name| data.join(name))
}

/// Counts the pictures of each set.
fn sizes(wish: &Wish) -> Result<Sizes, Failure> {
    let folders = folders(&wish.data);
    if let Some(missing) = folders.iter().find(|folder| !folder.is_dir()) {
        return Err(Failure::input(format_args!("{} is not there", missing.display()))
            .help("--data names the folder that holds p1_data/train_50, p1_data/val_50, p2_data/train and p2_data/validation"));
    }
    let limited = |count: usize| count.min(wish.limit.unwrap_or(usize::MAX));
    let pictures = |folder: &Path| -> Result<usize, Failure> {
        Ok(limited(ClassificationSet::open(folder).or_input()?.samples.len()))
    };
    let classify = [pictures(&folders[0])?, pictures(&folders[1])?];
    let train = SegmentationSet::open(&folders[2]).or_input()?;
    let val = SegmentationSet::open(&folders[3]).or_input()?;
    let [width, height] = image_size(&train.samples[0].image).or_input()?;
    Ok(Sizes {
        classify,
        segment: [limited(train.samples.len()), limited(val.samples.len())],
        side: width.max(height),
    })
}

fn plan_file(out: &Path) -> PathBuf {
    out.join("plan.json")
}

/// The plan of a folder that was begun.
fn read_plan(out: &Path, wish: &Wish) -> Result<Option<Plan>, Failure> {
    let path = plan_file(out);
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let plan: Plan = serde_json::from_slice(&text)
        .map_err(|error| Failure::input(format_args!("{} is damaged: {error}", path.display())))?;
    if plan.wish != *wish {
        return Err(Failure::input(format_args!(
            "{} was begun with other settings ({})",
            out.display(),
            path.display()
        ))
        .help("give the same flags, or another folder with --out"));
    }
    Ok(Some(plan))
}

/// Times both kinds of network and plans.
fn make_plan(wish: Wish, sizes: Sizes) -> Result<Plan, Failure> {
    let classify =
        measure(ModelKind::Vgg16, wish.preset, wish.width, wish.classify_input.unwrap_or(64).max(32), 16)?;
    let side = wish.input.or(wish.resize).unwrap_or(256).min(sizes.side).max(32);
    let segment = measure(ModelKind::Fcn8s, wish.preset, wish.width, side, 2)?;
    Ok(plan(wish, sizes, classify, segment))
}

/// Refuses what takes days unless it is wanted, and says what fits.
fn check_length(plan: &Plan, args: &ReproduceArgs) -> Result<(), Failure> {
    if args.yes || args.hours.is_some() || plan.seconds() <= LONG_S {
        return Ok(());
    }
    console::say(plan.describe());
    Err(Failure::input(format_args!(
        "this would take some {:.0} hours on this machine",
        plan.seconds() / 3600.0
    ))
    .help("--hours 8 chooses sizes and epochs that fit eight hours; --yes begins all the same"))
}

fn run_folder(out: &Path, stage: &Stage) -> PathBuf {
    out.join("runs").join(&stage.name)
}

/// Trains a stage, goes on with it, or finds that it is done.
fn train_stage(
    plan: &Plan,
    index: usize,
    out: &Path,
    deadline: Option<Instant>,
    threads: Option<usize>,
) -> Result<RunSummary, Failure> {
    let stage = &plan.stages[index];
    let run = run_folder(out, stage);
    let watcher = Watcher::until(signals::stop_flag());
    if RunFolder::at(&run).config().exists() {
        return resume(&run, threads, &watcher).map_err(failure);
    }
    console::say(format_args!("training {}", stage.name));
    // What is left of the time, shared as planned among what is left to do.
    let hours = deadline.map(|deadline| {
        let left_s = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
        let share = SHARES[index] / SHARES[index..].iter().sum::<f64>();
        (left_s - 1.3 * plan.report_s) * share / 3600.0
    });
    let hours = hours.filter(|hours| *hours > 0.0);
    match train(config(plan, index, out, hours, threads)?, &watcher) {
        // Too short even for a step: one step, so that the report is complete.
        Err(error) if hours.is_some() && error.to_string().contains("is too short") => {
            console::warn(format_args!("{error}; one step is done"));
            train(config(plan, index, out, None, threads)?, &watcher).map_err(failure)
        }
        result => result.map_err(failure),
    }
}

/// The settings of a stage; with a deadline, `hours` or else a single step.
fn config(
    plan: &Plan,
    index: usize,
    out: &Path,
    hours: Option<f64>,
    threads: Option<usize>,
) -> Result<TrainConfig, Failure> {
    let (wish, stage) = (&plan.wish, &plan.stages[index]);
    let folders = folders(&wish.data);
    let classifies = stage.model.is_classifier();
    let [train, val] = if classifies { [&folders[0], &folders[1]] } else { [&folders[2], &folders[3]] };
    let mut flags = Layer::new("reproduce");
    flags.set("task", if classifies { Task::Classify } else { Task::Segment });
    flags.set("preset", wish.preset);
    flags.set("model", stage.model);
    flags.set("train", train);
    flags.set("val", val);
    flags.set("out", run_folder(out, stage));
    flags.set("seed", wish.seed);
    flags.set("width", wish.width);
    if let Some(limit) = wish.limit {
        flags.set("limit", limit);
    }
    if let Some(threads) = threads {
        flags.set("threads", threads);
    }
    match (wish.hours, hours) {
        (Some(_), Some(hours)) => flags.set("hours", hours),
        (Some(_), None) => flags.set("steps", 1),
        (None, _) => flags.set("epochs", stage.epochs.round() as usize),
    }
    if classifies {
        flags.set("input", plan.classify_input);
    } else {
        if let Some(input) = plan.input {
            flags.set("input", input);
        }
        if let Some(side) = plan.resize {
            flags.set("resize", side);
        }
        if wish.hours.is_none() && stage.epochs >= 20.0 {
            flags.set("snapshot_epochs", "1,10,20");
        }
    }
    // With the modern recipe a finer network starts from the coarser one before it.
    let coarser =
        (wish.preset == Preset::Modern && index > 1).then(|| run_folder(out, &plan.stages[index - 1]));
    if let Some(init) = coarser.as_ref().or(wish.init.as_ref()) {
        flags.set("init", init);
        flags.set("partial", true);
    }
    TrainConfig::resolve(&[flags]).or_input()
}

/// The grader's words on the masks of every segmentation run, in `scores`.
fn scores(runs: &[Run], out: &Path) -> Result<(), Failure> {
    let folder = out.join("scores");
    output::create_folder(&folder)?;
    for run in runs.iter().filter(|run| run.study.is_some()) {
        let score = hectare_train::score(&run.config.val, &Study::masks(&run.folder)).or_work()?;
        files::write(&folder.join(format!("{}.txt", run.name)), score.to_string()).or_work()?;
    }
    Ok(())
}

/// What came out, in a few lines.
fn summary(runs: &[Run], page: &Path, text: &Path) -> String {
    let line = |run: &Run| match run.best() {
        Some((value, metric)) => format!("{:<12} {} {value:.4}\n", run.name, metric.replace('_', " ")),
        None => format!("{:<12} not validated\n", run.name),
    };
    let lines: String = runs.iter().map(line).collect();
    format!("{lines}{}\n{}\n", page.display(), text.display())
}

/// The time of day in so many seconds, UTC.
fn clock(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let then = (now + seconds) as u64;
    let days = then / 86_400 - now as u64 / 86_400;
    let day = match days {
        0 => String::new(),
        1 => " tomorrow".into(),
        days => format!(" in {days} days"),
    };
    format!("{:02}:{:02}{day}", then / 3600 % 24, then / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_and_hours_are_read() {
        assert_eq!(epochs("3").unwrap().0, [3; 4]);
        assert_eq!(epochs("15, 50,80,80").unwrap().0, [15, 50, 80, 80]);
        assert!(
            epochs("1,2").is_err() && epochs("0").is_err() && hours("0").is_err() && hours("-1").is_err()
        );
        assert_eq!(hours("1.5"), Ok(1.5));
    }
}
