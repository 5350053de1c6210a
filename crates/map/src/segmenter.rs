//! What gives the classes of a window's pixels: a network of this program, or any other with the same two sides.

use hectare_data::Resampler;
use hectare_kernels::{Isa, loss::softmax, threads};
use hectare_net::{Network, Params, Predictor};

use crate::answer::choose;
use crate::turn::Turn;
use crate::{ALIGN, Answer, MapError, Wanted, Window};

/// Gives the class probabilities of pixels.
pub trait Segmenter: Send {
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

    /// What a map needs of a window, which is as in [`Segmenter::probabilities`].
    ///
    /// # Errors
    /// As [`Segmenter::probabilities`].
    fn answer(
        &mut self,
        h: usize,
        w: usize,
        input: &[f32],
        wanted: &Wanted<'_>,
        out: &mut Answer,
    ) -> Result<(), MapError> {
        let Wanted { part, alone, given, .. } = wanted;
        let Answer { probabilities, ids } = out;
        self.probabilities(h, w, input, probabilities)?;
        let (k, length) = (self.classes(), part.width * self.classes());
        for row in 0..part.height {
            let from = ((part.y + row) * w + part.x) * k;
            probabilities.copy_within(from..from + length, row * length);
        }
        probabilities.truncate(part.height * length);
        ids.resize(alone.width * alone.height, 0);
        threads::parallel_chunks_mut(ids, alone.width.max(1), |row, ids| {
            let from = (alone.y + row) * length + alone.x * k;
            choose(&probabilities[from..from + alone.width * k], given, ids);
        });
        Ok(())
    }
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
        let part = Window { x: 0, y: 0, width: w, height: h };
        let alone = Window { width: 0, height: 0, ..part };
        let mut answer = Answer { probabilities: std::mem::take(out), ids: Vec::new() };
        let wanted = Wanted { part, alone, given: &[], everywhere: true };
        let answered = self.answer(h, w, input, &wanted, &mut answer);
        *out = answer.probabilities;
        answered
    }

    fn answer(
        &mut self,
        h: usize,
        w: usize,
        input: &[f32],
        wanted: &Wanted<'_>,
        out: &mut Answer,
    ) -> Result<(), MapError> {
        let logits =
            self.predictor.run(1, h, w, input).map_err(|error| MapError::Mismatch(error.to_string()))?;
        let Wanted { part, alone, given, everywhere } = wanted;
        let (isa, k, length) = (self.isa, self.classes, part.width * self.classes);
        let at = |x: usize, y: usize| ((part.y + y) * w + part.x + x) * k;
        // Numbers that stay as they were are not read.
        out.probabilities.resize(part.height * length, 0.0);
        threads::parallel_chunks_mut(&mut out.probabilities, length.max(1), |y, row| {
            let logits = &logits.data[at(0, y)..][..length];
            if *everywhere || !(alone.y..alone.y + alone.height).contains(&y) {
                return softmax(isa, logits, k, row);
            }
            for columns in [0..alone.x * k, (alone.x + alone.width) * k..length] {
                softmax(isa, &logits[columns.clone()], k, &mut row[columns]);
            }
        });
        // The largest number's class is the most probable one.
        out.ids.resize(alone.width * alone.height, 0);
        threads::parallel_chunks_mut(&mut out.ids, alone.width.max(1), |y, ids| {
            choose(&logits.data[at(alone.x, alone.y + y)..][..alone.width * k], given, ids);
        });
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

/// Another segmenter that sees windows at its own resolution: they are brought to it, and its probabilities back.
pub struct Resampled<'a> {
    segmenter: &'a mut dyn Segmenter,
    factor: f64,
    input: Vec<f32>,
    said: Vec<f32>,
}

impl<'a> Resampled<'a> {
    /// Shows `factor` pixels of the segmenter's for each pixel of a window along both axes.
    pub fn new(segmenter: &'a mut dyn Segmenter, factor: f64) -> Resampled<'a> {
        Resampled { segmenter, factor, input: Vec::new(), said: Vec::new() }
    }

    /// Rows or columns that the segmenter sees of so many.
    pub fn side(length: usize, factor: f64) -> usize {
        // A product that rounding lifts above a whole number is that number.
        ((length as f64 * factor - 1e-6).ceil().max(1.0) as usize).next_multiple_of(ALIGN)
    }
}

impl Segmenter for Resampled<'_> {
    fn classes(&self) -> usize {
        self.segmenter.classes()
    }

