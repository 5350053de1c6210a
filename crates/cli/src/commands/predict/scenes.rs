//! Scenes of any size to georeferenced maps.

use std::fs;
use std::path::{Path, PathBuf};

use hectare_map::{
    Levels, MapError, MapFile, MapSettings, Mapper, Recipe, Resampled, Scale, Scene, SceneCard, SceneInfo,
    sieve, sieve_bytes,
};

use super::resampling;
use super::scene_args::Speck;
use super::scene_model::SceneModel;
use crate::args::PredictArgs;
use crate::commands::area;
use crate::failure::{Answer, Failure, OrFail, check_memory};
use crate::progress::Counter;
use crate::{console, output, scene_files};

/// What to do about scenes without data.
const NODATA_HELP: &str =
    "`hectare data check` tells nodata value, alpha channel and mask; leave out what is empty indeed";

/// A scene and the map to be made of it.
pub struct Job {
    scene: PathBuf,
    out: PathBuf,
}

/// The scenes that the inputs name; nothing where they are pictures, to be made masks of.
///
/// # Errors
/// Pictures among scenes, a folder of both, a folder or list that cannot be read, two scenes whose maps would have one name
/// (exit code 2).
pub fn jobs(args: &PredictArgs) -> Result<Option<Vec<Job>>, Failure> {
    let unreadable =
        |path: &Path, error: &std::io::Error| Failure::input(format_args!("{}: {error}", path.display()));
    let mut scenes = Vec::new();
    let mut pictures = Vec::new();
    for input in &args.inputs {
        if input.is_dir() {
            let mut found = scene_files::in_folder(input).map_err(|error| unreadable(input, &error))?;
            match found.first() {
                Some(scene) => scene_files::check_alone(
                    scene,
                    input,
                    "name one by one what is meant, or put scenes and pictures into folders of their own",
                )?,
                None => pictures.push(input.clone()),
            }
            scenes.append(&mut found);
        } else if scene_files::is_list(input) {
            scenes.extend(scene_files::in_list(input).map_err(|error| unreadable(input, &error))?);
        } else if scene_files::is_scene(input) {
            scenes.push(input.clone());
        } else {
            pictures.push(input.clone());
        }
    }
    let to_file = scene_files::is_scene(&args.out) && !args.out.is_dir();
    if to_file && scenes.len() + pictures.len() > 1 {
        return Err(Failure::input(format_args!(
            "{} inputs make as many maps, and {} is one file",
            scenes.len() + pictures.len(),
            args.out.display()
        ))
        .help("give --out a folder"));
    }
    if to_file && !pictures.iter().any(|picture| picture.is_dir()) {
        scenes.append(&mut pictures);
    }
    if scenes.is_empty() {
        return Ok(None);
    }
    if let Some(picture) = pictures.first() {
        return Err(Failure::input(format_args!(
            "{} is no scene (.tif), and others of the inputs are",
            picture.display()
        ))
        .help("predict scenes and pictures in runs of their own"));
    }
    let out_of = |scene: &Path| {
        let stem = scene.file_stem().unwrap_or_default().to_string_lossy();
        args.out.join(format!("{stem}_map.tif"))
    };
    let mut jobs: Vec<Job> = Vec::new();
    for scene in scenes {
        let out = if to_file { args.out.clone() } else { out_of(&scene) };
        if let Some(other) = jobs.iter().find(|job| job.out == out) {
            return Err(Failure::input(format_args!(
                "the maps of {} and {} would both be {}",
                other.scene.display(),
                scene.display(),
                out.display()
            ))
            .help("predict them into folders of their own"));
        }
        jobs.push(Job { scene, out });
    }
    Ok(Some(jobs))
}

