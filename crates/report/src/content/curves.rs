//! Curves of loss, rate and metric.

use hectare_train::{EpochRecord, Validation};

use crate::chart::{LineChart, Series};
use crate::content::metric_name;
use crate::document::{Block, Document};
use crate::run::Run;

/// Adds the curves of some runs of one problem.
pub fn add(document: &mut Document, runs: &[&Run]) {
    document.heading(3, "Curves");
    let mut loss =
        LineChart { title: "Loss".into(), x: "epoch".into(), y: "loss".into(), ..LineChart::default() };
    let metric = runs.first().and_then(|run| run.best()).map_or("metric", |(_, name)| metric_name(name));
    let mut figure = LineChart {
        title: format!("Validation {metric}"),
        x: "epoch".into(),
        y: metric.into(),
        ..LineChart::default()
    };
    let mut rate = LineChart {
        title: "Learning rate of the new layers, at the end of each epoch".into(),
        x: "epoch".into(),
        y: "rate".into(),
        logarithmic: true,
        ..LineChart::default()
    };
    for run in runs {
        let points = |of: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
            let point = |record: &EpochRecord| Some((record.epoch as f64, of(record)?));
            run.records.iter().filter_map(point).collect()
        };
        let add = |chart: &mut LineChart, what: &str, points: Vec<(f64, f64)>| {
            let name = if what.is_empty() { run.name.clone() } else { format!("{}, {what}", run.name) };
            if !points.is_empty() {
                chart.series.push(Series { name, points });
            }
        };
        let of = |found: &Option<Validation>| found.as_ref().map(|found| found.metric().0);
        add(&mut loss, "training", points(&|record| Some(record.train_loss)));
        add(&mut loss, "validation", points(&|record| record.validation.as_ref().map(|found| found.loss)));
        add(&mut figure, "", points(&|record| of(&record.validation)));
        add(&mut figure, "averaged weights", points(&|record| of(&record.ema_validation)));
        add(&mut figure, "held out", points(&|record| of(&record.holdout)));
        add(&mut rate, "", points(&|record| Some(record.lr)));
    }
    for chart in [loss, figure, rate] {
        if !chart.is_empty() {
            document.push(Block::Chart(chart));
        }
    }
}
