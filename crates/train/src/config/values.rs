//! Types of single settings: what is written in a configuration file or after a flag.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::{as_text, join};

/// A name list with `FromStr`, `Display` and serde as that name.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $type { $($(#[$variant_doc])* #[serde(rename = $name)] $variant),+ }

        impl $type {
            /// All names.
            pub const NAMES: &[&str] = &[$($name),+];
        }

        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok($type::$variant),)+
                    _ => Err(format!("`{text}` is none of {}", Self::NAMES.join(", "))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($type::$variant => $name),+ })
            }
        }
    };
}

named! {
    /// The two problems.
    Task {
        /// One class for a whole picture.
        Classify = "classify",
        /// One class for each pixel.
        Segment = "segment",
    }
}

named! {
    /// Where the defaults come from.
    Preset {
        /// The report's recipe, exactly as it ran.
        Course = "course",
        /// The recipe we recommend.
        Modern = "modern",
    }
}

named! {
    /// The rule that changes the weights.
    OptimiserKind {
        /// Stochastic gradient descent with momentum.
        Sgd = "sgd",
        /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
        AdamW = "adamw",
    }
}

named! {
    /// How the rate moves after the warm-up.
    ScheduleKind {
        /// It stays.
        Constant = "constant",
        /// Half a cosine down to zero (Loshchilov and Hutter 2017, without restarts).
        Cosine = "cosine",
        /// `(1 - t)^power` (Chen et al. 2017, DeepLab).
        Poly = "poly",
    }
}

/// Height and width in pixels. Written as `256` or, rows first, `512x384`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Size {
    /// A square.
    pub fn square(side: usize) -> Size {
        Size { h: side, w: side }
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Size, String> {
        let (h, w) = text.split_once(['x', 'X']).unwrap_or((text, text));
        let side = |part: &str| match part.trim().parse::<usize>() {
            Ok(0) => Err("a size must be at least 1".to_string()),
            Ok(side) if side <= 65_535 => Ok(side),
            Ok(_) => Err(format!("`{text}` is larger than 65535")),
            Err(_) => Err(format!("`{text}` is no size (like 256 or 512x384, height first)")),
        };
        Ok(Size { h: side(h)?, w: side(w)? })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.h == self.w { write!(f, "{}", self.h) } else { write!(f, "{}x{}", self.h, self.w) }
    }
}

/// What the network sees while training: crops (segmentation) or resized pictures (classification) of a
/// size, or whole pictures as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSize {
    /// Whole pictures, which must then all have one size.
    Whole,
    /// This size.
    Fixed(Size),
}

impl FromStr for InputSize {
    type Err = String;
    fn from_str(text: &str) -> Result<InputSize, String> {
        if text == "whole" { Ok(InputSize::Whole) } else { text.parse().map(InputSize::Fixed) }
    }
}

impl fmt::Display for InputSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputSize::Whole => f.write_str("whole"),
            InputSize::Fixed(size) => size.fmt(f),
        }
    }
}

/// The weight of each class in the loss. Written as `none`, `median`, `inverse` or a list of numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeights {
    /// All one.
    None,
    /// Median frequency balancing over the training set (Eigen and Fergus 2015): the median share of the
    /// classes over the share of this one, at most 10; 1 for a class that does not occur.
    Median,
    /// Inverse frequency: the mean share of the classes over the share of this one, at most 10; 1 for a class
    /// that does not occur.
    Inverse,
    /// One number per class.
    List(Vec<f64>),
}

impl FromStr for ClassWeights {
    type Err = String;
    fn from_str(text: &str) -> Result<ClassWeights, String> {
        match text.trim() {
            "none" => Ok(ClassWeights::None),
            "median" => Ok(ClassWeights::Median),
            "inverse" => Ok(ClassWeights::Inverse),
            list => list
                .split(',')
                .map(|part| part.trim().parse::<f64>().map_err(|_| format!("`{part}` is no class weight")))
                .collect::<Result<Vec<f64>, String>>()
                .map(ClassWeights::List),
        }
    }
}

impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassWeights::None => f.write_str("none"),
            ClassWeights::Median => f.write_str("median"),
            ClassWeights::Inverse => f.write_str("inverse"),
            ClassWeights::List(list) => join(f, list),
        }
    }
}

/// Epochs chosen by number, counted from 1. Written as `none`, `all` or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Epochs {
    /// No epoch.
    None,
    /// Every epoch.
    All,
    /// These epochs.
    List(Vec<usize>),
}

impl Epochs {
    /// Whether the list holds `epoch`.
    pub fn contains(&self, epoch: usize) -> bool {
        match self {
            Epochs::None => false,
            Epochs::All => true,
            Epochs::List(list) => list.contains(&epoch),
        }
    }

    /// The first epoch of the list, as it was given, that comes after `last`.
    pub fn after(&self, last: usize) -> Option<usize> {
        match self {
            Epochs::None | Epochs::All => None,
            Epochs::List(list) => list.iter().copied().find(|epoch| *epoch > last),
        }
    }
}

impl FromStr for Epochs {
    type Err = String;
    fn from_str(text: &str) -> Result<Epochs, String> {
        match text.trim() {
            "none" | "" => Ok(Epochs::None),
            "all" => Ok(Epochs::All),
            list => list
                .split(',')
                .map(|part| match part.trim().parse::<usize>() {
                    Ok(epoch) if epoch > 0 => Ok(epoch),
                    _ => Err(format!("`{part}` is no epoch (they count from 1)")),
                })
                .collect::<Result<Vec<usize>, String>>()
                .map(Epochs::List),
        }
    }
}

impl fmt::Display for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Epochs::None => f.write_str("none"),
            Epochs::All => f.write_str("all"),
            Epochs::List(list) => join(f, list),
        }
    }
}

as_text!(Size, InputSize, ClassWeights, Epochs);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_write() {
        assert_eq!("64".parse::<Size>().unwrap(), Size::square(64));
        assert_eq!("512x384".parse::<Size>().unwrap(), Size { h: 512, w: 384 });
        assert_eq!(Size { h: 512, w: 384 }.to_string(), "512x384");
        for bad in ["0", "0x5", "x", "", "5x", "-3", "1e3"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert_eq!("whole".parse::<InputSize>().unwrap(), InputSize::Whole);
    }

    #[test]
    fn weights_and_epochs_survive_a_round_trip() {
        for text in ["none", "median", "inverse", "0.79,0.14,1,2.74"] {
            assert_eq!(text.parse::<ClassWeights>().unwrap().to_string(), text);
        }
        for text in ["none", "all", "1,10,20"] {
            assert_eq!(text.parse::<Epochs>().unwrap().to_string(), text);
        }
        assert!("0,1".parse::<Epochs>().is_err());
        let list: ClassWeights = serde_json::from_str("[0.5, 2]").unwrap();
        assert_eq!(list, ClassWeights::List(vec![0.5, 2.0]));
        let one: Epochs = serde_json::from_str("3").unwrap();
        assert_eq!(one, Epochs::List(vec![3]));
        assert_eq!(serde_json::to_string(&Epochs::List(vec![3])).unwrap(), "3");
    }
}
