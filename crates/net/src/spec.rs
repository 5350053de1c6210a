//! What is needed to build a model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The models that [`crate::build`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// VGG16 image classifier (Simonyan and Zisserman 2014, configuration D).
    Vgg16,
    /// The same with batch normalisation after every convolution.
    #[serde(rename = "vgg16_bn")]
    Vgg16Bn,
    /// U-Net (Ronneberger et al. 2015) with the VGG16 trunk as encoder.
    #[serde(rename = "vgg16_unet")]
    Vgg16Unet,
    /// Fully convolutional VGG16 without skips (Long et al. 2015).
    Fcn32s,
    /// The same with one skip connection, from pool4.
    Fcn16s,
    /// The same with two skip connections, from pool4 and pool3.
    Fcn8s,
}

impl ModelKind {
    /// All models.
    pub const ALL: [ModelKind; 6] = [
        ModelKind::Vgg16,
        ModelKind::Vgg16Bn,
        ModelKind::Vgg16Unet,
        ModelKind::Fcn32s,
        ModelKind::Fcn16s,
        ModelKind::Fcn8s,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Vgg16 => "vgg16",
            ModelKind::Vgg16Bn => "vgg16_bn",
            ModelKind::Vgg16Unet => "vgg16_unet",
            ModelKind::Fcn32s => "fcn32s",
            ModelKind::Fcn16s => "fcn16s",
            ModelKind::Fcn8s => "fcn8s",
        }
    }

    /// Whether it gives one class for a whole image; the others give one for each pixel.
    pub fn is_classifier(self) -> bool {
        matches!(self, ModelKind::Vgg16 | ModelKind::Vgg16Bn)
    }

    /// Whether it is one of the FCNs: only they have a choice of geometry and of head.
    pub fn is_fcn(self) -> bool {
        self.output_bias_name().is_some()
    }

    /// What the bias of an FCN's last upsampling is called, where it has one ([`ModelSpec::output_bias`]).
    pub fn output_bias_name(self) -> Option<&'static str> {
        match self {
            ModelKind::Fcn32s => Some("upscore.bias"),
            ModelKind::Fcn16s => Some("upscore16.bias"),
            ModelKind::Fcn8s => Some("upscore8.bias"),
            _ => None,
        }
    }
}

/// How a fully convolutional network keeps its output as large as its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Geometry {
    /// fc6 with padding 3, padded transposed convolutions; the input is padded to a multiple of 32.
    #[default]
    Modern,
    /// The report's: the first convolution pads by 100, the rest nothing, and maps are cropped.
    Caffe,
    /// As caffe, with poolings that round up (Long et al., pytorch-fcn); for weights that were trained so.
    Long,
}

impl Geometry {
    /// All geometries.
    pub const ALL: [Geometry; 3] = [Geometry::Modern, Geometry::Caffe, Geometry::Long];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Geometry::Modern => "modern",
            Geometry::Caffe => "caffe",
            Geometry::Long => "long",
        }
    }
}

/// The layers behind a classifier's trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// One linear layer, as the report prints it.
    #[default]
    Linear,
    /// Linear to 512, ReLU, dropout, linear: as in the code that goes with the report.
    Hidden512,
}

impl Head {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Head::Linear => "linear",
            Head::Hidden512 => "hidden512",
        }
    }
}

/// A name that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// What kind of thing was asked for, as `model`.
    pub what: &'static str,
    /// The name given.
    pub given: String,
    /// The names that exist.
    pub known: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} \"{}\", known are {}", self.what, self.given, self.known.join(", "))
    }
}

impl std::error::Error for UnknownName {}

macro_rules! named {
    ($type:ty, $what:expr, $all:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                let all: &[$type] = &$all;
                all.iter().copied().find(|one| one.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
                    UnknownName {
                        what: $what,
                        given: text.to_owned(),
                        known: all.iter().map(|one| one.name()).collect(),
                    }
                })
            }
        }
    };
}

named!(ModelKind, "model", ModelKind::ALL);
named!(Geometry, "geometry", Geometry::ALL);
named!(Head, "head", [Head::Linear, Head::Hidden512]);

/// Everything that [`crate::build`] needs to know; travels with the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Which network.
    pub model: ModelKind,
    /// Number of classes, K of the last layer.
    pub classes: usize,
    /// Factor on the number of channels of every hidden layer; 1 is the published network.
    pub width: f64,
    /// How sizes are kept; only the FCNs have a choice.
    pub geometry: Geometry,
    /// The layers behind the trunk; only the classifiers have a choice.
    pub head: Head,
    /// Channels of an FCN's two hidden layers behind the trunk, before `width`; 4096 in the published network.
    #[serde(default = "published_head_width", skip_serializing_if = "is_published_head_width")]
    pub head_width: usize,
    /// Rows and columns of the window of the first of them, odd; 7 in the published network.
    #[serde(default = "published_head_kernel", skip_serializing_if = "is_published_head_kernel")]
    pub head_kernel: usize,
    /// Whether an FCN's last upsampling has a bias, a number added to each class's scores; the published network has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub output_bias: bool,
    /// Channels of the input, C: 3 for RGB.
    pub bands: usize,
    /// Rows and columns of the input: fixed for classifiers, nominal for the others.
    pub input: [usize; 2],
}

fn published_head_width() -> usize {
    4096
}

fn is_published_head_width(width: &usize) -> bool {
    *width == published_head_width()
}

fn published_head_kernel() -> usize {
    7
}

fn is_published_head_kernel(kernel: &usize) -> bool {
    *kernel == published_head_kernel()
}

impl ModelSpec {
    /// The defaults: 50 classes at 128 x 128 for classifiers, 7 classes at 512 x 512 for segmentation.
    pub fn new(model: ModelKind) -> ModelSpec {
        let (classes, side) = if model.is_classifier() { (50, 128) } else { (7, 512) };
        ModelSpec {
            model,
            classes,
            width: 1.0,
            geometry: Geometry::default(),
            head: Head::default(),
            head_width: published_head_width(),
            head_kernel: published_head_kernel(),
            output_bias: false,
            bands: 3,
            input: [side, side],
        }
    }

    /// A hidden layer's channels: `channels` times the width factor, rounded, at least one.
    pub fn scaled(&self, channels: usize) -> usize {
        ((channels as f64 * self.width).round() as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_head_goes_without_saying() {
        let spec = ModelSpec::new(ModelKind::Fcn8s);
        let text = serde_json::to_string(&spec).unwrap();
        assert!(!text.contains("head_") && !text.contains("bias"), "{text}");
        assert_eq!(serde_json::from_str::<ModelSpec>(&text).unwrap(), spec);
        let light = ModelSpec { head_width: 1024, head_kernel: 3, output_bias: true, ..spec };
        let text = serde_json::to_string(&light).unwrap();
        assert_eq!(serde_json::from_str::<ModelSpec>(&text).unwrap(), light);
    }

    #[test]
    fn names_round_trip() {
        for kind in ModelKind::ALL {
            assert_eq!(kind.name().parse::<ModelKind>(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        let error = "fcn4s".parse::<ModelKind>().unwrap_err();
        assert!(error.to_string().contains("fcn8s"), "{error}");
    }
}
