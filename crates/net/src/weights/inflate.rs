//! A first convolution of three channels brought to another number of bands.

use super::{Tensor, WeightError, WeightFile};

/// The layer that sees the pixels.
const FIRST: &str = "features.0.weight";

impl WeightFile {
    /// Brings a first convolution of red, green and blue to `bands` bands; one that takes that many already stays as it is.
    /// Returns whether something was changed.
    ///
    /// Of three bands and more the first three are red, green and blue and keep their weights; each other one begins with
    /// the mean of the three. Of one or two bands each begins with that mean, since neither is a colour. All are then
    /// multiplied by 3 / bands: to a picture whose bands are equal the layer says what it said before, and the layers
    /// behind it find activations of the size that they know.
    ///
    /// # Errors
    /// When there is no first convolution, it cannot be read, or takes neither three channels nor `bands`.
    pub fn inflate_input(&mut self, bands: usize) -> Result<bool, WeightError> {
        let wrong = |problem: String| WeightError::Input { path: self.path.clone(), problem };
        let Some(weight) = self.get(FIRST) else {
            return Err(wrong(format!("there is no {FIRST} to bring to {bands} bands")));
        };
        let &[outputs, channels, rows, columns] = weight.shape.as_slice() else {
            return Err(wrong(format!("{FIRST} is no convolution")));
        };
        if channels == bands {
            return Ok(false);
        }
        if channels != 3 || bands == 0 {
            return Err(wrong(format!(
                "its first layer takes {channels} bands and {bands} are wanted; only one of three (red, green, blue) \
                 can be brought to another number"
            )));
        }
        let window = rows * columns;
        let old = weight.values()?;
        let factor = 3.0 / bands as f64;
        let mut values = Vec::with_capacity(outputs * bands * window);
        for filter in old.chunks_exact(3 * window) {
            let colour = |channel: usize, at: usize| f64::from(filter[channel * window + at]);
            for band in 0..bands {
                values.extend((0..window).map(|at| {
                    let own = match (bands, band) {
                        (3.., 0..3) => colour(band, at),
                        _ => (colour(0, at) + colour(1, at) + colour(2, at)) / 3.0,
                    };
                    (factor * own) as f32
                }));
            }
        }
        drop(old);
        let path = self.path.clone();
        if let Some(tensor) = self.tensors.iter_mut().find(|tensor| tensor.name == FIRST) {
            *tensor = Tensor::new(&path, FIRST.to_owned(), vec![outputs, bands, rows, columns], values);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::weights::InputOrder;

    fn file(channels: usize) -> WeightFile {
        let values = (0..5 * channels * 9).map(|i| ((i * 29 % 17) as f32 - 8.0) / 50.0).collect();
        WeightFile {
            tensors: vec![Tensor::new(Path::new("x"), FIRST.to_owned(), vec![5, channels, 3, 3], values)],
            metadata: None,
            path: PathBuf::from("x"),
            order: InputOrder::Rgb,
            is_pytorch_fcn: false,
        }
    }

    /// The convolution's answers to a window whose bands are `bands(band, place)`.
    fn answers(file: &WeightFile, channels: usize, pixel: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let weight = file.get(FIRST).unwrap().values().unwrap();
        let at = |i: usize| f64::from(weight[i]);
        let of = |output: usize| {
            let all = (0..channels * 9).map(|i| at(output * channels * 9 + i) * pixel(i / 9, i % 9));
            all.sum::<f64>()
        };
        (0..5).map(of).collect()
    }

    #[test]
    fn equal_bands_have_the_answer_of_grey() {
        let grey = |_: usize, place: usize| (place * 7 % 5) as f64 - 1.5;
        let wanted = answers(&file(3), 3, grey);
        for bands in [1, 2, 3, 4, 5, 13, 32] {
            let mut inflated = file(3);
            assert_eq!(inflated.inflate_input(bands).unwrap(), bands != 3);
            assert_eq!(inflated.get(FIRST).unwrap().shape, [5, bands, 3, 3]);
            for (got, wanted) in answers(&inflated, bands, grey).iter().zip(&wanted) {
                assert!((got - wanted).abs() < 1e-6, "{bands} bands: {got} {wanted}");
            }
        }
    }

    #[test]
    fn colours_keep_their_own_weights() {
        let colours = |band: usize, place: usize| (band * band + place) as f64;
        let only_colours = |band: usize, place: usize| if band < 3 { colours(band, place) } else { 0.0 };
        let wanted = answers(&file(3), 3, colours);
        let mut inflated = file(3);
        inflated.inflate_input(5).unwrap();
        for (got, wanted) in answers(&inflated, 5, only_colours).iter().zip(&wanted) {
            assert!((got - 0.6 * wanted).abs() < 1e-6, "{got} {wanted}");
        }
        // The others are all the mean of the three.
        let weight = inflated.get(FIRST).unwrap().values().unwrap().into_owned();
        for at in 0..9 {
            let mean = (0..3).map(|band| weight[band * 9 + at]).sum::<f32>() / 3.0;
            assert!((weight[27 + at] - mean).abs() < 1e-6 && weight[27 + at] == weight[36 + at]);
        }
    }

    #[test]
    fn other_bands_are_refused() {
        let error = file(4).inflate_input(5).unwrap_err().to_string();
        assert!(error.contains("takes 4 bands"), "{error}");
        assert!(!file(4).inflate_input(4).unwrap());
        assert!(file(3).inflate_input(0).is_err());
    }
}
