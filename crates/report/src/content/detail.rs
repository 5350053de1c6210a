//! Why one network is better: near borders, and in small regions.

use hectare_train::{BANDS, Detail, Protocol, REGIONS};

use super::segment::figures;
use crate::chart::{LineChart, Series};
use crate::document::{Block, Document, Table};
use crate::run::Run;

/// A gain near borders is larger than one far from them from this difference on.
const CLEAR: f64 = 0.005;

/// Adds the section; `false` where no run was studied.
pub fn add(document: &mut Document, runs: &[&Run]) -> bool {
    let studied: Vec<(&Run, &Detail)> =
        runs.iter().filter_map(|run| Some((*run, &run.study.as_ref()?.detail))).collect();
    let Some((first, _)) = studied.first() else { return false };
    document.heading(2, "Where the networks differ");
    document.text(
        "A network that sees finer maps should gain near the borders of classes and in small regions. The figures below \
         test it: the mean intersection over union of all pixels up to a distance from the nearest border of the truth (a \
         trimap), and of all pixels whose region of the truth has a size.",
    );
    let mean = |counts: &[Vec<u64>]| Detail::mean_iou(counts, &first.classes, Protocol::Course);
    let bands: Vec<(String, Vec<Option<f64>>)> = (0..=BANDS.len())
        .map(|band| {
            let name = BANDS
                .get(band)
                .map_or(format!("> {}", BANDS[BANDS.len() - 1]), |width| format!("<= {width}"));
            let counts = |detail: &Detail| mean(detail.bands.get(band).unwrap_or(&detail.interior));
            (name, studied.iter().map(|(_, detail)| counts(detail)).collect())
        })
        .collect();
    let regions: Vec<(String, Vec<Option<f64>>)> = (0..REGIONS.len())
        .map(|bin| {
            let name = match REGIONS[bin] {
                u32::MAX => format!(">= {}", REGIONS[bin - 1]),
                limit => format!("< {limit}"),
            };
            (name, studied.iter().map(|(_, detail)| mean(&detail.regions[bin])).collect())
        })
        .collect();
    for (title, x, rows) in [
        ("Mean IoU by distance from a class border", "distance from a border, in pixels", &bands),
        ("Mean IoU by size of the region", "pixels of the region, each from the size before", &regions),
    ] {
        let series = studied.iter().enumerate().map(|(index, (run, _))| Series {
            name: run.name.clone(),
            points: rows
                .iter()
                .enumerate()
                .filter_map(|(at, row)| Some((at as f64, row.1[index]?)))
                .collect(),
        });
        document.push(Block::Chart(LineChart {
            title: title.into(),
            x: x.into(),
            y: "mean IoU".into(),
            series: series.collect(),
            names: rows.iter().map(|row| row.0.clone()).collect(),
            logarithmic: false,
        }));
        let mut head = vec![x.to_string()];
        for (index, (run, _)) in studied.iter().enumerate() {
            head.push(run.name.clone());
            if index > 0 {
                head.push("difference".into());
            }
        }
        document.push(Block::Table(Table {
            caption: title.into(),
            head,
            rows: rows.iter().map(|(name, values)| figures(name.clone(), values)).collect(),
        }));
    }
    for (index, (run, _)) in studied.iter().enumerate().skip(1) {
        if let Some(text) = verdict(&run.name, &first.name, index, &bands, &regions) {
            document.text(text);
        }
    }
    document.note(
        "Distances are Euclidean, to the nearest pixel of another class of the truth; the bands hold one another, the last row is \
         the rest. Regions are connected over edges. Truth drawn by hand is itself uncertain by some pixels at borders.",
    );
    true
}

/// Whether the gain of run `index` over the first lies near borders and in small regions.
fn verdict(
    name: &str,
    first: &str,
    index: usize,
    bands: &[(String, Vec<Option<f64>>)],
    regions: &[(String, Vec<Option<f64>>)],
) -> Option<String> {
    let gain = |row: &(String, Vec<Option<f64>>)| Some(row.1[index]? - row.1[0]?);
    let near = gain(bands.get(2)?)?;
    let far = gain(bands.last()?)?;
    let judged = match near - far {
        more if more > CLEAR && near > 0.0 => {
            "The gain is larger near borders than far from them, as finer maps should give."
        }
        more if more < -CLEAR && far > 0.0 => {
            "The gain is larger far from borders: finer detail is not what makes the difference."
        }
        _ if near <= 0.0 && far <= 0.0 => "It gains neither near borders nor far from them.",
        _ => {
            "The gain is about the same near borders and far from them, which does not speak for finer detail."
        }
    };
    let mut text = format!(
        "Against {first}, {name} has {near:+.4} mean IoU within {} pixels of a border and {far:+.4} farther than {} pixels from \
         any. {judged}",
        BANDS[2],
        BANDS[BANDS.len() - 1]
    );
    let known: Vec<(&str, f64)> =
        regions.iter().filter_map(|row| Some((row.0.as_str(), gain(row)?))).collect();
    if let [small, .., large] = known[..] {
        text += &format!(
            " Where regions have {} pixels it has {:+.4}, where they have {} {:+.4}.",
            small.0, small.1, large.0, large.1
        );
    }
    Some(text)
}
