//! A run folder, read.

use std::path::{Path, PathBuf};

use hectare_data::class_map_file::read_class_map;
use hectare_net::{ClassMap, ModelCard, weights};
use hectare_train::{EpochRecord, Picks, RunFolder, Task, TrainConfig};
use serde_json::Value;

use crate::confusion::Confusion;
use crate::embedding::Embedding;
use crate::error::ReportError;
use crate::study::{DataFacts, Study};

/// What a run has left.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the report calls it: the folder's name.
    pub name: String,
    /// Where its files are.
    pub folder: RunFolder,
    /// The settings.
    pub config: TrainConfig,
    /// The classes.
    pub classes: ClassMap,
    /// The epochs, at least one.
    pub records: Vec<EpochRecord>,
    /// The epochs that each way of choosing picks.
    pub picks: Option<Picks>,
    /// Machine and program.
    pub env: Value,
    /// The confusion matrix of the best epoch.
    pub confusion: Option<Confusion>,
    /// The network as PyTorch prints it, and its parameters.
    pub network: Option<(String, usize)>,
    /// What the best weights do on every tile, where that was computed.
    pub study: Option<Study>,
    /// What is known of the data.
    pub data: DataFacts,
    /// The t-SNE picture of its features.
    pub embedding: Option<Embedding>,
    /// What is missing or damaged and was left out.
    pub warnings: Vec<String>,
}

impl Run {
    /// Reads a run. What a report cannot be without is an error; all else that is missing or damaged is left out with
    /// a warning.
    ///
    /// # Errors
    /// No run there, no epoch done, or a class map that cannot be read.
    pub fn read(root: &Path) -> Result<Run, ReportError> {
        let (folder, config) =
            RunFolder::open(root).map_err(|error| ReportError::run(root, strip(&error.to_string(), root)))?;
        let mut warnings = Vec::new();
        let records = records(&folder, &mut warnings)?;
        let classes =
            read_class_map(&folder.classes()).map_err(|error| ReportError::run(&folder.classes(), error))?;
        let confusion = match Confusion::read(&folder.confusion()) {
            Ok(found) if found.names.len() == classes.len() => {
                Some(Confusion { names: classes.names(), ..found })
            }
            Ok(_) => None,
            Err(error) => {
                warnings.push(error.to_string());
                None
            }
        };
        let json =
            |path: PathBuf| std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let network = [folder.best(), folder.last()].iter().find_map(|file| network(file));
        if network.is_none() {
            warnings.push(format!("{}: no weights that say which network it is", root.display()));
        }
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
        Ok(Run {
            name: absolute.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            picks: Picks::of(&records),
            env: json(folder.env()).unwrap_or_default(),
            study: Study::read(&folder),
            data: DataFacts::read(&folder).unwrap_or_default(),
            embedding: Embedding::read(&root.join("tsne")).ok(),
            folder,
            config,
            classes,
            records,
            confusion,
            network,
            warnings,
        })
    }

    /// The network's name as people write it.
    pub fn model(&self) -> String {
        match self.config.model.name() {
            name if name.starts_with("fcn") => name.to_uppercase().replace('S', "s"),
            name => name.to_uppercase(),
        }
    }

    /// Whether it names the class of whole pictures.
    pub fn is_classifier(&self) -> bool {
        self.config.task == Task::Classify
    }

    /// The metric of the best epoch, and its name.
    pub fn best(&self) -> Option<(f64, &'static str)> {
        self.picks.as_ref().map(|picks| (picks.on_validation.validation, picks.metric))
    }

    /// What its weights started from, in words.
    pub fn start(&self) -> String {
        match &self.config.init {
            Some(file) => format!("started from {}", file.file_name().unwrap_or_default().to_string_lossy()),
            None => "started from random weights".into(),
        }
    }

    /// Seconds of training and validation.
    pub fn elapsed_s(&self) -> f64 {
        self.records.last().map_or(0.0, |record| record.elapsed_s)
    }
}

/// A library's message without the path that stands before it.
fn strip(message: &str, root: &Path) -> String {
    message.strip_prefix(&format!("{}: ", root.display())).unwrap_or(message).to_string()
}

/// The epochs. A damaged line, as a copy made while the run wrote may have, is left out.
fn records(folder: &RunFolder, warnings: &mut Vec<String>) -> Result<Vec<EpochRecord>, ReportError> {
    let path = folder.metrics_jsonl();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(ReportError::run(
                folder.root(),
                "has no metrics (there is no metrics.jsonl); is it the folder that --out of `hectare train` named?",
            ));
        }
        Err(cause) => return Err(ReportError::io("cannot read", &path, cause)),
    };
    let mut records: Vec<EpochRecord> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(record) => records.push(record),
            Err(error) => {
                warnings.push(format!("{}, line {}, was left out: {error}", path.display(), index + 1))
            }
        }
    }
    if records.is_empty() {
        return Err(ReportError::run(
            folder.root(),
            "not one epoch is done yet; a report needs one (`hectare train --resume` goes on)",
        ));
    }
    Ok(records)
}

/// The network of a weight file, printed, and its number of parameters.
fn network(file: &Path) -> Option<(String, usize)> {
    let card: ModelCard = serde_json::from_value(weights::read(file).ok()?.metadata?).ok()?;
    let network = hectare_net::build(&card.spec).ok()?;
    let count = network.layout().total;
    Some((network.to_string(), count))
}

/// Refuses runs of one task whose classes differ, with the first difference of each.
///
/// # Errors
/// [`ReportError::Mismatch`].
pub fn check_classes(runs: &[Run]) -> Result<(), ReportError> {
    for classifier in [false, true] {
        let mut same = runs.iter().filter(|run| run.is_classifier() == classifier);
        let Some(first) = same.next() else { continue };
        let mut differences = Vec::new();
        for run in same {
            if run.classes.len() != first.classes.len() {
                let (a, b) = (run.classes.len(), first.classes.len());
                differences.push(format!("{} has {a} classes and {} has {b}", run.name, first.name));
                continue;
            }
            let mut pairs = run.classes.classes.iter().zip(&first.classes.classes);
            if let Some((a, b)) = pairs.find(|(a, b)| (&a.name, a.colour) != (&b.name, b.colour)) {
                let say = |class: &hectare_net::Class| {
                    let [r, g, b] = class.colour;
                    format!("{} ({r},{g},{b})", class.name)
                };
                let (name, first) = (&run.name, &first.name);
                differences.push(format!("class {} is {} in {name} and {} in {first}", a.id, say(a), say(b)));
            }
        }
        if !differences.is_empty() {
            return Err(ReportError::Mismatch(format!(
                "runs of different class maps cannot stand side by side: {}",
                differences.join("; ")
            )));
        }
    }
    Ok(())
}
