//! `hectare embed MODEL_FILE --data DIR --out DIR`: a map of what a network sees in pictures.

use hectare_data::verify::{Known, verify_images};
use hectare_data::{ClassificationSet, Image, read_image};
use hectare_train::npy;
use hectare_tsne::Rows;
use serde_json::json;

use crate::args::EmbedArgs;
use crate::embedding::labels::Labels;
use crate::embedding::run::{Subject, make};
use crate::embedding::thumbnails::Thumbnails;
use crate::failure::{Answer, Failure, OrFail};
use crate::model_file::Loaded;
use crate::progress::Counter;
use crate::{console, output};

/// Pictures that a network takes at once.
const BATCH: usize = 32;

/// Computes the features and makes their map.
///
/// # Errors
/// A model file, pictures or settings that cannot be used (exit code 2).
pub fn run(args: &EmbedArgs) -> Result<Answer, Failure> {
    output::check_folder(&args.embedding.out)?;
    let settings = args.embedding.settings()?;
    let loaded = Loaded::open(&args.model)?;
    let is_classifier = loaded.card.spec.model.is_classifier();
    let class_names = loaded.card.classes.names();
    let mut set = if is_classifier {
        ClassificationSet::open_as(&args.data, Some(&class_names)).or_input()?
    } else {
        ClassificationSet::open(&args.data).or_input()?
    };
    if !is_classifier {
        // Masks are no pictures, and numbers in the names of tiles no classes.
        set.samples.retain(|sample| !sample.name.contains("_mask."));
        set.samples.iter_mut().for_each(|sample| sample.label = None);
    }
    set.samples.truncate(args.limit.unwrap_or(usize::MAX));
    let paths: Vec<_> = set.samples.iter().map(|sample| sample.path.clone()).collect();
    let counter = Counter::new("pictures checked");
    let facts =
        verify_images(&paths, &mut Known::default(), &|done, total| counter.set(done, total)).or_input()?;
    counter.finish();
    if !is_classifier {
        loaded.check_sizes(paths.iter().map(|path| path.as_path()).zip(facts.sizes.iter().copied()))?;
    }
    let mut model = loaded.into_features(args.node.as_deref(), args.average || !is_classifier)?;
    let largest = facts.sizes.iter().flatten().copied().max().unwrap_or(1);
    let mut thumbnails =
        if args.embedding.no_pictures { None } else { Thumbnails::new(paths.len(), largest) };
    let counter = Counter::new("pictures seen");
    let mut data = Vec::new();
    let mut done = 0;
    for batch in paths.chunks(BATCH) {
        let images =
            batch.iter().map(|path| read_image(path)).collect::<Result<Vec<Image>, _>>().or_work()?;
        data.extend(model.of(&images).or_input()?);
        if let Some(thumbnails) = &mut thumbnails {
            images.iter().for_each(|image| thumbnails.push(image));
        }
        done += batch.len();
        counter.set(done, paths.len());
    }
    counter.finish();
    let columns = data.len() / paths.len().max(1);
    console::say(format_args!("{} pictures, {columns} features each, of node {}", paths.len(), model.node()));
    if args.features {
        output::create_folder(&args.embedding.out)?;
        npy::write(&args.embedding.out.join("features.npy"), &[paths.len(), columns], &data).or_work()?;
    }
    let of_row: Option<Vec<u32>> = set.samples.iter().map(|sample| sample.label.map(u32::from)).collect();
    if is_classifier && of_row.is_none() {
        console::say("not every picture has a class: the map is drawn without");
    }
    let model_file = args.model.model_file.file_name().unwrap_or_default().to_string_lossy();
    let subject = Subject {
        source: json!({ "model": model_file, "node": model.node(), "columns": columns }),
        title: format!("{} pictures by {columns} features of {}", paths.len(), model.node()),
        rows: Rows::new(data, columns).or_input()?,
        labels: of_row.map(|of_row| Labels::new(of_row, &|number| class_names.get(number as usize).cloned())),
        names: Some(set.samples.into_iter().map(|sample| sample.name).collect()),
        thumbnails: thumbnails.as_ref(),
    };
    make(&subject, &settings, &args.embedding)
}
