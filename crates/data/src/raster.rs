//! Several bands of a piece of ground in memory.

use crate::Resampler;

/// Several bands of a piece of ground: another thing than a picture, which is red, green and blue in 8 bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raster {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Number of bands, C.
    pub bands: usize,
    /// H x W x C levels from 0 to 255, the scale that normalisations are given in; of pixels without data anything.
    pub levels: Vec<f32>,
    /// For each pixel, whether it holds data.
    pub valid: Vec<bool>,
}

impl Raster {
    /// Width and height.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// The raster at `width` x `height`: a triangle filter that widens when shrinking, over the pixels that hold data. A
    /// pixel holds data where the nearest pixel did.
    ///
    /// # Panics
    /// When a side of the result or of the raster is 0.
    pub fn resized(&self, width: usize, height: usize) -> Raster {
        if self.size() == [width, height] {
            return self.clone();
        }
        let bands = self.bands;
        let factors = [height as f64 / self.height as f64, width as f64 / self.width as f64];
        let resampler = Resampler::new([self.height, self.width], factors, [height, width]);
        let nearest = |at: usize, to: usize, from: usize| ((2 * at + 1) * from / (2 * to)).min(from - 1);
        let mut valid = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = &self.valid[nearest(y, height, self.height) * self.width..][..self.width];
            valid.extend((0..width).map(|x| row[nearest(x, width, self.width)]));
        }
        let mut scratch = Vec::new();
        let mut rows = |values: &[f32], channels: usize| {
            let mut out = vec![0.0; width * height * channels];
            for (y, row) in out.chunks_exact_mut(width * channels).enumerate() {
                resampler.row(y, values, channels, &mut scratch, row);
            }
            out
        };
        if self.valid.iter().all(|valid| *valid) {
            let levels = rows(&self.levels, bands);
            return Raster { width, height, bands, levels, valid };
        }
        let mut known = self.levels.clone();
        for (pixel, _) in known.chunks_exact_mut(bands).zip(&self.valid).filter(|(_, valid)| !**valid) {
            pixel.fill(0.0);
        }
        let shares: Vec<f32> = self.valid.iter().map(|valid| f32::from(u8::from(*valid))).collect();
        let (mut levels, shares) = (rows(&known, bands), rows(&shares, 1));
        for ((pixel, share), valid) in levels.chunks_exact_mut(bands).zip(shares).zip(&mut valid) {
            *valid &= share > 0.0;
            pixel.iter_mut().for_each(|level| *level = if *valid { *level / share } else { 0.0 });
        }
        Raster { width, height, bands, levels, valid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_does_not_bleed() {
        let (width, height) = (8, 6);
        let valid: Vec<bool> = (0..width * height).map(|at| at % width >= 3).collect();
        let level = |at: usize, band: usize| if valid[at] { [50.0, 200.0][band] } else { -9999.0 };
        let levels = (0..width * height).flat_map(|at| [level(at, 0), level(at, 1)]).collect();
        let raster = Raster { width, height, bands: 2, levels, valid: valid.clone() };
        assert_eq!(raster.resized(8, 6), raster);
        for [w, h] in [[4, 3], [13, 11], [1, 1], [5, 6]] {
            let small = raster.resized(w, h);
            assert_eq!((small.size(), small.levels.len(), small.valid.len()), ([w, h], w * h * 2, w * h));
            assert!(small.valid.iter().any(|valid| *valid));
            for (pixel, _) in small.levels.chunks_exact(2).zip(&small.valid).filter(|(_, valid)| **valid) {
                assert!((pixel[0] - 50.0).abs() < 1e-3 && (pixel[1] - 200.0).abs() < 1e-3, "{pixel:?}");
            }
        }
    }
}
