//! Networks whose first convolution was trained on other pixels than hectare's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Tensor, WeightError, WeightFile};
use crate::{Normalisation, UnknownName};

/// The layer that sees the pixels.
const FIRST: [&str; 2] = ["features.0.weight", "features.0.bias"];

/// What a file's first convolution wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputOrder {
    /// Red, green, blue, normalised as the model's description says.
    Rgb,
    /// Blue, green, red of 0 to 255 less the means of ImageNet, as Caffe's and Keras's VGG16 and pytorch-fcn's FCNs do.
    Bgr255,
}

impl InputOrder {
    /// Both.
    pub const ALL: [InputOrder; 2] = [InputOrder::Rgb, InputOrder::Bgr255];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            InputOrder::Rgb => "rgb",
            InputOrder::Bgr255 => "bgr255",
        }
    }

    /// What is subtracted from red, green and blue of 0 to 255, where the file expects that.
    ///
    /// The authors' means of VGG16 (Simonyan and Zisserman 2014), to the digits that Keras carries; pytorch-fcn's
    /// (104.00698793, 116.66876762, 122.67891434) differ by one step of a pixel at most.
    fn means(self) -> Option<[f64; 3]> {
        (self == InputOrder::Bgr255).then_some([123.68, 116.779, 103.939])
    }
}

impl fmt::Display for InputOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for InputOrder {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = || InputOrder::ALL.iter().map(|order| order.name()).collect();
        let unknown = || UnknownName { what: "input order", given: text.to_owned(), known: known() };
        InputOrder::ALL.into_iter().find(|order| order.name() == text).ok_or_else(unknown)
    }
}

impl WeightFile {
    /// The normalisation under which a network of [`InputOrder::Bgr255`] keeps its zeros, and so its borders.
    pub(super) fn own_normalisation(&self) -> Option<Normalisation> {
        let means = self.means()?;
        let mean = means.iter().map(|mean| (mean / 255.0) as f32).collect();
        Some(Normalisation { mean, std: vec![1.0 / 255.0; 3] })
    }

    fn means(&self) -> Option<[f64; 3]> {
        // pytorch-fcn's `mean_bgr`, in the order R, G, B.
        let fcn = [122.678_914_34, 116.668_767_62, 104.006_987_93];
        self.order.means().map(|means| if self.is_pytorch_fcn { fcn } else { means })
    }

