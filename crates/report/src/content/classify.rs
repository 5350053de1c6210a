//! Problem 1: naming the class of a picture.

use crate::chart::Scatter;
use crate::confusion::Confusion;
use crate::content::{curves, listed, percent, published};
use crate::document::{Block, Document};
use crate::error::ReportError;
use crate::run::Run;

/// Confusions that are told.
const TOLD: usize = 10;

/// Adds the section.
pub fn section(document: &mut Document, runs: &[&Run]) -> Result<(), ReportError> {
    document.heading(2, "Problem 1: image classification");
    for run in runs {
        document.heading(3, format!("{}: the network", run.name));
        if let Some((printed, _)) = &run.network {
            document.push(Block::Code(format!("{} as PyTorch prints it", run.model()), printed.clone()));
        }
        document.heading(3, format!("{}: accuracy", run.name));
        document.text(accuracy(run));
        if published::is_problem_1(run) {
            document
                .text(format!("The report that this problem comes from reached {:.3}.", published::ACCURACY));
        }
        if let Some(picks) = &run.picks
            && let Some(holdout) = &picks.on_holdout
        {
            document.text(format!(
                "Chosen on {} of the training pictures that were held out instead, epoch {} reaches {:.4} on the validation set.",
                percent(run.config.holdout),
                holdout.epoch,
                holdout.validation
            ));
        }
    }
    curves::add(document, runs);
    for run in runs {
        let Some(confusion) = &run.confusion else { continue };
        document.heading(3, format!("{}: what is taken for what", run.name));
        document.push(Block::Confusion(
            format!("Confusion matrix of {}, best epoch", run.name),
            confusion.clone(),
        ));
        document.push(Block::List(sentences(confusion)));
    }
    for run in runs {
        embedding(document, run);
    }
    Ok(())
}

/// The figure in a sentence, with what it is of.
fn accuracy(run: &Run) -> String {
    let Some(picks) = &run.picks else { return "No epoch was validated.".into() };
    let best = &picks.on_validation;
    let pictures = run.confusion.as_ref().map(|confusion| confusion.counts.total());
    let set =
        pictures.map_or("the validation set".into(), |count| format!("the {count} validation pictures"));
    let size = run.config.input.to_string();
    format!(
        "{} names the class of {} of {set} (accuracy {:.4}, epoch {} of {}{}; pictures of {size} pixels, {}).",
        run.model(),
        percent(best.validation),
        best.validation,
        best.epoch,
        run.records.len(),
        if best.averaged { ", averaged weights" } else { "" },
        run.start()
    )
}

/// The largest confusions, and the classes that are found least.
fn sentences(confusion: &Confusion) -> Vec<String> {
    let name = |class: usize| &confusion.names[class];
    let mut told: Vec<String> = confusion
        .worst()
        .into_iter()
        .take(TOLD)
        .map(|pair| {
            let back = confusion.counts.count(pair.predicted, pair.truth);
            let (truth, predicted) = (name(pair.truth), name(pair.predicted));
            let all = confusion.of_truth(pair.truth);
            format!(
                "{} of {truth} ({} of {all}) are taken for {predicted}; {back} of {predicted} for {truth}.",
                percent(pair.share),
                pair.count
            )
        })
        .collect();
    let mut recalls: Vec<(usize, f64)> =
        confusion.counts.recalls().into_iter().enumerate().filter_map(|(c, r)| Some((c, r?))).collect();
    recalls.sort_by(|a, b| a.1.total_cmp(&b.1));
    let say = |(class, recall): &(usize, f64)| format!("{} ({})", name(*class), percent(*recall));
    if recalls.len() > 5 {
        let least: Vec<String> = recalls[..5].iter().map(say).collect();
        let most: Vec<String> = recalls.iter().rev().take(3).map(say).collect();
        told.push(format!("Found least: {}. Found most: {}.", listed(&least), listed(&most)));
    }
    told
}

/// The t-SNE picture and which classes mix in it.
fn embedding(document: &mut Document, run: &Run) {
    let Some(embedding) = &run.embedding else { return };
    document.heading(3, format!("{}: t-SNE of the features", run.name));
    let names = run.classes.names();
    let classes = embedding.points.iter().map(|point| point.2 + 1).max().unwrap_or(0).max(names.len());
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    document.push(Block::Scatter(Scatter {
        title: format!(
            "Features of the validation pictures in two dimensions, {} points",
            embedding.points.len()
        ),
        points: embedding.points.clone(),
        names: (0..classes).map(name).collect(),
        labels: embedding.names.clone(),
    }));
    if !embedding.figures.is_empty() {
        let figures: Vec<String> = embedding
            .figures
            .iter()
            .map(|(name, value)| format!("{name} {}", crate::chart::number(*value)))
            .collect();
        document.note(format!("The map: {}.", figures.join(", ")));
    }
    let groups: Vec<String> = embedding
        .groups
        .iter()
        .map(|group| {
            let members: Vec<String> = group.classes.iter().map(|class| name(*class)).collect();
            let place = if group.space == "map" { "in the picture" } else { "among the features themselves" };
            let mut text = format!(
                "{} mix {place}: of their ten nearest neighbours {} belong to another class of the group and {} to their own.",
                listed(&members),
                percent(group.mixed),
                percent(group.own)
            );
            if let Some(confusion) = &run.confusion {
                text += &within(confusion, &group.classes);
            }
            text
        })
        .collect();
    if groups.is_empty() {
        document.text("No group of classes mixes.");
    } else {
        document.push(Block::List(groups));
    }
}

/// How much of a group is taken for another class of the group by the network itself.
fn within(confusion: &Confusion, classes: &[usize]) -> String {
    let known: Vec<usize> = classes.iter().copied().filter(|class| *class < confusion.names.len()).collect();
    let all: u64 = known.iter().map(|class| confusion.of_truth(*class)).sum();
    let pairs = known.iter().flat_map(|t| known.iter().map(move |p| (*t, *p))).filter(|(t, p)| t != p);
    let mixed: u64 = pairs.map(|(t, p)| confusion.counts.count(t, p)).sum();
    if all == 0 {
        return String::new();
    }
    format!(
        " The network itself takes {} of them for another class of the group.",
        percent(mixed as f64 / all as f64)
    )
}
