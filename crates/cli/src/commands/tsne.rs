//! `hectare tsne FEATURES.npy --out DIR`: a map of anybody's rows.

use hectare_train::{TrainError, npy};
use hectare_tsne::{Rows, memory_needed};
use serde_json::json;

use crate::args::TsneArgs;
use crate::embedding::labels::Labels;
use crate::embedding::run::{Subject, make};
use crate::failure::{Answer, Failure, OrFail};
use crate::output;

/// Makes the map.
///
/// # Errors
/// A matrix, labels or settings that cannot be used (exit code 2).
pub fn run(args: &TsneArgs) -> Result<Answer, Failure> {
    output::check_folder(&args.embedding.out)?;
    let settings = args.embedding.settings()?;
    let labels = args.labels.as_deref().map(Labels::read).transpose()?;
    // Refused before it is read.
    let fits = |shape: &[usize]| {
        let refuse =
            |problem: String| Err(TrainError::Input(format!("{}: {problem}", args.features.display())));
        let &[n, columns] = shape else {
            return refuse(format!("holds numbers of shape {shape:?}, and rows are a matrix, N x D"));
        };
        let needed = memory_needed(n, columns, &settings);
        match settings.memory_limit {
            Some(limit) if needed > limit => {
                let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
                refuse(format!(
                    "{n} rows of {columns} numbers need {:.1} GiB of memory, and {:.1} GiB are available",
                    gib(needed),
                    gib(limit)
                ))
            }
            _ => Ok(()),
        }
    };
    let (shape, data) = npy::read_numbers_if(&args.features, &fits).or_input()?;
    let rows = Rows::new(data, shape[1])
        .map_err(|error| Failure::input(format_args!("{}: {error}", args.features.display())))?;
    let file = args.features.file_name().unwrap_or_default().to_string_lossy();
    let subject = Subject {
        source: json!({ "features": file, "columns": shape[1] }),
        title: format!("{} rows of {} numbers", rows.len(), rows.columns()),
        rows,
        labels,
        names: None,
        thumbnails: None,
    };
    make(&subject, &settings, &args.embedding)
}