    fn reach(&self) -> Option<usize> {
        self.segmenter.reach().map(|reach| (reach as f64 / self.factor).ceil() as usize)
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
        let seen = [h, w].map(|side| Resampled::side(side, self.factor));
        // What pads a window beyond its last pixel is 0, as it is in windows of the scene's own resolution.
        let held = [h, w].map(|side| (side as f64 * self.factor - 1e-6).ceil().max(1.0) as usize);
        let there = Resampler::new([h, w], [self.factor; 2], held);
        self.input.clear();
        self.input.resize(seen[0] * seen[1] * bands, 0.0);
        threads::parallel_chunks_mut(
            &mut self.input[..held[0] * seen[1] * bands],
            seen[1] * bands,
            |y, row| {
                there.row(y, input, bands, &mut Vec::new(), &mut row[..held[1] * bands]);
            },
        );
        self.segmenter.probabilities(seen[0], seen[1], &self.input, &mut self.said)?;
        let back = Resampler::new(seen, [1.0 / self.factor; 2], [h, w]);
        out.resize(h * w * k, 0.0);
        threads::parallel_chunks_mut(&mut out[..h * w * k], (w * k).max(1), |y, row| {
            back.row(y, &self.said, k, &mut Vec::new(), row);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says of each pixel how large its only number is, as the probability of one of two classes.
    struct Threshold {
        asked: Vec<[usize; 2]>,
    }

    impl Segmenter for Threshold {
        fn classes(&self) -> usize {
            2
        }

        fn reach(&self) -> Option<usize> {
            Some(10)
        }

        fn probabilities(
            &mut self,
            h: usize,
            w: usize,
            input: &[f32],
            out: &mut Vec<f32>,
        ) -> Result<(), MapError> {
            self.asked.push([h, w]);
            assert_eq!(input.len(), h * w);
            out.clear();
            out.extend(input.iter().flat_map(|x| [1.0 - x, *x]));
            Ok(())
        }
    }

    #[test]
    fn a_part_is_cut_from_the_whole() {
        let spec = hectare_net::ModelSpec {
            width: 0.03125,
            ..hectare_net::ModelSpec::new(hectare_net::ModelKind::Fcn8s)
        };
        let network = hectare_net::build(&spec).unwrap();
        let params = hectare_net::initialise(&network, 5);
        let own = NetworkSegmenter::new(network, params, 7, Isa::best()).unwrap();
        let (h, w, k) = (64, 96, 7);
        let input: Vec<f32> = (0..h * w * 3).map(|i| (i * 31 % 97) as f32 / 50.0 - 1.0).collect();
        let part = Window { x: 5, y: 3, width: 67, height: 40 };
        let alone = Window { x: 7, y: 4, width: 33, height: 30 };
        let given = [true, false, true, true, true, true, false];
        let check = |segmenter: &mut dyn Segmenter| {
            let mut whole = Vec::new();
            segmenter.probabilities(h, w, &input, &mut whole).unwrap();
            let at = |x: usize, y: usize| &whole[((part.y + y) * w + part.x + x) * k..][..k];
            for everywhere in [true, false] {
                let wanted = Wanted { part, alone, given: &given, everywhere };
                let mut answer = Answer { probabilities: vec![9.0; 3], ids: vec![9; 2] };
                segmenter.answer(h, w, &input, &wanted, &mut answer).unwrap();
                assert_eq!(answer.probabilities.len(), part.width * part.height * k);
                for (i, got) in answer.probabilities.chunks_exact(k).enumerate() {
                    let (x, y) = (i % part.width, i / part.width);
                    let inside = (alone.x..alone.x + alone.width).contains(&x)
                        && (alone.y..alone.y + alone.height).contains(&y);
                    assert!((inside && !everywhere) || got == at(x, y), "{x} {y}");
                }
                let mut expected = vec![9; alone.width * alone.height];
                for (i, id) in expected.iter_mut().enumerate() {
                    let (x, y) = (alone.x + i % alone.width, alone.y + i / alone.width);
                    choose(at(x, y), &given, std::slice::from_mut(id));
                }
                assert!(answer.ids == expected && expected.iter().any(|id| *id != expected[0]));
            }
        };
        let mut turned = Turned(own);
        check(&mut turned);
        check(&mut turned.0);
    }

    #[test]
    fn answers_lie_where_the_pixels_do() {
        let (h, w) = (64, 96);
        let input: Vec<f32> = (0..h * w).map(|i| (i % w) as f32 / w as f32).collect();
        for (factor, sizes) in [(0.5, [32, 64]), (0.31, [32, 32]), (2.0, [128, 192]), (1.4, [96, 160])] {
            let mut own = Threshold { asked: Vec::new() };
            let mut out = vec![9.0; 7];
            let mut resampled = Resampled::new(&mut own, factor);
            assert_eq!(resampled.reach(), Some((10.0 / factor).ceil() as usize));
            resampled.probabilities(h, w, &input, &mut out).unwrap();
            assert_eq!((out.len(), &own.asked[..]), (h * w * 2, &[sizes][..]));
            // A slope keeps its place to a fraction of a pixel.
            let margin = (2.0 / factor).ceil() as usize;
            for (pixel, x) in
                out.chunks_exact(2).zip(&input).skip(h / 2 * w).take(w).skip(margin).take(w - 2 * margin)
            {
                assert!(
                    (pixel[1] - x).abs() < 0.3 / w as f32 / factor.min(1.0) as f32,
                    "{factor}: {pixel:?} {x}"
                );
                assert!((pixel[0] + pixel[1] - 1.0).abs() < 1e-5);
            }
        }
    }
}
