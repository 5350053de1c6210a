//! What gives the classes of a window's pixels: a network of this program, or any other with the same two sides.

use hectare_kernels::{Isa, loss::softmax};
use hectare_net::{Network, Params, Predictor};

use crate::MapError;
use crate::turn::Turn;

/// Gives the class probabilities of pixels.
pub trait Segmenter {
    /// Number of classes, K.
    fn classes(&self) -> usize;

    /// How far a pixel's answer may depend on others, in pixels, where that is known.
    fn reach(&self) -> Option<usize>;

    /// Probabilities (H x W x K) of a window of `h` x `w` pixels, H x W x C normalised numbers; `h` and `w` are multiples
    /// of 32.
    ///
    /// # Errors
    /// A size that the network cannot take.
    fn probabilities(
        &mut self,
        h: usize,
        w: usize,
        input: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), MapError>;
}

/// A network of this program.
pub struct NetworkSegmenter {
    predictor: Predictor,
    isa: Isa,
    classes: usize,
    reach: usize,
}

impl NetworkSegmenter {
    /// The network with its weights.
    ///
    /// # Errors
    /// Weights of another network.
    pub fn new(
        network: Network,
        params: Params,
        classes: usize,
        isa: Isa,
    ) -> Result<NetworkSegmenter, MapError> {
        let reach = network.reach();
        let predictor = Predictor::new(network, params, isa);
        let predictor = predictor.map_err(|error| MapError::Mismatch(error.to_string()))?;
        Ok(NetworkSegmenter { predictor, isa, classes, reach })
    }
}

impl Segmenter for NetworkSegmenter {
    fn classes(&self) -> usize {
        self.classes
    }

    fn reach(&self) -> Option<usize> {
        Some(self.reach)
    }

    fn probabilities(
        &mut self,
        h: usize,
        w: usize,
        input: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), MapError> {
        let logits =
            self.predictor.run(1, h, w, input).map_err(|error| MapError::Mismatch(error.to_string()))?;
        out.resize(h * w * self.classes, 0.0);
        softmax(self.isa, logits.data, self.classes, out);
        Ok(())
    }
}

/// Another segmenter whose windows are shown in all eight flips and quarter turns, the probabilities averaged.
pub struct Turned<S>(pub S);

impl<S: Segmenter> Segmenter for Turned<S> {
    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn reach(&self) -> Option<usize> {
        self.0.reach()
    }

    fn probabilities(
        &mut self,
        h: usize,
        w: usize,
        input: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), MapError> {
        let k = self.classes();
        let bands = input.len() / (h * w).max(1);
        out.clear();
        out.resize(h * w * k, 0.0);
        let mut said = Vec::new();
        for turn in Turn::ALL {
            let shown = turn.show(input, [h, w], bands);
            let [to_h, to_w] = turn.size([h, w]);
            self.0.probabilities(to_h, to_w, &shown, &mut said)?;
            turn.add_back(&said, [h, w], k, out);
        }
        out.iter_mut().for_each(|p| *p /= Turn::ALL.len() as f32);
        Ok(())
    }
}
