//! Random brightness, contrast and saturation.

use serde::{Deserialize, Serialize};

use crate::{Image, Raster};

/// How far colours may move: each factor is uniform in `1 - x ..= 1 + x`, 0 leaves it at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jitter {
    /// Multiplies all channels.
    pub brightness: f32,
    /// Moves towards or away from the picture's mean grey.
    pub contrast: f32,
    /// Moves towards or away from each pixel's grey.
    pub saturation: f32,
}

impl Jitter {
    /// Whether nothing moves.
    pub fn is_none(&self) -> bool {
        *self == Jitter::default()
    }

    /// Applies the factors that three numbers from [0, 1) choose: brightness, contrast, saturation, in this
    /// order, each rounded to 8 bits as torchvision's are on pictures.
    pub(crate) fn apply(&self, image: &mut Image, [b, c, s]: [f32; 3]) {
        let factor = |range: f32, u: f32| (1.0 + range * (2.0 * u - 1.0)).max(0.0);
        if self.brightness != 0.0 {
            let k = factor(self.brightness, b);
            let table: Vec<u8> = (0..256).map(|v| (v as f32 * k).min(255.0) as u8).collect();
            image.pixels.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
        }
        if self.contrast != 0.0 {
            let k = factor(self.contrast, c);
            let pixels = image.pixels.as_chunks::<3>().0;
            let sum: u64 = pixels.iter().map(|p| u64::from(grey(p))).sum();
            let mean = (sum as f64 / pixels.len().max(1) as f64 + 0.5).floor() as f32;
            let table: Vec<u8> =
                (0..256).map(|v| (mean + k * (v as f32 - mean)).clamp(0.0, 255.0) as u8).collect();
            image.pixels.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
        }
        if self.saturation != 0.0 {
            let k = factor(self.saturation, s);
            for pixel in image.pixels.as_chunks_mut::<3>().0 {
                let g = f32::from(grey(pixel));
                pixel.iter_mut().for_each(|v| *v = (g + k * (f32::from(*v) - g)).clamp(0.0, 255.0) as u8);
            }
        }
    }
}

impl Jitter {
    /// As [`apply`](Self::apply) for levels of any number of bands: brightness and contrast, not rounded; contrast moves
    /// towards or away from the mean of all bands over the pixels that hold data.
    pub(crate) fn apply_to_raster(&self, raster: &mut Raster, [b, c, _]: [f32; 3]) {
        let factor = |range: f32, u: f32| (1.0 + range * (2.0 * u - 1.0)).max(0.0);
        if self.brightness != 0.0 {
            let k = factor(self.brightness, b);
            raster.levels.iter_mut().for_each(|level| *level = (*level * k).clamp(0.0, 255.0));
        }
        if self.contrast != 0.0 {
            let k = factor(self.contrast, c);
            let pixels = raster.levels.chunks_exact(raster.bands.max(1)).zip(&raster.valid);
            let known = pixels.filter(|(_, valid)| **valid).flat_map(|(pixel, _)| pixel);
            let (sum, count) = known.fold((0.0, 0u64), |(sum, n), level| (sum + f64::from(*level), n + 1));
            let mean = (sum / count.max(1) as f64) as f32;
            let moved = |level: f32| (mean + k * (level - mean)).clamp(0.0, 255.0);
            raster.levels.iter_mut().for_each(|level| *level = moved(*level));
        }
    }
}

/// Luma by ITU-R 601, in Pillow's fixed point.
fn grey([r, g, b]: &[u8; 3]) -> u8 {
    let sum = u32::from(*r) * 19595 + u32::from(*g) * 38470 + u32::from(*b) * 7471 + 0x8000;
    (sum >> 16) as u8
}
