//! Putting a file's tensors into a network.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::{WeightError, WeightFile, mapping, read};
use crate::{Network, Params};

/// What became of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadStatus {
    /// It was loaded.
    Loaded,
    /// The numbers of another shape were loaded, in the same order.
    Reshaped {
        /// The tensor's name in the file.
        from: String,
    },
    /// The network has it and the file has not: it keeps its start.
    Missing,
    /// The file has it and the network has not.
    Surplus,
    /// Both have it, in different shapes.
    ShapeMismatch {
        /// The network's shape.
        expected: Vec<usize>,
    },
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRow {
    /// The tensor's name.
    pub name: String,
    /// Its shape in the file, or in the network where the file has none.
    pub shape: Vec<usize>,
    /// What became of it.
    pub status: LoadStatus,
}

/// What was loaded and what was not. `Display` gives a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The network's tensors in its order, then the file's surplus ones.
    pub rows: Vec<LoadRow>,
}

impl LoadReport {
    /// Number of tensors loaded.
    pub fn loaded(&self) -> usize {
        self.rows.iter().filter(|row| row.is_loaded()).count()
    }

    /// Whether everything was loaded and nothing left over.
    pub fn is_complete(&self) -> bool {
        self.loaded() == self.rows.len()
    }

    /// What was not loaded, in one line that names the first few.
    pub fn faults(&self) -> String {
        let faults: Vec<String> = self.rows.iter().filter_map(LoadRow::fault).collect();
        let shown = faults.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        match faults.len() {
            0 => "nothing is wrong".to_owned(),
            1..=4 => shown,
            more => format!("{shown} and {} more", more - 4),
        }
    }
}

impl LoadRow {
    /// Whether the network has the file's numbers now.
    pub fn is_loaded(&self) -> bool {
        matches!(self.status, LoadStatus::Loaded | LoadStatus::Reshaped { .. })
    }

    fn fault(&self) -> Option<String> {
        match &self.status {
            LoadStatus::Loaded | LoadStatus::Reshaped { .. } => None,
            LoadStatus::Missing => Some(format!("{} is missing", self.name)),
            LoadStatus::Surplus => Some(format!("{} is surplus", self.name)),
            LoadStatus::ShapeMismatch { expected } => {
                Some(format!("{} is {}, not {}", self.name, shape_text(&self.shape), shape_text(expected)))
            }
        }
    }
}

fn shape_text(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "one number".to_owned();
    }
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(6);
        let shapes: Vec<String> = self.rows.iter().map(|row| shape_text(&row.shape)).collect();
        let shape_width = shapes.iter().map(String::len).max().unwrap_or(0).max(5);
        writeln!(f, "{:width$}  {:shape_width$}  status", "tensor", "shape")?;
        for (row, shape) in self.rows.iter().zip(&shapes) {
            let status = match &row.status {
                LoadStatus::Loaded => "loaded".to_owned(),
                LoadStatus::Reshaped { from } => format!("reshaped from {from}"),
                LoadStatus::Missing => "missing, starts anew".to_owned(),
                LoadStatus::Surplus => "surplus, not used".to_owned(),
                LoadStatus::ShapeMismatch { expected } => {
                    format!("other shape than the network's {}, starts anew", shape_text(expected))
                }
            };
            writeln!(f, "{:width$}  {shape:shape_width$}  {status}", row.name)?;
        }
        write!(f, "{} of {} loaded", self.loaded(), self.rows.len())
    }
}

/// Whether the file at `path` holds these parameters and running statistics, bit for bit, and nothing else.
///
/// # Errors
/// When it cannot be read.
pub fn holds(path: impl AsRef<Path>, params: &Params) -> Result<bool, WeightError> {
    let file = read(path)?;
    let trained =
        params.layout.entries.iter().map(|entry| (&entry.name, &params.values[entry.range.clone()]));
    let statistics =
        params.layout.buffers.iter().map(|entry| (&entry.name, &params.buffers[entry.range.clone()]));
    let mut count = 0;
    for (name, values) in trained.chain(statistics) {
        match file.get(name) {
            Some(tensor) if tensor.holds(values)? => count += 1,
            _ => return Ok(false),
        }
    }
    Ok(count == file.tensors.len())
}

/// A tensor of the file, its place in the parameters, and whether it is a running statistic.
type Found<'a> = (&'a super::Tensor, Range<usize>, bool);

/// What would be loaded from the file into the network, by names and shapes alone.
pub(super) fn compare<'a>(file: &'a WeightFile, network: &Network) -> (LoadReport, Vec<Found<'a>>) {
    let layout = network.layout();
    let trained = layout.entries.iter().map(|entry| (&entry.name, &entry.shape, &entry.range, false));
    let statistics = layout.buffers.iter().map(|entry| (&entry.name, &entry.shape, &entry.range, true));
    let wanted: Vec<_> = trained.chain(statistics).collect();

    let mut report = LoadReport::default();
    let mut found: Vec<Found> = Vec::new();
    for &(name, shape, range, statistic) in &wanted {
        let reshaped = mapping::fully_connected(file, name, shape).filter(|_| file.get(name).is_none());
        let tensor = file.get(name).or(reshaped);
        let status = match tensor {
            Some(tensor) if reshaped.is_some() => {
                found.push((tensor, range.clone(), statistic));
                LoadStatus::Reshaped { from: tensor.name.clone() }
            }
            None => LoadStatus::Missing,
            Some(tensor) if tensor.shape != *shape => LoadStatus::ShapeMismatch { expected: shape.clone() },
            Some(tensor) => {
                found.push((tensor, range.clone(), statistic));
                LoadStatus::Loaded
            }
        };
        let shape = tensor.map_or(shape, |tensor| &tensor.shape).clone();
        report.rows.push(LoadRow { name: name.clone(), shape, status });
    }
    let taken = |tensor: &super::Tensor| found.iter().any(|one| one.0.name == tensor.name);
    let surplus = file
        .tensors
        .iter()
        .filter(|tensor| !wanted.iter().any(|one| *one.0 == tensor.name) && !taken(tensor));
    report.rows.extend(surplus.map(|tensor| LoadRow {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        status: LoadStatus::Surplus,
    }));
    (report, found)
}

/// Loads the file's tensors into `params` by name.
///
/// # Errors
/// Without `partial`, when a tensor is missing, surplus or of another shape. With it, only when nothing at
/// all could be loaded. `params` is unchanged then. A file that cannot be read to its end or holds a NaN or an
/// infinity in a tensor that is wanted leaves `params` half loaded.
pub fn load_into(
    file: &WeightFile,
    network: &Network,
    params: &mut Params,
    partial: bool,
) -> Result<LoadReport, WeightError> {
    let (report, found) = compare(file, network);
    if (!partial && !report.is_complete()) || found.is_empty() {
        return Err(WeightError::Mismatch { path: file.path.clone(), report: Box::new(report) });
    }
    for (tensor, range, statistic) in found {
        let values = if statistic { &mut params.buffers } else { &mut params.values };
        tensor.read_into(&mut values[range])?;
    }
    Ok(report)
}
