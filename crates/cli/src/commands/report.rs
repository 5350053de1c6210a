//! `hectare report RUN... --out report.html`: runs as one offline page, or as Markdown with pictures.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hectare_data::class_map_file::read_class_map;
use hectare_report::{Embedding, ReportError, Run};
use hectare_train::files;

use crate::failure::{Answer, Failure, OrFail};
use crate::{console, output, study};

/// `hectare report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Run folders of `hectare train`; differences are to the first of each problem.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// The file to write: report.html, or report.md with a folder of pictures beside it.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
    /// What to write [default: by the ending of --out].
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Folder of the validation tiles, where it is not any more where a segmentation run says.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// t-SNE of a classifier's features, a folder of `hectare embed` [default: RUN/tsne].
    #[arg(long, value_name = "DIR")]
    pub tsne: Option<PathBuf>,
    /// Names of a classifier's classes: a TOML class map.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// The page's heading.
    #[arg(long, value_name = "TEXT", default_value = "Report")]
    pub title: String,
    /// Show what the runs have kept and predict nothing: no best and worst tiles, no figures near borders.
    #[arg(long)]
    pub no_predict: bool,
}

/// How a report is written.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One HTML file.
    Html,
    /// Markdown and PNG files.
    Md,
}

impl Format {
    /// The format that a file's ending asks for.
    pub fn of(path: &Path) -> Format {
        let ending = path.extension().unwrap_or_default();
        if ending.eq_ignore_ascii_case("md") { Format::Md } else { Format::Html }
    }
}

/// Reads the runs, predicts what was not yet, and writes the report.
///
/// # Errors
/// Runs that cannot be read or stand side by side, an output that cannot be written (exit code 2), or a prediction
/// that fails (exit code 3).
pub fn run(args: &ReportArgs) -> Result<Answer, Failure> {
    output::check_file(&args.out)?;
    let mut runs = read(&args.runs)?;
    if let Some(data) = &args.data {
        runs.iter_mut().filter(|run| !run.is_classifier()).for_each(|run| run.config.val = data.clone());
    }
    if let Some(file) = &args.class_map {
        if !runs.iter().any(Run::is_classifier) {
            return Err(Failure::input("--class-map is for a classifier, and there is no run of one")
                .help("name its run folder too, or leave --class-map out"));
        }
        let names = read_class_map(file).or_input()?;
        for run in runs.iter_mut().filter(|run| run.is_classifier()) {
            if names.len() != run.classes.len() {
                let (there, here) = (names.len(), run.classes.len());
                return Err(Failure::input(format_args!(
                    "{} names {there} classes and {} has {here}",
                    file.display(),
                    run.name
                ))
                .help("give a class map with a name for each class"));
            }
            run.classes = names.clone();
            if let Some(confusion) = &mut run.confusion {
                confusion.names = names.names();
            }
        }
    }
    if let Some(folder) = &args.tsne {
        let embedding = Embedding::read(folder).or_input()?;
        match runs.iter_mut().find(|run| run.is_classifier()) {
            Some(run) => run.embedding = Some(embedding),
            None => {
                return Err(Failure::input("--tsne is for a classifier, and there is no run of one")
                    .help("name its run folder too, or leave --tsne out"));
            }
        }
    }
    write(&mut runs, &args.title, &args.out, args.format, !args.no_predict)?;
    console::result(format_args!("{}\n", args.out.display()))?;
    Ok(Answer::Yes)
}

/// Reads runs and gives those of one name longer ones.
///
/// # Errors
/// Runs that cannot be read or that cannot stand side by side (exit code 2).
pub fn read(paths: &[PathBuf]) -> Result<Vec<Run>, Failure> {
    let mut runs = paths.iter().map(|path| Run::read(path)).collect::<Result<Vec<_>, _>>().or_input()?;
    hectare_report::check_classes(&runs).or_input()?;
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (index, run) in runs.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == names[index]).count() > 1 {
            run.name = paths[index].display().to_string();
        }
    }
    Ok(runs)
}

/// Predicts what was not predicted yet and writes the report.
///
/// # Errors
/// A prediction or a file that fails (exit code 3).
pub fn write(
    runs: &mut [Run],
    title: &str,
    out: &Path,
    format: Option<Format>,
    predict: bool,
) -> Result<(), Failure> {
    for run in runs.iter_mut() {
        study::data(run)?;
        if predict {
            study::tiles(run)?;
        }
        run.warnings.iter().for_each(console::warn);
    }
    output::create_folder(&output::parent(out))?;
    let document = hectare_report::report(runs, title).map_err(failure)?;
    match format.unwrap_or(Format::of(out)) {
        Format::Html => files::write(out, hectare_report::page(&document)).or_work(),
        Format::Md => hectare_report::write_markdown(&document, out).or_work(),
    }
}

/// Runs that do not go together are the user's; the rest is not.
fn failure(error: ReportError) -> Failure {
    match error {
        ReportError::Mismatch(_) => Failure::input(error),
        _ => Failure::work(error),
    }
}
