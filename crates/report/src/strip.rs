//! A tile over time: image, truth, the masks of the epochs that were kept, and the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hectare_data::{Image, Mask, SegmentationSet, read_image, read_mask};
use hectare_net::ClassMap;
use hectare_train::RunFolder;

use crate::animation::apng;
use crate::error::ReportError;
use crate::picture::{fit, mask_colours};
use crate::sheet;

/// One tile.
#[derive(Clone, Debug)]
pub struct Strip {
    /// The tile's name.
    pub stem: String,
    /// The picture; missing where the data is not there any more.
    pub image: Option<Image>,
    /// What is true.
    pub truth: Option<Mask>,
    /// Epochs and the masks that were predicted after them; an epoch whose file is missing or damaged has none.
    pub epochs: Vec<(usize, Option<Mask>)>,
    /// The mask of the best weights.
    pub result: Option<Mask>,
}

impl Strip {
    /// All that is there, from left to right, with captions.
    pub fn panels(&self, classes: &ClassMap) -> Vec<(String, Image)> {
        let mask = |mask: &Mask| mask_colours(mask, classes);
        let mut panels = Vec::new();
        panels.extend(self.image.as_ref().map(|image| ("Image".to_string(), image.clone())));
        panels.extend(self.truth.as_ref().map(|truth| ("Truth".to_string(), mask(truth))));
        for (epoch, found) in &self.epochs {
            panels.extend(found.as_ref().map(|found| (format!("Epoch {epoch}"), mask(found))));
        }
        panels.extend(self.result.as_ref().map(|result| ("Result".to_string(), mask(result))));
        panels
    }

    /// The panels side by side with captions and the legend, each at most `side` pixels; `None` without panels.
    pub fn picture(&self, classes: &ClassMap, side: usize) -> Option<Image> {
        let (captions, row): (Vec<String>, Vec<Image>) =
            self.panels(classes).into_iter().map(|(caption, panel)| (caption, fit(&panel, side))).unzip();
        (!row.is_empty()).then(|| sheet::contact_sheet(&captions, &[row], classes, 1))
    }

    /// The masks one after the other, as an APNG; `None` where fewer than two were kept.
    ///
    /// # Errors
    /// Masks of different sizes.
    pub fn animation(&self, classes: &ClassMap) -> Result<Option<Vec<u8>>, ReportError> {
        let masks = self.epochs.iter().filter_map(|(_, mask)| mask.as_ref()).chain(&self.result);
        let frames: Vec<Image> = masks.map(|mask| mask_colours(mask, classes)).collect();
        if frames.len() < 2 { Ok(None) } else { apng(&frames, 900).map(Some) }
    }
}

/// The tiles whose masks a run has kept, by name. `data` is its validation set, `results` a folder with the masks
/// of the best weights.
///
/// # Errors
/// A folder of masks that cannot be read.
pub fn strips(
    run: &RunFolder,
    classes: &ClassMap,
    data: Option<&SegmentationSet>,
    results: Option<&Path>,
) -> Result<Vec<Strip>, ReportError> {
    let mut tiles: BTreeMap<String, BTreeMap<usize, PathBuf>> = BTreeMap::new();
    let mut epochs = Vec::new();
    let root = run.root().join("masks");
    for folder in entries(&root)? {
        let Some(epoch) = number(&folder) else { continue };
        epochs.push(epoch);
        for path in entries(&folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(stem) = name.strip_suffix("_mask.png") {
                tiles.entry(stem.to_string()).or_default().insert(epoch, path.clone());
            }
        }
    }
    epochs.sort_unstable();
    let strip = |(stem, kept): (String, BTreeMap<usize, PathBuf>)| {
        let sample = data.and_then(|data| data.samples.iter().find(|sample| sample.stem == stem));
        let read = |path: &PathBuf| read_mask(path, classes).ok();
        Strip {
            image: sample.and_then(|sample| read_image(&sample.image).ok()),
            truth: sample.and_then(|sample| read(&sample.mask)),
            epochs: epochs.iter().map(|epoch| (*epoch, kept.get(epoch).and_then(read))).collect(),
            result: results.and_then(|folder| read(&folder.join(format!("{stem}_mask.png")))),
            stem,
        }
    };
    Ok(tiles.into_iter().map(strip).collect())
}

/// What a folder holds; nothing where it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(ReportError::io("cannot read the folder", folder, cause)),
    }
}

/// The epoch of `epoch_0010`.
fn number(folder: &Path) -> Option<usize> {
    folder.file_name()?.to_str()?.strip_prefix("epoch_")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_data::{write_mask_rgb, write_png};

    #[test]
    fn a_missing_and_a_damaged_mask_leave_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let classes = ClassMap::course();
        let data = folder.path().join("val");
        std::fs::create_dir(&data).unwrap();
        write_png(&Image::black(4, 4), &data.join("a_sat.png")).unwrap();
        write_mask_rgb(&Mask::filled(4, 4, 2), &classes, &data.join("a_mask.png")).unwrap();
        let run = RunFolder::at(&folder.path().join("run"));
        for epoch in [1, 10, 20] {
            std::fs::create_dir_all(run.masks(epoch)).unwrap();
            if epoch != 10 {
                write_mask_rgb(&Mask::filled(4, 4, 1), &classes, &run.masks(epoch).join("a_mask.png"))
                    .unwrap();
            }
        }
        std::fs::write(run.masks(20).join("a_mask.png"), b"half").unwrap();
        let data = SegmentationSet::open(&data).unwrap();
        let found = strips(&run, &classes, Some(&data), None).unwrap();
        let captions =
            |strip: &Strip| -> Vec<String> { strip.panels(&classes).into_iter().map(|p| p.0).collect() };
        assert_eq!(captions(&found[0]), ["Image", "Truth", "Epoch 1"]);
        let kept: Vec<_> = found[0].epochs.iter().map(|(epoch, mask)| (*epoch, mask.is_some())).collect();
        assert_eq!(kept, [(1, true), (10, false), (20, false)]);
        assert!(found[0].animation(&classes).unwrap().is_none());
        assert!(found[0].picture(&classes, 2).is_some());
        let nothing = RunFolder::at(&folder.path().join("other"));
        assert!(strips(&nothing, &classes, None, None).unwrap().is_empty());
    }
}