/// Makes the maps and prints the area of their classes. Of several scenes those without data are left out.
///
/// # Errors
/// Scenes, model, flags or outputs that cannot be used, found before anything is written (exit code 2); what fails
/// later, and at the end scenes without data (exit code 3).
pub fn run(args: &PredictArgs, jobs: &[Job]) -> Result<Answer, Failure> {
    if args.palette {
        return Err(Failure::input("--palette is for masks; maps have a palette anyway").help("leave it out"));
    }
    if args.overlay {
        return Err(
            Failure::input("--overlay is for masks of pictures, and these are scenes").help("leave it out")
        );
    }
    let flags = &args.scene;
    for job in jobs {
        output::check_file(&job.out)?;
        if output::same_file(&job.scene, &job.out) {
            return Err(Failure::input(format_args!("{} is scene and map in one", job.out.display()))
                .help("give --out another name"));
        }
    }
    let model = SceneModel::open(args)?;
    let card = model.card.clone();
    let [tile, overlap] = model.windows(flags.tile, flags.overlap)?;
    let settings = MapSettings {
        tile,
        overlap: (!flags.exact).then_some(overlap),
        probabilities: args.probabilities,
        confidence: flags.confidence,
        ..MapSettings::default()
    };
    let reach = model.reach();
    // All scenes are opened before the first map is begun.
    let mut largest = [0, 0];
    let mut with_data = Vec::new();
    for job in jobs {
        let mut scene = Scene::open(&job.scene).or_input()?;
        if unless_empty(recipe(&card, &mut scene, args), jobs).or_input()?.is_none() {
            continue;
        }
        let info = scene.info();
        let factor = resampling::factor(card.ground_resolution, info, flags.resample)?;
        let settings = resampling::settings(&settings, flags.tile, factor);
        if let Some(speck) = flags.sieve {
            check_specks(speck, info)?;
        }
        let grid = settings.grid(info.width, info.height, reach).or_input()?;
        let seen = resampling::seen([grid.down.size(0), grid.across.size(0)], factor);
        largest = [largest[0].max(seen[0]), largest[1].max(seen[1])];
        with_data.push(job);
    }
    if with_data.is_empty() {
        return Err(Failure::input("none of the scenes holds data").help(NODATA_HELP));
    }
    model.check_memory(largest)?;
    let mut segmenter = model.into_segmenter(args.tta)?;
    if jobs.first().is_some_and(|job| job.out != args.out) {
        output::create_folder(&args.out)?;
    }
    let mut maps = 0;
    for job in with_data {
        let mut scene = Scene::open(&job.scene).or_input()?;
        let recipe = recipe(&card, &mut scene, args).or_input()?;
        let factor = resampling::factor(card.ground_resolution, scene.info(), flags.resample)?;
        let settings = resampling::settings(&settings, flags.tile, factor);
        if let Some(factor) = factor {
            console::say(format_args!(
                "{}: the network sees {factor:.3} pixels for each pixel along a side; the map has the scene's",
                job.scene.display()
            ));
        }
        let counter = Counter::new("windows mapped");
        let mapper = Mapper {
            scene: &mut scene,
            recipe: &recipe,
            classes: &card.classes,
            settings: &settings,
            out: &job.out,
            fingerprint: format!(
                "{} {factor:?} {} {:?} {} {}",
                env!("CARGO_PKG_VERSION"),
                args.tta,
                args.onnx,
                stamp(&args.model.model_file),
                stamp(&job.scene)
            ),
        };
        let started = std::time::Instant::now();
        let progress = |done, total| counter.set(done, total);
        let mapped = match factor {
            Some(factor) => mapper.run(&mut Resampled::new(segmenter.as_mut(), factor), &progress),
            None => mapper.run(segmenter.as_mut(), &progress),
        };
        counter.finish();
        let mapped = unless_empty(mapped, jobs).map_err(|error| {
            let help = match error {
                MapError::Empty { .. } => NODATA_HELP,
                _ => {
                    "once the reason is gone, the same command takes up what is finished of this map; maps that are \
                     whole are made anew"
                }
            };
            Failure::work(error).help(help)
        })?;
        let Some(mapped) = mapped else { continue };
        maps += 1;
        if mapped.resumed_rows > 0 {
            console::say(format_args!("took up {} finished rows of windows", mapped.resumed_rows));
        }
        let elapsed_s = started.elapsed().as_secs_f64();
        console::detail(format_args!(
            "{} windows, {} without data, {:.2} million pixels of windows a second",
            mapped.windows,
            mapped.empty_windows,
            mapped.window_pixels as f64 / 1e6 / elapsed_s.max(1e-9)
        ));
        if let Some(speck) = flags.sieve {
            without_specks(&job.out, speck)?;
        }
        console::say(format_args!("wrote {}", job.out.display()));
        area::print_counts(&job.out, jobs.len() > 1)?;
    }
    if maps < jobs.len() {
        let (count, all) = (jobs.len() - maps, jobs.len());
        return Err(Failure::work(format_args!("{count} of {all} scenes hold no data and have no map"))
            .help(NODATA_HELP));
    }
    Ok(Answer::Yes)
}

