//! A network applied to pictures: masks for whole pictures at their own size, or classes.

use hectare_data::{BatchFormat, Image, Mask, Raster, resize};
use hectare_kernels::loss::softmax;
use hectare_kernels::{AlignedVec, Isa, threads};
use hectare_net::{ModelCard, Network, Params, Predictor};

use crate::error::TrainError;
use crate::views::{Position, Views};

/// A network that turns normalised pictures into logits.
pub trait Forward {
    /// Logits of `n` pictures of `h` x `w` pixels, N x H x W x C in, N x H x W x K out (N x K for classifiers).
    ///
    /// # Errors
    /// A size that the network cannot take.
    fn forward(&mut self, n: usize, h: usize, w: usize, input: &[f32]) -> Result<&[f32], TrainError>;
}

impl Forward for Predictor {
    fn forward(&mut self, n: usize, h: usize, w: usize, input: &[f32]) -> Result<&[f32], TrainError> {
        self.run(n, h, w, input).map(|output| output.data).map_err(TrainError::net)
    }
}

/// What must happen before and after the network, as its card says.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Number of classes, K.
    classes: usize,
    /// Whether a class is never predicted.
    ignored: Vec<bool>,
    format: BatchFormat,
    /// Classifiers: the size of the input. Segmentation: the size pictures are scaled to. Width and height.
    size: Option<[usize; 2]>,
    is_classifier: bool,
    views: Views,
    isa: Isa,
}

/// A picture as the network sees it, in each position that it is shown in.
pub struct Prepared {
    /// Width and height of the picture itself.
    size: [usize; 2],
    /// Normalised numbers, H x W x C, with H and W.
    pub(crate) views: Vec<(AlignedVec, usize, usize)>,
}

impl Recipe {
    /// The recipe of a model.
    ///
    /// # Errors
    /// A card whose class map has another number of classes than the network, or whose normalisation is of other bands.
    pub fn new(card: &ModelCard, isa: Isa) -> Result<Recipe, TrainError> {
        let classes = card.spec.classes;
        if card.classes.len() != classes {
            return Err(TrainError::Input(format!(
                "the class map has {} classes and the network {classes}",
                card.classes.len()
            )));
        }
        let bands = card.spec.bands;
        if card.normalisation.mean.len() != bands || card.normalisation.std.len() != bands {
            return Err(TrainError::Input(format!(
                "the normalisation is not of the network's {bands} bands"
            )));
        }
        let [h, w] = card.spec.input;
        let size =
            if card.spec.model.is_classifier() { Some([w, h]) } else { card.resize.map(|[h, w]| [w, h]) };
        let ignored = card.classes.classes.iter().map(|class| class.ignored).collect();
        Ok(Recipe {
            classes,
            ignored,
            format: BatchFormat::new(&card.normalisation, Some(&card.classes)),
            size,
            is_classifier: card.spec.model.is_classifier(),
            views: Views::One,
            isa,
        })
    }

    /// The same with pictures shown in other positions.
    pub fn with_views(self, views: Views) -> Recipe {
        Recipe { views, ..self }
    }

    /// Number of classes, K.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Refuses a network that does not take pictures.
    pub(crate) fn for_pictures(self, card: &ModelCard) -> Result<Recipe, TrainError> {
        match card.spec.bands {
            3 => Ok(self),
            bands => Err(TrainError::Input(format!(
                "the network takes {bands} bands, and pictures have 3; it is for scenes (hectare predict MODEL SCENE.tif)"
            ))),
        }
    }

    /// Ground as the network sees it, in one position.
    ///
    /// # Panics
    /// When the ground has other bands than the network.
    pub fn prepare_raster(&self, raster: &Raster) -> Prepared {
        let mut input = AlignedVec::zeroed(raster.levels.len());
        self.format.normalise_raster(raster, &mut input);
        Prepared { size: raster.size(), views: vec![(input, raster.height, raster.width)] }
    }

    pub(crate) fn format(&self) -> &BatchFormat {
        &self.format
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// The picture as the network sees it: scaled (where the recipe scales) and normalised.
    ///
    /// # Panics
    /// When the network does not take three bands.
    pub fn prepare(&self, image: &Image) -> Prepared {
        let one = |image: &Image| {
            let scaled = match self.size {
                Some([w, h]) if image.size() != [w, h] => &resize(image, w, h),
                _ => image,
            };
            let mut input = AlignedVec::zeroed(scaled.pixels.len());
            self.format.normalise(scaled, &mut input);
            (input, scaled.height, scaled.width)
        };
        let views = match self.positions() {
            [_] => vec![one(image)],
            positions => positions.iter().map(|position| one(&position.show(image))).collect(),
        };
        Prepared { size: image.size(), views }
    }

    fn positions(&self) -> &'static [Position] {
        self.views.positions(self.is_classifier)
    }

