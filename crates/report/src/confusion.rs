//! A confusion matrix as a run keeps it, `eval/confusion.csv`.

use std::path::Path;

use hectare_data::Image;
use hectare_train::ConfusionMatrix;

use crate::error::ReportError;

/// Counts with the classes' names; rows are truth, columns predictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// The classes in order.
    pub names: Vec<String>,
    /// The counts.
    pub counts: ConfusionMatrix,
}

/// Two classes that are taken for one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The true class.
    pub truth: usize,
    /// What it was taken for.
    pub predicted: usize,
    /// How often.
    pub count: u64,
    /// As a share of the true class.
    pub share: f64,
}

impl Confusion {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that is not there, or not a square of counts with names.
    pub fn read(path: &Path) -> Result<Confusion, ReportError> {
        let text =
            std::fs::read_to_string(path).map_err(|cause| ReportError::io("cannot read", path, cause))?;
        let broken =
            |problem: &str| ReportError::run(path, format_args!("is no confusion matrix: {problem}"));
        let mut lines = text.lines();
        let head =
            lines.next().and_then(|line| line.split_once(',')).ok_or_else(|| broken("it has no head"))?;
        let names: Vec<String> = head.1.split(',').map(str::to_string).collect();
        let mut counts = ConfusionMatrix::new(names.len());
        let mut rows = 0;
        for line in lines {
            let cells: Option<Vec<u64>> = line.split(',').skip(1).map(|cell| cell.parse().ok()).collect();
            let cells = cells.filter(|cells| cells.len() == names.len() && rows < names.len());
            let cells = cells.ok_or_else(|| broken(&format!("line {}", rows + 2)))?;
            for (predicted, count) in cells.into_iter().enumerate() {
                counts.add_many(rows, predicted, count);
            }
            rows += 1;
        }
        if rows == names.len() { Ok(Confusion { names, counts }) } else { Err(broken("it ends early")) }
    }

    /// Items of a class.
    pub fn of_truth(&self, class: usize) -> u64 {
        (0..self.names.len()).map(|predicted| self.counts.count(class, predicted)).sum()
    }

    /// The cell as a share of its row; 0 for a class without items.
    pub fn share(&self, truth: usize, predicted: usize) -> f64 {
        self.counts.count(truth, predicted) as f64 / self.of_truth(truth).max(1) as f64
    }

    /// The confusions, the largest share of a class first, and the first of equals by class.
    pub fn worst(&self) -> Vec<Pair> {
        let classes = 0..self.names.len();
        let pairs =
            classes.clone().flat_map(|t| classes.clone().map(move |p| (t, p))).filter(|(t, p)| t != p);
        let mut pairs: Vec<Pair> = pairs
            .map(|(truth, predicted)| Pair {
                truth,
                predicted,
                count: self.counts.count(truth, predicted),
                share: self.share(truth, predicted),
            })
            .filter(|pair| pair.count > 0)
            .collect();
        pairs.sort_by(|a, b| b.share.total_cmp(&a.share));
        pairs
    }

    /// The matrix as a picture, dark where a share of a row is large; some 400 pixels wide.
    pub fn picture(&self) -> Image {
        let n = self.names.len();
        let side = (400 / n.max(1)).clamp(4, 48);
        Image::from_fn(n * side, n * side, |x, y| shade(self.share(y / side, x / side)))
    }
}

/// From white to a dark blue that stays apart from white without colours; shares of a row, of which few are large,
/// by their root.
fn shade(share: f64) -> [u8; 3] {
    let t = share.clamp(0.0, 1.0).sqrt();
    [(255.0, 8.0), (255.0, 48.0), (255.0, 107.0)].map(|(from, to)| (from + t * (to - from)) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("confusion.csv");
        let mut counts = ConfusionMatrix::new(3);
        counts.add_many(0, 0, 6);
        counts.add_many(0, 2, 4);
        counts.add_many(1, 0, 1);
        counts.add_many(1, 1, 9);
        let names = ["Urban", "Water", "None"].map(str::to_string).to_vec();
        std::fs::write(&path, counts.to_csv(&names)).unwrap();
        let found = Confusion::read(&path).unwrap();
        assert_eq!(found, Confusion { names, counts });
        let worst: Vec<_> =
            found.worst().iter().map(|pair| (pair.truth, pair.predicted, pair.share)).collect();
        assert_eq!(worst, [(0, 2, 0.4), (1, 0, 0.1)]);
        let picture = found.picture();
        assert_eq!((picture.pixel(143, 143), picture.width), ([255; 3], 144));
        for half in ["", "truth\\predicted,a,b\na,1,2\nb,3", "truth\\predicted,a,b\na,1,2\n"] {
            std::fs::write(&path, half).unwrap();
            assert!(Confusion::read(&path).unwrap_err().to_string().contains("is no confusion matrix"));
        }
    }
}
