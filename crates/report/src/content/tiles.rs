//! Tiles: over the epochs, and those that come out best and worst.

use std::collections::BTreeMap;

use hectare_data::{Image, Mask, SegmentationSet, read_image, read_mask};

use crate::document::{Block, Document, Gallery, Panel};
use crate::error::ReportError;
use crate::picture::{error_map, fit, mask_colours};
use crate::run::Run;
use crate::strip::{Strip, strips};
use crate::study::{Study, TileScore};

/// Longer side of a picture on the page, in pixels.
pub const SIDE: usize = 320;
/// Tiles of the best and of the worst.
const EACH: usize = 3;

/// The validation set of a run, where it still is.
pub fn validation_set(run: &Run) -> Option<SegmentationSet> {
    SegmentationSet::open(&run.config.val).ok()
}

/// Image, truth, mask of each kept epoch, result and error map, and an animation.
pub fn over_time(document: &mut Document, runs: &[&Run]) -> Result<(), ReportError> {
    let mut any = false;
    for run in runs {
        let set = validation_set(run);
        let results = Study::masks(&run.folder);
        let found = strips(&run.folder, &run.classes, set.as_ref(), Some(&results))?;
        let Some(first) = found.first() else { continue };
        any = true;
        let mut columns = vec!["Image".to_string(), "Truth".to_string()];
        columns.extend(first.epochs.iter().map(|(epoch, _)| format!("Epoch {epoch}")));
        columns.extend(["Result", "Errors", "Over time"].map(str::to_string));
        let mut rows = Vec::new();
        for strip in &found {
            rows.push((format!("Tile {}", strip.stem), panels(run, strip)?));
        }
        document.push(Block::Gallery(Gallery {
            caption: format!("{}: masks of each kept epoch and of the best weights", run.name),
            columns,
            rows,
            classes: Some(run.classes.clone()),
        }));
    }
    if any {
        document.note(
            "Errors: light grey where the result is right, else the colour of the class that is true there. Point at a mask to read its \
             class; the buttons fade all other classes.",
        );
    } else {
        document.text("No masks were kept during training.");
    }
    Ok(())
}

fn panels(run: &Run, strip: &Strip) -> Result<Vec<Option<Panel>>, ReportError> {
    let stem = &strip.stem;
    let image = |image: &Image, alt: String| Panel::new(&fit(image, SIDE), alt, false);
    let mask = |mask: &Mask, alt: String| Panel::new(&mask_colours(mask, &run.classes), alt, true);
    let mut panels = vec![
        strip.image.as_ref().map(|found| image(found, format!("Tile {stem}, the image"))).transpose()?,
        strip.truth.as_ref().map(|truth| mask(truth, format!("Tile {stem}, the truth"))).transpose()?,
    ];
    for (epoch, found) in &strip.epochs {
        let alt = format!("Tile {stem}, mask of {} after epoch {epoch}", run.name);
        panels.push(found.as_ref().map(|found| mask(found, alt)).transpose()?);
    }
    let result =
        strip.result.as_ref().map(|found| mask(found, format!("Tile {stem}, result of {}", run.name)));
    panels.push(result.transpose()?);
    let both = strip.truth.as_ref().zip(strip.result.as_ref()).filter(|(t, p)| t.size() == p.size());
    let errors = both.map(|(truth, result)| {
        let wrong =
            truth.ids.iter().zip(&result.ids).filter(|(t, p)| t != p).count() as f64 / truth.ids.len() as f64;
        let alt = format!("Tile {stem}, errors of {}: {:.1} % of the pixels", run.name, 100.0 * wrong);
        Panel::new(&error_map(truth, result, &run.classes), alt, false)
    });
    panels.push(errors.transpose()?);
    let size = strip.result.as_ref().or(strip.truth.as_ref()).map_or([1, 1], Mask::size);
    panels.push(strip.animation(&run.classes)?.map(|png| {
        let alt = format!("Tile {stem}, the masks of {} one after the other", run.name);
        Panel { png, size, alt, is_mask: false }
    }));
    Ok(panels)
}

/// The tiles that the last run gets most and least right, with the masks of all runs.
pub fn best_and_worst(document: &mut Document, runs: &[&Run]) -> Result<(), ReportError> {
    let Some(run) = runs.iter().rev().find(|run| run.study.is_some()) else { return Ok(()) };
    let (Some(study), Some(set)) = (&run.study, validation_set(run)) else { return Ok(()) };
    let mut order: Vec<&TileScore> = study.tiles.iter().collect();
    order.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy).then_with(|| a.stem.cmp(&b.stem)));
    let each = EACH.min(order.len() / 2);
    if each == 0 {
        return Ok(());
    }
    document.heading(2, "Best and worst tiles");
    document.text(format!(
        "By the share of pixels that {} gets right, from {:.1} % down to {:.1} %; the median tile has {:.1} %.",
        run.name,
        100.0 * order[0].accuracy,
        100.0 * order[order.len() - 1].accuracy,
        100.0 * order[order.len() / 2].accuracy
    ));
    let studied: Vec<&&Run> = runs.iter().filter(|run| run.study.is_some()).collect();
    let samples: BTreeMap<&str, _> =
        set.samples.iter().map(|sample| (sample.stem.as_str(), sample)).collect();
    let mut columns = vec!["Image".to_string(), "Truth".to_string()];
    columns.extend(studied.iter().map(|run| run.name.clone()));
    columns.push(format!("Errors of {}", run.name));
    for (what, chosen) in [("Best", &order[..each]), ("Worst", &order[order.len() - each..])] {
        let mut rows = Vec::new();
        for tile in chosen {
            let Some(sample) = samples.get(tile.stem.as_str()) else { continue };
            let image = read_image(&sample.image).ok();
            let truth = read_mask(&sample.mask, &run.classes).ok();
            let stem = &tile.stem;
            let mut panels = vec![
                image
                    .map(|image| Panel::new(&fit(&image, SIDE), format!("Tile {stem}, the image"), false))
                    .transpose()?,
                truth
                    .as_ref()
                    .map(|truth| {
                        Panel::new(
                            &mask_colours(truth, &run.classes),
                            format!("Tile {stem}, the truth"),
                            true,
                        )
                    })
                    .transpose()?,
            ];
            let mut last = None;
            for run in &studied {
                let mask =
                    read_mask(&Study::masks(&run.folder).join(format!("{stem}_mask.png")), &run.classes).ok();
                let alt = format!("Tile {stem}, result of {}", run.name);
                panels.push(
                    mask.as_ref()
                        .map(|mask| Panel::new(&mask_colours(mask, &run.classes), alt, true))
                        .transpose()?,
                );
                last = mask;
            }
            let both = truth.as_ref().zip(last.as_ref()).filter(|(t, p)| t.size() == p.size());
            let errors = both.map(|(t, p)| {
                Panel::new(
                    &error_map(t, p, &run.classes),
                    format!("Tile {stem}, errors of {}", run.name),
                    false,
                )
            });
            panels.push(errors.transpose()?);
            rows.push((format!("Tile {stem}: {:.1} % right", 100.0 * tile.accuracy), panels));
        }
        document.push(Block::Gallery(Gallery {
            caption: format!("{what} tiles"),
            columns: columns.clone(),
            rows,
            classes: Some(run.classes.clone()),
        }));
    }
    Ok(())
}
