//! Flags of `hectare predict` that go with scenes.

use clap::Args;
use hectare_map::{Levels, Scale};

/// How scenes are read, cut and written.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Scenes")]
pub struct SceneArgs {
    /// Side of the windows that the network sees, in pixels, a multiple of 32 [default: 1024].
    #[arg(long, value_name = "N", value_parser = crate::args::positive)]
    pub tile: Option<usize>,
    /// Pixels that neighbouring windows share, a multiple of 32 [default: 256]. The outer 96 have no weight.
    #[arg(long, value_name = "N", conflicts_with = "exact")]
    pub overlap: Option<usize>,
    /// Take the overlap at which the map does not depend on the windows (480 or 512 for the FCNs).
    #[arg(long)]
    pub exact: bool,
    /// Which bands the network sees, counted from 1, red, green, blue first, as 4,3,2 [default: as the model was trained,
    /// else the first].
    #[arg(long, value_name = "N,N,...", value_parser = bands)]
    pub bands: Option<Bands>,
    /// Samples that become black and white: LOW:HIGH for all bands or one for each (0:3000,0:3000,0:2500), or pLOW:HIGH for
    /// percentiles of the scene (p2:98) [default: as the model was trained, 0:255 for 8-bit samples].
    #[arg(long, visible_alias = "levels", value_name = "LOW:HIGH", value_parser = scale, allow_hyphen_values = true)]
    pub scale: Option<Levels>,
    /// Show the network the scene at the resolution that it was trained at, or at METRES; the map keeps the scene's own grid.
    #[arg(long, value_name = "METRES", num_args = 0..=1, require_equals = true, default_missing_value = "0", value_parser = metres, conflicts_with = "exact")]
    pub resample: Option<f64>,
    /// Give specks of less than this area the class around them: hectares, or pixels as 20px.
    #[arg(long, value_name = "AREA", value_parser = speck)]
    pub sieve: Option<Speck>,
    /// Also write MAP_confidence.tif, the probability of the class that was chosen in per cent.
    #[arg(long)]
    pub confidence: bool,
}

impl SceneArgs {
    /// One of the flags that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.tile.is_some(), "--tile"),
            (self.overlap.is_some(), "--overlap"),
            (self.exact, "--exact"),
            (self.bands.is_some(), "--bands"),
            (self.scale.is_some(), "--scale"),
            (self.resample.is_some(), "--resample"),
            (self.sieve.is_some(), "--sieve"),
            (self.confidence, "--confidence"),
        ];
        flags.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
    }
}

/// The smallest area that is no speck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speck {
    /// In hectares.
    Hectares(f64),
    /// In pixels.
    Pixels(usize),
}

impl Speck {
    /// The number of pixels; `pixel_m2` gives a pixel's square metres, if it takes them to say.
    ///
    /// # Errors
    /// Those of `pixel_m2`.
    pub fn pixels<E>(self, pixel_m2: impl FnOnce() -> Result<f64, E>) -> Result<usize, E> {
        match self {
            Speck::Pixels(pixels) => Ok(pixels),
            Speck::Hectares(area_ha) => Ok((area_ha * 1e4 / pixel_m2()?).ceil() as usize),
        }
    }
}

/// A resolution; 0 stands for the model's own.
fn metres(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(metres) if metres >= 0.0 && metres.is_finite() => Ok(metres),
        _ => Err("it must be metres above 0".into()),
    }
}

fn speck(text: &str) -> Result<Speck, String> {
    if let Some(pixels) = text.strip_suffix("px") {
        return crate::args::positive(pixels).map(Speck::Pixels);
    }
    match text.parse::<f64>() {
        Ok(area) if area > 0.0 && area.is_finite() => Ok(Speck::Hectares(area)),
        _ => Err("it must be an area above 0, in hectares or in pixels (20px)".into()),
    }
}

/// Bands, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bands(pub Vec<usize>);

/// Reads bands.
pub fn bands(text: &str) -> Result<Bands, String> {
    let band = |word: &str| match word.trim().parse::<usize>() {
        Ok(number) if number > 0 => Ok(number - 1),
        _ => Err(format!("{word:?} is no band; they are counted from 1")),
    };
    text.split(',').map(band).collect::<Result<_, _>>().map(Bands)
}

/// Reads a scale.
pub fn scale(text: &str) -> Result<Levels, String> {
    let pair = |text: &str| {
        let numbers = text.split_once(':').and_then(|(low, high)| {
            Some((low.trim().parse::<f64>().ok()?, high.trim().parse::<f64>().ok()?))
        });
        match numbers {
            Some((low, high)) if low < high && low.is_finite() && high.is_finite() => Ok((low, high)),
            Some(_) => Err(format!("the first number of {text} must be below the second")),
            None => Err(format!("{text:?} is not of the form LOW:HIGH")),
        }
    };
    if let Some(text) = text.strip_prefix('p') {
        let (low, high) = pair(text)?;
        if low < 0.0 || high > 100.0 {
            return Err("percentiles lie between 0 and 100".into());
        }
        return Ok(Levels::Percentiles(low, high));
    }
    let scales = text.split(',').map(|text| pair(text).map(|(low, high)| Scale { low, high }));
    scales.collect::<Result<_, _>>().map(Levels::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_and_scales() {
        assert_eq!(bands("4,3,2"), Ok(Bands(vec![3, 2, 1])));
        assert!(bands("0").is_err() && bands("a").is_err() && bands("").is_err());
        let one = Scale { low: 0.0, high: 3000.0 };
        assert_eq!(scale("0:3000"), Ok(Levels::Fixed(vec![one])));
        assert_eq!(scale("0:3000,-1:1.5"), Ok(Levels::Fixed(vec![one, Scale { low: -1.0, high: 1.5 }])));
        assert_eq!((speck("0.5"), speck("20px")), (Ok(Speck::Hectares(0.5)), Ok(Speck::Pixels(20))));
        assert!(speck("0").is_err() && speck("px").is_err() && speck("-1px").is_err());
        assert_eq!(scale("p2:98"), Ok(Levels::Percentiles(2.0, 98.0)));
        for wrong in ["", "3", "5:2", "p2", "p2:101", "0:nan", "1:2:3"] {
            assert!(scale(wrong).is_err(), "{wrong}");
        }
    }
}