    /// Logits of a picture at its own size, H x W x K: what `prepare` scaled is undone by bilinear
    /// interpolation (pixel centres as in PyTorch's `align_corners=False`). Of a picture in several positions they are
    /// the logarithms of the averaged probabilities.
    ///
    /// # Errors
    /// A size that the network cannot take.
    pub fn logits(&self, network: &mut dyn Forward, prepared: &Prepared) -> Result<Vec<f32>, TrainError> {
        let mut one = |(input, h, w): &(AlignedVec, usize, usize), [width, height]: [usize; 2]| {
            let logits = network.forward(1, *h, *w, input)?;
            if [*w, *h] == [width, height] {
                return Ok(logits.to_vec());
            }
            Ok(upscale(logits, *h, *w, self.classes, height, width))
        };
        let size = prepared.size;
        if let [view] = &prepared.views[..] {
            return one(view, size);
        }
        let mut sum = vec![0.0; size[0] * size[1] * self.classes];
        for (position, view) in self.positions().iter().zip(&prepared.views) {
            let logits = one(view, position.size(size))?;
            position.add_back(&self.probabilities(&logits), size, self.classes, &mut sum);
        }
        log_mean(&mut sum, prepared.views.len());
        Ok(sum)
    }

    /// Logits of some pictures as a whole, N x K; of pictures in several positions the logarithms of the averaged
    /// probabilities.
    ///
    /// # Errors
    /// A size that the network cannot take.
    pub fn class_logits(
        &self,
        network: &mut dyn Forward,
        prepared: &[Prepared],
    ) -> Result<Vec<f32>, TrainError> {
        let Some(first) = prepared.first() else { return Ok(Vec::new()) };
        let views = first.views.len();
        let mut sum = vec![0.0; prepared.len() * self.classes];
        for view in 0..views {
            let (_, h, w) = first.views[view];
            let mut input = AlignedVec::zeroed(prepared.len() * h * w * 3);
            for (to, from) in input.chunks_exact_mut(h * w * 3).zip(prepared) {
                to.copy_from_slice(&from.views[view].0);
            }
            let logits = network.forward(prepared.len(), h, w, &input)?;
            if views == 1 {
                return Ok(logits.to_vec());
            }
            sum.iter_mut().zip(self.probabilities(logits)).for_each(|(sum, p)| *sum += p);
        }
        log_mean(&mut sum, views);
        Ok(sum)
    }

    /// The class of the largest logit of each pixel, ignored classes left out.
    pub fn argmax(&self, logits: &[f32], size: [usize; 2]) -> Mask {
        let [width, height] = size;
        let mut ids = vec![0; width * height];
        let rows = 16;
        threads::parallel_chunks_mut(&mut ids, width * rows, |chunk, ids| {
            let logits = &logits[chunk * width * rows * self.classes..];
            for (id, logits) in ids.iter_mut().zip(logits.chunks_exact(self.classes)) {
                *id = self.largest(logits) as u8;
            }
        });
        Mask { width, height, ids }
    }

    /// Position of the largest number that is not of an ignored class (the first of several).
    pub fn largest(&self, values: &[f32]) -> usize {
        let mut best = None;
        for (class, &value) in values.iter().enumerate() {
            if !self.ignored[class] && best.is_none_or(|(_, most)| value > most) {
                best = Some((class, value));
            }
        }
        best.map_or(0, |(class, _)| class)
    }

    /// Probabilities of `logits` (P x K).
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        let mut probabilities = vec![0.0; logits.len()];
        softmax(self.isa, logits, self.classes, &mut probabilities);
        probabilities
    }
}

/// A trained model, ready to be applied.
pub struct Model {
    card: ModelCard,
    recipe: Recipe,
    predictor: Predictor,
}

/// What a segmentation network says of a picture.
pub struct Segmentation {
    /// The class of each pixel.
    pub mask: Mask,
    /// Softmax of the logits, K x H x W.
    pub probabilities: Vec<f32>,
}

impl Model {
    /// A model from the parts of a weights file.
    ///
    /// # Errors
    /// As [`Recipe::new`], and a network of other than three bands.
    pub fn new(card: ModelCard, network: Network, params: Params, isa: Isa) -> Result<Model, TrainError> {
        let recipe = Recipe::new(&card, isa)?.for_pictures(&card)?;
        let predictor = Predictor::new(network, params, isa).map_err(TrainError::net)?;
        Ok(Model { card, recipe, predictor })
    }

