//! `hectare polygons MAP.tif --out F.gpkg`: a map's areas as polygons.

use std::path::PathBuf;

use clap::Args;
use hectare_map::{MapError, PolygonSettings, write_polygons};

use crate::commands::area;
use crate::failure::{Answer, Failure};
use crate::progress::Counter;
use crate::{console, output};

/// `hectare polygons`.
#[derive(Args, Debug)]
pub struct PolygonsArgs {
    /// The map: one band of class ids.
    #[arg(value_name = "MAP.tif")]
    pub map: PathBuf,
    /// The file to write: GeoPackage (.gpkg) or FlatGeobuf (.fgb) in the map's coordinates, or GeoJSON (.geojson) in longitude and
    /// latitude.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Take out corners, as long as the border stays within so many pixels of the pixels' own; shared borders stay shared.
    #[arg(long, value_name = "PIXELS", default_value = "0", value_parser = amount)]
    pub simplify: f64,
    /// Leave out polygons of less than so many hectares.
    #[arg(long, value_name = "HECTARES", default_value = "0", value_parser = amount)]
    pub min_area: f64,
    /// Class names, where the map has none: class_dict.csv or a TOML file.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// Side of a pixel on the ground in metres, for a map without a coordinate system.
    #[arg(long, value_name = "METRES", value_parser = area::metres)]
    pub pixel_m: Option<f64>,
}

fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("it must be a number from 0 up".into()),
    }
}

/// Writes the polygons.
///
/// # Errors
/// A map that cannot be read, an output of another kind (exit code 2), or that cannot be written to its end (exit code 3).
pub fn run(args: &PolygonsArgs) -> Result<Answer, Failure> {
    output::check_file(&args.out)?;
    let mut map = area::open(&args.map, args.class_map.as_deref())?;
    let areas = area::pixel_areas(&map, args.pixel_m);
    if args.min_area > 0.0
        && let Err(failure) = areas
    {
        return Err(failure);
    }
    let settings = PolygonSettings { simplify: args.simplify, min_area_ha: args.min_area };
    let counter = Counter::new("rows traced");
    let progress = |done, total| counter.set(done, total);
    let said = write_polygons(&mut map, areas.as_ref().ok(), &settings, &args.out, &progress);
    let said = said.map_err(|error| match error {
        // The map was read and the output proved writable before: the disk is full, say.
        MapError::Io { .. } => Failure::work(error),
        _ => Failure::input(error),
    })?;
    counter.finish();
    console::say(format_args!("wrote {} polygons to {}", said.polygons, args.out.display()));
    if said.left_out > 0 {
        console::say(format_args!(
            "left out {} polygons of less than {} ha, {:.2} ha in all",
            said.left_out, args.min_area, said.left_out_ha
        ));
    }
    Ok(Answer::Yes)
}
