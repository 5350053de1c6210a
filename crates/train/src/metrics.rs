//! Counts first, shares after: one integer confusion matrix for a whole set, divided once.

use std::fmt;
use std::str::FromStr;

use hectare_net::ClassMap;
use serde::{Deserialize, Serialize};

/// Which pixels and classes a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The course's grader: the mean over all classes but Unknown; a class predicted where the truth is
    /// Unknown is a false positive.
    Course,
    /// Pixels whose truth is Unknown (or another ignored class) do not count at all.
    Ignore,
}

impl FromStr for Protocol {
    type Err = String;
    fn from_str(text: &str) -> Result<Protocol, String> {
        match text {
            "course" => Ok(Protocol::Course),
            "ignore" => Ok(Protocol::Ignore),
            _ => Err(format!("`{text}` is none of course, ignore")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Course => "course",
            Protocol::Ignore => "ignore",
        })
    }
}

/// Whether a class takes part in the mean: neither ignored nor named `Unknown`.
pub fn scored(classes: &ClassMap) -> Vec<bool> {
    classes
        .classes
        .iter()
        .map(|class| !class.ignored && !class.name.eq_ignore_ascii_case("unknown"))
        .collect()
}

/// How often each class (row) was predicted as each class (column).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// All zero.
    pub fn new(classes: usize) -> ConfusionMatrix {
        ConfusionMatrix { classes, counts: vec![0; classes * classes] }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often `truth` was predicted as `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// Counts one item.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        self.add_many(truth, predicted, 1);
    }

    /// Counts `count` items of one kind.
    pub fn add_many(&mut self, truth: usize, predicted: usize, count: u64) {
        self.counts[truth * self.classes + predicted] += count;
    }

    /// Counts class ids pixel by pixel; all must be below the number of classes.
    pub fn add_pixels(&mut self, truth: &[u8], predicted: &[u8]) {
        assert_eq!(truth.len(), predicted.len(), "truth and prediction have one size");
        for (&t, &p) in truth.iter().zip(predicted) {
            self.add(t.into(), p.into());
        }
    }

    /// Adds the counts of another matrix of the same number of classes.
    pub fn merge(&mut self, other: &ConfusionMatrix) {
        assert_eq!(self.classes, other.classes, "both matrices have the same classes");
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// Sum of all counts.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Share of items on the diagonal; 0 for an empty matrix.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        if self.total() == 0 { 0.0 } else { right as f64 / self.total() as f64 }
    }

    /// Share of each class's items that were found; `None` for a class without any.
    pub fn recalls(&self) -> Vec<Option<f64>> {
        let row = |class: usize| -> u64 { (0..self.classes).map(|p| self.count(class, p)).sum() };
        (0..self.classes).map(|c| (row(c) > 0).then(|| self.count(c, c) as f64 / row(c) as f64)).collect()
    }

    /// Intersection over union per class. `scored` says which classes take part.
    pub fn iou(&self, protocol: Protocol, scored: &[bool]) -> IouReport {
        assert_eq!(scored.len(), self.classes, "one flag per class");
        let counted = |truth: &usize| protocol == Protocol::Course || scored[*truth];
        let classes: Vec<usize> = (0..self.classes).filter(|class| scored[*class]).collect();
        let iou: Vec<Option<f64>> = classes
            .iter()
            .map(|&class| {
                let both = self.count(class, class);
                let truth: u64 = (0..self.classes).map(|p| self.count(class, p)).sum();
                let predicted: u64 = (0..self.classes).filter(counted).map(|t| self.count(t, class)).sum();
                let union = truth + predicted - both;
                (union > 0).then(|| both as f64 / union as f64)
            })
            .collect();
        let present = iou.iter().flatten().count() as f64;
        // Summed as the grader does (each share divided before it is added), for its last digit.
        let mean = iou.iter().flatten().fold(0.0, |sum, share| sum + share / present);
        IouReport { protocol, classes, iou, mean: (present > 0.0).then_some(mean) }
    }

    /// The counts as rows of truth.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks(self.classes.max(1)).map(<[u64]>::to_vec).collect()
    }

    /// The matrix as CSV: rows are truth, columns predictions, with names (whose commas, quotes and line ends become
    /// underscores).
    pub fn to_csv(&self, names: &[String]) -> String {
        let names: Vec<String> = names.iter().map(|name| name.replace([',', '"', '\n', '\r'], "_")).collect();
        let mut text = format!("truth\\predicted,{}\n", names.join(","));
        for (name, row) in names.iter().zip(self.rows()) {
            let cells: Vec<String> = row.iter().map(u64::to_string).collect();
            text += &format!("{name},{}\n", cells.join(","));
        }
        text
    }
}

/// Intersection over union of the classes that take part.
#[derive(Clone, Debug, PartialEq)]
pub struct IouReport {
    /// The protocol of the figures.
    pub protocol: Protocol,
    /// Ids of the classes.
    pub classes: Vec<usize>,
    /// Intersection over union, in the order of `classes`; `None` for a class absent from truth and prediction.
    pub iou: Vec<Option<f64>>,
    /// Mean over the classes that are not absent.
    pub mean: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: [[u64; 3]; 3]) -> ConfusionMatrix {
        ConfusionMatrix { classes: 3, counts: rows.concat() }
    }

    #[test]
    fn protocols_differ_on_unknown_truth() {
        let m = matrix([[6, 2, 0], [1, 3, 0], [4, 0, 0]]);
        let scored = [true, true, false];
        let course = m.iou(Protocol::Course, &scored);
        assert_eq!(course.iou, [Some(6.0 / 13.0), Some(3.0 / 6.0)]);
        assert!((course.mean.unwrap() - (6.0 / 13.0 + 0.5) / 2.0).abs() < 1e-15);
        let ignore = m.iou(Protocol::Ignore, &scored);
        assert_eq!(ignore.iou, [Some(6.0 / 9.0), Some(3.0 / 6.0)]);
    }

    #[test]
    fn names_cut_no_rows() {
        let names = ["Water".to_string(), "Forest, \"mixed\"".into(), "Bare\nsoil".into()];
        let csv = matrix([[1, 2, 3], [4, 5, 6], [7, 8, 9]]).to_csv(&names);
        assert_eq!(
            csv,
            "truth\\predicted,Water,Forest_ _mixed_,Bare_soil\nWater,1,2,3\nForest_ _mixed_,4,5,6\nBare_soil,7,8,9\n"
        );
    }

    #[test]
    fn absent_classes_leave_the_mean() {
        let report = matrix([[5, 0, 0], [0, 0, 0], [0, 0, 0]]).iou(Protocol::Course, &[true, true, true]);
        assert_eq!(report.iou, [Some(1.0), None, None]);
        assert_eq!(report.mean, Some(1.0));
        assert_eq!(ConfusionMatrix::new(2).iou(Protocol::Course, &[true, true]).mean, None);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let ids = |stream: u64, len: usize| -> Vec<u8> {
            let key = hectare_kernels::rng::Key { seed: 3, stream, step: 0 };
            (0..len).map(|i| (key.u32(i as u64) % 5) as u8).collect()
        };
        for len in [0, 1, 2, 31, 1000] {
            let (truth, predicted) = (ids(1, len), ids(2, len));
            let of = |range: std::ops::Range<usize>| {
                let mut matrix = ConfusionMatrix::new(5);
                matrix.add_pixels(&truth[range.clone()], &predicted[range]);
                matrix
            };
            for cut in [0, len / 3, len] {
                let mut sum = of(0..cut);
                sum.merge(&of(cut..len));
                assert_eq!(sum, of(0..len), "{len} cut at {cut}");
            }
        }
    }

    #[test]
    fn accuracy_and_csv() {
        let mut m = ConfusionMatrix::new(2);
        m.add_pixels(&[0, 0, 1, 1], &[0, 1, 1, 1]);
        assert_eq!(m.accuracy(), 0.75);
        assert_eq!(m.recalls(), [Some(0.5), Some(1.0)]);
        assert_eq!(m.to_csv(&["a".into(), "b".into()]), "truth\\predicted,a,b\na,1,1\nb,0,2\n");
        assert_eq!(ConfusionMatrix::new(2).accuracy(), 0.0);
    }
}