    /// The description that came with the weights.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// What happens before and after the network.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Recipe and network, as the evaluation of a set needs them ([`crate::evaluate_segmentation`]).
    pub fn parts(&mut self) -> (&Recipe, &mut dyn Forward) {
        (&self.recipe, &mut self.predictor)
    }

    /// The same model with pictures shown in other positions.
    pub fn with_views(mut self, views: Views) -> Model {
        self.recipe = self.recipe.with_views(views);
        self
    }

    /// The class of each pixel, at the picture's own size.
    ///
    /// # Errors
    /// A size that the network cannot take.
    pub fn segment(&mut self, image: &Image) -> Result<Mask, TrainError> {
        let logits = self.logits(image)?;
        Ok(self.recipe.argmax(&logits, image.size()))
    }

    /// As [`Model::segment`], with the probabilities of all classes.
    ///
    /// # Errors
    /// A size that the network cannot take.
    pub fn segment_with_probabilities(&mut self, image: &Image) -> Result<Segmentation, TrainError> {
        let logits = self.logits(image)?;
        let mask = self.recipe.argmax(&logits, image.size());
        let by_pixel = self.recipe.probabilities(&logits);
        let (k, pixels) = (self.recipe.classes, image.width * image.height);
        let mut probabilities = vec![0.0; by_pixel.len()];
        threads::parallel_chunks_mut(&mut probabilities, pixels, |class, plane| {
            for (to, from) in plane.iter_mut().zip(by_pixel.chunks_exact(k)) {
                *to = from[class];
            }
        });
        Ok(Segmentation { mask, probabilities })
    }

    fn logits(&mut self, image: &Image) -> Result<Vec<f32>, TrainError> {
        let prepared = self.recipe.prepare(image);
        self.recipe.logits(&mut self.predictor, &prepared)
    }

    /// Probabilities of the classes of some pictures, N x K; they are resized to the network's input.
    ///
    /// # Errors
    /// A size that the network cannot take.
    pub fn classify(&mut self, images: &[Image]) -> Result<Vec<f32>, TrainError> {
        let prepared: Vec<_> = images.iter().map(|image| self.recipe.prepare(image)).collect();
        let logits = self.recipe.class_logits(&mut self.predictor, &prepared)?;
        Ok(self.recipe.probabilities(&logits))
    }
}

/// Turns sums of `count` probabilities into the logarithms of their means, which are logits of those means.
fn log_mean(sums: &mut [f32], count: usize) {
    threads::parallel_chunks_mut(sums, 1 << 14, |_, sums| {
        for sum in sums {
            *sum = (*sum / count as f32).max(f32::MIN_POSITIVE).ln();
        }
    });
}

/// Bilinear interpolation of H x W x K numbers to `height` x `width`.
fn upscale(values: &[f32], h: usize, w: usize, k: usize, height: usize, width: usize) -> Vec<f32> {
    let columns: Vec<Place> = (0..width).map(|x| Place::new(x, width, w)).collect();
    let mut result = vec![0.0; height * width * k];
    threads::parallel_chunks_mut(&mut result, width * k, |y, row| {
        let v = Place::new(y, height, h);
        let (above, below) = (&values[v.first * w * k..][..w * k], &values[v.second * w * k..][..w * k]);
        for (column, out) in columns.iter().zip(row.chunks_exact_mut(k)) {
            let (left, right) = (column.first * k, column.second * k);
            for (class, out) in out.iter_mut().enumerate() {
                let mix =
                    |row: &[f32]| row[left + class] + (row[right + class] - row[left + class]) * column.share;
                let (a, b) = (mix(above), mix(below));
                *out = a + (b - a) * v.share;
            }
        }
    });
    result
}

/// Two neighbours and the share of the second.
struct Place {
    first: usize,
    second: usize,
    share: f32,
}

