//! The course's grader: two folders of masks in, intersection over union out, digit for digit.
//!
//! Like the grader it thresholds the channels and never refuses a colour. Unlike it, it pairs files by
//! name, names orphans and absent classes, and reads masks that hold class ids.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use hectare_data::image_size;
use hectare_net::ClassMap;
use serde::Serialize;

use crate::error::TrainError;
use crate::metrics::{ConfusionMatrix, IouReport, Protocol, scored};

/// The result of scoring a folder, with the keys of `score --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Always `course`.
    pub protocol: Protocol,
    /// Intersection over union of the six classes of the grader.
    pub classes: Vec<ClassScore>,
    /// Their mean, absent classes left out; `None` when all are absent.
    pub mean_iou: Option<f64>,
    /// Pixel counts: rows are truth, columns predictions.
    pub confusion: Vec<Vec<u64>>,
    /// Pairs that were compared.
    pub images: usize,
    /// Labels without a prediction, by file name.
    pub orphans: Vec<String>,
    /// Predictions without a label, by file name.
    pub surplus: Vec<String>,
}

/// One class of a [`Score`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// The class id.
    pub id: usize,
    /// The class name.
    pub name: String,
    /// Intersection over union; `None` when the class is absent from truth and prediction.
    pub iou: Option<f64>,
}

/// Scores of all classes by name.
pub fn class_scores(report: &IouReport, classes: &ClassMap) -> Vec<ClassScore> {
    let name = |id: usize| classes.classes[id].name.clone();
    let pairs = report.classes.iter().zip(&report.iou);
    pairs.map(|(&id, &iou)| ClassScore { id, name: name(id), iou }).collect()
}

/// Compares every mask of `labels` with the one of its name in `predictions`.
///
/// # Errors
/// A folder that is not there or without PNGs, two files of one name, a file that does not decode, a pair
/// of two sizes.
pub fn score(labels: &Path, predictions: &Path) -> Result<Score, TrainError> {
    let map = ClassMap::course();
    let truths = masks_by_name(labels)?;
    let mut others = masks_by_name(predictions)?;
    let mut confusion = ConfusionMatrix::new(map.len());
    let mut orphans = Vec::new();
    let mut images = 0;
    for (name, path) in &truths {
        let Some(other) = others.remove(name) else {
            orphans.push(file_name(path));
            continue;
        };
        let truth = read(path)?;
        let predicted = read(&other)?;
        if truth.size != predicted.size {
            return Err(TrainError::Input(format!(
                "{} is {}x{} and its label {} is {}x{}",
                other.display(),
                predicted.size.0,
                predicted.size.1,
                path.display(),
                truth.size.0,
                truth.size.1
            )));
        }
        confusion.add_pixels(&truth.ids, &predicted.ids);
        images += 1;
    }
    let report = confusion.iou(Protocol::Course, &scored(&map));
    Ok(Score {
        protocol: Protocol::Course,
        classes: class_scores(&report, &map),
        mean_iou: report.mean,
        confusion: confusion.rows(),
        images,
        orphans,
        surplus: others.values().map(|path| file_name(path)).collect(),
    })
}

impl fmt::Display for Score {
    /// The grader's lines, without the very last line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for class in &self.classes {
            match class.iou {
                Some(iou) => writeln!(f, "class #{} : {iou:1.5}", class.id)?,
                None => writeln!(
                    f,
                    "class #{} : nan ({} is absent from labels and predictions; left out of the mean)",
                    class.id, class.name
                )?,
            }
        }
        match self.mean_iou {
            Some(mean) => writeln!(f, "\nmean_iou: {mean:.6}"),
            None => writeln!(f, "\nmean_iou: nan"),
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The PNGs of a folder by what stands before `_mask.png` or `.png`.
fn masks_by_name(folder: &Path) -> Result<BTreeMap<String, PathBuf>, TrainError> {
    let entries =
        std::fs::read_dir(folder).map_err(|cause| TrainError::io("cannot read the folder", folder, cause))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|cause| TrainError::io("cannot read the folder", folder, cause))?.path();
        let name = file_name(&path);
        let Some((stem, ending)) = name.rsplit_once('.') else { continue };
        if !ending.eq_ignore_ascii_case("png") || stem.is_empty() || !path.is_file() || stem.ends_with("_sat")
        {
            continue;
        }
        let key = stem.strip_suffix("_mask").unwrap_or(stem).to_string();
        if let Some(twin) = found.insert(key, path.clone()) {
            return Err(TrainError::Input(format!(
                "{} and {} are two masks of one name; remove one",
                twin.display(),
                path.display()
            )));
        }
    }
    if found.is_empty() {
        return Err(TrainError::Input(format!("{} holds no masks (*.png)", folder.display())));
    }
    Ok(found)
}

