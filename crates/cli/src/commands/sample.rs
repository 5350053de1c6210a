//! `hectare sample MAP.tif --out points.gpkg`: points to be labelled, so that areas can be told with their error.

use std::path::PathBuf;

use clap::Args;
use hectare_map::{LABEL_FIELD, sample};

use crate::commands::area;
use crate::failure::{Answer, Failure, OrFail};
use crate::{console, output};

/// `hectare sample`.
#[derive(Args, Debug)]
pub struct SampleArgs {
    /// The map: one band of class ids.
    #[arg(value_name = "MAP.tif")]
    pub map: PathBuf,
    /// Points of each class.
    #[arg(long, value_name = "N", default_value = "50", value_parser = crate::args::positive)]
    pub per_class: usize,
    /// The number that the draw depends on.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
    /// The file to write.
    #[arg(long, value_name = "POINTS.gpkg")]
    pub out: PathBuf,
    /// Class names, where the map has none: class_dict.csv or a TOML file.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
}

/// Draws the points.
///
/// # Errors
/// A map that cannot be read, an output that exists, as labels may be in it, or cannot be written (exit code 2).
pub fn run(args: &SampleArgs) -> Result<Answer, Failure> {
    output::check_file(&args.out)?;
    if args.out.exists() {
        return Err(Failure::input(format_args!("{} exists, and may hold labels", args.out.display()))
            .help("give --out another name"));
    }
    let mut map = area::open(&args.map, args.class_map.as_deref())?;
    let drawn = sample(&mut map, args.per_class, args.seed, &args.out).or_input()?;
    for (class, (points, pixels)) in map.classes.classes.iter().zip(drawn.points.iter().zip(&drawn.pixels)) {
        if *points > 0 || map.has_class_map {
            console::result(format_args!(
                "{} {}: {points} points of {pixels} pixels\n",
                class.id, class.name
            ))?;
        }
    }
    console::say(format_args!(
        "wrote {}; fill in its field {LABEL_FIELD} with the true class of each point (name or id), then: hectare area \
         {} --reference {}",
        args.out.display(),
        args.map.display(),
        args.out.display()
    ));
    Ok(Answer::Yes)
}