    /// Folds order, scale and means of the input into the first convolution, so that it takes red, green and blue under
    /// `normalisation`. Nothing happens to a file that does so already.
    ///
    /// With the weight w of a channel, its mean m here and the normalisation (v / 255 - mean) / std of a value v,
    /// w (v - m) = (255 std w) x + w (255 mean - m) for the normalised x: the first is the new weight, and the second,
    /// summed over the window, goes into the bias. At the border, where the convolution sees zeros, that sum stands for
    /// pixels of value 255 mean instead of m; under ImageNet's normalisation they differ by half a step of a pixel.
    ///
    /// # Errors
    /// When the first convolution is not of three channels, or cannot be read.
    pub fn fold_input(&mut self, normalisation: &Normalisation) -> Result<(), WeightError> {
        let Some(means) = self.means() else { return Ok(()) };
        let wrong =
            |problem: &str| WeightError::Input { path: self.path.clone(), problem: problem.to_owned() };
        let [Some(weight), Some(bias)] = FIRST.map(|name| self.get(name)) else {
            return Err(wrong("there is no features.0 to fold the input into"));
        };
        let &[outputs, 3, rows, columns] = weight.shape.as_slice() else {
            return Err(wrong("features.0 does not take three channels"));
        };
        if bias.shape != [outputs] || normalisation.mean.len() != 3 || normalisation.std.len() != 3 {
            return Err(wrong("features.0 and the normalisation do not fit"));
        }
        let window = rows * columns;
        let (old, mut biases) = (weight.values()?.into_owned(), bias.values()?.into_owned());
        let mut weights = old.clone();
        for output in 0..outputs {
            let mut shift = 0.0;
            for channel in 0..3 {
                let from = (output * 3 + 2 - channel) * window;
                let to = (output * 3 + channel) * window;
                let scale = 255.0 * f64::from(normalisation.std[channel]);
                let rest = 255.0 * f64::from(normalisation.mean[channel]) - means[channel];
                for i in 0..window {
                    let value = f64::from(old[from + i]);
                    weights[to + i] = (scale * value) as f32;
                    shift += rest * value;
                }
            }
            biases[output] = (f64::from(biases[output]) + shift) as f32;
        }
        for (name, values) in FIRST.into_iter().zip([weights, biases]) {
            let path = self.path.clone();
            if let Some(tensor) = self.tensors.iter_mut().find(|tensor| tensor.name == name) {
                *tensor = Tensor::new(&path, name.to_owned(), tensor.shape.clone(), values);
            }
        }
        self.order = InputOrder::Rgb;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn file(is_pytorch_fcn: bool) -> WeightFile {
        let tensor = |name: &str, shape: Vec<usize>| {
            let values =
                (0..shape.iter().product()).map(|i: usize| ((i * 29 % 17) as f32 - 8.0) / 50.0).collect();
            Tensor::new(Path::new("x"), name.to_owned(), shape, values)
        };
        WeightFile {
            tensors: vec![tensor(FIRST[0], vec![5, 3, 3, 3]), tensor(FIRST[1], vec![5])],
            metadata: None,
            path: PathBuf::from("x"),
            order: InputOrder::Bgr255,
            is_pytorch_fcn,
        }
    }

    /// The convolution's answers at one place, of the window's pixels by channel.
    fn answers(file: &WeightFile, window: &[[f64; 9]; 3]) -> Vec<f64> {
        let [weight, bias] = FIRST.map(|name| file.get(name).unwrap().values().unwrap().into_owned());
        let sum = |output: usize| -> f64 {
            (0..27).map(|i| f64::from(weight[output * 27 + i]) * window[i / 9][i % 9]).sum()
        };
        (0..5).map(|output| sum(output) + f64::from(bias[output])).collect()
    }

    #[test]
    fn folded_or_not_the_answers_are_the_same() {
        let pixels: [[f64; 9]; 3] =
            std::array::from_fn(|c| std::array::from_fn(|i| ((c * 97 + i * 31) % 256) as f64));
        for fcn in [false, true] {
            let original = file(fcn);
            let means = original.means().unwrap();
            let bgr: [[f64; 9]; 3] =
                std::array::from_fn(|c| std::array::from_fn(|i| pixels[2 - c][i] - means[2 - c]));
            let wanted = answers(&original, &bgr);
            for normalisation in [Normalisation::default(), original.own_normalisation().unwrap()] {
                let mut folded = file(fcn);
                folded.fold_input(&normalisation).unwrap();
                let [mean, std] = [&normalisation.mean, &normalisation.std];
                let rgb: [[f64; 9]; 3] = std::array::from_fn(|c| {
                    pixels[c].map(|v| (v / 255.0 - f64::from(mean[c])) / f64::from(std[c]))
                });
                for (got, wanted) in answers(&folded, &rgb).iter().zip(&wanted) {
                    assert!((got - wanted).abs() < 1e-4, "{got} {wanted}");
                }
                // A second time changes nothing.
                let once = answers(&folded, &rgb);
                folded.fold_input(&normalisation).unwrap();
                assert_eq!(answers(&folded, &rgb), once);
            }
            // The file's own normalisation moves the channels and nothing else.
            let mut folded = file(fcn);
            folded.fold_input(&original.own_normalisation().unwrap()).unwrap();
            let zeros = [[0.0; 9]; 3];
            for (got, wanted) in answers(&folded, &zeros).iter().zip(answers(&original, &zeros)) {
                assert!((got - wanted).abs() < 1e-5, "{got} {wanted}");
            }
        }
    }

    #[test]
    fn other_bands_are_refused() {
        let mut wide = file(false);
        wide.tensors[0].shape = vec![5, 1, 3, 9];
        let error = wide.fold_input(&Normalisation::default()).unwrap_err().to_string();
        assert!(error.contains("three channels"), "{error}");
    }
}
