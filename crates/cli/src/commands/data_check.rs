//! `hectare data check DIR`: what a data set holds and what is wrong with it.

mod scenes;

use std::path::Path;

use hectare_data::{check, list_text, write_atomic};
use hectare_net::ClassMap;

use crate::args::{DataCheckArgs, TaskName};
use crate::failure::{Answer, Failure, OrFail};
use crate::{console, output, progress, scene_files};

/// Prints the report; the answer is no when there are faults.
///
/// # Errors
/// When there is nothing to look at, flags that do nothing, or the list cannot be written (exit code 2).
pub fn run(args: &DataCheckArgs) -> Result<Answer, Failure> {
    if let Some(list) = &args.quarantine {
        output::check_file(list)?;
    }
    let found = if args.task.is_none() { scenes::list(&args.dir) } else { Vec::new() };
    if let Some(scene) = found.first() {
        if args.dir.is_dir() {
            let remedy =
                "say what the pictures are for with --task, or put the scenes into a folder of their own";
            scene_files::check_alone(scene, &args.dir, remedy)?;
        }
        let flags = [
            (args.class_map.is_some(), "--class-map"),
            (args.against.is_some(), "--against"),
            (args.quarantine.is_some(), "--quarantine"),
        ];
        if let Some((_, flag)) = flags.into_iter().find(|(given, _)| *given) {
            return Err(Failure::input(format_args!(
                "{flag} is for pictures, and {} is a scene",
                scene.display()
            ))
            .help("leave it out"));
        }
        return scenes::run(&found, args.json);
    }
    let task = args.task.unwrap_or_else(|| guess(&args.dir));
    if task == TaskName::Classify && args.class_map.is_some() {
        return Err(Failure::input("--class-map is for masks, and these are pictures with a class each")
            .help("leave it out, or say --task segment"));
    }
    let against = args.against.as_deref();
    let bar = progress::Counter::new("pictures checked");
    let progress = |done, total| bar.set(done, total);
    let report = match task {
        TaskName::Classify => check::check_classification(&args.dir, against, &progress).or_input()?,
        TaskName::Segment => {
            let classes = class_map(args.class_map.as_deref())?;
            check::check_segmentation(&args.dir, &classes, against, &progress).or_input()?
        }
    };
    bar.finish();
    if let Some(list) = &args.quarantine {
        let files = report.to_leave_out();
        output::create_folder(&output::parent(list))?;
        write_atomic(list, list_text(list, &files).as_bytes()).or_work()?;
        console::say(format_args!("{} files to leave out: {}", files.len(), list.display()));
    }
    if args.json {
        console::json(&report)?;
    } else {
        console::result(format_args!("{report}\n"))?;
    }
    Ok(if report.faults().is_empty() { Answer::Yes } else { Answer::No })
}

/// The class map in `file`, or the course's.
///
/// # Errors
/// When the file cannot be read as one.
pub fn class_map(file: Option<&Path>) -> Result<ClassMap, Failure> {
    match file {
        Some(file) => hectare_data::class_map_file::read_class_map(file).or_input(),
        None => Ok(ClassMap::course()),
    }
}

/// Segmentation where masks lie, classification otherwise.
fn guess(dir: &Path) -> TaskName {
    let is_mask = |name: &str| name.ends_with("_mask.png") || name == "masks";
    let mut entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    match entries.any(|entry| entry.file_name().to_str().is_some_and(is_mask)) {
        true => TaskName::Segment,
        false => TaskName::Classify,
    }
}
