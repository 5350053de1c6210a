//! Problem 2: naming the class of each pixel.

use hectare_net::ClassMap;
use hectare_train::{ClassFigure, Validation};

use super::{crops, curves, detail, published, tiles};
use crate::content::percent;
use crate::document::{Block, Cell, Document, Mark, Table};
use crate::error::ReportError;
use crate::run::Run;

/// Adds the section.
pub fn section(document: &mut Document, runs: &[&Run]) -> Result<(), ReportError> {
    document.heading(2, "Problem 2: semantic segmentation");
    document.push(Block::Legend(runs[0].classes.clone()));
    for run in runs {
        if let Some((printed, _)) = &run.network {
            let title = format!(
                "{}: {} as PyTorch prints it, geometry {}",
                run.name,
                run.model(),
                run.config.geometry
            );
            document.push(Block::Code(title, printed.clone()));
        }
    }
    document.heading(3, "Intersection over union");
    document.push(Block::Table(iou_table(runs)));
    document.note(
        "Protocol course: one confusion matrix over all pixels of the validation set, divided once; a class predicted where the \
         truth is Unknown counts against it, and the mean is over all classes but Unknown. Differences are to the first run.",
    );
    curves::add(document, runs);
    for run in runs {
        if let Some(confusion) = &run.confusion {
            document.push(Block::Confusion(
                format!("Confusion matrix of {}, best epoch", run.name),
                confusion.clone(),
            ));
        }
    }
    document.heading(2, "Masks over time");
    tiles::over_time(document, runs)?;
    tiles::best_and_worst(document, runs)?;
    if detail::add(document, runs) {
        crops::add(document, runs)?;
    }
    document.heading(2, "Classes and their shares");
    document.push(Block::Table(shares(runs[0])));
    Ok(())
}

/// The figures of the epoch that is best.
fn best(run: &Run) -> Option<&Validation> {
    let pick = &run.picks.as_ref()?.on_validation;
    let record = run.records.iter().find(|record| record.epoch == pick.epoch)?;
    if pick.averaged { record.ema_validation.as_ref() } else { record.validation.as_ref() }
}

/// Each class and the mean, runs side by side, with the difference of each to the first.
fn iou_table(runs: &[&Run]) -> Table {
    let found: Vec<Option<&Validation>> = runs.iter().map(|run| best(run)).collect();
    let mut head = vec!["class".to_string()];
    for (index, run) in runs.iter().enumerate() {
        head.push(run.name.clone());
        if index > 0 {
            head.push("difference".into());
        }
    }
    let classes: Vec<&ClassFigure> =
        found.iter().flatten().next().map_or(Vec::new(), |v| v.classes.iter().collect());
    let mut rows: Vec<Vec<Cell>> = classes
        .iter()
        .enumerate()
        .map(|(at, class)| {
            let values: Vec<Option<f64>> = found
                .iter()
                .map(|v| v.and_then(|v| v.classes.get(at)).and_then(|class| class.value))
                .collect();
            figures(format!("{} {}", class.id, class.name), &values)
        })
        .collect();
    let means: Vec<Option<f64>> = found.iter().map(|v| v.and_then(|v| v.mean_iou)).collect();
    rows.push(figures("mean".into(), &means));
    let accuracies: Vec<Option<f64>> = found.iter().map(|v| v.map(|v| v.accuracy)).collect();
    rows.push(figures("pixels right".into(), &accuracies));
    if runs.iter().all(|run| published::is_problem_2(run)) {
        for (name, figures, mean) in published::SEGMENTATION {
            head.push(format!("{name} in the report"));
            for (at, row) in rows.iter_mut().enumerate() {
                let figure = figures.get(at).copied().or((at == figures.len()).then_some(mean));
                row.push(figure.map_or(String::new(), |figure| format!("{figure:.4}")).into());
            }
        }
    }
    Table { caption: "Intersection over union of each class, best epoch of each run".into(), head, rows }
}

/// A row of figures, the best marked, with the difference of each to the first.
pub fn figures(name: String, values: &[Option<f64>]) -> Vec<Cell> {
    let best = values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut row = vec![Cell::from(name)];
    for (index, value) in values.iter().enumerate() {
        let text = value.map_or("absent".to_string(), |value| format!("{value:.4}"));
        let is_best = values.len() > 1 && value.is_some_and(|value| value == best);
        row.push(Cell { text, mark: if is_best { Mark::Best } else { Mark::None } });
        if index == 0 {
            continue;
        }
        let difference = value.zip(values[0]).map(|(value, first)| value - first);
        row.push(match difference {
            Some(difference) if difference.abs() >= 5e-5 => Cell {
                text: format!("{difference:+.4}"),
                mark: if difference > 0.0 { Mark::Better } else { Mark::Worse },
            },
            Some(_) => Cell::from("0.0000"),
            None => Cell::from(""),
        });
    }
    row
}

/// Colour and share of each class in both sets.
fn shares(run: &Run) -> Table {
    let classes: &ClassMap = &run.classes;
    let of = |set: &str| run.data.sets.get(set).map(|facts| facts.classes.clone());
    let counted = run.confusion.as_ref().map(|c| (0..classes.len()).map(|class| c.of_truth(class)).collect());
    let sets: [Option<Vec<u64>>; 2] = [of("train"), of("val").or(counted)];
    let row = |id: usize| {
        let class = &classes.classes[id];
        let [r, g, b] = class.colour;
        let share = |pixels: &Option<Vec<u64>>| match pixels {
            Some(pixels) => {
                let all: u64 = pixels.iter().sum();
                let share = pixels.get(id).copied().unwrap_or(0) as f64 / all.max(1) as f64;
                if share > 0.0 && share < 0.001 { format!("{:.4} %", 100.0 * share) } else { percent(share) }
            }
            None => "not counted".into(),
        };
        let ignored = run.config.ignore.contains(&class.name);
        let loss = if ignored || class.ignored { "ignored" } else { "counts" };
        vec![
            Cell::from(format!("{id} {}", class.name)),
            Cell::from(format!("{r}, {g}, {b}")),
            Cell::from(share(&sets[0])),
            Cell::from(share(&sets[1])),
            Cell::from(loss),
        ]
    };
    Table {
        caption: "The class map, and the share of pixels of each class".into(),
        head: ["class", "colour (red, green, blue)", "training", "validation", "in the loss"]
            .map(str::to_string)
            .to_vec(),
        rows: (0..classes.len()).map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_marked() {
        let row = figures("Water".into(), &[Some(0.5), Some(0.75), None, Some(0.25), Some(0.5)]);
        let texts: Vec<&str> = row.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(
            texts,
            ["Water", "0.5000", "0.7500", "+0.2500", "absent", "", "0.2500", "-0.2500", "0.5000", "0.0000"]
        );
        let marks: Vec<Mark> = row.iter().map(|cell| cell.mark).collect();
        assert_eq!((marks[2], marks[3], marks[7]), (Mark::Best, Mark::Better, Mark::Worse));
    }
}
