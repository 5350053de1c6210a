//! What a report says of some runs.

mod classify;
mod crops;
mod curves;
mod detail;
mod published;
mod segment;
mod settings;
mod tiles;

use hectare_train::duration;

use crate::document::{Block, Cell, Document, Table};
use crate::error::ReportError;
use crate::run::{Run, check_classes};

/// The report of some runs: an overview, a section for each problem, and how everything was made.
///
/// # Errors
/// No run, runs of one problem whose classes differ, or a picture that cannot be made.
pub fn report(runs: &[Run], title: &str) -> Result<Document, ReportError> {
    if runs.is_empty() {
        return Err(ReportError::Mismatch("a report needs a run".into()));
    }
    check_classes(runs)?;
    let mut runs = runs.to_vec();
    let mut by_eye = false;
    for run in runs.iter_mut().filter(|run| run.is_classifier()) {
        by_eye |= published::name_classes(run);
    }
    let runs = &runs[..];
    let mut document = Document { title: title.to_string(), ..Document::default() };
    overview(&mut document, runs);
    let classifiers: Vec<&Run> = runs.iter().filter(|run| run.is_classifier()).collect();
    let segmenters: Vec<&Run> = runs.iter().filter(|run| !run.is_classifier()).collect();
    if !classifiers.is_empty() {
        classify::section(&mut document, &classifiers)?;
        if by_eye {
            document.note("Names of the classes are by eye; the data has numbers only.");
        }
    }
    if !segmenters.is_empty() {
        segment::section(&mut document, &segmenters)?;
    }
    settings::section(&mut document, runs);
    let warnings: Vec<String> = runs.iter().flat_map(|run| run.warnings.iter().cloned()).collect();
    if !warnings.is_empty() {
        document.heading(3, "What was left out");
        document.push(Block::List(warnings));
    }
    Ok(document)
}

/// A row for each run.
fn overview(document: &mut Document, runs: &[Run]) {
    document.heading(2, "Overview");
    let head = ["run", "network", "metric", "best", "epoch", "last", "epochs", "parameters", "time"];
    let row = |run: &Run| -> Vec<Cell> {
        let (metric, best, epoch, last) = match &run.picks {
            Some(picks) => {
                let best = &picks.on_validation;
                let averaged = if best.averaged { ", averaged" } else { "" };
                let last = format!("{:.4}", picks.last.validation);
                (
                    metric_name(picks.metric).to_string(),
                    format!("{:.4}", best.validation),
                    format!("{}{averaged}", best.epoch),
                    last,
                )
            }
            None => ("none yet".into(), String::new(), String::new(), String::new()),
        };
        let parameters = run.network.as_ref().map_or(String::new(), |(_, count)| millions(*count));
        let epochs = run.records.len().to_string();
        let time = duration(run.elapsed_s());
        [run.name.clone(), run.model(), metric, best, epoch, last, epochs, parameters, time]
            .map(Cell::from)
            .to_vec()
    };
    document.push(Block::Table(Table {
        caption: "Each run on its validation set".into(),
        head: head.map(str::to_string).to_vec(),
        rows: runs.iter().map(row).collect(),
    }));
    let narrow: Vec<&Run> = runs.iter().filter(|run| run.config.width != 1.0).collect();
    if let Some(first) = narrow.first() {
        let names: Vec<String> = narrow.iter().map(|run| run.name.clone()).collect();
        let width = match narrow.iter().all(|run| run.config.width == first.config.width) {
            true => format!("{} of", first.config.width),
            false => "a part of".to_string(),
        };
        document.note(format!(
            "Narrow networks: {} with {width} the published networks' channels. Their figures are no measure of the published ones.",
            listed(&names)
        ));
    }
    document.note(
        "The best epoch is picked on the set that it is then measured on, which promises a little too much; the last \
         epoch is not picked at all.",
    );
}

/// What people call a metric.
fn metric_name(metric: &str) -> &str {
    if metric == "mean_iou" { "mean IoU" } else { metric }
}

/// A number of parameters.
fn millions(count: usize) -> String {
    if count >= 1_000_000 { format!("{:.1} million", count as f64 / 1e6) } else { count.to_string() }
}

/// A share as percent.
fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Words of a list: `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