/// What was made of a scene; nothing, and a warning, where it is one of several and holds no data.
fn unless_empty<T>(made: Result<T, MapError>, jobs: &[Job]) -> Result<Option<T>, MapError> {
    match made {
        Err(error @ MapError::Empty { .. }) if jobs.len() > 1 => {
            console::warn(format_args!("{error}; the scene is left out"));
            Ok(None)
        }
        made => made.map(Some),
    }
}

/// Refuses specks whose number of pixels is not known, or that need more memory than there is.
fn check_specks(speck: Speck, info: &SceneInfo) -> Result<(), Failure> {
    let name = info.path.display();
    let pixels = speck.pixels(|| {
        info.pixel_m().map(|pixel_m| pixel_m.powi(2)).ok_or_else(|| {
            Failure::input(format_args!("{name} has no coordinate system that tells the area of specks"))
                .help("give it in pixels (--sieve 20px)")
        })
    })?;
    let needed = sieve_bytes(info.width, info.height, pixels).or_input()?;
    let what = format_args!("{name}: to take out specks of less than {pixels} pixels would need");
    check_memory(what, needed, "take a smaller area (--sieve)")
}

/// Takes the specks out of a finished map.
fn without_specks(path: &Path, speck: Speck) -> Result<(), Failure> {
    let mut map = MapFile::open(path).or_work()?;
    let pixels = speck
        .pixels(|| -> Result<f64, Failure> { Ok(area::pixel_areas(&map, None)?.row_m2(map.height() / 2)) })?;
    let counter = Counter::new("rows sieved");
    let changed = sieve(&mut map, pixels, path, &|done, total| counter.set(done, total)).or_work()?;
    counter.finish();
    console::say(format_args!(
        "{changed} pixels of specks of less than {pixels} pixels took the class around them"
    ));
    Ok(())
}

fn recipe(card: &SceneCard, scene: &mut Scene, args: &PredictArgs) -> Result<Recipe, MapError> {
    let bands = args.scene.bands.as_ref().map(|bands| &bands.0[..]);
    match &args.scene.scale {
        None => Recipe::new(card, scene.info(), bands, None),
        Some(Levels::Fixed(scales)) => Recipe::new(card, scene.info(), bands, Some(scales)),
        Some(Levels::Percentiles(low, high)) => {
            let any = [Scale { low: 0.0, high: 1.0 }];
            let wanted = Recipe::new(card, scene.info(), bands, Some(&any))?.bands;
            scene.select(&wanted)?;
            let scales = Scale::of_percentiles(scene, *low, *high)?;
            Recipe::new(card, scene.info(), bands, Some(&scales))
        }
    }
}

/// Length and time of change of a file: an unfinished map of another one is not taken up.
fn stamp(path: &Path) -> String {
    let Ok(found) = fs::metadata(path) else { return String::new() };
    let changed = found.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    format!("{}:{}", found.len(), changed.map_or(0, |at| at.as_nanos()))
}
