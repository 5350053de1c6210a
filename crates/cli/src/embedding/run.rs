//! From rows to a folder with a map.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hectare_data::write_png;
use hectare_train::{files, npy};
use hectare_tsne::{Embedding, Progress, Quality, Rows, Settings, Stage, Tsne, TsneError, Watch};

use super::args::EmbeddingArgs;
use super::labels::Labels;
use super::plot::Plot;
use super::record::{Record, describe_groups};
use super::thumbnails::Thumbnails;
use super::{page, raster, svg};
use crate::failure::{Answer, Failure, OrFail};
use crate::progress::Counter;
use crate::{console, output, signals};

/// What a map is made of.
pub struct Subject<'a> {
    /// Where the rows come from, for `map.json`.
    pub source: serde_json::Value,
    /// What the picture's head calls it.
    pub title: String,
    /// The rows.
    pub rows: Rows,
    /// Their classes.
    pub labels: Option<Labels>,
    /// A name for each.
    pub names: Option<Vec<String>>,
    /// A picture for each.
    pub thumbnails: Option<&'a Thumbnails>,
}

/// Shows a run, and ends it when the user asks for that.
struct Watcher {
    searching: Counter,
    moving: Counter,
    stop: Arc<AtomicBool>,
}

impl Watch for Watcher {
    fn stage(&mut self, stage: Stage) {
        if stage == Stage::Affinities {
            self.searching.finish();
        }
    }

    fn searched(&self, share: f64) {
        self.searching.set((share * 1000.0) as usize, 1000);
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> bool {
        self.moving.set(progress.iteration, progress.iterations);
        console::detail(format_args!("iteration {}: KL {:.4}", progress.iteration, progress.kl));
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Makes the map and writes everything about it. The answer is no when the user ended the run early.
///
/// # Errors
/// Rows or settings that cannot be used (exit code 2), or a failure to write (exit code 3).
pub fn make(subject: &Subject<'_>, settings: &Settings, args: &EmbeddingArgs) -> Result<Answer, Failure> {
    let n = subject.rows.len();
    if let Some(labels) = subject.labels.as_ref().filter(|labels| labels.of_row.len() != n) {
        return Err(Failure::input(TsneError::Count { what: "labels", got: labels.of_row.len(), rows: n }));
    }
    let mut watcher = Watcher {
        searching: Counter::new("thousandths of the neighbours found"),
        moving: Counter::new("iterations done"),
        stop: signals::stop_flag(),
    };
    let map = Tsne::new(settings.clone()).fit_watched(&subject.rows, &mut watcher).or_input()?;
    watcher.moving.finish();
    for change in &map.changes {
        console::say(change);
    }
    let times = map.times;
    console::say(format_args!(
        "reduction {:.2} s, neighbours {:.2} s, affinities {:.2} s, {} iterations {:.2} s",
        times.reduction_s, times.neighbours_s, times.affinities_s, map.iterations, times.descent_s
    ));
    output::create_folder(&args.out)?;
    coordinates(subject, &map, &args.out)?;
    let clock = Instant::now();
    let numbers = subject.labels.as_ref().map(|labels| &labels.of_row[..]);
    let measure = |against| Quality::of(&map, &subject.rows, numbers, against).or_work();
    let quality = args.against().map(measure).transpose()?;
    let quality_s = clock.elapsed().as_secs_f64();
    let figures = match &quality {
        Some(quality) => quality.line(map.kl),
        None => format!("KL {:.4}", map.kl),
    };
    let record = Record::new(&subject.source, settings, &map, subject.labels.as_ref(), quality.as_ref());
    let json = serde_json::to_string_pretty(&record).or_work()? + "\n";
    files::write(&args.out.join("map.json"), &json).or_work()?;
    let clock = Instant::now();
    if !args.no_pictures {
        pictures(subject, &map, &figures, &args.out)?;
    }
    if quality.is_some() || !args.no_pictures {
        let pictures_s = clock.elapsed().as_secs_f64();
        console::say(format_args!("quality {quality_s:.2} s, pictures {pictures_s:.2} s"));
    }
    if args.json {
        console::result(&json)?;
    } else {
        console::result(format_args!("{figures}\n"))?;
        let groups = quality.as_ref().and_then(|quality| quality.groups.as_ref());
        if let (Some(groups), Some(labels)) = (groups, &subject.labels) {
            console::result(describe_groups(groups, labels))?;
        }
    }
    console::say(format_args!("wrote the map of {n} rows to {}", args.out.display()));
    if map.stopped && watcher.stop.load(Ordering::Relaxed) {
        console::warn(format_args!("ended after {} iterations, as asked", map.iterations));
        return Ok(Answer::No);
    }
    Ok(Answer::Yes)
}

/// `map.csv` and `map.npy`.
fn coordinates(subject: &Subject<'_>, map: &Embedding, out: &Path) -> Result<(), Failure> {
    npy::write(&out.join("map.npy"), &[map.points.len(), 2], map.flat()).or_work()?;
    let mut csv = String::from("row,x,y");
    csv += if subject.labels.is_some() { ",class" } else { "" };
    csv += if subject.names.is_some() { ",name\n" } else { "\n" };
    for (row, [x, y]) in map.points.iter().enumerate() {
        csv += &format!("{row},{x},{y}");
        if let Some(labels) = &subject.labels {
            csv += &format!(",{}", labels.of_row[row]);
        }
        if let Some(names) = &subject.names {
            csv += &format!(",{}", output::csv_field(&names[row]));
        }
        csv.push('\n');
    }
    files::write(&out.join("map.csv"), csv).or_work()
}

/// `map.png`, `map.svg` and `map.html`.
fn pictures(subject: &Subject<'_>, map: &Embedding, figures: &str, out: &Path) -> Result<(), Failure> {
    let head = format!("t-SNE of {}, perplexity {}", subject.title, map.perplexity);
    let short = figures.split(" (against").next().unwrap_or(figures).to_string();
    let plot = Plot { points: &map.points, labels: subject.labels.as_ref(), title: [head, short] };
    write_png(&raster::draw(&plot), &out.join("map.png")).or_work()?;
    files::write(&out.join("map.svg"), svg::draw(&plot)?).or_work()?;
    let page = page::draw(&plot, subject.names.as_deref(), subject.thumbnails)?;
    files::write(&out.join("map.html"), page).or_work()
}
