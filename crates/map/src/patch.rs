//! A window of a scene in memory.

/// H x W x C samples as they are stored, unscaled.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// Those of 8 bits, of most pictures.
    Bytes(Vec<u8>),
    /// Any others.
    Floats(Vec<f32>),
}

impl Default for Samples {
    fn default() -> Samples {
        Samples::Bytes(Vec::new())
    }
}

impl Samples {
    /// Sample `at`.
    pub fn get(&self, at: usize) -> f32 {
        match self {
            Samples::Bytes(bytes) => f32::from(bytes[at]),
            Samples::Floats(floats) => floats[at],
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = f32> + '_ {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Samples::Bytes(bytes) => bytes.len(),
            Samples::Floats(floats) => floats.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Room for `length` samples of 8 bits; what was there may still be in it.
    pub(crate) fn bytes_mut(&mut self, length: usize) -> &mut [u8] {
        if let Samples::Floats(_) = self {
            *self = Samples::Bytes(Vec::new());
        }
        match self {
            Samples::Bytes(bytes) => {
                bytes.resize(length, 0);
                bytes
            }
            Samples::Floats(_) => &mut [],
        }
    }

    /// Room for `length` other samples; what was there may still be in it.
    pub(crate) fn floats_mut(&mut self, length: usize) -> &mut [f32] {
        if let Samples::Bytes(_) = self {
            *self = Samples::Floats(Vec::new());
        }
        match self {
            Samples::Floats(floats) => {
                floats.resize(length, 0.0);
                floats
            }
            Samples::Bytes(_) => &mut [],
        }
    }
}

/// What a window of a scene holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// The samples.
    pub samples: Samples,
    /// For each pixel, whether it holds data.
    pub valid: Vec<bool>,
}
