//! Scenes of another resolution than a network's.

use hectare_data::same_resolution;
use hectare_map::{MapSettings, Resampled, SceneInfo};

use crate::failure::Failure;

/// Pixels that the network, trained at `trained_m`, is shown for each pixel of the scene; nothing where the scene is shown
/// as it is, because its resolution is the model's within a tenth or one of the two is not known. `wanted` are metres, 0
/// for the model's own.
///
/// # Errors
/// Another resolution without leave to resample, one that is too far off, or leave without a resolution to go by.
pub fn factor(trained_m: Option<f64>, info: &SceneInfo, wanted: Option<f64>) -> Result<Option<f64>, Failure> {
    /// Furthest that a scene is resampled, either way.
    const MOST: f64 = 8.0;
    let name = info.path.display();
    let seen_m = match wanted.filter(|metres| *metres > 0.0).or(trained_m) {
        Some(metres) => metres,
        None if wanted.is_none() => return Ok(None),
        None => {
            return Err(Failure::input("the model does not tell its resolution")
                .help("say which it was trained at, as --resample=10 (metres)"));
        }
    };
    let Some(pixel_m) = info.pixel_m() else {
        return match wanted {
            None => Ok(None),
            Some(_) => {
                Err(Failure::input(format_args!("{name} does not tell how wide a pixel is on the ground"))
                    .help("give it a coordinate system, or leave --resample out"))
            }
        };
    };
    if same_resolution(pixel_m, seen_m) {
        return Ok(None);
    }
    let factor = pixel_m / seen_m;
    let failure = Failure::input(format_args!(
        "a pixel of {name} is {pixel_m:.3} m wide and the model was trained at {seen_m:.3} m"
    ));
    match wanted {
        None => Err(failure.help("show it the scene at its own resolution with --resample")),
        Some(_) if !(1.0 / MOST..=MOST).contains(&factor) => {
            Err(failure
                .help("--resample goes up to a factor of 8; bring the scene closer first (gdalwarp -tr)"))
        }
        Some(_) => Ok(Some(factor)),
    }
}

/// The settings in the scene's pixels. Where many of them make one of the network's, its windows are smaller unless their
/// size is given, so that a window of the scene stays within memory.
pub fn settings(settings: &MapSettings, tile: Option<usize>, factor: Option<f64>) -> MapSettings {
    let Some(factor) = factor else { return settings.clone() };
    let tile = tile.unwrap_or(if factor < 0.4 { settings.tile / 2 } else { settings.tile });
    MapSettings { tile, ..settings.clone() }.resampled(factor)
}

/// Rows and columns that the network sees of a window of the scene.
pub fn seen(size: [usize; 2], factor: Option<f64>) -> [usize; 2] {
    size.map(|side| factor.map_or(side, |factor| Resampled::side(side, factor)))
}