struct Ids {
    /// Width and height.
    size: (u32, u32),
    ids: Vec<u8>,
}

/// Class of each code 4R + 2G + B of the thresholded channels; red (4) is Unknown, as black is.
const CLASS_OF_CODE: [u8; 8] = [6, 4, 3, 0, 6, 2, 1, 5];

/// Reads a mask as the grader does; 8-bit grey whose values are all class ids is taken as ids.
fn read(path: &Path) -> Result<Ids, TrainError> {
    let broken = |error: png::DecodingError| TrainError::Input(format!("{}: {error}", path.display()));
    // Refuses more pixels than there may be, before anything is allocated for them.
    image_size(path).map_err(TrainError::data)?;
    let file = File::open(path).map_err(|cause| TrainError::io("cannot read", path, cause))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(broken)?;
    let grey8 = reader.info().bit_depth == png::BitDepth::Eight
        && matches!(reader.info().color_type, png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha);
    let Some(size) = reader.output_buffer_size() else {
        return Err(TrainError::Input(format!("{}: the picture is too large", path.display())));
    };
    let mut bytes = vec![0; size];
    let frame = reader.next_frame(&mut bytes).map_err(broken)?;
    // Reads on to the end, so that a cut file is noticed.
    reader.finish().map_err(broken)?;
    bytes.truncate(frame.buffer_size());
    let channels = frame.color_type.samples();
    let classes = ClassMap::course().len();
    let as_ids = grey8 && bytes.chunks_exact(channels).all(|pixel| usize::from(pixel[0]) < classes);
    let bit = |value: u8| usize::from(value >= 128);
    let ids = bytes
        .chunks_exact(channels)
        .map(|pixel| match pixel {
            [grey, ..] if as_ids => *grey,
            [r, g, b, ..] => CLASS_OF_CODE[4 * bit(*r) + 2 * bit(*g) + bit(*b)],
            [grey, ..] => CLASS_OF_CODE[7 * bit(*grey)],
            [] => unreachable!("a pixel has a channel"),
        })
        .collect();
    Ok(Ids { size: (frame.width, frame.height), ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOURS: [[u8; 3]; 7] =
        [[0, 255, 255], [255, 255, 0], [255, 0, 255], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]];

    fn encode(path: &Path, w: u32, kind: png::ColorType, bytes: &[u8], palette: Option<Vec<u8>>) {
        let h = (bytes.len() / (w as usize * kind.samples())) as u32;
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), w, h);
        encoder.set_color(kind);
        encoder.set_depth(png::BitDepth::Eight);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    }

    fn rgb(ids: &[u8]) -> Vec<u8> {
        ids.iter().flat_map(|&id| COLOURS[usize::from(id)]).collect()
    }

    struct Folders(tempfile::TempDir);

    impl Folders {
        fn new() -> Folders {
            let folder = tempfile::tempdir().unwrap();
            for name in ["labels", "pred"] {
                std::fs::create_dir(folder.path().join(name)).unwrap();
            }
            Folders(folder)
        }
        fn label(&self, name: &str) -> PathBuf {
            self.0.path().join("labels").join(name)
        }
        fn pred(&self, name: &str) -> PathBuf {
            self.0.path().join("pred").join(name)
        }
        fn score(&self) -> Result<Score, TrainError> {
            score(&self.label(""), &self.pred(""))
        }
    }

    #[test]
    fn the_graders_lines() {
        let folders = Folders::new();
        let truth = [0, 0, 1, 2, 3, 4, 5, 6];
        encode(&folders.label("0010_mask.png"), 4, png::ColorType::Rgb, &rgb(&truth), None);
        encode(&folders.pred("0010.png"), 4, png::ColorType::Rgb, &rgb(&[0, 1, 1, 2, 3, 4, 5, 0]), None);
        let score = folders.score().unwrap();
        let lines = "class #0 : 0.33333\nclass #1 : 0.50000\nclass #2 : 1.00000\nclass #3 : 1.00000\nclass #4 : \
                     1.00000\nclass #5 : 1.00000\n\nmean_iou: 0.805556\n";
        assert_eq!(score.to_string(), lines);
        assert_eq!(score.confusion[0][1], 1);
        assert_eq!(score.confusion[6][0], 1);
    }

    #[test]
    fn red_thresholds_alpha_palette_and_ids() {
        let folders = Folders::new();
        let truth = [0, 6, 2, 3, 4, 5];
        // Red is Unknown; channels a little off still count.
        let mut colours = rgb(&truth);
        colours[3..6].copy_from_slice(&[255, 0, 0]);
        colours[0..3].copy_from_slice(&[100, 130, 200]);
        encode(&folders.label("a.png"), 3, png::ColorType::Rgb, &colours, None);
        let alpha: Vec<u8> = rgb(&truth).chunks(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
        encode(&folders.pred("a_mask.png"), 3, png::ColorType::Rgba, &alpha, None);
        // A palette in another order than the class ids.
        let palette: Vec<u8> = COLOURS.iter().rev().flatten().copied().collect();
        let turned: Vec<u8> = truth.iter().map(|id| 6 - id).collect();
        encode(&folders.label("b.png"), 2, png::ColorType::Indexed, &turned, Some(palette));
        encode(&folders.pred("b.png"), 2, png::ColorType::Grayscale, &truth, None);
        let score = folders.score().unwrap();
        for (id, row) in score.confusion.iter().enumerate() {
            let expected = if id == 1 { 0 } else { 2 };
            assert_eq!(row[id], expected);
            assert_eq!(row.iter().sum::<u64>(), expected);
        }
        assert_eq!(score.classes[1].iou, None);
        assert_eq!(score.mean_iou, Some(1.0));
        assert!(score.to_string().contains("class #1 : nan (Agriculture is absent"));
    }

    #[test]
    fn orphans_surplus_and_mistakes() {
        let folders = Folders::new();
        assert!(folders.score().unwrap_err().to_string().contains("holds no masks"));
        encode(&folders.label("1_mask.png"), 1, png::ColorType::Rgb, &rgb(&[1]), None);
        encode(&folders.label("2_mask.png"), 1, png::ColorType::Rgb, &rgb(&[1]), None);
        encode(&folders.pred("2_mask.png"), 1, png::ColorType::Rgb, &rgb(&[1]), None);
        encode(&folders.pred("3_mask.png"), 1, png::ColorType::Rgb, &rgb(&[1]), None);
        let score = folders.score().unwrap();
        assert_eq!(
            (score.images, &score.orphans[..], &score.surplus[..]),
            (1, &["1_mask.png".to_string()][..], &["3_mask.png".to_string()][..])
        );
        encode(&folders.pred("1_mask.png"), 1, png::ColorType::Rgb, &rgb(&[1, 1]), None);
        assert!(folders.score().unwrap_err().to_string().contains("is 1x2 and its label"));
        let whole = std::fs::read(folders.pred("2_mask.png")).unwrap();
        std::fs::write(folders.pred("2_mask.png"), &whole[..whole.len() - 20]).unwrap();
        std::fs::remove_file(folders.label("1_mask.png")).unwrap();
        assert!(folders.score().unwrap_err().to_string().contains("2_mask.png: "));
        std::fs::write(folders.pred("2.png"), whole).unwrap();
        assert!(folders.score().unwrap_err().to_string().contains("two masks of one name"));
    }
}
