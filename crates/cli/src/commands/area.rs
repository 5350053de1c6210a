//! `hectare area MAP.tif`: hectares of each class.

use std::path::{Path, PathBuf};

use clap::Args;
use hectare_data::class_map_file::read_class_map;
use hectare_map::{
    AreaTable, LABEL_FIELD, MapFile, PixelAreas, Zone, estimate, measure, measure_zones, reference,
};

use crate::console;
use crate::failure::{Answer, Failure, OrFail};

/// What counted pixels do not tell.
const NO_ERROR: &str = "These are counts. A classifier confuses some classes more often than others, so counted areas are \
                        biased by an amount that the map itself does not tell; no standard error is given.";

/// `hectare area`.
#[derive(Args, Debug)]
pub struct AreaArgs {
    /// The map: one band of class ids.
    #[arg(value_name = "MAP.tif")]
    pub map: PathBuf,
    /// Class names, where the map has none: class_dict.csv or a TOML file.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// Side of a pixel on the ground in metres, for a map without a coordinate system.
    #[arg(long, value_name = "METRES", value_parser = metres)]
    pub pixel_m: Option<f64>,
    /// Labelled points, a random sample of every class of the map (`hectare sample`): estimate areas with 95 % intervals.
    #[arg(long, value_name = "POINTS.gpkg")]
    pub reference: Option<PathBuf>,
    /// The field of the points that holds their true class, by name or id.
    #[arg(long, value_name = "NAME", default_value = LABEL_FIELD, requires = "reference")]
    pub field: String,
    /// Polygons (GeoPackage or GeoJSON): one table for each.
    #[arg(long, value_name = "FILE", conflicts_with = "reference")]
    pub zones: Option<PathBuf>,
    /// The field that names a polygon [default: name, else their numbers].
    #[arg(long, value_name = "NAME", requires = "zones")]
    pub zone_field: Option<String>,
    /// Print one JSON document.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long)]
    pub csv: bool,
}

/// Reads a length in metres.
pub fn metres(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("it must be a number above 0".into()),
    }
}

/// Opens a map, with the class names of a file where one is given.
///
/// # Errors
/// A file that is no map, a class map that is not the map's own (exit code 2).
pub fn open(map: &Path, class_map: Option<&Path>) -> Result<MapFile, Failure> {
    let mut file = MapFile::open(map).or_input()?;
    if let Some(path) = class_map {
        let classes = read_class_map(path).or_input()?;
        if file.has_class_map && file.classes.names() != classes.names() {
            return Err(Failure::input(format_args!(
                "{} holds the classes {}, and {} says {}",
                map.display(),
                file.classes.names().join(", "),
                path.display(),
                classes.names().join(", ")
            ))
            .help("leave --class-map out: the map knows its classes"));
        }
        file.classes = classes;
        file.has_class_map = true;
    }
    Ok(file)
}

/// Areas of a map's pixels.
///
/// # Errors
/// No coordinate system, or one that does not tell areas (exit code 2).
pub fn pixel_areas(map: &MapFile, pixel_m: Option<f64>) -> Result<PixelAreas, Failure> {
    if let Some(side) = pixel_m {
        return Ok(PixelAreas::Uniform(side * side));
    }
    let help = "give the side of a pixel in metres (--pixel-m 10)";
    let no_crs = || {
        Failure::input(format_args!(
            "{} has no coordinate system, so areas would be a guess",
            map.path().display()
        ))
        .help(help)
    };
    let (affine, crs) = map.geo.affine().zip(map.geo.crs()).ok_or_else(no_crs)?;
    PixelAreas::new(&affine, &crs, map.height())
        .map_err(|error| Failure::input(format_args!("{}: {error}", map.path().display())).help(help))
}

/// Prints the table of a map.
///
/// # Errors
/// A map that cannot be read or has no coordinate system (exit code 2).
pub fn run(args: &AreaArgs) -> Result<Answer, Failure> {
    let mut map = open(&args.map, args.class_map.as_deref())?;
    let areas = pixel_areas(&map, args.pixel_m)?;
    if let Some(zones) = &args.zones {
        return by_zone(
            args,
            &measure_zones(&mut map, Some(&areas), zones, args.zone_field.as_deref()).or_input()?,
        );
    }
    let table = measure(&mut map, Some(&areas)).or_input()?;
    if let Some(points) = &args.reference {
        return adjusted(args, &mut map, &table, points);
    }
    if args.json {
        console::json(&table)?;
    } else if args.csv {
        console::result(table.csv())?;
    } else {
        print(&table)?;
    }
    Ok(Answer::Yes)
}

/// Areas that take the map's confusions into account.
fn adjusted(args: &AreaArgs, map: &mut MapFile, table: &AreaTable, points: &Path) -> Result<Answer, Failure> {
    let found = reference(map, points, &args.field).or_input()?;
    for (count, what) in [(found.unlabelled, "no label"), (found.outside, "no class of the map below them")] {
        if count > 0 {
            console::warn(format_args!(
                "{count} points of {} have {what} and do not count",
                points.display()
            ));
        }
    }
    let k = map.classes.len();
    let mut mapped_ha = vec![0.0; k];
    table.classes.iter().for_each(|class| mapped_ha[usize::from(class.id)] = class.area_ha.unwrap_or(0.0));
    let said = estimate(&map.classes.names(), &mapped_ha, &found.confusion).or_input()?;
    if args.json {
        console::json(&said)?;
    } else if args.csv {
        console::result(said.csv())?;
    } else {
        console::result(format_args!("{said}\n"))?;
    }
    Ok(Answer::Yes)
}

fn by_zone(args: &AreaArgs, zones: &[Zone]) -> Result<Answer, Failure> {
    if args.json {
        console::json(&serde_json::json!({ "zones": zones }))?;
    } else if args.csv {
        console::result(hectare_map::zones_csv(zones))?;
    } else {
        for zone in zones {
            console::result(format_args!("{}\n{}\n", zone.zone, zone.areas))?;
        }
        console::say(format_args!("{NO_ERROR}"));
    }
    Ok(Answer::Yes)
}

fn print(table: &AreaTable) -> Result<(), Failure> {
    console::result(format_args!("{table}\n"))?;
    console::say(format_args!("{NO_ERROR}"));
    Ok(())
}

/// Prints the table of a map that was just made; without a coordinate system the pixels alone.
///
/// # Errors
/// A map that cannot be read back (exit code 3).
pub fn print_counts(map: &Path, named: bool) -> Result<(), Failure> {
    let mut file = MapFile::open(map).or_work()?;
    let areas = pixel_areas(&file, None);
    let table = measure(&mut file, areas.as_ref().ok()).or_work()?;
    if named {
        console::result(format_args!("{}\n", map.display()))?;
    }
    print(&table)?;
    if areas.is_err() {
        console::say(format_args!(
            "{} has no coordinate system that tells areas, so pixels are counted alone",
            map.display()
        ));
    }
    Ok(())
}