impl Place {
    fn new(at: usize, out: usize, len: usize) -> Place {
        let centre = ((at as f64 + 0.5) * len as f64 / out as f64 - 0.5).max(0.0);
        let first = (centre as usize).min(len - 1);
        Place { first, second: (first + 1).min(len - 1), share: (centre - first as f64) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_net::{ModelKind, ModelSpec, build, initialise};

    #[test]
    fn upscaling_is_pytorchs() {
        // F.interpolate(torch.tensor([[[[0., 1.], [2., 3.]]]]), (3, 4), mode="bilinear")
        let expected = [0.0, 0.25, 0.75, 1.0, 1.0, 1.25, 1.75, 2.0, 2.0, 2.25, 2.75, 3.0];
        let result = upscale(&[0.0, 1.0, 2.0, 3.0], 2, 2, 1, 3, 4);
        assert!(result.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{result:?}");
        assert_eq!(upscale(&[5.0, 7.0], 1, 1, 2, 1, 2), [5.0, 7.0, 5.0, 7.0]);
    }

    fn model(kind: ModelKind, change: impl FnOnce(&mut ModelCard)) -> Model {
        let mut spec = ModelSpec::new(kind);
        spec.width = 0.03125;
        spec.input = if kind.is_classifier() { [32, 32] } else { [64, 64] };
        let mut card = ModelCard::new(spec);
        change(&mut card);
        let network = build(&card.spec).unwrap();
        let params = initialise(&network, 3);
        Model::new(card, network, params, Isa::best()).unwrap()
    }

    fn picture(width: usize, height: usize) -> Image {
        Image::from_fn(width, height, |x, y| [(x * 5) as u8, (y * 7) as u8, (x * y) as u8])
    }

    #[test]
    fn masks_have_the_pictures_size_and_no_ignored_class() {
        let image = picture(53, 37);
        let mut plain = model(ModelKind::Fcn8s, |_| {});
        let said = plain.segment_with_probabilities(&image).unwrap();
        assert_eq!((said.mask.size(), said.probabilities.len()), ([53, 37], 7 * 53 * 37));
        let pixels = 53 * 37;
        for pixel in [0, 100, pixels - 1] {
            let sum: f32 = (0..7).map(|class| said.probabilities[class * pixels + pixel]).sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
        let usual = usize::from(said.mask.ids[0]);
        let mut without = model(ModelKind::Fcn8s, |card| card.classes.classes[usual].ignored = true);
        assert!(without.segment(&image).unwrap().ids.iter().all(|id| usize::from(*id) != usual));
        let mut scaled = model(ModelKind::Fcn8s, |card| card.resize = Some([64, 96]));
        assert_eq!(scaled.segment(&image).unwrap().size(), [53, 37]);
    }

    #[test]
    fn positions_are_averaged() {
        let image = picture(53, 37);
        let mut plain = model(ModelKind::Fcn8s, |_| {});
        let mut flips = model(ModelKind::Fcn8s, |_| {}).with_views(Views::Flips);
        let averaged = flips.segment_with_probabilities(&image).unwrap().probabilities;
        let mut expected = vec![0.0; averaged.len()];
        for position in Views::Flips.positions(false) {
            let shown = position.show(&image);
            let said = plain.segment_with_probabilities(&shown).unwrap().probabilities;
            let [width, height] = shown.size();
            let by_pixel: Vec<f32> = (0..width * height)
                .flat_map(|pixel| (0..7).map(move |class| (class, pixel)))
                .map(|(class, pixel)| said[class * width * height + pixel])
                .collect();
            position.add_back(&by_pixel, image.size(), 7, &mut expected);
        }
        for pixel in 0..53 * 37 {
            for class in 0..7 {
                let wanted = expected[pixel * 7 + class] / 8.0;
                assert!((averaged[class * 53 * 37 + pixel] - wanted).abs() < 1e-5);
            }
        }
        // A mirrored picture has the mirrored answer.
        let mirrored = Views::Flips.positions(true)[1].show(&image);
        let (a, b) = (flips.segment(&image).unwrap(), flips.segment(&mirrored).unwrap());
        let differs = (0..53 * 37).filter(|i| a.ids[*i] != b.ids[i / 53 * 53 + 52 - i % 53]).count();
        assert!(differs < 20, "{differs}");
        let mut classifier = model(ModelKind::Vgg16, |_| {}).with_views(Views::Flips);
        let both = classifier.classify(&[image, mirrored]).unwrap();
        assert!((0..50).all(|k| (both[k] - both[50 + k]).abs() < 1e-5));
    }

    #[test]
    fn classes_sum_to_one_and_do_not_depend_on_the_batch() {
        let mut model = model(ModelKind::Vgg16, |_| {});
        let images = [picture(32, 32), picture(40, 20), picture(9, 9)];
        let together = model.classify(&images).unwrap();
        assert_eq!(together.len(), 3 * 50);
        for (image, row) in images.iter().zip(together.chunks(50)) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let alone = model.classify(std::slice::from_ref(image)).unwrap();
            assert!(alone.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        assert!(model.classify(&[]).unwrap().is_empty());
    }
}
