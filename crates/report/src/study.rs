//! What a run's best weights do on every tile of the validation set, and what is known of its data: computed once and
//! kept in the run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hectare_data::Mask;
use hectare_net::ClassMap;
use hectare_train::{ConfusionMatrix, Detail, Protocol, RunFolder, scored};
use serde::{Deserialize, Serialize};

use crate::error::ReportError;

/// The tiles of a validation set under the best weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// SHA-256 of the weight file.
    pub weights: String,
    /// Each tile.
    pub tiles: Vec<TileScore>,
    /// Counts near borders and by the size of regions.
    pub detail: Detail,
}

/// A tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TileScore {
    /// Its name.
    pub stem: String,
    /// Share of its pixels that are right.
    pub accuracy: f64,
    /// Mean intersection over union of the classes in its truth or prediction.
    pub mean_iou: Option<f64>,
    /// Classes of its truth.
    pub classes: usize,
}

impl Study {
    /// Nothing seen yet.
    pub fn new(weights: String, classes: &ClassMap) -> Study {
        Study { weights, tiles: Vec::new(), detail: Detail::new(classes.len()) }
    }

    /// Counts a tile; truth and prediction have one size.
    pub fn add(&mut self, stem: &str, truth: &Mask, predicted: &Mask, classes: &ClassMap) {
        let mut counts = ConfusionMatrix::new(classes.len());
        let known = |id: u8| usize::from(id) < classes.len();
        for (&t, &p) in truth.ids.iter().zip(&predicted.ids).filter(|(t, p)| known(**t) && known(**p)) {
            counts.add(t.into(), p.into());
        }
        self.tiles.push(TileScore {
            stem: stem.to_string(),
            accuracy: counts.accuracy(),
            mean_iou: counts.iou(Protocol::Course, &scored(classes)).mean,
            classes: truth.counts(classes.len()).iter().filter(|pixels| **pixels > 0).count(),
        });
        self.detail.add(truth, predicted);
    }

    /// The folder of the masks.
    pub fn masks(run: &RunFolder) -> PathBuf {
        run.root().join("eval/masks")
    }

    /// The file.
    pub fn file(run: &RunFolder) -> PathBuf {
        run.root().join("eval/study.json")
    }

    /// What was kept; `None` where nothing was, or nothing that can be read.
    pub fn read(run: &RunFolder) -> Option<Study> {
        serde_json::from_slice(&std::fs::read(Study::file(run)).ok()?).ok()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The operating system's, naming the file.
    pub fn write(&self, run: &RunFolder) -> Result<(), ReportError> {
        let text = serde_json::to_vec(self).expect("names and numbers are JSON");
        crate::write(&Study::file(run), &text)
    }
}

/// What is known of a run's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFacts {
    /// Each set by its name, `train` and `val`.
    pub sets: BTreeMap<String, SetFacts>,
}

/// A set of pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFacts {
    /// Where it was.
    pub path: PathBuf,
    /// Pictures.
    pub pictures: usize,
    /// Bytes of all files, labels included.
    pub bytes: u64,
    /// SHA-256 over names and contents of all files, in the order of the names.
    pub sha256: String,
    /// Pictures (classification) or pixels (segmentation) of each class.
    pub classes: Vec<u64>,
}

impl DataFacts {
    fn file(run: &RunFolder) -> PathBuf {
        run.root().join("eval/data.json")
    }

    /// What was kept; `None` where nothing was.
    pub fn read(run: &RunFolder) -> Option<DataFacts> {
        serde_json::from_slice(&std::fs::read(DataFacts::file(run)).ok()?).ok()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The operating system's, naming the file.
    pub fn write(&self, run: &RunFolder) -> Result<(), ReportError> {
        let text = serde_json::to_vec_pretty(self).expect("names and numbers are JSON");
        crate::write(&DataFacts::file(run), &text)
    }
}

/// SHA-256 over the names and contents of some files, and their bytes.
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(files: &[PathBuf], progress: &dyn Fn(usize, usize)) -> Result<(String, u64), ReportError> {
    use sha2::{Digest, Sha256};
    let mut files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    files.sort_by_key(|path| path.file_name());
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    for (index, path) in files.iter().enumerate() {
        let content = std::fs::read(path).map_err(|cause| ReportError::io("cannot read", path, cause))?;
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(&content);
        bytes += content.len() as u64;
        progress(index + 1, files.len());
    }
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::at(folder.path());
        std::fs::create_dir(folder.path().join("eval")).unwrap();
        assert_eq!(Study::read(&run), None);
        let classes = ClassMap::course();
        let mut study = Study::new("abc".into(), &classes);
        study.add("0010", &Mask::from_fn(4, 4, |x, _| (x / 2) as u8), &Mask::filled(4, 4, 0), &classes);
        assert_eq!(
            (study.tiles[0].accuracy, study.tiles[0].mean_iou, study.tiles[0].classes),
            (0.5, Some(0.25), 2)
        );
        study.write(&run).unwrap();
        assert_eq!(Study::read(&run), Some(study));
    }

    #[test]
    fn a_fingerprint_sees_names_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = ["a", "b"].iter().map(|name| folder.path().join(name)).collect();
        files.iter().for_each(|file| std::fs::write(file, "x").unwrap());
        let print = |files: &[PathBuf]| fingerprint(files, &|_, _| {}).unwrap();
        let first = print(&files);
        assert_eq!(first.1, 2);
        assert_eq!(first, print(&[files[1].clone(), files[0].clone()]));
        std::fs::write(&files[1], "y").unwrap();
        assert_ne!(first, print(&files));
    }
}
