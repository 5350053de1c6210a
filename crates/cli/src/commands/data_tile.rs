//! `hectare data tile SCENE --out DIR`: a scene cut into the layout that training reads.

use std::path::PathBuf;

use clap::Args;
use hectare_data::GroundFacts;
use hectare_map::{Labels, Levels, Scale, Scene, TileSettings, cut_tiles};
use hectare_net::SceneBands;

use super::data_check::class_map;
use super::predict::scene_args::{Bands, bands, scale};
use crate::failure::{Answer, Failure, OrFail};
use crate::progress::Counter;
use crate::{console, output};

/// `hectare data tile`.
#[derive(Args, Debug)]
pub struct DataTileArgs {
    /// The scene: GeoTIFF, PNG or JPEG.
    #[arg(value_name = "SCENE")]
    pub scene: PathBuf,
    /// Folder for NNNN_sat.png and NNNN_mask.png; created.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Side of a tile in pixels.
    #[arg(long, value_name = "N", default_value = "512", value_parser = crate::args::positive)]
    pub side: usize,
    /// Labels: a raster of class ids or colours, or polygons (GeoPackage, GeoJSON). Another grid or coordinate system is
    /// brought to the scene's.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// The field of the polygons that holds their class, by name or id.
    #[arg(long, value_name = "NAME", default_value = "lc", requires = "labels")]
    pub class_field: String,
    /// Class names and colours: class_dict.csv or a TOML file [default: the course's palette].
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// Which bands are red, green, blue, counted from 1, as 4,3,2 [default: the first three].
    #[arg(long, value_name = "N,N,N", value_parser = bands)]
    pub bands: Option<Bands>,
    /// Samples that become black and white: LOW:HIGH, one for each band, or pLOW:HIGH for percentiles.
    #[arg(long, visible_alias = "levels", value_name = "LOW:HIGH", value_parser = scale, allow_hyphen_values = true)]
    pub scale: Option<Levels>,
    /// Put this share of the ground, in whole blocks of 4 x 4 tiles (2 x 2 or single ones where there are fewer than 16), into
    /// OUT/val and the rest into OUT/train, so that few neighbours of training tiles are measured.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub holdout: Option<f64>,
    /// The number that the choice of blocks depends on.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1.0 => Ok(number),
        _ => Err("it must lie between 0 and 1".into()),
    }
}

/// Cuts the scene.
///
/// # Errors
/// Scene, labels or flags that do not fit, an output folder that holds tiles already (exit code 2).
pub fn run(args: &DataTileArgs) -> Result<Answer, Failure> {
    output::check_folder(&args.out)?;
    if args.out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::input(format_args!("{} is not empty", args.out.display()))
            .help("tiles of two scenes would mix; give --out another folder"));
    }
    let classes = class_map(args.class_map.as_deref())?;
    let mut scene = Scene::open(&args.scene).or_input()?;
    let chosen = match &args.bands {
        Some(bands) => bands.0.clone(),
        None => scene.info().colour_bands().into_iter().take(3).collect(),
    };
    scene.select(&chosen).or_input()?;
    let scale = match &args.scale {
        None => None,
        Some(Levels::Percentiles(low, high)) => {
            Some(Scale::of_percentiles(&mut scene, *low, *high).or_input()?)
        }
        Some(Levels::Fixed(scales)) => {
            let of_bands = Scale::for_bands(scales, chosen.len()).or_input();
            Some(of_bands.map_err(|failure| failure.help("give one for all, or one for each"))?)
        }
    };
    let labels = args.labels.as_ref().map(|path| Labels::open(path, &scene, &classes, &args.class_field));
    let mut labels = labels.transpose().or_input()?;
    if let Some(note) = labels.as_ref().and_then(Labels::note) {
        console::say(note);
    }
    let levels = scale.iter().flatten().map(|scale| [scale.low, scale.high]).collect();
    let facts = GroundFacts {
        ground_resolution: scene.info().pixel_m(),
        scene: Some(SceneBands { bands: chosen, scale: levels }),
    };
    let settings = TileSettings { side: args.side, scale, holdout: args.holdout, seed: args.seed };
    let counter = Counter::new("tiles cut");
    let progress = |done, total| counter.set(done, total);
    let said =
        cut_tiles(&mut scene, labels.as_mut(), &classes, &settings, &args.out, &progress).or_input()?;
    counter.finish();
    let folders: &[&str] = if args.holdout.is_some() { &["train", "val"] } else { &[""] };
    for folder in folders {
        facts.write(&args.out.join(folder)).or_work()?;
    }
    let held_out = match args.holdout {
        Some(_) => format!(", {} of them in val", said.held_out),
        None => String::new(),
    };
    console::say(format_args!(
        "wrote {} tiles{held_out}; left out {} without data or labels everywhere",
        said.tiles, said.left_out
    ));
    // Where labels are few, all of them may lie in blocks of one side.
    let one_sided = args.holdout.is_some() && (said.held_out == 0 || said.held_out == said.tiles);
    if one_sided && said.tiles > 0 {
        let (none, all) = if said.held_out == 0 { ("val", "train") } else { ("train", "val") };
        console::warn(format_args!(
            "there is nothing in {none}: all tiles that were written lie in {all}; try smaller ones (--side) or another --seed"
        ));
    }
    Ok(if said.tiles > 0 && !one_sided { Answer::Yes } else { Answer::No })
}
