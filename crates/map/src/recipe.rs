//! From a scene's samples to the numbers that a network reads.

use hectare_kernels::threads;

use crate::{MapError, Patch, SampleKind, Samples, Scene, SceneCard, SceneInfo, Window};

/// How samples become levels from 0 to 255, the scale that normalisations are given in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The sample that becomes 0.
    pub low: f64,
    /// The sample that becomes 255.
    pub high: f64,
}

/// What happens to the samples of a scene before the network sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Which bands of the scene are read, counted from 0.
    pub bands: Vec<usize>,
    /// Scale of each of them; 8-bit samples need none.
    pub scale: Option<Vec<Scale>>,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Scale {
    /// The level of a sample, from 0 to 255.
    pub fn level(self, sample: f32) -> f32 {
        ((f64::from(sample) - self.low) / (self.high - self.low) * 255.0).clamp(0.0, 255.0) as f32
    }

    /// The levels that a share of the scene's samples lies below, for each band that `scene` gives: `low` and `high` are
    /// per cent. Up to 64 x 64 blocks, evenly spread, are read, so memory and time do not grow with the scene; the
    /// same scene always gives the same scale.
    ///
    /// # Errors
    /// A scene that cannot be read or holds no data.
    pub fn of_percentiles(scene: &mut Scene, low: f64, high: f64) -> Result<Vec<Scale>, MapError> {
        let mut samples = spread_samples(scene)?;
        if samples.iter().any(Vec::is_empty) {
            let reason = "there is nothing that a scale could be taken from".into();
            return Err(MapError::Empty { path: scene.info().path.clone(), reason });
        }
        Ok(samples.iter_mut().map(|samples| Scale::between(samples, low, high)).collect())
    }

    /// A scale for each of `bands` bands: one is for all of them.
    ///
    /// # Errors
    /// More or fewer than one or `bands`.
    pub fn for_bands(scales: &[Scale], bands: usize) -> Result<Vec<Scale>, MapError> {
        match scales.len() {
            1 => Ok(vec![scales[0]; bands]),
            count if count == bands => Ok(scales.to_vec()),
            count => Err(MapError::Mismatch(format!("{count} scales are given for {bands} bands"))),
        }
    }

    /// From the `low`th to the `high`th percentile of some samples, which are put in order.
    pub(crate) fn between(samples: &mut [f32], low: f64, high: f64) -> Scale {
        samples.sort_by(f32::total_cmp);
        let at = |percent: f64| {
            let place = (percent / 100.0 * (samples.len() - 1) as f64).round() as usize;
            f64::from(samples[place.min(samples.len() - 1)])
        };
        let (low, high) = (at(low), at(high));
        // A band of one value has no contrast to be stretched.
        Scale { low, high: if high > low { high } else { low + 1.0 } }
    }
}

/// Samples of each selected band that hold data, of evenly spread blocks: up to 64 x 64 blocks of 64 x 64 pixels, and fewer of
/// scenes of many bands.
pub(crate) fn spread_samples(scene: &mut Scene) -> Result<Vec<Vec<f32>>, MapError> {
    /// Side of a block.
    const BLOCK: usize = 64;
    let (width, height) = (scene.info().width, scene.info().height);
    let bands = scene.bands().len();
    let most = if bands <= 4 { 64 } else { 24 };
    let starts = |length: usize| -> Vec<usize> {
        let count = length.div_ceil(BLOCK).min(most);
        (0..count).map(|i| (i * length / count).min(length - BLOCK.min(length))).collect()
    };
    let mut samples: Vec<Vec<f32>> = vec![Vec::new(); bands];
    let mut patch = Patch::default();
    for y in starts(height) {
        for x in starts(width) {
            let window = Window { x, y, width: BLOCK.min(width), height: BLOCK.min(height) };
            scene.read(window, &mut patch)?;
            for (at, _) in patch.valid.iter().enumerate().filter(|(_, valid)| **valid) {
                let values = (0..bands).map(|band| patch.samples.get(at * bands + band));
                values.zip(&mut samples).for_each(|(value, samples)| samples.push(value));
            }
        }
    }
    Ok(samples)
}

impl Recipe {
    /// The recipe for a model and a scene: bands and scales as the flags say, else as the model was trained.
    ///
    /// # Errors
    /// Another number of bands than the network takes, bands that the scene does not have, samples of more than 8 bits
    /// without a scale.
    pub fn new(
        card: &SceneCard,
        scene: &SceneInfo,
        bands: Option<&[usize]>,
        scale: Option<&[Scale]>,
    ) -> Result<Recipe, MapError> {
        let fail = |text: String| Err(MapError::Mismatch(text));
        let wanted = card.bands;
        let name = scene.path.display();
        let stored = card.scene.as_ref();
        let bands = match bands.map(<[usize]>::to_vec).or_else(|| stored.map(|s| s.bands.clone())) {
            Some(bands) => bands,
            None => {
                let mut own = scene.colour_bands();
                if own.len() < wanted {
                    return fail(format!(
                        "{name} has {} bands and the network takes {wanted}; name them with --bands (1,1,1 shows a \
                         single band three times)",
                        own.len()
                    ));
                }
                if own.len() > wanted && scene.kind != SampleKind::U8 {
                    return fail(format!(
                        "{name} has {} bands and the network takes {wanted}; say which with --bands, as \
                         --bands 4,3,2",
                        own.len()
                    ));
                }
                own.truncate(wanted);
                own
            }
        };
        if bands.len() != wanted {
            return fail(format!("{} bands are named and the network takes {wanted}", bands.len()));
        }
        if let Some(missing) = bands.iter().find(|band| **band >= scene.bands) {
            return fail(format!("{name} has {} bands and no band {}", scene.bands, missing + 1));
        }
        let stored_scale = stored.filter(|s| !s.scale.is_empty());
        let stored_scale = stored_scale
            .map(|s| s.scale.iter().map(|[low, high]| Scale { low: *low, high: *high }).collect());
        let scale: Option<Vec<Scale>> = scale.map(<[Scale]>::to_vec).or(stored_scale);
        let scale = match scale.map(|scale| Scale::for_bands(&scale, wanted)).transpose()? {
            Some(scale)
                if scale.iter().any(|s| !(s.low < s.high && s.low.is_finite() && s.high.is_finite())) =>
            {
                return fail("a scale's lower end must lie below its upper end".into());
            }
            None if scene.kind != SampleKind::U8 => {
                return fail(format!(
                    "{name} holds {} samples and the model does not say how they become levels; give --scale \
                     LOW:HIGH (as 0:3000) or --scale p2:98 for percentiles of the scene",
                    scene.kind.name()
                ));
            }
            scale => scale,
        };
        let normalisation = &card.normalisation;
        if normalisation.mean.len() != wanted || normalisation.std.len() != wanted {
            return fail(format!("the model's normalisation is not of its {wanted} bands"));
        }
        Ok(Recipe { bands, scale, mean: normalisation.mean.clone(), std: normalisation.std.clone() })
    }

    /// The network's input of a window of `size` (rows and columns) whose upper left part is `patch` of `width` columns.
    /// Pixels without data and those that pad the window are 0, the mean of what the network was trained on.
    pub fn normalise(&self, patch: &Patch, width: usize, [h, w]: [usize; 2], out: &mut Vec<f32>) {
        let c = self.bands.len();
        // Every number is written below.
        out.resize(h * w * c, 0.0);
        let level = |band: usize, value: f32| {
            let value = match &self.scale {
                Some(scale) => scale[band].level(value),
                None => value,
            };
            (value / 255.0 - self.mean[band]) / self.std[band]
        };
        let rows = patch.valid.len() / width.max(1);
        // All answers for bytes fit a table.
        let table: Vec<[f32; 256]> = match patch.samples {
            Samples::Bytes(_) => {
                (0..c).map(|band| std::array::from_fn(|value| level(band, value as f32))).collect()
            }
            Samples::Floats(_) => Vec::new(),
        };
        threads::parallel_chunks_mut(out, (w * c).max(1), |y, row| {
            if y >= rows {
                row.fill(0.0);
                return;
            }
            let (row, padding) = row.split_at_mut(width * c);
            padding.fill(0.0);
            let valid = &patch.valid[y * width..][..width];
            let here = y * width * c..(y + 1) * width * c;
            match (&patch.samples, &table[..]) {
                (Samples::Bytes(bytes), [red, green, blue]) => {
                    let pixels = row.as_chunks_mut::<3>().0.iter_mut().zip(bytes[here].as_chunks::<3>().0);
                    for (to, [r, g, b]) in pixels {
                        *to = [red[usize::from(*r)], green[usize::from(*g)], blue[usize::from(*b)]];
                    }
                }
                (Samples::Bytes(bytes), table) => {
                    for (to, from) in row.chunks_exact_mut(c).zip(bytes[here].chunks_exact(c)) {
                        let bands = to.iter_mut().zip(from).zip(table);
                        bands.for_each(|((to, from), table)| *to = table[usize::from(*from)]);
                    }
                }
                (Samples::Floats(floats), _) => {
                    for (to, from) in row.chunks_exact_mut(c).zip(floats[here].chunks_exact(c)) {
                        to.iter_mut().enumerate().for_each(|(band, to)| *to = level(band, from[band]));
                    }
                }
            }
            if !valid.iter().all(|valid| *valid) {
                let pixels = row.chunks_exact_mut(c).zip(valid).filter(|(_, valid)| !**valid);
                pixels.for_each(|(to, _)| to.fill(0.0));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Kind;

    #[test]
    fn percentiles_of_what_holds_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scene.tif");
        let mut kind = Kind::new(101, 101, 2, SampleKind::U16);
        kind.nodata = Some("65535");
        // The first band counts 0 to 99 in each row, the second is flat; one column holds no data.
        kind.write(&path, |x, _, band| match (x, band) {
            (100, _) => 65535.0,
            (x, 0) => 1000.0 + x as f64,
            _ => 5.0,
        });
        let mut scene = Scene::open(&path).unwrap();
        let scales = Scale::of_percentiles(&mut scene, 0.0, 100.0).unwrap();
        assert_eq!(scales, [Scale { low: 1000.0, high: 1099.0 }, Scale { low: 5.0, high: 6.0 }]);
        let middle = Scale::of_percentiles(&mut scene, 10.0, 90.0).unwrap()[0];
        assert!((middle.low - 1010.0).abs() <= 12.0 && (middle.high - 1090.0).abs() <= 12.0, "{middle:?}");
    }
}
